"""Following the changes of projects, each as its log tells of them.

A watch pulls from the log, at its own pace: one that is slow costs nothing. It is given nothing that is not on the
device, since a power cut could take a revision back and the next change would get its number. All watches of a project
share one wait for the device, and one observer that sees what other programs and other servers do.

    watching.py   this: the watches, and what those of one project share
    observer.py   what other programs do
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from services.kernel.faults import Fault
from services.sequence_file.domain import faults
from services.sequence_file.domain.changes import Change
from services.sequence_file.domain.ports import Watch
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.documents import Documents
from services.sequence_file.storage.log import Log
from services.sequence_file.storage.observer import Observer
from services.sequence_file.storage.places import STATE_FOLDER, Place, ProjectFolder, Roots
from services.sequence_file.storage.trouble import read_only, reading_failed, writing_failed

_AT_ONCE = 8  # changes that a watch takes out of the log at a time
_THREADS = 16
_LOG_NAME = "the log of the project"

_log = logging.getLogger(__name__)


class Watching:
    """The watches of all projects."""

    def __init__(
        self,
        disk: Disk,
        roots: Roots,
        documents: Documents,
        log_of: Callable[[Place], Log],
        notice: Callable[[Place], None],
    ) -> None:
        """`notice`: writes down what another program did to a file."""
        self._disk = disk
        self._roots = roots
        self._documents = documents
        self._log_of = log_of
        self._notice = notice
        self._guard = threading.Lock()
        self._feeds: dict[tuple[ProjectFolder, Log], _Feed] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="watching")
        # Of their own: to begin means to look at all files, and may wait for a lock.
        self._beginners = ThreadPoolExecutor(_THREADS, thread_name_prefix="watches that begin")

    async def follow(self, path: str, after: int | None, log_id: str) -> Watch:
        """See `Sequences.watch`."""
        loop = asyncio.get_running_loop()
        beginning = loop.run_in_executor(self._beginners, self._begin, path, after, log_id, loop)
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            beginning.add_done_callback(_close)
            raise

    def close(self) -> None:
        """End all observers."""
        with self._guard:
            feeds = list(self._feeds.values())
        for feed in feeds:
            feed.stop()
        self._beginners.shutdown(wait=True)
        self._threads.shutdown(wait=True)

    def _begin(self, path: str, after: int | None, log_id: str, loop: asyncio.AbstractEventLoop) -> "_Watch":
        try:
            feed = self._feed(self._roots.project(path))
            feed.prepare()
            return feed.join(loop, after, log_id)
        except OSError as error:
            raise writing_failed("the project", error) from error

    def _feed(self, folder: ProjectFolder) -> "_Feed":
        place = self._roots.log_place(folder)
        log = self._log_of(place)
        with self._guard:
            if (feed := self._feeds.get((folder, log))) is None:
                observer = Observer(self._disk, self._roots, self._documents, folder, log, place.owner, self._notice)
                state = os.path.join(place.root, *place.owner, STATE_FOLDER)
                feed = _Feed(self._disk, log, observer, self._threads, state, lambda: self._forget(folder, log))
                self._feeds[folder, log] = feed
            return feed

    def _forget(self, folder: ProjectFolder, log: Log) -> None:
        with self._guard:
            self._feeds.pop((folder, log), None)


class _Head(NamedTuple):
    """How far a log may be told of."""

    log_id: str
    revision: int


class _Feed:
    """What the watches of one project share. Thread-safe."""

    def __init__(
        self,
        disk: Disk,
        log: Log,
        observer: Observer,
        threads: ThreadPoolExecutor,
        state: str,
        over: Callable[[], None],
    ) -> None:
        """`state`: the folder in which the log is; `over`: called when the last watch has left."""
        self.log = log
        self.head = _Head("", 0)
        self.threads = threads
        self.trouble: Exception | None = None  # why the watches must end
        self._disk = disk
        self._observer = observer
        self._state = state
        self._over = over
        self._guard = threading.Lock()
        self._watches: set[_Watch] = set()
        self._stopping: threading.Event | None = None  # of the observer that runs
        self._observers: list[threading.Thread] = []  # that one, and those that have not ended yet
        self._unsubscribe: Callable[[], None] | None = None
        self._securing = False
        self._grown = False

    def prepare(self) -> None:
        """See that there is a log, that it can be written, and that it knows all files. Raises Fault, OSError."""
        self.log.catch_up()
        if not (self.log.log_id and self.log.surveyed):
            self._observer.survey()
        if not self.log.log_id:
            raise faults.lock_timeout(_LOG_NAME)  # that of some file was held all the time
        self._refuse_read_only()

    def join(self, loop: asyncio.AbstractEventLoop, after: int | None, log_id: str) -> "_Watch":
        """A new watch behind a revision. Raises REVISION_TOO_OLD, IO_ERROR."""
        head = self._secured()
        if after is None:
            after = head.revision
        elif after == 0 and not log_id:
            after = self.log.oldest - 1
        else:
            self.log.changes(after, 0, log_id)
        watch = _Watch(self, loop, head.log_id, after)
        with self._guard:
            self._watches.add(watch)
            if self._unsubscribe is None:
                self._unsubscribe = self.log.subscribe(self._grow)
            if self._stopping is None:
                self._stopping = threading.Event()
                self.trouble = None
                observer = threading.Thread(target=self._observe, args=(self._stopping,), name="observer", daemon=True)
                self._observers = [each for each in self._observers if each.is_alive()]
                self._observers.append(observer)
                observer.start()
        self._grow()
        return watch

    def leave(self, watch: "_Watch") -> None:
        """A watch that is over. The last one ends the observer, too."""
        with self._guard:
            self._watches.discard(watch)
            if self._watches:
                return
            if self._stopping:
                self._stopping.set()
                self._stopping = None
            if self._unsubscribe:
                self._unsubscribe()
                self._unsubscribe = None
        self._over()

    def stop(self) -> None:
        """End the observer, and wait until it has ended."""
        with self._guard:
            watches, observers = list(self._watches), list(self._observers)
        for watch in watches:
            self.leave(watch)
        for observer in observers:
            observer.join()

    def _observe(self, stopping: threading.Event) -> None:
        try:
            self._observer.run(stopping)
        except Exception as error:
            _log.exception("the observer of a project ended")
            self._fail(error)
            raise

    def _grow(self) -> None:
        """The log may have grown: have that made durable, by one thread at a time."""
        with self._guard:
            self._grown = True
            if self._securing or not self._watches:
                return
            self._securing = True
        self.threads.submit(self._secure)

    def _secure(self) -> None:
        while True:
            with self._guard:
                if not self._grown:
                    self._securing = False
                    return
                self._grown = False
            try:
                head = self._secured()
            except Exception as error:  # noqa: BLE001  # whatever it is, the watches must hear of it
                self._fail(error)
                continue
            with self._guard:
                self.head = head
                watches = list(self._watches)
            for watch in watches:
                watch.wake()

    def _secured(self) -> _Head:
        """How far the log is on the device. Raises IO_ERROR."""
        try:
            while True:
                log_id = self.log.log_id
                revision = self.log.make_durable()
                if self.log.log_id == log_id:  # else it became another one meanwhile
                    return _Head(log_id, revision)
        except OSError as error:
            raise reading_failed(_LOG_NAME, error) from error

    def _fail(self, error: Exception) -> None:
        with self._guard:
            self.trouble = error
            watches = list(self._watches)
        for watch in watches:
            watch.wake()

    def _refuse_read_only(self) -> None:
        state = self._disk.open_folder(self._state)
        try:
            if not self._disk.may_write(state, "."):
                raise read_only(STATE_FOLDER, "its mode forbids writing, or that of its file system")
        finally:
            self._disk.close(state)


class _Watch:
    """Fills `domain.ports.Watch`. Belongs to the event loop in which it was begun."""

    def __init__(self, feed: _Feed, loop: asyncio.AbstractEventLoop, log_id: str, after: int) -> None:
        self._feed = feed
        self._loop = loop
        self._log_id = log_id
        self._revision = after
        self._woken = asyncio.Event()

    @property
    def log_id(self) -> str:
        """See `Watch.log_id`."""
        return self._log_id

    @property
    def revision(self) -> int:
        """See `Watch.revision`."""
        return self._revision

    async def next(self, seconds: float) -> Sequence[Change]:
        """See `Watch.next`. Raises IO_ERROR, too."""
        until = self._loop.time() + seconds
        while True:
            self._woken.clear()
            if error := self._feed.trouble:
                raise error.again() if isinstance(error, Fault) else error
            head = self._feed.head
            if head.revision > self._revision or head.log_id not in ("", self._log_id):
                changes = await self._loop.run_in_executor(self._feed.threads, self._pull, head.revision)
                if changes:
                    self._revision = changes[-1].revision
                    return changes
            try:
                async with asyncio.timeout_at(until):
                    await self._woken.wait()
            except TimeoutError:
                return ()

    def close(self) -> None:
        """See `Watch.close`."""
        self._feed.leave(self)

    def wake(self) -> None:
        """Have it look again. Called by any thread."""
        try:
            self._loop.call_soon_threadsafe(self._woken.set)
        except RuntimeError:
            self.close()  # its loop has ended without closing it

    def _pull(self, head: int) -> list[Change]:
        try:
            return self._feed.log.changes(self._revision, min(_AT_ONCE, head - self._revision), self._log_id)
        except OSError as error:
            raise reading_failed(_LOG_NAME, error) from error


def _close(beginning: "asyncio.Future[_Watch]") -> None:
    if not beginning.cancelled() and beginning.exception() is None:
        beginning.result().close()
