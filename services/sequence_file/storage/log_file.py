"""An append-only file of lines in `.shotline` that several threads and processes share.

It stays open between calls, so that to append costs five system calls. Who appends holds an flock on it, and has read
it to its end. Nobody may go on with a file that was deleted, replaced or emptied, so each call looks whether the
name still leads to the open file, and whether that still begins with the same line: its inode number alone would not
tell, since a new file often gets that of a deleted one.

A writer that was cut off leaves a line without its end. The next one ends it so that it cannot be read as a whole
one: nobody was told that it was written.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from services.sequence_file.domain import faults
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.places import STATE_FOLDER

_PATIENCE = 5.0  # seconds; the lock is held for microseconds, or a second while the file is rewritten
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.004  # seconds between two tries
_NAME_BYTES = 64  # of the first line, never more than it has: they hold a random name
_PIECE = 8 << 20  # bytes that are read at once
_END_OF_TORN = b"!\n"  # behind no part of a JSON line does this make one


class _Opened:
    """An open file; its descriptor is given back when nobody uses it any more."""

    __slots__ = ("_disk", "descriptor", "inode", "writable")

    def __init__(self, disk: Disk, descriptor: int, *, writable: bool) -> None:
        self._disk = disk
        self.descriptor = descriptor
        self.writable = writable
        self.inode = (0, 0)

    def __del__(self) -> None:
        self._disk.close(self.descriptor)


class _Name(NamedTuple):
    """Which file was read."""

    inode: tuple[int, int]  # device and number
    beginning: bytes


class Point(NamedTuple):
    """A place in the file up to which it can be made durable."""

    opened: _Opened
    name: _Name
    end: int


class LogFile:
    """One such file, as far as this process has read it.

    `guard` protects what was read, here and at the owner's: `refresh`, `append`, `point` and `read_at` are called with
    it held, the others without it.
    """

    def __init__(
        self,
        disk: Disk,
        root: str,
        owner: tuple[str, ...],
        name: str,
        take: Callable[[bytes, int, int], None],
        forget: Callable[[], None],
    ) -> None:
        """`take` is told each line with where it starts and ends, `forget` when another file begins."""
        self.guard = threading.Lock()
        self.read_to = 0
        self.synced_to = 0  # as far as this process knows
        self._disk = disk
        self._project = (root, *owner)
        self._where = (root, *owner, STATE_FOLDER)
        self._file_name = name
        self._path = os.path.join(*self._where, name)
        self._take = take
        self._forget = forget
        self._turn = threading.Lock()  # an flock does not part the threads that share a descriptor
        self._opened: _Opened | None = None
        self._name = _Name((0, 0), b"")
        self._seen = (0, 0)  # size and time of change at the last look
        self._rooted: _Name | None = None  # the file whose names are known to be on the device

    def hold(self, work: Callable[[], bool]) -> None:
        """Call `work` with the file's lock and `guard` held, when all that is in the file has been read.

        `work` says whether that was all; else the file was replaced, and everything begins again.
        Raises OSError, LOCK_TIMEOUT.
        """
        until = time.monotonic() + _PATIENCE
        if not self._turn.acquire(timeout=_PATIENCE):
            raise faults.lock_timeout(f"{STATE_FOLDER}/{self._file_name}")
        try:
            while not self._try_to_hold(work, until):
                pass
        finally:
            self._turn.release()

    def refresh(self, opened: _Opened | None = None) -> None:
        """Read what is new, from `opened` if the name leads to it. Raises OSError."""
        opened = opened or self._opened
        try:
            found = self._disk.stat_path(self._path)
            if opened is None or opened.inode != _inode(found):
                opened = self._open(self._disk.open_to_read, writable=False)
                found = self._disk.fstat(opened.descriptor)
        except FileNotFoundError:  # not written yet, or deleted
            self._opened = None
            if self.read_to:
                self._begin_with(_Name((0, 0), b""))
            return
        if opened.inode != self._name.inode or self._seen != (found.st_size, found.st_mtime_ns):
            name = _Name(opened.inode, self._disk.read_some(opened.descriptor, _NAME_BYTES, 0))
            if name != self._name or found.st_size < self.read_to:
                self._begin_with(name)
            if found.st_size > self.read_to:
                self._read(opened)
            self._seen = found.st_size, found.st_mtime_ns
        self._opened = opened  # not before what was read is of this file

    def append(self, lines: bytes) -> int:
        """Write whole lines behind all others, the lock being held; where they start. Raises OSError."""
        opened = self._opened
        assert opened
        torn = self._seen[0] > self.read_to
        start = self._seen[0] + len(_END_OF_TORN) if torn else self.read_to
        self._disk.write(opened.descriptor, _END_OF_TORN + lines if torn else lines)
        self.read_to = start + len(lines)
        if start < _NAME_BYTES:
            self._name = _Name(opened.inode, self._disk.read_some(opened.descriptor, _NAME_BYTES, 0))
        return start

    def point(self) -> Point | None:
        """What has been read so far; None where there is no file. Raises OSError."""
        if self._opened is None:
            self.refresh()
        return Point(self._opened, self._name, self.read_to) if self._opened else None

    def sync(self, point: Point) -> None:
        """Wait until the file is on the device up to a point, with its name and its folder's. Raises OSError."""
        with self.guard:
            if point.name == self._name and point.end <= self.synced_to:
                return
        try:
            self._disk.sync(point.opened.descriptor)
        except OSError:
            with self.guard:
                if self._opened is point.opened:
                    self._opened = None  # asked again, this descriptor would say that all is well
            raise
        if point.name != self._rooted:
            # Whoever made them may have been killed before this, or be on the way to it only now.
            for path in (self._where, self._project):
                folder = self._disk.open_folder(*path)
                try:
                    self._disk.sync_folder(folder)
                finally:
                    self._disk.close(folder)
        with self.guard:
            if point.name == self._name:
                self._rooted = point.name
                self.synced_to = max(self.synced_to, point.end)

    def read_at(self, start: int, size: int) -> bytes:
        """A part of the file that was read before; fewer bytes where it is gone. Raises OSError."""
        return self._disk.read_some(self._opened.descriptor, size, start) if self._opened else b""

    def replace(self, content: bytes) -> None:
        """Put a new file in the place of this one, the lock being held. Raises OSError; then nothing changed."""
        temporary = f".{self._file_name}.new"
        folder = self._disk.open_folder(*self._where)
        try:
            self._disk.remove(folder, temporary)
            try:
                descriptor = self._disk.create(folder, temporary, 0o644)
                try:
                    self._disk.write(descriptor, content)
                    self._disk.sync(descriptor)
                finally:
                    self._disk.close(descriptor)
                self._disk.rename(folder, temporary, self._file_name)
            except OSError:
                self._disk.remove(folder, temporary)
                raise
        finally:
            self._disk.close(folder)

    def close(self) -> None:
        """Give the descriptor back; whoever needs the file again opens it again."""
        with self.guard:
            self._opened = None

    def _try_to_hold(self, work: Callable[[], bool], until: float) -> bool:
        with self.guard:
            opened = self._opened
        if opened is None or not opened.writable:
            opened = self._open(self._disk.open_to_append, writable=True)
        self._wait(opened, until)
        try:
            with self.guard:
                self.refresh(opened)
                return self._opened is opened and work()
        finally:
            self._disk.unlock(opened.descriptor)

    def _wait(self, opened: _Opened, until: float) -> None:
        pause = _FIRST_PAUSE
        while not self._disk.try_lock(opened.descriptor):
            if time.monotonic() > until:
                raise faults.lock_timeout(f"{STATE_FOLDER}/{self._file_name}")
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _open(self, way: Callable[[int, str], int], *, writable: bool) -> _Opened:
        folder = self._disk.open_folder(*self._where)
        try:
            opened = _Opened(self._disk, way(folder, self._file_name), writable=writable)
        finally:
            self._disk.close(folder)
        opened.inode = _inode(self._disk.fstat(opened.descriptor))
        return opened

    def _begin_with(self, name: _Name) -> None:
        self._name = name
        self.read_to = self.synced_to = 0
        self._forget()

    def _read(self, opened: _Opened) -> None:
        rest = b""
        while piece := self._disk.read_some(opened.descriptor, _PIECE, self.read_to + len(rest)):
            rest += piece
            whole = rest.rfind(b"\n") + 1
            for line in rest[:whole].split(b"\n")[:-1]:
                start, self.read_to = self.read_to, self.read_to + len(line) + 1
                self._take(line, start, self.read_to)
            rest = rest[whole:]


def _inode(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
