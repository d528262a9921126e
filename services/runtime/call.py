"""The call that is being answered: who asks, under which id, until when.

Set once where a call is admitted (`runtime.admission`), read where it matters: log lines, locks
that wait until the deadline, calls to the next process.
"""

import time
from contextvars import ContextVar, Token
from dataclasses import dataclass, field

DEFAULT_TIMEOUT = 30.0  # seconds, where the caller states no deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls: a name for the log, and the workspaces that the token holds (None: all of them, and what has none)."""

    name: str
    workspaces: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One admitted call."""

    method: str  # "/shotline.studio.v1.StudioService/UpdateShot", or "/ipc/sequence:get-all"
    request_id: str  # `x-request-id` of the caller, else ours; names the call in every log line
    principal: Principal
    authorization: str = field(repr=False)  # the header as it came, for the next process; empty where there was none
    deadline: float  # time.monotonic() seconds; infinite for a watch whose caller states none
    # What a watch that is ended from outside tells its caller as metadata, such as the last revision that was sent.
    farewell: dict[str, str] = field(default_factory=dict)
    client: str = ""  # what the caller calls itself (`x-client`); empty where it does not say

    def remaining(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.deadline - time.monotonic())


_current: ContextVar[Call | None] = ContextVar("call", default=None)


def current() -> Call | None:
    """The call that this task answers; None outside of one."""
    return _current.get()


def holds_all_workspaces() -> bool:
    """Whether the caller may reach what belongs to no workspace, as project folders do. Outside of a call, as in this
    process itself, all is allowed."""
    call = _current.get()
    return call is None or call.principal.workspaces is None


def deadline() -> float:
    """The monotonic time by which the current work must be done."""
    call = _current.get()
    return call.deadline if call else time.monotonic() + DEFAULT_TIMEOUT


def begin(call: Call) -> Token[Call | None]:
    """Make `call` the current one; `end` with the token restores what was before."""
    return _current.set(call)


def end(token: Token[Call | None]) -> None:
    """Undo `begin`, in the same task."""
    _current.reset(token)
