"""A disk whose n-th operation fails."""

import errno
import os
from collections.abc import Iterator

from tests.storage.projects import NoExchange, UnsyncedDisk

SHORT_WRITE = -errno.ENOSPC  # half of the bytes arrive, then there is no space
KINDS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, SHORT_WRITE)


class FailingDisk(UnsyncedDisk):
    """Fails where it is told to, and sees that a failed sync is never tried again on the same descriptor.

    It does not wait for the device otherwise: thousands of updates are made on it. `unlock` cannot fail: it is the
    kernel's own memory, and who is gone has let go of everything.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.failed: list[str] = []  # operations that failed
        self.retried = False
        self._fail_at: int | None = None
        self._kind = 0
        self._for_good = False
        self._tainted: set[int] = set()

    def fail(self, number: int, kind: int, *, for_good: bool = False) -> None:
        """From now on the `number`-th operation fails, and with `for_good` every one behind it."""
        self.calls, self.failed = 0, []
        self._fail_at, self._kind, self._for_good = number, kind, for_good

    def heal(self) -> None:
        """Nothing fails any more."""
        self._fail_at = None

    def _fails(self, name: str) -> bool:
        self.calls += 1
        if self._fail_at is None or not (
            self.calls == self._fail_at or (self._for_good and self.calls > self._fail_at)
        ):
            return False
        self.failed.append(name)
        return True

    def _step(self, name: str) -> None:
        if self._fails(name):
            raise OSError(abs(self._kind), os.strerror(abs(self._kind)))

    def open_folder(self, root: str, *below: str) -> int:
        self._step("open_folder")
        return super().open_folder(root, *below)

    def make_folder(self, folder: int, name: str) -> None:
        self._step("make_folder")
        super().make_folder(folder, name)

    def entries(self, folder: int) -> Iterator[tuple[str, os.stat_result]]:
        self._step("entries")
        for each in super().entries(folder):
            self._step("entries")
            yield each

    def stat(self, folder: int, name: str) -> os.stat_result:
        self._step("stat")
        return super().stat(folder, name)

    def open_to_read(self, folder: int, name: str) -> int:
        self._step("open_to_read")
        return super().open_to_read(folder, name)

    def create(self, folder: int, name: str, mode: int | None) -> int:
        self._step("create")
        return super().create(folder, name, mode)

    def open_to_append(self, folder: int, name: str) -> int:
        self._step("open_to_append")
        return super().open_to_append(folder, name)

    def fstat(self, descriptor: int) -> os.stat_result:
        self._step("fstat")
        return super().fstat(descriptor)

    def read(self, descriptor: int, size: int, offset: int = 0) -> bytes:
        self._step("read")
        return super().read(descriptor, size, offset)

    def read_some(self, descriptor: int, size: int, offset: int) -> bytes:
        self._step("read")
        return super().read_some(descriptor, size, offset)

    def write(self, descriptor: int, data: bytes) -> None:
        if self._fails("write"):
            if self._kind < 0:
                super().write(descriptor, data[: len(data) // 2])
            raise OSError(abs(self._kind), os.strerror(abs(self._kind)))
        super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._sync("sync", descriptor)

    def sync_folder(self, folder: int) -> None:
        self._sync("sync_folder", folder)

    def _sync(self, name: str, descriptor: int) -> None:
        # The kernel reports a failed write-back once per descriptor: a second try would say that all is well.
        self.retried |= descriptor in self._tainted
        try:
            self._step(name)
        except OSError:
            self._tainted.add(descriptor)
            raise

    def _close(self, descriptor: int) -> None:  # type: ignore[override]
        self._tainted.discard(descriptor)
        os.close(descriptor)  # Linux gives the descriptor back also when close reports an error
        self._step("close")

    def exchange(self, folder: int, one: str, other: str) -> None:
        self._step("exchange")
        super().exchange(folder, one, other)

    def rename(self, folder: int, old: str, new: str) -> None:
        self._step("rename")
        super().rename(folder, old, new)

    def rename_new(self, folder: int, old: str, new: str) -> None:
        self._step("rename_new")
        super().rename_new(folder, old, new)

    def move(self, folder: int, old: str, into: int, new: str) -> None:
        self._step("move")
        super().move(folder, old, into, new)

    def link(self, folder: int, name: str, into: int, new: str) -> None:
        self._step("link")
        super().link(folder, name, into, new)

    def remove(self, folder: int, name: str) -> None:
        self._step("remove")
        super().remove(folder, name)

    def try_lock(self, descriptor: int) -> bool:
        self._step("try_lock")
        return super().try_lock(descriptor)

    def stat_path(self, path: str) -> os.stat_result:
        self._step("stat_path")
        return super().stat_path(path)


class FailingWithoutExchange(NoExchange, FailingDisk):
    """The same on a file system that cannot exchange two names."""
