"""Edits on their way into a document: applied one by one, written once.

A draft answers each edit with the shot as it will be, and makes one new document of all that
succeeded. An edit that fails leaves no trace, so the others of a batch are not its hostages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from services.kernel.faults import Current
from services.kernel.strict_json import Json, quote
from services.sequence_file.domain import faults, patch, scan
from services.sequence_file.domain.document import (
    Document,
    Replacement,
    content_etag,
    parse_project,
    parse_sequence,
    replaced,
)

IMMUTABLE = ("id", "sequencePlanId")
# StoryCore writes `modified_at` by its documentation and `updated_at` in fact.
_STAMPS = ("modified_at", "updated_at")


class Mode(Enum):
    """How updates are applied to a shot."""

    MERGE_PATCH = "merge patch"  # RFC 7396
    REPLACE_TOP_LEVEL = "replace top level"  # Object.assign


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One change of one shot."""

    shot_id: str
    updates: Mapping[str, Json]
    mode: Mode = Mode.MERGE_PATCH
    etag: str | None = None  # what the caller last saw; None: whatever is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A shot and where it stands."""

    id: str
    document: bytes  # the shot's object, byte for byte as in the file
    etag: str
    file: str  # relative to the project folder
    sequence_id: str  # "" for a shot of project.json


class Draft:
    """A document with edits that are not written yet."""

    def __init__(self, document: Document, sequence_id: str) -> None:
        self.document = document
        self.sequence_id = sequence_id
        self._style = patch.style_of(document.raw)
        self._shots: dict[int, bytes] = {}
        self._etags: dict[int, str] = {}

    @property
    def changed(self) -> bool:
        """Whether any edit changed anything."""
        return bool(self._shots)

    def shot(self, shot_id: str) -> Shot:
        """The shot as it is in the draft. Raises SHOT_NOT_FOUND, DUPLICATE_ID."""
        return self._shot(self._index(shot_id), shot_id)

    def edit(self, edit: Edit) -> Shot:
        """Apply one edit and answer with the shot as it will be.

        Raises SHOT_NOT_FOUND, DUPLICATE_ID, IMMUTABLE_FIELD, and ETAG_MISMATCH when the etag is
        stale and the changes are not there already (RFC 9110, 13.1.1 lets those succeed).
        """
        index = self._index(edit.shot_id)
        before = self._bytes(index)
        text = before.decode("latin-1")
        self._refuse_immutable(text, edit)
        apply = patch.merge if edit.mode is Mode.MERGE_PATCH else patch.assign
        indent = _line_indent(self.document.raw, self.document.starts[index])
        replacements = apply(text, edit.updates, self._style, indent)
        if replacements:
            if edit.etag is not None and edit.etag != self._etag(index):
                now = self._shot(index, edit.shot_id)
                raise faults.etag_mismatch(Current(etag=now.etag, document_json=now.document.decode()))
            self._shots[index] = after = replaced(before, replacements)
            self._etags[index] = content_etag(after)
        return self._shot(index, edit.shot_id)

    def changes(self) -> dict[str, tuple[str, str]]:
        """Etag before and after of every shot that changed, by shot id."""
        ids = self.document.shot_ids
        return {str(ids[i]): (self.document.shot_etag(i), self._etags[i]) for i in self._shots}

    def finish(self, now: datetime) -> Document:
        """The new document, with its times of change. Every byte that no edit named is copied."""
        document = self.document
        shots = [Replacement(document.starts[i], document.ends[i], raw) for i, raw in self._shots.items()]
        changed = document.spliced(sorted(shots + _stamps(document, now, self._style)))
        if document.members.keys() & {"metadata", "modified_at"}:
            return changed
        return _with_metadata(changed, now, self._style)

    def _index(self, shot_id: str) -> int:
        index = self.document.find(shot_id)
        if index is None:
            raise faults.shot_not_found(shot_id, self.document.file)
        return index

    def _bytes(self, index: int) -> bytes:
        return self._shots[index] if index in self._shots else self.document.shot(index)

    def _etag(self, index: int) -> str:
        return self._etags[index] if index in self._etags else self.document.shot_etag(index)

    def _shot(self, index: int, shot_id: str) -> Shot:
        return Shot(
            id=shot_id,
            document=self._bytes(index),
            etag=self._etag(index),
            file=self.document.file,
            sequence_id=self.sequence_id,
        )

    @staticmethod
    def _refuse_immutable(text: str, edit: Edit) -> None:
        for name in IMMUTABLE:
            if name not in edit.updates:
                continue
            new = edit.updates[name]
            own = next((member for member in scan.members(text, 0) if member.name == name), None)
            # An editor that sends the whole shot back sends these too; only another value is a change.
            unchanged = patch.same(text, own, new) if own else new is None and edit.mode is Mode.MERGE_PATCH
            if not unchanged:
                raise faults.immutable_field(name)


def _stamps(document: Document, now: datetime, style: patch.Style) -> list[Replacement]:
    """The times of change that the document has, and a new `metadata.modified_at` where it has none."""
    stamps: list[Replacement] = []
    for name in _STAMPS:
        if span := document.members.get(name):
            value, _ = scan.value_at(document.raw[span.start : span.end].decode("latin-1"), 0)
            stamps.append(Replacement(span.start, span.end, quote(_stamp(value, now)).encode()))
    metadata = document.members.get("metadata")
    if metadata and document.raw[metadata.start : metadata.start + 1] == b"{":
        text = document.raw[metadata.start : metadata.end].decode("latin-1")
        found = {member.name: member.value for member in scan.members(text, 0)}
        wanted = set(found) if "modified_at" in document.members else {*found, "modified_at"}
        times: dict[str, Json] = {name: _stamp(found.get(name), now) for name in _STAMPS if name in wanted}
        indent = _line_indent(document.raw, metadata.start)
        stamps += [
            Replacement(metadata.start + start, metadata.start + end, new)
            for start, end, new in patch.merge(text, times, style, indent)
        ]
    return stamps


def _with_metadata(document: Document, now: datetime, style: patch.Style) -> Document:
    end = max(span.end for span in document.members.values())
    new = patch.added_members({"metadata": {"modified_at": _stamp(None, now)}}, style, style.unit)
    raw = document.raw[:end] + new + document.raw[end:]
    # A new top-level member, once in a file's life: reading the result again is simpler than moving along.
    return (parse_sequence if "shots" in document.members else parse_project)(raw, document.file)


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


def _line_indent(raw: bytes, position: int) -> str:
    """The white space at the beginning of the line of `position`."""
    start = raw.rfind(b"\n", 0, position) + 1
    line = raw[start:position]
    return line[: len(line) - len(line.lstrip(b" \t"))].decode("latin-1")
