"""Numbers that follow from the shots: their own numbers, and what a file says of all of them together.

A file may keep the length of the sequence and the count of its shots. Such a value is kept true as long as it was
true before: one that never was the sum is somebody's target, and is left alone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from math import isclose
from typing import NamedTuple

from services.kernel.strict_json import Json, Number
from services.sequence_file.domain import patch, scan
from services.sequence_file.domain.document import Document, Figures

LENGTHS = ("duration", "total_duration", "totalDuration")
COUNTS = ("shot_count", "shotCount", "shots_count", "total_shots", "totalShots")
# The members of a shot that figures are read from.
SOURCES = frozenset({"number", "position", "duration", "timing", "sequencePlanId"})
# More digits than any length has; what needs even more is no length, and makes every sum unknown.
_EXACT = Context(prec=200, traps=[Inexact, InvalidOperation, Overflow])
UNKNOWN = Decimal("NaN")  # equal to nothing, and so is every sum that it goes into


class Sums(NamedTuple):
    """What the shots of a sequence come to."""

    length: Decimal  # seconds
    shots: int


def length_of(figures: Figures) -> Decimal:
    """How long a shot is, in seconds; 0 where it does not say."""
    if figures.duration is None:
        return Decimal(0)
    try:
        return _EXACT.create_decimal(figures.duration)
    except (Inexact, InvalidOperation, Overflow):
        return UNKNOWN


def added(first: Decimal, second: Decimal) -> Decimal:
    """The exact sum; unknown where it cannot be exact."""
    try:
        return _EXACT.add(first, second)
    except (Inexact, InvalidOperation, Overflow):
        return UNKNOWN


def sums_of(document: Document) -> Sums:
    """What the shots of a document come to."""
    length = Decimal(0)
    for index in range(len(document.starts)):
        length = added(length, length_of(document.figures(index)))
    return Sums(length, len(document.starts))


def kept(document: Document) -> bool:
    """Whether a document has members that could be totals."""
    names = {*LENGTHS, *COUNTS}
    if not names.isdisjoint(document.members):
        return True
    return isinstance(inner := _value(document, "metadata"), dict) and not names.isdisjoint(inner)


def corrected(document: Document, before: Sums, after: Sums) -> dict[str, Json]:
    """The merge patch that keeps true what was true: of top-level members and those of `metadata`."""
    top = {name: _value(document, name) for name in (*LENGTHS, *COUNTS) if name in document.members}
    out = _corrected(top, before, after)
    metadata = _value(document, "metadata")
    if isinstance(metadata, dict) and (inner := _corrected(metadata, before, after)):
        out["metadata"] = inner
    return out


def _corrected(members: Mapping[str, scan.Value], before: Sums, after: Sums) -> dict[str, Json]:
    out: dict[str, Json] = {}
    lengths = (LENGTHS, before.length, after.length)
    counts = (COUNTS, Decimal(before.shots), Decimal(after.shots))
    for names, then, now in (lengths, counts):
        for name in names:
            value = members.get(name)
            if isinstance(value, Number) and then != now and not now.is_nan() and _says(value, then):
                out[name] = Number(_written(now, like=value))
    return out


def _says(value: Number, total: Decimal) -> bool:
    """Whether a value is this total, but for what adding doubles makes of it."""
    return isclose(float(value), float(total), rel_tol=1e-9, abs_tol=1e-9)


def _written(total: Decimal, like: Number) -> str:
    """A total without exponent: a whole one as `15`, or as `15.0` where the file writes it so."""
    text = format(total, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text}.0" if "." in like and "." not in text else text


def _value(document: Document, name: str) -> scan.Value:
    span = document.members.get(name)
    return scan.decoded_bytes(document.raw[span.start : span.end]) if span else None


def counted(figures: Sequence[Figures]) -> bool:
    """Whether there are shots, and the `position` of each is its place, counted from 1."""
    return bool(figures) and all(_is(each.position, place) for place, each in enumerate(figures, 1))


def misnumbered(figures: Sequence[Figures], *, positions: bool) -> Iterator[tuple[int, str, Number]]:
    """Index, member and value of every number, and position where asked for, that is not the place from 1."""
    for index, each in enumerate(figures):
        if each.number is not None and not _is(each.number, index + 1):
            yield index, "number", each.number
        if positions and each.position is not None and not _is(each.position, index + 1):
            yield index, "position", each.position


def _is(value: Number | None, place: int) -> bool:
    return value is not None and float(value) == place


def renumbered(raw: bytes, name: str, value: Number, new: int) -> bytes:
    """A shot with another number in its member `name`, which has `value` now."""
    # Looking for the name is ten times faster than reading the shot; without escapes in it, one that stands once in
    # the whole text is the shot's own.
    if b"\\u00" not in raw:
        found = list(re.finditer(b'"' + name.encode() + rb'"[ \t\r\n]*:[ \t\r\n]*', raw))
        if len(found) == 1 and raw.startswith(value.encode(), found[0].end()):
            start = found[0].end()
            return b"%b%d%b" % (raw[:start], new, raw[start + len(value) :])
    return patch.applied(raw, {name: Number(str(new))}, patch.style_of(raw), "")
