"""A disk between whose operations something happens: another program's edit, the end of the process, or both."""

from collections.abc import Callable
from typing import Any

from tests.storage.power import Killed
from tests.storage.projects import UnsyncedDisk

# All that a change asks of the disk. Descriptors and locks are given back whatever happens: the kernel would do it.
OPERATIONS = (
    "open_folder",
    "make_folder",
    "entries",
    "stat",
    "stat_path",
    "may_write",
    "open_to_read",
    "create",
    "open_to_append",
    "fstat",
    "give_to",
    "read",
    "read_some",
    "write",
    "sync",
    "sync_folder",
    "exchange",
    "rename_new",
    "move",
    "link",
    "rename",
    "remove",
    "try_lock",
)


class InterruptedDisk(UnsyncedDisk):
    """Calls `meanwhile` before its n-th operation, and is dead from its m-th operation on."""

    def __init__(
        self, number: int = 0, meanwhile: Callable[[], None] = lambda: None, kill_at: int | None = None
    ) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.killed = False
        self._number = number
        self._meanwhile = meanwhile
        self._kill_at = kill_at

    @property
    def interrupted(self) -> bool:
        """Whether the n-th operation was reached."""
        return len(self.calls) >= self._number

    def step(self, name: str) -> None:
        """An operation is about to happen."""
        if self.killed:
            raise Killed
        self.calls.append(name)
        if len(self.calls) == self._number:
            self._meanwhile()
        if len(self.calls) == self._kill_at:
            self.killed = True
            raise Killed


def _stepping(name: str) -> Callable[..., Any]:
    def operation(disk: InterruptedDisk, *arguments: object) -> Any:
        disk.step(name)
        return getattr(UnsyncedDisk, name)(disk, *arguments)

    return operation


for _name in OPERATIONS:
    setattr(InterruptedDisk, _name, _stepping(_name))
