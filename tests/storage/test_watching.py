"""Watches of real files: what they are given, by whichever program and server it was done."""

import asyncio
import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from services.kernel.faults import Fault
from services.sequence_file.domain.changes import Change, FileChange, What
from services.sequence_file.domain.ports import Watch
from services.sequence_file.storage import log, observer
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.log import RETENTION, Batch, Log, Made
from tests.storage import projects
from tests.storage.projects import SEQUENCE, Server

Start = Callable[..., Server]
SECOND = "sequences/sequence_002.json"


class Watcher:
    """One watch, and what it was given so far."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.changes: list[Change] = []

    async def until(self, changes: int, *, seconds: float = 10.0) -> list[Change]:
        """All that came, once it is so much."""
        end = time.monotonic() + seconds
        while len(self.changes) < changes:
            left = end - time.monotonic()
            assert left > 0, f"only {[change.summary for change in self.changes]} within {seconds:g} s"
            self.changes += await self.watch.next(left)
        return self.changes

    async def after(self, seconds: float) -> list[Change]:
        """All that came, once nothing did for so long."""
        while more := await self.watch.next(seconds):
            self.changes += more
        return self.changes


@contextlib.asynccontextmanager
async def watching(server: Server, after: int | None = None, log_id: str = "") -> AsyncIterator[Watcher]:
    with contextlib.closing(await server.files.watch(server.path, after, log_id)) as watch:
        yield Watcher(watch)


def change_by_another_program(project: Path, note: str, *, shot: str = "s2", file: str = SEQUENCE) -> None:
    """As a text editor saves: a new file takes the place of the old one."""
    document = json.loads((project / file).read_bytes())
    next(each for each in document["shots"] if each["id"] == shot)["note"] = note
    temporary = project / file.replace("sequence_", ".editor-")
    temporary.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    temporary.rename(project / file)


def notes(changes: Sequence[Change]) -> list[object]:
    """The `note` of each change's one shot."""
    return [json.loads(change.files[0].shots[0].document or b"{}").get("note") for change in changes]


def observers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "observer"]


async def test_a_watcher_of_one_server_sees_edits_made_through_another(start: Start) -> None:
    here, there = start(), start()
    async with watching(here) as watcher:
        took = []
        for number in range(5):
            await there.update("s1", {"note": f"{number}"})
            began = time.monotonic()
            await watcher.until(2 * number + 1)
            took.append(time.monotonic() - began)
            await here.update("s1", {"note": f"{number} here"})
        changes = await watcher.until(10)
    assert min(took) < 0.1, took  # by events: the look from time to time comes every half second
    assert [change.revision for change in changes] == list(range(1, 11))
    assert notes(changes) == [f"{number}{where}" for number in range(5) for where in ("", " here")]
    assert {change.author.principal for change in changes if change.author} == {"test"}


async def test_an_outside_edit_is_seen_at_once_with_the_shot_that_changed(server: Server, project: Path) -> None:
    async with watching(server) as watcher:
        took = []
        for number in range(5):
            change_by_another_program(project, f"{number}")
            began = time.monotonic()
            await watcher.until(number + 1)
            took.append(time.monotonic() - began)
        for change in watcher.changes:
            assert change.author is None
            assert [(file.file, file.what) for file in change.files] == [(SEQUENCE, What.UPDATED)]
            assert [shot.id for shot in change.files[0].shots] == ["s2"]
        assert notes(watcher.changes) == ["0", "1", "2", "3", "4"]
    assert min(took) < 0.1, took


async def test_an_outside_edit_is_logged_once_although_two_servers_watch(start: Start, project: Path) -> None:
    async with watching(start()) as one, watching(start()) as other:
        for number in range(20):
            change_by_another_program(project, f"{number}")
            await one.until(number + 1)
        changes = await one.after(0.6)
        assert await other.after(0.6) == changes
    assert len(changes) == len({change.files[0].after for change in changes}) == 20


async def test_edits_made_while_nothing_ran_are_told_once_at_start_with_the_shots(start: Start, project: Path) -> None:
    first = start()
    async with watching(first) as watcher:
        await first.update("s1", {"note": "ours"})
        await watcher.until(1)
        log_id = watcher.watch.log_id
    await first.idle()
    first.close()
    change_by_another_program(project, "by night", shot="s3")
    (project / SECOND).write_bytes(projects.sequence(sequence_id="002"))

    again = start()
    async with watching(again, 1, log_id) as watcher, watching(start(), 1, log_id) as other:
        by_file = {change.files[0].file: change for change in await watcher.after(0.6)}
        assert [change.revision for change in watcher.changes] == [2, 3]
        assert await other.after(0.6) == watcher.changes
    assert notes([by_file[SEQUENCE]]) == ["by night"]
    assert [shot.id for shot in by_file[SEQUENCE].files[0].shots] == ["s3"]
    assert by_file[SECOND].files[0].what is What.CREATED
    async with watching(again, 1, log_id) as watcher:
        assert len(await watcher.after(0.6)) == 2


async def test_files_found_at_first_are_no_changes(server: Server) -> None:
    async with watching(server) as watcher:
        assert watcher.watch.revision == 0
        assert watcher.watch.log_id
        assert await watcher.after(0.6) == []


async def test_files_come_go_and_change_their_names(server: Server, project: Path) -> None:
    async with watching(server) as watcher:
        (project / SECOND).write_bytes(projects.sequence(sequence_id="002"))
        await watcher.until(1)
        (project / "project.json").write_text('{"shots": [{"id": "loose"}]}')
        await watcher.until(2)
        (project / SECOND).rename(project / "sequences" / "sequence_003.json")
        await watcher.until(4)
        (project / "sequences" / "sequence_003.json").unlink()
        changes = await watcher.until(5)
    told = [(change.files[0].file, change.files[0].what) for change in changes]
    assert told[:2] == [(SECOND, What.CREATED), ("project.json", What.CREATED)]
    assert set(told[2:4]) == {(SECOND, What.DELETED), ("sequences/sequence_003.json", What.CREATED)}
    assert told[4:] == [("sequences/sequence_003.json", What.DELETED)]


async def test_a_half_written_file_gets_the_time_to_become_whole(server: Server, project: Path) -> None:
    whole = projects.sequence(shots=4)
    async with watching(server) as watcher:
        with (project / SEQUENCE).open("wb", buffering=0) as file:
            file.write(whole[:40])
            await asyncio.sleep(0.08)
            file.write(whole[40:])
        changes = await watcher.after(0.6)
    assert [change.files[0].what for change in changes] == [What.UPDATED]
    assert [shot.id for shot in changes[0].files[0].shots] == ["s4"]


async def test_a_file_that_stays_broken_is_told_and_then_its_repair(server: Server, project: Path) -> None:
    async with watching(server) as watcher:
        (project / SEQUENCE).write_text('{"id": "001", "shots": [')
        await watcher.until(1)
        (project / SEQUENCE).write_bytes(projects.sequence(shots=4))
        changes = await watcher.until(2)
    assert [change.files[0].what for change in changes] == [What.UNREADABLE, What.UPDATED]


async def test_a_deleted_log_ends_the_watch_and_the_next_one_begins_with_another(server: Server, project: Path) -> None:
    async with watching(server) as watcher:
        log_id = watcher.watch.log_id
        await server.update("s1", {"note": "before"})
        await watcher.until(1)
        await server.idle()
        shutil.rmtree(project / ".shotline")
        with pytest.raises(Fault) as caught:
            await watcher.after(5)
        assert caught.value.reason == "REVISION_TOO_OLD"
    with pytest.raises(Fault) as caught:
        await server.files.watch(server.path, 1, log_id)
    assert caught.value.reason == "REVISION_TOO_OLD"
    async with watching(server) as watcher:
        assert watcher.watch.log_id not in ("", log_id)
        change_by_another_program(project, "after")
        assert notes(await watcher.until(1)) == ["after"]


async def test_another_sequences_folder_in_the_place_of_the_old_one(server: Server, project: Path) -> None:
    async with watching(server) as watcher:
        (project / "sequences").rename(project / "old")
        (gone,) = await watcher.until(1)
        assert gone.files[0].what is What.DELETED
        (project / "sequences").mkdir()
        shutil.copy(project / "old" / "sequence_001.json", project / SEQUENCE)
        await watcher.until(2)
        took = []
        for number in range(3):
            began = time.monotonic()
            change_by_another_program(project, f"{number}")
            await watcher.until(3 + number)
            took.append(time.monotonic() - began)
    assert notes(watcher.changes[2:]) == ["0", "1", "2"]
    assert min(took) < 0.1, took


async def test_what_is_no_file_and_names_that_are_no_text_do_not_stop_a_watch(server: Server, project: Path) -> None:
    async with watching(server) as watcher:
        os.mkfifo(project / "sequences" / "sequence_007.json")
        (project / "sequences" / "sequence_008.json").mkdir()
        (project / "sequences" / "sequence_009.json").symlink_to("/etc/hostname")
        name = os.fsencode(project / "sequences") + b"/sequence_\xff.json"
        with open(name, "wb") as file:
            file.write(projects.sequence(sequence_id="002"))
        change_by_another_program(project, "behind them")
        changes = {change.files[0].file: change for change in await watcher.until(2)}
        change_by_another_program(project, "later")
        assert notes((await watcher.until(3))[2:]) == ["later"]
    assert changes.keys() == {"sequences/sequence_\udcff.json", SEQUENCE}
    assert notes([changes[SEQUENCE]]) == ["behind them"]


async def test_a_sequences_folder_that_is_a_link(server: Server, project: Path) -> None:
    (project / "sequences").rename(project.parent / "elsewhere")
    (project / "sequences").symlink_to("../elsewhere")
    async with watching(server) as watcher:
        await server.update("s1", {"note": "ours"})
        await watcher.until(1)
        change_by_another_program(project, "theirs")
        changes = await watcher.until(2)
    assert notes(changes) == ["ours", "theirs"]


async def test_without_events_of_the_system_everything_is_seen_all_the_same(
    start: Start, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_many(*_: object, **__: object) -> None:
        raise OSError(28, "too many watches: fs.inotify.max_user_watches")

    monkeypatch.setattr(observer, "RustNotify", too_many)
    here, there = start(), start()
    async with watching(here) as watcher:
        change_by_another_program(project, "theirs")
        await watcher.until(1)
        await there.update("s1", {"note": "ours"})
        assert notes(await watcher.until(2)) == ["theirs", "ours"]


async def test_watches_of_a_project_share_an_observer_which_ends_with_the_last(start: Start, project: Path) -> None:
    server = start()
    before = len(observers())
    descriptors: list[int] = []
    for _ in range(10):
        async with contextlib.AsyncExitStack() as stack:
            watchers = [await stack.enter_async_context(watching(server)) for _ in range(10)]
            assert len(observers()) == before + 1
            await server.update("s1", {"note": f"{time.monotonic()}"})
            for each in watchers:
                await each.until(1)
        await server.idle()
        until = time.monotonic() + 5
        while len(observers()) > before:
            assert time.monotonic() < until, "the observer still runs"
            await asyncio.sleep(0.005)
        descriptors.append(len(os.listdir("/proc/self/fd")))
    assert descriptors[-1] < descriptors[0] + 5, descriptors  # the log and the history open and close theirs at will


async def test_a_server_that_closes_ends_its_observers(start: Start, project: Path) -> None:
    before = len(observers())
    server = start()
    await server.files.watch(server.path, None, "")
    await asyncio.to_thread(server.close)
    assert len(observers()) == before


async def test_a_watch_that_nobody_reads_for_long_is_given_everything_all_the_same(start: Start) -> None:
    server = start(projects.UnsyncedDisk())
    async with watching(server) as watcher:
        for number in range(300):
            await server.update("s1", {"note": f"{number}"})
        assert notes(await watcher.until(300)) == [f"{number}" for number in range(300)]
        assert [change.revision for change in watcher.changes] == list(range(1, 301))


async def test_a_watch_from_the_first_revision_and_from_one_in_between(server: Server) -> None:
    for number in range(6):
        await server.update("s1", {"note": f"{number}"})
    async with watching(server, 0) as all_of_it, watching(server, 4) as some:
        assert notes(await all_of_it.until(6)) == ["0", "1", "2", "3", "4", "5"]
        assert notes(await some.until(2)) == ["4", "5"]
        assert some.watch.log_id == all_of_it.watch.log_id


@pytest.mark.parametrize(("after", "log_id"), [(7, ""), (1, "f" * 32), (0, "f" * 32)])
async def test_a_revision_of_the_future_or_of_another_log_is_refused(server: Server, after: int, log_id: str) -> None:
    await server.update("s1", {"note": "one"})
    async with watching(server) as watcher:
        with pytest.raises(Fault) as caught:
            await server.files.watch(server.path, after, log_id)
    assert caught.value.reason == "REVISION_TOO_OLD"
    assert caught.value.metadata == {"oldest_revision": "1", "revision": "1", "log_id": watcher.watch.log_id}


async def test_forgotten_revisions_are_refused_and_never_skipped(
    server: Server, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        await server.update("s1", {"note": f"{number}"})
    async with watching(server, 2) as slow, watching(server) as quick:
        tomorrow = Log(Disk(), str(project.parent), (project.name,), clock=lambda: time.time() + RETENTION + 60)
        monkeypatch.setattr(log, "_REWRITE_BYTES", 0)
        monkeypatch.setattr(log, "_REWRITE_PAUSE", 0.0)
        file = FileChange(file="project.json", sequence_id="", what=What.DELETED, before=None, after=None)
        made = Made(author=None, request=None, outcome=None, summary="tomorrow", files=(file,))
        assert tomorrow.record(Batch(touched=(), made=(made,))) == 7
        tomorrow.close()
        monkeypatch.undo()
        assert [change.summary for change in await quick.until(1)] == ["tomorrow"]
        forgotten = {"oldest_revision": "7", "revision": "7", "log_id": quick.watch.log_id}
        with pytest.raises(Fault) as caught:
            await slow.after(1)
        assert (caught.value.reason, caught.value.metadata) == ("REVISION_TOO_OLD", forgotten)
        for after, log_id in ((5, ""), (0, quick.watch.log_id)):
            with pytest.raises(Fault) as caught:
                await server.files.watch(server.path, after, log_id)
            assert (caught.value.reason, caught.value.metadata) == ("REVISION_TOO_OLD", forgotten)
    async with watching(server, 0) as watcher:  # from the first one that is kept
        assert watcher.watch.revision == 6
        assert [change.revision for change in await watcher.until(1)] == [7]


class LogDevice(Disk):
    """A device whose log takes as long to get safe as the test says, or never gets it."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.fails = False
        self.safe = 0  # bytes of the log that are on the device

    def sync(self, descriptor: int) -> None:
        if not os.readlink(f"/proc/self/fd/{descriptor}").endswith("changes.jsonl"):
            super().sync(descriptor)
            return
        size = os.fstat(descriptor).st_size
        assert self.goes_on.wait(10)
        if self.fails:
            raise OSError(5, "the device is broken")
        super().sync(descriptor)
        self.safe = max(self.safe, size)

    def left_by_a_power_cut(self, project: Path, folder: Path) -> list[Change]:
        """The changes that the log tells of when only what is safe is left of it."""
        (folder / ".shotline").mkdir(parents=True)
        raw = (project / ".shotline" / "changes.jsonl").read_bytes()[: self.safe]
        (folder / ".shotline" / "changes.jsonl").write_bytes(raw)
        left = Log(Disk(), str(folder.parent), (folder.name,))
        left.catch_up()
        changes = left.changes(0, left.head)
        left.close()
        return changes


async def test_nothing_is_given_out_before_it_is_on_the_device(start: Start, project: Path, tmp_path: Path) -> None:
    disk = LogDevice()
    server = start(disk)
    async with watching(server) as watcher:
        for number in range(12):
            disk.goes_on.clear()
            if number % 2:
                await server.update("s1", {"note": f"{number}"})
            else:
                change_by_another_program(project, f"{number}")
            assert await watcher.watch.next(0.06) == ()
            # A watch that begins now is not told of it either: it would go on behind a number that may be given again.
            beginning = asyncio.ensure_future(server.files.watch(server.path, None, ""))
            await asyncio.sleep(0.01)
            assert not beginning.done()
            disk.goes_on.set()
            await watcher.until(number + 1)
            assert disk.left_by_a_power_cut(project, tmp_path / f"{number}") == watcher.changes
            (await beginning).close()


async def test_a_naive_watch_gives_out_what_a_power_cut_takes_back(
    start: Start, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Log, "make_durable", lambda log: log.head)
    disk = LogDevice()
    server = start(disk)
    async with watching(server) as watcher:
        await server.update("s1", {"note": "one"})
        assert notes(await watcher.until(1)) == ["one"]
    assert disk.left_by_a_power_cut(project, tmp_path / "left") == []


async def test_a_device_that_fails_ends_the_watch(start: Start) -> None:
    disk = LogDevice()
    server = start(disk)
    async with watching(server) as watcher:
        disk.fails = True
        await server.update("s1", {"note": "one"})
        with pytest.raises(Fault) as caught:
            await watcher.after(5)
        assert caught.value.reason == "IO_ERROR"
        assert watcher.changes == []
        disk.fails = False
        with pytest.raises(Fault):
            await watcher.watch.next(1)
    async with watching(server, 0) as watcher:
        assert notes(await watcher.until(1)) == ["one"]


class ReadOnlyDisk(Disk):
    """A project on a file system that is mounted for reading."""

    def make_folder(self, folder: int, name: str) -> None:
        raise OSError(30, "read-only file system")

    def open_to_append(self, folder: int, name: str) -> int:
        raise OSError(30, "read-only file system")

    def may_write(self, folder: int, name: str) -> bool:
        return False


@pytest.mark.parametrize("known", [False, True])
async def test_a_project_that_cannot_be_written_cannot_be_watched(start: Start, known: bool) -> None:
    if known:
        async with watching(start()):
            pass
    with pytest.raises(Fault) as caught:
        await start(ReadOnlyDisk()).files.watch(start().path, None, "")
    assert caught.value.reason == "READ_ONLY"


async def test_a_folder_that_is_no_project_cannot_be_watched(start: Start, project: Path) -> None:
    (project.parent / "empty").mkdir()
    with pytest.raises(Fault) as caught:
        await start().files.watch(str(project.parent / "empty"), None, "")
    assert caught.value.reason == "PROJECT_NOT_FOUND"
    assert not (project.parent / "empty" / ".shotline").exists()
