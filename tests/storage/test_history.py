"""The versions of a file on disk: how they come, what they hold, and which of them stay."""

import errno
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.sequence_file.domain.thinning import MOST, RECENT
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.history import History
from services.sequence_file.storage.places import Place
from tests.storage.failing import KINDS, FailingDisk
from tests.storage.projects import UnsyncedDisk

NAME = "sequence_001.json"
DISPLACED = f".{NAME}.shotline-tmp"
START = 1_800_000_000.0


@dataclass(frozen=True)
class Known:
    """A version as the log knows it."""

    revision: int
    etag: str | None
    at: float


class Bench:
    """A project folder whose one file is written by hand, and its history."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.now = START
        self.sequences = folder / "sequences"
        self.sequences.mkdir()
        self.blobs = folder / ".shotline" / "history" / f"sequences.{NAME}"
        self.place = Place(str(folder), ("sequences",), NAME, f"sequences/{NAME}")
        self.history = History(disk, clock=lambda: self.now, pause=0.01)
        self.log: list[Known] = []
        self.asked = 0

    def versions(self) -> list[Known]:
        self.asked += 1
        return self.log

    def displace(self, revision: int, raw: bytes) -> str:
        """What a swap leaves behind, taken into the history."""
        (self.sequences / DISPLACED).write_bytes(raw)
        folder = os.open(self.sequences, os.O_RDONLY)
        try:
            self.history.take(folder, DISPLACED, self.place, revision, etag(raw))
        finally:
            os.close(folder)
        return etag(raw)

    def write(self, revision: int, raw: bytes) -> str:
        """The version becomes what the file holds."""
        self.log.append(Known(revision, etag(raw), self.now))
        self.history.copy_soon(self.place, revision, etag(raw), raw, lambda _: self.versions())
        return etag(raw)

    def litter(self) -> set[str]:
        return set(os.listdir(self.sequences)) | {name for name in os.listdir(self.blobs) if name.startswith(".")}


def etag(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:32]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, UnsyncedDisk())
    yield made
    made.history.close()


def test_a_displaced_file_becomes_a_version_and_leaves_its_folder(bench: Bench) -> None:
    known = bench.displace(3, b"{}")
    assert bench.history.read(bench.place, 3, known) == b"{}"
    assert bench.history.kept(bench.place) == {3: (known, 2)}
    assert os.listdir(bench.sequences) == []


def test_the_displaced_file_itself_is_the_version(bench: Bench) -> None:
    inode = bench.sequences / DISPLACED
    inode.write_bytes(b"{}")
    number = inode.stat().st_ino
    folder = os.open(bench.sequences, os.O_RDONLY)
    bench.history.take(folder, DISPLACED, bench.place, 1, etag(b"{}"))
    os.close(folder)
    assert (bench.blobs / f"1-{etag(b'{}')}.json").stat().st_ino == number


def test_what_a_file_holds_is_copied_a_moment_after_the_last_write(bench: Bench) -> None:
    for revision in range(1, 6):
        last = bench.write(revision, b'{"n": %d}' % revision)
    bench.history.flush()
    assert bench.history.kept(bench.place) == {5: (last, 8)}
    assert bench.history.read(bench.place, 5, last) == b'{"n": 5}'
    assert bench.litter() == set()


def test_a_copy_comes_by_itself(bench: Bench) -> None:
    bench.write(1, b"{}")
    until = time.monotonic() + 10
    while not bench.history.kept(bench.place):
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_where_a_copy_is_there_already_the_displaced_file_is_removed(bench: Bench, size: int) -> None:
    raw = b" " * size
    bench.write(1, raw)
    bench.history.flush()
    number = (bench.blobs / f"1-{etag(raw)}.json").stat().st_ino
    bench.displace(1, raw)
    bench.history.flush()
    assert (bench.blobs / f"1-{etag(raw)}.json").stat().st_ino == number
    assert bench.litter() == set()


def test_a_copy_is_only_for_the_eyes_of_the_server(bench: Bench) -> None:
    bench.history.copy(bench.place, 1, etag(b"{}"), b"{}")
    assert (bench.blobs / f"1-{etag(b'{}')}.json").stat().st_mode & 0o777 == 0o600


def test_a_version_that_is_not_kept_or_damaged_is_none(bench: Bench) -> None:
    assert bench.history.read(bench.place, 1, etag(b"{}")) is None
    assert bench.history.kept(bench.place) == {}
    bench.displace(1, b"{}")
    assert bench.history.read(bench.place, 1, etag(b"other")) is None
    (bench.blobs / f"1-{etag(b'{}')}.json").write_bytes(b"{")
    assert bench.history.read(bench.place, 1, etag(b"{}")) is None


def test_only_files_of_our_naming_count_as_versions(bench: Bench) -> None:
    bench.displace(1, b"{}")
    (bench.blobs / "notes.txt").write_bytes(b"mine")
    (bench.blobs / f"2-{etag(b'{}')}.json").symlink_to("/etc/passwd")
    (bench.blobs / f"3-{etag(b'{}')}.json").mkdir()
    assert set(bench.history.kept(bench.place)) == {1}


def test_versions_are_thinned_by_the_times_of_the_log(bench: Bench) -> None:
    times = [START - 5 * RECENT + minutes * 60 for minutes in (0, 10, 70, 80, 130, 250, 280)]
    for revision, at in enumerate(times, 1):
        bench.log.append(Known(revision, bench.displace(revision, b"%d" % revision), at))
    bench.log.append(Known(8, None, START))  # the file was gone for a moment
    bench.write(9, b"now")
    bench.history.flush()
    assert set(bench.history.kept(bench.place)) == {2, 4, 5, 6, 7, 9}


def test_a_burst_without_a_pause_is_thinned_while_it_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, UnsyncedDisk())
    bench.history._pause = 3600
    most = 0
    try:
        for revision in range(1, 301):
            bench.write(revision, b"%d" % revision)
            bench.displace(revision, b"%d" % revision)
            bench.now += 1
            if revision % 50 == 0:  # let the thread come round, as real writes do by waiting for the device
                with bench.history._wake:
                    assert bench.history._wake.wait_for(lambda: not bench.history._busy, 10)
            most = max(most, len(os.listdir(bench.blobs)))
        assert most <= 3 * MOST
        assert bench.asked == 0  # this process made all of them, and knows when
    finally:
        bench.history.close()
    assert len(bench.history.kept(bench.place)) == MOST
    assert max(bench.history.kept(bench.place)) == 300


def test_what_no_log_names_is_removed_when_it_is_old(bench: Bench) -> None:
    bench.displace(1, b"of a log that was deleted")
    (bench.blobs / ".0123.copy").write_bytes(b"half a co")
    bench.now = (bench.blobs / ".0123.copy").stat().st_ctime
    bench.write(2, b"{}")
    bench.history.flush()
    assert set(bench.history.kept(bench.place)) == {1, 2}
    bench.now += RECENT + 60
    bench.write(3, b"{ }")
    bench.history.flush()
    assert set(bench.history.kept(bench.place)) == {2, 3}
    assert bench.litter() == set()


def test_a_revision_whose_number_was_given_again_means_the_later_file(bench: Bench) -> None:
    bench.displace(1, b"of a log that was deleted")
    folder = os.stat(bench.blobs).st_mtime_ns
    while os.stat(bench.blobs).st_mtime_ns == folder:  # until file times tick
        later = bench.displace(1, b"{}")
        os.utime(bench.blobs)
    assert bench.history.kept(bench.place)[1] == (later, 2)


def test_files_that_lie_next_to_each_other_have_histories_of_their_own(tmp_path: Path) -> None:
    bench = Bench(tmp_path, UnsyncedDisk())
    other = Place(str(tmp_path), ("sequences",), "sequence_002.json", "sequences/sequence_002.json")
    project = Place(str(tmp_path), (), "project.json", "project.json")
    for number, place in enumerate((bench.place, other, project), 1):
        bench.history.copy_soon(place, number, etag(b"%d" % number), b"%d" % number, lambda _: [])
    bench.history.close()
    assert [set(bench.history.kept(each)) for each in (bench.place, other, project)] == [{1}, {2}, {3}]


@pytest.mark.parametrize("kind", [each for each in KINDS if each > 0], ids=lambda kind: errno.errorcode[kind])
def test_a_disk_that_fails_costs_a_version_and_nothing_else(tmp_path: Path, kind: int) -> None:
    for number in range(1, 100):
        folder = tmp_path / str(number)
        folder.mkdir()
        disk = FailingDisk()
        bench = Bench(folder, disk)
        disk.fail(number, kind)
        bench.log.append(Known(1, bench.displace(1, b"1"), START))
        bench.write(2, b"22")
        bench.history.flush()
        reached = bool(disk.failed)
        disk.heal()
        found = bench.history.kept(bench.place)
        whole = {revision for revision, (known, _) in found.items() if bench.history.read(bench.place, revision, known)}
        assert found.keys() == whole <= {1, 2}
        assert len(whole) >= (1 if reached else 2)
        # A displaced file that could not be taken away is the next lock holder's, half a copy the thinning's.
        assert all(name == DISPLACED or name.endswith(".copy") for name in bench.litter())
        bench.write(3, b"333")
        bench.history.close()
        assert 3 in bench.history.kept(bench.place)
        assert not any(name.endswith(".copy") for name in bench.litter())
        assert not disk.retried
        if not reached:
            return
    pytest.fail("no run came through")


def test_one_file_can_be_waited_for_without_the_others(tmp_path: Path) -> None:
    bench = Bench(tmp_path, UnsyncedDisk())
    bench.history._pause = 3600
    other = Place(str(tmp_path), (), "project.json", "project.json")
    bench.history.copy_soon(other, 1, etag(b"{}"), b"{}", lambda _: [])
    bench.write(1, b"{}")
    bench.history.flush(bench.place)
    assert set(bench.history.kept(bench.place)) == {1}
    assert bench.history.kept(other) == {}
    bench.history.close()
    assert set(bench.history.kept(other)) == {1}


def test_closing_finishes_what_waits(tmp_path: Path) -> None:
    bench = Bench(tmp_path, UnsyncedDisk())
    bench.history._pause = 3600
    known = bench.write(1, b"{}")
    bench.history.close()
    assert bench.history.read(bench.place, 1, known) == b"{}"


def test_threads_and_processes_that_copy_the_same_version_do_not_disturb_each_other(bench: Bench) -> None:
    raw = b"x" * 100_000
    histories = [History(UnsyncedDisk()), History(UnsyncedDisk())] * 2
    failed: list[BaseException] = []

    def keep(history: History) -> None:
        try:
            for revision in range(30):
                history.copy(bench.place, revision, etag(raw), raw)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=keep, args=[each]) for each in histories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert set(bench.history.kept(bench.place)) == set(range(30))
    assert bench.litter() == set()
