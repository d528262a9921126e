"""What every implementation of `Sequences` must do: remember, bring back what was, and tell what happens."""

import asyncio
import json
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from services.kernel.faults import Fault
from services.kernel.strict_json import parse_object
from services.sequence_file.domain.changes import Change, Version, What
from services.sequence_file.domain.steps import Edit, Place
from tests.storage.cases import KINDS, Case, cases, stringified
from tests.storage.projects import caller, request, shot_of

ONE, TWO, LOOSE = "sequences/sequence_001.json", "sequences/sequence_002.json", "project.json"
SHOTS = [{"id": f"a{number}", "sequencePlanId": "001", "number": number} for number in (1, 2, 3)]
FILES = {
    LOOSE: stringified({"shots": [{"id": "a1"}, {"id": "loose"}], "modified_at": "2020-01-01T00:00:00.000Z"}),
    ONE: stringified({"id": "001", "name": "Arrival", "shots": SHOTS, "modified_at": "2020-01-01T00:00:00.000Z"}),
    TWO: stringified({"id": "002", "shots": [{"id": "b1"}], "modified_at": "2020-01-01T00:00:00.000Z"}),
}


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    yield from cases(request.param, tmp_path, FILES)


async def refused(attempt: Awaitable[object]) -> str:
    """The reason."""
    with pytest.raises(Fault) as caught:
        await attempt
    return caught.value.reason


async def versions(case: Case, sequence: str = "001", shot: str = "") -> list[Version]:
    return list((await case.library.versions(case.path, sequence, shot))[1])


async def restore(case: Case, revision: int, shot: str = "", sequence: str = "001", etag: str | None = None) -> int:
    """The revision of the change."""
    return (await case.library.restore(case.path, sequence, revision, shot, etag, caller())).revision


# Versions


async def test_every_change_leaves_a_version_that_says_who_and_what(case: Case) -> None:
    once = request()
    await case.update('{"generation": {"prompt": "dawn"}}', shot="a1", by=caller(once, name="ann"))
    await case.update('{"note": "dusk"}', shot="a2", by=caller(name="ben"))
    newest, middle, oldest = await versions(case)
    assert (oldest.revision, oldest.author, oldest.current) == (0, None, False)
    assert middle.author is not None
    assert newest.author is not None
    assert (middle.author.principal, middle.request_id, middle.current) == ("ann", once.id, False)
    assert (newest.author.principal, newest.request_id, newest.current) == ("ben", "", True)
    assert (middle.summary, newest.summary) == ("a1: generation", "a2: note")
    assert 0 < middle.revision < newest.revision
    assert oldest.at <= middle.at <= newest.at
    assert (newest.etag, newest.size) == (await case.etag("001"), len(case.read(ONE)))
    assert oldest.size == len(FILES[ONE])


async def test_a_file_that_nobody_changed_has_the_version_that_it_is(case: Case) -> None:
    file, (only,) = await case.library.versions(case.path, "1")
    assert (file, only.revision, only.current, only.etag) == (ONE, 0, True, await case.etag("001"))


async def test_a_change_that_changes_nothing_leaves_no_version(case: Case) -> None:
    await case.update('{"note": 1}', shot="a1")
    before = await versions(case)
    await case.update('{"note": 1}', shot="a1")
    assert await versions(case) == before


async def test_versions_can_be_asked_for_by_shot(case: Case) -> None:
    await case.update('{"note": 1}', shot="a1")
    await case.update('{"note": 1}', shot="a2")
    await case.library.delete_shot(case.path, "001", "a1", None, caller())
    summaries = [each.summary for each in await versions(case, shot="a1")]
    assert len(summaries) == 3
    assert summaries[:2] == ["a1 removed", "a1: note"]
    assert [each.summary for each in await versions(case, shot="a2")][-2] == "a2: note"
    assert await versions(case, shot="nobody") == []


async def test_a_version_has_the_content_that_the_file_had(case: Case) -> None:
    await case.update('{"note": 1}', shot="a1")
    between = case.read(ONE)
    await case.update('{"note": 2}', shot="a1")
    newest, middle, oldest = await versions(case)
    for version, raw in ((newest, case.read(ONE)), (middle, between), (oldest, FILES[ONE])):
        found, document = await case.library.version(case.path, "001", version.revision)
        assert (found, document.raw) == (version, raw)


@pytest.mark.parametrize("sequence", ["001", "002", ""])
async def test_a_version_that_is_not_there_is_not_found(case: Case, sequence: str) -> None:
    await case.update('{"note": 1}', shot="a1")
    assert await refused(case.library.version(case.path, sequence, 404)) == "VERSION_NOT_FOUND"
    assert await refused(case.library.version(case.path, "404", 0)) == "SEQUENCE_NOT_FOUND"


async def test_two_versions_are_compared_value_by_value(case: Case) -> None:
    await case.update('{"note": {"x": 1}}', shot="a1")
    await case.update('{"note": {"x": 2}}', shot="a1")
    await case.library.update_sequence(case.path, "001", parse_object('{"name": "Landing"}'), None, caller())
    named, second, first, _ = await versions(case)
    one_step = await case.library.differences(case.path, "001", first.revision, second.revision, "a1")
    assert [(each.shot_id, each.pointer, each.before, each.after) for each in one_step.listed] == [
        ("a1", "/note/x", "1", "2")
    ]
    assert not one_step.truncated
    whole = await case.library.differences(case.path, "001", first.revision, None)
    assert [(each.shot_id, each.pointer) for each in whole.listed if "modified_at" not in each.pointer] == [
        ("", "/name"),
        ("a1", "/note/x"),
    ]
    same = await case.library.differences(case.path, "001", named.revision, None)
    assert list(same.listed) == []
    nobody = case.library.differences(case.path, "001", named.revision, None, "nobody")
    assert await refused(nobody) == "SHOT_NOT_FOUND"


async def test_an_edit_by_another_program_is_a_version_by_nobody(case: Case) -> None:
    await case.update('{"note": 1}', shot="a1")
    between = case.read(ONE)
    case.write(ONE, FILES[ONE].replace(b"Arrival", b"Night"))
    answer = await case.update('{"note": 2}', shot="a2")
    assert answer.sequence_id == "001"
    assert case.document(ONE)["name"] == "Night"
    newest, outside, ours, _ = await versions(case)
    assert outside.author is None
    assert (await case.library.version(case.path, "001", outside.revision))[1].raw == FILES[ONE].replace(
        b"Arrival", b"Night"
    )
    assert (await case.library.version(case.path, "001", ours.revision))[1].raw == between
    assert newest.revision == outside.revision + 1


# Bringing back


async def test_a_file_is_brought_back_and_that_can_be_undone(case: Case) -> None:
    await case.update('{"note": 1}', shot="a1")
    changed = case.read(ONE)
    seen = await case.etag("001")
    _, oldest = await versions(case)
    revision = await restore(case, oldest.revision, etag=seen)
    assert case.document(ONE)["shots"] == json.loads(FILES[ONE])["shots"]
    newest = (await versions(case))[0]
    assert (newest.revision, newest.current) == (revision, True)
    assert newest.author is not None
    await restore(case, revision - 1)
    assert case.document(ONE)["shots"] == json.loads(changed)["shots"]


async def test_a_stale_etag_brings_nothing_back(case: Case) -> None:
    seen = await case.etag("001")
    await case.update('{"note": 1}', shot="a1")
    before = case.read(ONE)
    assert await refused(restore(case, 0, etag=seen)) == "ETAG_MISMATCH"
    assert await refused(restore(case, 0, shot="a1", etag=seen)) == "ETAG_MISMATCH"
    assert case.read(ONE) == before


async def test_what_is_there_already_need_not_be_brought_back(case: Case) -> None:
    await case.update('{"note": 1}', shot="a1")
    before = case.read(ONE)
    newest, _ = await versions(case)
    assert await restore(case, newest.revision, etag="0" * 32) == 0
    assert await restore(case, newest.revision, shot="a1", etag="0" * 32) == 0
    assert case.read(ONE) == before


async def test_one_shot_is_brought_back_byte_for_byte(case: Case) -> None:
    await case.update('{"note": 1, "added": {"since": null}}', shot="a2", by=caller())
    await case.update('{"note": 1}', shot="a3")
    outcome = await case.library.restore(case.path, "001", 0, "a2", await case.etag("001", "a2"), caller())
    assert json.loads(shot_of(outcome).document) == SHOTS[1]
    shots = case.document(ONE)["shots"]
    assert shots[1] == SHOTS[1]
    assert shots[2] == {**SHOTS[2], "note": 1}
    start = FILES[ONE].index(b'{\n      "id": "a2"')
    assert FILES[ONE][start : FILES[ONE].index(b"}", start)] in case.read(ONE)


async def test_a_deleted_shot_comes_back_to_its_place(case: Case) -> None:
    await case.library.delete_shot(case.path, "001", "a2", None, caller())
    once = request()
    outcome = await case.library.restore(case.path, "001", 0, "a2", None, caller(once))
    assert case.document(ONE)["shots"] == SHOTS
    assert shot_of(outcome) == await case.library.shot(case.path, "001", "a2")
    assert await case.library.restore(case.path, "001", 0, "a2", None, caller(once)) == outcome
    await case.library.delete_shot(case.path, "001", "a1", None, caller())
    await case.library.delete_shot(case.path, "001", "a2", None, caller())
    await restore(case, 0, shot="a2")
    assert case.shot_ids(ONE) == ["a2", "a3"]


async def test_a_shot_that_moved_elsewhere_is_not_made_twice(case: Case) -> None:
    await case.library.move_shot(case.path, "001", "a2", "002", Place(), None, caller())
    assert await refused(restore(case, 0, shot="a2")) == "SHOT_EXISTS"
    assert await refused(restore(case, 0)) == "SHOT_EXISTS"
    await restore(case, 0, sequence="002")
    await restore(case, 0)
    assert case.shot_ids(ONE) == ["a1", "a2", "a3"]
    assert case.shot_ids(TWO) == ["b1"]


async def test_ids_that_two_files_had_all_along_can_be_brought_back(case: Case) -> None:
    case.write(TWO, stringified({"id": "002", "shots": [{"id": "a1"}]}))
    await case.update('{"note": 1}', shot="a1")
    await restore(case, 0)
    assert case.document(ONE)["shots"] == SHOTS


async def test_an_id_that_another_file_took_is_not_brought_back(case: Case) -> None:
    await case.update('{"note": 1}', shot="a1")
    case.write(ONE, case.read(ONE).replace(b'"id": "001"', b'"id": "003"'))
    case.write("sequences/sequence_one.json", stringified({"id": "001", "shots": []}))
    assert await refused(restore(case, 0, sequence="003")) == "SEQUENCE_EXISTS"
    case.remove("sequences/sequence_one.json")
    await restore(case, 0, sequence="003")
    assert (await case.library.sequence(case.path, "001")).document.file == ONE


async def test_a_shot_that_the_version_does_not_have_is_not_found(case: Case) -> None:
    await case.library.create_shot(case.path, "001", parse_object('{"id": "x"}'), Place(), caller())
    assert await refused(restore(case, 0, shot="x")) == "SHOT_NOT_FOUND"
    assert await refused(restore(case, 404)) == "VERSION_NOT_FOUND"


async def test_a_deleted_sequence_is_brought_back(case: Case) -> None:
    await case.update('{"note": 1}', shot="a1")
    last = case.read(ONE)
    deletion = (await case.library.delete_sequence(case.path, "001", None, caller())).revision
    assert next(each.summary for each in await versions(case)) == "a1: note"
    assert await refused(restore(case, deletion, shot="a1")) == "SEQUENCE_NOT_FOUND"
    once = request()
    outcome = await case.library.restore(case.path, "1", deletion, "", None, caller(once))
    assert case.read(ONE) == last
    assert (outcome.sequences[0].id, outcome.sequences[0].etag) == ("001", await case.etag("001"))
    assert list(await case.library.trash(case.path)) == []
    assert await case.library.restore(case.path, "1", deletion, "", None, caller(once)) == outcome
    assert next(each.revision for each in await versions(case)) == outcome.revision == deletion + 1


async def test_an_older_version_of_a_deleted_sequence_is_brought_back(case: Case) -> None:
    await case.update('{"note": 1}', shot="a1")
    await case.library.delete_sequence(case.path, "001", None, caller())
    await restore(case, 0)
    assert case.read(ONE) == FILES[ONE]


async def test_a_deleted_sequence_does_not_come_back_over_another(case: Case) -> None:
    deletion = (await case.library.delete_sequence(case.path, "001", None, caller())).revision
    case.write("sequences/sequence_one.json", stringified({"id": "1", "shots": []}))
    (trashed,) = await case.library.trash(case.path)
    assert trashed.revision == deletion
    assert await refused(restore(case, deletion)) == "SEQUENCE_EXISTS"
    assert ONE not in case.files()


async def test_a_version_that_is_gone_is_still_the_answer_to_its_request(case: Case) -> None:
    await case.update('{"note": 1}', shot="a1")
    once = request()
    outcome = await case.library.restore(case.path, "001", 0, "", None, caller(once))
    case.forget_versions()
    assert await refused(restore(case, 0)) == "VERSION_NOT_FOUND"
    assert await case.library.restore(case.path, "001", 0, "", None, caller(once)) == outcome


async def test_a_file_that_another_program_broke_is_brought_back(case: Case) -> None:
    await case.update('{"note": 1}', shot="a1")
    good = case.read(ONE)
    revision = (await versions(case))[0].revision
    case.write(ONE, b'{"id": "001", "shots": [')
    assert await refused(case.library.sequence(case.path, "001")) == "SEQUENCE_FILE_INVALID"
    await restore(case, revision)
    assert case.read(ONE) == good
    broken = (await versions(case))[1]
    assert broken.author is None
    assert await refused(case.library.version(case.path, "001", broken.revision)) == "SEQUENCE_FILE_INVALID"


async def test_the_project_file_and_its_shots_are_brought_back(case: Case) -> None:
    edit = Edit(shot_id="loose", updates=parse_object('{"note": 1}'))
    await case.library.update_project_shot(case.path, edit, caller())
    newest, _ = await versions(case, "")
    assert await refused(restore(case, 0, shot="a1", sequence="")) == "SHOT_IS_A_COPY"
    await restore(case, 0, shot="loose", sequence="")
    assert case.document(LOOSE)["shots"] == json.loads(FILES[LOOSE])["shots"]
    await restore(case, newest.revision, sequence="")
    assert case.document(LOOSE)["shots"][1] == {"id": "loose", "note": 1}
    case.write(LOOSE, b"{")
    await restore(case, 0, sequence="")
    assert case.read(LOOSE) == FILES[LOOSE]


# Watching


async def test_a_watch_tells_every_change_in_order(case: Case) -> None:
    watch = await case.library.watch(case.path, None)
    first = watch.revision
    once = request()
    await case.update('{"note": 1}', shot="a1", by=caller(once, name="ann"))
    await case.library.move_shot(case.path, "001", "a1", "002", Place(), None, caller())
    await case.library.delete_sequence(case.path, "001", None, caller())
    seen: list[Change] = []
    while len(seen) < 3:
        seen += await watch.next(5)
    assert [change.revision for change in seen] == [first + 1, first + 2, first + 3]
    assert watch.revision == first + 3
    edited, moved, deleted = seen
    assert edited.author is not None
    assert (edited.author.principal, edited.request_id) == ("ann", once.id)
    (shot,) = edited.files[0].shots
    assert (shot.id, shot.what) == ("a1", What.UPDATED)
    assert shot.document is not None
    assert json.loads(shot.document)["note"] == 1
    assert {(each.file, shot.id, shot.what) for each in moved.files for shot in each.shots if shot.id == "a1"} == {
        (TWO, "a1", What.CREATED),
        (ONE, "a1", What.DELETED),
    }
    assert [(each.file, each.what, each.after) for each in deleted.files] == [(ONE, What.DELETED, None)]
    assert list(await watch.next(0.02)) == []
    watch.close()
    again = await case.library.watch(case.path, first + 1, watch.log_id)
    assert list(await again.next(5)) == [moved, deleted]
    again.close()


async def test_a_watch_waits_for_what_comes(case: Case) -> None:
    watch = await case.library.watch(case.path, None)
    waiting = asyncio.create_task(watch.next(10))
    await asyncio.sleep(0.05)
    await case.update('{"note": 1}', shot="a1")
    assert [change.summary for change in await waiting] == ["a1: note"]
    watch.close()


async def test_a_watch_tells_what_another_program_did(case: Case) -> None:
    await case.update('{"note": 1}', shot="a1")
    watch = await case.library.watch(case.path, None)
    case.write(ONE, FILES[ONE].replace(b'"a3"', b'"a4"'))
    case.remove(TWO)
    seen: list[Change] = []
    while len(seen) < 2:
        seen += await watch.next(5)
    watch.close()
    files = {each.file: each for change in seen for each in change.files}
    assert all(change.author is None for change in seen)
    assert {(shot.id, shot.what) for shot in files[ONE].shots} == {
        ("a1", What.UPDATED),
        ("a3", What.DELETED),
        ("a4", What.CREATED),
    }
    assert files[TWO].what is What.DELETED


async def test_a_watch_cannot_begin_where_nothing_is_known(case: Case) -> None:
    await case.update('{"note": 1}', shot="a1")
    watch = await case.library.watch(case.path, None)
    watch.close()
    for after, log_id in ((watch.revision + 1, ""), (0, "another"), (-1, "")):
        assert await refused(case.library.watch(case.path, after, log_id)) == "REVISION_TOO_OLD"
