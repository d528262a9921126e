"""The way to Shotline: where it is, how to get in, and to try again until it answers.

Address and token come from the constructor, else from SHOTLINE_ADDRESS and SHOTLINE_TOKEN (empty: as if not set), else
from the file of the local start in its data folder (SHOTLINE_DATA, if not the usual one). The local start's token is
sent to its own address only. A Shotline that was started again, at another port and with another token, is found by the
same file.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import grpc.aio
from shotline.client import errors
from shotline.client.arguments import checked

from services.kernel.faults import Code, Fault
from services.runtime import local_address, status
from services.runtime.channels import open_channel, service_config

TIMEOUT = 30.0  # seconds for a call with all its tries, where the caller states none
FIRST_PATIENCE = 5.0  # seconds to wait for a Shotline that has not answered this client yet
NAME = "shotline-sdk"  # what this client calls itself in the change log
_MOST_CLIENT = 64  # characters of that name: servers take no notice of longer ones
_LEAST_PAUSE, _MOST_PAUSE = 0.05, 2.0  # seconds between two tries

Stub = TypeVar("Stub")
Request = TypeVar("Request")
Answer = TypeVar("Answer")


class PageRequest(Protocol):
    """A request of a page."""

    page_token: str


class Page(Protocol):
    """A page of a list."""

    next_page_token: str


PageAsked = TypeVar("PageAsked", bound=PageRequest)
PageFound = TypeVar("PageFound", bound=Page)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to go and how to get in."""

    address: str  # gRPC target, such as 127.0.0.1:50050
    token: str | None


class Connection(Generic[Stub]):
    """One channel, opened at the first call and belonging to the event loop of that call.

    package: the contract whose retry policy holds, such as "shotline.asset_graph.v1".
    stub: makes the stub from a channel.
    """

    @checked
    def __init__(
        self,
        package: str,
        stub: Callable[[grpc.aio.Channel], Stub],
        *,
        address: str | None,
        token: str | None,
        timeout: float,
        client: str,
    ) -> None:
        if token == "":
            raise ValueError("token: it is empty; None stands for SHOTLINE_TOKEN or the local start's")
        _sendable("token", token or "")
        _sendable("client", client)
        if len(client) > _MOST_CLIENT:
            raise ValueError(f"client: at most {_MOST_CLIENT} characters, not {len(client)}")
        self._package = package
        self._make_stub = stub
        self._address = address
        self._token = token
        self._timeout = timeout
        self._client = client
        self._place: Place | None = None
        self._channel: grpc.aio.Channel | None = None
        self._stub: Stub | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answered = False
        self._closed = False

    async def call(
        self,
        pick: Callable[[Stub], "grpc.aio.UnaryUnaryMultiCallable[Request, Answer]"],
        request: Request,
        timeout: float | None,
    ) -> Answer:
        """The answer to one call, tried again while nobody answers and there is time. Raises ShotlineError.

        A change carries its request id in `request`, so that trying again makes it once.
        """
        try:
            return await self._answer(pick, request, time.monotonic() + (self._timeout if timeout is None else timeout))
        except errors.ShotlineError as error:
            error.request_id = getattr(request, "request_id", "") or None
            raise

    async def pages(
        self,
        pick: Callable[[Stub], "grpc.aio.UnaryUnaryMultiCallable[PageAsked, PageFound]"],
        request: PageAsked,
        timeout: float | None,
    ) -> AsyncGenerator[PageFound, None]:
        """All pages of a list, each as `call` gives it; the timeout is for each."""
        while True:
            page = await self.call(pick, request, timeout)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def stream(
        self,
        pick: Callable[[Stub], "grpc.aio.UnaryStreamMultiCallable[Request, Answer]"],
        request: Request,
        stall: float,
    ) -> AsyncGenerator[Answer, None]:
        """The messages of one stream until it fails. Raises Fault, also after `stall` seconds of silence."""
        started: Any = pick(await self.stub())(request)
        try:
            while True:
                try:
                    async with asyncio.timeout(stall):
                        message = await self._whole(started.read())
                except TimeoutError:
                    raise Fault(Code.UNAVAILABLE, "BACKEND_UNAVAILABLE", f"silent for {stall:g} seconds") from None
                if message is grpc.aio.EOF:
                    raise Fault(Code.UNAVAILABLE, "BACKEND_UNAVAILABLE", "the server ended the watch")
                self._answered = True
                yield message
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from None
        finally:
            started.cancel()

    async def stub(self) -> Stub:
        """The stub, of a channel that is opened when there is none. Raises Unavailable where no Shotline is known."""
        loop = asyncio.get_running_loop()
        if self._closed:
            raise errors.Cancelled("the client is closed", reason="CLIENT_CLOSED")
        if self._stub is not None and self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed():
                raise RuntimeError("a client belongs to the event loop of its first call: make one for each")
            self._stub = self._channel = None  # its loop is gone, and everything of it
        if self._stub is None:
            self._place = self._place or _find(self._address, self._token)
            self._loop = loop
            self._channel = open_channel(
                self._place.address,
                service_configs=(service_config(self._package),),
                token=self._place.token,
                client=self._client,
                timeout=self._timeout,
            )
            self._stub = self._make_stub(self._channel)
        return self._stub

    async def moved(self) -> bool:
        """Whether Shotline is somewhere else than this client thinks; the next call goes there."""
        try:
            place = _find(self._address, self._token)
        except errors.Unavailable:
            return False
        if place == self._place:
            return False
        old, self._channel, self._stub, self._place = self._channel, None, None, place
        if old is not None:
            # Calls that still run there have lost their server.
            await old.close()
        return True

    def error(self, fault: Fault) -> errors.ShotlineError:
        """What callers get for a fault."""
        if fault.code is Code.UNAVAILABLE and self._place and not self._answered:
            message = f"nobody answers at {self._place.address}: {fault.message}"
            return errors.Unavailable(message, reason=fault.reason, retry_after=fault.retry_after)
        return errors.of_fault(fault)

    @property
    def answered(self) -> bool:
        """Whether this client has ever had an answer."""
        return self._answered

    async def close(self) -> None:
        """Let the channel go; calls that run raise Cancelled. Closing twice is no error."""
        self._closed = True
        channel, self._channel, self._stub = self._channel, None, None
        if channel is not None and self._loop is asyncio.get_running_loop():
            await channel.close()

    async def _answer(
        self,
        pick: Callable[[Stub], "grpc.aio.UnaryUnaryMultiCallable[Request, Answer]"],
        request: Request,
        deadline: float,
    ) -> Answer:
        patience = Patience(self, deadline)
        while True:
            try:
                left = max(0.001, deadline - time.monotonic())
                answer: Answer = await self._whole(pick(await self.stub())(request, timeout=left))
            except grpc.aio.AioRpcError as error:
                await patience.after(status.from_rpc_error(error))
            except Fault as fault:
                await patience.after(fault)
            else:
                self._answered = True
                return answer

    async def _whole(self, started: Any) -> Any:
        try:
            return await started
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Nobody cancelled this task: the channel was closed under the call.
            if self._closed:
                raise errors.Cancelled("the client was closed while the call ran", reason="CLIENT_CLOSED") from None
            raise Fault(Code.UNAVAILABLE, "BACKEND_UNAVAILABLE", "Shotline moved while the call ran") from None
        except grpc.aio.UsageError:
            if self._closed:
                raise errors.Cancelled("the client is closed", reason="CLIENT_CLOSED") from None
            raise Fault(Code.UNAVAILABLE, "BACKEND_UNAVAILABLE", "Shotline moved before the call") from None


class Patience:
    """When to try again, and when no longer."""

    def __init__(self, connection: Connection[Any], deadline: float) -> None:
        """deadline: time.monotonic() seconds; infinite for a watch."""
        self._connection = connection
        self._deadline = deadline
        self._first = min(deadline, time.monotonic() + FIRST_PATIENCE)
        self._pause = _LEAST_PAUSE

    def begin_again(self) -> None:
        """Forget the failures so far: something came."""
        self._pause = _LEAST_PAUSE

    async def after(self, fault: Fault) -> None:
        """Wait as long as makes sense, then return; raise the error where trying again does not help or there is no
        time."""
        passing = fault.code is Code.UNAVAILABLE or (
            fault.code is Code.RESOURCE_EXHAUSTED and fault.retry_after is not None
        )
        # A token lives as long as one start: the next one's may stand in the file.
        if (passing or fault.code is Code.UNAUTHENTICATED) and await self._connection.moved():
            return
        deadline = self._deadline if self._connection.answered else self._first
        pause = max(self._pause * random.uniform(0.5, 1.0), min(fault.retry_after or 0.0, _MOST_PAUSE))  # noqa: S311  # spreads tries
        if not passing or time.monotonic() + pause >= deadline:
            raise self._connection.error(fault) from None
        self._pause = min(self._pause * 2, _MOST_PAUSE)
        await asyncio.sleep(pause)


def _sendable(name: str, text: str) -> None:
    """Raises ValueError for what no header holds; it does not repeat the text, which may be secret."""
    if not (text.isascii() and text.isprintable()):
        raise ValueError(f"{name}: only printable ASCII characters can be sent")


def _find(address: str | None, token: str | None) -> Place:
    """Where Shotline is. Raises Unavailable where none is known."""
    address = address or os.environ.get("SHOTLINE_ADDRESS")
    token = token or os.environ.get("SHOTLINE_TOKEN") or None
    _sendable("SHOTLINE_TOKEN", token or "")
    if address and "//" in address.removeprefix("dns:///"):
        raise ValueError(f"{address!r} is not a gRPC address such as 127.0.0.1:50050")
    data = os.environ.get("SHOTLINE_DATA")
    folder = Path(data) if data else local_address.default_folder()
    try:
        local = local_address.read(folder)
    except FileNotFoundError:
        local, trouble = None, f"no Shotline runs on {folder}"
    except (PermissionError, ValueError, NotADirectoryError) as error:
        local, trouble = None, str(error)
    if address:
        is_local = local is not None and local.grpc == address
        return Place(address=address, token=token or (local.token if local and is_local else None))
    if local is None:
        remedy = "start one with `shotline up`, or say where it is: address=…, or SHOTLINE_ADDRESS"
        raise errors.Unavailable(f"{trouble}; {remedy}", reason="BACKEND_UNAVAILABLE")
    return Place(address=local.grpc, token=token or local.token)
