"""What is told about two states of a document is all that is different, and enough to make one of the other."""

import copy
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sequence_file.domain import diff, summary
from services.sequence_file.domain.changes import FileChange, ShotChange, What
from services.sequence_file.domain.diff import Difference
from services.sequence_file.domain.document import Document, parse_sequence
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.steps import Edit, Insert, Place, Remove, Reorder, SetMembers
from tests.unit.model import FREE, LAYOUTS, Model, Refused, contents, plain, same_json, steps, strict, write

NOW = datetime(2026, 11, 21, 9, 30, 0, 123_000, tzinfo=UTC)


def document(content: Any, layout: dict[str, Any] | None = None) -> Document:
    return parse_sequence(write(content, layout or {}), "f")


@st.composite
def versions(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two states of a sequence, the second made of the first by hand: anything may be different."""
    before = draw(contents())
    model = Model(before, "001")
    for number in range(draw(st.integers(0, 4))):
        try:
            model.apply(draw(steps(model, f"n{number}", {})))
        except Refused:
            continue
    after = copy.deepcopy(model.content)
    for shot in after["shots"]:
        if draw(st.booleans()):
            shot.update({name: value for name, value in draw(FREE).items() if name != "id"})
    after["shots"] = draw(st.permutations(after["shots"]))
    return before, after


def set_at(target: Any, pointer: str, text: str | None) -> Any:
    """The value with another one at a pointer; None takes it away."""
    if not pointer:
        return json.loads(text or "null")
    *path, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    holder = target
    for part in path:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    if isinstance(holder, list):
        holder[int(last)] = json.loads(text or "null")
    elif text is None:
        del holder[last]
    else:
        holder[last] = json.loads(text)
    return target


def applied(before: dict[str, Any], found: list[Difference]) -> dict[str, Any]:
    """What comes of a document when all that is told to be different is made so."""
    out = copy.deepcopy(before)
    shots = {shot["id"]: shot for shot in out.pop("shots")}
    order = list(shots)
    for each in found:
        if not each.shot_id:
            out = set_at(out, each.pointer, each.after)
        elif each.after_index is None or each.pointer:
            if each.after is None and not each.pointer:
                order.remove(each.shot_id)
            else:
                shots[each.shot_id] = set_at(shots[each.shot_id], each.pointer, each.after)
        elif each.before_index is None:
            shots[each.shot_id] = json.loads(each.after or "")
    placed = [(each.after_index, each.shot_id) for each in found if each.after_index is not None]
    order = [shot_id for shot_id in order if shot_id not in {name for _, name in placed}]
    for index, shot_id in sorted(placed):
        order.insert(index, shot_id)
    return {**out, "shots": [shots[shot_id] for shot_id in order]}


@given(versions(), LAYOUTS, LAYOUTS)
def test_the_differences_make_the_later_state_of_the_earlier_one(
    states: tuple[dict[str, Any], dict[str, Any]], first: dict[str, Any], second: dict[str, Any]
) -> None:
    before, after = states
    found = list(diff.differences(document(before, first), document(after, second)))
    assert plain(applied(before, found)) == plain(after)
    assert len({(each.shot_id, each.pointer, each.before_index) for each in found}) == len(found)


@given(versions(), LAYOUTS, LAYOUTS)
def test_the_differences_of_one_shot_are_its_part_of_all(
    states: tuple[dict[str, Any], dict[str, Any]], first: dict[str, Any], second: dict[str, Any]
) -> None:
    before, after = document(states[0], first), document(states[1], second)
    found = list(diff.differences(before, after))
    for shot_id in {*before.positions, *after.positions}:
        assert list(diff.differences(before, after, shot_id)) == [each for each in found if each.shot_id == shot_id]


@given(versions(), LAYOUTS)
def test_the_changed_shots_are_those_that_differ(
    states: tuple[dict[str, Any], dict[str, Any]], layout: dict[str, Any]
) -> None:
    old, new = ({shot["id"]: shot for shot in state["shots"]} for state in states)
    before, after = document(states[0], layout), document(states[1], layout)
    changes = {each.id: each for each in diff.shots(before, after)}
    assert {name for name, each in changes.items() if each.what is What.CREATED} == new.keys() - old.keys()
    assert {name for name, each in changes.items() if each.what is What.DELETED} == old.keys() - new.keys()
    stayed = old.keys() & new.keys()
    differ = {name for name in stayed if not same_json(old[name], new[name])}
    moved = {name for name, each in changes.items() if each.what is What.MOVED}
    assert differ <= {name for name in stayed if name in changes}
    assert [name for name in old if name in stayed - moved] == [name for name in new if name in stayed - moved]
    for name in moved:  # none too many: each of them stands elsewhere among those that stayed
        rest = (stayed - moved) | {name}
        assert [each for each in old if each in rest] != [each for each in new if each in rest]
    for each in changes.values():
        assert each.document == (after.shot(after.positions[each.id]) if each.id in new else None)
    assert {each.id for each in diff.shots(None, after)} == new.keys()
    assert diff.nameable(before, after)


@pytest.mark.parametrize(
    ("places", "moved"),
    [([], set()), ([0, 1, 2], set()), ([2, 0, 1], {2}), ([1, 2, 0], {0}), ([3, 0, 1, 4, 2], {3, 4})],
)
def test_the_fewest_shots_are_said_to_have_moved(places: list[int], moved: set[int]) -> None:
    assert len(diff.moved(places)) == len(moved)
    left = [place for place in places if place not in diff.moved(places)]
    assert left == sorted(left)


def test_reformatting_and_the_order_of_members_are_no_difference() -> None:
    first = document({"shots": [{"id": "a", "x": 1, "y": [1, {"z": 2}]}]})
    second = parse_sequence(b'{"shots":[{"y":[1,{"z":2}],"x":1,"id":"a"}]}', "f")
    assert list(diff.differences(first, second)) == []
    assert diff.shots(first, parse_sequence(b'{"shots":[{"id":"a","x":1,"y":[1,{"z":2}]}]}', "f")) == ()


def test_values_are_told_as_they_are_written() -> None:
    first = parse_sequence('{"name":"é","shots":[{"id":"a","n":1.10,"l":[1,2],"m":[1],"t":"\\u00e9"}]}'.encode(), "f")
    second = parse_sequence('{"shots":[{"id":"a","n":1.20,"l":[1,3],"m":[1,2],"t":"é","o":{"x":{}}}]}'.encode(), "f")
    assert [(each.shot_id, each.pointer, each.before, each.after) for each in diff.differences(first, second)] == [
        ("", "/name", '"é"', None),
        ("a", "/n", "1.10", "1.20"),
        ("a", "/l/1", "2", "3"),
        ("a", "/m", "[1]", "[1,2]"),
        ("a", "/o", None, '{"x":{}}'),
    ]


def test_integers_that_javascript_takes_for_equal_are_different() -> None:
    first, second = (parse_sequence(f'{{"shots":[],"n":{n}}}'.encode(), "f") for n in (2**53, 2**53 + 1))
    assert [each.pointer for each in diff.differences(first, second)] == ["/n"]
    assert not diff.same('"1"', "1")
    same = (parse_sequence(f'{{"shots":[],"n":{n}}}'.encode(), "f") for n in ("1.10", "11e-1"))
    assert list(diff.differences(*same)) == []


def test_shots_without_an_id_of_their_own_are_told_by_their_place() -> None:
    first = parse_sequence(b'{"shots":[{"a":1},{"id":"x"},{"id":"t"},{"id":"t"}]}', "f")
    second = parse_sequence(b'{"shots":[{"a":2},{"id":"x"},{"id":"t"},{"id":"t"},{"b":1}]}', "f")
    assert [(each.shot_id, each.pointer, each.before, each.after) for each in diff.differences(first, second)] == [
        ("", "/shots/0/a", "1", "2"),
        ("", "/shots/4", None, '{"b":1}'),
    ]
    assert diff.shots(first, second) == ()
    assert not diff.nameable(first, second)
    assert diff.nameable(first, first)


def test_values_nested_beyond_all_reason_are_compared_as_they_are_written() -> None:
    deep = [parse_sequence(f'{{"shots":[],"d":{"[" * 300}{n}{"]" * 300}}}'.encode(), "f") for n in "112"]
    assert list(diff.differences(deep[0], deep[1])) == []
    assert len(list(diff.differences(deep[0], deep[2]))) == 1
    spaced = parse_sequence(deep[0].raw.replace(b"1", b" 1"), "f")
    assert len(list(diff.differences(deep[0], spaced))) == 1
    assert not diff.same("[" * 300 + "1" + "]" * 300, "[" * 300 + " 1" + "]" * 300)
    assert diff.same("[" * 30 + "1" + "]" * 30, "[" * 30 + " 1" + "]" * 30)


def test_half_a_character_does_not_break_what_is_told() -> None:
    first, second = (parse_sequence(f'{{"shots":[],"\\ud800":"\\ud800{n}"}}'.encode(), "f") for n in "12")
    found = list(diff.differences(first, second))
    assert [each.after for each in found] == ['"\\ud8002"']
    "".join(each.pointer for each in found).encode()
    summary.of_shots((), first, second).encode()


def test_one_changed_shot_of_ten_thousand_is_found_at_once() -> None:
    content = {"shots": [{"id": f"s{index}", "prompt": "x" * 500} for index in range(10_000)]}
    before = document(content)
    content["shots"][5000]["prompt"] = "y"
    after = document(content)
    started = time.perf_counter()
    assert [each.id for each in diff.shots(before, after)] == ["s5000"]
    assert time.perf_counter() - started < 1  # 15 ms, where every shot would take 300


SEQUENCE = {
    "id": "001",
    "name": "Arrival",
    "order": 1,
    "shots": [{"id": f"arrival-{index}", "number": index, "generation": {"prompt": "dawn"}} for index in range(1, 6)],
    "metadata": {"modified_at": ""},
}


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (Edit(shot_id="arrival-1", updates=strict({"generation": {"prompt": "dusk"}})), "arrival-1: generation.prompt"),
        (
            Edit(shot_id="arrival-1", updates=strict({name: name for name in "abcde"})),
            "arrival-1: a, b, c and 2 more",
        ),
        (Remove(shot_id="arrival-2"), "arrival-2 removed"),
        (Insert(document={"id": "arrival-9"}, place=Place(index=0)), "arrival-9 added"),
        (Reorder(shot_id="arrival-4", place=Place(index=0)), "arrival-4 moved"),
        (SetMembers(updates=strict({"name": "x", "order": 2})), "name, order"),
        (SetMembers(updates=strict({"metadata": {"mood": "calm"}})), "metadata.mood"),
        (Edit(shot_id="arrival-1", updates=strict({"two\nlines" + "x" * 90: 1})), f"arrival-1: two lines{'x' * 50}…"),
    ],
)
def test_a_change_is_summed_up_in_a_line_whoever_made_it(step: Any, line: str) -> None:
    before = document(SEQUENCE)
    draft = Draft(before, "001")
    draft.apply(step)
    assert draft.take().summary == line
    after = draft.finish(NOW)
    assert summary.of_shots(diff.shots(before, after), before, after) == line


def test_several_changes_are_summed_up_together() -> None:
    draft = Draft(document(SEQUENCE), "001")
    for index in range(1, 6):
        draft.edit(Edit(shot_id=f"arrival-{index}", updates={"mood": "calm"}))
    assert draft.take().summary == "5 shots: arrival-1, arrival-2, arrival-3 and 2 more"
    draft.apply(SetMembers(updates={"name": "x"}))
    draft.apply(Remove(shot_id="arrival-1"))
    draft.apply(Remove(shot_id="arrival-2"))
    draft.edit(Edit(shot_id="arrival-3", updates={"mood": None}))
    assert draft.take().summary == "name; 2 shots removed: arrival-1, arrival-2; arrival-3: mood"
    before = document(SEQUENCE)
    assert summary.of_shots((), before, document(SEQUENCE, {"indent": 2})) == "formatting"
    assert summary.of_shots((), before, before) == ""


def changed(file: str, what: What, *shots: tuple[str, What]) -> FileChange:
    number = file.removeprefix("sequences/sequence_").removesuffix(".json")
    return FileChange(
        file=file,
        sequence_id="" if file == "project.json" else number,
        what=what,
        before=None,
        after=None,
        shots=tuple(ShotChange(id=name, what=kind, before=None, after=None) for name, kind in shots),
    )


def test_changes_of_files_are_summed_up() -> None:
    one, two, three = (f"sequences/sequence_00{number}.json" for number in (1, 2, 3))
    for changes, line in [
        ([changed(one, What.CREATED)], "sequence 001 added"),
        ([changed(one, What.DELETED)], "sequence 001 removed"),
        ([changed(one, What.UNREADABLE)], "sequence 001 cannot be read"),
        ([changed(one, What.UPDATED)], "sequence 001 changed"),
        ([changed("project.json", What.UPDATED)], "project.json changed"),
        ([changed(one, What.UPDATED, ("a", What.UPDATED), ("b", What.UPDATED))], "2 shots: a, b"),
        ([changed(each, What.UPDATED) for each in (one, two)], "2 files: sequence 001, sequence 002"),
        (
            [changed(one, What.UPDATED, ("a", What.DELETED)), changed(two, What.UPDATED, ("a", What.CREATED))],
            "a moved to sequence 002",
        ),
        (
            [
                changed(one, What.UPDATED, ("a", What.DELETED)),
                changed("project.json", What.UPDATED, ("a", What.DELETED)),
            ],
            "a removed",
        ),
        ([changed(three, What.CREATED), changed(one, What.UPDATED)], "sequence 003 added"),
    ]:
        assert summary.of_files(changes) == line
