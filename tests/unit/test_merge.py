"""U6 in small: another program's change and ours are both there afterwards, or ours is refused with both values."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.faults import Fault
from services.kernel.strict_json import parse_object
from services.sequence_file.domain import merge
from services.sequence_file.domain.document import parse_sequence
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.steps import Edit, Insert, Mode, Place, Remove, Reorder, SetMembers, Step
from tests.unit.model import merged, same_json, strict, write

NOW = datetime(2026, 11, 21, 9, 30, 0, 123_000, tzinfo=UTC)
# Few names and values, so that two changes meet.
LEAVES = st.sampled_from([1, 2, "a", [1], [2]])
OBJECTS = st.recursive(
    st.dictionaries(st.sampled_from("abc"), LEAVES, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner | LEAVES, max_size=3),
    max_leaves=6,
)
PATCHES = st.recursive(
    st.dictionaries(st.sampled_from("abc"), LEAVES | st.none(), min_size=1, max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("ab"), inner, min_size=1, max_size=2),
    max_leaves=4,
)
MISSING = object()


def changed_paths(before: Any, after: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every path whose value is another one, as deep as both sides are objects, with the new value."""
    if isinstance(after, dict) and isinstance(before, dict):
        out = {}
        for name in before.keys() | after.keys():
            out |= changed_paths(before.get(name, MISSING), after.get(name, MISSING), (*path, name))
        return out
    if isinstance(after, dict) and after:  # an object made where there was none: its members are what is new
        out = {path: {}}
        for name in after:
            out |= changed_paths(MISSING, after[name], (*path, name))
        return out
    same = before is not MISSING and after is not MISSING and same_json(before, after)
    return {} if same or before is after else {path: after}


def clash(ours: dict[tuple[str, ...], Any], theirs: dict[tuple[str, ...], Any]) -> bool:
    """Whether two changes want different values in one place, or one wants away what the other changed within."""
    for path, value in ours.items():
        for other, there in theirs.items():
            if path == other:
                if (value is MISSING) != (there is MISSING) or (value is not MISSING and not same_json(value, there)):
                    return True
            elif (path[: len(other)] == other and there != {}) or (other[: len(path)] == path and value != {}):
                return True
    return False


def retold(base: dict[str, Any], theirs: dict[str, Any], updates: dict[str, Any], mode: Mode = Mode.MERGE_PATCH) -> Any:
    """Our edit of one shot on a file that another program changed meanwhile: the shot, or the fault."""
    draft = Draft(
        parse_sequence(write({"shots": [{"id": "s", **theirs}]}, {}), "f"),
        "001",
        seen=parse_sequence(write({"shots": [{"id": "s", **base}]}, {"indent": 2}), "f"),
    )
    try:
        shot = draft.edit(Edit(shot_id="s", updates=strict(updates), mode=mode))
    except Fault as fault:
        assert not draft.changed
        return fault
    document = json.loads(shot.document)
    del document["id"]
    return document


@given(OBJECTS, PATCHES, PATCHES)
def test_two_changes_are_merged_unless_they_want_different_values_in_one_place(
    base: dict[str, Any], ours: dict[str, Any], patch: dict[str, Any]
) -> None:
    theirs = merged(base, patch)
    mine = changed_paths(base, merged(base, ours))
    outcome = retold(base, theirs, ours)
    if isinstance(outcome, Fault):
        assert outcome.reason == "EDIT_CONFLICT"
        assert clash(changed_paths(theirs, merged(theirs, ours)), changed_paths(base, theirs))
        return
    assert same_json(outcome, merged(theirs, ours))
    assert not clash(mine, changed_paths(base, theirs))
    for path, value in [*changed_paths(base, theirs).items(), *mine.items()]:
        there: Any = outcome
        for name in path:
            there = there.get(name, MISSING) if isinstance(there, dict) else MISSING
        assert there is value or value == {} or same_json(there, value)


@given(OBJECTS, st.dictionaries(st.sampled_from("abc"), OBJECTS | LEAVES, max_size=2), PATCHES)
def test_members_that_are_replaced_whole_take_nothing_away_unseen(
    base: dict[str, Any], ours: dict[str, Any], patch: dict[str, Any]
) -> None:
    theirs = merged(base, patch)
    outcome = retold(base, theirs, ours, Mode.REPLACE_TOP_LEVEL)
    if isinstance(outcome, Fault):
        assert outcome.reason == "EDIT_CONFLICT"
        return
    for path, value in changed_paths(base, theirs).items():
        there: Any = outcome
        for name in path:
            there = there.get(name, MISSING) if isinstance(there, dict) else MISSING
        assert there is value or value == {} or same_json(there, value)


BASE = b"""{
  "id": "001", "name": "Arrival", "order": 1,
  "shots": [
    {"id": "a", "prompt": "dawn", "seed": 1},
    {"id": "b", "prompt": "noon"},
    {"id": "c", "prompt": "dusk"}
  ],
  "metadata": {"modified_at": "2020-01-01T00:00:00.000Z"}
}"""


def fault_of(old: str, new: str, step: Step) -> Fault:
    with pytest.raises(Fault) as caught:
        against(old, new).apply(step)
    return caught.value


def against(old: str, new: str) -> Draft:
    """A draft of a file in which another program has just put other text in place of some."""
    assert old.encode() in BASE
    theirs = BASE.replace(old.encode(), new.encode()).replace(b"2020", b"2021")
    return Draft(parse_sequence(theirs, "f"), "001", seen=parse_sequence(BASE, "f"))


def test_two_who_make_the_same_object_each_put_their_members_into_it() -> None:
    for base in ({}, {"generation": None}, {"generation": "text"}):
        found = retold(base, {"generation": {"seed": 1}}, {"generation": {"prompt": "dawn"}})
        assert found == {"generation": {"seed": 1, "prompt": "dawn"}}


def test_a_conflict_says_both_values() -> None:
    fault = fault_of('"dawn"', '"theirs"', Edit(shot_id="a", updates={"prompt": "ours"}))
    assert (fault.reason, fault.metadata["shot_id"], fault.metadata["pointer"]) == ("EDIT_CONFLICT", "a", "/prompt")
    assert fault.metadata["refused_json"] == '"ours"'
    assert fault.current is not None
    assert fault.current.document_json == '"theirs"'
    assert fault.current.etag == against('"dawn"', '"theirs"').shot("a").etag


def test_a_value_that_does_not_fit_is_left_out_of_the_conflict() -> None:
    fault = fault_of('"dawn"', '"theirs"', Edit(shot_id="a", updates={"prompt": "x" * 5000}))
    assert "refused_json" not in fault.metadata


def test_an_etag_from_before_the_other_program_came_still_counts() -> None:
    etag = parse_sequence(BASE, "f").shot_etag(0)
    draft = against('"seed": 1', '"seed": 2')
    shot = draft.edit(Edit(shot_id="a", updates={"prompt": "ours"}, etag=etag))
    assert shot.document == b'{"id": "a", "prompt": "ours", "seed": 2}'
    with pytest.raises(Fault) as caught:  # but somebody of the same batch came first now
        draft.edit(Edit(shot_id="a", updates={"prompt": "late"}, etag=etag))
    assert caught.value.reason == "ETAG_MISMATCH"
    whole = parse_sequence(BASE, "f").etag
    draft = against('"order": 1', '"order": 2')
    draft.apply(SetMembers(updates={"name": "ours"}, etag=whole))
    assert draft.head.order == 2.0


def test_a_value_that_ours_would_set_back_is_a_conflict() -> None:
    """On what was read the edit changed nothing; on theirs it would undo what they did."""
    assert fault_of('"dawn"', '"theirs"', Edit(shot_id="a", updates={"prompt": "dawn"})).reason == "EDIT_CONFLICT"


@pytest.mark.parametrize(
    ("old", "new", "step"),
    [
        ('"dawn"', '"theirs"', Remove(shot_id="a")),
        ('"Arrival"', '"theirs"', SetMembers(updates={"name": "ours"})),
        ('"order": 1', '"order": 2', SetMembers(updates=parse_object('{"order": 3}'))),
        ('"metadata": {', '"metadata": {"mood": 1, ', SetMembers(updates=parse_object('{"metadata": {"mood": 2}}'))),
        (
            '{"id": "a", "prompt": "dawn", "seed": 1},\n    {"id": "b", "prompt": "noon"},',
            '{"id": "b", "prompt": "noon"},\n    {"id": "a", "prompt": "dawn", "seed": 1},',
            Reorder(shot_id="a", place=Place(index=0)),
        ),
    ],
)
def test_what_would_overwrite_theirs_is_refused(old: str, new: str, step: Step) -> None:
    if isinstance(step, Reorder):  # which of the two moved nobody can know: one of them is said to have
        faults = []
        for shot_id, index in (("a", 0), ("b", 1)):
            try:
                against(old, new).apply(Reorder(shot_id=shot_id, place=Place(index=index)))
            except Fault as fault:
                faults.append(fault.reason)
        assert faults == ["EDIT_CONFLICT"]
        return
    assert fault_of(old, new, step).reason == "EDIT_CONFLICT"


@pytest.mark.parametrize(
    ("old", "new", "step"),
    [
        ('"dawn"', '"theirs"', Edit(shot_id="a", updates={"mood": "ours"})),
        ('"dawn"', '"theirs"', Edit(shot_id="a", updates={"prompt": "theirs"})),
        ('"dawn"', '"theirs"', Remove(shot_id="b")),
        ('"dawn"', '"theirs"', Insert(document={"id": "n"}, place=Place(after="a"))),
        ('"dawn"', '"theirs"', Reorder(shot_id="a", place=Place())),
        ('"Arrival"', '"theirs"', SetMembers(updates={"description": "ours"})),
        ('"Arrival"', '"theirs"', Edit(shot_id="a", updates={"prompt": "ours"})),
        ('"metadata": {', '"metadata": {"mood": 1, ', SetMembers(updates=parse_object('{"metadata": {"x": 2}}'))),
    ],
)
def test_what_leaves_theirs_alone_is_merged(old: str, new: str, step: Step) -> None:
    draft = against(old, new)
    draft.apply(step)
    assert new.split(":")[-1].encode() in draft.finish(NOW).raw


def test_a_shot_that_they_deleted_is_not_there_any_more() -> None:
    gone = ',\n    {"id": "b", "prompt": "noon"}'
    assert fault_of(gone, "", Edit(shot_id="b", updates={"prompt": "ours"})).reason == "SHOT_NOT_FOUND"


def test_a_version_does_not_replace_what_nobody_has_seen() -> None:
    with pytest.raises(Fault) as caught:
        against('"dawn"', '"theirs"').replace(b'{"shots": []}')
    assert (caught.value.reason, caught.value.metadata["pointer"]) == ("EDIT_CONFLICT", "/prompt")
    against('"order": 1', '"order":  1').replace(b'{"shots": []}')  # only other times and spaces


def test_nothing_nested_beyond_all_reason_stops_the_comparison() -> None:
    deep = [f'{{"a": {"[" * 200}{n}{"]" * 200}}}'.encode() for n in "123"]
    found = merge.conflict(*deep)
    assert found is not None
    assert found.pointer == "/a"
    objects = ['{"a":' * 200 + n + "}" * 200 for n in "123"]
    found = merge.conflict(*(each.encode() for each in objects))
    assert found is not None
    assert found.pointer.count("/") < 100
