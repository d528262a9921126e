"""Situations in which calls are refused: what is done to a project, or to the system, before the call."""

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from services.runtime.settings import Limits
from tests.services.asking import Ask
from tests.services.doors import IPC, SERVICE
from tests.services.system import Scene

Situation = Callable[[Scene], Awaitable[None]]
Put = Callable[[Scene, Path], None]  # something under a name that is free


def content(text: str | bytes, file: str = "sequences/sequence_001.json") -> Situation:
    """A file of the project holds this."""

    async def situation(scene: Scene) -> None:
        path = scene.project / file
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.utime(path, (1, 1))  # long ago: nobody waits for the rest of it

    return situation


def instead(file: str, put: Put) -> Situation:
    """Something stands where a file or folder of the project should."""

    async def situation(scene: Scene) -> None:
        path = scene.project / file
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        put(scene, path)

    return situation


def link_out(scene: Scene, path: Path) -> None:
    """A link to what has the same place outside the root."""
    target = scene.system.outside / path.relative_to(scene.project)
    path.symlink_to(target if target.exists() else scene.system.outside / "sequences")


def relative_link_out(scene: Scene, path: Path) -> None:
    target = scene.system.outside / path.relative_to(scene.project)
    path.symlink_to(os.path.relpath(target, path.parent))


def link_to_a_link_out(scene: Scene, path: Path) -> None:
    link_out(scene, path)
    path.rename(between := scene.project / "between")
    path.symlink_to(between)


def dangling_link_out(scene: Scene, path: Path) -> None:
    path.symlink_to(scene.system.outside / "made-by-nobody")


def link_to_itself(scene: Scene, path: Path) -> None:
    path.symlink_to(path)


def link_to_zeroes(scene: Scene, path: Path) -> None:
    path.symlink_to("/dev/zero")


def pipe(scene: Scene, path: Path) -> None:
    os.mkfifo(path)


def folder(scene: Scene, path: Path) -> None:
    path.mkdir()


def plain_file(scene: Scene, path: Path) -> None:
    path.write_text("{}")


def unix_socket(scene: Scene, path: Path) -> None:
    listening = scene.undo.enter_context(socket.socket(socket.AF_UNIX))
    here = os.getcwd()
    os.chdir(path.parent)  # the path of a socket has 107 bytes at most
    try:
        listening.bind(path.name)
    finally:
        os.chdir(here)


def device(scene: Scene, path: Path) -> None:
    """/dev/zero under another name: whoever reads it to the end never comes back."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("a device node needs the right to make one")


def mode(file: str, bits: int) -> Situation:
    async def situation(scene: Scene) -> None:
        path = scene.project / file
        before = path.stat().st_mode
        path.chmod(bits)
        scene.undo.callback(path.chmod, before)

    return situation


def disk(operation: str, number: int, below: str = "sequences") -> Situation:
    """An operation of the disk fails."""

    async def situation(scene: Scene) -> None:
        scene.fail(operation, scene.project / below, number)

    return situation


async def slow_disk(scene: Scene) -> None:
    """Listing a folder takes longer than callers have time."""
    scene.meet("list", scene.project, lambda: time.sleep(0.6))


def mounted(kind: str) -> Situation:
    """The sequences lie on a file system of their own, which is full or read-only."""

    async def situation(scene: Scene) -> None:
        sequences = scene.project / "sequences"
        aside = scene.project / "aside"
        sequences.rename(aside)
        sequences.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(sequences)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("a file system of its own needs the right to mount one")
        scene.undo.callback(subprocess.run, ["umount", "-l", str(sequences)], check=True)
        for file in aside.iterdir():
            shutil.copy2(file, sequences)
        shutil.rmtree(aside)
        if kind == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", str(sequences)], check=True)
        else:
            with contextlib.suppress(OSError), (sequences / "ballast").open("wb", buffering=0) as ballast:
                while ballast.write(bytes(4096)):
                    pass

    return situation


async def locked(scene: Scene) -> None:
    """Another program holds the lock of the first sequence's file."""
    held = lock(scene, "sequences.sequence_001.json.lock")
    scene.undo.callback(os.close, held)


def lock(scene: Scene, name: str) -> int:
    """Take a lock of the project; closing the descriptor gives it back."""
    locks = scene.project / ".shotline" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    held = os.open(locks / name, os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    return held


async def full_house(scene: Scene) -> None:
    """The service and the gateway each have one call inside, and take no more."""
    held = lock(scene, "sequences.sequence_002.json.lock")
    waits = Ask(
        method="UpdateShot",
        fields={"project_path": "<project>", "sequence_id": "002", "shot_id": "c1", "updates_json": '{"prompt": "x"}'},
        timeout=5,
    )
    inside = [asyncio.create_task(door.answer(scene.system, scene.filled(waits))) for door in (SERVICE, IPC)]
    doors = (scene.system.service_door, scene.system.gateway_door)
    while not all(door.calls for door in doors):
        await asyncio.sleep(0.005)

    async def leave() -> None:
        os.close(held)
        for answer in await asyncio.gather(*inside):
            assert answer.code == "OK"
        for door in doors:
            door.limits = Limits()

    scene.undo.push_async_callback(leave)
    for door in doors:
        door.limits = Limits(calls=1)


def page_token(of: Ask) -> Situation:
    """`<token>` is the token of the second page of a list."""

    async def situation(scene: Scene) -> None:
        answer = await SERVICE.answer(scene.system, scene.filled(of.but(page_size=1)))
        assert answer.next_page_token
        scene.words["<token>"] = answer.next_page_token

    return situation


def then(*situations: Situation) -> Situation:
    """One after the other."""

    async def situation(scene: Scene) -> None:
        for each in situations:
            await each(scene)

    return situation


def called(ask: Ask) -> Situation:
    """A call succeeded before."""

    async def situation(scene: Scene) -> None:
        assert (await SERVICE.answer(scene.system, scene.filled(ask))).code == "OK"
        await scene.settled()

    return situation


def copied(source: str, target: str) -> Situation:
    """A file of the project stands twice."""

    async def situation(scene: Scene) -> None:
        shutil.copy(scene.project / source, scene.project / target)

    return situation


def shot_added(file: str, shot: object) -> Situation:
    """A sequence file has one more shot."""

    async def situation(scene: Scene) -> None:
        path = scene.project / file
        document = json.loads(path.read_text())
        document["shots"].append(shot)
        path.write_text(json.dumps(document))

    return situation


def linked_project(to: str) -> Situation:
    """`<link>` is a link in the root: to the folder outside, or to itself."""

    async def situation(scene: Scene) -> None:
        link = Path(f"{scene.project}-link")
        link.symlink_to(scene.system.outside if to == "outside" else link)
        scene.undo.callback(link.unlink)
        scene.words["<link>"] = str(link)

    return situation


FULL = {"no space": errno.ENOSPC, "no quota": errno.EDQUOT, "too large a file": errno.EFBIG}
