"""Putting a new file in the place of an old one so that nobody's edit is overwritten unseen.

The swap exchanges the new file with the old one (renameat2). What was displaced is compared with
what was read: had another program changed the file in the last instant, the exchange is taken
back and `Disturbed` raised. Where the file system cannot exchange names, the file is compared once
more and then renamed over; between those two steps another program's edit can be lost.

New files and deleted ones (`Creation`, `Deletion`) go the same way: each is a `Job` of a commit.
"""

import errno
import os
import time
from typing import Protocol

from services.sequence_file.domain.document import Document
from services.sequence_file.storage import trouble
from services.sequence_file.storage.disk import Disk, ExchangeUnsupported
from services.sequence_file.storage.documents import Documents, Entry, signature
from services.sequence_file.storage.history import History
from services.sequence_file.storage.locks import Lock
from services.sequence_file.storage.places import Place

_LONGEST_NAME = 255  # bytes: NAME_MAX of Linux

# What opening answers where another program put nothing, a link or a socket.
_NOTHING_TO_READ = {errno.ENOENT, errno.ELOOP, errno.ENXIO}
ATTEMPTS = 20  # times that other programs may disturb a change before FILE_BUSY


class Disturbed(Exception):
    """Another program changed the file in the last instant; its version is in place."""


class Job(Protocol):
    """What a commit does to one file, whose lock is held and whose folder is open."""

    place: Place
    document: Document | None  # the new content; None where the file goes away

    @property
    def before(self) -> str | None:
        """Etag of what was read; None for a file that was not there."""

    @property
    def folders(self) -> tuple[int, ...]:
        """The open folders whose names change."""

    def fill(self) -> None:
        """Make everything ready, durably. Raises OSError; FileExistsError for something under the temporary name."""

    def put(self) -> None:
        """Do it in one step, and see that it met what was read. Raises Disturbed, Fault, OSError; then it is undone."""

    def check(self) -> None:
        """See that nobody undid it meanwhile. Raises Disturbed, OSError; then it is not undone."""

    def take_back(self, cause: Exception) -> None:
        """Undo `put`, if it was done. Raises DURABILITY_UNKNOWN where that is impossible."""

    def abandon(self) -> None:
        """Clean up behind a failure. What somebody else wrote stays, for the next holder of the lock to put away."""

    def keep(self, documents: Documents, history: History, revision: int) -> None:
        """Behind a success: what was there becomes the version of that revision, and what is there is known."""


class Swap:
    """New content for a file that is there."""

    def __init__(self, disk: Disk, folder: int, lock: Lock, base: Entry, place: Place, document: Document) -> None:
        self.place = place
        self.document: Document | None = document
        self._new = document
        self._base = base
        self._disk = disk
        self._folder = folder
        self._lock = lock
        self._temporary = temporary_name(place)
        self._ours = 0  # inode number of the new file
        self._placed = False
        self._displaced = False  # whether the temporary name holds what somebody had there
        self._entry: Entry | None = None

    @property
    def before(self) -> str | None:
        """See `Job.before`."""
        return self._base.etag()

    @property
    def folders(self) -> tuple[int, ...]:
        """See `Job.folders`."""
        return (self._folder,)

    def fill(self) -> None:
        """See `Job.fill`."""
        if self._disk.exists(self._folder, self._temporary):
            raise FileExistsError(self._temporary)
        self._ours = self._write(self._new.raw)

    def put(self) -> None:
        """See `Job.put`."""
        refuse_lost_lock(self._lock, self.place)
        # Only now, with the batch written down: what stands under the temporary name can be told by it.
        self._disk.rename_new(self._folder, new_name(self.place), self._temporary)
        try:
            # The look behind the exchange would find it, too, but until then others would see ours without theirs.
            if signature(self._disk.stat(self._folder, self.place.name)) != self._base.signature:
                raise Disturbed
            self._disk.exchange(self._folder, self._temporary, self.place.name)
        except ExchangeUnsupported:
            # Compare once more, then rename.
            if content(self._disk, self._folder, self.place.name) != self._base.raw:
                raise Disturbed from None
            self._disk.rename(self._folder, self._temporary, self.place.name)
            self._placed = True
            return
        except FileNotFoundError:
            raise Disturbed from None
        self._placed = self._displaced = True
        try:
            if content(self._disk, self._folder, self._temporary) != self._base.raw:
                raise Disturbed
        except (OSError, Disturbed) as error:
            self.take_back(error)
            raise

    def check(self) -> None:
        """See `Job.check`."""
        self._entry = entry_of(self._disk, self._folder, self.place, self._new, self._ours)

    def take_back(self, cause: Exception) -> None:
        """See `Job.take_back`."""
        if not self._placed:
            return
        self._placed = False
        disk, folder = self._disk, self._folder
        try:
            if not self._is_in_place():
                return  # another program changed or deleted our version: that is the newest state
            if not self._displaced:
                self._write(self._base.raw)
                disk.rename(folder, new_name(self.place), self.place.name)
                return
            disk.exchange(folder, self._temporary, self.place.name)
        except FileNotFoundError:
            return  # deleted just now
        except OSError as error:
            remove_quietly(disk, folder, new_name(self.place))
            raise trouble.durability_unknown(self.place.file, cause if isinstance(cause, OSError) else error) from error
        self._displaced = False
        try:
            if content(disk, folder, self._temporary) != self._new.raw:
                # Another program changed our version before it was taken back: its edit is the newest.
                disk.exchange(folder, self._temporary, self.place.name)
                self._displaced = True
        except OSError:
            return  # what was there before is in place again, which is what the caller will be told

    def abandon(self) -> None:
        """See `Job.abandon`."""
        remove_quietly(self._disk, self._folder, new_name(self.place))
        if not self._displaced:
            remove_quietly(self._disk, self._folder, self._temporary)

    def keep(self, documents: Documents, history: History, revision: int) -> None:
        """See `Job.keep`."""
        if self._entry:
            documents.put(self.place, self._entry)
        if self._displaced:
            history.take(self._folder, self._temporary, self.place, revision, self._base.etag())
            return
        keep_raw(history, self.place, revision, self._base.etag(), self._base.raw)

    def _is_in_place(self) -> bool:
        try:
            return content(self._disk, self._folder, self.place.name) == self._new.raw
        except OSError:
            if self._displaced:
                return True  # what it was will show in the exchange
            raise

    def _write(self, raw: bytes) -> int:
        found = self._base.stat
        mode, owner = found.st_mode & 0o7777, (found.st_uid, found.st_gid)
        return write_new(self._disk, self._folder, new_name(self.place), raw, mode, owner)


class Creation:
    """A file that is not there yet."""

    def __init__(self, disk: Disk, folder: int, lock: Lock, place: Place, document: Document) -> None:
        self.place = place
        self.document: Document | None = document
        self._new = document
        self._disk = disk
        self._folder = folder
        self._lock = lock
        self._filled = new_name(place)
        self._ours = 0
        self._placed = False
        self._entry: Entry | None = None

    @property
    def before(self) -> str | None:
        """See `Job.before`."""
        return None

    @property
    def folders(self) -> tuple[int, ...]:
        """See `Job.folders`."""
        return (self._folder,)

    def fill(self) -> None:
        """See `Job.fill`."""
        self._ours = write_new(self._disk, self._folder, self._filled, self._new.raw, None, None)

    def put(self) -> None:
        """See `Job.put`."""
        refuse_lost_lock(self._lock, self.place)
        try:
            self._disk.rename_new(self._folder, self._filled, self.place.name)
        except FileExistsError:
            raise Disturbed from None  # another program was faster
        self._placed = True

    def check(self) -> None:
        """See `Job.check`."""
        self._entry = entry_of(self._disk, self._folder, self.place, self._new, self._ours)

    def take_back(self, cause: Exception) -> None:
        """See `Job.take_back`."""
        if not self._placed:
            return
        self._placed = False
        try:
            # Not under the name of what may be thrown away: it may be another program's by now.
            aside = temporary_name(self.place)
            self._disk.rename_new(self._folder, self.place.name, aside)
            if content(self._disk, self._folder, aside) == self._new.raw:
                self._disk.remove(self._folder, aside)
            else:
                self._disk.rename_new(self._folder, aside, self.place.name)
        except FileNotFoundError:
            return  # another program deleted it already
        except OSError as error:
            raise trouble.durability_unknown(self.place.file, error) from cause

    def abandon(self) -> None:
        """See `Job.abandon`."""
        remove_quietly(self._disk, self._folder, self._filled)

    def keep(self, documents: Documents, history: History, revision: int) -> None:
        """See `Job.keep`."""
        if self._entry:
            documents.put(self.place, self._entry)


class Deletion:
    """A file that goes to the trash."""

    def __init__(self, disk: Disk, folder: int, trash: int, lock: Lock, base: Entry, place: Place) -> None:
        self.place = place
        self.document: Document | None = None
        self._base = base
        self._disk = disk
        self._folder = folder
        self._trash = trash
        self._lock = lock
        self._name = kept_name(place, base.etag())
        self._placed = False

    @property
    def before(self) -> str | None:
        """See `Job.before`."""
        return self._base.etag()

    @property
    def folders(self) -> tuple[int, ...]:
        """See `Job.folders`: the trash first, so that the file stands in one of them at any time."""
        return (self._trash, self._folder)

    def fill(self) -> None:
        """See `Job.fill`."""

    def put(self) -> None:
        """See `Job.put`."""
        refuse_lost_lock(self._lock, self.place)
        try:
            if signature(self._disk.stat(self._folder, self.place.name)) != self._base.signature:
                raise Disturbed
            self._disk.move(self._folder, self.place.name, self._trash, self._name)
        except FileNotFoundError:
            raise Disturbed from None
        self._placed = True
        try:
            if content(self._disk, self._trash, self._name) != self._base.raw:
                raise Disturbed
        except (OSError, Disturbed) as error:
            self.take_back(error)
            raise

    def check(self) -> None:
        """See `Job.check`: a file that another program puts there now is a new one."""

    def take_back(self, cause: Exception) -> None:
        """See `Job.take_back`."""
        if not self._placed:
            return
        self._placed = False
        try:
            self._disk.link(self._trash, self._name, self._folder, self.place.name)
            self._disk.remove(self._trash, self._name)
        except FileExistsError:
            return  # another program put a new file there, which is the newest state; ours is in the trash
        except OSError as error:
            raise trouble.durability_unknown(self.place.file, error) from cause

    def abandon(self) -> None:
        """See `Job.abandon`."""

    def keep(self, documents: Documents, history: History, revision: int) -> None:
        """See `Job.keep`: the trash has the file itself, for people; the version is what is brought back."""
        keep_raw(history, self.place, revision, self._base.etag(), self._base.raw)


def new_name(place: Place) -> str:
    """What a new file is called while it is written; owned by whoever holds the lock of the file, and never more than
    that: what stands under it can be thrown away."""
    return f".{place.name}.shotline-new"


def temporary_name(place: Place) -> str:
    """What the new file is called when it is about to be put in place, and what it displaced behind that."""
    return f".{place.name}.shotline-tmp"


def kept_name(place: Place, mark: str) -> str:
    """A name for a file that is put away, such as the trash: the mark (there its etag), and as much of the end of its
    own as a name may hold."""
    room = _LONGEST_NAME - len(mark) - 1
    return f"{mark}-{os.fsdecode(os.fsencode(place.name)[-room:])}"


def keep_raw(history: History, place: Place, revision: int, etag: str, raw: bytes) -> None:
    """Make a version of what is not there any more; the change is made by now, and may cost a version."""
    try:
        history.copy(place, revision, etag, raw)
    except OSError:
        return


def write_new(disk: Disk, folder: int, name: str, raw: bytes, mode: int | None, owner: tuple[int, int] | None) -> int:
    """A new file, durable but for its name, whatever had it; its inode number. Raises OSError."""
    try:
        descriptor = disk.create(folder, name, mode)
    except FileExistsError:
        disk.remove(folder, name)  # left over by a holder that was killed
        descriptor = disk.create(folder, name, mode)
    try:
        made = disk.fstat(descriptor)
        if owner and (made.st_uid, made.st_gid) != owner:
            disk.give_to(descriptor, *owner)
        disk.write(descriptor, raw)
        disk.sync(descriptor)
    except BaseException:
        remove_quietly(disk, folder, name)
        raise
    finally:
        disk.close(descriptor)
    return made.st_ino


def entry_of(disk: Disk, folder: int, place: Place, document: Document, ours: int) -> Entry:
    """What stands under the name now, if it is the file that was filled. Raises Disturbed, OSError."""
    try:
        found = disk.stat(folder, place.name)
    except FileNotFoundError:
        raise Disturbed from None
    if found.st_ino != ours:
        # Replaced again at once; or `.shotline` was deleted, and a second holder of the lock filled our temp file.
        raise Disturbed
    return Entry(signature(found), found, time.time_ns(), document.raw, document, None)


def refuse_lost_lock(lock: Lock, place: Place) -> None:
    """Raise FILE_BUSY where `.shotline` was deleted: a second holder may be on the way with another change."""
    if lock.is_lost():
        raise trouble.lock_lost(place.file)


def content(disk: Disk, folder: int, name: str) -> bytes | None:
    """The bytes under a name; None where no file is, which is certainly not what was read. Raises OSError."""
    try:
        descriptor = disk.open_to_read(folder, name)
    except OSError as error:
        if error.errno in _NOTHING_TO_READ:
            return None
        raise
    try:
        return disk.read(descriptor, disk.fstat(descriptor).st_size)
    finally:
        disk.close(descriptor)


def remove_quietly(disk: Disk, folder: int, name: str) -> None:
    """Remove a name of ours; where that fails the next holder of the lock does it."""
    try:
        disk.remove(folder, name)
    except OSError:
        return  # what the caller asked for does not depend on it
