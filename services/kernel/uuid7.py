"""Ids that we give: UUIDs that sort as they were made (RFC 9562, version 7), which keeps indexes compact."""

import os
import time
from collections.abc import Callable
from uuid import UUID

_COUNT_BITS = 12
_VERSION, _VARIANT = 0x7000, 0x8000000000000000
_RANDOM = (1 << 62) - 1
_DRAWN = 1024  # random numbers from the operating system at once


def _of_bytes(data: bytes) -> UUID:
    return UUID(bytes=data)


class Uuid7:
    """Makes ids that rise within one process, also when its clock goes back."""

    __slots__ = ("_last", "_make", "_random")

    def __init__(self, make: Callable[[bytes], UUID] = _of_bytes) -> None:
        """make: a UUID of its 16 bytes."""
        self._last = 0  # milliseconds and count of the id before, as one number
        self._random: list[int] = []
        self._make = make

    def __call__(self) -> UUID:
        # The 12 bits behind the milliseconds are a count (RFC 9562, section 6.2, method 1) that runs over into them.
        moment = time.time_ns() // 1_000_000 << _COUNT_BITS
        if moment <= self._last:
            moment = self._last + 1
        self._last = moment
        if not self._random:
            self._random = memoryview(os.urandom(8 * _DRAWN)).cast("Q").tolist()
        high = (moment >> _COUNT_BITS) << 16 | _VERSION | moment & 0xFFF
        low = self._random.pop() & _RANDOM | _VARIANT
        return self._make((high << 64 | low).to_bytes(16, "big"))
