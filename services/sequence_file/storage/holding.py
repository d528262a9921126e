"""Several files of a project, held together: their locks taken in one order, their folders open."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from services.kernel.faults import Fault
from services.sequence_file.domain import faults
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.ports import Work
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.documents import Documents, Entry
from services.sequence_file.storage.locks import Lock
from services.sequence_file.storage.places import SEQUENCES_FOLDER, STATE_FOLDER, Place, ProjectFolder
from services.sequence_file.storage.swap import Creation, Deletion, Job, Swap

TRASH = "trash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One file of a plan, whether it is there or not."""

    work: Work
    place: Place
    lock: Lock
    folder: int  # descriptor


class Holding:
    """Lets everything go in the end, as a context manager."""

    def __init__(
        self,
        disk: Disk,
        documents: Documents,
        entry: Callable[[ProjectFolder, str], Place],
        folder: ProjectFolder,
        given_up: threading.Event,
    ) -> None:
        """`entry` finds a file of a project by its relative path; `given_up` ends the waiting for locks."""
        self._disk = disk
        self._documents = documents
        self._entry = entry
        self._project = folder
        self._given_up = given_up
        self._folders: dict[tuple[str, tuple[str, ...]], int] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "Holding":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def take(self, works: Sequence[Work]) -> list[Held]:
        """Lock and open the files of a plan. In one order, so that nobody waits for somebody who waits for him.

        Answers in the order of the works. Raises LOCK_TIMEOUT, UNSAFE_FILE, Fault, OSError.
        """
        if any(work.content is not None for work in works):
            self._make_sequences_folder()
        places = {work.file: self._entry(self._project, work.file) for work in works}
        for work in works:
            whole = work.delete or work.content is not None
            if whole and os.path.islink(os.path.join(self._project.path, work.file)):
                raise faults.unsafe_file(work.file, "it is a link: what it leads to is not made or deleted through it")
        if len({(place.root, place.owner) for place in places.values()}) > 1:
            # Each project has a log of its own, and a change stands in one.
            raise faults.unsafe_file(works[-1].file, "it is a link into another project, or the others are")
        return self._in_order(works, places)

    def take_what_is_there(self, works: Sequence[Work], known: Mapping[str, Place]) -> list[Held]:
        """The same for a change that was begun: without files that cannot be used any more. Raises LOCK_TIMEOUT.

        `known`: where files were then.
        """
        places: dict[str, Place] = {}
        for work in works:
            try:
                place = known.get(work.file) or self._entry(self._project, work.file)
                self._open(place)
            except (OSError, Fault):
                continue  # its folder is gone, or it is a link that leads to where nothing may be read
            places[work.file] = place
        return self._in_order([work for work in works if work.file in places], places)

    def _in_order(self, works: Sequence[Work], places: Mapping[str, Place]) -> list[Held]:
        held: dict[str, Held] = {}
        for work in sorted(works, key=lambda each: places[each.file].key):
            place = places[work.file]
            lock = Lock.of_file(self._disk, place)
            self._stack.callback(lock.release)
            if not lock.acquire(lambda: not self._given_up.is_set()):
                raise faults.lock_timeout(place.file)
            held[work.file] = Held(work=work, place=place, lock=lock, folder=self._open(place))
        return [held[work.file] for work in works]

    def _open(self, place: Place) -> int:
        """The folder of a file, opened once for all files in it."""
        if (folder := self._folders.get((place.root, place.below))) is None:
            folder = self._folders[place.root, place.below] = self._disk.open_folder(place.root, *place.below)
            self._stack.callback(self._disk.close, folder)
        return folder

    def read(self, each: Held) -> Entry | None:
        """What the file holds; None where there is none. Raises Fault, OSError."""
        try:
            return self._documents.now(each.folder, each.place)
        except FileNotFoundError:
            return None

    def swapped(self, each: Held, base: Entry, draft: Draft, now: datetime) -> Job | None:
        """The job of steps; None where they change nothing."""
        return Swap(self._disk, each.folder, each.lock, base, each.place, draft.finish(now)) if draft.changed else None

    def put(self, each: Held, base: Entry | None, document: Document) -> Job | None:
        """The job of a new content; None where it is there."""
        if base is None:
            return Creation(self._disk, each.folder, each.lock, each.place, document)
        if document.raw == base.raw:
            return None
        return Swap(self._disk, each.folder, each.lock, base, each.place, document)

    def deleted(self, each: Held, base: Entry) -> Job:
        """The job of a deletion."""
        return Deletion(self._disk, each.folder, self.trash(each.place), each.lock, base, each.place)

    def trash(self, place: Place) -> int:
        """The open trash of a file's project."""
        state = self._disk.open_folder(place.root, *place.owner, STATE_FOLDER)
        try:
            self._disk.make_folder(state, TRASH)
            self._disk.sync_folder(state)  # the file must not be lost with the name of its folder
        finally:
            self._disk.close(state)
        trash = self._disk.open_folder(place.root, *place.owner, STATE_FOLDER, TRASH)
        self._stack.callback(self._disk.close, trash)
        return trash

    def _make_sequences_folder(self) -> None:
        project = self._disk.open_folder(self._project.root, *self._project.below)
        try:
            self._disk.make_folder(project, SEQUENCES_FOLDER)
            self._disk.sync_folder(project)
        finally:
            self._disk.close(project)
