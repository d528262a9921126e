"""Queues with a leader each: whoever comes first does the work of all who come meanwhile."""

import threading
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Queues(Generic[K, T]):
    """What waits, by key."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: dict[K, list[T]] = {}
        self._led: set[K] = set()

    def leave(self, key: K, items: Iterable[T]) -> bool:
        """Leave items. True for who must lead now: `take` and work until nothing is left."""
        with self._guard:
            self._waiting.setdefault(key, []).extend(items)
            if key in self._led:
                return False
            self._led.add(key)
            return True

    def take(self, key: K) -> list[T]:
        """All that waits; nothing, and the leader is free, when nothing does."""
        with self._guard:
            items = self._waiting.pop(key, [])
            if not items:
                self._led.discard(key)
            return items

    def join(self, key: K) -> list[T]:
        """What has come meanwhile, for a leader that goes on."""
        with self._guard:
            return self._waiting.pop(key, [])

    def idle(self) -> bool:
        """Whether nobody leads."""
        with self._guard:
            return not self._led
