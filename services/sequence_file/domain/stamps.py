"""Times of change, and how they and other values that follow from a write get into a document."""

from collections.abc import Mapping
from datetime import UTC, datetime

from services.kernel.strict_json import Json
from services.sequence_file.domain import patch, scan
from services.sequence_file.domain.document import Document, Replacement

# StoryCore writes `modified_at` by its documentation and `updated_at` in fact.
NAMES = ("modified_at", "updated_at")
PATHS = (*NAMES, *(f"metadata.{name}" for name in NAMES))


def times(document: Document, now: datetime) -> dict[str, Json]:
    """A merge patch: the times of change that the document has, and a new `metadata.modified_at` where it has none."""
    out: dict[str, Json] = {}
    for name in NAMES:
        if span := document.members.get(name):
            value, _ = scan.value_at(document.raw[span.start : span.end].decode("latin-1"), 0)
            out[name] = _stamp(value, now)
    metadata = document.members.get("metadata")
    if metadata and document.raw[metadata.start : metadata.start + 1] == b"{":
        text = document.raw[metadata.start : metadata.end].decode("latin-1")
        found = {member.name: member.value for member in scan.members(text, 0)}
        wanted = set(found) if "modified_at" in document.members else {*found, "modified_at"}
        if stamps := {name: _stamp(found.get(name), now) for name in NAMES if name in wanted}:
            out["metadata"] = dict(stamps)
    elif not metadata and "modified_at" not in document.members:
        out["metadata"] = {"modified_at": _stamp(None, now)}
    return out


def spans(document: Document, updates: Mapping[str, Json], style: patch.Style) -> list[Replacement] | None:
    """What a merge patch of the document's members replaces; None where it adds one, which takes more than that."""
    out: list[Replacement] = []
    for name, value in updates.items():
        span = document.members.get(name)
        if span is None:
            return None
        if not isinstance(value, dict):
            out.append(Replacement(span.start, span.end, patch.rendered(value, style.inline(), "")))
            continue
        text = document.raw[span.start : span.end].decode("latin-1")
        indent = patch.line_indent(document.raw, span.start)
        out += [
            Replacement(span.start + start, span.start + end, new)
            for start, end, new in patch.merge(text, value, style, indent, [])
        ]
    return out


def merged(updates: dict[str, Json], more: Mapping[str, Json]) -> dict[str, Json]:
    """One merge patch that does what two do, whose members are values, or objects of values."""
    for name, value in more.items():
        known = updates.get(name)
        updates[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    return updates


def _stamp(before: scan.Value, now: datetime) -> str:
    """The time as JavaScript's toISOString writes it, never before the one that is there."""
    text = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(before, str):
        try:
            earlier = datetime.fromisoformat(before)
        except ValueError:
            return text  # not a time: replaced by one
        if earlier.replace(tzinfo=earlier.tzinfo or UTC) > now:
            return before
    return text
