"""A log on devices that fail and lose power, and with several writers at once."""

import errno
import fcntl
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from services.kernel.faults import Code, Fault
from services.sequence_file.storage import log_file
from services.sequence_file.storage.log import Log
from tests.storage import power
from tests.storage.failing import FailingDisk
from tests.storage.logged import (
    CountingDisk,
    OpenLog,
    edits,
    etag,
    file_of,
    happens,
    request,
    told,
    write_until_killed,
)
from tests.storage.power import RecordingDisk
from tests.storage.projects import UnsyncedDisk

# What is on the device


def test_a_batch_with_a_request_is_on_the_device_before_it_happens_and_its_name_is_synced_once(
    log_folder: Path, open_log: OpenLog
) -> None:
    disk = CountingDisk()
    log = open_log(disk)
    log.done(log.begin(edits(1, once=request())))
    assert disk.taken() == ["file", "folder", "folder"]
    log.done(log.begin(edits(2, once=request())))
    assert disk.taken() == ["file"]
    log.done(log.begin(edits(3), durably=False))
    log.record(edits(4))
    log.baseline("b", "b.json", "", etag(1))
    assert disk.taken() == []
    other = CountingDisk()
    open_log(other).begin(edits(5))
    assert other.taken() == ["file", "folder", "folder"]  # the first one may not have come to it
    shutil.rmtree(log_folder / ".shotline")
    (log_folder / ".shotline").mkdir()
    log.begin(edits(6))
    assert disk.taken() == ["file", "folder", "folder"]


def test_marks_of_requests_are_secured_before_the_evidence_goes(open_log: OpenLog) -> None:
    disk, other_disk = CountingDisk(), CountingDisk()
    log, other = open_log(disk), open_log(other_disk)
    log.done(log.begin(edits(1, once=request())))
    disk.taken()
    log.secure_marks("b")
    assert disk.taken() == []
    other.catch_up()
    other.secure_marks("a")
    assert other_disk.taken() == ["file", "folder", "folder"]
    for _ in range(2):
        log.secure_marks("a")
        other.secure_marks("a")
    assert disk.taken() == ["file"]
    assert other_disk.taken() == []
    log.done(log.begin(edits(2), durably=False))  # nobody will send it again
    log.secure_marks("a")
    assert disk.taken() == []


def test_what_is_durable_is_not_waited_for_again(open_log: OpenLog) -> None:
    disk = CountingDisk()
    log = open_log(disk)
    log.record(edits(1))
    assert log.make_durable() == 1
    assert disk.taken() == ["file", "folder", "folder"]
    assert log.make_durable() == 1
    assert disk.taken() == []
    open_log().record(edits(2))
    log.catch_up()
    assert log.make_durable() == 2
    assert disk.taken() == ["file"]
    restarted = CountingDisk()
    assert open_log(restarted).make_durable() == 2
    assert restarted.taken()


def test_a_failed_sync_is_not_asked_again_of_the_same_descriptor(open_log: OpenLog) -> None:
    disk = FailingDisk()
    log = open_log(disk)
    log.record(edits(1))
    for number in range(1, 40):
        disk.fail(number, errno.EIO)
        try:
            log.begin(edits(2, once=request()))
        except OSError:
            disk.heal()
            log.begin(edits(3))
            log.make_durable()
        else:
            break
    assert number > 4
    assert not disk.retried


def test_an_error_at_any_operation_leaves_a_log_that_goes_on(log_folder: Path, open_log: OpenLog) -> None:
    for kind in (errno.EIO, -errno.ENOSPC):
        for number in range(1, 60):
            disk = FailingDisk()
            log, once = open_log(disk), request()
            disk.fail(number, kind)
            steps_done = 0
            try:
                name = log.begin(edits(1, once=once))
                steps_done = 1
                log.done(name)
                steps_done = 2
            except OSError:
                pass
            finished = not disk.failed
            disk.heal()
            for left, _ in log.open_batches("a"):
                log.void(left)
            log.record(edits(2))
            fresh = open_log()
            assert told(fresh) == told(log)
            assert bool(fresh.answer(once)) == (steps_done == 2)
            assert [revision for revision, _ in told(fresh)] == list(range(1, fresh.head + 1))
            shutil.rmtree(log_folder / ".shotline")
            (log_folder / ".shotline").mkdir()
            if finished:
                break
        assert finished


def test_no_power_cut_takes_back_what_was_said_to_be_durable(log_folder: Path) -> None:
    disk = RecordingDisk(log_folder)
    log = Log(disk, str(log_folder), ())
    log.baseline("a", "a.json", "001", etag(9))
    for number in range(1, 3):
        once = request()
        name = log.begin(edits(number, once=once), durably=number == 2)
        log.done(name)
        if number == 1:
            disk.tell(f"head {log.make_durable()}")
    disk.tell(f"head {log.make_durable()}")
    found = power.states(disk, range(len(disk.events) + 1))
    after = log_folder / "after"
    for tree, said in found.items():
        power.materialise(tree, after)
        (after / ".shotline").mkdir(exist_ok=True)
        fresh = Log(UnsyncedDisk(), str(after), ())
        fresh.catch_up()
        assert fresh.head >= max((int(each.split()[1]) for each in said), default=0)
        assert fresh.record(edits(9)) == fresh.head
        shutil.rmtree(after)
    assert len(found) > 15


# Several at once


def test_who_holds_the_log_too_long_is_reported_and_reading_goes_on(
    log_folder: Path, open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "_PATIENCE", 0.05)
    log = open_log()
    log.record(edits(1))
    with file_of(log_folder).open("rb") as stuck:
        fcntl.flock(stuck, fcntl.LOCK_EX)
        failed: list[Fault] = []

        def write() -> None:
            with pytest.raises(Fault) as caught:
                log.record(edits(2))
            failed.append(caught.value)

        writers = [threading.Thread(target=write) for _ in range(2)]
        for each in writers:
            each.start()
        assert told(log) == [(1, "edit 1")]
        for each in writers:
            each.join()
    assert [(fault.code, fault.reason) for fault in failed] == [(Code.UNAVAILABLE, "LOCK_TIMEOUT")] * 2
    assert log.record(edits(3)) == 2


def test_while_one_waits_for_a_new_log_nobody_takes_its_lines_for_those_of_the_old_one(
    log_folder: Path, open_log: OpenLog
) -> None:
    log, old, new = open_log(clock=lambda: 1000.0), request(), request()
    happens(log, edits(1, once=old))
    log_id = log.log_id
    log.close()
    shutil.rmtree(log_folder / ".shotline")
    (log_folder / ".shotline").mkdir()
    happens(open_log(clock=lambda: 1000.0), edits(2, once=new))  # as long as the old one's
    with file_of(log_folder).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = threading.Thread(target=log.record, args=[edits(3)])
        waiting.start()
        time.sleep(0.05)
        assert log.answer(old) is None
        with pytest.raises(Fault):
            log.changes(0, 5, log_id)
    waiting.join()
    assert log.answer(new)
    assert told(log) == [(1, "edit 2"), (2, "edit 3")]


class NeverLocks(UnsyncedDisk):
    """Naive: no lock."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = lambda: None

    def try_lock(self, descriptor: int) -> bool:
        return True

    def write(self, descriptor: int, data: bytes) -> None:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        super().write(descriptor, data)


def test_without_the_lock_two_changes_get_one_revision(open_log: OpenLog) -> None:
    disk = NeverLocks()
    log, other = open_log(disk), open_log(NeverLocks())
    log.record(edits(1))
    given: list[int] = []
    disk.meanwhile = lambda: given.append(other.record(edits(2)))
    given.append(log.record(edits(3)))
    assert given == [2, 2]


def test_many_threads_of_two_servers_get_each_revision_once(open_log: OpenLog) -> None:
    logs = [open_log(), open_log()]
    given: list[int] = []

    def work(number: int) -> None:
        log = logs[number % 2]
        for _ in range(20):
            given.append(happens(log, edits(number)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(given) == list(range(1, 161))
    assert told(logs[0]) == told(logs[1]) == told(open_log())


def test_processes_that_are_killed_leave_a_log_without_gaps(
    log_folder: Path, open_log: OpenLog, processes: ForkServerContext
) -> None:
    reader = open_log()
    given: dict[int, str] = {}
    for generation in range(4):
        pipes = [processes.Pipe(duplex=False) for _ in range(3)]
        writers = [
            processes.Process(target=write_until_killed, args=(theirs, str(log_folder), f"{generation}.{number}"))
            for number, (_, theirs) in enumerate(pipes)
        ]
        for each, (_, theirs) in zip(writers, pipes, strict=True):
            each.start()
            theirs.close()
        for ours, _ in pipes:
            assert ours.poll(30)
        time.sleep(0.02)
        for each in writers:
            each.kill()
            each.join()
        for ours, _ in pipes:
            for what, revision in _received(ours):
                assert given.setdefault(revision, what) == what
            ours.close()
    found = told(reader)
    assert [revision for revision, _ in found] == list(range(1, len(found) + 1))
    assert max(Counter(what for _, what in found).values()) == 1
    assert given.items() <= dict(found).items()
    assert len(given) > 50


def _received(pipe: Connection) -> Iterator[tuple[str, int]]:
    while True:
        try:
            yield pipe.recv()
        except EOFError:
            return
