"""Projects in folders on disk: the real `Sequences`."""

import asyncio
import os
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar

from services.kernel.faults import Fault
from services.sequence_file.domain import faults, identity
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Shot
from services.sequence_file.domain.library import arranged, unreachable
from services.sequence_file.domain.ports import (
    PROJECT_FILE,
    Apply,
    Project,
    Request,
    SequenceFile,
    Target,
    Unreachable,
)
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.documents import PATIENCE, Documents, Entry
from services.sequence_file.storage.places import SEQUENCES_FOLDER, Place, ProjectFolder, Roots, refuse_unreadable
from services.sequence_file.storage.queues import Queues
from services.sequence_file.storage.scans import Scans
from services.sequence_file.storage.trouble import reading_failed
from services.sequence_file.storage.writer import Change, Writer

# A thread that waits for a lock sleeps; there may be as many as files that others hold.
_THREADS = 64

T = TypeVar("T")


class FileSequences:
    """Fills `domain.ports.Sequences` with the files below the allowed roots."""

    def __init__(self, roots: Sequence[str], *, disk: Disk | None = None, cache_bytes: int = 256 << 20) -> None:
        self._disk = disk or Disk()
        self._roots = Roots(roots)
        self._documents = Documents(self._disk, cache_bytes)
        self._writer = Writer(self._disk, self._documents)
        self._scans = Scans(self._project)
        self._at_work: dict[tuple[str, str], Place] = {}  # what the leader of a target writes now
        self._arrivals: Queues[tuple[str, str], tuple[Target, Change]] = Queues()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="sequence-files")

    async def project(self, path: str) -> Project:
        """See `Sequences.project`."""
        return await self._in_thread(lambda: self._scans.get(self._roots.project(path)))

    async def project_file(self, path: str) -> Document:
        """See `Sequences.project_file`."""
        return await self._in_thread(lambda: self._project_file(path))

    async def change(self, path: str, target: Target, apply: Apply, request: Request | None, deadline: float) -> Shot:
        """See `Sequences.change`."""
        change = Change(apply, request)
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
        timer = asyncio.get_running_loop().call_later(deadline - time.monotonic(), give_up)
        try:
            return await asyncio.wrap_future(change.future)
        except asyncio.CancelledError:
            if locked:
                raise faults.lock_timeout(locked) from None
            raise
        finally:
            timer.cancel()

    def _lead(self, key: tuple[str, str]) -> None:
        """Find the file for all changes of a target that have come, have them written, and again."""
        while arrivals := self._arrivals.take(key):
            changes: defaultdict[Place, list[Change]] = defaultdict(list)
            try:
                folder = self._roots.project(key[0])
                project = _reading(lambda: self._project(folder, to_write=True))  # noqa: B023  # called at once
            except Exception as error:  # noqa: BLE001  # whatever it is, the callers are waiting for it
                for _, change in arrivals:
                    change.refuse(error)
                continue
            for target, change in arrivals:
                try:
                    changes[_reading(lambda: self._roots.entry(folder, target.choose(project)))].append(change)  # noqa: B023
                except Exception as error:  # noqa: BLE001  # the same
                    change.refuse(error)
            for place, those in changes.items():
                self._at_work[key] = place
                self._writer.submit(place, those)
                del self._at_work[key]

    def close(self) -> None:
        """Wait for the writes that have begun."""
        self._threads.shutdown(wait=True)
        self._writer.close()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _reading, work)

    def _project(self, folder: ProjectFolder, *, to_write: bool = False) -> Project:
        good: list[SequenceFile] = []
        bad: list[Unreachable] = []
        until = time.monotonic() + PATIENCE
        has_project_file = os.path.lexists(os.path.join(folder.path, PROJECT_FILE))
        inner = os.path.join(folder.path, SEQUENCES_FOLDER)
        if not os.path.lexists(inner):
            if not has_project_file:
                raise faults.project_not_found(folder.path)
            return Project(path=folder.path, sequences=(), unreachable=(), has_project_file=True)
        where = self._roots.folder(folder, SEQUENCES_FOLDER)
        try:
            opened = self._disk.open_folder(where.root, *where.below)
        except OSError as error:
            raise reading_failed(SEQUENCES_FOLDER, error) from error
        try:
            refuse_unreadable(SEQUENCES_FOLDER, self._disk.fstat(opened))
            for name, found in self._disk.entries(opened):
                if not identity.is_sequence_file(name):
                    continue
                file = f"{SEQUENCES_FOLDER}/{name}"
                place = Place(where.root, where.below, name, file)
                try:
                    good.append(self._sequence(folder, opened, place, found, until, to_write=to_write))
                except FileNotFoundError:
                    continue  # removed between the listing and the look
                except Fault as fault:
                    bad.append(unreachable(file, fault))
        finally:
            self._disk.close(opened)
        return arranged(folder.path, good, bad, has_project_file)

    def _sequence(
        self, folder: ProjectFolder, opened: int, place: Place, found: os.stat_result, until: float, *, to_write: bool
    ) -> SequenceFile:
        if stat.S_ISLNK(found.st_mode):
            place = self._roots.entry(folder, place.file)
            entry = self._entry_elsewhere(place, until)
        else:
            entry = self._documents.get(opened, place, found, until, to_write=to_write)
        document = entry.opened()
        return SequenceFile(
            document=document,
            id=identity.id_of(document.head.id, place.file),
            modified=datetime.fromtimestamp(entry.stat.st_mtime, UTC),
        )

    def _project_file(self, path: str) -> Document:
        folder = self._roots.project(path)
        try:
            entry = self._entry_elsewhere(self._roots.entry(folder, PROJECT_FILE), time.monotonic() + PATIENCE)
        except FileNotFoundError:
            raise faults.project_not_found(path) from None
        return entry.opened()

    def _entry_elsewhere(self, place: Place, until: float) -> Entry:
        """The entry of a file whose folder is not open yet."""
        try:
            opened = self._disk.open_folder(place.root, *place.below)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise reading_failed(place.file, error) from error
        try:
            return self._documents.get(opened, place, self._disk.stat(opened, place.name), until)
        finally:
            self._disk.close(opened)


def _reading(work: Callable[[], T]) -> T:
    """The one place where an error of the system that nobody named more closely becomes a fault."""
    try:
        return work()
    except OSError as error:
        raise reading_failed("the project", error) from error
