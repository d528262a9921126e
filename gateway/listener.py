"""The HTTP door's socket: uvicorn inside our event loop, without its signal handlers, with a limit on heads."""

import asyncio
import contextlib
import math
import os
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.channel import failed
from gateway.exchange import MAX_HEADER_BYTES, Receive, Scope, Send, too_large
from services.kernel.faults import Code, Fault
from services.runtime.settings import SettingsError
from services.runtime.status import http_status

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Longer than clients keep an idle connection, so that it is they who close it: a server that closes one
# just as a request is on its way fails that request.
_KEEP_ALIVE_SECONDS = 75


class Listener:
    """One listening socket and the server on it."""

    def __init__(self, address: str) -> None:
        """Binds `host:port`; port 0 picks one. SettingsError when the address cannot be had."""
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # The protocol is named because asyncio turns Nagle's delay off for such sockets only: with it, each
        # answer on a connection that is kept waits 40 ms for its second half.
        self._socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if os.name == "posix":  # elsewhere the option would let two servers share the port
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, int(port)))
            self._socket.listen()
        except OSError as error:
            self._socket.close()
            raise SettingsError(f"the HTTP door cannot listen on {address}: {error.strerror}") from None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is bound."""
        port: int = self._socket.getsockname()[1]
        return port

    async def start(self, application: Application, grace: float) -> None:
        """Answer requests until `drain`, which waits up to `grace` seconds for those in flight."""
        config = uvicorn.Config(
            application,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,  # the door writes it
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=math.ceil(grace),
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        await self._server.ready.wait()

    async def drain(self) -> None:
        """Stop accepting, finish what is in flight. Nothing to do when not started."""
        if self._server is None or self._serving is None:
            self._socket.close()
            return
        self._server.stop.set()
        await self._serving


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        # Its own looks ten times a second whether to end; once is enough for what a tick does: the date header.
        while not self.stop.is_set():
            await self.on_tick(0)
            try:
                await asyncio.wait_for(self.stop.wait(), 1)
            except TimeoutError:
                pass  # the next tick

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are the process's; it drains all of its servers


class _Protocol(HttpToolsProtocol):
    """Refuses a head without end, which the parser would collect in memory, and says why as JSON."""

    _in_head = False
    _head_bytes = 0

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()
        self.scope["cut_off"] = self.transport.abort  # type: ignore[typeddict-unknown-key]  # see exchange.Scope

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_head:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        # Twice, because the first piece may begin with the end of the request before. The door itself
        # refuses complete heads that are over the limit.
        if self._head_bytes > 2 * MAX_HEADER_BYTES and not self.transport.is_closing():
            self._refuse(too_large("head", MAX_HEADER_BYTES))

    def send_400_response(self, msg: str) -> None:
        self._refuse(Fault(Code.INVALID_ARGUMENT, "INVALID_FIELD", msg))

    def _refuse(self, fault: Fault) -> None:
        if self.cycle is None or self.cycle.response_complete:  # else another answer is being written
            body = failed(fault)
            head = f"HTTP/1.1 {http_status(fault)} Refused\r\ncontent-type: application/json\r\n"
            head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode() + body)
        self.transport.close()
