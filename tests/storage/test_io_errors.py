"""U3: an I/O error before the swap leaves the old file as it was, no litter, and a clear error.

Every operation of an update fails once, in every way, until the update gets through. After the swap
it is undone, or DURABILITY_UNKNOWN says what is there now.
"""

import ctypes
import errno
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import product
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from services.kernel.faults import Code, Fault
from services.sequence_file.domain.draft import Shot
from services.sequence_file.domain.ports import Request
from services.sequence_file.storage.disk import Disk, ExchangeUnsupported
from tests.storage import projects, workers
from tests.storage.conftest import Start
from tests.storage.failing import KINDS, SHORT_WRITE, FailingDisk, FailingWithoutExchange
from tests.storage.projects import SEQUENCE, Server

_WRITING = {"make_folder", "create", "open_to_append", "write", "sync", "sync_folder", "exchange", "rename"}
_LOG = ".shotline/changes.jsonl"
_CODES = {
    "DISK_FULL": Code.RESOURCE_EXHAUSTED,
    "READ_ONLY": Code.FAILED_PRECONDITION,
    "UNSAFE_FILE": Code.FAILED_PRECONDITION,
    "IO_ERROR": Code.UNAVAILABLE,
    "DURABILITY_UNKNOWN": Code.INTERNAL,
}
_REASONS = {
    errno.EIO: "IO_ERROR",
    errno.ENOSPC: "DISK_FULL",
    errno.EDQUOT: "DISK_FULL",
    errno.EROFS: "READ_ONLY",
    errno.EACCES: "READ_ONLY",
    SHORT_WRITE: "DISK_FULL",
}
_MARK = "edit"


def descriptors(folder: Path) -> list[str]:
    """What this process has open below a folder; other tests' sockets and threads are none of it."""
    links = Path("/proc/self/fd")
    return sorted(opened for link in links.iterdir() if (opened := target(link)).startswith(str(folder)))


def without(file: str, opened: list[str]) -> list[str]:
    return [each for each in opened if each != file]


def target(link: Path) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""  # closed meanwhile: that of the listing itself


class Trial:
    """One update with one failure in it, and what must be true of it."""

    def __init__(self, project: Path, disk: FailingDisk, once: Request | None) -> None:
        self.project, self.disk, self.once = project, disk, once
        self.server = Server(project, disk)
        self.expected = 0

    async def run(self, number: int, kind: int, *, for_good: bool) -> bool:
        """Whether the `number`-th operation was reached."""
        before, open_before = (self.project / SEQUENCE).read_bytes(), descriptors(self.project)
        names = set(os.listdir(self.project / "sequences"))
        self.disk.fail(number, kind, for_good=for_good)
        outcome: Shot | BaseException
        try:
            outcome = await self.server.count("s1", _MARK, self.once)
        except Exception as error:  # noqa: BLE001  # what it is, is the question
            outcome = error
        await self.server.idle()
        reached, failed = bool(self.disk.failed), list(self.disk.failed)
        self.disk.heal()
        where = f"operation {number} {failed[:3]} with {kind}{' for good' if for_good else ''}: {outcome!r}"

        # The log stays open between two calls; one whose sync failed is let go.
        log = str(self.project / _LOG)
        assert without(log, descriptors(self.project)) == without(log, open_before), f"descriptors leak: {where}"
        assert descriptors(self.project).count(log) <= 1, f"the log is open more than once: {where}"
        assert not self.disk.retried, f"a failed sync was tried again: {where}"
        after = (self.project / SEQUENCE).read_bytes()
        if isinstance(outcome, Shot):
            assert json.loads(after)["shots"][0]["made"] == {_MARK: 1}, where
        else:
            assert isinstance(outcome, Fault), f"no fault: {where}"
            assert outcome.code is _CODES[outcome.reason], where
            if outcome.reason == "DURABILITY_UNKNOWN":
                assert for_good, f"could be taken back: {where}"
                assert json.loads(after)["shots"][0]["made"] == {_MARK: 1}, f"it lies: {where}"
            else:
                assert after == before, where
                if failed[0] in _WRITING:
                    assert outcome.reason == _REASONS[kind], where
                    assert "nothing was changed" in outcome.message, where
        left = set(os.listdir(self.project / "sequences")) - names
        # What is behind an answer can be put away by the next one.
        may_stay = (
            isinstance(outcome, Shot) or "remove" in failed or outcome.reason == "DURABILITY_UNKNOWN"  # type: ignore[attr-defined]
        )
        assert not left or may_stay, f"{left}: {where}"
        await self._next_update_works(outcome)
        return reached

    async def _next_update_works(self, outcome: Shot | BaseException) -> None:
        made = projects.times_made(self.project, "s1", _MARK)
        answer = await self.server.count("s1", _MARK, self.once)
        again = projects.times_made(self.project, "s1", _MARK)
        if self.once:
            assert again == 1
            assert not isinstance(outcome, Shot) or answer == outcome
        else:
            assert again == made + 1
        await self.server.count("s2", "another")
        await self.server.idle()
        assert not projects.litter(self.project)


def cases() -> Iterator[object]:
    """Every way to fail for every kind of update; the small form has every way once, and two ways for the others."""
    for number, (make_disk, asks, first, kind) in enumerate(
        product(
            (FailingDisk, FailingWithoutExchange),
            ("request id", "no request id"),
            ("later write", "first write"),
            KINDS,
        )
    ):
        name = "short write" if kind < 0 else errno.errorcode[kind]
        small = number < len(KINDS) or kind in (errno.EIO, SHORT_WRITE)
        yield pytest.param(
            make_disk,
            asks == "request id",
            first == "first write",
            kind,
            id=f"{name}, {first}, {asks}, {make_disk.__name__}",
            marks=() if small else pytest.mark.long,
        )


@pytest.mark.parametrize(("make_disk", "with_request", "first", "kind"), list(cases()))
async def test_whatever_operation_fails_the_file_is_old_or_new_and_the_answer_says_which(
    fast_folder: Path,
    make_disk: Callable[[], FailingDisk],
    with_request: bool,
    first: bool,
    kind: int,
) -> None:
    injected = 0
    for for_good in (False, True) if kind == errno.EIO else (False,):
        number, reached = 1, True
        while reached:
            project = projects.make(fast_folder / f"{for_good}-{number}" / "project")
            trial = Trial(project, make_disk(), projects.request() if with_request else None)
            try:
                if not first:
                    await trial.server.count("s2", "warm", projects.request())
                    await trial.server.idle()
                reached = await trial.run(number, kind, for_good=for_good)
            finally:
                trial.server.close()
            injected += reached
            number += 1
    print("injected failures:", injected)
    assert injected > 20


class InPlace:
    """Naive: opens the file and writes over it."""

    def __init__(self, disk: Disk, project: Path) -> None:
        self.disk, self.file = disk, project / SEQUENCE

    def write(self, raw: bytes) -> None:
        descriptor = os.open(self.file, os.O_WRONLY | os.O_TRUNC)
        try:
            self.disk.write(descriptor, raw)
        finally:
            os.close(descriptor)


def test_an_in_place_writer_destroys_the_file_when_the_disk_is_full(project: Path) -> None:
    before = (project / SEQUENCE).read_bytes()
    disk = FailingDisk()
    disk.fail(1, SHORT_WRITE)
    with pytest.raises(OSError, match="No space left"):
        InPlace(disk, project).write(before.replace(b"s1", b"s9"))
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads((project / SEQUENCE).read_bytes())


async def test_the_swap_is_taken_back_when_the_folder_cannot_be_synced(project: Path, start: Start) -> None:
    class FolderFails(Disk):
        def sync_folder(self, folder: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = (project / SEQUENCE).read_bytes()
    with pytest.raises(Fault) as caught:
        await start(FolderFails()).update("s1", {"note": "x"})
    assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "IO_ERROR")
    assert (project / SEQUENCE).read_bytes() == before
    assert not projects.litter(project)


async def test_a_swap_that_is_taken_back_stays_so_when_the_displaced_file_cannot_be_looked_at(
    project: Path, start: Start
) -> None:
    class FolderAndReadsFail(Disk):
        failed = False

        def sync_folder(self, folder: int) -> None:
            if os.path.basename(os.readlink(f"/proc/self/fd/{folder}")) == "sequences":
                self.failed = True
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        def open_to_read(self, folder: int, name: str) -> int:
            if self.failed:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().open_to_read(folder, name)

    before = (project / SEQUENCE).read_bytes()
    with pytest.raises(Fault) as caught:
        await start(FolderAndReadsFail()).update("s1", {"note": "x"})
    assert caught.value.reason == "IO_ERROR"
    assert "nothing was changed" in caught.value.message
    assert (project / SEQUENCE).read_bytes() == before


class NothingGoesBack(Disk):
    """Lets a new file take its place, but does not confirm it, and does not take it back either."""

    def __init__(self) -> None:
        super().__init__()
        self.broken, self.placed = True, False

    def _place(self) -> None:
        if self.broken and self.placed:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.placed = True

    def exchange(self, folder: int, one: str, other: str) -> None:
        self._place()
        super().exchange(folder, one, other)

    def sync_folder(self, folder: int) -> None:
        if self.broken and os.path.basename(os.readlink(f"/proc/self/fd/{folder}")) == "sequences":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync_folder(folder)


class NothingGoesBackWithoutExchange(NothingGoesBack):
    """The same on a file system that cannot exchange two names."""

    def exchange(self, folder: int, one: str, other: str) -> None:
        raise ExchangeUnsupported

    def rename(self, folder: int, old: str, new: str) -> None:
        self._place()
        super().rename(folder, old, new)


@pytest.mark.parametrize("make_disk", [NothingGoesBack, NothingGoesBackWithoutExchange])
async def test_a_swap_that_cannot_be_taken_back_is_told_as_it_is(
    project: Path, start: Start, make_disk: Callable[[], Disk]
) -> None:
    with pytest.raises(Fault) as caught:
        await start(make_disk()).update("s1", {"note": "x"})
    assert (caught.value.code, caught.value.reason) == (Code.INTERNAL, "DURABILITY_UNKNOWN")
    assert "holds the change now" in caught.value.message
    assert projects.shot_on_disk(project, "s1")["note"] == "x"


@pytest.mark.parametrize("make_disk", [NothingGoesBack, NothingGoesBackWithoutExchange])
async def test_after_durability_unknown_a_repeated_request_is_answered_only_when_it_is_durable(
    project: Path, start: Start, make_disk: Callable[[], NothingGoesBack]
) -> None:
    disk, once = make_disk(), projects.request()
    server = start(disk)
    for reason in ("DURABILITY_UNKNOWN", "IO_ERROR"):
        with pytest.raises(Fault) as caught:
            await server.count("s1", _MARK, once)
        assert caught.value.reason == reason
    disk.broken = False
    await server.count("s1", _MARK, once)
    assert projects.times_made(project, "s1", _MARK) == 1
    assert not projects.litter(project)


def test_a_real_short_write_is_told_as_a_full_disk(project: Path, processes: ForkServerContext) -> None:
    """The process may write files of at most 600 bytes: the kernel cuts the write short, and refuses the rest."""
    (project / SEQUENCE).write_bytes(before := projects.sequence(shots=20))
    told = workers.run(processes, workers.update_with_a_limit, str(project), 600)
    assert told == "DISK_FULL"
    assert (project / SEQUENCE).read_bytes() == before
    assert not projects.litter(project)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB."""
    if os.geteuid() != 0:
        pytest.skip("a real full disk needs root, to mount a small tmpfs")
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ctypes.CDLL(None, use_errno=True)
    if mount.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"size=128k") != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {os.strerror(ctypes.get_errno())}")
    yield folder
    assert mount.umount2(os.fsencode(folder), 2) == 0


@pytest.fixture
async def on_small_disk(small_disk: Path) -> AsyncIterator[tuple[Path, Server]]:
    """A project on it, and a server."""
    project = projects.make(small_disk / "project")
    server = Server(project)
    yield project, server
    server.close()


async def test_a_disk_that_is_really_full_loses_nothing_and_works_again_with_space(
    on_small_disk: tuple[Path, Server],
) -> None:
    project, server = on_small_disk
    await server.count("s1", "before", projects.request())
    kept = (project / SEQUENCE).read_bytes()
    filler = project / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 4096)
    once = projects.request()
    for request in (None, once):
        with pytest.raises(Fault) as caught:
            await server.update("s1", {"note": "y" * 9000}, once=request)
        assert (caught.value.code, caught.value.reason) == (Code.RESOURCE_EXHAUSTED, "DISK_FULL")
        assert (project / SEQUENCE).read_bytes() == kept
        assert not projects.litter(project)
    assert json.loads((await server.shot("s1")).document)["made"] == {"before": 1}
    filler.unlink()
    await server.update("s1", {"note": "y" * 9000}, once=once)
    assert len(projects.shot_on_disk(project, "s1")["note"]) == 9000


async def test_a_read_only_file_system_is_named_as_such_and_reads_go_on(
    on_small_disk: tuple[Path, Server], small_disk: Path
) -> None:
    project, server = on_small_disk
    read_only, remount = 1, 32  # linux/mount.h
    mount = ctypes.CDLL(None, use_errno=True).mount
    assert mount(b"tmpfs", os.fsencode(small_disk), b"tmpfs", read_only | remount, b"size=128k") == 0
    with pytest.raises(Fault) as caught:
        await server.update("s1", {"note": "x"})
    assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "READ_ONLY")
    assert (await server.shot("s1")).id == "s1"
    assert mount(b"tmpfs", os.fsencode(small_disk), b"tmpfs", remount, b"size=128k") == 0
    await server.update("s1", {"note": "x"})
    assert projects.shot_on_disk(project, "s1")["note"] == "x"
