"""Any steps on any document: the outcome is that of a plain model, and what no step names stays byte for byte."""

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.faults import Fault
from services.kernel.strict_json import parse_object
from services.sequence_file.domain import steps as domain_steps
from services.sequence_file.domain.changes import What
from services.sequence_file.domain.document import Document, parse_project, parse_sequence
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.steps import Edit, Insert, InsertRaw, Mode, Place, Remove, Reorder, SetMembers, Step
from tests.unit.model import COUNTS, LAYOUTS, LENGTHS, Model, Refused, contents, messy, plain, steps, strict, write

NOW = datetime(2026, 11, 21, 9, 30, 0, 123_000, tzinfo=UTC)


def attempt(draft: Draft, model: Model, step: Step) -> bool:
    """The same step on both; both make it, or both refuse it for the same reason."""
    reason = ""
    try:
        model.apply(step)
    except Refused as refused:
        reason = str(refused)
    if not reason:
        draft.apply(step)
        return True
    with pytest.raises(Fault) as caught:
        draft.apply(step)
    assert caught.value.reason == reason
    return False


def known(document: Document) -> tuple[object, ...]:
    """All that a document says of itself."""
    indexes = range(len(document.starts))
    return (
        document.raw,
        document.head,
        document.members,
        document.listed,
        document.starts,
        document.ends,
        document.shot_ids,
        document.positions,
        document.duplicates,
        document.etag,
        [document.shot_etag(index) for index in indexes],
        [document.figures(index) for index in indexes],
    )


def opened(content: dict[str, Any], data: st.DataObject) -> Document:
    """The document as many hands would have written it."""
    text = data.draw(messy(content))
    around = data.draw(st.sampled_from([("", ""), ("\ufeff\r\n", "\r\n\r\n"), ("", "\n")]))
    return parse_sequence(text.join(around).encode(), "f")


@given(contents(), LAYOUTS, st.data())
def test_any_steps_come_to_what_the_program_that_wrote_the_file_would_have_written(
    content: dict[str, Any], layout: dict[str, Any], data: st.DataObject
) -> None:
    document = parse_sequence(write(content, layout), "f")
    model = Model(content, "001")
    for part in range(2):  # the second on what the first made, which was not parsed again
        draft = Draft(document, "001")
        for number in range(data.draw(st.integers(0, 4))):
            attempt(draft, model, data.draw(steps(model, f"n{part}{number}", layout)))
        assert (draft.head.id, draft.shot_count) == ("001", len(model.shots))
        if draft.changed:
            document = draft.finish(NOW)
            assert document.raw == write(model.finished(), layout)


@given(contents(), st.data())
def test_what_no_step_names_stays_byte_for_byte(content: dict[str, Any], data: st.DataObject) -> None:
    before = opened(content, data)
    content = json.loads(before.raw.decode("utf-8-sig"))
    draft, model = Draft(before, "001"), Model(content, "001")
    named = {"shots", "metadata"}
    for number in range(data.draw(st.integers(1, 4))):
        step = data.draw(steps(model, f"n{number}", {}))
        if attempt(draft, model, step) and isinstance(step, SetMembers):
            named |= step.updates.keys()
    if not draft.changed:
        return
    after = draft.finish(NOW)
    assert plain(json.loads(after.raw.decode("utf-8-sig"))) == plain(model.finished())
    shots = {shot["id"]: shot for shot in content["shots"]}
    for index, shot in enumerate(model.shots):
        if json.dumps(shot) == json.dumps(shots.get(shot["id"])):
            assert after.shot(index) == before.shot(before.positions[shot["id"]])
    for name in content.keys() - named - {*LENGTHS, *COUNTS}:
        assert after.member(name) == before.member(name)
    first, last = before.raw.index(b"{"), before.raw.rindex(b"}")
    assert after.raw.startswith(before.raw[:first])
    assert after.raw.endswith(before.raw[last:])


@given(contents(), st.data())
def test_a_document_is_what_a_fresh_look_at_its_bytes_says(content: dict[str, Any], data: st.DataObject) -> None:
    document, model = opened(content, data), Model(content, "001")
    for part in range(3):
        draft = Draft(document, "001")
        for number in range(data.draw(st.integers(1, 3))):
            attempt(draft, model, data.draw(steps(model, f"n{part}{number}", {})))
        document = draft.finish(NOW)
        assert known(document) == known(parse_sequence(document.raw, "f"))


@given(contents(), st.data())
def test_what_is_taken_is_what_changed_and_what_is_taken_back_never_was(
    content: dict[str, Any], data: st.DataObject
) -> None:
    draft, model = Draft(opened(content, data), "001"), Model(content, "001")
    for part in range(3):
        before, then = draft.finish(NOW), copy.deepcopy(model)
        was_changed = draft.changed
        for number in range(data.draw(st.integers(0, 3))):
            attempt(draft, model, data.draw(steps(model, f"n{part}{number}", {})))
        if data.draw(st.booleans()):
            draft.take_back()
            model = then
            assert (draft.finish(NOW).raw, draft.changed) == (before.raw, was_changed)
            assert not draft.take().changed
            continue
        taken = draft.take()
        after = draft.finish(NOW)
        old, new = etags(before), etags(after)
        touched = {each.id: each for each in taken.shots if each.what in (What.UPDATED, What.MOVED)}
        came = {each.id: each for each in taken.shots if each.what is What.CREATED}
        went = {each.id: each for each in taken.shots if each.what is What.DELETED}
        twice = came.keys() & went.keys()  # went, and came again as another one
        assert came.keys() - twice == new.keys() - old.keys()
        assert went.keys() - twice == old.keys() - new.keys()
        assert {each for each in old.keys() & new.keys() - twice if old[each] != new[each]} <= touched.keys()
        for each in taken.shots:
            assert each.before == (None if each.what is What.CREATED else old[each.id])
            assert each.after == (None if each.what is What.DELETED else new[each.id])
            if each.what is not What.DELETED:
                # A shot that only got another number does not bring its document along.
                assert each.document == draft.shot(each.id).document or (
                    each.document is None and each.what is What.UPDATED
                )
            assert each.what is not What.UPDATED or each.before != each.after
        assert bool(taken.summary) == taken.changed
        assert taken.complete
        assert "\n" not in taken.summary


def etags(document: Document) -> dict[str | None, str]:
    return {shot_id: document.shot_etag(index) for index, shot_id in enumerate(document.shot_ids)}


@given(contents(), st.data())
def test_steps_that_are_made_again_after_a_crash_are_made_once(content: dict[str, Any], data: st.DataObject) -> None:
    """Steps as plans hold them: none moves a shot within its file, none sets what also follows from the shots."""

    def planned(step: Step) -> bool:
        sets_totals = isinstance(step, SetMembers) and not {"metadata", *LENGTHS, *COUNTS}.isdisjoint(step.updates)
        return not sets_totals and not isinstance(step, Reorder)

    before, model = opened(content, data), Model(content, "001")
    once, made = Draft(before, "001"), []
    for number in range(data.draw(st.integers(0, 4))):
        step = data.draw(steps(model, f"n{number}", {}).filter(planned))
        if attempt(once, model, step):
            made.append(step)
    after = once.finish(NOW)
    twice = Draft(after, "001")
    for step in made:
        twice.apply(step, again=True)
    assert plain(json.loads(twice.finish(NOW).raw.decode("utf-8-sig"))) == plain(
        json.loads(after.raw.decode("utf-8-sig"))
    )


@given(contents(), st.data())
def test_one_step_that_is_made_again_leaves_every_byte(content: dict[str, Any], data: st.DataObject) -> None:
    draft, model = Draft(opened(content, data), "001"), Model(content, "001")
    step = data.draw(steps(model, "n", {}))
    if not attempt(draft, model, step):
        return
    document = draft.finish(NOW)
    again = Draft(document, "001")
    again.apply(step, again=True)
    assert again.finish(NOW).raw == document.raw


@given(contents(), st.data())
def test_a_step_comes_back_from_json_as_it_was(content: dict[str, Any], data: st.DataObject) -> None:
    step = data.draw(steps(Model(content, "001"), "n", {}))
    assert domain_steps.from_json(json.loads(json.dumps(domain_steps.to_json(step)))) == step


def test_numbers_in_a_step_keep_their_text() -> None:
    step = Edit(shot_id="a", updates=parse_object('{"cfg": 1.10, "big": 1E5, "text": "1.10"}'), etag="e")
    back = domain_steps.from_json(json.loads(json.dumps(domain_steps.to_json(step))))
    assert isinstance(back, Edit)
    draft = Draft(parse_sequence(b'{"shots":[{"id":"a"}],"modified_at":""}', "f"), "001")
    assert draft.edit(Edit(shot_id="a", updates=back.updates)).document == (
        b'{"id":"a","cfg":1.10,"big":1E5,"text":"1.10"}'
    )


@pytest.mark.parametrize("garbage", [{}, {"step": "Explode"}, {"step": "Remove", "shot": 1, "etag": None}])
def test_what_is_no_step_is_refused(garbage: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        domain_steps.from_json(garbage)


SEQUENCE = b"""{
  "id": "001",
  "name": "Arrival",
  "shots": [
    {"id": "a", "number": 1},
    {"id": "b", "number": 2}
  ],
  "metadata": {}
}
"""


def draft_of(raw: bytes = SEQUENCE) -> Draft:
    return Draft(parse_sequence(raw, "sequences/sequence_001.json"), "001")


def reason_of(draft: Draft, step: Step) -> str:
    with pytest.raises(Fault) as caught:
        draft.apply(step)
    assert not draft.changed
    return caught.value.reason


@pytest.mark.parametrize("shot_id", ["null", '""', "7", "true", '{"a":1}', '"' + "x" * 257 + '"'])
def test_a_new_shot_needs_an_id_of_1_to_256_characters(shot_id: str) -> None:
    step = Insert(document=parse_object(f'{{"id": {shot_id}}}'), place=Place())
    assert reason_of(draft_of(), step) == "INVALID_SHOT_ID"
    assert reason_of(draft_of(), Insert(document={}, place=Place())) == "INVALID_SHOT_ID"


def test_a_shot_from_elsewhere_may_have_a_number_for_its_id() -> None:
    draft = draft_of()
    shot = draft.apply(InsertRaw(document=b'{"id": 7}', place=Place()))
    assert shot is not None
    assert (shot.id, shot.document) == ("7", b'{"id": 7, "number": 3}')
    assert reason_of(draft_of(), InsertRaw(document=b'{"id": {}}', place=Place())) == "INVALID_SHOT_ID"


def test_an_id_that_stands_twice_can_neither_be_given_again_nor_meant() -> None:
    raw = b'{"shots": [{"id": "a"}, {"id": "a"}, {"id": "b"}]}'
    assert draft_of(raw).has("a")
    assert reason_of(draft_of(raw), Insert(document={"id": "a"}, place=Place())) == "SHOT_EXISTS"
    for step in (
        Remove(shot_id="a"),
        Reorder(shot_id="a", place=Place()),
        Reorder(shot_id="b", place=Place(after="a")),
    ):
        assert reason_of(draft_of(raw), step) == "DUPLICATE_ID"


def test_a_place_before_the_first_is_refused() -> None:
    step = Reorder(shot_id="b", place=Place(index=-1))
    assert reason_of(draft_of(), step) == "INVALID_FIELD"


@pytest.mark.parametrize("name", ["shots", "storyboard", "id"])
def test_a_document_keeps_its_id_and_its_shots(name: str) -> None:
    assert reason_of(draft_of(), SetMembers(updates={name: []})) == "IMMUTABLE_FIELD"


def test_an_editor_may_send_the_id_back_also_where_the_file_states_none() -> None:
    for raw in (SEQUENCE, SEQUENCE.replace(b'  "id": "001",\n', b"")):
        draft = draft_of(raw)
        draft.apply(SetMembers(updates={"id": "001", "name": "Departure"}))
        assert draft.finish(NOW).raw.startswith(raw[: raw.index(b'"Arrival"')] + b'"Departure"')
        assert draft.head.name == "Departure"


def test_a_stale_etag_is_refused_with_what_is_there_now() -> None:
    for step in (Remove(shot_id="a", etag="0" * 32), Reorder(shot_id="a", place=Place(), etag="0" * 32)):
        with pytest.raises(Fault) as caught:
            draft_of().apply(step)
        assert caught.value.reason == "ETAG_MISMATCH"
        assert caught.value.current is not None
        assert caught.value.current.document_json == '{"id": "a", "number": 1}'
    with pytest.raises(Fault) as caught:
        draft_of().apply(SetMembers(updates={"name": "x"}, etag="0" * 32))
    assert caught.value.current is not None
    assert caught.value.current.etag == draft_of().base.etag


def test_a_stale_etag_does_not_matter_where_nothing_changes() -> None:
    draft = draft_of()
    draft.apply(Reorder(shot_id="b", place=Place(after="a"), etag="0" * 32))
    draft.apply(Reorder(shot_id="b", place=Place(after="b"), etag="0" * 32))
    draft.apply(SetMembers(updates={"name": "Arrival", "gone": None}, etag="0" * 32))
    assert not draft.changed


def test_the_etag_of_a_file_is_stale_when_somebody_came_first_but_not_by_ones_own_steps() -> None:
    draft = draft_of()
    draft.apply(Remove(shot_id="a"))
    draft.apply(SetMembers(updates={"name": "x"}, etag=draft.base.etag))
    draft.take()
    with pytest.raises(Fault) as caught:
        draft.apply(SetMembers(updates={"name": "y"}, etag=draft.base.etag))
    assert caught.value.reason == "ETAG_MISMATCH"


def test_a_moved_shot_comes_last_when_its_place_is_gone_after_a_crash() -> None:
    draft = draft_of()
    draft.apply(InsertRaw(document=b'{"id": "m"}', place=Place(after="gone")), again=True)
    assert draft.finish(NOW).shot_ids == ["a", "b", "m"]


def test_a_step_that_cannot_be_made_any_more_is_left_out_after_a_crash() -> None:
    draft = draft_of()
    for step in (
        Edit(shot_id="gone", updates={"a": "b"}),
        Edit(shot_id="a", updates={"a": "b"}, etag="0" * 32),
        Remove(shot_id="gone"),
        Reorder(shot_id="a", place=Place(after="gone")),
    ):
        assert draft.apply(step, again=True) is None
    assert not draft.changed


def test_a_whole_document_is_replaced_and_the_replacement_taken_back() -> None:
    draft = draft_of()
    draft.edit(Edit(shot_id="a", updates={"x": "y"}))
    draft.take()
    now = draft.finish(NOW).raw
    draft.apply(Remove(shot_id="b"))  # void: the same caller replaces everything
    draft.replace(b'{"id": "001", "shots": [{"id": "c"}, {"id": "a", "number": 1}]}')
    draft.edit(Edit(shot_id="c", updates={"z": "1"}))
    assert draft.finish(NOW).shot_ids == ["c", "a"]
    draft.take_back()
    assert draft.finish(NOW).raw == now
    draft.replace(b'{"id": "001", "name": "Arrival", "shots": [{"id": "c"}, {"id": "a", "number": 1}]}')
    taken = draft.take()
    assert {(each.id, each.what) for each in taken.shots} == {
        ("a", What.UPDATED),
        ("b", What.DELETED),
        ("c", What.CREATED),
    }
    assert (taken.changed, taken.complete) == (True, True)


def test_a_replacement_that_is_no_sequence_is_refused() -> None:
    for raw in (b'{"shots": [', b'{"name": "no shots"}'):
        with pytest.raises(Fault) as caught:
            draft_of().replace(raw)
        assert caught.value.reason == "SEQUENCE_FILE_INVALID"


def test_the_same_content_replaces_nothing() -> None:
    for raw in (SEQUENCE, SEQUENCE.replace(b'  "metadata": {}', b'  "modified_at": ""')):
        draft = draft_of(raw)
        draft.replace(raw)
        assert not draft.changed
        draft.apply(SetMembers(updates={"name": "x"}))
        # What was written before comes again: only its time of change is an older one.
        again = Draft(draft.finish(NOW), "001")
        again.replace(draft.finish(datetime(2020, 1, 1, tzinfo=UTC)).raw)
        assert not again.take().changed
        assert not again.changed


def test_a_shot_is_put_back_as_it_was_but_for_its_place() -> None:
    draft = draft_of()
    shot = draft.put_back("b", b'{"id": "b",  "cfg": 1.10, "number": 9, "sequencePlanId": "7"}')
    assert shot.document == b'{"id": "b",  "cfg": 1.10, "number": 2, "sequencePlanId": "001"}'
    assert draft.take().summary == "b: cfg, sequencePlanId"
    draft.put_back("b", shot.document)
    assert not draft.take().changed


def test_a_project_file_takes_a_shot_back_into_the_list_that_it_has() -> None:
    project = parse_project(b'{"storyboard": [{"id": "x"}], "shots": [{"id": "copy"}]}', "project.json")
    draft = Draft(project, "")
    draft.apply(InsertRaw(document=b'{"id": "y", "sequencePlanId": "9"}', place=Place()))
    after = draft.finish(NOW)
    assert after.shot_ids == ["x", "y"]
    assert after.shot(1) == b'{"id": "y", "sequencePlanId": "9"}'
    assert known(after) == known(parse_project(after.raw, "project.json"))
    without = Draft(parse_project(b"{}", "project.json"), "")
    assert reason_of(without, InsertRaw(document=b'{"id": "y"}', place=Place())) == "SEQUENCE_FILE_INVALID"


def test_shots_that_nobody_can_name_make_a_change_incomplete() -> None:
    draft = draft_of(b'{"shots": [{"id": "a", "number": 1}, {"number": 2}, {"id": "c", "number": 3}]}')
    draft.apply(Remove(shot_id="c"))
    assert draft.take().complete
    draft.apply(Remove(shot_id="a"))
    assert not draft.take().complete
    draft = draft_of(b'{"shots": [{"id": "a"}, {"id": "b", "number": 2}, {"id": "b", "number": 3}]}')
    draft.apply(Remove(shot_id="a"))
    taken = draft.take()
    assert ([each.id for each in taken.shots], taken.complete) == (["a"], False)


def test_a_shot_that_is_taken_back_has_the_etag_that_it_had() -> None:
    draft = draft_of()
    kept = draft.edit(Edit(shot_id="a", updates={"x": "y"}))
    draft.take()
    draft.edit(Edit(shot_id="a", updates={"x": "z"}))
    draft.take_back()
    assert draft.shot("a") == kept


def test_a_shot_that_is_as_before_in_the_end_did_not_change() -> None:
    draft = draft_of()
    draft.edit(Edit(shot_id="a", updates={"x": "y"}))
    draft.edit(Edit(shot_id="b", updates={"x": "y"}))
    draft.edit(Edit(shot_id="a", updates={"x": None}))
    assert [each.id for each in draft.take().shots] == ["b"]
    draft.edit(Edit(shot_id="b", updates={"x": "z"}))
    draft.edit(Edit(shot_id="b", updates={"x": "y"}))
    assert not draft.take().changed


def test_documents_of_a_large_change_do_not_travel_with_it() -> None:
    shots = [{"id": f"s{index}", "number": index + 1, "prompt": "x" * 3000} for index in range(100)]
    draft = draft_of(write({"shots": shots}, {"indent": 2}))
    draft.apply(Remove(shot_id="s0"))
    assert all(each.document is None for each in draft.take().shots)
    draft.apply(Remove(shot_id="s99"))
    draft.edit(Edit(shot_id="s50", updates=strict({"prompt": "y"}), mode=Mode.REPLACE_TOP_LEVEL))
    assert [each.id for each in draft.take().shots if each.document] == ["s50"]
