"""U8: what an edit does not touch stays byte for byte, and what it touches is what RFC 7396 says."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.kernel import strict_json
from services.kernel.faults import Fault
from services.sequence_file.domain.document import Document, parse_project, parse_sequence
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.steps import Edit, Mode

NOW = datetime(2026, 11, 21, 9, 30, 0, 123_000, tzinfo=UTC)
STAMP = "2026-11-21T09:30:00.123Z"

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8)
NAMES = st.sampled_from(["a", "b", "prompt", "é", 'q"uote', "\\", "parameters", "shots"]) | TEXT
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9, width=32) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
)
OBJECTS = st.dictionaries(NAMES.filter(lambda name: name not in ("id", "sequencePlanId")), VALUES, max_size=5)
# How files look: JSON.stringify with an indent, minified, Python's default, tabs.
LAYOUTS = st.sampled_from(
    [
        {"indent": 2},
        {"indent": 4},
        {"indent": "\t"},
        {"separators": (",", ":")},
        {},
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A sequence document and the layout that it is written with."""
    shots = [{"id": f"s{i}", **draw(OBJECTS)} for i in range(draw(st.integers(1, 4)))]
    document = {**draw(OBJECTS), "shots": shots, **draw(st.dictionaries(st.just("z") | TEXT, VALUES, max_size=2))}
    document["shots"] = shots
    document.pop("metadata", None)
    for name in ("modified_at", "updated_at", "id", "name", "order"):
        document.pop(name, None)
    if draw(st.booleans()):
        document["metadata"] = {**draw(OBJECTS), "modified_at": "2020-01-01T00:00:00.000Z"}
    return document, draw(LAYOUTS)


def write(document: dict[str, Any], layout: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, **layout).encode()


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2, word for word in Python."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def strict(value: dict[str, Any]) -> dict[str, strict_json.Json]:
    return strict_json.parse_object(json.dumps(value, ensure_ascii=False))


def same_json(left: Any, right: Any) -> bool:
    """Equality that tells true from 1; order does not count."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def outside(document: Document, shot: int) -> list[bytes]:
    """The bytes of a document without one shot and without its times of change."""
    spans = [(document.starts[shot], document.ends[shot])]
    if metadata := document.members.get("metadata"):
        spans.append((metadata.start, metadata.end))
    pieces, taken = [], 0
    for start, end in sorted(spans):
        pieces.append(document.raw[taken:start])
        taken = end
    return [*pieces, document.raw[taken:]]


@given(documents(), OBJECTS, st.data())
def test_an_edit_changes_the_shot_as_the_rfc_says_and_no_other_byte(
    drawn: tuple[dict[str, Any], dict[str, Any]], updates: dict[str, Any], data: st.DataObject
) -> None:
    content, layout = drawn
    before = parse_sequence(write(content, layout), "f")
    index = data.draw(st.integers(0, len(content["shots"]) - 1))
    draft = Draft(before, "001")
    answer = draft.edit(Edit(shot_id=f"s{index}", updates=strict(updates)))

    wanted = merged(content["shots"][index], updates)
    assert same_json(json.loads(answer.document), wanted)
    if not draft.changed:
        assert same_json(content["shots"][index], wanted)
        return
    after = draft.finish(NOW)
    again = parse_sequence(after.raw, "f")
    assert (after.starts, after.ends, after.members) == (again.starts, again.ends, again.members)
    assert again.shot(index) == answer.document
    assert again.shot_etag(index) == answer.etag == after.shot_etag(index)
    assert json.loads(after.raw)["metadata"]["modified_at"] == STAMP
    if "metadata" in content:
        assert outside(after, index) == outside(before, index)


@given(documents(), OBJECTS, st.sampled_from([{"indent": 2}, {"indent": 4}, {"indent": "\t"}]))
def test_a_file_as_json_stringify_writes_it_stays_one(
    drawn: tuple[dict[str, Any], dict[str, Any]], updates: dict[str, Any], layout: dict[str, Any]
) -> None:
    content, _ = drawn
    draft = Draft(parse_sequence(write(content, layout), "f"), "001")
    draft.edit(Edit(shot_id="s0", updates=strict(updates)))
    assume(draft.changed)
    content["shots"][0] = merged(content["shots"][0], updates)
    content.setdefault("metadata", {})["modified_at"] = STAMP
    assert draft.finish(NOW).raw == write(content, layout)


@given(documents(), OBJECTS)
def test_replacing_top_level_members_is_object_assign(
    drawn: tuple[dict[str, Any], dict[str, Any]], updates: dict[str, Any]
) -> None:
    content, layout = drawn
    draft = Draft(parse_sequence(write(content, layout), "f"), "001")
    answer = draft.edit(Edit(shot_id="s0", updates=strict(updates), mode=Mode.REPLACE_TOP_LEVEL))
    assert same_json(json.loads(answer.document), {**content["shots"][0], **updates})


@given(documents(), st.lists(st.tuples(st.integers(0, 3), OBJECTS), min_size=1, max_size=6))
def test_a_batch_of_edits_is_the_edits_one_after_the_other(
    drawn: tuple[dict[str, Any], dict[str, Any]], edits: list[tuple[int, dict[str, Any]]]
) -> None:
    content, layout = drawn
    together = Draft(parse_sequence(write(content, layout), "f"), "001")
    alone = parse_sequence(write(content, layout), "f")
    for number, updates in edits:
        edit = Edit(shot_id=f"s{number % len(content['shots'])}", updates=strict(updates))
        answer = together.edit(edit)
        single = Draft(alone, "001")
        assert single.edit(edit) == answer
        alone = single.finish(NOW) if single.changed else alone
    if together.changed:
        assert together.finish(NOW).raw == alone.raw


GOLDEN = """\ufeff{\r
  "id": "001", "shots": [\r
    { "id": "s1", "n": 1.10, "big": 12345678901234567890, "e": 1E5, "inline": [1, 2], "u": "\\u00e9\\/",\r
      "generation": {\r
        "prompt": "old",\r
        "parameters": { "steps": 20, "cfg": 7.50 }\r
      } },\r
    {"id":"s2"}\r
  ],\r
  "zoë": null\r
}\r
\r
"""


def edited(text: str, updates: str, shot: str = "s1") -> str:
    draft = Draft(parse_sequence(text.encode(), "f"), "001")
    draft.edit(Edit(shot_id=shot, updates=strict_json.parse_object(updates)))
    return draft.finish(NOW).raw.decode()


def test_numbers_escapes_line_ends_and_byte_order_mark_stay_as_they_are_written() -> None:
    after = edited(GOLDEN, '{"generation":{"prompt":"new"}}')
    stamp = f',\r\n  "metadata": {{\r\n    "modified_at": "{STAMP}"\r\n  }}\r\n}}'
    assert after == GOLDEN.replace('"old"', '"new"').replace("null\r\n}", f"null{stamp}")


def test_what_is_new_looks_like_what_stands_around_it() -> None:
    after = edited(GOLDEN, '{"generation":{"parameters":{"seed":4,"size":{"w":1}}},"inline":[1,2,3]}')
    assert '"parameters": { "steps": 20, "cfg": 7.50, "seed": 4, "size": {"w": 1} }' in after
    assert '"inline": [1, 2, 3]' in after


def test_a_removed_member_takes_its_comma_along() -> None:
    text = '{"shots":[{"id":"s1","a":1,"b":{"c":1},"d":2}],"modified_at":""}'
    for updates, left in [
        ('{"a":null}', '{"id":"s1","b":{"c":1},"d":2}'),
        ('{"d":null}', '{"id":"s1","a":1,"b":{"c":1}}'),
        ('{"a":null,"b":null,"d":null}', '{"id":"s1"}'),
        ('{"b":{"c":null}}', '{"id":"s1","a":1,"b":{},"d":2}'),
        ('{"d":null,"new":{"x":[]}}', '{"id":"s1","a":1,"b":{"c":1},"new":{"x":[]}}'),
    ]:
        assert edited(text, updates) == '{"shots":[' + left + f'],"modified_at":"{STAMP}"}}'


def test_a_value_that_is_there_already_is_no_change() -> None:
    draft = Draft(parse_sequence(GOLDEN.encode(), "f"), "001")
    draft.edit(Edit(shot_id="s1", updates=strict_json.parse_object('{"n":1.1,"e":100000,"u":"é/","gone":null}')))
    assert not draft.changed


def test_true_is_not_one() -> None:
    text = '{"shots":[{"id":"s1","a":1}],"modified_at":""}'
    assert '"a":true' in edited(text, '{"a":true}')


def test_the_time_of_change_never_goes_back() -> None:
    times = '{"modified_at":"2030-01-01T00:00:00.000Z","updated_at":"2020-01-01T00:00:00Z"}'
    text = '{"shots":[{"id":"s1"}],"metadata":' + times + "}"
    after = json.loads(edited(text, '{"a":1}'))["metadata"]
    assert after == {"modified_at": "2030-01-01T00:00:00.000Z", "updated_at": STAMP}


def test_times_of_change_stand_where_the_file_has_them() -> None:
    project = (
        b'{"shots":[{"id":"s1"}],"modified_at":"2020-01-01T00:00:00Z","metadata":{"updated_at":"2020-01-01T00:00:00Z"}}'
    )
    draft = Draft(parse_project(project, "project.json"), "")
    draft.edit(Edit(shot_id="s1", updates={"a": "b"}))
    after = json.loads(draft.finish(NOW).raw)
    assert after["modified_at"] == after["metadata"]["updated_at"] == STAMP
    assert "modified_at" not in after["metadata"]


@pytest.mark.parametrize("updates", ['{"id":"s2"}', '{"sequencePlanId":"002"}', '{"id":null}', '{"id":1}'])
def test_identity_cannot_be_changed(updates: str) -> None:
    draft = Draft(parse_sequence(b'{"shots":[{"id":"s1","sequencePlanId":"001"}]}', "f"), "001")
    with pytest.raises(Fault) as caught:
        draft.edit(Edit(shot_id="s1", updates=strict_json.parse_object(updates)))
    assert caught.value.reason == "IMMUTABLE_FIELD"
    assert not draft.changed


def test_an_editor_may_send_the_whole_shot_back() -> None:
    draft = Draft(parse_sequence(b'{"shots":[{"id":7,"sequencePlanId":"001","a":1}]}', "f"), "001")
    answer = draft.edit(Edit(shot_id="7", updates=strict_json.parse_object('{"id":7,"sequencePlanId":"001","a":2}')))
    assert answer.document == b'{"id":7,"sequencePlanId":"001","a":2}'


def test_the_shallow_spread_of_the_old_editor_loses_what_the_merge_keeps() -> None:
    """The naive version: Object.assign on seed 001's documented call wipes model and parameters."""
    shot = {"id": "s1", "generation": {"prompt": "old", "model": "flux-dev", "parameters": {"steps": 20}}}
    updates = {"generation": {"prompt": "new"}}
    assert "model" not in {**shot, **updates}["generation"]
    draft = Draft(parse_sequence(write({"shots": [shot]}, {}), "f"), "001")
    kept = json.loads(draft.edit(Edit(shot_id="s1", updates=strict(updates))).document)["generation"]
    assert kept == {"prompt": "new", "model": "flux-dev", "parameters": {"steps": 20}}


def test_reformatting_is_no_change_of_content() -> None:
    shot = {"id": "s1", "text": 'a  b " c', "n": [1, 2]}
    compact, pretty = (write({"shots": [shot]}, layout) for layout in ({"separators": (",", ":")}, {"indent": 2}))
    assert parse_sequence(compact, "f").shot_etag(0) == parse_sequence(pretty, "f").shot_etag(0)
    other = write({"shots": [{**shot, "text": 'a b " c'}]}, {})
    assert parse_sequence(compact, "f").shot_etag(0) != parse_sequence(other, "f").shot_etag(0)
