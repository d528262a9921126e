"""What the lines of a log add up to: revisions, requests, versions, and what became of each batch.

Texts are not kept, only where they stand in the file: some hundred bytes a change.
"""

from array import array
from dataclasses import dataclass, replace

from services.sequence_file.domain.changes import Author
from services.sequence_file.storage.log_lines import (
    Baseline,
    Batch,
    Begun,
    Header,
    Kept,
    Known,
    Line,
    Marked,
    Standing,
    Surveyed,
    Written,
)

_UNDONE = -1  # of a batch that has no first revision, or none yet
_SUMMARY = 200  # characters of what a version of several changes is called


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a change stands."""

    start: int  # of its batch's line in the file
    size: int  # of the line, in bytes
    index: int  # among those of the batch that are revisions, or among all; which, the method says
    at: float  # seconds since 1970
    revision: int


@dataclass(frozen=True, slots=True)
class Lasting:
    """What of a log stays when the rest is dropped: the batches by where their lines stand."""

    base: int  # the revision before the first one that stays
    decided: tuple[tuple[int, int, int], ...]  # start, size and first revision, in the order of these
    undecided: tuple[tuple[int, int], ...]  # start and size
    dropped_bytes: int


class Index:
    """The log as far as it has been read. Not thread-safe."""

    def __init__(self) -> None:
        self.log_id = ""  # until the first line was read
        self.base = 0  # the revision before the oldest one here
        self.surveyed = False
        self.known: dict[str, Known] = {}  # by key, as the two below
        self.versions: dict[str, list[Written]] = {}
        self.marked_to: dict[str, int] = {}  # where the last mark ends that must not be lost
        self.open: dict[str, Batch] = {}  # by name
        self._numbers: dict[str, int] = {}  # of the lines of those
        # Of each batch's line, by its number among them:
        self._starts = array("Q")
        self._sizes = array("Q")
        self._times = array("d")
        self._firsts = array("q")  # first revision, 0 where nothing changed, or _UNDONE
        self._line_of = array("Q")  # by revision
        self._requests: dict[str, tuple[int, int]] = {}  # number of the line, and which of its changes
        self._authors: dict[Author, Author] = {}  # few people make many changes

    @property
    def head(self) -> int:
        """The last revision."""
        return self.base + len(self._line_of)

    def take(self, line: Line, start: int, end: int) -> None:
        """Add a line that stands from `start` to `end`."""
        match line:
            case Begun():
                self._begin(line, start, end - start)
            case Marked(name, first):
                self._mark(name, first, end)
            case Baseline(key, at, known):
                self.known[key] = known
                self._note(key, Written(revision=0, at=at, author=None, request_id="", summary="", etag=known.etag))
            case Standing(key, known):
                self.known[key] = known
            case Kept(key, written):
                self._note(key, written)
            case Surveyed():
                self.surveyed = True
            case Header(_, log_id, base, surveyed):
                if not self.log_id:
                    self.log_id, self.base, self.surveyed = log_id, base, surveyed

    def open_batches(self, key: str) -> list[tuple[str, Batch]]:
        """The batches that touch a file and are not decided, oldest first."""
        return [(name, each) for name, each in self.open.items() if any(file.key == key for file in each.touched)]

    def request(self, request_id: str) -> Spot | None:
        """Where the answer to a request stands, if it was carried out; `index` is among all changes of its batch."""
        if (found := self._requests.get(request_id)) is None:
            return None
        number, index = found
        return self._spot(number, index, self._firsts[number])

    def revision(self, revision: int) -> Spot:
        """Where a revision behind `base` stands; `index` is among the revisions of its batch."""
        number = self._line_of[revision - self.base - 1]
        return self._spot(number, revision - self._firsts[number], revision)

    def lasting(self, since: float) -> Lasting:
        """What stays when all from before a time is dropped that nobody has to know any more."""
        live = [at >= since for at in self._times]
        cut = min(
            (first for first, lives in zip(self._firsts, live, strict=True) if first > 0 and lives),
            default=self.head + 1,
        )
        undecided = [
            self._numbers[name] for name, each in self.open.items() if each.touched or live[self._numbers[name]]
        ]
        decided = sorted(
            (first, number)
            for number, (first, lives) in enumerate(zip(self._firsts, live, strict=True))
            if first >= cut or (first == 0 and lives)
        )
        kept = sum(self._sizes[number] for _, number in decided) + sum(self._sizes[number] for number in undecided)
        return Lasting(
            base=cut - 1,
            decided=tuple((self._starts[number], self._sizes[number], first) for first, number in decided),
            undecided=tuple((self._starts[number], self._sizes[number]) for number in undecided),
            dropped_bytes=sum(self._sizes) - kept,
        )

    def _spot(self, number: int, index: int, revision: int) -> Spot:
        return Spot(self._starts[number], self._sizes[number], index, self._times[number], revision)

    def _begin(self, line: Begun, start: int, size: int) -> None:
        number = len(self._starts)
        self._starts.append(start)
        self._sizes.append(size)
        self._times.append(line.at)
        self._firsts.append(_UNDONE)
        if line.first is None:
            self.open[line.name] = line.batch
            self._numbers[line.name] = number
        else:
            self._settle(number, line.batch, line.first)

    def _mark(self, name: str, first: int | None, end: int) -> None:
        batch = self.open.pop(name, None)
        if batch is None:
            return  # decided before
        number = self._numbers.pop(name)
        if batch.works or any(made.request for made in batch.made):  # what must not be made twice
            for each in batch.touched:
                self.marked_to[each.key] = end
        if first is not None:
            self._settle(number, batch, first)

    def _settle(self, number: int, batch: Batch, first: int) -> None:
        for index, made in enumerate(batch.made):
            if made.request:
                self._requests[made.request.id] = number, index
        count = batch.revisions
        if not count:
            self._firsts[number] = 0
            return
        if first > self.head + 1:  # lines in between are damaged: what was before them is not told of any more
            self.base = first - 1
            del self._line_of[:]
        self._firsts[number] = self.head + 1
        self._line_of.extend([number] * count)
        self._note_files(batch, self._times[number])

    def _note_files(self, batch: Batch, at: float) -> None:
        changes = [made for made in batch.made if made.files]
        author = changes[-1].author
        request = changes[-1].request
        summary = "; ".join(made.summary for made in changes)
        if len(changes) > 1:
            summary = f"{len(changes)} changes: {summary}"
            summary = summary if len(summary) <= _SUMMARY else f"{summary[: _SUMMARY - 1]}…"
        for touched in batch.touched:
            before = self.known.get(touched.key)
            told = [file.sequence_id for made in changes for file in made.files if file.file == touched.file]
            self.known[touched.key] = Known(
                revision=self.head,
                etag=touched.after,
                file=touched.file,
                sequence_id=told[-1] if told else before.sequence_id if before else "",
            )
            self._note(
                touched.key,
                Written(
                    revision=self.head,
                    at=at,
                    author=author,
                    request_id=request.id if request else "",
                    summary=summary,
                    etag=touched.after,
                ),
            )

    def _note(self, key: str, written: Written) -> None:
        if written.author is not None:
            author = self._authors.setdefault(written.author, written.author)
            if author is not written.author:
                written = replace(written, author=author)
        self.versions.setdefault(key, []).append(written)
