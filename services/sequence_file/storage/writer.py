"""The critical section: read, change, write durably, for all changes of a file that wait.

Whoever comes first to a free file leads: it takes the lock and writes everything that waits in one
swap with one fsync, until nobody waits any more. Everybody else leaves a change and a future.
Leaders are plain threads, so that no deadline of a caller can stop a write half-way; a caller that
goes away before its turn is left out.

The swap exchanges the new file with the old one (renameat2). What was displaced is compared with
what was read: had another program changed the file in the last instant, the exchange is taken
back and the changes are made again on its version. Where the file system cannot exchange names,
the file is compared once more and then renamed over; between those two steps another program's
edit can be lost.
"""

import errno
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.kernel.faults import Fault
from services.sequence_file.domain import faults, identity
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Draft, Shot
from services.sequence_file.domain.ports import PROJECT_FILE, Apply, Request
from services.sequence_file.storage import trouble
from services.sequence_file.storage.disk import Disk, ExchangeUnsupported
from services.sequence_file.storage.documents import PATIENCE, Documents, Entry, signature
from services.sequence_file.storage.journal import Journal
from services.sequence_file.storage.locks import FileLock
from services.sequence_file.storage.places import Place
from services.sequence_file.storage.queues import Queues

_LARGE = 256 * 1024  # bytes
_ATTEMPTS = 20  # swaps that other programs may spoil before FILE_BUSY
# What opening answers where another program put nothing, a link or a socket.
_NOTHING_TO_READ = {errno.ENOENT, errno.ELOOP, errno.ENXIO}


@dataclass(slots=True)
class Change:
    """One caller's change, waiting for its turn."""

    apply: Apply
    request: Request | None
    future: "Future[Shot]" = field(default_factory=Future)  # cancelled by a caller that gave up before its turn

    def refuse(self, error: Exception) -> None:
        """Answer with an error, unless the caller is gone or answered."""
        if self.future.done():
            return
        if self.future.running() or self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class _Disturbed(Exception):
    """Another program changed the file in the last instant; its version is in place."""


class Writer:
    """All changes of files go through here."""

    def __init__(self, disk: Disk, documents: Documents) -> None:
        self._disk = disk
        self._documents = documents
        self._guard = threading.Lock()
        self._queues: Queues[Place, Change] = Queues()
        self.held_up: set[Place] = set()  # whose lock another process holds
        self._journals: dict[tuple[str, tuple[str, ...]], Journal] = {}
        self._freeing = ThreadPoolExecutor(1, thread_name_prefix="freeing")

    def close(self) -> None:
        """Wait until nothing is left to be freed."""
        self._freeing.shutdown(wait=True)

    def submit(self, place: Place, changes: Sequence[Change]) -> None:
        """Leave changes. The calling thread leads if nobody does, and then returns when nobody waits."""
        if not self._queues.leave(place, changes):
            return
        while batch := self._queues.take(place):
            try:
                self._commit(place, batch)
            except Exception as error:  # noqa: BLE001  # a bug: those who wait must hear of it, and others go on
                for each in batch:
                    each.refuse(error)

    def _commit(self, place: Place, batch: list[Change]) -> None:
        lock = FileLock(self._disk, place)

        def somebody_waits() -> bool:
            self.held_up.add(place)
            batch.extend(self._queues.join(place))
            return any(not each.future.cancelled() for each in batch)

        try:
            if not lock.acquire(somebody_waits):
                return
            self.held_up.discard(place)
            # From here on a caller that gives up is told the truth by the next read, not by a half-made write.
            running = [each for each in batch if each.future.set_running_or_notify_cancel()]
            if running:
                self._write(place, running, lock)
        except OSError as error:
            for each in batch:
                each.refuse(trouble.writing_failed(place.file, error))
        except Fault as fault:
            for each in batch:
                each.refuse(fault.again())
        finally:
            self.held_up.discard(place)
            lock.release()

    def _write(self, place: Place, batch: list[Change], lock: FileLock) -> None:
        folder = self._disk.open_folder(place.root, *place.below)
        try:
            for number in range(_ATTEMPTS):
                try:
                    self._attempt(folder, place, batch, lock, trusting=number == 0)
                except _Disturbed:
                    continue
                return
            raise trouble.file_busy(place.file)
        finally:
            self._disk.close(folder)

    def _attempt(self, folder: int, place: Place, batch: list[Change], lock: FileLock, *, trusting: bool) -> None:
        base = self._read(folder, place, trusting=trusting)
        before = base.opened()
        journal = self._settled_journal(folder, place, before)
        is_project = place.file == PROJECT_FILE
        draft = Draft(before, "" if is_project else identity.id_of(before.head.id, place.file))
        answers = _Answers()
        for each in batch:
            answers.add(each, draft, journal)
        if not draft.changed:
            if answers.applied:
                if trusting and not base.settled():
                    raise _Disturbed  # nothing will be swapped, so nothing will be compared: look properly
                self._confirm_what_is_there(folder, place)
            if answers.new:
                self._mark(journal, journal.begin(place.key, {}, answers.new), done=True)
            answers.give()
            return
        if not self._disk.may_write(folder, place.name):
            # The swap would get around the file's mode; whoever took the right to write away meant it.
            raise trouble.read_only(place.file, "its mode forbids writing")
        document = draft.finish(datetime.now(UTC))
        if answers.new:
            written = journal.begin(place.key, draft.changes(), answers.new)
        else:
            written = None
            journal.secure_marks(place.key)  # what this write does to the evidence must not outlive them
        try:
            entry = self._swap(folder, place, base, document, lock)
        except BaseException as error:
            unknown = isinstance(error, Fault) and error.reason == "DURABILITY_UNKNOWN"
            if written and not unknown:
                self._mark(journal, written, done=False)
            raise
        self._documents.put(place, entry)
        answers.give()
        self._discard(folder, _temporary(place), len(base.raw))
        if written:
            self._mark(journal, written, done=True)

    def _read(self, folder: int, place: Place, *, trusting: bool) -> Entry:
        try:
            found = self._disk.stat(folder, place.name)
            return self._documents.get(folder, place, found, time.monotonic() + PATIENCE, to_write=trusting)
        except FileNotFoundError:
            raise faults.file_gone(place.file) from None

    def _settled_journal(self, folder: int, place: Place, document: Document) -> Journal:
        """The journal of the file's project, with nothing of this file left undecided. The lock is held."""
        with self._guard:
            key = (place.root, place.owner)
            journal = self._journals.get(key) or self._journals.setdefault(
                key, Journal(self._disk, place.root, place.owner)
            )
        journal.catch_up()
        for name, shots in journal.open_batches(place.key):
            done = all(_etag(document, shot) == after for shot, (_, after) in shots.items())
            if done:
                self._disk.sync_folder(folder)  # whoever was cut off may not have come to this
            journal.mark(name, done=done)
        return journal

    def _confirm_what_is_there(self, folder: int, place: Place) -> None:
        """A change that is there already may be the work of somebody who was cut off before it was durable."""
        descriptor = self._disk.open_to_read(folder, place.name)
        try:
            self._disk.sync(descriptor)
        finally:
            self._disk.close(descriptor)
        self._disk.sync_folder(folder)

    def _swap(self, folder: int, place: Place, base: Entry, document: Document, lock: FileLock) -> Entry:
        """Put the document's bytes in the place of `base`, durably. Raises _Disturbed, Fault, OSError."""
        temporary = _temporary(place)
        try:
            ours = self._fill(folder, temporary, base, document.raw)
            if lock.is_lost():  # `.shotline` was deleted: a second holder may be on the way with another change
                raise trouble.lock_lost(place.file)
            try:
                self._disk.exchange(folder, temporary, place.name)
            except ExchangeUnsupported:
                return self._rename_over(folder, place, base, document, ours)
            except FileNotFoundError:
                raise _Disturbed from None
            return self._confirm(folder, place, base, document, ours)
        except BaseException as error:
            if not (isinstance(error, Fault) and error.reason == "DURABILITY_UNKNOWN"):
                self._remove(folder, temporary)
            raise

    def _fill(self, folder: int, temporary: str, base: Entry, raw: bytes) -> int:
        """The new file, durable but for its name; its inode number."""
        mode = base.stat.st_mode & 0o7777
        try:
            descriptor = self._disk.create(folder, temporary, mode)
        except FileExistsError:
            self._disk.remove(folder, temporary)  # left over by a holder that was killed
            descriptor = self._disk.create(folder, temporary, mode)
        try:
            made = self._disk.fstat(descriptor)
            if (made.st_uid, made.st_gid) != (base.stat.st_uid, base.stat.st_gid):
                self._disk.give_to(descriptor, base.stat.st_uid, base.stat.st_gid)
            self._disk.write(descriptor, raw)
            self._disk.sync(descriptor)
        finally:
            self._disk.close(descriptor)
        return made.st_ino

    def _confirm(self, folder: int, place: Place, base: Entry, document: Document, ours: int) -> Entry:
        """Behind the exchange: see that it displaced what was read, and make it durable; else take it back."""
        try:
            if self._content(folder, _temporary(place)) != base.raw:
                raise _Disturbed
            entry = self._entry(folder, place, document, ours)
            self._disk.sync_folder(folder)
        except (OSError, _Disturbed) as error:
            self._take_back(folder, place, document, error)
            raise
        return entry

    def _take_back(self, folder: int, place: Place, document: Document, cause: Exception) -> None:
        temporary = _temporary(place)
        try:
            self._disk.exchange(folder, temporary, place.name)
        except FileNotFoundError:
            return  # another program deleted our version: that is the newest state
        except OSError as error:
            reported = cause if isinstance(cause, OSError) else error
            raise trouble.durability_unknown(place.file, reported) from error
        try:
            if self._content(folder, temporary) != document.raw:
                # Another program changed our version before it was taken back: its edit is the newest.
                self._disk.exchange(folder, temporary, place.name)
        except OSError:
            return  # what was there before is in place again, which is what the caller will be told

    def _rename_over(self, folder: int, place: Place, base: Entry, document: Document, ours: int) -> Entry:
        """For file systems without exchange: compare once more, then rename."""
        if self._content(folder, place.name) != base.raw:
            raise _Disturbed
        self._disk.rename(folder, _temporary(place), place.name)
        try:
            entry = self._entry(folder, place, document, ours)
            self._disk.sync_folder(folder)
        except OSError as error:
            raise trouble.durability_unknown(place.file, error) from error
        return entry

    def _content(self, folder: int, name: str) -> bytes | None:
        """The bytes under a name; None where no file is, which is certainly not what was read. Raises OSError."""
        try:
            descriptor = self._disk.open_to_read(folder, name)
        except OSError as error:
            if error.errno in _NOTHING_TO_READ:
                return None
            raise
        try:
            return self._disk.read(descriptor, self._disk.fstat(descriptor).st_size)
        finally:
            self._disk.close(descriptor)

    def _entry(self, folder: int, place: Place, document: Document, ours: int) -> Entry:
        """What stands under the name now, if it is the file that was filled. Raises _Disturbed, OSError."""
        try:
            found = self._disk.stat(folder, place.name)
        except FileNotFoundError:
            raise _Disturbed from None
        if found.st_ino != ours:
            # Replaced again at once; or `.shotline` was deleted, and a second holder of the lock filled our temp file.
            raise _Disturbed
        return Entry(signature(found), found, time.time_ns(), document.raw, document, None)

    def _remove(self, folder: int, name: str) -> None:
        try:
            self._disk.remove(folder, name)
        except OSError:
            return  # the next holder of the lock removes it; what the caller asked for does not depend on it

    def _discard(self, folder: int, name: str, size: int) -> None:
        """Remove a displaced file. The name goes at once; the blocks of a large one are freed when its last
        descriptor is closed, which takes longer than all else and is left to a thread nobody waits for."""
        descriptor = None
        if size > _LARGE:
            try:
                descriptor = self._disk.open_to_read(folder, name)
            except OSError:
                pass  # then it is freed here
        self._remove(folder, name)
        if descriptor is not None:
            self._freeing.submit(self._disk.close, descriptor)

    def _mark(self, journal: Journal, batch: str, *, done: bool) -> None:
        try:
            journal.mark(batch, done=done)
        except OSError:
            return  # the next holder of the lock decides by evidence


class _Answers:
    """What each change of a batch will be told, once the batch is on the device."""

    def __init__(self) -> None:
        self.new: list[tuple[Request, Shot]] = []  # for the journal
        self.applied = 0  # changes that were made, or found to be there already
        self._give: list[Callable[[], None]] = []
        self._seen: dict[str, tuple[Request, Shot]] = {}

    def add(self, change: Change, draft: Draft, journal: Journal) -> None:
        """Apply one change to the draft, or find the answer that its request got before."""
        request = change.request
        try:
            shot = self._known(request, journal) if request else None
            if shot is None:
                shot = change.apply(draft)
                self.applied += 1
                if request:
                    self.new.append((request, shot))
                    self._seen[request.id] = (request, shot)
        except Fault as fault:
            refused = fault  # this change alone fails
            self._give.append(lambda: change.future.set_exception(refused))
            return
        answer = shot
        self._give.append(lambda: change.future.set_result(answer))

    def give(self) -> None:
        """Tell everybody."""
        for each in self._give:
            each()

    def _known(self, request: Request, journal: Journal) -> Shot | None:
        if seen := self._seen.get(request.id):
            if seen[0].fingerprint != request.fingerprint:
                raise faults.request_id_reused()
            return seen[1]
        return journal.answer(request)


def _temporary(place: Place) -> str:
    """One fixed name per file, owned by whoever holds its lock."""
    return f".{place.name}.shotline-tmp"


def _etag(document: Document, shot_id: str) -> str | None:
    try:
        index = document.find(shot_id)
    except Fault:
        return None  # it stands twice now: not what the batch left behind
    return None if index is None else document.shot_etag(index)
