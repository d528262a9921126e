"""Who may wait for the lock of a workspace: one of this process at a time, so that those who wait take no connections.

Every change takes its workspace's lock first, and whoever holds it may take long: a large batch, or an operator who
went to lunch. All others of the workspace queue here, and only the first of them asks the database. Besides, some
connections are left to those who read.
"""

import asyncio
from uuid import UUID
from weakref import WeakValueDictionary

_READERS = 2  # connections that changes never take
_MOST_HOMES = 10_000


class Turns:
    """The queues of one process."""

    def __init__(self, connections: int) -> None:
        # Held by a change for as long as it has a connection.
        self.places = asyncio.Semaphore(max(1, connections - _READERS))
        self._queues: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._homes: dict[UUID, str] = {}

    def of(self, workspace_id: str) -> asyncio.Lock:
        """The queue of a workspace, to be held until its lock is had."""
        if (queue := self._queues.get(workspace_id)) is None:
            queue = self._queues[workspace_id] = asyncio.Lock()
        return queue

    def home(self, asset: UUID | None) -> str | None:
        """The workspace of an asset, where it was met before. It never changes."""
        return None if asset is None else self._homes.get(asset)

    def met(self, asset: UUID, workspace_id: str) -> None:
        """Remember where an asset is whose workspace is busy."""
        if len(self._homes) >= _MOST_HOMES:
            self._homes.clear()
        self._homes[asset] = workspace_id
