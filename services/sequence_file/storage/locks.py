"""Who may write a file: a lock across threads, processes and servers of one project folder.

The lock is an flock on a file of its own that is never renamed: locking the data file and renaming
over it loses updates. Between hosts it holds on volumes with real POSIX locks (NFSv4 class), where
the kernel turns flock into one.

Waiting is non-blocking tries, since a blocked flock knows no deadline. Tries alone would let a busy
server take the lock again before a waiting one looks, so there is a second file, the turnstile:
who holds it is next, and who wants the lock again queues behind.
"""

import time
from collections.abc import Callable

from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.places import STATE_FOLDER, Place

_FOLDER = "locks"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.004  # seconds between two tries
_ATTEMPTS = 5  # how often `.shotline` may be deleted while one lock is taken


class Lock:
    """An exclusive lock of a project folder, taken by `acquire` and given back by `release`."""

    def __init__(self, disk: Disk, root: str, owner: tuple[str, ...], key: str) -> None:
        """`owner`: the project's folders below the root; `key`: what the lock is called there."""
        self._disk = disk
        self._project = (root, *owner)
        self._key = key
        self._held: int | None = None

    @classmethod
    def of_file(cls, disk: Disk, place: Place) -> "Lock":
        """The lock of a file: who holds it may change the file."""
        return cls(disk, place.root, place.owner, place.key)

    def acquire(self, go_on: Callable[[], bool]) -> bool:
        """Wait for the lock as long as `go_on` says so; whether it was taken. Raises OSError."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._acquire(go_on)
            except FileNotFoundError:
                continue  # somebody deletes `.shotline` right now
        return self._acquire(go_on)

    def _acquire(self, go_on: Callable[[], bool]) -> bool:
        folder = self._open_folder()
        try:
            turnstile = self._wait(folder, f"{self._key}.turn", go_on)
            if turnstile is None:
                return False
            try:
                self._held = self._wait(folder, f"{self._key}.lock", go_on)
            finally:
                self._disk.close(turnstile)
        finally:
            self._disk.close(folder)
        return self._held is not None

    def release(self) -> None:
        """Give the lock back."""
        if self._held is not None:
            held, self._held = self._held, None
            self._disk.close(held)

    def is_lost(self) -> bool:
        """Whether the lock's file was deleted, so that somebody else may hold a new one. Raises OSError."""
        return self._held is None or self._disk.fstat(self._held).st_nlink == 0

    def _open_folder(self) -> int:
        try:
            return self._disk.open_folder(*self._project, STATE_FOLDER, _FOLDER)
        except FileNotFoundError:
            self._make_folders()
            return self._disk.open_folder(*self._project, STATE_FOLDER, _FOLDER)

    def _make_folders(self) -> None:
        """Nothing here is synced: locks die with the power anyway, and the log syncs its own path."""
        project = self._disk.open_folder(*self._project)
        try:
            self._disk.make_folder(project, STATE_FOLDER)
            state = self._disk.open_folder(*self._project, STATE_FOLDER)
            try:
                self._ignore(state)
                self._disk.make_folder(state, _FOLDER)
            finally:
                self._disk.close(state)
        finally:
            self._disk.close(project)

    def _ignore(self, state: int) -> None:
        """Keep the folder out of version control."""
        try:
            descriptor = self._disk.create(state, ".gitignore", 0o644)
        except FileExistsError:
            return
        try:
            self._disk.write(descriptor, b"*\n")
        finally:
            self._disk.close(descriptor)

    def _wait(self, folder: int, name: str, go_on: Callable[[], bool]) -> int | None:
        descriptor = self._disk.open_to_append(folder, name)
        taken = False
        pause = _FIRST_PAUSE
        try:
            while True:
                if self._disk.try_lock(descriptor):
                    if self._is_current(folder, name, descriptor):
                        taken = True
                        return descriptor
                    # Somebody deleted `.shotline` meanwhile: the lock that others see is a new file.
                    self._disk.close(descriptor)
                    descriptor = -1
                    descriptor = self._disk.open_to_append(folder, name)
                    continue
                if not go_on():
                    return None
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            if not taken and descriptor >= 0:
                self._disk.close(descriptor)

    def _is_current(self, folder: int, name: str, descriptor: int) -> bool:
        try:
            return self._disk.stat(folder, name).st_ino == self._disk.fstat(descriptor).st_ino
        except FileNotFoundError:
            return False
