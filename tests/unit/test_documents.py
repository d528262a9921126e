"""What counts as a sequence file, and where the fault of one that does not stands."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.faults import Code, Fault
from services.sequence_file.domain.document import content_etag, parse_project, parse_sequence
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.steps import Edit

BROKEN = [
    (b"", 1, 1),
    (b" \n ", 2, 2),
    (b'{"shots":[', 1, 11),
    ('{"shots":[]}'.encode("utf-16"), 1, 1),
    (b'{\n "a":"\xff"}', 2, 7),
    (b"[]", 1, 1),
    (b"null", 1, 1),
    (b"{}", 1, 1),
    (b'{"shots":{}}', 1, 10),
    (b'{\n  "shots": [],\n}', 3, 1),
    (b'{"shots":[{"id":"a"},]}', 1, 22),
    (b'{"shots":[],"shots":[]}', 1, 13),
    (b'{"shots":[\n{"a":1,"a":2}]}', 2, 1),
    (b'{"shots":[null]}', 1, 11),
    (b'{"shots":[],"a":NaN}', 1, 17),
    (b'{"shots":[]}}', 1, 13),
    (b'{"shots":[]} x', 1, 14),
    (b'{"shots":[],"a":"\x01"}', 1, 18),
    ('{"é":1,\n"ü":é,"shots":[]}'.encode(), 2, 5),
    (b'{"shots":[],"a":' + b"[" * 5000 + b"]" * 5000 + b"}", 1, 17),
]


@pytest.mark.parametrize(("raw", "line", "column"), BROKEN, ids=[str(raw[:20]) for raw, _, _ in BROKEN])
def test_a_broken_file_is_refused_with_line_and_column(raw: bytes, line: int, column: int) -> None:
    with pytest.raises(Fault) as caught:
        parse_sequence(raw, "sequences/sequence_001.json")
    fault = caught.value
    assert (fault.code, fault.reason) == (Code.FAILED_PRECONDITION, "SEQUENCE_FILE_INVALID")
    assert (fault.metadata["line"], fault.metadata["column"]) == (str(line), str(column))
    assert "sequences/sequence_001.json" in fault.message


def test_the_naive_reader_answers_an_empty_list_for_a_broken_file() -> None:
    """Upstream's reader, after seed 001's description: what this context exists to replace."""
    import json

    def naive(raw: bytes) -> list[object]:
        try:
            return list(json.loads(raw)["shots"])
        except (ValueError, KeyError, TypeError):
            return []

    assert naive(b'{"shots":[') == []


def test_what_javascript_accepts_is_read() -> None:
    raw = '\ufeff{"shots":[{"id":"a","s":"\\ud800","n":1e999,"i":' + "9" * 5000 + "}]}"
    document = parse_sequence(raw.encode(), "f")
    assert document.shot(0).startswith(b'{"id":"a"')


def test_shots_are_known_by_text_number_or_not_at_all() -> None:
    raw = '{"shots":[{"id":"a"},{"id":7},{},{"id":null},{"id":""},{"id":"é\\u00e9"},{"id":{}}]}'
    assert parse_sequence(raw.encode(), "f").shot_ids == ["a", "7", None, None, None, "éé", None]


def test_a_shot_id_that_stands_twice_cannot_be_meant() -> None:
    document = parse_sequence(b'{"shots":[{"id":"a"},{"id":"b"},{"id":"a"}]}', "f")
    assert document.find("b") == 1
    with pytest.raises(Fault) as caught:
        document.find("a")
    assert caught.value.reason == "DUPLICATE_ID"
    assert "shot 1" in caught.value.message
    assert "shot 3" in caught.value.message


def test_regular_shots_are_those_of_the_storyboard_if_there_is_one() -> None:
    both = parse_project(b'{"shots":[{"id":"a"}],"storyboard":[{"id":"b"}]}', "project.json")
    assert both.shot_ids == ["b"]
    assert parse_project(b'{"shots":[{"id":"a"}]}', "project.json").shot_ids == ["a"]
    assert parse_project(b"{}", "project.json").shot_ids == []


@pytest.mark.parametrize(
    ("order", "read"), [("2", 2.0), ("-1.5", -1.5), ('"2"', None), ('"nan"', None), ("1e999", None)]
)
def test_only_a_number_is_an_order(order: str, read: float | None) -> None:
    assert parse_sequence(f'{{"order":{order},"shots":[]}}'.encode(), "f").head.order == read


def test_a_document_may_begin_with_a_lot_of_space() -> None:
    document = parse_sequence(b" " * 70_000 + b'{"shots":[{"id":"a"}],"modified_at":""}', "f")
    assert Draft(document, "001").edit(Edit(shot_id="a", updates={"b": "c"})).document == b'{"id":"a","b":"c"}'


_LEAVES = st.none() | st.booleans() | st.integers() | st.text('ab \t"\\{}[],:é', max_size=6)
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner))


@given(st.tuples(_VALUES, _VALUES), st.booleans())
def test_a_shots_etag_is_the_same_for_every_layout_of_the_same_json_and_for_no_other(
    values: tuple[object, object], escaped: bool
) -> None:
    one, other = values
    wide = json.dumps(one, indent=2, ensure_ascii=escaped).encode()
    narrow = json.dumps(one, separators=(",", ":"), ensure_ascii=escaped).encode()
    assert content_etag(wide) == content_etag(narrow)
    different = json.dumps(other, separators=(",", ":"), ensure_ascii=escaped).encode()
    assert (content_etag(wide) == content_etag(different)) == (narrow == different)
