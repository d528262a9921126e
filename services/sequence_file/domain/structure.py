"""The list of shots as it is written: which shot stands where, and the bytes between them.

A shot that comes, goes or moves leaves every byte around it as it is. What is new between two shots looks like what
stands between their neighbours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.sequence_file.domain.document import Document, Figures, Span, index_of_ids
from services.sequence_file.domain.patch import Style, line_indent


@dataclass(frozen=True, slots=True)
class Listing:
    """The shots in their order, each by a key that its owner gave it."""

    keys: list[int]
    gaps: list[bytes]  # what stands before each shot, its comma included
    tail: bytes  # what stands before the closing bracket

    def inserted(self, index: int, key: int, style: Style, opened: tuple[bytes, bytes]) -> "Listing":
        """With a shot at an index; `opened` is what stands around the first shot of a list that was empty."""
        if not self.keys:
            return Listing([key], [opened[0]], opened[1])
        if len(self.keys) > 1:
            gap = self.gaps[min(max(index, 1), len(self.keys) - 1)]
        elif b"\n" in self.gaps[0]:
            gap = b"," + self.gaps[0]
        else:
            gap = style.comma.encode()
        keys, gaps = self.keys.copy(), self.gaps.copy()
        keys.insert(index, key)
        gaps.insert(max(index, 1), gap)
        return Listing(keys, gaps, self.tail)

    def without(self, index: int) -> "Listing":
        """Without the shot at an index."""
        if len(self.keys) == 1:
            return Listing([], [], b"")
        keys, gaps = self.keys.copy(), self.gaps.copy()
        del keys[index], gaps[max(index, 1)]
        return Listing(keys, gaps, self.tail)

    def moved(self, index: int, to: int) -> "Listing":
        """With the shot at an index where it is to be; what stands between the places stays."""
        keys = self.keys.copy()
        keys.insert(to, keys.pop(index))
        return Listing(keys, self.gaps, self.tail)


def listing_of(document: Document) -> Listing:
    """The list as a document has it, each shot by its index."""
    raw, starts, ends = document.raw, document.starts, document.ends
    span = document.members[document.listed]
    befores = [span.start + 1, *ends]
    gaps = [raw[before:start] for before, start in zip(befores, starts, strict=False)]
    return Listing(list(range(len(starts))), gaps, raw[befores[-1] : span.end - 1])


def opened(document: Document, style: Style) -> tuple[bytes, bytes]:
    """What stands before and behind the first shot of a list that was empty."""
    if not style.newline:
        return b"", b""
    indent = line_indent(document.raw, document.members[document.listed].start)
    return f"{style.newline}{indent}{style.unit}".encode(), f"{style.newline}{indent}".encode()


def filled(
    hollow: Document,
    listing: Listing,
    shots: Sequence[bytes],
    shot_ids: list[str | None],
    etags: Mapping[int, str],
    figures: Mapping[int, Figures],
) -> Document:
    """A document whose list is empty with its shots in it. Nothing is parsed again; all is by index."""
    empty = hollow.members[hollow.listed]
    starts: list[int] = []
    ends: list[int] = []
    pieces: list[bytes] = [hollow.raw[: empty.start + 1]]
    position = empty.start + 1
    for gap, shot in zip(listing.gaps, shots, strict=True):
        pieces += (gap, shot)
        starts.append(position + len(gap))
        position += len(gap) + len(shot)
        ends.append(position)
    pieces += (listing.tail, hollow.raw[empty.end - 1 :])
    longer = position + len(listing.tail) + 1 - empty.end

    def moved(span: Span) -> Span:
        return Span(span.start + longer, span.end + longer) if span.start >= empty.end else span

    members = {name: moved(span) for name, span in hollow.members.items()}
    members[hollow.listed] = Span(empty.start, empty.end + longer)
    positions, duplicates = index_of_ids(shot_ids)
    return Document(
        file=hollow.file,
        raw=b"".join(pieces),
        head=hollow.head,
        members=members,
        listed=hollow.listed,
        starts=starts,
        ends=ends,
        shot_ids=shot_ids,
        positions=positions,
        duplicates=duplicates,
        _shot_etags=dict(etags),
        _figures=dict(figures),
    )
