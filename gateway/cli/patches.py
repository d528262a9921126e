"""From `--set` and a typed JSON object to one object of members, numbers as they were typed."""

from collections.abc import Sequence

from services.kernel import strict_json
from services.kernel.faults import Fault
from services.kernel.strict_json import Json


class WrongPatch(Exception):
    """What was typed is no change; the message says which part and why."""


def updates_json(assignments: Sequence[str], json_patch: str | None) -> str:
    """The text of a change: the members of `json_patch`, then each `path=value`, a later one over an earlier.

    A path names members with dots between them. A value that is JSON (a number, true, false, null, an object, an
    array, a quoted string) is taken as such, anything else as a string. Raises WrongPatch.
    """
    if json_patch is None and not assignments:
        raise WrongPatch("nothing to change: give --set PATH=VALUE or --json-patch '{…}'")
    return _together(assignments, json_patch, "--json-patch")


def document_json(assignments: Sequence[str], document: str | None) -> str:
    """The text of something new, by the same rules; nothing typed is `{}`."""
    return _together(assignments, document, "--document")


def _together(assignments: Sequence[str], typed: str | None, option: str) -> str:
    try:
        updates = strict_json.parse_object(typed) if typed is not None else {}
    except Fault as fault:
        raise WrongPatch(f"{option}: {fault.message}") from None
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        names = path.split(".")
        if not separator or not all(names):
            raise WrongPatch(f"--set {assignment}: must be PATH=VALUE, such as generation.prompt=Dawn")
        _put(updates, names, _value(text, assignment))
    return strict_json.dumps(updates)


def _put(members: dict[str, Json], names: Sequence[str], value: Json) -> None:
    *parents, last = names
    for name in parents:
        inner = members.setdefault(name, {})
        if not isinstance(inner, dict):
            raise WrongPatch(f"--set {'.'.join(names)}: {name} is set to something else by an earlier change")
        members = inner
    members[last] = value


def _value(text: str, assignment: str) -> Json:
    try:
        return strict_json.parse(text)
    except Fault as fault:
        if text[:1] in ("{", "[", '"'):  # meant as JSON, so not to be stored as its own text
            raise WrongPatch(f"--set {assignment}: {fault.message}") from None
        return text
