"""Changes to one JSON object as replaced spans: only what the change names is written again.

What is written looks like what stands around it: the indentation, the line ends, and the space
behind colons and commas that the object already has; new nested values as JSON.stringify would
write them with that indentation.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from services.kernel.strict_json import Json, Number, quote
from services.sequence_file.domain import scan
from services.sequence_file.domain.document import Replacement, replaced
from services.sequence_file.domain.scan import Member


@dataclass(frozen=True, slots=True)
class Style:
    """How a document is laid out."""

    newline: str  # "\n", "\r\n", or "" for a document on one line
    unit: str  # one level of indentation
    colon: str  # ": " or ":"
    comma: str  # between members on one line: ", " or ","

    def inline(self) -> "Style":
        """The same, on one line."""
        return replace(self, newline="")


def style_of(raw: bytes) -> Style:
    """The layout of a document, read off its first lines."""
    # Enough for any first name that a person would read.
    text = raw[:65_536].decode("latin-1")
    try:
        brace = text.index("{")
        first = scan.first_item(text, brace)
        _, value = scan.name_at(text, first)
    except (ValueError, scan.Malformed):  # nothing but space, or no member at all
        return Style("", "", ":", ",")
    gap = text[brace + 1 : first]
    colon = ": " if text[value - 1] in " \t\r\n" else ":"
    if "\n" not in gap:
        return Style("", "", colon, ", " if colon == ": " else ",")
    unit = gap.rpartition("\n")[2]
    return Style("\r\n" if "\r\n" in gap else "\n", unit or "  ", colon, ", ")


def merge(
    text: str,
    patch: Mapping[str, Json],
    style: Style,
    indent: str,
    changed: list[str],
    start: int = 0,
    prefix: str = "",
) -> list[Replacement]:
    """JSON Merge Patch (RFC 7396) of the object at `start`, whose line is indented by `indent`.

    Empty where the patch changes nothing: a value that is already there stays as it is written. The members that
    change are added to `changed`, those of nested objects as `generation.prompt`.
    """
    removed: set[str] = set()
    added: dict[str, Json] = {}
    out: list[Replacement] = []
    found = _by_name(text, start)
    inner = _member_indent(text, start, found)
    for name, new in patch.items():
        old = found.get(name)
        if new is None:
            if old:
                removed.add(name)
                changed.append(prefix + name)
        elif not old:
            added[name] = _without_nulls(new)
            changed.append(prefix + name)
        elif isinstance(new, dict) and text[old.start] == "{":
            deeper = inner if inner is not None else indent
            out += merge(text, new, style, deeper, changed, old.start, f"{prefix}{name}.")
        elif replacement := _replaced(text, old, _without_nulls(new), style, inner):
            out += replacement
            changed.append(prefix + name)
    return sorted(out + _structure(text, start, list(found.values()), removed, added, style, indent, inner))


def assign(
    text: str, patch: Mapping[str, Json], style: Style, indent: str, changed: list[str], start: int = 0
) -> list[Replacement]:
    """Each member of the patch in place of the object's own, as Object.assign does; `changed` as in `merge`."""
    added: dict[str, Json] = {}
    out: list[Replacement] = []
    found = _by_name(text, start)
    inner = _member_indent(text, start, found)
    for name, new in patch.items():
        old = found.get(name)
        if not old:
            added[name] = new
        elif replacement := _replaced(text, old, new, style, inner):
            out += replacement
        else:
            continue
        changed.append(name)
    return sorted(out + _structure(text, start, list(found.values()), set(), added, style, indent, inner))


def applied(raw: bytes, patch: Mapping[str, Json], style: Style, indent: str) -> bytes:
    """An object's bytes after a JSON Merge Patch."""
    text = raw.decode("latin-1")
    return replaced(raw, merge(text, patch, style, indent, [], text.index("{")))


def same(text: str, member: Member, new: Json) -> bool:
    """Whether a member already has this value."""
    return _equal(scan.decoded(text, member.start, member.end), new)


def rendered(value: Json, style: Style, indent: str) -> bytes:
    """A value as it is written on a line that is indented by `indent`."""
    return "".join(_render(value, style, indent)).encode()


def line_indent(raw: bytes, position: int) -> str:
    """The white space at the beginning of the line of `position`."""
    start = raw.rfind(b"\n", 0, position) + 1
    line = raw[start:position]
    return line[: len(line) - len(line.lstrip(b" \t"))].decode("latin-1")


def _added_members(members: Mapping[str, Json], style: Style, indent: str) -> bytes:
    """Members to be put behind the last one of an object whose members are indented by `indent`."""
    lead = f",{style.newline}{indent}" if style.newline else style.comma
    return "".join(f"{lead}{_member(name, value, style, indent)}" for name, value in members.items()).encode()


def _by_name(text: str, start: int) -> dict[str, Member]:
    return {member.name: member for member in scan.members(text, start)}


def _member_indent(text: str, start: int, members: Mapping[str, Member]) -> str | None:
    """The indentation of an object's members; None where they stand on the line of its brace."""
    first = next(iter(members.values()), None)
    gap = text[start + 1 : first.name_start] if first else ""
    return gap.rpartition("\n")[2] if "\n" in gap else None


def _replaced(text: str, old: Member, new: Json, style: Style, indent: str | None) -> list[Replacement]:
    if same(text, old, new):
        return []
    written = text[old.start : old.end]
    on_one_line = indent is None or (written[0] in "[{" and len(written) > 2 and "\n" not in written)
    shape = style.inline() if on_one_line else style
    return [Replacement(old.start, old.end, rendered(new, shape, indent or ""))]


def _structure(
    text: str,
    start: int,
    members: list[Member],
    removed: set[str],
    added: Mapping[str, Json],
    style: Style,
    indent: str,
    inner: str | None,
) -> list[Replacement]:
    """Members that go and members that come, with the commas and lines that belong to them."""
    if not removed and not added:
        return []
    kept = [member for member in members if member.name not in removed]
    if not kept:
        close = scan.skip_space(text, members[-1].end if members else start + 1)
        if not added:
            return [Replacement(start + 1, close, b"")]
        # A filled object keeps its form; an empty one opens where the document has lines.
        lines = style.newline if inner is not None or not members else ""
        level = inner if inner is not None else indent + style.unit
        shape = style if lines else style.inline()
        first = _added_members(added, shape, level).decode().removeprefix(",").lstrip(" \r\n\t")
        whole = f"{lines}{level}{first}{lines}{indent}" if lines else first
        return [Replacement(start + 1, close, whole.encode())]
    out: list[Replacement] = []
    run: Member | None = None
    for member in members:
        if member.name in removed:
            run = run or member
        elif run:
            out.append(Replacement(run.name_start, member.name_start, b""))
            run = None
    tail = members[-1].end if run else kept[-1].end
    new = _added_members(added, style if inner is not None else style.inline(), inner or "") if added else b""
    if new or run:
        out.append(Replacement(kept[-1].end, tail, new))
    return out


def _member(name: str, value: Json, style: Style, indent: str) -> str:
    return f"{quote(name)}{style.colon}{''.join(_render(value, style, indent))}"


def _render(value: Json, style: Style, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        inner = indent + style.unit
        yield opening
        items = value.items() if isinstance(value, dict) else (("", item) for item in value)
        for index, (name, item) in enumerate(items):
            if style.newline:
                yield f"{',' if index else ''}{style.newline}{inner}"
            elif index:
                yield style.comma
            if opening == "{":
                yield f"{quote(name)}{style.colon}"
            yield from _render(item, style, inner)
        yield f"{style.newline}{indent}{closing}" if style.newline else closing
    elif isinstance(value, bool) or value is None:
        yield {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, Number):
        yield str(value)
    elif isinstance(value, str):
        yield quote(value)
    else:
        yield "{}" if isinstance(value, dict) else "[]"


def _without_nulls(value: Json) -> Json:
    """What a merge patch makes of nothing: RFC 7396 drops nulls inside objects, not inside arrays."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return value


def _equal(old: scan.Value, new: Json) -> bool:
    if isinstance(old, Number) and isinstance(new, Number):
        # As the doubles that JavaScript makes of both: an editor that sends back what it read changes nothing.
        return old == new or float(old) == float(new)
    if type(old) is not type(new):
        return False
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_equal(old[name], item) for name, item in new.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_equal, old, new))
    return old == new
