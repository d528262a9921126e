"""Which requests were answered, and with what: why a change sent twice is made once.

One append-only file of JSON lines per project, `.shotline/requests.jsonl`, shared by all servers
of the project. A batch is written and fsynced before its swap and marked done behind it:

    {"batch": …, "file": …, "at": …, "shots": {id: [etag before, etag after]}, "requests": [{id, fingerprint, …answer}]}
    {"done": …}     the swap happened
    {"void": …}     it did not

A batch with neither mark was cut off. Whoever holds the file's lock next decides it by evidence:
it happened if its shots have the etags that it was to give them. If another program changed a shot
since, it counts as not happened: then a repeated request is made again, which loses nothing.

Our own writers never destroy the evidence. Each, also one whose changes carry no request id, decides
what is open before it writes, and sees that the marks are on the device: a mark is not fsynced, so a
power cut may take it back, and by then the shots look different.
"""

import json
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, cast

from services.sequence_file.domain import faults
from services.sequence_file.domain.draft import Shot
from services.sequence_file.domain.ports import Request
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.places import STATE_FOLDER

RETENTION = 24 * 3600  # seconds
_FILE = "requests.jsonl"
_LOCK = "requests.lock"
_REWRITE_BYTES = 16 * 1024 * 1024  # from this size on expired lines are dropped
_REWRITE_PAUSE = 600.0  # seconds between two looks at what expired
_NAME_BYTES = 40  # of the first line, never more than it has: they hold most of a random name


class _Answer(TypedDict):
    id: str
    fingerprint: str
    shot: str
    document: str
    etag: str
    file: str  # as the caller's project names it
    sequence_id: str


class _Line(TypedDict):
    batch: str
    file: str  # the key of its place
    at: float
    shots: dict[str, tuple[str, str]]
    requests: list[_Answer]


@dataclass(slots=True)
class _Batch:
    line: _Line
    state: str  # "open", "done" or "void"


class Journal:
    """The requests of one project folder, as far as this process has read them."""

    def __init__(self, disk: Disk, root: str, owner: tuple[str, ...]) -> None:
        self._disk = disk
        self._project = (root, *owner)
        self._where = (root, *owner, STATE_FOLDER)
        self._guard = threading.Lock()
        self._looked_at = time.monotonic()
        # Which file was read: the number alone is not enough, since a new file may get that of a deleted one.
        self._file: tuple[int, bytes] = (0, b"")
        self._seen = (0, 0, 0)  # number, size and time of change at the last look
        self._read_to = 0
        self._synced_to = 0  # as far as this process knows
        self._rooted: tuple[int, bytes] | None = None  # the file whose names are known to be on the device
        self._batches: dict[str, _Batch] = {}
        self._by_request: dict[str, _Batch] = {}
        self._open: defaultdict[str, dict[str, _Batch]] = defaultdict(dict)  # by the key of their place
        self._marked_to: dict[str, int] = {}  # the end of the last mark of each place

    def catch_up(self) -> None:
        """Read what other servers wrote since the last look. Raises OSError."""
        with self._guard:
            folder = self._disk.open_folder(*self._where)
            try:
                self._catch_up(folder)
            finally:
                self._disk.close(folder)

    def open_batches(self, file: str) -> list[tuple[str, Mapping[str, tuple[str, str]]]]:
        """Batches of a file that have neither mark: their names and the etags of their shots."""
        with self._guard:
            return [(name, batch.line["shots"]) for name, batch in self._open[file].items()]

    def secure_marks(self, file: str) -> None:
        """Wait until the marks of a file's batches are on the device, where they may not be. Raises OSError."""
        with self._guard:
            if self._marked_to.get(file, 0) <= self._synced_to:
                return
            known, end = self._file, self._read_to
        folder = self._disk.open_folder(*self._where)
        try:
            descriptor = self._disk.open_to_append(folder, _FILE)
            try:
                self._make_durable(folder, descriptor, known, end)
            finally:
                self._disk.close(descriptor)
        finally:
            self._disk.close(folder)

    def answer(self, request: Request) -> Shot | None:
        """The answer that this request got before. Raises REQUEST_ID_REUSED for another change."""
        with self._guard:
            batch = self._by_request.get(request.id)
        if batch is None or batch.state != "done" or batch.line["at"] < time.time() - RETENTION:
            return None
        found = next(each for each in batch.line["requests"] if each["id"] == request.id)
        if found["fingerprint"] != request.fingerprint:
            raise faults.request_id_reused()
        return Shot(
            id=found["shot"],
            document=found["document"].encode(),
            etag=found["etag"],
            file=found["file"],
            sequence_id=found["sequence_id"],
        )

    def begin(self, file: str, shots: Mapping[str, tuple[str, str]], answers: Sequence[tuple[Request, Shot]]) -> str:
        """Write down durably what is about to happen; the batch's name. Raises OSError."""
        line = _Line(
            batch=uuid.uuid4().hex,
            file=file,
            at=time.time(),
            shots=dict(shots),
            requests=[
                _Answer(
                    id=request.id,
                    fingerprint=request.fingerprint,
                    shot=shot.id,
                    document=shot.document.decode(),
                    etag=shot.etag,
                    file=shot.file,
                    sequence_id=shot.sequence_id,
                )
                for request, shot in answers
            ],
        )
        self._append(json.dumps(line, ensure_ascii=False), durably=True)
        return line["batch"]

    def mark(self, batch: str, *, done: bool) -> None:
        """Say what became of a batch. Raises OSError; then the next holder of the lock decides by evidence."""
        self._append(json.dumps({"done" if done else "void": batch}), durably=False)

    def _append(self, line: str, *, durably: bool) -> None:
        folder = self._disk.open_folder(*self._where)
        try:
            descriptor, known, end = self._write_locked(folder, line)
            try:
                if durably:  # outside of the lock: batches of other files need not wait for the device
                    self._make_durable(folder, descriptor, known, end)
            finally:
                self._disk.close(descriptor)
        finally:
            self._disk.close(folder)

    def _make_durable(self, folder: int, descriptor: int, known: tuple[int, bytes], end: int) -> None:
        """Sync the file, and its name and its folder's name unless this process did so before."""
        self._disk.sync(descriptor)
        if known != self._rooted:
            # Whoever made them may have been killed before this, or be on the way to it only now.
            self._disk.sync_folder(folder)
            project = self._disk.open_folder(*self._project)
            try:
                self._disk.sync_folder(project)
            finally:
                self._disk.close(project)
        with self._guard:
            if known == self._file:
                self._rooted = known
                self._synced_to = max(self._synced_to, end)

    def _write_locked(self, folder: int, line: str) -> tuple[int, tuple[int, bytes], int]:
        """Append a line; the open file, which one it is, and how far it has been read now."""
        with self._guard:
            lock = self._disk.open_to_append(folder, _LOCK)
            try:
                # Held for microseconds by anybody, so this waits without a deadline.
                while not self._disk.try_lock(lock):
                    time.sleep(0.0005)
                self._drop_expired(folder)
                descriptor = self._disk.open_to_append(folder, _FILE)
                try:
                    self._write(descriptor, line)
                    self._catch_up(folder)
                except BaseException:
                    self._disk.close(descriptor)
                    raise
            finally:
                self._disk.close(lock)
            return descriptor, self._file, self._read_to

    def _write(self, descriptor: int, line: str) -> None:
        size = self._disk.fstat(descriptor).st_size
        # A writer that was cut off leaves a line without its end: it must not swallow ours.
        torn = size > 0 and self._disk.read_some(descriptor, 1, size - 1) != b"\n"
        self._disk.write(descriptor, f"{chr(10) if torn else ''}{line}\n".encode())

    def _catch_up(self, folder: int) -> None:
        try:
            found = self._disk.stat(folder, _FILE)
        except FileNotFoundError:
            return  # not written yet, or deleted: what is known stays known
        if (seen := (found.st_ino, found.st_size, found.st_mtime_ns)) == self._seen:
            return
        descriptor = self._disk.open_to_append(folder, _FILE)
        try:
            known = found.st_ino, self._disk.read_some(descriptor, _NAME_BYTES, 0)
            if known != self._file or found.st_size < self._read_to:
                self._forget(known)
            new = self._disk.read(descriptor, found.st_size - self._read_to, self._read_to)
        finally:
            self._disk.close(descriptor)
        whole = new.rfind(b"\n") + 1
        for line in new[:whole].splitlines(keepends=True):
            self._read_to += len(line)
            self._take(line)
        self._seen = seen

    def _forget(self, known: tuple[int, bytes]) -> None:
        self._file, self._read_to, self._synced_to = known, 0, 0
        self._batches.clear()
        self._by_request.clear()
        self._open.clear()
        self._marked_to.clear()

    def _take(self, line: bytes) -> None:
        try:
            read = json.loads(line)
        except ValueError:
            return  # torn by a crash before its batch was swapped: nothing happened
        if not isinstance(read, dict):
            return  # the same, with an end that happens to be JSON
        if "batch" in read:
            new = self._batches[read["batch"]] = self._open[read["file"]][read["batch"]] = _Batch(
                cast(_Line, read), "open"
            )
            for request in read["requests"]:
                self._by_request[request["id"]] = new
        else:
            ((word, name),) = read.items()
            if batch := self._batches.get(name):
                file = batch.line["file"]
                batch.state = word
                self._open[file].pop(name, None)
                self._marked_to[file] = self._read_to

    def _drop_expired(self, folder: int) -> None:
        """Rewrite the file without what nobody can ask for any more. The journal's lock is held."""
        if self._read_to < _REWRITE_BYTES or time.monotonic() - self._looked_at < _REWRITE_PAUSE:
            return
        self._looked_at = time.monotonic()
        self._catch_up(folder)
        live = [b for b in self._batches.values() if b.line["at"] > time.time() - RETENTION and b.state != "void"]
        if len(live) * 2 > len(self._batches):
            return
        lines: list[str] = []
        for batch in live:
            lines.append(json.dumps(batch.line, ensure_ascii=False))
            if batch.state == "done":
                lines.append(json.dumps({"done": batch.line["batch"]}))
        try:
            self._rewrite(folder, "".join(f"{line}\n" for line in lines).encode())
        except OSError:
            return  # the old file is as good, only longer: no edit fails for that, and the next look tries again

    def _rewrite(self, folder: int, content: bytes) -> None:
        temporary = f".{_FILE}.new"
        self._disk.remove(folder, temporary)
        try:
            descriptor = self._disk.create(folder, temporary, 0o644)
            try:
                self._disk.write(descriptor, content)
                self._disk.sync(descriptor)
            finally:
                self._disk.close(descriptor)
            self._disk.rename(folder, temporary, _FILE)
        except OSError:
            self._disk.remove(folder, temporary)
            raise
