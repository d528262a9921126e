"""What is different between two states of a document: which shots, and value by value."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from services.kernel.strict_json import Number, escape_pointer
from services.sequence_file.domain import scan
from services.sequence_file.domain.changes import ShotChange, What
from services.sequence_file.domain.document import Document

MAX_DOCUMENTS = 256 * 1024  # bytes of shots that travel with the changes of one file
# Deeper than callers may nest; what a file nests deeper is compared as it is written.
_DEPTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value that is not as it was, or one shot that stands elsewhere."""

    shot_id: str  # "" for a member of the document itself, and for shots that have no id of their own
    pointer: str  # RFC 6901, within the shot, else within the document; "": the whole shot
    before: str | None = None  # JSON text as it is written; None where there was none
    after: str | None = None  # None where there is none
    before_index: int | None = None  # of a shot that moved, and of one that is gone: from 0
    after_index: int | None = None  # of a shot that moved, and of a new one: from 0


def shots(before: Document | None, after: Document) -> tuple[ShotChange, ...]:
    """The shots that came, went, moved or have other content; None: there was no file.

    Left out are shots without an id and those whose id stands twice, which nobody can name (see `nameable`).
    """
    found: list[ShotChange] = []
    old = _named(before) if before else {}
    new = _named(after)
    if before:
        gone = [index for shot_id, index in old.items() if shot_id not in new]
        for index in gone:
            found.append(_change(before, index, What.DELETED))
    elsewhere = moved([old[shot_id] for shot_id in new if shot_id in old])
    for shot_id, index in new.items():
        was = old.get(shot_id)
        if before is None or was is None:
            found.append(_change(after, index, What.CREATED))
        elif was in elsewhere:
            found.append(_change(after, index, What.MOVED, before.shot_etag(was)))
        elif before.shot(was) != after.shot(index) and before.shot_etag(was) != after.shot_etag(index):
            found.append(_change(after, index, What.UPDATED, before.shot_etag(was)))
    return lightened(found)


def nameable(before: Document | None, after: Document) -> bool:
    """Whether `shots` can name all that changed: not where shots that have no id of their own changed."""
    return (_unnamed(before) if before else []) == _unnamed(after)


def lightened(changes: Sequence[ShotChange]) -> tuple[ShotChange, ...]:
    """Changes without their documents, if those are too many bytes to travel with them."""
    if sum(len(each.document) for each in changes if each.document) <= MAX_DOCUMENTS:
        return tuple(changes)
    return tuple(replace(each, document=None) for each in changes)


def moved(places: Sequence[int]) -> set[int]:
    """Which of these, once in ascending order, are not any more: the fewest that must have moved."""
    if all(first < second for first, second in pairwise(places)):
        return set()
    ends: list[int] = []  # the smallest last place of an ascending run of each length
    lengths: list[int] = []
    for place in places:
        length = bisect_left(ends, place)
        ends[length : length + 1] = [place]
        lengths.append(length)
    stay: set[int] = set()
    wanted = len(ends) - 1
    for place, length in zip(reversed(places), reversed(lengths), strict=True):
        if length == wanted:
            stay.add(place)
            wanted -= 1
    return set(places) - stay


def differences(before: Document, after: Document, shot_id: str = "") -> Iterator[Difference]:
    """What is different, value by value; with a shot id, only in that shot.

    The document's own members come first, then the shots in the order of the later document, then those that are gone.
    Lists of different lengths are one value each; the order of members counts for nothing.
    """
    if not shot_id:
        yield from members(before, after)
    old, new = _identified(before), _identified(after)
    elsewhere = moved([old[key] for key in new if key in old])
    for key, index in new.items():
        if shot_id and key != (shot_id, 0):
            continue
        name, within = (key[0], "") if key[1] == 0 and key[0] else ("", f"/{after.listed}/{index}")
        text = after.shot(index).decode("latin-1")
        if (was := old.get(key)) is None:
            yield Difference(shot_id=name, pointer=within, after=_plain(text), after_index=index)
            continue
        if was in elsewhere:
            yield Difference(shot_id=name, pointer=within, before_index=was, after_index=index)
        for pointer, first, second in _pair(before.shot(was).decode("latin-1"), text, within, 0):
            yield Difference(shot_id=name, pointer=pointer, before=_plain(first), after=_plain(second))
    for key, index in old.items():
        if key not in new and shot_id in ("", key[0]):
            name, within = (key[0], "") if key[1] == 0 and key[0] else ("", f"/{before.listed}/{index}")
            text = before.shot(index).decode("latin-1")
            yield Difference(shot_id=name, pointer=within, before=_plain(text), before_index=index)


def members(before: Document, after: Document) -> Iterator[Difference]:
    """What is different in the documents themselves, without their shots."""
    old = {name: before.raw[span.start : span.end] for name, span in before.members.items() if name != before.listed}
    new = {name: after.raw[span.start : span.end] for name, span in after.members.items() if name != after.listed}
    for name in [*new, *(name for name in old if name not in new)]:
        if old.get(name) != new.get(name):
            was, now = (None if raw is None else raw.decode("latin-1") for raw in (old.get(name), new.get(name)))
            for pointer, first, second in _pair(was, now, f"/{_token(name)}", 0):
                yield Difference(shot_id="", pointer=pointer, before=_plain(first), after=_plain(second))


def changed_paths(before: bytes, after: bytes) -> list[str]:
    """The members in which two states of a shot are different, those of nested objects as `generation.prompt`."""
    return [path_of(pointer) for pointer, _, _ in _pair(before.decode("latin-1"), after.decode("latin-1"), "", 0)]


def path_of(pointer: str) -> str:
    """A pointer as people write it: `generation.prompt`."""
    return ".".join(each.replace("~1", "/").replace("~0", "~") for each in pointer.split("/")[1:])


def parts(text: str) -> dict[str, str] | None:
    """The members of an object, each value as it is written; None for a value of another kind. Text as of `scan`."""
    if not text.startswith("{"):
        return None
    return {member.name: text[member.start : member.end] for member in scan.members(text, 0)}


def same(first: str, second: str) -> bool:
    """Whether two JSON texts mean the same value: members in any order, numbers as exact decimals."""
    return first == second or _equal(scan.decoded(first, 0, len(first)), scan.decoded(second, 0, len(second)), 0)


def _pair(old: str | None, new: str | None, pointer: str, depth: int) -> Iterator[tuple[str, str | None, str | None]]:
    if old == new:
        return
    if old is not None and new is not None and depth < _DEPTH:
        first, second = parts(old), parts(new)
        if first is not None and second is not None:
            for name in [*second, *(name for name in first if name not in second)]:
                yield from _pair(first.get(name), second.get(name), f"{pointer}/{_token(name)}", depth + 1)
            return
        if old[0] == new[0] == "[":
            olds, news = list(_elements(old)), list(_elements(new))
            if len(olds) == len(news):
                for index, each in enumerate(news):
                    yield from _pair(olds[index], each, f"{pointer}/{index}", depth + 1)
                return
        if same(old, new):
            return
    yield pointer, old, new


def _elements(text: str) -> Iterator[str]:
    position = scan.first_item(text, 0)
    while position >= 0:
        _, end = scan.value_at(text, position)
        yield text[position:end]
        position = scan.next_item(text, end, "]")


def _equal(first: scan.Value, second: scan.Value, depth: int) -> bool:
    if type(first) is not type(second) or depth > _DEPTH:
        return False
    if isinstance(first, Number) and isinstance(second, Number):
        return str(first) == str(second) or _decimal(first) == _decimal(second)
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_equal(first[name], second[name], depth + 1) for name in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(
            _equal(one, other, depth + 1) for one, other in zip(first, second, strict=True)
        )
    return first == second


def _decimal(number: Number) -> Decimal:
    try:
        return Decimal(number)
    except InvalidOperation:  # an exponent beyond all bounds
        return Decimal("NaN")


def _token(name: str) -> str:
    """A name in a pointer; halves of characters, which JavaScript can write, cannot travel and become `?`."""
    return escape_pointer(name).encode("utf-8", "replace").decode("utf-8")


def _plain(text: str | None) -> str | None:
    return None if text is None else text.encode("latin-1").decode("utf-8")


def _named(document: Document) -> dict[str, int]:
    """Index of each shot that has an id of its own, in their order."""
    return {
        shot_id: index
        for index, shot_id in enumerate(document.shot_ids)
        if shot_id is not None and shot_id not in document.duplicates
    }


def _unnamed(document: Document) -> list[bytes]:
    return [
        document.shot(index)
        for index, shot_id in enumerate(document.shot_ids)
        if shot_id is None or shot_id in document.duplicates
    ]


def _identified(document: Document) -> dict[tuple[str, int], int]:
    """Index of every shot: by its id and 0, those without one of their own by how many such stand before them."""
    out: dict[tuple[str, int], int] = {}
    unnamed = 0
    for index, shot_id in enumerate(document.shot_ids):
        if shot_id is None or shot_id in document.duplicates:
            out["", unnamed] = index
            unnamed += 1
        else:
            out[shot_id, 0] = index
    return out


def _change(document: Document, index: int, what: What, before: str | None = None) -> ShotChange:
    gone = what is What.DELETED
    etag = document.shot_etag(index)
    return ShotChange(
        id=str(document.shot_ids[index]),
        what=what,
        before=etag if gone else before,
        after=None if gone else etag,
        document=None if gone else document.shot(index),
    )
