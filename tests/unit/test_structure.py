"""Shots that come, go and move, as a person sees it in the file: new ones look like their neighbours."""

from datetime import UTC, datetime

import pytest

from services.kernel.strict_json import parse_object
from services.sequence_file.domain.document import parse_sequence
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.steps import Insert, InsertRaw, Place, Remove, Reorder, Step

NOW = datetime(2026, 11, 21, 9, 30, 0, 123_000, tzinfo=UTC)


def after(text: str, *steps: Step) -> str:
    """The text after the steps. It has a time of change, which is the only other thing that may be different."""
    draft = Draft(parse_sequence(text.replace("§", "1970-01-01T00:00:00.000Z").encode(), "f"), "001")
    for step in steps:
        draft.apply(step)
    return draft.finish(NOW).raw.decode().replace("2026-11-21T09:30:00.123Z", "§")


def new(shot_id: str, place: Place, more: str = "") -> Insert:
    return Insert(document=parse_object(f'{{"id": "{shot_id}"{more}}}'), place=place)


END = ',\n  "modified_at": "§"\n}\n'


@pytest.mark.parametrize(
    ("before", "then"),
    [
        (
            '{\n  "shots": []' + END,
            '{\n  "shots": [\n    {\n      "id": "n",\n      "x": [\n        1\n      ]\n    }\n  ]' + END,
        ),
        (
            '{\n  "shots": [ ]' + END,
            '{\n  "shots": [\n    {\n      "id": "n",\n      "x": [\n        1\n      ]\n    }\n  ]' + END,
        ),
        ('{"shots":[],"modified_at":"§"}', '{"shots":[{"id":"n","x":[1]}],"modified_at":"§"}'),
        ('{"shots": [], "modified_at": "§"}', '{"shots": [{"id": "n", "x": [1]}], "modified_at": "§"}'),
        (
            '\ufeff{\r\n\t"shots": [],\r\n\t"modified_at": "§"\r\n}',
            '\ufeff{\r\n\t"shots": [\r\n\t\t{\r\n\t\t\t"id": "n",\r\n\t\t\t"x": [\r\n\t\t\t\t1\r\n\t\t\t]\r\n'
            '\t\t}\r\n\t],\r\n\t"modified_at": "§"\r\n}',
        ),
        # One shot: what stands before it stands before the next, too.
        ('{"shots":[{"id":"a"}],"modified_at":"§"}', '{"shots":[{"id":"a"},{"id":"n","x":[1]}],"modified_at":"§"}'),
        (
            '{\n  "shots": [\n    {"id": "a"}\n  ]' + END,
            '{\n  "shots": [\n    {"id": "a"},\n    {"id": "n", "x": [1]}\n  ]' + END,
        ),
        (
            '{\n  "shots": [{\n    "id": "a"\n  }]' + END,
            '{\n  "shots": [{\n    "id": "a"\n  }, {\n    "id": "n",\n    "x": [\n      1\n    ]\n  }]' + END,
        ),
        # More: what stands between them stands between all.
        (
            '{\n  "shots": [{"id": "a"},\n\n            {"id": "b"} ]' + END,
            '{\n  "shots": [{"id": "a"},\n\n            {"id": "b"},\n\n            {"id": "n", "x": [1]} ]' + END,
        ),
        (
            '{"shots":[{"id":"a"} ,{"id":"b"}],"modified_at":"§"}',
            '{"shots":[{"id":"a"} ,{"id":"b"} ,{"id":"n","x":[1]}],"modified_at":"§"}',
        ),
    ],
)
def test_a_new_shot_looks_like_what_stands_around_it(before: str, then: str) -> None:
    assert after(before, new("n", Place(), ', "x": [1]')) == then
    if '"a"' in before:  # as if it had never been there
        assert after(before, new("n", Place()), Remove(shot_id="n")) == before


LINES = """{
  "shots": [

    {"id": "a", "n": 1.10},
    {"id": "b"},

    {
      "id": "c"
    }
  ],
  "modified_at": "§"
}
"""


@pytest.mark.parametrize(
    ("step", "then"),
    [
        (Remove(shot_id="a"), LINES.replace('{"id": "a", "n": 1.10},\n    ', "")),
        (Remove(shot_id="b"), LINES.replace(',\n    {"id": "b"}', "")),
        (Remove(shot_id="c"), LINES.replace(',\n\n    {\n      "id": "c"\n    }', "")),
        (new("n", Place(index=0)), LINES.replace('{"id": "a"', '{"id": "n"},\n    {"id": "a"')),
        (new("n", Place(after="a")), LINES.replace('{"id": "b"}', '{"id": "n"},\n    {"id": "b"}')),
        (new("n", Place(index=9)), LINES.replace('"c"\n    }', '"c"\n    },\n\n    {\n      "id": "n"\n    }')),
        (
            InsertRaw(document=b'{"id":"n", "odd" : 1.10}', place=Place(index=1)),
            LINES.replace('{"id": "b"}', '{"id":"n", "odd" : 1.10},\n    {"id": "b"}'),
        ),
        (
            Reorder(shot_id="c", place=Place(index=0)),
            LINES.replace('{"id": "a", "n": 1.10}', "A").replace('{"id": "b"}', '{"id": "a", "n": 1.10}')
            .replace('{\n      "id": "c"\n    }', '{"id": "b"}').replace("A", '{\n      "id": "c"\n    }'),
        ),
    ],
)  # fmt: skip
def test_every_byte_around_a_shot_that_comes_goes_or_moves_stays(step: Step, then: str) -> None:
    assert after(LINES, step) == then


def test_the_last_shot_leaves_an_empty_list() -> None:
    assert after('{\n  "shots": [\n    {"id": "a"}\n  ]' + END, Remove(shot_id="a")) == '{\n  "shots": []' + END


def test_only_the_digits_of_a_number_change() -> None:
    before = (
        '{"shots":[{"id":"a","inner":{"number":1},"number" : 1},{"id":"b","number":2.0,"text":"\\"number\\": 1"},'
        '{"id":"c","n\\u0075mber":3,"x":{"number":3}},{"id":"d","number":null}],"modified_at":"§"}'
    )
    assert after(before, Reorder(shot_id="c", place=Place(index=0))) == (
        '{"shots":[{"id":"c","n\\u0075mber":1,"x":{"number":3}},{"id":"a","inner":{"number":1},"number" : 2},'
        '{"id":"b","number":3,"text":"\\"number\\": 1"},{"id":"d","number":null}],"modified_at":"§"}'
    )
    # A number that says the same in another way is right.
    assert after(before, Remove(shot_id="d")) == before.replace(',{"id":"d","number":null}', "")


def test_positions_follow_only_where_they_were_places() -> None:
    places = '{"shots":[{"id":"a","position":1},{"id":"b","position":2}],"modified_at":"§"}'
    assert after(places, new("n", Place(index=0))) == (
        '{"shots":[{"id":"n","position":1},{"id":"a","position":2},{"id":"b","position":3}],"modified_at":"§"}'
    )
    seconds = places.replace(":2}", ":7.5}")
    assert after(seconds, new("n", Place(index=0))) == seconds.replace("[{", '[{"id":"n"},{', 1)


@pytest.mark.parametrize(
    ("sequence_id", "before", "then"),
    [
        ("002", '"sequencePlanId": "001"', '"sequencePlanId": "002"'),
        ("002", '"sequencePlanId": 1', '"sequencePlanId": "002"'),
        ("2", '"sequencePlanId": 1, "sequence_id": "001"', '"sequencePlanId": 2, "sequence_id": "2"'),
        ("2", '"sequencePlanId": null', '"sequencePlanId": null'),
        ("2", '"metadata": {"sequence_id": "001", "x": 1.0}', '"metadata": {"sequence_id": "2", "x": 1.0}'),
        ("2", '"metadata": {"sequence_id": 1, "x": 1.0}', '"metadata": {"sequence_id": 1, "x": 1.0}'),
        ("2", '"metadata": {"sequence_id": "003"}', '"metadata": {"sequence_id": "003"}'),
    ],
)
def test_a_moved_shot_names_the_sequence_that_it_comes_into(sequence_id: str, before: str, then: str) -> None:
    draft = Draft(parse_sequence(b'{"shots": []}', "f"), sequence_id)
    document = f'{{"id": "m",  {before}}}'.encode()
    shot = draft.apply(InsertRaw(document=document, place=Place(), source="001"))
    assert shot is not None
    assert shot.document.decode() == f'{{"id": "m",  {then}}}'


def test_a_new_shot_has_what_all_others_have() -> None:
    draft = Draft(parse_sequence(b'{"shots":[{"id":"a","number":1,"sequencePlanId":6}]}', "f"), "6")
    shot = draft.apply(new("n", Place(index=0)))
    assert shot is not None
    assert shot.document == b'{"id":"n","sequencePlanId":6,"number":1}'
    assert draft.shot("a").document == b'{"id":"a","number":2,"sequencePlanId":6}'
