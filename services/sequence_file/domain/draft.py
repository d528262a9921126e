"""Changes on their way into a document: made one by one, written once.

A draft answers each step with the shot as it will be, and makes one new document of all that succeeded. A step that
fails leaves no trace, so the others of a batch are not its hostages. `take` closes what one caller did and says what
it was; `take_back` undoes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from services.kernel.faults import Current, Fault, invalid_field
from services.kernel.strict_json import Json, Number
from services.sequence_file.domain import diff, faults, identity, newcomer, patch, scan, structure, totals
from services.sequence_file.domain.content import Content, Taken
from services.sequence_file.domain.document import (
    BOM,
    Document,
    Head,
    content_etag,
    figures_of,
    parse_project,
    parse_sequence,
    replaced,
)
from services.sequence_file.domain.merge import Rival
from services.sequence_file.domain.steps import Edit, Insert, InsertRaw, Mode, Place, Remove, Reorder, SetMembers, Step

__all__ = ["Draft", "Shot", "Taken"]

IMMUTABLE = ("id", "sequencePlanId")
# Shots have steps of their own.
_LISTS = ("shots", "storyboard")
# No file has a later one, and times of change never go back.
_AT_ONE_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A shot and where it stands."""

    id: str
    document: bytes  # the shot's object, byte for byte as in the file
    etag: str
    file: str  # relative to the project folder
    sequence_id: str  # "" for a shot of project.json


class Draft:
    """A document with changes that are not written yet."""

    def __init__(self, document: Document, sequence_id: str, seen: Document | None = None) -> None:
        """`seen`: what the callers' changes were made on, if another program has just put `document` in its place.

        Etags of it still count, and a step that would overwrite what the other program did is refused with
        EDIT_CONFLICT.
        """
        self.base = document
        self.sequence_id = sequence_id
        # The shots of project.json may be copies of several sequences', each numbered from 1.
        self._content = Content(document, numbered=bool(sequence_id))
        self._rival = Rival(seen, document) if seen else None

    @property
    def changed(self) -> bool:
        """Whether any step changed anything."""
        return self._content.changed

    @property
    def head(self) -> Head:
        """What identifies and orders the sequence, as it is in the draft."""
        return self._content.head

    @property
    def shot_count(self) -> int:
        """How many shots there are in the draft."""
        return self._content.shot_count

    def has(self, shot_id: str) -> bool:
        """Whether any shot has the id."""
        return self._content.is_double(shot_id) or self._content.find(shot_id) is not None

    def shot(self, shot_id: str) -> Shot:
        """The shot as it is in the draft. Raises SHOT_NOT_FOUND, DUPLICATE_ID."""
        return self._shot(self._key(shot_id), shot_id)

    def apply(self, step: Step, *, again: bool = False) -> Shot | None:
        """Make one step; the shot as it will be, None where the step leaves none.

        With `again` the step may have been made before a crash: what is there already is left alone, what cannot be
        made any more is left out, and a new shot whose place is gone comes last. Else raises SHOT_NOT_FOUND,
        SHOT_EXISTS, DUPLICATE_ID, INVALID_SHOT_ID, IMMUTABLE_FIELD, EDIT_CONFLICT, and ETAG_MISMATCH when the etag is
        stale and the change is not there already (RFC 9110, 13.1.1 lets those succeed).
        """
        if not again:
            return self._apply(step)
        try:
            if isinstance(step, Insert | InsertRaw) and not self._stands(step.place.after):
                return self._insert(step, Place())
            return self._apply(step)
        except Fault:
            return None  # nobody waits for it any more; what can be made of the change has been made

    def edit(self, edit: Edit) -> Shot:
        """Change one shot. Raises as `apply`."""
        content = self._content
        key = self._key(edit.shot_id)
        before = content.raw(key)
        text = before.decode("latin-1")
        _refuse_immutable(text, edit)
        paths: list[str] = []
        apply = patch.merge if edit.mode is Mode.MERGE_PATCH else patch.assign
        if replacements := apply(text, edit.updates, content.style, content.indent(key), paths):
            self._check_etag(key, edit.shot_id, edit.etag)
            after = replaced(before, replacements)
            if self._rival:
                self._rival.admit_shot(edit.shot_id, after)
            content.edit(key, after, edit.updates.keys(), paths)
        return self._shot(key, edit.shot_id)

    def put_back(self, shot_id: str, document: bytes) -> Shot:
        """Give a shot the content that it has in another version, byte for byte but for its number and position.

        Raises SHOT_NOT_FOUND, DUPLICATE_ID, EDIT_CONFLICT. The version's shot must have the same id.
        """
        content = self._content
        key = self._key(shot_id)
        before, now, then = content.raw(key), content.figures(key), figures_of(document)
        places = {"number": (now.number, then.number), "position": (now.position, then.position)}
        updates: dict[str, Json] = {name: here for name, (here, there) in places.items() if here and there}
        updates |= self._belonging(_members(document), "")
        after = patch.applied(document, updates, content.style, "")
        if content_etag(after) != content.etag(key):
            if self._rival:
                self._rival.admit_shot(shot_id, after)
            content.edit(key, after, totals.SOURCES, diff.changed_paths(before, after) or ["order of members"])
        return self._shot(key, shot_id)

    def replace(self, raw: bytes) -> None:
        """Put other bytes in place of the whole document; earlier steps of the same turn are void.

        Nothing changes where only times of change are different.
        Raises SEQUENCE_FILE_INVALID, and EDIT_CONFLICT where another program has just changed the file.
        """
        self.take_back()
        document = (parse_sequence if self.sequence_id else parse_project)(raw, self.base.file)
        # Written at one time, what differs in its times of change only is the same.
        if Content(document).written(_AT_ONE_TIME).raw == self._content.written(_AT_ONE_TIME).raw:
            return
        if self._rival:
            self._rival.admit_all()
        self._content.replace(document)

    def take(self) -> Taken:
        """What changed since the last `take`."""
        return self._content.take()

    def take_back(self) -> None:
        """Undo what changed since the last `take`."""
        self._content.take_back()

    def finish(self, now: datetime) -> Document:
        """The new document, with its times of change. Every byte that no step named is copied."""
        return self._content.written(now)

    def _apply(self, step: Step) -> Shot | None:
        match step:
            case Edit():
                return self.edit(step)
            case Insert() | InsertRaw():
                return self._insert(step, step.place)
            case Reorder():
                return self._reorder(step)
            case Remove():
                self._remove(step)
            case SetMembers():
                self._set_members(step)
        return None

    def _insert(self, step: Insert | InsertRaw, place: Place) -> Shot:
        content = self._content
        shot = _members(step.document) if isinstance(step, InsertRaw) else step.document
        shot_id = _id_of(shot, may_be_number=isinstance(step, InsertRaw))
        if self.has(shot_id):
            raise faults.shot_exists(shot_id, self.base.file)
        keys = content.listing().keys
        index = self._target(place, keys)
        indent, style = self._look(keys, index)
        if isinstance(step, InsertRaw):
            raw, source = step.document, step.source
        else:
            raw, source = patch.rendered(dict(step.document), style, indent), ""
        updates = self._belonging(shot, source)
        updates |= newcomer.like_the_others(shot, [content.figures(key) for key in keys], index, self.sequence_id)
        key = content.insert(index, shot_id, patch.applied(raw, updates, style, indent), indent)
        return self._shot(key, shot_id)

    def _remove(self, step: Remove) -> None:
        key = self._key(step.shot_id)
        self._check_etag(key, step.shot_id, step.etag)
        if self._rival:
            self._rival.admit_shot(step.shot_id, None)
        self._content.remove(key, step.shot_id)

    def _reorder(self, step: Reorder) -> Shot:
        key = self._key(step.shot_id)
        keys = self._content.listing().keys
        index = keys.index(key)
        others = [each for each in keys if each != key]
        to = index if step.place.after == step.shot_id else self._target(step.place, others)
        if to != index:
            self._check_etag(key, step.shot_id, step.etag)
            if self._rival:
                self._rival.admit_move(step.shot_id)
            self._content.move(key, to)
        return self._shot(key, step.shot_id)

    def _set_members(self, step: SetMembers) -> None:
        before = self._content.around()
        updates = self._members_to_set(before, step)
        paths: list[str] = []
        text = before.raw.decode("latin-1")
        replacements = patch.merge(text, updates, self._content.style, "", paths, text.index("{"))
        if not replacements:
            return
        if step.etag is not None:
            self._check_file_etag(step.etag)
        after = before.reread(replaced(before.raw, replacements))
        if self._rival:
            self._rival.admit_members(updates, after)
        self._content.set_members(after, paths)

    def _members_to_set(self, hollow: Document, step: SetMembers) -> dict[str, Json]:
        updates = dict(step.updates)
        if "id" in updates:
            # An editor that sends the whole document back sends its id too, also one that the file does not state.
            own = hollow.member("id")
            if updates.pop("id") != (self.sequence_id if own is None else scan.decoded_bytes(own)):
                raise faults.immutable_field("id")
        for name in _LISTS:
            if name in updates:
                raise faults.immutable_field(name)
        return updates

    def _belonging(self, shot: Mapping[str, scan.Value], source: str) -> dict[str, Json]:
        """What a shot of this file has to say of its sequence; one of project.json may say anything."""
        return newcomer.belonging(shot, self.sequence_id, source) if self.sequence_id else {}

    def _target(self, place: Place, others: list[int]) -> int:
        """Where among the others a shot will stand."""
        if place.after is not None:
            return others.index(self._key(place.after)) + 1
        if place.index is None:
            return len(others)
        if place.index < 0:
            raise invalid_field("place.index", "must not be negative")
        return min(place.index, len(others))

    def _look(self, keys: list[int], index: int) -> tuple[str, patch.Style]:
        """Indentation and layout of a new shot: those of its neighbour."""
        content = self._content
        if not keys:
            lead, _ = structure.opened(content.state.ground, content.style)
            return lead.rpartition(b"\n")[2].decode("latin-1"), content.style
        neighbour = keys[max(index - 1, 0)]
        raw = content.raw(neighbour)
        on_one_line = len(raw) > 2 and b"\n" not in raw
        return content.indent(neighbour), content.style.inline() if on_one_line else content.style

    def _check_etag(self, key: int, shot_id: str, etag: str | None) -> None:
        if etag is None or etag == self._content.etag(key):
            return
        # What only the other program changed since the caller looked is merged, not refused.
        if self._rival and not self._content.is_changed(key) and self._rival.knows(shot_id, etag):
            return
        now = self._shot(key, shot_id)
        raise faults.etag_mismatch(Current(etag=now.etag, document_json=now.document.decode()))

    def _check_file_etag(self, etag: str) -> None:
        if self._content.turn.changed:  # by somebody who came first, and is not written yet
            raise faults.etag_mismatch(Current(etag="", document_json=None), "sequence")
        if etag != self.base.etag and not (self._rival and etag == self._rival.base.etag):
            raw = self.base.raw.removeprefix(BOM)
            raise faults.etag_mismatch(Current(etag=self.base.etag, document_json=raw.decode()), "sequence")

    def _stands(self, shot_id: str | None) -> bool:
        """Whether a new shot can stand behind this one; None: behind the last one."""
        if shot_id is None:
            return True
        return not self._content.is_double(shot_id) and self._content.find(shot_id) is not None

    def _key(self, shot_id: str) -> int:
        key = self._content.find(shot_id)
        if key is None:
            raise faults.shot_not_found(shot_id, self.base.file)
        return key

    def _shot(self, key: int, shot_id: str) -> Shot:
        return Shot(
            id=shot_id,
            document=self._content.raw(key),
            etag=self._content.etag(key),
            file=self.base.file,
            sequence_id=self.sequence_id,
        )


def _members(shot: bytes) -> Mapping[str, scan.Value]:
    value = scan.decoded_bytes(shot)
    return value if isinstance(value, dict) else {}


def _id_of(shot: Mapping[str, scan.Value], *, may_be_number: bool) -> str:
    found = shot.get("id")
    if not isinstance(found, str) or (isinstance(found, Number) and not may_be_number):
        raise faults.invalid_shot_id()
    return identity.shot_id(str(found))


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
