"""The open part of an asset: which members have a rule, and how it is changed.

The members are those of the JSON in seed 004. Rules are checked on what a caller sends, so what direct SQL left behind
does not stand in the way of other changes. A member that is null counts as absent; all others are kept as they are.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from services.asset_graph.domain.faults import invalid_metadata
from services.kernel.strict_json import MAX_INTEGER, Json, Number, dumps, escape_pointer, invalid_json, parse_object

MOST_ATTEMPTS = 10**9  # so that there is always a next one in 32 bits
MOST_AMOUNT = 10**9  # of seconds, pixels, points
# PostgreSQL writes numbers out: 1e20 is an integer there, and 1e-300 is 302 characters long.
_SMALLEST_EXPONENT = -400
_EXPONENT = re.compile(r"[0-9][eE][-+0-9]")  # a number that has one, or a text that looks so


class Mode(Enum):
    """How new metadata is applied to what is there."""

    MERGE_PATCH = "merge patch"  # RFC 7396
    REPLACE_TOP_LEVEL = "replace top level"  # as Object.assign does; null is stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A member of metadata that has a rule."""

    name: str
    rule: str  # what it must be, for people
    holds: Callable[[Json], bool]


def _text(value: Json) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


def _amount(value: Json) -> bool:
    return isinstance(value, Number) and 0 <= float(value) <= MOST_AMOUNT


def _whole(value: Json, most: int) -> bool:
    # JavaScript has one kind of numbers: 3.0 is a whole one.
    return isinstance(value, Number) and 1 <= (number := float(value)) <= most and number.is_integer()


def _free_text(name: str) -> Field:
    return Field(name=name, rule="text", holds=_text)


def _measure(name: str) -> Field:
    return Field(name=name, rule="a number from 0 to 10^9", holds=_amount)


def _number_or_text(name: str) -> Field:
    return Field(
        name=name, rule="text or a whole number from 1", holds=lambda value: _text(value) or _whole(value, MOST_AMOUNT)
    )


def _count(name: str, most: int = MOST_AMOUNT) -> Field:
    return Field(name=name, rule="a whole number from 1", holds=lambda value: _whole(value, most))


FIELDS: Mapping[str, tuple[Field, ...]] = {
    "film": (_free_text("title"), _free_text("synopsis"), _measure("total_duration"), _free_text("status")),
    "scene": (_number_or_text("scene_number"), _free_text("setting"), _free_text("description")),
    "shot": (
        _number_or_text("shot_number"),
        _free_text("description"),
        _free_text("camera_angle"),
        _measure("duration_target"),
        _free_text("prompt"),
    ),
    "shot_take": (
        _count("attempt_number", MOST_ATTEMPTS),
        Field(name="selected", rule="true or false", holds=lambda value: isinstance(value, bool)),
        Field(name="generation_params", rule="an object", holds=lambda value: isinstance(value, dict)),
        _measure("quality_score"),
        _free_text("director_notes"),
    ),
    "video": (
        _count("width"),
        _count("height"),
        Field(name="fps", rule="a number above 0", holds=lambda value: _amount(value) and float(str(value)) > 0),
        _free_text("codec"),
        _free_text("format"),
    ),
}


def parsed(text: str) -> dict[str, Json]:
    """The object that a caller sends; empty text means `{}`. Raises INVALID_JSON."""
    if not text or text == "{}":
        return {}
    value = parse_object(text)
    if _EXPONENT.search(text):
        _check_exponents(value, "")
    return value


def check(asset_type: str, members: Mapping[str, Json]) -> None:
    """Raise INVALID_METADATA for a known member of the type that breaks its rule."""
    for field in FIELDS.get(asset_type, ()):
        value = members.get(field.name)
        if value is not None and not field.holds(value):
            raise invalid_metadata(f"/{field.name}", field.rule)


def changed(current: str, members: Mapping[str, Json], mode: Mode) -> str:
    """The stored object after a change."""
    try:
        stored: Json = json.loads(current, parse_int=Number, parse_float=Number)
    except RecursionError:  # direct SQL may nest deeper than callers can
        raise invalid_json("what is stored is nested too deeply to be changed here") from None
    assert isinstance(stored, dict)
    return dumps(_merged(stored, dict(members)) if mode is Mode.MERGE_PATCH else {**stored, **members})


def _merged(target: Json, patch: Json) -> Json:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def _check_exponents(value: Json, pointer: str) -> None:
    """Raise INVALID_JSON for a number that would be written out as something that cannot be sent again."""
    if isinstance(value, Number):
        exponent = value.lower().partition("e")[2]
        if exponent and int(exponent) < _SMALLEST_EXPONENT:
            raise invalid_json("number too small for a double", pointer)
        if exponent and abs(float(value)) > MAX_INTEGER:
            raise invalid_json("stored as an integer beyond 2^53, which JavaScript would change", pointer)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_exponents(item, f"{pointer}/{escape_pointer(name)}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_exponents(item, f"{pointer}/{index}")
