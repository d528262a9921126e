"""What every implementation of `Sequences` must do: make, order, move and remove sequences and shots."""

import json
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from services.kernel.faults import Fault
from services.kernel.strict_json import parse_object
from services.sequence_file.domain.steps import Place
from tests.storage.cases import FILES, KINDS, LOOSE, ONE, TEN, TWO, Case, cases, stringified
from tests.storage.projects import caller, request, shot_of

END = Place()


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    yield from cases(request.param, tmp_path, FILES)


async def refused(attempt: Awaitable[object]) -> Fault:
    with pytest.raises(Fault) as caught:
        await attempt
    return caught.value


# Sequences


async def test_a_new_sequence_is_written_as_an_editor_would_write_it(case: Case) -> None:
    document = parse_object('{"name": "Departure", "description": "…", "mood": 1.50}')
    outcome = await case.library.create_sequence(case.path, "", document, caller())
    (made,) = outcome.sequences
    assert (made.id, made.name, made.order, made.file, made.shot_count) == (
        "011",
        "Departure",
        6,
        "sequences/sequence_011.json",
        0,
    )
    assert case.read(made.file).decode() == (
        '{\n  "id": "011",\n  "name": "Departure",\n  "description": "…",\n  "mood": 1.50,\n  "order": 6,\n'
        '  "shots": [],\n  "metadata": {\n    "created_at": "2026-03-01T12:30:15.250Z",\n'
        '    "modified_at": "2026-03-01T12:30:15.250Z"\n  }\n}'
    )
    assert made.etag == await case.etag("11")
    assert [each.id for each in (await case.library.project(case.path)).sequences] == ["001", "002", "010", "011"]
    assert outcome.revision > 0


async def test_a_new_sequence_has_the_id_and_the_members_that_it_is_given(case: Case) -> None:
    document = parse_object('{"order": 1.5, "shots": [{"id": "x"}, {"note": "y"}], "metadata": {"created_at": "then"}}')
    outcome = await case.library.create_sequence(case.path, "3f2a-b", document, caller())
    written = case.document("sequences/sequence_3f2a-b.json")
    assert written["shots"] == [{"id": "x"}, {"id": "new-1", "note": "y"}]
    assert written["metadata"] == {"created_at": "then", "modified_at": "2026-03-01T12:30:15.250Z"}
    assert (outcome.sequences[0].order, outcome.sequences[0].shot_count) == (1.5, 2)


@pytest.mark.parametrize("sequence_id", ["001", "1", "sequence-1", "sequence_002", "10"])
async def test_an_id_that_means_another_sequence_is_taken(case: Case, sequence_id: str) -> None:
    fault = await refused(case.library.create_sequence(case.path, sequence_id, {}, caller()))
    assert fault.reason == "SEQUENCE_EXISTS"
    assert case.files() == set(FILES)


async def test_a_file_of_the_name_is_not_written_over(case: Case) -> None:
    case.write("sequences/sequence_777.json", stringified({"id": "other", "shots": []}))
    case.write("sequences/sequence_778.json", b"{")
    for taken in ("777", "778"):
        fault = await refused(case.library.create_sequence(case.path, taken, {}, caller()))
        assert fault.reason == "SEQUENCE_EXISTS"
    outcome = await case.library.create_sequence(case.path, "", {}, caller())
    assert outcome.sequences[0].id == "779"


async def test_the_number_of_a_deleted_sequence_is_not_given_out_again(case: Case) -> None:
    await case.library.delete_sequence(case.path, "010", None, caller())
    outcome = await case.library.create_sequence(case.path, "", {}, caller())
    assert outcome.sequences[0].id == "011"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ('{"id": "other"}', "INVALID_FIELD"),
        ('{"id": {}}', "INVALID_FIELD"),
        ('{"metadata": 1}', "INVALID_FIELD"),
        ('{"shots": {}}', "INVALID_FIELD"),
        ('{"shots": [1]}', "INVALID_FIELD"),
        ('{"shots": [{"id": "x"}, {"id": "x"}]}', "INVALID_FIELD"),
        ('{"shots": [{"id": null}]}', "INVALID_FIELD"),
        ('{"shots": [{"id": ""}]}', "INVALID_SHOT_ID"),
        ('{"shots": [{"id": "b1"}]}', "SHOT_EXISTS"),
    ],
)
async def test_a_sequence_that_would_not_be_one_is_not_made(case: Case, document: str, reason: str) -> None:
    fault = await refused(case.library.create_sequence(case.path, "new", parse_object(document), caller()))
    assert fault.reason == reason
    assert case.files() == set(FILES)


async def test_beside_sequences_without_an_order_a_new_one_has_none(case: Case) -> None:
    case.write(TEN, stringified({"id": "010", "shots": []}))
    outcome = await case.library.create_sequence(case.path, "", {}, caller())
    assert outcome.sequences[0].order is None
    assert [each.id for each in (await case.library.project(case.path)).sequences][-1] == "011"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_first_sequence_of_a_project_is_number_one(kind: str, tmp_path: Path) -> None:
    for bare in cases(kind, tmp_path, {LOOSE: FILES[LOOSE]}):
        outcome = await bare.library.create_sequence(bare.path, "", {}, caller())
        assert (outcome.sequences[0].id, outcome.sequences[0].order) == ("001", 1)
        assert bare.files() == {LOOSE, ONE}


async def test_a_sequence_is_made_once_however_often_its_request_comes(case: Case) -> None:
    once = request()
    first = await case.library.create_sequence(case.path, "", {}, caller(once))
    assert await case.library.create_sequence(case.path, "", {}, caller(once)) == first
    assert len(case.files()) == len(FILES) + 1


async def test_a_sequence_gets_other_members_but_no_other_id_and_shots(case: Case) -> None:
    seen = await case.etag("001")
    outcome = await case.library.update_sequence(
        case.path, "1", parse_object('{"name": "Landing", "metadata": {"mood": "calm"}}'), seen, caller()
    )
    (state,) = outcome.sequences
    assert (state.name, state.etag) == ("Landing", await case.etag("001"))
    after = case.document(ONE)
    assert after["name"] == "Landing"
    assert after["metadata"]["mood"] == "calm"
    assert after["shots"] == json.loads(FILES[ONE])["shots"]
    for updates in ('{"id": "2"}', '{"shots": []}', '{"storyboard": []}'):
        fault = await refused(case.library.update_sequence(case.path, "1", parse_object(updates), None, caller()))
        assert fault.reason == "IMMUTABLE_FIELD"
    stale = await refused(
        case.library.update_sequence(case.path, "1", parse_object('{"name": "Lost"}'), seen, caller())
    )
    assert stale.reason == "ETAG_MISMATCH"
    assert stale.current is not None
    assert stale.current.etag == state.etag


async def test_a_deleted_sequence_goes_to_the_trash(case: Case) -> None:
    stale = await refused(case.library.delete_sequence(case.path, "001", "0" * 32, caller()))
    assert stale.reason == "ETAG_MISMATCH"
    once = request()
    seen = await case.etag("001")
    outcome = await case.library.delete_sequence(case.path, "001", seen, caller(once, name="ann"))
    assert outcome.sequences[0].etag == ""
    assert ONE not in case.files()
    (trashed,) = await case.library.trash(case.path)
    assert (trashed.sequence_id, trashed.name, trashed.file, trashed.revision) == (
        "001",
        "Arrival",
        ONE,
        outcome.revision,
    )
    assert trashed.author is not None
    assert trashed.author.principal == "ann"
    assert await case.library.delete_sequence(case.path, "001", seen, caller(once)) == outcome
    gone = await refused(case.library.delete_sequence(case.path, "001", None, caller()))
    assert gone.reason == "SEQUENCE_NOT_FOUND"


async def test_sequences_are_put_into_another_order(case: Case) -> None:
    outcome = await case.library.reorder_sequences(case.path, ["10", "002", "001"], caller())
    assert [(each.id, each.order) for each in outcome.sequences] == [("010", 1), ("002", 2), ("001", 3)]
    assert [each.etag for each in outcome.sequences] == [await case.etag(each) for each in ("010", "002", "001")]
    assert case.read(TWO) == FILES[TWO]  # which had its order already
    assert [each.id for each in (await case.library.project(case.path)).sequences] == ["010", "002", "001"]
    again = await case.library.reorder_sequences(case.path, ["010", "002", "001"], caller())
    assert (again.revision, again.sequences) == (0, outcome.sequences)


@pytest.mark.parametrize("order", [[], ["001", "002"], ["001", "002", "010", "1"], ["001", "001", "002"]])
async def test_an_order_names_each_sequence_once(case: Case, order: list[str]) -> None:
    fault = await refused(case.library.reorder_sequences(case.path, order, caller()))
    assert fault.reason == "INVALID_FIELD"
    assert all(case.read(file) == FILES[file] for file in FILES)


async def test_sequences_are_not_ordered_around_one_that_cannot_be_read(case: Case) -> None:
    case.write(TEN, b"{")
    fault = await refused(case.library.reorder_sequences(case.path, ["002", "001"], caller()))
    assert fault.reason == "SEQUENCE_FILE_INVALID"


# Shots


async def test_a_new_shot_comes_last_and_is_like_the_others(case: Case) -> None:
    outcome = await case.library.create_shot(case.path, "1", parse_object('{"duration": 1.5}'), END, caller())
    shot = shot_of(outcome)
    assert json.loads(shot.document) == {"id": "new-1", "duration": 1.5, "sequencePlanId": "001", "number": 3}
    assert case.shot_ids(ONE) == ["a1", "a2", "new-1"]
    assert case.document(ONE)["duration"] == 10.5
    assert shot == await case.library.shot(case.path, "001", "new-1")
    assert outcome.revision > 0


@pytest.mark.parametrize(
    ("place", "order"),
    [
        (Place(index=0), ["x", "a1", "a2"]),
        (Place(index=1), ["a1", "x", "a2"]),
        (Place(index=99), ["a1", "a2", "x"]),
        (Place(after="a1"), ["a1", "x", "a2"]),
    ],
)
async def test_a_new_shot_stands_where_it_is_put(case: Case, place: Place, order: list[str]) -> None:
    await case.library.create_shot(case.path, "001", parse_object('{"id": "x"}'), place, caller())
    assert case.shot_ids(ONE) == order
    assert [shot["number"] for shot in case.document(ONE)["shots"]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("document", "place", "reason"),
    [
        ('{"id": "a1"}', END, "SHOT_EXISTS"),
        ('{"id": "b1"}', END, "SHOT_EXISTS"),
        ('{"id": ""}', END, "INVALID_SHOT_ID"),
        ('{"id": 7}', END, "INVALID_FIELD"),
        ('{"id": "x"}', Place(after="b1"), "SHOT_NOT_FOUND"),
    ],
)
async def test_a_shot_that_cannot_be_is_not_made(case: Case, document: str, place: Place, reason: str) -> None:
    fault = await refused(case.library.create_shot(case.path, "001", parse_object(document), place, caller()))
    assert fault.reason == reason
    assert case.read(ONE) == FILES[ONE]


async def test_a_broken_file_does_not_keep_others_from_getting_shots(case: Case) -> None:
    case.write(TEN, b"{")
    await case.library.create_shot(case.path, "001", parse_object('{"id": "x"}'), END, caller())
    assert case.shot_ids(ONE)[-1] == "x"


async def test_a_shot_is_made_once_wherever_it_went_since(case: Case) -> None:
    once = request()
    first = await case.library.create_shot(case.path, "001", parse_object('{"id": "x"}'), END, caller(once))
    await case.library.move_shot(case.path, "001", "x", "002", END, None, caller())
    again = await case.library.create_shot(case.path, "001", parse_object('{"id": "x"}'), END, caller(once))
    assert again == first


async def test_a_deleted_shot_leaves_numbers_and_totals_true(case: Case) -> None:
    seen = await case.etag("001", "a1")
    await case.update('{"note": "newer"}', shot="a1")
    stale = await refused(case.library.delete_shot(case.path, "001", "a1", seen, caller()))
    assert stale.reason == "ETAG_MISMATCH"
    outcome = await case.library.delete_shot(case.path, "001", "a1", await case.etag("001", "a1"), caller())
    assert outcome.revision > 0
    after = case.document(ONE)
    assert [(shot["id"], shot["number"]) for shot in after["shots"]] == [("a2", 1)]
    assert after["duration"] == 5
    gone = await refused(case.library.delete_shot(case.path, "001", "a1", None, caller()))
    assert gone.reason == "SHOT_NOT_FOUND"


@pytest.mark.parametrize("target", ["", "001", "1"])
async def test_a_shot_moves_within_its_sequence(case: Case, target: str) -> None:
    outcome = await case.library.move_shot(case.path, "001", "a1", target, Place(after="a2"), None, caller())
    assert case.shot_ids(ONE) == ["a2", "a1"]
    assert json.loads(shot_of(outcome).document)["number"] == 2
    assert shot_of(outcome) == await case.library.shot(case.path, "001", "a1")
    assert [shot["number"] for shot in case.document(ONE)["shots"]] == [1, 2]
    same = await case.library.move_shot(case.path, "001", "a1", target, Place(after="a2"), None, caller())
    assert same.revision == 0


async def test_a_shot_moves_into_another_sequence_and_says_so(case: Case) -> None:
    seen = await case.etag("001", "a1")
    once = request()
    outcome = await case.library.move_shot(case.path, "001", "a1", "2", Place(index=0), seen, caller(once))
    shot = shot_of(outcome)
    assert (shot.file, shot.sequence_id) == (TWO, "002")
    assert case.shot_ids(ONE) == ["a2"]
    assert case.shot_ids(TWO) == ["a1", "b1"]
    moved = case.document(TWO)["shots"][0]
    assert moved == {
        "id": "a1",
        "sequencePlanId": "002",
        "number": 1,
        "duration": 4,
        "generation": {"prompt": "dawn"},
    }
    assert case.document(ONE)["duration"] == 5
    assert (await case.library.shot(case.path, "", "a1")).file == TWO
    assert await case.library.move_shot(case.path, "001", "a1", "2", Place(index=0), seen, caller(once)) == outcome


async def test_a_move_that_cannot_be_changes_neither_file(case: Case) -> None:
    case.write(TEN, stringified({"id": "010", "order": 5, "shots": [{"id": "a1"}]}))
    before = {file: case.read(file) for file in (ONE, TWO, TEN)}
    attempts = [
        ("001", "nobody", "002", END, None, "SHOT_NOT_FOUND"),
        ("001", "a1", "404", END, None, "SEQUENCE_NOT_FOUND"),
        ("404", "a1", "002", END, None, "SEQUENCE_NOT_FOUND"),
        ("001", "a1", "002", Place(after="a2"), None, "SHOT_NOT_FOUND"),
        ("001", "a1", "010", END, None, "SHOT_EXISTS"),
        ("001", "a1", "002", END, "0" * 32, "ETAG_MISMATCH"),
        ("001", "a1", "../002", END, None, "INVALID_SEQUENCE_ID"),
    ]
    for source, shot, target, place, etag, reason in attempts:
        fault = await refused(case.library.move_shot(case.path, source, shot, target, place, etag, caller()))
        assert fault.reason == reason
    assert {file: case.read(file) for file in before} == before
