"""Projects in folders on disk: the real `Sequences`."""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from services.kernel.faults import Fault
from services.sequence_file.domain import faults
from services.sequence_file.domain.changes import Trashed, Version
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.ports import (
    Apply,
    Caller,
    Outcome,
    Plan,
    Project,
    Request,
    Target,
    Watch,
)
from services.sequence_file.storage.answers import Change
from services.sequence_file.storage.commit import Commit
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.documents import Documents
from services.sequence_file.storage.finishing import Finishing
from services.sequence_file.storage.folders import Folders
from services.sequence_file.storage.history import History
from services.sequence_file.storage.holding import Holding
from services.sequence_file.storage.log import Log
from services.sequence_file.storage.outside import Outside
from services.sequence_file.storage.places import Place, ProjectFolder, Roots, place_of_key
from services.sequence_file.storage.queues import Queues
from services.sequence_file.storage.recovery import Recovery, Unfinished
from services.sequence_file.storage.transactions import Transactions
from services.sequence_file.storage.trouble import reading_failed, writing_failed
from services.sequence_file.storage.versions import Versions
from services.sequence_file.storage.watching import Watching
from services.sequence_file.storage.writer import Writer

# A thread that waits for a lock sleeps; there may be as many as files that others hold.
_THREADS = 64
_READERS = 16
_LOGS = 64  # projects whose logs are kept in memory while nobody watches them
# Seconds that somebody may hold a file's lock before a look at what other programs did goes on without it.
_NOTICE_PATIENCE = 5.0
_LOOK_PATIENCE = 0.05  # the same for who only wants to read

T = TypeVar("T")


@dataclass(slots=True)
class _Order:
    """One caller's plan, waiting for its turn."""

    plan: Plan
    caller: Caller
    future: "Future[Outcome]" = field(default_factory=Future)
    given_up: threading.Event = field(default_factory=threading.Event)


class FileSequences:
    """Fills `domain.ports.Sequences` with the files below the allowed roots."""

    def __init__(self, roots: Sequence[str], *, disk: Disk | None = None, cache_bytes: int = 256 << 20) -> None:
        self._disk = disk = disk or Disk()
        self._roots = Roots(roots)
        self._documents = documents = Documents(disk, cache_bytes)
        self._folders = Folders(disk, self._roots, documents)
        self._history = History(disk)
        recovery, outside = Recovery(disk, self._history), Outside(self._history)
        self._commit = Commit(disk, documents, self._history, recovery)
        finishing = Finishing(disk, self._commit, recovery, outside, self._history, self._hold)
        self._finishing = finishing
        self._transactions = Transactions(
            disk, self._commit, recovery, outside, finishing, self.log_of, self._roots.log_place, self._hold
        )
        self._writer = Writer(disk, documents, self._commit, recovery, outside, self.log_of, self._finish)
        self._versions = Versions(disk, self._roots, documents, self._history, self.log_of)
        self._guard = threading.Lock()
        self._logs: dict[tuple[str, tuple[str, ...]], Log] = {}
        self._at_work: dict[tuple[str, str], Place] = {}  # what the leader of a target writes now
        self._arrivals: Queues[tuple[str, str], tuple[Target, Change]] = Queues()
        self._orders: Queues[str, _Order] = Queues()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="sequence-files")
        # Of their own, so that nobody who reads waits behind those who wait for locks.
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="readers")
        self._watching = Watching(disk, self._roots, documents, self.log_of, self.notice)

    async def project(self, path: str) -> Project:
        """See `Sequences.project`."""
        return await self._in_thread(lambda: self._folders.project(self._roots.project(path)))

    async def project_file(self, path: str) -> Document:
        """See `Sequences.project_file`."""
        return await self._in_thread(lambda: self._folders.project_file(path))

    async def change(self, path: str, target: Target, apply: Apply, caller: Caller) -> Outcome:
        """See `Sequences.change`."""
        change = Change(apply, caller)
        locked = ""

        def give_up() -> None:
            nonlocal locked
            place = self._at_work.get(key)
            # Whoever waits for anything else than a lock is ended by its own deadline, as everywhere.
            if place in self._writer.held_up and change.future.cancel():
                locked = place.file

        key = path, target.name
        if self._arrivals.leave(key, [(target, change)]):
            self._threads.submit(self._lead, key)
        timer = asyncio.get_running_loop().call_later(caller.deadline - time.monotonic(), give_up)
        try:
            return await asyncio.wrap_future(change.future)
        except asyncio.CancelledError:
            if locked:
                raise faults.lock_timeout(locked) from None
            raise
        finally:
            timer.cancel()

    async def change_many(self, path: str, plan: Plan, caller: Caller) -> Outcome:
        """See `Sequences.change_many`."""
        order = _Order(plan, caller)
        if self._orders.leave(path, [order]):
            self._threads.submit(self._lead_orders, path)
        timed_out = False

        def give_up() -> None:
            nonlocal timed_out
            order.given_up.set()  # what waits for a lock now ends with LOCK_TIMEOUT
            timed_out = order.future.cancel()

        timer = asyncio.get_running_loop().call_later(caller.deadline - time.monotonic(), give_up)
        try:
            return await asyncio.wrap_future(order.future)
        except asyncio.CancelledError:
            if timed_out:
                raise faults.lock_timeout("the project") from None
            raise
        finally:
            timer.cancel()
            order.given_up.set()  # who was ended by a deadline does not wait for a lock any more

    def _lead_orders(self, path: str) -> None:
        """Carry out all plans for a project that have come, one after the other, and again."""
        while orders := self._orders.take(path):
            for order in orders:
                if not order.future.set_running_or_notify_cancel():
                    continue
                try:
                    order.future.set_result(self._carry_out(path, order))
                except Exception as error:  # noqa: BLE001  # whatever it is, the caller is waiting for it
                    order.future.set_exception(error)

    def _carry_out(self, path: str, order: "_Order") -> Outcome:
        try:
            folder = self._roots.project(path)
            return self._transactions.run(
                folder, lambda: self._folders.look(folder, to_write=True), order.plan, order.caller, order.given_up
            )
        except OSError as error:
            raise writing_failed("the project", error) from error

    async def answered(self, path: str, request: Request) -> Outcome | None:
        """See `Sequences.answered`."""
        return await self._in_thread(lambda: self._answered(self._roots.project(path), request))

    async def versions(self, path: str, file: str) -> Sequence[Version]:
        """See `Sequences.versions`."""
        return await self._in_thread(lambda: self._versions.of(self._noticed(path, file)))

    async def version(self, path: str, file: str, revision: int) -> Document:
        """See `Sequences.version`."""
        return await self._in_thread(lambda: self._versions.document(self._noticed(path, file), revision))

    async def trash(self, path: str) -> Sequence[Trashed]:
        """See `Sequences.trash`."""
        return await self._in_thread(lambda: self._versions.trash(self._roots.project(path)))

    async def watch(self, path: str, after: int | None, log_id: str) -> Watch:
        """See `Sequences.watch`."""
        return await self._watching.follow(path, after, log_id)

    def log_of(self, place: Place) -> Log:
        """The log of the project that a file belongs to."""
        key = (place.root, place.owner)
        with self._guard:
            if (log := self._logs.pop(key, None)) is None:

                def kept(file_key: str) -> Collection[int]:
                    return self._history.kept(place_of_key(place.root, place.owner, file_key))

                log = Log(self._disk, place.root, place.owner, keep=kept)
            self._logs[key] = log  # the one that was used last stands last
            idle = (each for each, known in self._logs.items() if known is not log and not known.followed)
            for each in tuple(islice(idle, max(0, len(self._logs) - _LOGS))):
                self._logs.pop(each).close()  # who still uses it opens its file again
            return log

    def notice(self, place: Place) -> None:
        """Write down what another program did to a file. Raises Fault, OSError."""
        self._writer.notice(place, _NOTICE_PATIENCE)

    def close(self) -> None:
        """Wait for the writes that have begun."""
        self._threads.shutdown(wait=True)
        self._watching.close()
        self._commit.close()
        self._history.close()
        for log in self._logs.values():
            log.close()

    def flush(self) -> None:
        """Wait until what is done behind the answers is done."""
        self._history.flush()

    def idle(self) -> bool:
        """Whether nothing is being written."""
        return self._writer.idle() and self._arrivals.idle() and self._orders.idle()

    def _lead(self, key: tuple[str, str]) -> None:
        """Find the file for all changes of a target that have come, have them written, and again."""
        while arrivals := self._arrivals.take(key):
            structural = [each for each in arrivals if each[0].structural]
            try:
                folder = self._roots.project(key[0])
                if plain := [each for each in arrivals if not each[0].structural]:
                    self._write(key, folder, plain)
                if structural:
                    changes = [change for _, change in structural]
                    with ExitStack() as stack:
                        self._take_structure_lock(stack, folder, changes)
                        self._write(key, folder, structural)
                        _wait_for(changes)  # another leader may have them in its batch
            except Exception as error:  # noqa: BLE001  # whatever it is, the callers are waiting for it
                for _, change in arrivals:
                    change.refuse(error.again() if isinstance(error, Fault) else error)

    def _write(self, key: tuple[str, str], folder: ProjectFolder, arrivals: list[tuple[Target, Change]]) -> None:
        changes: defaultdict[Place, list[Change]] = defaultdict(list)
        project = _reading(lambda: self._folders.look(folder, to_write=True))
        for target, change in arrivals:
            try:
                place = _reading(lambda: self._roots.entry(folder, target.choose(project)))  # noqa: B023  # called at once
            except Exception as error:  # noqa: BLE001  # this one alone is refused
                self._answer_again(folder, change, error)
                continue
            changes[place].append(change)
        for place, those in changes.items():
            self._at_work[key] = place
            self._writer.submit(place, those)
            del self._at_work[key]

    def _answer_again(self, folder: ProjectFolder, change: Change, error: Exception) -> None:
        """What a request asked for may be impossible now because it is done: then its answer is given again."""
        try:
            request = change.caller.request
            known = _reading(lambda: self._answered(folder, request)) if request else None
        except Fault as worse:
            change.refuse(worse)
            return
        if known is None:
            change.refuse(error)
        elif change.future.set_running_or_notify_cancel():
            change.future.set_result(known)

    def _answered(self, folder: ProjectFolder, request: Request) -> Outcome | None:
        log = self.log_of(self._roots.log_place(folder))
        log.catch_up()
        return log.answer(request)

    def _take_structure_lock(self, stack: ExitStack, folder: ProjectFolder, changes: Sequence[Change]) -> None:
        until = max(change.caller.deadline for change in changes)
        self._roots.log_place(folder)  # nothing is made in a folder that is no project
        lock = self._transactions.structure_lock(folder)
        stack.callback(lock.release)
        try:
            taken = lock.acquire(lambda: time.monotonic() < until)
        except OSError as error:
            raise writing_failed("the project", error) from error
        if not taken:
            raise faults.lock_timeout("the project")

    def _finish(self, place: Place, unfinished: Unfinished) -> None:
        """Finish a change of several files that a killed server left."""
        given_up = threading.Event()
        timer = threading.Timer(
            _NOTICE_PATIENCE, given_up.set
        )  # another file's lock must not hold this one up for ever
        timer.start()
        try:
            self._finishing.finish(ProjectFolder(place.root, place.owner), unfinished, given_up)
        finally:
            timer.cancel()

    def _hold(self, folder: ProjectFolder, given_up: threading.Event) -> Holding:
        return Holding(self._disk, self._documents, self._roots.entry, folder, given_up)

    def _noticed(self, path: str, file: str) -> Place:
        """A file of a project, once what other programs did to it is written down, where that can be."""
        folder = self._roots.project(path)
        place = self._roots.entry(folder, file)
        log = self.log_of(place)
        log.catch_up()
        if log.log_id:
            try:
                self._writer.notice(place, _LOOK_PATIENCE)
            except (OSError, Fault):
                pass  # a project that cannot be written can be read all the same
        return place

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, _reading, work)


def _wait_for(changes: Sequence[Change]) -> None:
    """Wait until each is answered or given up. (`futures.wait` goes on waiting for those that were given up.)"""
    over = threading.Semaphore(0)
    for change in changes:
        change.future.add_done_callback(lambda _: over.release())
    for _ in changes:
        over.acquire()


def _reading(work: Callable[[], T]) -> T:
    """The one place where an error of the system that nobody named more closely becomes a fault."""
    try:
        return work()
    except OSError as error:
        raise reading_failed("the project", error) from error
