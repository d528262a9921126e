"""Where things stand in JSON text: members and elements with their byte positions.

Text here is the bytes of a UTF-8 document read as Latin-1, so that an index is a byte offset and
the standard library's C scanner does the work. JSON's own syntax is ASCII, and no byte of a longer
UTF-8 sequence looks like it. Strings come out garbled where they are not ASCII; `decoded` reads
those properly.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # documented nowhere, there since 2.6
from typing import cast

from services.kernel.strict_json import Number

Value = object  # a JSON value: None, bool, str, list or dict; a number is text, from `decoded` a Number


class Malformed(Exception):
    """The text is not the JSON that it should be, at a byte offset."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object: `"name": value`."""

    name: str
    name_start: int  # of the opening quote
    start: int  # of the value
    end: int  # behind the value
    value: Value


class _DuplicateName(ValueError):
    pass


class _Constant(ValueError):
    pass


def _object(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        raise _DuplicateName(next(name for name in names if names.count(name) > 1))
    return members


def _no_constant(text: str) -> Value:
    raise _Constant(text)


# Positions are what a scan is for: numbers stay text, which also keeps those that no int or float holds.
_SCANNER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=_no_constant, strict=True
)
_DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number)
_SPACE = re.compile(r"[ \t\n\r]*").match
_NEXT = re.compile(r"[ \t\n\r]*([,}\]])[ \t\n\r]*").match
# A name without escapes, its colon, and the space on both sides: nearly all names are like that.
_PLAIN_NAME = re.compile(r'"([ !#-\[\]-~]*)"[ \t\n\r]*:[ \t\n\r]*').match


def skip_space(text: str, position: int) -> int:
    """The position of the next byte that is not white space."""
    return cast("re.Match[str]", _SPACE(text, position)).end()


def value_at(text: str, position: int) -> tuple[Value, int]:
    """The value that begins at `position`, and the position behind it. Raises Malformed."""
    try:
        return _SCANNER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise Malformed(error.msg, error.pos) from None
    except _DuplicateName as error:
        raise Malformed(f"an object has the name {str(error)!r} twice", position) from None
    except _Constant as error:
        raise Malformed(f"{error} is not JSON", position) from None
    except RecursionError:
        raise Malformed("nested too deeply", position) from None


def members(text: str, start: int) -> Iterator[Member]:
    """The members of the object whose brace is at `start`. The closing brace is behind the last one."""
    position = first_item(text, start)
    while position >= 0:
        name, value_start = name_at(text, position)
        value, end = value_at(text, value_start)
        yield Member(name, position, value_start, end, value)
        position = next_item(text, end, "}")


def first_item(text: str, start: int) -> int:
    """Position of the first member or element behind the bracket at `start`; -1 where there is none."""
    position = skip_space(text, start + 1)
    return -1 if text[position : position + 1] == ("}" if text[start] == "{" else "]") else position


def next_item(text: str, position: int, closing: str) -> int:
    """Position of the next item behind one that ends at `position`; -1 at the closing bracket."""
    found = _NEXT(text, position)
    if found is None or found[1] not in (",", closing):
        raise Malformed(f"a comma or {closing} should stand here", skip_space(text, position))
    if found[1] == closing:
        return -1
    if text[found.end() : found.end() + 1] == closing:
        raise Malformed("trailing comma", found.end())
    return found.end()


def name_at(text: str, position: int) -> tuple[str, int]:
    """The name of the member that begins at `position`, and where its value begins."""
    if plain := _PLAIN_NAME(text, position):
        return plain[1], plain.end()
    if text[position : position + 1] != '"':
        raise Malformed("a name in double quotes should stand here", position)
    try:
        name, end = scanstring(text, position + 1, True)
    except json.JSONDecodeError as error:
        raise Malformed(error.msg, error.pos) from None
    colon = skip_space(text, end)
    if text[colon : colon + 1] != ":":
        raise Malformed("a colon should stand here", colon)
    return (name if name.isascii() else cast(str, decoded(text, position, end))), skip_space(text, colon + 1)


def decoded(text: str, start: int, end: int) -> Value:
    """The value of a span with its strings as they are meant."""
    return cast(Value, _DECODER.decode(text[start:end].encode("latin-1").decode("utf-8")))


def decoded_bytes(raw: bytes) -> Value:
    """The value of one whole JSON text."""
    return cast(Value, _DECODER.decode(raw.decode("utf-8")))


def place(raw: bytes, position: int) -> tuple[int, int]:
    """Line and column of a byte offset, both from 1, columns in characters."""
    line_start = raw.rfind(b"\n", 0, position) + 1
    return raw.count(b"\n", 0, position) + 1, len(raw[line_start:position].decode("utf-8", "replace")) + 1
