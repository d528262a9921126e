"""From what is typed after --set and --json-patch to the JSON that is sent."""

import json

import pytest

from gateway.cli.patches import WrongPatch, updates_json


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["type=wide"], {"type": "wide"}),
        (["generation.prompt=A door, ajar"], {"generation": {"prompt": "A door, ajar"}}),
        (["a.b=1", "a.c=2"], {"a": {"b": 1, "c": 2}}),
        (["a=x=y"], {"a": "x=y"}),
        (["a="], {"a": ""}),
        (["a=null"], {"a": None}),
        (["a=true"], {"a": True}),
        (["a=[1,2]"], {"a": [1, 2]}),
        (['a="25"'], {"a": "25"}),
        (["a=001"], {"a": "001"}),
        (["a=NaN"], {"a": "NaN"}),
        (["a=1 - 2"], {"a": "1 - 2"}),
    ],
)
def test_a_value_is_json_where_it_can_be_and_text_where_not(typed: list[str], meant: object) -> None:
    assert json.loads(updates_json(typed, None)) == meant


def test_numbers_are_sent_as_they_were_typed() -> None:
    assert updates_json(["a=1.10", "b=1E2"], '{"c": 7.50}') == '{"c":7.50,"a":1.10,"b":1E2}'


def test_set_comes_on_top_of_the_patch_and_leaves_its_siblings() -> None:
    assert updates_json(["g.prompt=new"], '{"g": {"prompt": "old", "steps": 3}}') == '{"g":{"prompt":"new","steps":3}}'


@pytest.mark.parametrize(
    ("assignments", "json_patch", "said"),
    [
        ([], None, "nothing to change"),
        (["no-equals-sign"], None, "PATH=VALUE"),
        (["=1"], None, "PATH=VALUE"),
        (["a..b=1"], None, "PATH=VALUE"),
        (["a={oops"], None, "not JSON"),
        (["a=1", "a.b=2"], None, "a is set to something else"),
        ([], "[1]", "must be a JSON object"),
        ([], '{"a":1,"a":2}', "duplicate name at /a"),
    ],
)
def test_what_cannot_be_meant_is_refused(assignments: list[str], json_patch: str | None, said: str) -> None:
    with pytest.raises(WrongPatch, match=said):
        updates_json(assignments, json_patch)
