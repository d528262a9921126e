"""The critical section: read, change, write durably, for all changes of a file that wait.

Whoever comes first to a free file leads: it takes the lock and writes everything that waits in one
swap with one fsync, until nobody waits any more. Everybody else leaves a change and a future.
Leaders are plain threads, so that no deadline of a caller can stop a write half-way; a caller that
goes away before its turn is left out.

A batch is written down before the swap and marked done behind it (`log`); what it displaced becomes a
version (`history`). Whoever holds the lock also settles what a killed server left (`recovery`) and writes
down what other programs did meanwhile (`outside`).
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from services.kernel.faults import Fault
from services.sequence_file.domain import faults, identity
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.ports import PROJECT_FILE
from services.sequence_file.storage import trouble
from services.sequence_file.storage.answers import Answers, Change
from services.sequence_file.storage.commit import Commit
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.documents import Documents, Entry
from services.sequence_file.storage.locks import Lock
from services.sequence_file.storage.log import Batch, Log, Touched
from services.sequence_file.storage.outside import Outside
from services.sequence_file.storage.places import Place
from services.sequence_file.storage.queues import Queues
from services.sequence_file.storage.recovery import Recovery, Settled, Unfinished
from services.sequence_file.storage.swap import ATTEMPTS, Disturbed, Swap


class Writer:
    """All changes of single files go through here."""

    def __init__(
        self,
        disk: Disk,
        documents: Documents,
        commit: Commit,
        recovery: Recovery,
        outside: Outside,
        log_of: Callable[[Place], Log],
        finish: Callable[[Place, Unfinished], None],
    ) -> None:
        """`finish` finishes a change of several files that was cut off."""
        self._disk = disk
        self._documents = documents
        self._carry_out = commit.run
        self._recovery = recovery
        self._outside = outside
        self._log_of = log_of
        self._finish = finish
        self._queues: Queues[Place, Change] = Queues()
        self.held_up: set[Place] = set()  # whose lock another process holds

    def idle(self) -> bool:
        """Whether nobody leads."""
        return self._queues.idle()

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

    def notice(self, place: Place, seconds: float) -> None:
        """Write down what another program did to a file, and settle what a killed server left of it.

        Waits up to so many seconds for the file's lock, and then leaves it to whoever holds it. Raises Fault, OSError.
        """
        until = time.monotonic() + seconds
        for _ in range(ATTEMPTS):
            lock = Lock.of_file(self._disk, place)
            try:
                if not lock.acquire(lambda: time.monotonic() < until):
                    return
                self._notice(place)
            except Settled:
                continue
            except Unfinished as unfinished:
                lock.release()
                self._finish(place, unfinished)
                continue
            finally:
                lock.release()
            return

    def _notice(self, place: Place) -> None:
        log = self._log_of(place)
        log.catch_up()
        try:
            folder = self._disk.open_folder(place.root, *place.below)
        except FileNotFoundError:
            self._outside.record(place, None, log)
            return
        try:
            try:
                found = self._read(folder, place, trusting=False)
            except Fault as fault:
                if fault.reason != "SEQUENCE_NOT_FOUND":
                    return  # something that is no file, or that cannot be read now: nothing is known of its content
                found = None
            self._recovery.settle(folder, place, found, log)
            self._recovery.put_leftover_away(folder, place)
            self._outside.record(place, found, log)
        finally:
            self._disk.close(folder)

    def _commit(self, place: Place, batch: list[Change]) -> None:
        """Write a batch, and first finish what a killed server left unfinished."""
        for _ in range(ATTEMPTS):
            try:
                self._commit_locked(place, batch)
            except Unfinished as unfinished:
                try:
                    self._finish(place, unfinished)
                except (OSError, Fault) as error:
                    self._refuse(place, batch, error)
                    return
                continue
            return
        self._refuse(place, batch, trouble.file_busy(place.file))

    def _commit_locked(self, place: Place, batch: list[Change]) -> None:
        lock = Lock.of_file(self._disk, place)

        def somebody_waits() -> bool:
            self.held_up.add(place)
            batch.extend(self._queues.join(place))
            return any(not each.future.cancelled() for each in batch)

        try:
            if not lock.acquire(somebody_waits):
                return
            self.held_up.discard(place)
            # From here on a caller that gives up is told the truth by the next read, not by a half-made write.
            running = [each for each in batch if each.future.running() or each.future.set_running_or_notify_cancel()]
            if running:
                self._write(place, running, lock)
        except (OSError, Fault) as error:
            self._refuse(place, batch, error)
        finally:
            self.held_up.discard(place)
            lock.release()

    def _refuse(self, place: Place, batch: list[Change], error: OSError | Fault) -> None:
        for each in batch:
            each.refuse(error.again() if isinstance(error, Fault) else trouble.writing_failed(place.file, error))

    def _write(self, place: Place, batch: list[Change], lock: Lock) -> None:
        folder = self._disk.open_folder(place.root, *place.below)
        first: Document | None = None
        try:
            for number in range(ATTEMPTS):
                base = self._read(folder, place, trusting=number == 0)
                try:
                    self._attempt(folder, place, base, batch, lock, first, trusting=number == 0)
                except Disturbed:
                    first = first or base.document
                    continue
                except Settled:
                    continue
                return
            raise trouble.file_busy(place.file)
        finally:
            self._disk.close(folder)

    def _attempt(
        self,
        folder: int,
        place: Place,
        base: Entry,
        batch: list[Change],
        lock: Lock,
        first: Document | None,
        *,
        trusting: bool,
    ) -> None:
        """One try on what the file holds now. `first`: what it held before another program disturbed us."""
        log = self._log_of(place)
        log.catch_up()
        self._recovery.settle(folder, place, base, log)
        before = base.opened()
        sequence_id = "" if place.file == PROJECT_FILE else identity.id_of(before.head.id, place.file)
        draft = Draft(before, sequence_id, seen=first)
        answers = Answers(draft, log)
        for each in batch:
            answers.add(each)
        if not answers.changed:
            if answers.applied:
                if trusting and not base.settled():
                    raise Disturbed  # nothing will be swapped, so nothing will be compared: look properly
                self._confirm_what_is_there(folder, place)
            if made := answers.made(draft.sequence_id, before.etag, None):
                log.done(log.begin(Batch(touched=(), made=made), durably=True))
            answers.give(0, before.etag)
            return
        if not self._disk.may_write(folder, place.name):
            # The swap would get around the file's mode; whoever took the right to write away meant it.
            raise trouble.read_only(place.file, "its mode forbids writing")
        self._outside.record(place, base, log)
        document = draft.finish(datetime.now(UTC))
        swap = Swap(self._disk, folder, lock, base, place, document)

        def written_down(touched: tuple[Touched, ...]) -> Batch:
            return Batch(touched=touched, made=answers.made(draft.sequence_id, before.etag, document))

        answers.give(self._carry_out(log, [swap], written_down, durably=answers.requested), document.etag)

    def _read(self, folder: int, place: Place, *, trusting: bool) -> Entry:
        try:
            return self._documents.now(folder, place, to_write=trusting)
        except FileNotFoundError:
            raise faults.file_gone(place.file) from None

    def _confirm_what_is_there(self, folder: int, place: Place) -> None:
        """A change that is there already may be the work of somebody who was cut off before it was durable."""
        descriptor = self._disk.open_to_read(folder, place.name)
        try:
            self._disk.sync(descriptor)
        finally:
            self._disk.close(descriptor)
        self._disk.sync_folder(folder)
