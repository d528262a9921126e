"""The door that every call comes through, whatever its transport: who asks, how many at once, until
when, what is logged, and what of a failure the caller may see.

    async with door.admit(method, metadata, timeout=…) as call:
        …                       # runtime.call.current() is `call` in here

Health checks do not come through it. Nothing but Faults and cancellations leaves it.
"""

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Awaitable, Mapping
from types import TracebackType

from services.kernel.faults import Code, Fault
from services.runtime import call, status
from services.runtime.call import Call, Principal
from services.runtime.logs import Log
from services.runtime.settings import Limits as Limits
from services.runtime.tokens import Authenticator

RETRY_AFTER = 0.5  # seconds, for callers beyond a limit
RETRY_ELSEWHERE = 1.0  # seconds, for callers whom a stopping process sends away
MAX_REQUEST_ID = 128  # characters
MAX_CLIENT = 64  # characters

_NOBODY = Principal(name="")

_log = logging.getLogger(__name__)


class Door:
    """One per process, shared by all its transports."""

    def __init__(self, authenticator: Authenticator, limits: Limits, log: Log) -> None:
        self.authenticator = authenticator
        self.limits = limits
        self.log = log
        self.calls = 0  # inside now, watches not counted
        self.stopping = asyncio.Event()  # set when watches have to end
        self.open_watches: set[Admission] = set()  # the watches inside now

    @property
    def watches(self) -> int:
        """How many watches are inside now."""
        return len(self.open_watches)

    def admit(
        self,
        method: str,
        metadata: Mapping[str, str],
        *,
        timeout: float | None,
        watch: bool = False,
        peer: str = "",
        transport: str = "grpc",
    ) -> "Admission":
        """One call as an async context manager. Entering and leaving raise nothing but Faults and
        CancelledError.

        metadata: headers by lower-case name; `authorization`, `x-request-id` and `x-client` are read.
        timeout: seconds that the caller gives, None where it does not say.
        watch: a stream without end, which has a limit of its own and ends when the process stops.
        """
        return Admission(self, method, metadata, timeout, watch, peer, transport)

    async def end_watches(self, patience: float) -> None:
        """Let no watch in any more, and end those inside with UNAVAILABLE and their farewell.

        A watch that has none may be passed on from a process that stops as well, and has one: it gets `patience`
        seconds to end by itself.
        """
        self.stopping.set()
        if not self.open_watches:
            return
        tasks = [watch.task for watch in self.open_watches]
        for watch in tuple(self.open_watches):
            if watch.has_farewell:
                watch.end(stopping_fault())
        await asyncio.wait(tasks, timeout=patience)
        for watch in tuple(self.open_watches):
            watch.end(stopping_fault())


class Admission:
    """One call on its way through the door; made by `Door.admit`."""

    __slots__ = (
        "_began",
        "_call",
        "_cancelling",
        "_code",
        "_deadline",
        "_door",
        "_fault",
        "_handle",
        "_metadata",
        "_method",
        "_peer",
        "_principal",
        "_reason",
        "_request_id",
        "_timeout",
        "_token",
        "_transport",
        "_watch",
        "task",
    )

    def __init__(
        self,
        door: Door,
        method: str,
        metadata: Mapping[str, str],
        timeout: float | None,
        watch: bool,
        peer: str,
        transport: str,
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self._door = door
        self._method = method
        self._metadata = metadata
        self._timeout = timeout
        self._watch = watch
        self._peer = peer
        self._transport = transport
        self._principal = _NOBODY
        self._code, self._reason = "OK", ""
        self._call: Call | None = None  # once it is admitted
        self._fault: Fault | None = None  # why this call was ended from outside
        self._handle: asyncio.TimerHandle | None = None

    @property
    def has_farewell(self) -> bool:
        """Whether its caller can be told more than that it ended."""
        return bool(self._call and self._call.farewell)

    def answered(self, code: str, reason: str = "") -> None:
        """Note for the log a status that the handler has sent itself."""
        self._code, self._reason = code, reason

    async def __aenter__(self) -> Call:
        self._began = time.monotonic()
        self._request_id = _request_id(self._metadata.get("x-request-id", ""))
        authorization = self._metadata.get("authorization", "")
        try:
            self._principal = self._door.authenticator.authenticate(authorization)
            self._take_place()
        except Exception as error:  # noqa: BLE001  # a bug of the authenticator is hidden like any other
            raise self._left_with(error) from None
        self._cancelling = self.task.cancelling()
        seconds = self._seconds()
        self._deadline = self._began + seconds
        if seconds != math.inf:
            self._handle = self.task.get_loop().call_later(seconds, self._expire)
        self._call = admitted = Call(
            method=self._method,
            request_id=self._request_id,
            principal=self._principal,
            authorization=authorization,
            client=_client(self._metadata.get("x-client", "")),
            deadline=self._deadline,
        )
        self._token = call.begin(admitted)
        return admitted

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._handle:
            self._handle.cancel()
        self._give_place_back()
        leaving = error
        # As asyncio.timeout tells its own cancellation from one that comes from elsewhere.
        if self._fault and self.task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            leaving = self._fault
        if isinstance(leaving, Exception):
            leaving = self._left_with(leaving)
        else:
            if isinstance(leaving, asyncio.CancelledError):
                # gRPC cancels the work of a caller whose deadline has passed, as of one who hung up.
                late = time.monotonic() >= self._deadline
                self._code = self._reason = "DEADLINE_EXCEEDED" if late else "CANCELLED"
            self._write_access_line()
        call.end(self._token)
        if leaving is not None and leaving is not error:
            raise leaving from error

    def end(self, fault: Fault) -> None:
        """Cancel the call; it leaves with `fault` and its farewell."""
        if self._fault is None:
            if self._call:
                fault.metadata.update(self._call.farewell)
            self._fault = fault
            self.task.cancel()

    def _expire(self) -> None:
        self.end(Fault(Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the work was not done in the time given"))

    def _take_place(self) -> None:
        door = self._door
        if self._watch:
            if door.stopping.is_set():
                raise stopping_fault()
            if len(door.open_watches) >= door.limits.watches:
                raise _too_many("TOO_MANY_WATCHES", f"more than {door.limits.watches} watches at once")
            door.open_watches.add(self)
        else:
            if door.calls >= door.limits.calls:
                raise _too_many("TOO_MANY_CALLS", f"more than {door.limits.calls} calls at once")
            door.calls += 1

    def _give_place_back(self) -> None:
        if self._watch:
            self._door.open_watches.discard(self)
        else:
            self._door.calls -= 1

    def _seconds(self) -> float:
        """How long the call may take. A watch takes as long as its caller likes."""
        if self._timeout is None:
            return math.inf if self._watch else self._door.limits.default_timeout
        return self._timeout if self._watch else min(self._timeout, self._door.limits.longest_timeout)

    def _left_with(self, error: Exception) -> Fault:
        """What the caller may see of `error`; the rest goes to the log."""
        if isinstance(error, Fault):
            fault = error
        else:
            # The exception's text may hold secrets, a database's URL for one.
            error_id = secrets.token_hex(16)
            _log.error("error id %s in %s", error_id, self._method, exc_info=error)
            fault = status.internal(error_id)
        self._code, self._reason = fault.code.name, fault.reason
        self._write_access_line()
        return fault

    def _write_access_line(self) -> None:
        self._door.log.write(
            {
                "method": self._method,
                "code": self._code,
                "reason": self._reason,
                "ms": round((time.monotonic() - self._began) * 1000, 3),
                "request_id": self._request_id,
                "principal": self._principal.name,
                "peer": self._peer,
                "transport": self._transport,
            }
        )


async def hand_over(writing: Awaitable[object], seconds: float) -> None:
    """Wait until a message of the current watch has gone out, so far as the transport lets it.

    WATCH_TOO_SLOW, with the farewell, for a caller that does not take it within so many seconds: what it has not
    read yet would have to be kept for it.
    """
    try:
        async with asyncio.timeout(seconds):
            await writing
    except TimeoutError:
        admitted = call.current()
        raise Fault(
            Code.RESOURCE_EXHAUSTED,
            "WATCH_TOO_SLOW",
            f"a message was not read within {seconds:g} s; watch again behind the last revision, and read faster",
            metadata=admitted.farewell if admitted else None,
            retry_after=RETRY_AFTER,
        ) from None


def stopping_fault() -> Fault:
    """What a watch ends with when the process stops."""
    return Fault(
        Code.UNAVAILABLE,
        "BACKEND_UNAVAILABLE",
        "this process is stopping; connect again",
        retry_after=RETRY_ELSEWHERE,
    )


def _too_many(reason: str, message: str) -> Fault:
    return Fault(Code.RESOURCE_EXHAUSTED, reason, message, retry_after=RETRY_AFTER)


def _request_id(sent: str) -> str:
    """The caller's id where it is fit for a log line, else a new one."""
    return sent if sent and _is_plain(sent, MAX_REQUEST_ID) else secrets.token_hex(16)


def _client(sent: str) -> str:
    """The caller's name for itself where it is fit to be shown to others, else none."""
    return sent if _is_plain(sent, MAX_CLIENT) else ""


def _is_plain(text: str, most: int) -> bool:
    return len(text) <= most and text.isascii() and text.isprintable()
