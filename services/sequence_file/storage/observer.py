"""What other programs do to a project, seen while it happens.

A thread that looks when the system says that something happened in one of the project's folders, and every half second
in any case: not every volume tells, and no queue of events is endless. A look costs one stat a file; only a file that
is not as it was at the last look is read, and only one that the log does not know like that is written down.

Folders are watched by themselves, not with what is below them: a project may hold a film's media.
"""

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace

# The module's own generator cannot change how long it waits; this is what its documentation offers beside it.
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from services.kernel.faults import Code, Fault
from services.sequence_file.domain import identity
from services.sequence_file.domain.ports import PROJECT_FILE
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.documents import PATIENCE, Documents, Signature, signature
from services.sequence_file.storage.log import Log
from services.sequence_file.storage.places import (
    SEQUENCES_FOLDER,
    STATE_FOLDER,
    Place,
    ProjectFolder,
    Roots,
    place_of_key,
)

_POLL = 0.5  # seconds between two looks at everything
_SHARE = 20  # a look at everything may take this part of the time at most
_STEP, _DEBOUNCE = 3, 30  # milliseconds: without an event, or in all, after which events are looked at
_RETRY = 0.02  # seconds until a file is looked at again that is just being written here
_MARKED = 0.5  # seconds after which a change that was begun here must be marked, unless its server was killed
_TICK = 20_000_000  # nanoseconds: as in `documents`, a younger file may change once more without a sign

_log = logging.getLogger(__name__)


class Observer:
    """Writes down what other programs do to the files of one project."""

    def __init__(
        self,
        disk: Disk,
        roots: Roots,
        documents: Documents,
        folder: ProjectFolder,
        log: Log,
        owner: tuple[str, ...],
        notice: Callable[[Place], None],
    ) -> None:
        """`owner`: the folder that the log belongs to; files with another one, behind links, are left to its log.
        `notice`: writes down what happened to a file that is not as the log knows it."""
        self._disk = disk
        self._roots = roots
        self._documents = documents
        self._folder = folder
        self._log = log
        self._owner = owner
        self._notice = notice
        self._seen: dict[Place, Signature] = {}  # as the log knows them
        self._began: dict[Place, float] = {}  # since when a file is not
        self._log_id = ""
        self._looking = threading.Lock()

    def survey(self) -> None:
        """Look at all files, and write down what the log does not know. Raises Fault, OSError."""
        with self._looking:
            self._log.catch_up()
            if self._log.log_id != self._log_id:  # nothing that was seen is known to another log
                self._seen.clear()
            found = self._found()
            for known in (self._seen, self._began):
                for place in known.keys() - found.keys():
                    del known[place]
            looks = [self._look(place, each) for place, each in found.items()]
            for place in self._gone(found):
                self._notice(place)
            if all(looks) and not self._log.surveyed:
                self._log.set_surveyed()
            self._log_id = self._log.log_id

    def run(self, stopping: threading.Event) -> None:
        """Watch the project until told to stop."""
        events = _Events(self._disk)
        last_trouble = ""
        try:
            while not stopping.is_set():
                try:
                    self._watch(events, stopping)
                    last_trouble = ""
                except (OSError, Fault) as error:
                    # A folder that is gone for now, a full disk, a lock that is held: the next look tries again.
                    if str(error) != last_trouble:
                        _log.warning("%s cannot be watched: %s", self._folder.path, error)
                    last_trouble = str(error)
                    stopping.wait(_POLL)
        finally:
            events.close()

    def _watch(self, events: "_Events", stopping: threading.Event) -> None:
        """Look whenever something happens, until the folders are not the ones any more that are watched."""
        events.open(self._folders())
        while not stopping.is_set():
            began = time.monotonic()
            self.survey()
            until = time.monotonic() + max(_POLL, (time.monotonic() - began) * _SHARE)
            while not stopping.is_set() and (left := until - time.monotonic()) > 0:
                changed = events.wait(min(left, _RETRY) if self._began else left, stopping)
                if not self._look_at(changed):
                    break
            if not events.are_of(self._folders()):
                return

    def _look_at(self, changed: Collection[str]) -> bool:
        """Look at what changed, and again at what was not finished. False: at everything, please."""
        with self._looking:
            self._log.catch_up()
            if self._log.log_id != self._log_id:
                return False
            names = {path.rpartition(os.sep)[2] for path in changed}
            if names & {SEQUENCES_FOLDER, STATE_FOLDER, os.path.basename(self._folder.path)}:
                return False
            places = set(self._began)
            for name in names:
                if name == PROJECT_FILE or identity.is_sequence_file(name):
                    places.update(self._places(name))
            looks = [self._look_again(place) for place in places]
            return all(looks)

    def _places(self, name: str) -> list[Place]:
        """Where a file of this name may be; which folder it is, the look will show."""
        file = name if name == PROJECT_FILE else f"{SEQUENCES_FOLDER}/{name}"
        try:
            place = self._roots.entry(self._folder, file)
        except Fault:
            return []  # a link that leads to where nothing may be read
        return [place] if place.owner == self._owner else []

    def _look_again(self, place: Place) -> bool:
        """Look at a file; False where it is gone."""
        try:
            folder = self._disk.open_folder(place.root, *place.below)
            try:
                found = self._disk.stat(folder, place.name)
            finally:
                self._disk.close(folder)
        except FileNotFoundError:
            return False
        self._look(place, found)
        return True

    def _look(self, place: Place, found: os.stat_result) -> bool:
        """Compare a file with what the log knows of it; whether that is all there is to do."""
        now = signature(found)
        if self._seen.get(place) == now:
            return True
        read_at = time.time_ns()
        try:
            if not self._is_known(place, found):
                if self._is_being_written(place):
                    return False
                self._notice(place)
                if not self._is_known(place, found):
                    return False  # its lock is held, or it changed again
        except FileNotFoundError:
            return True  # removed meanwhile: the next look at everything finds out
        except Fault as fault:
            if fault.code is Code.UNAVAILABLE:
                return False
            # No file that may be read: what it holds is not known, and not told.
        self._began.pop(place, None)
        if read_at - max(found.st_mtime_ns, found.st_ctime_ns) > _TICK:
            self._seen[place] = now
        return True

    def _is_known(self, place: Place, found: os.stat_result) -> bool:
        folder = self._disk.open_folder(place.root, *place.below)
        try:
            etag = self._documents.get(folder, place, found, time.monotonic() + PATIENCE).etag()
        finally:
            self._disk.close(folder)
        known = self._log.known(place.key)
        return known is not None and known.etag == etag

    def _is_being_written(self, place: Place) -> bool:
        """Whether it is the work of a server that has not come to saying so."""
        self._log.catch_up()
        if not self._log.open_batches(place.key):
            return False
        return time.monotonic() - self._began.setdefault(place, time.monotonic()) < _MARKED

    def _gone(self, found: Collection[Place]) -> list[Place]:
        """Files that the log knows and that are not there."""
        there = {place.key for place in found}
        gone: list[Place] = []
        for key, known in self._log.keys().items():
            if key in there or known.etag is None:
                continue
            place = replace(place_of_key(self._folder.root, self._owner, key), file=known.file)
            if not os.path.lexists(os.path.join(place.root, *place.below, place.name)):
                gone.append(place)
        return gone

    def _found(self) -> dict[Place, os.stat_result]:
        """All files of the project that its log tells of. Raises OSError where the project's folder is gone."""
        found: dict[Place, os.stat_result] = {}
        folder = self._disk.open_folder(self._folder.root, *self._folder.below)
        try:
            self._add(found, PROJECT_FILE, folder)
        finally:
            self._disk.close(folder)
        try:
            where = self._roots.folder(self._folder, SEQUENCES_FOLDER)
            folder = self._disk.open_folder(where.root, *where.below)
        except (OSError, Fault):
            return found  # there is none, or it is none that may be read: so are its files
        try:
            for name, _ in self._disk.entries(folder):
                if identity.is_sequence_file(name):
                    self._add(found, f"{SEQUENCES_FOLDER}/{name}", folder)
        finally:
            self._disk.close(folder)
        return found

    def _add(self, found: dict[Place, os.stat_result], file: str, folder: int) -> None:
        name = file.rpartition("/")[2]
        try:
            each = self._disk.stat(folder, name)
            place = self._roots.entry(self._folder, file)
            if stat.S_ISLNK(each.st_mode):
                behind = self._disk.open_folder(place.root, *place.below)
                try:
                    each = self._disk.stat(behind, place.name)
                finally:
                    self._disk.close(behind)
        except (OSError, Fault):
            return  # not there, or a link that leads to nothing that may be read
        if place.owner == self._owner:
            found[place] = each

    def _folders(self) -> list[str]:
        """The real folders in which something may happen to the project."""
        folders = [self._folder.path, os.path.join(self._folder.root, *self._owner, STATE_FOLDER)]
        try:
            folders.append(self._roots.folder(self._folder, SEQUENCES_FOLDER).path)
        except Fault:
            pass  # it leads to where nothing may be read
        return folders


class _Events:
    """What the system says of some folders. Where it says nothing there is only the look from time to time."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._notifier: RustNotify | None = None
        self._opened: dict[str, int] = {}

    def open(self, folders: Collection[str]) -> None:
        """Begin with these; those that are not there are left out."""
        self.close()
        for path in folders:
            try:
                # Open for as long as it is watched: so no other folder can get its inode number.
                self._opened[path] = self._disk.open_folder(path)
            except OSError:
                continue
        try:
            self._notifier = RustNotify(
                list(self._opened),
                debug=False,
                force_polling=False,
                poll_delay_ms=0,
                recursive=False,
                ignore_permission_denied=True,
            )
        # Too many watches on this machine, for one, or a folder whose name is no text.
        except (OSError, UnicodeEncodeError, WatchfilesRustInternalError) as error:
            _log.info("no events of the file system, looking from time to time instead: %s", error)

    def are_of(self, folders: Collection[str]) -> bool:
        """Whether these are the folders that are watched."""
        return all(self._is(path, self._opened.get(path)) for path in folders) and self._opened.keys() <= set(folders)

    def wait(self, seconds: float, stopping: threading.Event) -> set[str]:
        """The paths to which something happened; none after so many seconds without, or when told to stop.

        Raises OSError where the system cannot say it.
        """
        if self._notifier is None:
            stopping.wait(seconds)
            return set()
        try:
            said = self._notifier.watch(_DEBOUNCE, _STEP, max(1, int(seconds * 1000)), stopping)
        except WatchfilesRustInternalError as error:  # a name that is no text, and it says so ever after
            raise OSError(str(error)) from error
        return set() if isinstance(said, str) else {path for _, path in said}

    def close(self) -> None:
        """Let go of all folders."""
        if self._notifier is not None:
            self._notifier.close()
            self._notifier = None
        for descriptor in self._opened.values():
            self._disk.close(descriptor)
        self._opened.clear()

    def _is(self, path: str, descriptor: int | None) -> bool:
        try:
            found = self._disk.stat_path(path)
        except OSError:
            return descriptor is None
        if descriptor is None or not stat.S_ISDIR(found.st_mode):
            return descriptor is None and not stat.S_ISDIR(found.st_mode)
        return os.path.samestat(found, self._disk.fstat(descriptor))
