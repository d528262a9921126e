"""Whether a change that is made again on another program's version of a file overwrites what that program did.

A change was prepared on what the file held (`base`); in the last instant another program put its own version there
(`theirs`). Made again on that one, the change gives `ours`, and may touch every member but those that the other
program changed, unless both wanted the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from services.kernel.faults import Current
from services.kernel.strict_json import escape_pointer
from services.sequence_file.domain import diff, faults, stamps
from services.sequence_file.domain.changes import What
from services.sequence_file.domain.document import Document

_DEPTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A value that two wanted to change, each in its own way."""

    pointer: str  # RFC 6901, within the object that was compared; "": all of it
    ours: str | None  # JSON text; None where the change takes the value away
    theirs: str | None


@dataclass(frozen=True, slots=True)
class Rival:
    """What another program has just done to a file. Each method raises EDIT_CONFLICT with both values."""

    base: Document
    theirs: Document

    def knows(self, shot_id: str, etag: str) -> bool:
        """Whether a shot had this etag before the other program came."""
        index = self.base.positions.get(shot_id)
        return index is not None and etag == self.base.shot_etag(index)

    def admit_shot(self, shot_id: str, ours: bytes | None) -> None:
        """A shot with other content, or none."""
        then, now = self.base.positions.get(shot_id), self.theirs.positions.get(shot_id)
        base = None if then is None else self.base.shot(then)
        theirs = None if now is None else self.theirs.shot(now)
        if found := conflict(base, theirs, ours):
            etag = "" if now is None else self.theirs.shot_etag(now)
            current = Current(etag=etag, document_json=found.theirs)
            raise faults.edit_conflict(shot_id, found.pointer, found.ours, current)

    def admit_move(self, shot_id: str) -> None:
        """Another place for a shot."""
        for each in diff.shots(self.base, self.theirs):
            if each.id == shot_id and each.what is What.MOVED:
                document = None if each.document is None else each.document.decode()
                current = Current(etag=each.after or "", document_json=document)
                raise faults.edit_conflict(shot_id, "", None, current)

    def admit_members(self, names: Iterable[str], ours: Document) -> None:
        """Other values for members of the document."""
        for name in names:
            if found := conflict(self.base.member(name), self.theirs.member(name), ours.member(name)):
                current = Current(etag=self.theirs.etag, document_json=found.theirs)
                raise faults.edit_conflict("", f"/{escape_pointer(name)}{found.pointer}", found.ours, current)

    def admit_all(self) -> None:
        """Something else in place of everything."""
        for each in diff.differences(self.base, self.theirs):
            if each.shot_id or diff.path_of(each.pointer) not in stamps.PATHS:
                current = Current(etag=self.theirs.etag, document_json=each.after)
                raise faults.edit_conflict(each.shot_id, each.pointer, None, current)


def conflict(base: bytes | None, theirs: bytes | None, ours: bytes | None) -> Conflict | None:
    """The first value that would be overwritten in a shot, or a member's value. None for one that is not there."""
    return _conflict(_text(base), _text(theirs), _text(ours), "", 0)


def _conflict(base: str | None, theirs: str | None, ours: str | None, pointer: str, depth: int) -> Conflict | None:
    if _same(base, theirs) or _same(theirs, ours):
        return None
    inner = diff.parts(theirs) if theirs is not None else None
    made = diff.parts(ours) if ours is not None else None
    if inner is None or made is None or depth > _DEPTH:
        return Conflict(pointer=pointer, ours=_plain(ours), theirs=_plain(theirs))
    # Two who made an object out of nothing, or out of something else, may each have put other members into it.
    known = (diff.parts(base) if base is not None else None) or {}
    for name in {**inner, **made, **known}:
        place = f"{pointer}/{escape_pointer(name)}"
        if found := _conflict(known.get(name), inner.get(name), made.get(name), place, depth + 1):
            return found
    return None


def _same(first: str | None, second: str | None) -> bool:
    if first is None or second is None:
        return first is second
    return diff.same(first, second)


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("latin-1")


def _plain(text: str | None) -> str | None:
    return None if text is None else text.encode("latin-1").decode("utf-8")
