"""The one strict JSON parser for text that callers send.

Stricter than RFC 8259 where leniency would lose data on the way to a file that JavaScript reads:
duplicate names, lone surrogates, U+0000, numbers beyond double precision, NaN and Infinity are
refused, each with the RFC 6901 pointer of its place. Numbers keep the text they were sent with.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import TypeAlias, Union

from services.kernel.faults import Code, Fault

MAX_DEPTH = 64
MAX_VALUES = 200_000
# RFC 7493 (I-JSON) 2.2: beyond this an integer is not exact in a double.
MAX_INTEGER = 2**53

Json: TypeAlias = Union[bool, "Number", str, list["Json"], dict[str, "Json"], None]


class Number(str):
    """A JSON number by its text, so that `1.10` stays `1.10`."""

    __slots__ = ()


class _Members(list[tuple[str, object]]):
    """An object as its members in order: duplicates are still visible."""

    __slots__ = ()


class _Constant(str):
    """NaN, Infinity or -Infinity, which the standard parser accepts."""

    __slots__ = ()


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Members, parse_int=Number, parse_float=Number, parse_constant=_Constant, strict=True
)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def invalid_json(message: str, pointer: str = "", **metadata: str) -> Fault:
    """INVALID_ARGUMENT INVALID_JSON at `pointer`."""
    where = f" at {pointer}" if pointer else ""
    return Fault(Code.INVALID_ARGUMENT, "INVALID_JSON", f"{message}{where}", metadata={"pointer": pointer, **metadata})


def parse(text: str, *, max_depth: int = MAX_DEPTH) -> Json:
    """The value of one JSON text. Raises INVALID_JSON with the pointer of the first fault."""
    if text.count(",") > MAX_VALUES and _STRING.sub("", text).count(",") > MAX_VALUES:
        raise invalid_json(f"more than {MAX_VALUES} values")
    try:
        tree = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise invalid_json(
            f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}",
            line=str(error.lineno),
            column=str(error.colno),
        ) from None
    except RecursionError:
        raise invalid_json("nested too deeply", _deep_pointer(text, max_depth)) from None
    return _checked(tree, "", max_depth)


def parse_object(text: str) -> dict[str, Json]:
    """As `parse`, and the value must be an object."""
    value = parse(text)
    if not isinstance(value, dict):
        raise invalid_json("must be a JSON object")
    return value


def dumps(value: Json) -> str:
    """Compact JSON text of a parsed value, numbers as they came."""
    return "".join(_pieces(value))


def quote(text: str) -> str:
    """A JSON string as JSON.stringify writes it: only what must be escaped is."""
    return json.dumps(text, ensure_ascii=False)


def escape_pointer(name: str) -> str:
    """One reference token of a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def _pieces(value: Json) -> Iterator[str]:
    if value is None:
        yield "null"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, Number):
        yield str(value)
    elif isinstance(value, str):
        yield quote(value)
    elif isinstance(value, list):
        yield "["
        for index, item in enumerate(value):
            yield "," if index else ""
            yield from _pieces(item)
        yield "]"
    else:
        yield "{"
        for index, (name, item) in enumerate(value.items()):
            yield "," if index else ""
            yield quote(name)
            yield ":"
            yield from _pieces(item)
        yield "}"


def _checked(tree: object, pointer: str, levels: int) -> Json:
    if isinstance(tree, (list, _Members)) and not levels:
        raise invalid_json("nested too deeply", pointer)
    if isinstance(tree, _Members):
        members: dict[str, Json] = {}
        for name, item in tree:
            place = f"{pointer}/{escape_pointer(_clean(name, pointer))}"
            if name in members:
                raise invalid_json("duplicate name", place)
            members[name] = _checked(item, place, levels - 1)
        return members
    if isinstance(tree, list):
        return [_checked(item, f"{pointer}/{index}", levels - 1) for index, item in enumerate(tree)]
    if isinstance(tree, _Constant):
        raise invalid_json(f"{tree} is not JSON", pointer)
    if isinstance(tree, Number):
        return _exact(tree, pointer)
    if isinstance(tree, str):
        return _clean(tree, pointer)
    assert tree is None or isinstance(tree, bool)
    return tree


def _exact(number: Number, pointer: str) -> Number:
    if number.lstrip("-").isdigit():
        # Length first: int() of thousands of digits is slow, and refused by newer interpreters.
        if len(number) > 17 or abs(int(number)) > MAX_INTEGER:
            raise invalid_json("integer beyond 2^53, which JavaScript would change", pointer)
    elif not math.isfinite(float(number)):
        raise invalid_json("number too large for a double", pointer)
    return number


def _clean(text: str, pointer: str) -> str:
    if "\0" in text:
        raise invalid_json("U+0000 in a string", pointer)
    if not text.isascii() and _SURROGATE.search(text):
        raise invalid_json("lone surrogate in a string", pointer)
    return text


def _deep_pointer(text: str, max_depth: int) -> str:
    """Pointer of the first container that is too deep, for text too deep to be parsed."""
    path: list[str | int] = []
    name = ""
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]', text, re.DOTALL):
        match token.group()[0]:
            case "[" | "{" as opening:
                if len(path) >= max_depth:
                    break
                path.append(0 if opening == "[" else "")
            case "]" | "}":
                path.pop()
            case ",":
                if path and isinstance(last := path[-1], int):
                    path[-1] = last + 1
            case ":":
                path[-1] = name
            case _:
                name = token.group()[1:-1]
    return "".join(f"/{escape_pointer(str(step))}" for step in path)
