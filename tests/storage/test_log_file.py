"""What becomes of a log that is cut off, damaged, emptied, deleted, or has grown old."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from services.kernel.faults import Fault
from services.sequence_file.domain.changes import FileChange, What
from services.sequence_file.domain.ports import Outcome
from services.sequence_file.storage import log as log_module
from services.sequence_file.storage.log import Batch, Known, Made, Touched
from tests.storage.logged import (
    ANN,
    Day,
    OpenLog,
    all_of,
    batch,
    edit,
    edits,
    etag,
    file_of,
    happens,
    nothing,
    request,
    told,
)
from tests.storage.projects import UnsyncedDisk

# Torn, damaged, emptied, deleted


def test_a_log_cut_at_any_byte_keeps_what_is_whole_and_goes_on(log_folder: Path, open_log: OpenLog) -> None:
    requests = [request() for _ in range(3)]
    log = open_log()
    log.record(batch(edit(1, once=requests[0])))
    happens(log, edits(2, once=requests[1]))
    happens(log, edits(3, once=requests[2]))
    raw = file_of(log_folder).read_bytes()
    ends = {
        position + 1: json.loads(line).get("revision", 0)
        for line, position in zip(raw.splitlines(), _newlines(raw), strict=True)
    }
    for cut in range(len(raw)):
        file_of(log_folder).write_bytes(raw[:cut])
        kept = max((revision for end, revision in ends.items() if end <= cut), default=0)
        fresh = open_log()
        assert fresh.head == kept
        assert [bool(fresh.answer(once)) for once in requests] == [number < kept for number in range(3)]
        log.catch_up()  # had read more than there is now
        assert log.head == kept
        assert (fresh, log)[cut % 2].record(edits(9)) == kept + 1
        assert told(fresh) == told(log) == told(open_log())
        assert told(log)[-1] == (kept + 1, "edit 9")


def _newlines(raw: bytes) -> list[int]:
    return [position for position, byte in enumerate(raw) if byte == 10]


GARBAGE = [
    b'{"batch": "0123',
    b'{"done": ',
    b"17",
    b"\0\0\0\0",
    b'"text"',
    b"\xff\xfe",
    b"{",
    b"[" * 5000,
    b'["\\ud800",' + b"[" * 100_000,
    b'{"done": 5, "revision": "x"}',
    b'{"void": []}',
    b'{"log": null}',
    b'{"batch": "x", "at": 1, "touched": 3, "made": [], "works": [], "texts": []}',
    b'{"batch": "x", "at": 1, "touched": [], "made": [{}], "works": [], "texts": []}',
    b'{"known": "a", "state": 5}',
    b'{"version": "a"}',
    b'{"surveyed": "yes"}',
    b"{}",
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("end", [b"", b"\n"], ids=["torn", "whole"])
@pytest.mark.parametrize("where", ["first", "later"])
def test_garbage_is_survived(log_folder: Path, open_log: OpenLog, garbage: bytes, end: bytes, where: str) -> None:
    one, once = open_log(), request()
    if where == "later":
        happens(one, edits(1, once=once))
    with file_of(log_folder).open("ab") as file:
        file.write(garbage + end)
    other = open_log()
    happens(other, edits(2))
    happens(one, edits(3))
    assert [what for _, what in told(one)] == ["edit 1", "edit 2", "edit 3"][where == "first" :]
    assert told(one) == told(other) == told(open_log())
    assert bool(open_log().answer(once)) == (where == "later")
    assert not one.surveyed
    assert one.log_id == other.log_id == open_log().log_id != ""


def test_a_line_that_lacks_only_its_end_was_not_written(log_folder: Path, open_log: OpenLog) -> None:
    """Its writer was told that it failed, or was cut off. It must not come to life when the next one ends it."""
    once = request()
    name = open_log().begin(edits(1, once=once))
    file = file_of(log_folder)
    file.write_bytes(file.read_bytes() + json.dumps({"done": name, "revision": 1}).encode())
    one, other = open_log(), open_log()
    assert one.head == 0
    assert one.record(edits(2)) == 1
    assert other.open_batches("a")
    assert other.done(name) == 2
    assert told(one) == told(open_log()) == [(1, "edit 2"), (2, "edit 1")]


def test_a_damaged_line_in_the_middle_hides_what_was_before_and_no_number_is_used_twice(
    log_folder: Path, open_log: OpenLog
) -> None:
    log = open_log()
    for number in range(1, 6):
        log.record(edits(number))
    lines = file_of(log_folder).read_bytes().splitlines(keepends=True)
    lines[3] = b"\0" * (len(lines[3]) - 1) + b"\n"
    file_of(log_folder).write_bytes(b"".join(lines))
    fresh = open_log()
    assert told(fresh) == [(4, "edit 4"), (5, "edit 5")]
    assert fresh.record(edits(6)) == 6


def test_a_deleted_log_begins_anew_for_every_server(log_folder: Path, open_log: OpenLog) -> None:
    """The new file often has the inode number of the old one, and may be longer: only its content tells."""
    one, other = open_log(), open_log()
    seen: set[str] = set()
    for length in range(1, 12):
        requests = [request() for _ in range(length)]
        for number, once in enumerate(requests, 1):
            assert happens(one, edits(number, once=once)) == number
        other.catch_up()
        assert [bool(other.answer(once)) for once in requests] == [True] * length
        assert other.log_id == one.log_id
        assert one.log_id not in seen
        seen.add(one.log_id)
        shutil.rmtree(log_folder / ".shotline")
        if length % 2:  # sees it deleted; the other times it meets the next one
            one.catch_up()
            assert (one.log_id, one.head, one.keys(), one.surveyed) == ("", 0, {}, False)
            assert one.answer(requests[0]) is None
        (log_folder / ".shotline").mkdir()


def test_a_folder_that_was_moved_away_is_not_written_to(log_folder: Path, open_log: OpenLog) -> None:
    log = open_log()
    log.record(edits(1))
    (log_folder / ".shotline").rename(log_folder / "backup")
    (log_folder / ".shotline").mkdir()
    before = (log_folder / "backup" / "changes.jsonl").read_bytes()
    assert log.record(edits(2)) == 1
    assert (log_folder / "backup" / "changes.jsonl").read_bytes() == before
    assert told(open_log()) == [(1, "edit 2")]


@pytest.mark.parametrize("closed", [True, False])
def test_an_emptied_log_begins_anew_also_when_it_has_grown_again(
    log_folder: Path, open_log: OpenLog, closed: bool
) -> None:
    one, other = open_log(), open_log()
    for length in (3, 3, 5, 2):
        file_of(log_folder).write_bytes(b"")
        for number in range(length):
            one.record(edits(number))
        if closed:
            other.close()
        assert told(other) == told(one)
        assert other.head == length


def test_without_its_folder_the_log_reads_as_empty_and_refuses_to_be_written(
    log_folder: Path, open_log: OpenLog
) -> None:
    (log_folder / ".shotline").rmdir()
    log = open_log()
    assert (log.head, log.log_id, log.make_durable(), log.changes(0, 5)) == (0, "", 0, [])
    with pytest.raises(FileNotFoundError):
        log.record(edits(1))
    assert not (log_folder / ".shotline").exists()


def test_reading_makes_no_file(log_folder: Path, open_log: OpenLog) -> None:
    open_log().make_durable()
    assert not file_of(log_folder).exists()


# Old lines


def test_a_rewrite_drops_what_is_old_and_nothing_else(log_folder: Path, open_log: OpenLog, day: Day) -> None:
    kept = {0, 3, 12}
    writer, watcher = (open_log(clock=day.clock, keep=lambda key: kept if key == "a" else ()) for _ in range(2))
    old, live = [request() for _ in range(20)], [request() for _ in range(3)]
    writer.set_surveyed()
    writer.baseline("a", "a.json", "001", etag(99))
    writer.baseline("c", "c.json", "003", etag(98))
    for number, once in enumerate(old, 1):
        happens(writer, edits(number, once=once))
    unfinished, voided = batch(edit(50, of=("b",))), edits(51)
    name = writer.begin(unfinished)
    idle_and_cut_off = request()
    writer.begin(batch(nothing(idle_and_cut_off)))
    writer.void(writer.begin(voided))
    day.now += log_module.RETENTION - 60
    begun = [writer.begin(batch(edit(number, once=once), nothing(request()))) for number, once in enumerate(live, 21)]
    assert [writer.done(each) for each in reversed(begun)] == [21, 22, 23]
    idle = request()
    happens(writer, batch(nothing(idle)))
    watcher.catch_up()
    before, log_id = file_of(log_folder).stat(), writer.log_id
    day.now += 120
    assert writer.record(edits(24)) == 24
    after = file_of(log_folder).stat()
    assert after.st_ino != before.st_ino
    assert after.st_size < before.st_size / 2
    for each in (writer, watcher, open_log(clock=day.clock)):
        each.catch_up()
        assert (each.log_id, each.oldest, each.head, each.surveyed) == (log_id, 21, 24, True)
        assert [change.revision for change in all_of(each)] == [21, 22, 23, 24]
        answers = [each.answer(once) for once in live]
        assert [answer.revision for answer in answers if answer] == [23, 22, 21]
        assert each.answer(idle) == Outcome()
        assert each.answer(old[-1]) is None
        assert [version.revision for version in each.versions("a")] == [0, 3, 12, 21, 22, 23, 24]
        assert [version.revision for version in each.versions("c")] == [0]
        assert each.known("a") == Known(revision=24, etag=etag(24), file="a.json", sequence_id="a")
        assert each.known("c") == Known(revision=0, etag=etag(98), file="c.json", sequence_id="003")
        assert each.open_batches("b") == [(name, unfinished)]
        assert each.open_batches("a") == []
        with pytest.raises(Fault) as caught:
            each.changes(19, 10)
        assert caught.value.metadata == {"oldest_revision": "21", "revision": "24", "log_id": log_id}
    assert idle_and_cut_off.id not in file_of(log_folder).read_text()
    assert watcher.done(name) == 25
    assert not list((log_folder / ".shotline").glob(".*"))


def test_a_file_that_was_deleted_long_ago_can_be_told_of_after_a_rewrite(open_log: OpenLog, day: Day) -> None:
    log = open_log(clock=day.clock, keep=lambda key: ())
    log.record(edits(1))
    gone = FileChange(file="a.json", sequence_id="a", what=What.DELETED, before=etag(1), after=None)
    deleted = Made(author=ANN, request=None, outcome=None, summary="deleted", files=(gone,))
    log.record(Batch(touched=(Touched(key="a", file="a.json", before=etag(1), after=None),), made=(deleted,)))
    for number in range(20):
        log.record(batch(edit(number, of=("b",))))
    day.now += 2 * log_module.RETENTION
    log.record(batch(edit(30, of=("b",))))
    assert log.oldest == 23
    assert [(version.revision, version.author) for version in open_log().versions("a")] == [(2, ANN)]
    assert open_log().known("a") == Known(revision=2, etag=None, file="a.json", sequence_id="a")


def test_a_log_that_is_young_is_not_rewritten(log_folder: Path, open_log: OpenLog, day: Day) -> None:
    log = open_log(clock=day.clock)
    log.record(edits(0))
    before = file_of(log_folder).stat().st_ino
    for number in range(20):
        log.record(edits(number))
    assert file_of(log_folder).stat().st_ino == before
    assert log.oldest == 1


@pytest.mark.parametrize("fails", ["create", "write", "sync", "rename", "keep"])
def test_a_rewrite_that_fails_costs_nobody_a_change(log_folder: Path, open_log: OpenLog, day: Day, fails: str) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    disk = UnsyncedDisk()
    log = open_log(disk, clock=day.clock, keep=refuse if fails == "keep" else None)
    for number in range(1, 21):
        log.record(edits(number))
    day.now += 2 * log_module.RETENTION
    if fails in ("write", "sync"):
        real = getattr(disk, fails)

        def only_there(descriptor: int, *data: bytes) -> None:
            if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".new"):
                refuse()
            real(descriptor, *data)

        setattr(disk, fails, only_there)
    elif fails != "keep":
        setattr(disk, fails, refuse)
    for number in range(21, 24):
        assert log.record(edits(number)) == number
    assert told(open_log())[0] == (1, "edit 1")
    assert told(open_log()) == told(log)
    assert not list((log_folder / ".shotline").glob(".*"))


def test_what_a_killed_rewrite_left_is_no_obstacle(log_folder: Path, open_log: OpenLog, day: Day) -> None:
    log = open_log(clock=day.clock)
    for number in range(1, 21):
        log.record(edits(number))
    (log_folder / ".shotline" / ".changes.jsonl.new").write_bytes(b'{"half')
    day.now += 2 * log_module.RETENTION
    assert log.record(edits(21)) == 21
    assert told(open_log()) == [(21, "edit 21")]
    assert not list((log_folder / ".shotline").glob(".*"))
