"""The file layer: every operation on the disk that reads or writes, one method each.

(Which path is meant, links followed, is found out in `places`.) One replaceable module: another
platform, or a test that records operations or makes the n-th one fail, takes its place. Written for
Linux. macOS would need F_FULLFSYNC in `sync`, and Windows repeated renames while another program
holds the file; neither has been tried.
"""

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable, Iterator

# Never a terminal, never blocked by a pipe, never through a link that took the file's place.
_SAFE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2  # linux/fs.h
# What file systems answer that cannot exchange two names, or give a name only where it is free.
_NOT_SUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


def _load_renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # glibc 2.28 and later
    if function is None:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    function.restype = ctypes.c_int
    renameat2: Callable[[int, bytes, int, bytes, int], int] = function
    return renameat2


class ExchangeUnsupported(Exception):
    """This file system cannot exchange two names in one step."""


class Disk:
    """Operations on files, by folder descriptor and name. All raise OSError."""

    _close = staticmethod(os.close)

    def __init__(self) -> None:
        self._renameat2 = _load_renameat2()

    def open_folder(self, root: str, *below: str) -> int:
        """A descriptor of a folder. `root` may be reached through links, the names below it may not be links."""
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for name in below:
            try:
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _SAFE, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = inner
        return descriptor

    def make_folder(self, folder: int, name: str) -> None:
        """A new folder with the modes of the umask; one that is there already is left alone."""
        try:
            os.mkdir(name, dir_fd=folder)
        except FileExistsError:
            return

    def entries(self, folder: int) -> Iterator[tuple[str, os.stat_result]]:
        """Names and (unfollowed) stats of a folder's entries; entries that vanish meanwhile are left out."""
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    found = os.stat(entry.name, dir_fd=folder, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield entry.name, found

    def stat(self, folder: int, name: str) -> os.stat_result:
        """The stat of the entry itself, not of what a link points to."""
        return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def exists(self, folder: int, name: str) -> bool:
        """Whether anything has the name, a link that leads nowhere included."""
        try:
            self.stat(folder, name)
        except FileNotFoundError:
            return False
        return True

    def may_write(self, folder: int, name: str) -> bool:
        """Whether this process could open the file for writing; of a missing one, that nothing keeps it from that."""
        if os.access(name, os.W_OK, dir_fd=folder, effective_ids=True):
            return True
        return not os.access(name, os.F_OK, dir_fd=folder, effective_ids=True)

    def open_to_read(self, folder: int, name: str) -> int:
        """A descriptor for reading. ELOOP for a link; a pipe does not block."""
        return os.open(name, os.O_RDONLY | _SAFE, dir_fd=folder)

    def create(self, folder: int, name: str, mode: int | None) -> int:
        """A descriptor of a new file with exactly this mode; None: with that of the umask. FileExistsError where the
        name is taken."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE
        descriptor = os.open(name, flags, 0o666 if mode is None else mode, dir_fd=folder)
        if mode is None:
            return descriptor
        try:
            os.fchmod(descriptor, mode)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def open_to_append(self, folder: int, name: str) -> int:
        """A descriptor for reading and appending; the file is made where it is missing."""
        return os.open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT | _SAFE, 0o644, dir_fd=folder)

    def fstat(self, descriptor: int) -> os.stat_result:
        """The stat of an open file."""
        return os.fstat(descriptor)

    def give_to(self, descriptor: int, owner: int, group: int) -> None:
        """Hand an open file to another owner, as far as this process may."""
        try:
            os.fchown(descriptor, owner, group)
        except PermissionError:
            return  # only root may; the edit matters more than who is named as owner

    def read(self, descriptor: int, size: int, offset: int = 0) -> bytes:
        """All bytes from `offset` to the end of the file, `size` being a guess of how many."""
        pieces = [os.pread(descriptor, size + 1, offset)]
        if len(pieces[0]) > size or not pieces[0]:  # it grew, or the guess was nothing
            taken = offset + len(pieces[0])
            while piece := os.pread(descriptor, 1 << 20, taken):
                pieces.append(piece)
                taken += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_some(self, descriptor: int, size: int, offset: int) -> bytes:
        """At most `size` bytes from `offset`; fewer where the file ends."""
        return os.pread(descriptor, size, offset)

    def write(self, descriptor: int, data: bytes) -> None:
        """All of `data`, however many calls it takes."""
        done = os.write(descriptor, data)
        while done < len(data):
            written = os.write(descriptor, memoryview(data)[done:])
            if not written:
                raise OSError(errno.EIO, "nothing was written")
            done += written

    def sync(self, descriptor: int) -> None:
        """Wait until the file's content is on the device."""
        os.fsync(descriptor)

    def sync_folder(self, folder: int) -> None:
        """Wait until the folder's names are on the device."""
        os.fsync(folder)

    def close(self, descriptor: int) -> None:
        """Give a descriptor back.

        What is to last was synced before, so an error has nothing to say here; raised from a `finally`
        it would hide what was to be told. Linux gives the descriptor back also when it reports one.
        """
        try:
            self._close(descriptor)
        except OSError as error:
            if error.errno == errno.EBADF:  # given back twice: a bug
                raise

    def exchange(self, folder: int, one: str, other: str) -> None:
        """Two names of a folder change their files in one step. Raises ExchangeUnsupported."""
        if self._renameat2 is None:
            raise ExchangeUnsupported
        if self._renameat2(folder, os.fsencode(one), folder, os.fsencode(other), _RENAME_EXCHANGE) == 0:
            return
        if (number := ctypes.get_errno()) in _NOT_SUPPORTED:
            raise ExchangeUnsupported
        raise OSError(number, os.strerror(number), one)

    def rename_new(self, folder: int, old: str, new: str) -> None:
        """The file `old` takes the name `new`, which nothing has yet. Raises FileExistsError."""
        if self._renameat2 is not None:
            if self._renameat2(folder, os.fsencode(old), folder, os.fsencode(new), _RENAME_NOREPLACE) == 0:
                return
            if (number := ctypes.get_errno()) not in _NOT_SUPPORTED:
                raise OSError(number, os.strerror(number), new)
        os.link(old, new, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        os.unlink(old, dir_fd=folder)

    def move(self, folder: int, old: str, into: int, new: str) -> None:
        """The file `old` goes into another folder of the same file system as `new`, whatever had that name."""
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=into)

    def link(self, folder: int, name: str, into: int, new: str) -> None:
        """A second name for a file, in another folder of the same file system. Raises FileExistsError."""
        os.link(name, new, src_dir_fd=folder, dst_dir_fd=into, follow_symlinks=False)

    def rename(self, folder: int, old: str, new: str) -> None:
        """The file `old` takes the name `new`, whatever had it."""
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)

    def remove(self, folder: int, name: str) -> None:
        """A name goes away; a missing one is fine."""
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return

    def try_lock(self, descriptor: int) -> bool:
        """Take the exclusive lock of an open file unless somebody holds it; closing gives it back."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self, descriptor: int) -> None:
        """Give the lock of an open file back and leave the file open."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def stat_path(self, path: str) -> os.stat_result:
        """The stat of what stands under a whole path, to compare with an open file; links above it are followed."""
        return os.stat(path, follow_symlinks=False)
