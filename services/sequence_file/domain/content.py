"""What a document holds while it is changed: its shots and members as they are now, and as they were.

Shots have keys: a shot of the document as read its index, a new one the next number. What happens between two calls of
`take` is a turn, which can be taken back.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, TypeVar

from services.kernel.strict_json import Json, Number
from services.sequence_file.domain import diff, faults, patch, stamps, structure, summary, totals
from services.sequence_file.domain.changes import ShotChange, What
from services.sequence_file.domain.document import Document, Figures, Head, Replacement, content_etag, figures_of
from services.sequence_file.domain.structure import Listing

NO_LENGTH = Decimal(0)
_T = TypeVar("_T")


_TOLD = 1000  # shots of one change; beyond that those that only got another number are not named


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one caller's steps made of a document."""

    shots: tuple[ShotChange, ...] = ()
    summary: str = ""  # one line for people
    changed: bool = False
    complete: bool = True  # whether `shots` names all that changed: not where shots without an own id changed


class New(NamedTuple):
    """A shot that the document as read does not have."""

    id: str
    indent: str  # of the line that it begins on


class State(NamedTuple):
    """A draft. Replaced as a whole but for the content of shots, so that it can be put back."""

    ground: Document  # that shots are counted in: as read, or what it was replaced by
    raws: dict[int, bytes]  # by key, which for a shot of the ground is its index: shots with other content
    etags: dict[int, str]  # of those
    figures: dict[int, Figures]  # of those
    added: list[New]  # their keys count on from the ground's
    hollow: Document | None = None  # what stands around the shots, where that changed
    listing: Listing | None = None  # where shots came, went or moved
    keys: Mapping[str, int | None] = {}  # of shots that came, by id; None for those that went
    longer: Decimal = NO_LENGTH  # seconds that the shots gained on the ground's
    told: Decimal = NO_LENGTH  # as much of it as `hollow` knows of
    told_count: int | None = None  # the count of shots that `hollow` knows of; None: the ground's


@dataclass(slots=True)
class Turn:
    """What happened since the last `take`."""

    state: State  # then
    changed: bool  # whether the draft was changed then
    # Content and etag, then, of every shot whose content changed; None: that of the ground.
    raws: dict[int, tuple[bytes | None, str | None]] = field(default_factory=dict)
    edits: dict[int, list[str]] = field(default_factory=dict)  # members that were named, by shot
    came: list[int] = field(default_factory=list)
    went: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    members: list[str] = field(default_factory=list)  # of the document
    replaced: Document | None = None  # what stood there before all of it was replaced


class Content:
    """A document, and what has become of it so far."""

    def __init__(self, document: Document, *, numbered: bool = True) -> None:
        """`numbered`: whether the shots' numbers follow their order."""
        self.base = document
        self._numbered = numbered
        self.style = patch.style_of(document.raw)
        self.state = State(document, {}, {}, {}, [])
        self.turn = Turn(self.state, False)

    @property
    def changed(self) -> bool:
        """Whether any step changed anything."""
        state = self.state
        return bool(state.raws or state.hollow or state.listing) or state.ground is not self.base

    @property
    def head(self) -> Head:
        """What identifies and orders the sequence, as it is in the draft."""
        return (self.state.hollow or self.state.ground).head

    @property
    def shot_count(self) -> int:
        """How many shots there are in the draft."""
        return len(self.state.listing.keys if self.state.listing else self.state.ground.starts)

    def find(self, shot_id: str) -> int | None:
        """Key of a shot; None where there is none. Raises DUPLICATE_ID."""
        state = self.state
        return state.keys[shot_id] if shot_id in state.keys else state.ground.find(shot_id)

    def is_double(self, shot_id: str) -> bool:
        """Whether an id stands more than once."""
        return shot_id in self.state.ground.duplicates

    def is_changed(self, key: int) -> bool:
        """Whether a shot has other content than it was read with."""
        return key in self.state.raws

    def id_of(self, key: int) -> str | None:
        """Id of a shot; None where it has none."""
        ground = self.state.ground
        return ground.shot_ids[key] if key < len(ground.starts) else self.state.added[key - len(ground.starts)].id

    def indent(self, key: int) -> str:
        """Indentation of the line that a shot begins on."""
        ground = self.state.ground
        if key < len(ground.starts):
            return patch.line_indent(ground.raw, ground.starts[key])
        return self.state.added[key - len(ground.starts)].indent

    def raw(self, key: int) -> bytes:
        """A shot, byte for byte."""
        raws = self.state.raws
        return raws[key] if key in raws else self.state.ground.shot(key)

    def etag(self, key: int) -> str:
        """Etag of a shot."""
        state = self.state
        if key not in state.raws:
            return state.ground.shot_etag(key)
        if key not in state.etags:
            state.etags[key] = content_etag(state.raws[key])
        return state.etags[key]

    def figures(self, key: int) -> Figures:
        """What numbering and totals ask of a shot."""
        state = self.state
        if key not in state.raws:
            return state.ground.figures(key)
        if key not in state.figures:
            state.figures[key] = figures_of(state.raws[key])
        return state.figures[key]

    def listing(self) -> Listing:
        """The shots in their order. Raises SEQUENCE_FILE_INVALID where there is no list of them."""
        state = self.state
        if not state.ground.listed:
            raise faults.file_invalid(self.base.file, "it has no list of shots")
        return state.listing or structure.listing_of(state.ground)

    def _put(self, key: int, raw: bytes) -> None:
        state, turn = self.state, self.turn
        if key not in turn.raws:
            turn.raws[key] = state.raws.get(key), state.etags.get(key)
        state.raws[key] = raw
        state.etags.pop(key, None)
        state.figures.pop(key, None)

    def _lengthen(self, gain: Decimal, loss: Decimal) -> None:
        if gain != loss:
            difference = totals.added(gain, loss.copy_negate())
            self.state = self.state._replace(longer=totals.added(self.state.longer, difference))

    def _counted(self, listing: Listing) -> bool:
        return totals.counted([self.figures(key) for key in listing.keys])

    def _arrange(self, listing: Listing, keys: Mapping[str, int | None], counted: bool) -> None:
        """Take over another arrangement of the shots, and let their numbers follow."""
        state = self.state
        self.state = state._replace(listing=listing, keys={**state.keys, **keys})
        if not self._numbered:
            return
        figures = [self.figures(key) for key in listing.keys]
        for index, name, value in totals.misnumbered(figures, positions=counted):
            key = listing.keys[index]
            known = self.figures(key)
            self._put(key, totals.renumbered(self.raw(key), name, value, index + 1))
            self.state.figures[key] = known._replace(**{name: Number(str(index + 1))})

    def insert(self, index: int, shot_id: str, raw: bytes, indent: str) -> int:
        """A new shot at an index, which must name its number; its key."""
        ground, added = self.state.ground, self.state.added
        listing = self.listing()
        counted = self._counted(listing)
        key = len(ground.starts) + len(added)
        added.append(New(shot_id, indent))
        self._put(key, raw)
        self.turn.came.append(key)
        self._lengthen(totals.length_of(self.figures(key)), NO_LENGTH)
        opened = structure.opened(ground, self.style)
        self._arrange(listing.inserted(index, key, self.style, opened), {shot_id: key}, counted)
        return key

    def remove(self, key: int, shot_id: str) -> None:
        """A shot goes."""
        listing = self.listing()
        counted = self._counted(listing)
        self.turn.went.append(key)
        self._lengthen(NO_LENGTH, totals.length_of(self.figures(key)))
        self._arrange(listing.without(listing.keys.index(key)), {shot_id: None}, counted)

    def move(self, key: int, to: int) -> None:
        """A shot goes to another index."""
        listing = self.listing()
        counted = self._counted(listing)
        self.turn.moved.append(key)
        self._arrange(listing.moved(listing.keys.index(key), to), {}, counted)

    def edit(self, key: int, raw: bytes, names: Iterable[str], paths: Iterable[str]) -> None:
        """Other content for a shot; `names` are its members that may be different, `paths` those that are."""
        if not totals.SOURCES.isdisjoint(names):
            self._lengthen(totals.length_of(figures_of(raw)), totals.length_of(self.figures(key)))
        self._put(key, raw)
        self.turn.edits.setdefault(key, []).extend(paths)

    def set_members(self, hollow: Document, paths: Iterable[str]) -> None:
        """Other members of the document; `hollow` has its totals as the shots are now."""
        self.state = self.state._replace(hollow=hollow, told=self.state.longer, told_count=self.shot_count)
        self.turn.members += paths

    def replace(self, document: Document) -> None:
        """Another document in place of all; there must be nothing else in the turn."""
        before = self.written(None)
        self.state = State(document, {}, {}, {}, [])
        self.turn.replaced = before

    def take(self) -> Taken:
        """What changed since the last `take`."""
        turn, self.turn = self.turn, Turn(self.state, self.changed)
        if turn.replaced:
            return _compared(turn.replaced, self.written(None))
        changes: list[ShotChange] = []
        told: list[tuple[str, What, Sequence[str]]] = []
        complete = True
        touched = list(self._touched(turn))
        for key, what in touched:
            shot_id = self.id_of(key)
            renumbered = what is What.UPDATED and key not in turn.edits
            if shot_id is None or shot_id in self.state.ground.duplicates or (renumbered and len(touched) > _TOLD):
                complete = False
                continue
            before = None if what is What.CREATED else self._etag_then(turn, key)
            after = None if what is What.DELETED else self.etag(key)
            if what is What.UPDATED and before == after:
                continue
            document = None if after is None or renumbered else self.raw(key)
            changes.append(ShotChange(id=shot_id, what=what, before=before, after=after, document=document))
            paths = turn.edits.get(key, ())
            if paths or what is not What.UPDATED:
                told.append((shot_id, what, tuple(dict.fromkeys(paths))))
        if not (changes or turn.members) and complete:
            return Taken()
        return Taken(
            shots=diff.lightened(changes),
            summary=summary.of_steps(turn.members, told) or "numbers",
            changed=True,
            complete=complete,
        )

    def take_back(self) -> None:
        """Undo what changed since the last `take`."""
        turn = self.turn
        self.state = state = turn.state
        if not turn.replaced:  # else the shots of that state are as they were
            for key, (raw, etag) in turn.raws.items():
                _set(state.raws, key, raw)
                _set(state.etags, key, etag)
                state.figures.pop(key, None)
        self.turn = Turn(state, turn.changed)

    def written(self, now: datetime | None) -> Document:
        """The document, and with a time its times of change."""
        state = self.state
        updates = self._corrections()
        if now:
            updates = stamps.merged(updates, stamps.times(state.hollow or state.ground, now))
        spans = None if state.hollow or state.listing else stamps.spans(state.ground, updates, self.style)
        if spans is not None:
            ground = state.ground
            shots = [Replacement(ground.starts[key], ground.ends[key], raw) for key, raw in state.raws.items()]
            return ground.spliced(sorted(shots + spans), state.etags)
        hollow = self._around(updates)
        if not hollow.listed:
            return hollow
        listing = self.listing()
        return structure.filled(
            hollow,
            listing,
            [self.raw(key) for key in listing.keys],
            [self.id_of(key) for key in listing.keys],
            self._known(listing, state.ground.known_etags(), state.etags),
            self._known(listing, state.ground.known_figures(), state.figures),
        )

    def _touched(self, turn: Turn) -> Iterator[tuple[int, What]]:
        """The shots that a turn changed, each once."""
        both = set(turn.came) & set(turn.went)
        for keys, what in ((turn.came, What.CREATED), (turn.went, What.DELETED)):
            yield from ((key, what) for key in keys if key not in both)
        apart = {*turn.came, *turn.went}
        for key in dict.fromkeys(turn.moved):
            if key not in apart:
                yield key, What.MOVED
        apart.update(turn.moved)
        for key in turn.raws:
            if key not in apart:
                yield key, What.UPDATED

    def _etag_then(self, turn: Turn, key: int) -> str:
        """The etag of a shot when the turn began."""
        raw, etag = turn.raws.get(key, (None, None))
        if raw is not None:
            return etag or content_etag(raw)
        if key in turn.raws or key not in self.state.raws:
            return self.state.ground.shot_etag(key)
        return self.etag(key)

    def around(self) -> Document:
        """What stands around the shots, with its totals as they are now."""
        return self._around(self._corrections())

    def _around(self, updates: dict[str, Json]) -> Document:
        hollow = self.state.hollow or self.state.ground.hollow()
        return hollow.reread(patch.applied(hollow.raw, updates, self.style, "")) if updates else hollow

    def _corrections(self) -> dict[str, Json]:
        """The merge patch that keeps the totals of the document true."""
        state = self.state
        count = len(state.ground.starts) if state.told_count is None else state.told_count
        if state.longer == state.told and self.shot_count == count:
            return {}
        around = state.hollow or state.ground
        if not totals.kept(around):
            return {}
        length = totals.sums_of(state.ground).length
        before = totals.Sums(totals.added(length, state.told), count)
        after = totals.Sums(totals.added(length, state.longer), self.shot_count)
        return totals.corrected(around, before, after)

    def _known(self, listing: Listing, ground: Mapping[int, _T], own: Mapping[int, _T]) -> dict[int, _T]:
        """What is known of shots, by their new index."""
        changed = self.state.raws
        out: dict[int, _T] = {}
        for index, key in enumerate(listing.keys):
            value = own.get(key) if key in changed else ground.get(key)
            if value is not None:
                out[index] = value
        return out


def _compared(before: Document, after: Document) -> Taken:
    """What became of a document that was replaced."""
    changes = diff.shots(before, after)
    return Taken(
        shots=changes,
        summary=summary.of_shots(changes, before, after),
        changed=before.raw != after.raw,
        complete=diff.nameable(before, after),
    )


def _set(known: dict[int, _T], key: int, value: _T | None) -> None:
    if value is None:
        known.pop(key, None)
    else:
        known[key] = value
