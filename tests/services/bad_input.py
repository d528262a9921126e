"""The table of bad input: what is sent, in which situation, and the answer that is promised for it.

In texts `<project>`, `<root>` and `<outside>` stand for paths, and other `<words>` for what a
situation has noted.
"""

import errno
import os
import stat
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.services import situations
from tests.services.doors import Ask, Door
from tests.services.situations import Situation

Text = str | Callable[[], str]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    asks: Sequence[Ask]
    code: str
    reason: str | Mapping[str, str]  # or by the kind of door, where a value is refused earlier there
    given: Situation | None = None
    field: str = ""  # the request field that the answer names
    pointer: str | None = None  # within `updates_json`; a channel says it within all arguments
    metadata: Mapping[str, str] = field(default_factory=dict)
    says: Sequence[str] = ()  # words of the message
    keys: Sequence[str] = ()  # names in the metadata
    retry: bool = False  # whether the answer says when to try again
    kinds: Sequence[str] = ("grpc", "connect", "ipc")  # of doors

    def reason_at(self, door: Door) -> str:
        return self.reason if isinstance(self.reason, str) else self.reason.get(door.kind, self.reason.get("", ""))
