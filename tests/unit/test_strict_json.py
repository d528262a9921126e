"""The strict JSON parser: what it keeps, and what it refuses with a pointer."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel import strict_json
from services.kernel.faults import Code, Fault

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(VALUES)
def test_a_value_survives_parsing_and_writing(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert strict_json.dumps(strict_json.parse(text)) == text


def test_numbers_keep_the_text_they_were_sent_with() -> None:
    text = '{"a":1.10,"b":-0.0,"c":1E5,"d":[9007199254740992,0.1e-7]}'
    assert strict_json.dumps(strict_json.parse(text)) == text


REFUSED = [
    ('{"a":NaN}', "/a"),
    ('{"a":[1,-Infinity]}', "/a/1"),
    ('{"a":{"b/c~d":1e999}}', "/a/b~1c~0d"),
    ('{"a":9007199254740993}', "/a"),
    ('{"a":-9007199254740993}', "/a"),
    ('{"a":' + "9" * 5000 + "}", "/a"),
    ('{"a":1,"b":{"c":1,"c":2}}', "/b/c"),
    ('{"a":"\\ud800"}', "/a"),
    ('{"\\udc00":1}', ""),
    ('{"a":"x\\u0000y"}', "/a"),
    ("[" * 65 + "]" * 65, "/0" * 64),
    ('{"k":' + "[" * 200_000 + "]" * 200_000 + "}", "/k" + "/0" * 63),
    ('{"x":[1,{"y":' + "[" * 200_000 + "]" * 200_000 + "}]}", "/x/1/y" + "/0" * 61),
]


@pytest.mark.parametrize(("text", "pointer"), REFUSED, ids=lambda value: value[:24])
def test_what_a_file_could_not_keep_is_refused_at_its_place(text: str, pointer: str) -> None:
    with pytest.raises(Fault) as caught:
        strict_json.parse(text)
    assert (caught.value.code, caught.value.reason) == (Code.INVALID_ARGUMENT, "INVALID_JSON")
    assert caught.value.metadata["pointer"] == pointer


def test_the_standard_parser_accepts_what_this_one_refuses() -> None:
    """The naive version: the same inputs go through json.loads without a word."""
    accepted = [text for text, _ in REFUSED[:4] + REFUSED[6:10] if json.loads(text) is not None]
    assert len(accepted) == 8


@pytest.mark.parametrize("text", ["", "{", '{"a":1,}', "[1,]", "\ufeff{}", "{'a':1}", '{"a":01}', '"\t"', "1 2"])
def test_what_is_not_json_is_refused_with_line_and_column(text: str) -> None:
    with pytest.raises(Fault) as caught:
        strict_json.parse(text)
    assert caught.value.metadata["line"] == "1"


@pytest.mark.parametrize("text", ["[]", "null", "1", '"x"', "true"])
def test_an_object_is_asked_for_where_one_is_needed(text: str) -> None:
    with pytest.raises(Fault, match="must be a JSON object"):
        strict_json.parse_object(text)


def test_a_million_names_are_refused_within_a_second() -> None:
    text = "{" + ",".join(f'"k{i}":1' for i in range(10**6)) + "}"
    began = time.monotonic()
    with pytest.raises(Fault, match="more than 200000 values"):
        strict_json.parse(text)
    assert time.monotonic() - began < 1


def test_commas_inside_of_strings_are_not_values() -> None:
    text = json.dumps({"a": "," * 300_000})
    assert strict_json.dumps(strict_json.parse(text)) == text.replace(": ", ":")


def test_proto_is_a_name_like_any_other() -> None:
    assert strict_json.dumps(strict_json.parse('{"__proto__":{"a":1}}')) == '{"__proto__":{"a":1}}'
