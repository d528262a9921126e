"""What the processes of the proofs do: each function runs in a process of its own."""

import asyncio
import fcntl
import json
import os
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

from services.kernel.faults import Fault
from services.sequence_file.domain.ports import Request
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.locks import Lock
from services.sequence_file.storage.places import Roots
from tests.storage import projects
from tests.storage.projects import SEQUENCE, Server

Work = Callable[..., None]


def run(processes: ForkServerContext, work: Work, *arguments: object, seconds: float = 30.0) -> Any:
    """Run one function that sends one thing, and answer with that; None if it was killed before."""
    ours, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=work, args=(theirs, *arguments))
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(seconds) else None
    except EOFError:
        return None
    finally:
        process.join(seconds)
        ours.close()
        process.close()


def update_with_a_limit(told: Connection, project: str, largest: int) -> None:
    """Update while no file may become larger than `largest` bytes."""
    server = Server(Path(project))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    told.send(asyncio.run(_outcome(server, "s1", None)))
    server.close()


async def _outcome(server: Server, shot: str, once: Request | None) -> str:
    try:
        await server.count(shot, "edit", once)
    except Fault as fault:
        return fault.reason
    return "OK"


def write_versions(told: Connection, project: str, versions: int) -> None:
    """Update a shot again and again; send the digest of every file that was ever there."""
    path = Path(project)
    seen = [projects.digest((path / SEQUENCE).read_bytes())]

    async def work() -> None:
        server = Server(path)
        for version in range(versions):
            await server.update("s1", {"version": version, "note": "·" * (version % 7 * 1000)})
            seen.append(projects.digest((path / SEQUENCE).read_bytes()))
        await server.idle()
        server.close()

    asyncio.run(work())
    told.send(seen)


def write_versions_in_place(told: Connection, project: str, versions: int) -> None:
    """Naive: as the incumbent's writeFile, truncate and write."""
    path = Path(project) / SEQUENCE
    document = json.loads(path.read_bytes())
    seen = [projects.digest(path.read_bytes())]
    for version in range(versions):
        document["shots"][0]["note"] = "·" * (version % 7 * 1000)
        raw = json.dumps(document, indent=2, ensure_ascii=False).encode()
        with path.open("wb", buffering=0) as file:
            for start in range(0, len(raw), 4096):
                file.write(raw[start : start + 4096])
        seen.append(projects.digest(raw))
    told.send(seen)


def read_versions(told: Connection, project: str, stop: Event) -> None:
    """Read the file as any program does; send the digests that were seen, and how many reads did not parse."""
    path = Path(project) / SEQUENCE
    seen: set[str] = set()
    reads = broken = 0
    while not stop.is_set():
        raw = path.read_bytes()
        reads += 1
        try:
            json.loads(raw)
        except ValueError:
            broken += 1
        else:
            seen.add(projects.digest(raw))
    told.send((reads, broken, seen))


def make_edits(told: Connection, project: str, mark: str, edits: int, start: Barrier) -> None:
    """Make edits of one shot over two servers in turn, eight at a time; send how many seconds it took."""

    async def work() -> float:
        servers = [Server(Path(project)) for _ in range(2)]
        for each in servers:
            await each.shot("s1")
        start.wait()
        began = time.monotonic()
        todo = iter(range(edits))

        async def client(server: Server) -> None:
            for _ in todo:
                await server.count("s1", mark, projects.request(), seconds=60)

        await asyncio.gather(*(client(servers[number % 2]) for number in range(8)))
        took = time.monotonic() - began
        for each in servers:
            each.close()
        return took

    told.send(asyncio.run(work()))


def make_edits_with_a_lock_on_the_data_file(
    told: Connection, project: str, mark: str, edits: int, start: Barrier
) -> None:
    """Naive: lock the file itself, and rename over it."""
    path = Path(project) / SEQUENCE
    start.wait()
    for number in range(edits):
        with path.open("rb") as locked:
            fcntl.flock(locked, fcntl.LOCK_EX)
            _count_by_rename(path, mark, number)
    told.send(0.0)


def make_edits_without_a_lock(told: Connection, project: str, mark: str, edits: int, start: Barrier) -> None:
    """Naive: read, change, rename."""
    path = Path(project) / SEQUENCE
    start.wait()
    for number in range(edits):
        _count_by_rename(path, mark, number)
    told.send(0.0)


def _count_by_rename(path: Path, mark: str, number: int) -> None:
    document = json.loads(path.read_bytes())
    made = document["shots"][0].setdefault("made", {})
    made[mark] = made.get(mark, 0) + 1
    temporary = path.with_name(f".{mark}-{number}.tmp")
    temporary.write_text(json.dumps(document))
    temporary.rename(path)


def edit_until_killed(told: Connection, project: str, mark: str) -> None:
    """Make edits, each with a request id, and tell of each before and behind it."""

    async def work() -> None:
        server = Server(Path(project))
        while True:
            once = projects.request()
            told.send(("begun", once))
            await server.count("s1", mark, once)
            told.send(("told", once))

    asyncio.run(work())


class MortalDisk(Disk):
    """Kills its process in the middle of an update: behind the n-th operation that changes something."""

    def __init__(self, operations: int) -> None:
        super().__init__()
        self._left = operations

    def _done(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def make_folder(self, folder: int, name: str) -> None:
        super().make_folder(folder, name)
        self._done()

    def create(self, folder: int, name: str, mode: int | None) -> int:
        descriptor = super().create(folder, name, mode)
        self._done()
        return descriptor

    def open_to_append(self, folder: int, name: str) -> int:
        descriptor = super().open_to_append(folder, name)
        self._done()
        return descriptor

    def write(self, descriptor: int, data: bytes) -> None:
        super().write(descriptor, data[: len(data) // 2])
        self._done()
        super().write(descriptor, data[len(data) // 2 :])
        self._done()

    def exchange(self, folder: int, one: str, other: str) -> None:
        super().exchange(folder, one, other)
        self._done()

    def rename(self, folder: int, old: str, new: str) -> None:
        super().rename(folder, old, new)
        self._done()

    def rename_new(self, folder: int, old: str, new: str) -> None:
        super().rename_new(folder, old, new)
        self._done()

    def move(self, folder: int, old: str, into: int, new: str) -> None:
        super().move(folder, old, into, new)
        self._done()

    def link(self, folder: int, name: str, into: int, new: str) -> None:
        super().link(folder, name, into, new)
        self._done()

    def remove(self, folder: int, name: str) -> None:
        super().remove(folder, name)
        self._done()


class MortalWithoutExchange(projects.NoExchange, MortalDisk):
    """The same on a file system that cannot exchange two names."""


def update_and_die(told: Connection, project: str, once: Request, operations: int, exchange: bool) -> None:
    """Make one edit on a disk that kills the process behind so many operations; send the outcome if it lives."""
    server = Server(Path(project), (MortalDisk if exchange else MortalWithoutExchange)(operations))

    async def work() -> str:
        outcome = await _outcome(server, "s1", once)
        await server.idle()
        return outcome

    told.send(asyncio.run(work()))
    server.close()


def edit_by_hand(told: Connection, project: str, edits: int, replace: bool) -> None:
    """As another program: read the file, mark a shot, and replace the file or write over it, again and again.

    It looks away for a moment behind each edit. In the instant in which we find that an edit of its was displaced, and
    take ours back, it would read ours without its own, and go on from that.
    """
    path = Path(project) / SEQUENCE
    for number in range(edits):
        document = json.loads(path.read_bytes())
        document["shots"][1].setdefault("by_hand", {})[str(number)] = 1
        raw = json.dumps(document, indent=2, ensure_ascii=False).encode()
        if replace:
            beside = path.with_name("by-hand.tmp")
            beside.write_bytes(raw)
            beside.rename(path)
        else:
            path.write_bytes(raw)
        time.sleep(0.002 + 0.001 * (number % 5))
    told.send(edits)


def hold_the_lock(told: Connection, project: str, release: Event) -> None:
    """Hold the sequence's lock until told to let go."""
    path = Path(project)
    roots = Roots([str(path.parent)])
    lock = Lock.of_file(Disk(), roots.entry(roots.project(project), SEQUENCE))
    assert lock.acquire(lambda: True)
    told.send("held")
    release.wait(60)
    lock.release()


def send_at_the_same_time(told: Connection, project: str, once: Request, start: Barrier) -> None:
    """Send one request; send the answer."""
    server = Server(Path(project))
    start.wait()
    told.send(asyncio.run(server.count("s1", "edit", once)))
    server.close()


def update_with_etag(told: Connection, project: str, value: int, etag: str, start: Barrier) -> None:
    """Change a shot as it was seen; send the reason of the refusal, else OK, and the etag that came with it."""
    server = Server(Path(project))
    start.wait()
    try:
        shot = asyncio.run(server.update("s1", {"n": value}, etag=etag))
        told.send(("OK", shot.etag))
    except Fault as fault:
        told.send((fault.reason, fault.current.etag if fault.current else ""))
    server.close()
