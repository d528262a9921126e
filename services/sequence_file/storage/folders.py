"""Looking through project folders: which sequences there are, and what they hold."""

import os
import stat
import time
from datetime import UTC, datetime

from services.kernel.faults import Fault
from services.sequence_file.domain import faults, identity
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.finding import arranged, unreachable
from services.sequence_file.domain.ports import PROJECT_FILE, Project, SequenceFile, Unreachable
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.documents import PATIENCE, Documents, Entry
from services.sequence_file.storage.places import SEQUENCES_FOLDER, Place, ProjectFolder, Roots, refuse_unreadable
from services.sequence_file.storage.scans import Scans
from services.sequence_file.storage.trouble import reading_failed


class Folders:
    """Reads project folders. Raises Fault and, for what nobody named more closely, OSError."""

    def __init__(self, disk: Disk, roots: Roots, documents: Documents) -> None:
        self._disk = disk
        self._roots = roots
        self._documents = documents
        self._scans = Scans(self.look)

    def project(self, folder: ProjectFolder) -> Project:
        """The project as it is now; those who ask at the same time share a look."""
        return self._scans.get(folder)

    def look(self, folder: ProjectFolder, *, to_write: bool = False) -> Project:
        """The project as it is now. Who looks `to_write` compares the bytes again later."""
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
        if (known := entry.sequence) and known.document is entry.document and known.document.file == place.file:
            return known
        document = entry.opened()
        entry.sequence = SequenceFile(
            document=document,
            id=identity.id_of(document.head.id, place.file),
            modified=datetime.fromtimestamp(entry.stat.st_mtime, UTC),
        )
        return entry.sequence

    def project_file(self, path: str) -> Document:
        """project.json. Raises PROJECT_NOT_FOUND where the project has none."""
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
