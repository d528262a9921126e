"""What may come between changes of which shots and files there are: other spellings, links, crowds, failing logs."""

import asyncio
import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.kernel.faults import Code, Fault
from services.kernel.strict_json import Json, parse_object
from services.sequence_file.domain.steps import Edit, Place
from services.sequence_file.storage import files
from services.sequence_file.storage.disk import Disk
from tests.storage import projects
from tests.storage.conftest import Start
from tests.storage.projects import SEQUENCE, Server, caller

OTHER = "sequences/sequence_002.json"


def members(**values: object) -> dict[str, Json]:
    return parse_object(json.dumps(values))


@pytest.fixture
def two(project: Path) -> Path:
    """The project with a second sequence, of shots x1, x2, x3."""
    (project / OTHER).write_bytes(projects.sequence(sequence_id="002").replace(b'"id": "s', b'"id": "x'))
    return project


def ids(file: Path) -> list[str]:
    return [shot["id"] for shot in json.loads(file.read_bytes())["shots"]]


async def test_two_shots_of_one_id_are_not_made_in_two_sequences_whatever_spelling_is_led(
    two: Path, start: Start
) -> None:
    """An edit of sequence `1` is in its fsync while a shot comes to `001`: that waits in the other one's queue."""
    entered, go = threading.Event(), threading.Event()

    class Slow(Disk):
        def sync(self, descriptor: int) -> None:
            if armed and "sequence_001" in os.readlink(f"/proc/self/fd/{descriptor}") and not entered.is_set():
                entered.set()
                assert go.wait(10)
            super().sync(descriptor)

    armed = False
    server = start(Slow())
    await server.update("s1", {"warm": 1})
    armed = True
    library = server.library
    edit = Edit(shot_id="s1", updates=members(b=1))
    edits = asyncio.ensure_future(library.update_shot(server.path, "1", edit, caller()))
    assert await asyncio.to_thread(entered.wait, 10)
    first = asyncio.ensure_future(library.create_shot(server.path, "001", members(id="new"), Place(), caller()))
    await asyncio.sleep(0.1)
    second = asyncio.ensure_future(library.create_shot(server.path, "002", members(id="new"), Place(), caller()))
    await asyncio.sleep(0.1)
    go.set()
    await asyncio.gather(edits, first)
    with pytest.raises(Fault) as caught:
        await second
    assert caught.value.reason == "SHOT_EXISTS"
    assert ids(two / SEQUENCE) == ["s1", "s2", "s3", "new"]
    assert ids(two / OTHER) == ["x1", "x2", "x3"]


async def test_a_change_whose_intent_did_not_reach_the_device_is_not_made_later(two: Path, start: Start) -> None:
    class LogFails(Disk):
        broken = False

        def sync(self, descriptor: int) -> None:
            if self.broken and os.readlink(f"/proc/self/fd/{descriptor}").endswith("changes.jsonl"):
                self.broken = False
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            super().sync(descriptor)

    disk = LogFails()
    server = start(disk)
    await server.update("s1", {"warm": 1})
    disk.broken = True
    with pytest.raises(Fault) as caught:
        await server.library.delete_sequence(server.path, "002", None, caller())
    assert (caught.value.reason, "nothing was changed" in caught.value.message) == ("IO_ERROR", True)
    await server.update("s1", {"b": 1})
    edit = Edit(shot_id="x1", updates=members(b=1))
    await server.library.update_shot(server.path, "002", edit, caller())
    assert (two / OTHER).exists()


async def test_a_crowd_that_waits_for_a_lock_holds_up_no_reader(tmp_path: Path, project: Path, server: Server) -> None:
    other = projects.make(tmp_path / "other")
    await server.library.create_sequence(server.path, "005", {}, caller())
    with (project / ".shotline/locks/.structure.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = [
            asyncio.ensure_future(server.library.reorder_sequences(server.path, ["005", "001"], caller(seconds=1.5)))
            for _ in range(80)
        ]
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await server.library.project(str(other))
        assert time.monotonic() - began < 1
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {each.reason for each in answers if isinstance(each, Fault)} == {"LOCK_TIMEOUT"}
    assert len(answers) == 80


async def test_where_sequences_is_a_link_requests_are_made_once_and_what_is_deleted_comes_back(
    tmp_path: Path,
) -> None:
    store, project = tmp_path / "store" / "sequences", tmp_path / "project"
    store.mkdir(parents=True)
    (store / "sequence_001.json").write_bytes(projects.sequence())
    project.mkdir()
    (project / "project.json").write_text("{}")
    (project / "sequences").symlink_to(store)
    server = Server(project)
    library, path = server.library, server.path
    for ask in (
        lambda once: library.create_sequence(path, "", {}, caller(once)),
        lambda once: library.delete_sequence(path, "002", None, caller(once)),
    ):
        once = projects.request()
        assert await ask(once) == await ask(once)
    assert sorted(os.listdir(store)) == ["sequence_001.json"]
    (trashed,) = await library.trash(path)
    await library.restore(path, "002", trashed.revision, "", None, caller())
    assert sorted(os.listdir(store)) == ["sequence_001.json", "sequence_002.json"]
    server.close()


async def test_a_change_does_not_reach_into_another_project_through_a_link(tmp_path: Path, two: Path) -> None:
    elsewhere = projects.make(tmp_path / "elsewhere")
    (elsewhere / SEQUENCE).write_bytes(projects.sequence(sequence_id="003").replace(b'"id": "s', b'"id": "y'))
    (two / "sequences/sequence_003.json").symlink_to(elsewhere / SEQUENCE)
    server = Server(two)
    library, path = server.library, server.path
    edit = Edit(shot_id="y1", updates=members(b=1))
    await library.update_shot(path, "003", edit, caller())  # one file may be a link
    for ask in (
        lambda: library.move_shot(path, "002", "x1", "003", Place(), None, caller()),
        lambda: library.reorder_sequences(path, ["003", "002", "001"], caller()),
        lambda: library.delete_sequence(path, "003", None, caller()),
    ):
        with pytest.raises(Fault) as caught:
            await ask()
        assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "UNSAFE_FILE")
    assert ids(two / OTHER) == ["x1", "x2", "x3"]
    assert ids(elsewhere / SEQUENCE) == ["y1", "y2", "y3"]
    server.close()


@pytest.mark.parametrize("length", [222, 230, 240])
async def test_a_file_with_a_long_name_can_be_changed_deleted_and_brought_back(project: Path, length: int) -> None:
    name = f"sequence_{'x' * (length - 14)}.json"
    (project / "sequences" / name).write_bytes(projects.sequence(sequence_id="long").replace(b'"id": "s', b'"id": "x'))
    server = Server(project)
    edit = Edit(shot_id="x1", updates=members(b=1))
    await server.library.update_shot(server.path, "long", edit, caller())
    await server.idle()
    (project / "sequences" / f".{name}.shotline-tmp").write_bytes(b'{"id": "long", "shots": []}')
    await server.library.update_shot(server.path, "long", Edit(shot_id="x1", updates=members(b=2)), caller())
    deleted = await server.library.delete_sequence(server.path, "long", None, caller())
    assert not (project / "sequences" / name).exists()
    await server.library.restore(server.path, "long", deleted.revision, "", None, caller())
    assert ids(project / "sequences" / name) == ["x1", "x2", "x3"]
    server.close()


async def test_a_name_that_is_too_long_is_told_as_that(project: Path, server: Server) -> None:
    name = f"sequence_{'x' * 231}.json"
    (project / "sequences" / name).write_bytes(projects.sequence(sequence_id="long"))
    with pytest.raises(Fault) as caught:
        await server.library.update_shot(server.path, "long", Edit(shot_id="s1", updates=members(b=1)), caller())
    assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "UNSAFE_FILE")
    assert "too long" in caught.value.message


async def test_the_logs_of_projects_that_nobody_uses_are_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_LOGS", 4)
    folders = [projects.make(tmp_path / f"p{number}") for number in range(12)]
    server = Server(folders[0])
    for folder in (*folders, *folders):
        edit = Edit(shot_id="s1", updates=members(at=str(time.time_ns())))
        outcome = await server.library.update_shot(str(folder), "001", edit, caller())
        assert outcome.revision
    opened = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    assert sum(str(tmp_path) in each and each.endswith("changes.jsonl") for each in opened) <= 4
    server.close()


async def test_nothing_is_made_in_a_folder_that_is_no_project(tmp_path: Path, server: Server) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    library, path = server.library, str(folder)
    for ask in (
        lambda: library.create_shot(path, "001", members(id="a"), Place(), caller()),
        lambda: library.delete_shot(path, "001", "a", None, caller()),
        lambda: library.create_sequence(path, "001", {}, caller()),
        lambda: library.reorder_sequences(path, ["001"], caller()),
    ):
        with pytest.raises(Fault) as caught:
            await ask()
        assert caught.value.reason == "PROJECT_NOT_FOUND"
    assert not list(folder.iterdir())


def gone(project: Path) -> None:
    (project / OTHER).unlink()


def a_folder(project: Path) -> None:
    gone(project)
    (project / OTHER).mkdir()


def a_link_out(project: Path) -> None:
    gone(project)
    (project / OTHER).symlink_to("/etc/hostname")


@pytest.mark.parametrize("spoil", [gone, a_folder, a_link_out])
async def test_a_cut_off_move_into_a_file_that_cannot_be_used_any_more_stops_nobody(
    two: Path, spoil: Callable[[Path], None]
) -> None:
    class Dies(Disk):
        dead = False

        def exchange(self, folder: int, one: str, other: str) -> None:
            self.dead = True
            self._refuse()

        def _refuse(self) -> None:
            if self.dead:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        def write(self, descriptor: int, data: bytes) -> None:
            self._refuse()
            super().write(descriptor, data)

        def remove(self, folder: int, name: str) -> None:
            self._refuse()
            super().remove(folder, name)

    dying = Server(two, Dies())
    with pytest.raises(Fault):
        await dying.library.move_shot(dying.path, "001", "s1", "002", Place(), None, caller())
    spoil(two)
    server = Server(two)
    await server.update("s2", {"b": 1})
    await server.library.create_sequence(server.path, "009", {}, caller())
    assert ids(two / SEQUENCE) == ["s1", "s2", "s3"]
    dying.close()
    server.close()
