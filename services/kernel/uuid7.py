"""Ids that we give: UUIDs that sort as they were made (RFC 9562, version 7), which keeps indexes compact."""

import os
import time
from uuid import UUID

_COUNT_BITS = 12
_RANDOM_BITS = 62
_DRAWN = 1024  # random numbers from the operating system at once


class Uuid7:
    """Makes ids that rise within one process, also when its clock goes back."""

    __slots__ = ("_last", "_random")

    def __init__(self) -> None:
        self._last = 0  # milliseconds and count of the id before, as one number
        self._random: list[int] = []

    def __call__(self) -> UUID:
        # The 12 bits behind the milliseconds are a count (RFC 9562, section 6.2, method 1) that runs over into them.
        self._last = moment = max(self._last + 1, time.time_ns() // 1_000_000 << _COUNT_BITS)
        milliseconds, count = moment >> _COUNT_BITS, moment & ((1 << _COUNT_BITS) - 1)
        if not self._random:
            drawn = memoryview(os.urandom(8 * _DRAWN)).cast("Q")
            self._random = [number >> (64 - _RANDOM_BITS) for number in drawn]
        return UUID(int=milliseconds << 80 | 0x7 << 76 | count << 64 | 0b10 << _RANDOM_BITS | self._random.pop())
