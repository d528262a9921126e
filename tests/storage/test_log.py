"""The log of a project: revisions, requests, versions and unfinished batches, shared by all servers of a folder."""

import gc
import json
import os
import shutil
import tracemalloc
from pathlib import Path

import pytest

from services.kernel.faults import Code, Current, Fault
from services.sequence_file.domain import steps
from services.sequence_file.domain.changes import FileChange, What
from services.sequence_file.domain.ports import Outcome, Refusal, Request, SequenceState, Work
from services.sequence_file.storage import log as log_module
from services.sequence_file.storage.log import Batch, Known, Made, Touched
from services.sequence_file.storage.log_text import decode, encode
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

# Revisions


def test_every_change_is_the_next_revision_whoever_writes_it(open_log: OpenLog) -> None:
    one, other = open_log(), open_log()
    given = [happens((one, other)[number % 2], edits(number)) for number in range(1, 6)]
    given.append(other.record(edits(6)))
    assert given == [1, 2, 3, 4, 5, 6]
    assert told(one) == told(other) == told(open_log()) == [(number, f"edit {number}") for number in range(1, 7)]
    assert (one.head, one.oldest, one.log_id) == (6, 1, other.log_id)


def test_each_change_of_a_batch_is_a_revision_but_not_one_that_changed_nothing(open_log: OpenLog) -> None:
    log = open_log()
    log.record(edits(1))
    first = happens(log, batch(edit(2), nothing(request()), edit(3), edit(4)))
    assert first == 2
    assert told(open_log()) == [(1, "edit 1"), (2, "edit 2"), (3, "edit 3"), (4, "edit 4")]
    assert happens(log, batch(nothing(request()))) == 0
    assert happens(log, edits(5)) == 5


def test_revisions_follow_the_order_in_which_batches_were_done(open_log: OpenLog) -> None:
    log = open_log()
    early, late = log.begin(edits(1)), log.begin(edits(2))
    assert (log.done(late), log.done(early)) == (1, 2)
    assert told(open_log()) == [(1, "edit 2"), (2, "edit 1")]


def test_a_change_is_told_as_it_was_written(open_log: OpenLog) -> None:
    once, what = request(), edit(7, of=("a", "b"), document=b'{\n  "id": "s1"\n}')
    gone = FileChange(file="c.json", sequence_id="c", what=What.DELETED, before=etag(1), after=None, complete=False)
    outside = Made(author=None, request=None, outcome=None, summary="c.json deleted", files=(gone,))
    log = open_log(clock=lambda: 1234.5)
    log.record(Batch(touched=(Touched(key="c", file="c.json", before=etag(1), after=None),), made=(outside,)))
    happens(log, batch(edit(7, of=("a", "b"), once=once, document=b'{\n  "id": "s1"\n}')))
    deleted, changed = all_of(open_log())
    assert (changed.files, changed.author, changed.request_id) == (what.files, ANN, once.id)
    assert (deleted.files, deleted.author, deleted.request_id) == ((gone,), None, "")
    assert changed.at.timestamp() == 1234.5


def test_changes_are_read_from_behind_a_revision_and_as_many_as_wanted(open_log: OpenLog) -> None:
    log = open_log()
    for number in range(1, 8):
        log.record(edits(number))
    assert [change.revision for change in log.changes(2, 3)] == [3, 4, 5]
    assert [change.revision for change in log.changes(5, 100)] == [6, 7]
    assert log.changes(7, 100) == []


@pytest.mark.parametrize(("after", "log_id"), [(8, ""), (3, "another")])
def test_changes_behind_a_revision_that_never_was_are_refused(open_log: OpenLog, after: int, log_id: str) -> None:
    log = open_log()
    for number in range(1, 8):
        log.record(edits(number))
    with pytest.raises(Fault) as caught:
        log.changes(after, 10, log_id)
    assert (caught.value.code, caught.value.reason) == (Code.OUT_OF_RANGE, "REVISION_TOO_OLD")
    assert log.changes(3, 1, log.log_id)


# Requests


def test_a_request_is_answered_again_with_its_revision_by_every_server(open_log: OpenLog) -> None:
    log, requests = open_log(), [request() for _ in range(3)]
    log.record(edits(1))
    happens(log, batch(edit(2, once=requests[0]), nothing(requests[1]), edit(3, once=requests[2])))
    for each in (log, open_log()):
        answers = [each.answer(once) for once in requests]
        assert [answer.revision for answer in answers if answer] == [2, 0, 3]
        assert [shot.etag for answer in answers if answer for shot in answer.shots] == [etag(2), etag(3)]


def test_an_answer_comes_back_whole(open_log: OpenLog) -> None:
    once = request()
    fault = Fault(
        Code.ABORTED,
        "ETAG_MISMATCH",
        "changed",
        metadata={"a": "b"},
        fields={"c": "d"},
        retry_after=0.5,
        current=Current(etag="e", document_json=None),
    )
    state = SequenceState(id="001", name="Ünter", order=1.5, file="a.json", shot_count=3, etag=etag(3))
    made = edit(1, once=once)
    outcome = Outcome(shots=made.outcome.shots if made.outcome else (), sequences=(state,))
    refused = Outcome(refusals=(Refusal(index=2, fault=fault),), sequences=outcome.sequences, shots=outcome.shots)
    what = Made(author=ANN, request=once, outcome=refused, summary="", files=made.files)
    happens(open_log(), batch(what))
    answer = open_log().answer(once)
    assert answer
    assert (answer.shots, answer.sequences, answer.revision) == (outcome.shots, outcome.sequences, 1)
    (refusal,) = answer.refusals
    assert refusal.index == 2
    assert vars(refusal.fault) == vars(fault)


def test_another_change_under_a_known_request_id_is_refused(open_log: OpenLog) -> None:
    once = request()
    happens(open_log(), edits(1, once=once))
    with pytest.raises(Fault) as caught:
        open_log().answer(Request(id=once.id, fingerprint="another change"))
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_a_request_that_is_under_way_or_did_not_happen_has_no_answer(open_log: OpenLog) -> None:
    log, once = open_log(), request()
    name = log.begin(edits(1, once=once))
    assert open_log().answer(once) is None
    log.void(name)
    assert open_log().answer(once) is None
    assert log.head == 0
    happens(log, edits(1, once=once))
    assert open_log().answer(once)


def test_an_answer_is_forgotten_after_a_day(open_log: OpenLog) -> None:
    now, once = 1000.0, request()
    log = open_log(clock=lambda: now)
    happens(log, edits(1, once=once))
    now += log_module.RETENTION - 1
    assert log.answer(once)
    now += 2
    assert log.answer(once) is None


def test_names_and_documents_that_are_not_unicode_come_back(open_log: OpenLog) -> None:
    name = os.fsdecode(b"sequences/caf\xe9.json")
    once, raw = request(), b'{"id": "\xff"}'
    made = edit(1, once=once, document=raw)
    file = FileChange(file=name, sequence_id="001", what=What.CREATED, before=None, after=etag(1))
    made = Made(author=ANN, request=once, outcome=made.outcome, summary=name, files=(file,))
    happens(open_log(), Batch(touched=(Touched(key="k", file=name, before=None, after=etag(1)),), made=(made,)))
    log = open_log()
    assert log.known("k") == Known(revision=1, etag=etag(1), file=name, sequence_id="001")
    answer = log.answer(once)
    assert answer
    assert answer.shots[0].document == raw
    assert all_of(log)[0].files == (file,)


# What is unfinished


def test_an_unfinished_batch_is_found_and_decided_by_another_server(open_log: OpenLog) -> None:
    once = request()
    happened, did_not, other_file = edits(1, once=once), edits(2), batch(edit(3, of=("b",)))
    first = open_log()
    names = [first.begin(each) for each in (happened, did_not, other_file)]
    second = open_log()
    assert second.open_batches("a") == [(names[0], happened), (names[1], did_not)]
    assert second.done(names[0]) == 1
    second.void(names[1])
    assert (second.open_batches("a"), second.open_batches("b")) == ([], [(names[2], other_file)])
    assert open_log().answer(once)
    first.catch_up()
    assert (first.open_batches("a"), told(first)) == ([], [(1, "edit 1")])
    assert second.done(names[0]) == 0
    assert open_log().head == 1


def test_the_intent_of_a_change_of_several_files_comes_back_whole(open_log: OpenLog) -> None:
    place = steps.Place(after="s2")
    works = (
        Work(
            file="a.json", sequence_id="a", steps=(steps.Remove(shot_id="s1"), steps.Reorder(shot_id="s2", place=place))
        ),
        Work(file="b.json", sequence_id="b", content=b'\xef\xbb\xbf{"id": "b"}'),
        Work(file="c.json", sequence_id="c", delete=True),
    )
    what = Batch(touched=edits(1).touched, made=edits(1).made, works=works)
    name = open_log().begin(what)
    assert open_log().open_batches("a") == [(name, what)]


def test_a_change_whose_log_was_deleted_meanwhile_is_in_the_next_one(log_folder: Path, open_log: OpenLog) -> None:
    log, once = open_log(), request()
    log.record(edits(1))
    name = log.begin(edits(2, once=once))
    shutil.rmtree(log_folder / ".shotline")
    (log_folder / ".shotline").mkdir()
    assert log.done(name) == 1
    other = open_log()
    assert told(other) == told(log) == [(1, "edit 2")]
    assert other.answer(once) == log.answer(once) is not None


# What is known of files


def test_the_last_state_of_every_file_is_known(open_log: OpenLog) -> None:
    log = open_log()
    log.baseline("a", "a.json", "001", etag(9))
    assert log.known("a") == Known(revision=0, etag=etag(9), file="a.json", sequence_id="001")
    happens(log, batch(edit(1, of=("a", "b")), edit(2, of=("a",)), number=5))
    expected = {
        "a": Known(revision=2, etag=etag(5), file="a.json", sequence_id="a"),
        "b": Known(revision=2, etag=etag(5), file="b.json", sequence_id="b"),
    }
    assert log.keys() == expected == open_log().keys()
    assert log.known("c") is None


def test_a_baseline_is_written_once_and_never_over_a_change(log_folder: Path, open_log: OpenLog) -> None:
    one, other = open_log(), open_log()
    one.baseline("a", "a.json", "001", etag(1))
    other.baseline("a", "a.json", "001", etag(2))
    assert open_log().known("a") == Known(revision=0, etag=etag(1), file="a.json", sequence_id="001")
    size = file_of(log_folder).stat().st_size
    one.record(edits(3))
    other.baseline("a", "a.json", "001", etag(2))
    assert other.known("a") == open_log().known("a")
    assert other.keys()["a"].etag == etag(3)
    assert file_of(log_folder).stat().st_size > size


def test_the_versions_of_a_file_are_told_with_who_made_them(open_log: OpenLog) -> None:
    log, once = open_log(clock=lambda: 60.0), request()
    log.baseline("a", "a.json", "001", etag(9))
    happens(log, batch(edit(1), edit(2, once=once)))
    happens(log, batch(edit(3, of=("b",))))
    gone = FileChange(file="a.json", sequence_id="001", what=What.DELETED, before=etag(2), after=None)
    outside = Made(author=None, request=None, outcome=None, summary="a.json deleted", files=(gone,))
    log.record(Batch(touched=(Touched(key="a", file="a.json", before=etag(2), after=None),), made=(outside,)))
    for each in (log, open_log()):
        found = each.versions("a")
        assert [(version.revision, version.etag) for version in found] == [(0, etag(9)), (2, etag(2)), (4, None)]
        assert [version.summary for version in found] == ["", "2 changes: edit 1; edit 2", "a.json deleted"]
        assert [version.author for version in found] == [None, ANN, None]
        assert [version.request_id for version in found] == ["", once.id, ""]
        assert {version.at for version in found} == {60.0}
        assert each.known("a") == Known(revision=4, etag=None, file="a.json", sequence_id="001")


def test_a_survey_is_made_once(log_folder: Path, open_log: OpenLog) -> None:
    log, other = open_log(), open_log()
    assert not log.surveyed
    log.set_surveyed()
    size = file_of(log_folder).stat().st_size
    other.set_surveyed()
    assert log.surveyed
    assert other.surveyed
    assert open_log().surveyed
    assert file_of(log_folder).stat().st_size == size


# Telling, and what it costs


def test_who_subscribes_is_told_of_new_revisions_by_whoever_writes_or_reads_them(
    log_folder: Path, open_log: OpenLog
) -> None:
    log, other = open_log(), open_log()
    heads: list[int] = []
    end = log.subscribe(lambda: heads.append(log.head))
    name = log.begin(edits(1))
    log.baseline("b", "b.json", "", etag(1))
    heads.clear()  # that the log begins is told, too
    log.catch_up()
    assert heads == []
    log.done(name)
    other.record(edits(2))
    assert heads == [1]
    log.catch_up()
    log.catch_up()
    assert heads == [1, 2]
    shutil.rmtree(log_folder / ".shotline")
    log.catch_up()
    assert heads == [1, 2, 0]
    end()
    end()
    (log_folder / ".shotline").mkdir()
    log.record(edits(3))
    assert heads == [1, 2, 0]


def test_no_descriptor_is_left_behind(log_folder: Path, open_log: OpenLog, day: Day) -> None:
    def descriptors() -> int:
        return sum(os.path.realpath(each).startswith(str(log_folder)) for each in Path("/proc/self/fd").iterdir())

    log, other = open_log(clock=day.clock), open_log(clock=day.clock)
    for number in range(60):
        day.now += log_module.RETENTION / 10
        happens(log, edits(number))
        other.catch_up()
        if number % 20 == 19:
            shutil.rmtree(log_folder / ".shotline")
            (log_folder / ".shotline").mkdir()
    log.record(edits(1))
    other.catch_up()
    assert descriptors() == 2
    log.close()
    assert descriptors() == 1
    assert log.record(edits(2)) == 2
    del log, other
    gc.collect()
    assert descriptors() == 0


def test_documents_are_not_kept_in_memory(open_log: OpenLog) -> None:
    writer = open_log()
    for number in range(300):
        happens(writer, edits(number, once=request(), document=b"x" * 20_000))
    reader = open_log()
    tracemalloc.start()
    try:
        one = open_log()
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert one.head == reader.head == 300
    assert taken / 300 < 1500


def test_a_document_stands_once_in_its_line(log_folder: Path, open_log: OpenLog) -> None:
    happens(open_log(), edits(1, document=b'{"id": "needle"}'))
    assert file_of(log_folder).read_bytes().count(b"needle") == 1


# One of each kind of line. Servers of two versions may share a folder while they are replaced: add, change nothing.
FORMAT = """\
{"copy":"c0","log":"0123456789abcdef0123456789abcdef","base":4,"surveyed":false}
{"surveyed":990.0}
{"version":"a","written":{"revision":3,"at":900.0,"author":null,"request_id":"","summary":"changed","etag":"e3"}}
{"baseline":"c","at":950.0,"state":{"revision":0,"etag":"e8","file":"c.json","sequence_id":"c"}}
{"batch":"one","at":1000.0,"touched":[{"key":"a","file":"a.json","before":"e3","after":"e5"}],"made":[{"author":\
{"principal":"ann","client":"editor"},"request":{"id":"id5","fingerprint":"f"},"outcome":{"shots":[{"id":"s1",\
"document":0,"etag":"s5","file":"a.json","sequence_id":"a"}],"sequences":[{"id":"a","name":"A","order":1.5,\
"file":"a.json","shot_count":1,"etag":""}],"refusals":[{"index":1,"fault":{"code":"ABORTED","reason":"ETAG_MISMATCH",\
"message":"m","metadata":{},"fields":{},"retry_after":null,"current":{"etag":"e","document_json":"{}"}}}],\
"revision":0},"summary":"edit 5","files":[{"file":"a.json","sequence_id":"a","what":"updated","before":"e3",\
"after":"e5","shots":[{"id":"s1","what":"updated","before":"s4","after":"s5","document":0}],"complete":true}]}],\
"works":[],"texts":["{}"]}
{"done":"one","revision":5}
{"revision":6,"batch":"two","at":1001.0,"touched":[{"key":"b","file":"b.json","before":"e1","after":null}],"made":[\
{"author":null,"request":null,"outcome":null,"summary":"b.json deleted","files":[{"file":"b.json","sequence_id":"b",\
"what":"deleted","before":"e1","after":null,"shots":[],"complete":false}]}],"works":[],"texts":[]}
{"batch":"three","at":1002.0,"touched":[],"made":[],"works":[],"texts":[]}
{"void":"three"}
{"batch":"four","at":1003.0,"touched":[{"key":"d","file":"d.json","before":null,"after":"e9"}],"made":[],"works":[\
{"file":"d.json","sequence_id":"d","steps":[],"content":0,"delete":false}],"texts":["{}"]}
{"known":"e","state":{"revision":2,"etag":null,"file":"e.json","sequence_id":"e"}}
"""


def test_the_format_stays_readable(log_folder: Path, open_log: OpenLog) -> None:
    file_of(log_folder).write_text(FORMAT.replace("}\n", ', "added later": 1}\n'))
    log = open_log(clock=lambda: 2000.0)
    assert (log.log_id, log.oldest, log.head, log.surveyed) == ("0123456789abcdef0123456789abcdef", 5, 6, True)
    assert told(log) == [(5, "edit 5"), (6, "b.json deleted")]
    answer = log.answer(Request(id="id5", fingerprint="f"))
    assert answer
    assert (answer.revision, answer.shots[0].document, answer.refusals[0].index) == (5, b"{}", 1)
    assert [version.revision for version in log.versions("a")] == [3, 5]
    assert log.known("b") == Known(revision=6, etag=None, file="b.json", sequence_id="b")
    assert log.known("c") == Known(revision=0, etag="e8", file="c.json", sequence_id="c")
    assert log.known("e") == Known(revision=2, etag=None, file="e.json", sequence_id="e")
    ((name, unfinished),) = log.open_batches("d")
    assert name == "four"
    assert unfinished.works == (Work(file="d.json", sequence_id="d", content=b"{}"),)
    assert [json.loads(line) for line in FORMAT.splitlines()] == [
        json.loads(encode(line)) for line in map(decode, FORMAT.encode().splitlines()) if line
    ]
