"""Arguments of an IPC channel: JSON text in, typed values out, every broken rule named.

The names in the faults are the caller's: `projectPath`, `target.shotId`, `options.etag`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from services.kernel import strict_json
from services.kernel.faults import Code, Fault, invalid_field
from services.kernel.strict_json import Json, Number

Choice = TypeVar("Choice")

_INTEGER = re.compile(r"-?\d{1,15}")
_INT32_MAX = 2**31 - 1
# An answer names this many unknown names, and this many characters of each.
_NAMED, _SHOWN = 8, 100


class Arguments:
    """A JSON object whose members are read by name and type. A member that is null counts as absent."""

    __slots__ = ("_members", "_options", "_prefix")

    def __init__(self, members: Mapping[str, Json], prefix: str = "", options: "Arguments | None" = None) -> None:
        self._members = members
        self._prefix = prefix
        self._options = options

    @property
    def options(self) -> "Arguments":
        """The last, optional argument."""
        return self._options or Arguments({})

    def has(self, name: str) -> bool:
        """Whether the caller gave the argument."""
        return self._members.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """A string. INVALID_FIELD where it is missing without a default, or is not a string."""
        value = self._members.get(name)
        if type(value) is str:  # not isinstance: a Number is its text
            return value
        if value is None and default is not None:
            return default
        raise self._broken(name, "must be a string")

    def identifier(self, name: str, default: str | None = None) -> str:
        """An id: a string, or a number by its text. One that could be left out must not be empty."""
        value = self._members.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self._broken(name, "must be a string or a number")
        if not value and default is not None:
            raise self._broken(name, "must not be empty")
        return str(value)

    def identifiers(self, name: str) -> list[str]:
        """A list of ids."""
        value = self._members.get(name)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return [str(item) for item in value]
        raise self._broken(name, "must be a list of strings or numbers")

    def integer(self, name: str, default: int) -> int:
        """An integer of 32 bits; a larger one is the largest."""
        if self._members.get(name) is None:
            return default
        return max(-_INT32_MAX, min(self.revision(name), _INT32_MAX))

    def revision(self, name: str) -> int:
        """An integer of up to fifteen digits."""
        value = self._members.get(name)
        if isinstance(value, Number) and _INTEGER.fullmatch(value):
            return int(value)
        raise self._broken(name, "must be an integer")

    def flag(self, name: str) -> bool:
        """Whether it is true; false where it is missing."""
        value = self._members.get(name)
        if value is None or isinstance(value, bool):
            return value is True
        raise self._broken(name, "must be true or false")

    def choice(self, name: str, choices: Mapping[str, Choice], default: Choice) -> Choice:
        """What the word means."""
        value = self._members.get(name)
        if value is None:
            return default
        if type(value) is str and value in choices:
            return choices[value]
        raise self._broken(name, f"must be one of {', '.join(choices)}")

    def object_json(self, name: str) -> str:
        """The text of an object, its numbers as they came."""
        value = self._members.get(name)
        if isinstance(value, dict):
            return strict_json.dumps(value)
        raise self._broken(name, "must be a JSON object")

    def within(self, name: str, *, required: Sequence[str], optional: Sequence[str]) -> "Arguments":
        """The members of an object."""
        value = self._members.get(name)
        if not isinstance(value, dict):
            raise self._broken(name, "must be a JSON object")
        return _checked(value, f"{self._prefix}{name}.", required=required, optional=optional)

    def each(self, name: str, *, required: Sequence[str], optional: Sequence[str]) -> "list[Arguments]":
        """The members of each object of a list."""
        value = self._members.get(name)
        if not isinstance(value, list):
            raise self._broken(name, "must be a list of JSON objects")
        found: list[Arguments] = []
        for index, item in enumerate(value):
            place = f"{self._prefix}{name}[{index}]"
            if not isinstance(item, dict):
                raise invalid_field(place, "must be a JSON object")
            found.append(_checked(item, f"{place}.", required=required, optional=optional))
        return found

    def _broken(self, name: str, rule: str) -> Fault:
        return invalid_field(f"{self._prefix}{name}", rule)


def bind(text: str, names: Sequence[str], option_names: Sequence[str], levels: int = 1) -> Arguments:
    """The arguments of a call by their names. INVALID_JSON, or INVALID_FIELD for a missing or an unknown name.

    levels: how deep in the arguments, themselves counted, the documents stand that a service allows its own depth.
    """
    value = strict_json.parse(text, max_depth=strict_json.MAX_DEPTH + levels) if text else {}
    if isinstance(value, list):
        if len(value) > len(names) + 1:
            raise Fault(
                Code.INVALID_ARGUMENT,
                "INVALID_FIELD",
                f"{len(value)} arguments; the most are {', '.join((*names, 'options'))}",
            )
        value = dict(zip((*names, "options"), value, strict=False))
    if not isinstance(value, dict):
        raise strict_json.invalid_json("must be a JSON object of named arguments or an array of positional ones")
    arguments = _checked(value, "", required=names, optional=("options",))
    if not arguments.has("options"):
        return arguments
    options = arguments.within("options", required=(), optional=option_names)
    return Arguments(value, "", options)


def _checked(
    members: Mapping[str, Json], prefix: str, *, required: Sequence[str], optional: Sequence[str]
) -> Arguments:
    fields = {f"{prefix}{name}": "is required" for name in required if members.get(name) is None}
    known = ", ".join((*required, *optional)) or "none"
    unknown = [name for name in members if name not in required and name not in optional]
    fields |= {f"{prefix}{name[:_SHOWN]}": f"is not known here; known are: {known}" for name in unknown[:_NAMED]}
    if fields:
        message = "; ".join(f"{field} {rule}" for field, rule in fields.items())
        raise Fault(Code.INVALID_ARGUMENT, "INVALID_FIELD", message, fields=fields)
    return Arguments(members, prefix)
