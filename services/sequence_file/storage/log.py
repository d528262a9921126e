"""What happened to a project, and what is about to: the one log that all servers of its folder share.

A file of JSON lines, `.shotline/changes.jsonl`. A batch of changes is written down before its files are swapped, and
marked done or void behind that. Done, its changes get the next revisions, which is what a watch follows; a request
that is sent again is given the answer that stands there.

A batch without a mark was cut off. Whoever holds a file's lock next decides it by evidence: it happened if the file
is as it was to leave it. If another program changed the file since, it may count as not happened: then a repeated
request is made again, which loses nothing. Our own writers never destroy the evidence. Each decides what is open
before it writes, and sees that the marks are on the device: a mark is not fsynced, so a power cut may take it back,
and by then the file looks different.

Changes and requests are kept for a day, versions as long as their content is. What is older is dropped when it is most
of a large file.

    log.py          this: what can be written down and asked
    log_lines.py    what a line says
    log_format.py   what it looks like; log_text.py writes and reads it
    log_index.py    what all lines add up to, in memory
    log_file.py     the file, shared with other processes
    log_rewrite.py  the file without what is too old
"""

import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

from services.kernel.faults import Fault, request_id_reused
from services.sequence_file.domain import faults
from services.sequence_file.domain.changes import Change
from services.sequence_file.domain.ports import Outcome, Request
from services.sequence_file.storage import log_rewrite, trouble
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.log_file import LogFile, Point
from services.sequence_file.storage.log_index import Index, Spot
from services.sequence_file.storage.log_lines import (
    Baseline,
    Batch,
    Begun,
    Header,
    Known,
    Line,
    Made,
    Marked,
    Surveyed,
    Touched,
    Written,
)
from services.sequence_file.storage.log_text import decode, encode, with_revision

__all__ = ["Batch", "Known", "Log", "Made", "Touched", "Written"]

RETENTION = 24 * 3600.0  # seconds
_FILE = "changes.jsonl"
_REWRITE_BYTES = 16 << 20  # from this size on expired lines are dropped
_REWRITE_PAUSE = 600.0  # seconds between two looks at what expired


class Log:
    """The log of one project folder, as far as this process has read it. Thread-safe.

    What is asked is answered from what was read: `catch_up` reads what is new, and so does everything that writes.
    Everything that writes raises OSError, and LOCK_TIMEOUT where another process does not let go of the log.
    """

    def __init__(
        self,
        disk: Disk,
        root: str,
        owner: tuple[str, ...],
        clock: Callable[[], float] = time.time,
        keep: Callable[[str], Collection[int]] | None = None,
    ) -> None:
        """`keep` says which revisions of a file, by its key, have a version in the history; it must not ask the log."""
        self.root = root
        self.owner = owner
        self._clock = clock
        self._keep = keep
        self._index = Index()
        self._file = LogFile(disk, root, owner, _FILE, self._take, self._forget)
        self._guard = self._file.guard
        self._prefix = uuid.uuid4().hex[:16]
        self._numbers = count(1)
        self._mine: dict[str, Batch] = {}  # begun here and not marked
        self._looked_at = time.monotonic()
        self._subscribers: list[Callable[[], None]] = []
        self._told = ("", 0)  # log id and head that the subscribers know of
        self._subscribing = threading.Lock()

    @property
    def log_id(self) -> str:
        """In which revisions are counted; another one when `.shotline` was deleted, "" where there is no log."""
        with self._guard:
            return self._index.log_id

    @property
    def head(self) -> int:
        """The last revision; 0 where there is none."""
        with self._guard:
            return self._index.head

    @property
    def oldest(self) -> int:
        """The first revision that `changes` still tells of."""
        with self._guard:
            return self._index.base + 1

    @property
    def surveyed(self) -> bool:
        """Whether all files of the project have been looked at once."""
        with self._guard:
            return self._index.surveyed

    def catch_up(self) -> None:
        """Read what other servers wrote since the last look. Raises OSError."""
        with self._guard:
            self._file.refresh()
        self._tell()

    def begin(self, batch: Batch, *, durably: bool = True) -> str:
        """Write down what is about to happen, and with `durably` wait for the device; the batch's name."""
        name = f"{self._prefix}{next(self._numbers)}"
        line = Begun(name, self._clock(), batch, None)
        text = encode(line)
        point = self._append(lambda: (line, text))
        try:
            if durably and point:  # outside of the lock: others need not wait for the device
                self._file.sync(point)
        except OSError as error:
            self._take_back(name, batch, error)
            raise
        self._mine[name] = batch
        return name

    def _take_back(self, name: str, batch: Batch, error: OSError) -> None:
        """A batch that is not on the device must not be carried out by the next one who finds it."""
        try:
            self.void(name)
        except (OSError, Fault):
            if batch.works:
                raise trouble.made_later(batch.touched[0].file, error) from error

    def done(self, name: str) -> int:
        """It happened; the batch's first revision, 0 if nothing changed, or if somebody else had decided it."""
        first = 0
        mine = self._mine.pop(name, None)

        def mark() -> tuple[Line, bytes] | None:
            nonlocal first
            if batch := self._index.open.get(name):
                first = self._next(batch)
                line: Line = Marked(name, first)
            elif mine:  # the log was deleted meanwhile: the new one must tell of it, too
                first = self._next(mine)
                line = Begun(name, self._clock(), mine, first)
            else:
                return None
            return line, encode(line)

        self._append(mark)
        return first

    def void(self, name: str) -> None:
        """It did not happen."""
        self._mine.pop(name, None)
        line = Marked(name, None)
        self._append(lambda: (line, encode(line)) if name in self._index.open else None)

    def record(self, batch: Batch) -> int:
        """Write down what happened already; its first revision, 0 if nothing changed. Does not wait for the device."""
        begun = Begun(f"{self._prefix}{next(self._numbers)}", self._clock(), batch, None)
        text = encode(begun)
        first = 0

        def made() -> tuple[Line, bytes]:
            nonlocal first
            first = self._next(batch)
            return replace(begun, first=first), with_revision(text, first)

        self._append(made)
        return first

    def baseline(self, key: str, file: str, sequence_id: str, etag: str) -> None:
        """Write down how a file was found at first, unless the log knows the file."""
        line = Baseline(key, self._clock(), Known(revision=0, etag=etag, file=file, sequence_id=sequence_id))
        self._append(lambda: None if key in self._index.known else (line, encode(line)))

    def set_surveyed(self) -> None:
        """Write down that all files of the project have been looked at."""
        line = Surveyed(self._clock())
        self._append(lambda: None if self._index.surveyed else (line, encode(line)))

    def open_batches(self, key: str) -> list[tuple[str, Batch]]:
        """The batches that touch a file and have no mark: their names and what they were to do."""
        with self._guard:
            return self._index.open_batches(key)

    def unfinished(self) -> list[tuple[str, Batch]]:
        """The changes of several files that have no mark: their names and what they were to do."""
        with self._guard:
            return [(name, batch) for name, batch in self._index.open.items() if batch.works]

    def secure_marks(self, key: str) -> None:
        """Wait until the marks of a file's batches are on the device, where they may not be. Raises OSError."""
        with self._guard:
            if self._index.marked_to.get(key, 0) <= self._file.synced_to:
                return
            point = self._file.point()
        if point:
            self._file.sync(point)

    def make_durable(self) -> int:
        """Wait until what was read is on the device; the last revision of it. Raises OSError."""
        with self._guard:
            point = self._file.point()
            head = self._index.head
        if point:
            self._file.sync(point)
        return head

    def answer(self, request: Request) -> Outcome | None:
        """The answer that this request got before. Raises REQUEST_ID_REUSED for another change, OSError."""
        with self._guard:
            self._file.refresh()  # places are worth something in the file only that is there
            spot = self._index.request(request.id)
            if spot is None or spot.at < self._clock() - RETENTION:
                return None
            text = self._file.read_at(spot.start, spot.size)
        line = decode(text)
        if not isinstance(line, Begun):
            return None
        made = line.batch.made[spot.index]
        if made.request and made.request.fingerprint != request.fingerprint:
            raise request_id_reused()
        if made.outcome is None or not made.files:
            return made.outcome
        before = sum(1 for each in line.batch.made[: spot.index] if each.files)
        return replace(made.outcome, revision=spot.revision + before)

    def changes(self, after: int, limit: int, log_id: str = "") -> list[Change]:
        """The changes behind a revision in order, at most so many.

        `log_id`: what the revision was counted in, if it matters. Raises OSError, and REVISION_TOO_OLD where the log
        is another one, or does not tell of the change behind the revision any more, or never had the revision.
        """
        with self._guard:
            self._file.refresh()
            index = self._index
            if not index.base <= after <= index.head or log_id not in ("", index.log_id):
                raise faults.revision_too_old(index.base + 1, index.head, index.log_id)
            spots = [index.revision(number) for number in range(after + 1, min(after + limit, index.head) + 1)]
            texts = {spot.start: self._file.read_at(spot.start, spot.size) for spot in spots}
        lines = {start: decode(text) for start, text in texts.items()}
        found: list[Change] = []
        for spot in spots:
            line = lines[spot.start]
            if not isinstance(line, Begun):
                break  # another program took it out of the file just now; the next look finds out
            found.append(_change(line, spot))
        return found

    def known(self, key: str) -> Known | None:
        """How a file was left by the last change that the log tells of."""
        with self._guard:
            return self._index.known.get(key)

    def revision_of(self, key: str) -> int:
        """The last revision of a file that the log tells of; 0 as first found, or where the log knows none."""
        known = self.known(key)
        return known.revision if known else 0

    def keys(self) -> Mapping[str, Known]:
        """The same for all files."""
        with self._guard:
            return dict(self._index.known)

    def versions(self, key: str) -> list[Written]:
        """What became of a file, by revision; its baseline included, and that it was deleted."""
        with self._guard:
            return list(self._index.versions.get(key, ()))

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have it called, by any thread, behind each new revision that this process writes or reads; ends that."""
        with self._subscribing:
            self._subscribers.append(callback)

        def unsubscribe() -> None:
            with self._subscribing:
                if callback in self._subscribers:
                    self._subscribers.remove(callback)

        return unsubscribe

    @property
    def followed(self) -> bool:
        """Whether anybody is told of new revisions."""
        return bool(self._subscribers)

    def close(self) -> None:
        """Give the file's descriptor back until it is needed again."""
        self._file.close()

    def _append(self, compose: Callable[[], tuple[Line, bytes] | None]) -> Point | None:
        """Append the line that `compose` makes of what the log says by then, if any; what to sync for it."""
        point: Point | None = None

        def work() -> bool:
            nonlocal point
            if self._rewrite_if_due():
                return False
            if composed := compose():
                line, text = composed
                lines = [(line, text)]
                if not self._index.log_id:
                    header = Header(uuid.uuid4().hex, uuid.uuid4().hex, 0, surveyed=False)
                    lines.insert(0, (header, encode(header)))
                start = self._file.append(b"".join(text for _, text in lines))
                for line, text in lines:
                    self._index.take(line, start, start + len(text))
                    start += len(text)
            point = self._file.point()
            return True

        self._file.hold(work)
        self._tell()
        return point

    def _next(self, batch: Batch) -> int:
        return self._index.head + 1 if batch.revisions else 0

    def _take(self, text: bytes, start: int, end: int) -> None:
        if line := decode(text):
            self._index.take(line, start, end)

    def _forget(self) -> None:
        self._index = Index()

    def _tell(self) -> None:
        with self._guard:
            now = self._index.log_id, self._index.head
        with self._subscribing:
            if now == self._told:
                return
            self._told = now
            callbacks = list(self._subscribers)
        for each in callbacks:
            each()

    def _rewrite_if_due(self) -> bool:
        """Replace the file by one without what nobody can ask for any more. The log's lock is held."""
        if self._file.read_to < _REWRITE_BYTES or time.monotonic() - self._looked_at < _REWRITE_PAUSE:
            return False
        self._looked_at = time.monotonic()
        index = self._index
        lasting = index.lasting(self._clock() - RETENTION)
        if lasting.dropped_bytes * 2 <= self._file.read_to:
            return False
        header = Header(uuid.uuid4().hex, index.log_id, lasting.base, index.surveyed)
        try:
            self._file.replace(
                log_rewrite.rewritten(index, lasting, header, self._file.read_at, self._keep or _all_of(index))
            )
        except OSError:
            return False  # the old file is as good, only longer: no edit fails for that, and the next look tries again
        return True


def _all_of(index: Index) -> Callable[[str], Collection[int]]:
    return lambda key: {each.revision for each in index.versions[key]}


def _change(line: Begun, spot: Spot) -> Change:
    made = [each for each in line.batch.made if each.files][spot.index]
    return Change(
        revision=spot.revision,
        at=datetime.fromtimestamp(spot.at, UTC),
        author=made.author,
        request_id=made.request.id if made.request else "",
        summary=made.summary,
        files=made.files,
    )
