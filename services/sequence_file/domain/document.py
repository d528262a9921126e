"""A document: the bytes of one file, and where its shots stand in them.

Documents are immutable. A change is a few spans replaced (`spliced`); every other byte is copied,
and the positions behind a replaced span move along, so that nothing is parsed again.
"""

import hashlib
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import NamedTuple, TypeVar

from services.kernel.strict_json import Number
from services.sequence_file.domain import faults, identity, scan
from services.sequence_file.domain.scan import Malformed

_T = TypeVar("_T")

BOM = b"\xef\xbb\xbf"
# Strings whole, everything else but white space.
_CONTENT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[^ \t\n\r"]+')


class Replacement(NamedTuple):
    """Bytes that take the place of raw[start:end]."""

    start: int
    end: int
    new: bytes


@dataclass(frozen=True, slots=True)
class Span:
    """raw[start:end] of a document."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What identifies and orders a sequence."""

    id: str | None  # as the document states it; None where it states none, "" where it is no usable id
    name: str
    order: float | None


class Figures(NamedTuple):
    """What numbering and totals ask of a shot. A member that is no number, or not there, is None."""

    number: Number | None
    position: Number | None
    duration: Number | None  # in seconds: `timing.duration`, else `duration`
    plan: str | None  # `sequencePlanId`, a text or a Number


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class Document:
    """One sequence file or project.json. Equal only to itself, so that what is made of it can be kept beside it."""

    file: str  # relative to the project folder
    raw: bytes
    head: Head
    members: dict[str, Span]  # the values of the top-level members
    listed: str  # the member that holds the shots; "" where project.json has none
    starts: list[int]  # of each shot
    ends: list[int]
    shot_ids: list[str | None]  # a shot without an id, or with one that is no text or number, has None
    positions: dict[str, int]  # shot id -> index
    duplicates: frozenset[str]  # shot ids that stand more than once
    _etag: str = ""
    _shot_etags: dict[int, str] = field(default_factory=dict)
    _figures: dict[int, Figures] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        """Strong hash of the file's bytes, 32 hexadecimal digits."""
        if not self._etag:
            self._etag = bytes_etag(self.raw)
        return self._etag

    def shot(self, index: int) -> bytes:
        """The shot's object, byte for byte."""
        return self.raw[self.starts[index] : self.ends[index]]

    def shot_etag(self, index: int) -> str:
        """Strong hash of the shot's content, 32 hexadecimal digits."""
        if (known := self._shot_etags.get(index)) is None:
            known = self._shot_etags[index] = content_etag(self.shot(index))
        return known

    def member(self, name: str) -> bytes | None:
        """The value of a top-level member as it is written."""
        span = self.members.get(name)
        return self.raw[span.start : span.end] if span else None

    def known_etags(self) -> Mapping[int, str]:
        """The etags of shots that were asked for so far, by index."""
        return self._shot_etags

    def known_figures(self) -> "Mapping[int, Figures]":
        """The figures of shots that were asked for so far, by index."""
        return self._figures

    def figures(self, index: int) -> Figures:
        """What numbering and totals ask of a shot."""
        if (known := self._figures.get(index)) is None:
            known = self._figures[index] = figures_of(self.shot(index))
        return known

    def find(self, shot_id: str) -> int | None:
        """Index of the shot with this id. Raises DUPLICATE_ID where two have it."""
        if shot_id in self.duplicates:
            first, second = (i for i, known in enumerate(self.shot_ids) if known == shot_id)
            raise faults.duplicate_id(
                f"the shot id {shot_id!r}", f"{self.file} (shot {first + 1})", f"{self.file} (shot {second + 1})"
            )
        return self.positions.get(shot_id)

    def spliced(self, replacements: Sequence[Replacement], etags: Mapping[int, str]) -> "Document":
        """This document with spans replaced. They are in order and do not overlap; ids stay as they are.

        `etags`: those of changed shots, as far as they are known.
        """
        cuts: list[tuple[int, int]] = []  # positions from `end` on move by so much
        moved = 0
        for start, end, new in replacements:
            moved += len(new) - (end - start)
            cuts.append((end, moved))

        def shifted(positions: list[int]) -> list[int]:
            out: list[int] = []
            begin, delta = 0, 0
            for end, following in cuts:
                until = bisect_left(positions, end, begin)
                out += [p + delta for p in positions[begin:until]] if delta else positions[begin:until]
                begin, delta = until, following
            out += [p + delta for p in positions[begin:]]
            return out

        changed = {index for start, end, _ in replacements if (index := self._shot_at(start, end)) >= 0}
        bounds = iter(shifted(sorted(p for s in self.members.values() for p in (s.start, s.end))))
        in_order = sorted(self.members.items(), key=lambda member: member[1].start)
        return Document(
            file=self.file,
            raw=replaced(self.raw, replacements),
            head=self.head,
            members={name: Span(next(bounds), next(bounds)) for name, _ in in_order},
            listed=self.listed,
            starts=shifted(self.starts),
            ends=shifted(self.ends),
            shot_ids=self.shot_ids,
            positions=self.positions,
            duplicates=self.duplicates,
            _shot_etags={**_without(self._shot_etags, changed), **etags},
            _figures=_without(self._figures, changed),
        )

    def reread(self, raw: bytes) -> "Document":
        """The document that other bytes of the same kind are."""
        return _parse(raw, self.file, lists=(self.listed,) if self.listed else (), required=False)

    def hollow(self) -> "Document":
        """What stands around the shots: this document with an empty list of them."""
        if not self.listed:
            return self.reread(self.raw)
        span = self.members[self.listed]
        return self.reread(self.raw[: span.start] + b"[]" + self.raw[span.end :])

    def _shot_at(self, start: int, end: int) -> int:
        """Index of the shot that holds raw[start:end]; -1 where none does."""
        index = bisect_left(self.ends, end)
        return index if index < len(self.starts) and self.starts[index] <= start else -1


def replaced(raw: bytes, replacements: Sequence[Replacement]) -> bytes:
    """Bytes with spans replaced, which are in order and do not overlap."""
    pieces: list[bytes] = []
    taken = 0
    for start, end, new in replacements:
        pieces += (raw[taken:start], new)
        taken = end
    return b"".join((*pieces, raw[taken:]))


def bytes_etag(raw: bytes) -> str:
    """Strong hash of a file's bytes, 32 hexadecimal digits."""
    return hashlib.sha256(raw).hexdigest()[:32]


def content_etag(raw: bytes) -> str:
    """Strong hash of JSON text, white space between tokens left out: reformatting is not a change."""
    return hashlib.sha256(_content(raw)).hexdigest()[:32]


def _content(raw: bytes) -> bytes:
    """JSON text without white space between its tokens."""
    if b"\\" in raw:
        return b"".join(_CONTENT.findall(raw))
    # Without escapes every other part between quotes is a string; the rest goes through one translation, its parts
    # held apart by a byte that JSON text cannot have. Four times as fast.
    parts = raw.split(b'"')
    parts[::2] = b"\0".join(parts[::2]).translate(None, b" \t\n\r").split(b"\0")
    return b'"'.join(parts)


def figures_of(raw: bytes) -> Figures:
    """What numbering and totals ask of a shot."""
    value = scan.decoded_bytes(raw)
    shot = value if isinstance(value, dict) else {}
    timing = shot.get("timing")
    durations = (timing.get("duration") if isinstance(timing, dict) else None, shot.get("duration"))
    plan = shot.get("sequencePlanId")
    return Figures(
        number=_number(shot.get("number")),
        position=_number(shot.get("position")),
        duration=next((each for each in durations if isinstance(each, Number)), None),
        plan=plan if isinstance(plan, str) else None,
    )


def index_of_ids(shot_ids: Sequence[str | None]) -> tuple[dict[str, int], frozenset[str]]:
    """Where the first shot of each id stands, and which ids stand more than once."""
    positions: dict[str, int] = {}
    duplicates: set[str] = set()
    for index, shot_id in enumerate(shot_ids):
        if shot_id is not None and positions.setdefault(shot_id, index) != index:
            duplicates.add(shot_id)
    return positions, frozenset(duplicates)


def parse_sequence(raw: bytes, file: str) -> Document:
    """A sequence document. Raises SEQUENCE_FILE_INVALID with line and column."""
    return _parse(raw, file, lists=("shots",), required=True)


def parse_project(raw: bytes, file: str) -> Document:
    """project.json. Its shots are those of `storyboard` if present, else of `shots`, else none."""
    return _parse(raw, file, lists=("storyboard", "shots"), required=False)


def _parse(raw: bytes, file: str, *, lists: Sequence[str], required: bool) -> Document:
    try:
        return _scan(raw, file, lists, required)
    except Malformed as error:
        line, column = scan.place(raw, error.position)
        raise faults.file_invalid(file, error.message, line, column, stated_id=_stated_id(raw)) from None


def _stated_id(raw: bytes) -> str:
    """The id that a broken document states before it breaks; "" if it does not."""
    text = raw.decode("latin-1")
    try:
        for member in scan.members(text, text.index("{")):
            if member.name == "id" and isinstance(member.value, str) and identity.is_sequence_id(member.value):
                return member.value
    except (Malformed, ValueError):
        return ""
    return ""


def _scan(raw: bytes, file: str, lists: Sequence[str], required: bool) -> Document:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise Malformed("UTF-16 is not JSON: save the file as UTF-8", 0) from None
        raise Malformed("a byte that is not UTF-8", error.start) from None
    text = raw.decode("latin-1")
    start = scan.skip_space(text, len(BOM) if raw.startswith(BOM) else 0)
    if start == len(text):
        raise Malformed("the file is empty", start)
    if text[start] != "{":
        raise Malformed("the top level must be an object", start)
    members: dict[str, Span] = {}
    shots: dict[str, _Shots] = {}
    position, end = scan.first_item(text, start), start + 1
    while position >= 0:
        name, value_start = scan.name_at(text, position)
        if name in members:
            raise Malformed(f"the name {name!r} stands twice", position)
        if name in lists:
            shots[name] = _shots(text, value_start, name)
            end = shots[name].end
        else:
            _, end = scan.value_at(text, value_start)
        members[name] = Span(value_start, end)
        position = scan.next_item(text, end, "}")
    end = scan.skip_space(text, end) + 1
    if (rest := scan.skip_space(text, end)) != len(text):
        raise Malformed("something stands behind the document", rest)
    if required and not shots:
        raise Malformed(f"{lists[0]!r} is missing", start)
    listed = next((name for name in lists if name in shots), "")
    found = shots.get(listed, _Shots([], [], [], 0))
    positions, duplicates = index_of_ids(found.ids)
    return Document(
        file=file,
        raw=raw,
        head=_head(text, members),
        members=members,
        listed=listed,
        starts=found.starts,
        ends=found.ends,
        shot_ids=found.ids,
        positions=positions,
        duplicates=duplicates,
    )


class _Shots(NamedTuple):
    starts: list[int]
    ends: list[int]
    ids: list[str | None]
    end: int  # of the list


def _shots(text: str, start: int, name: str) -> _Shots:
    if text[start : start + 1] != "[":
        raise Malformed(f"{name!r} is not a list", start)
    starts: list[int] = []
    ends: list[int] = []
    ids: list[str | None] = []
    position, end = scan.first_item(text, start), start + 1
    while position >= 0:
        value, end = scan.value_at(text, position)
        if not isinstance(value, dict):
            raise Malformed(f"shot {len(ids) + 1} is not an object", position)
        shot_id = value.get("id")
        if isinstance(shot_id, str) and not shot_id.isascii():
            whole = scan.decoded(text, position, end)
            shot_id = whole.get("id") if isinstance(whole, dict) else None
        starts.append(position)
        ends.append(end)
        # str() also turns a Number into its text.
        ids.append(str(shot_id) if isinstance(shot_id, str) and shot_id else None)
        position = scan.next_item(text, end, "]")
    return _Shots(starts, ends, ids, scan.skip_space(text, end) + 1)


def _head(text: str, members: dict[str, Span]) -> Head:
    def value(name: str) -> scan.Value:
        span = members.get(name)
        return scan.decoded(text, span.start, span.end) if span else None

    found = value("id")
    # A Number is its text; an id that no caller could send counts as unusable, not as absent.
    usable = isinstance(found, str) and identity.is_sequence_id(found)
    own = None if found is None else str(found) if usable else ""
    name = value("name")
    return Head(id=own, name=str(name) if isinstance(name, str) else "", order=_order(value("order")))


def _number(value: scan.Value) -> Number | None:
    return value if isinstance(value, Number) else None


def _without(known: dict[int, _T], indexes: set[int]) -> dict[int, _T]:
    kept = dict(known)
    for index in indexes:
        kept.pop(index, None)
    return kept


def _order(value: scan.Value) -> float | None:
    return float(value) if isinstance(value, Number) and isfinite(float(value)) else None
