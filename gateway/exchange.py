"""One HTTP request and its answer, over bare ASGI: headers once decoded, the body counted, the end kept polite."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Required, TypedDict

from services.kernel.faults import Code, Fault
from services.runtime.wire import MAX_MESSAGE, MAX_METADATA

MAX_BODY_BYTES = MAX_MESSAGE
MAX_HEADER_BYTES = MAX_METADATA

# An answer that comes before its request was read to the end closes the connection. Closed at once, the
# kernel would reset it, and the answer could be lost while the client still sends: so what comes is
# thrown away for a moment first.
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 2 * MAX_BODY_BYTES

Header = tuple[bytes, bytes]


class Scope(TypedDict, total=False):
    """What ASGI says of a request, as far as the door reads it."""

    type: Required[str]
    method: str
    path: str
    raw_path: bytes
    query_string: bytes
    headers: Sequence[Header]
    client: tuple[str, int] | None
    cut_off: Callable[[], None]  # of our listener: end the connection, and throw away what has not gone out


class Event(TypedDict, total=False):
    """A message of ASGI, in or out."""

    type: Required[str]
    status: int
    headers: Sequence[Header]
    body: bytes
    more_body: bool


Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

_ALWAYS: Sequence[Header] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


class Exchange:
    """A request, and the one answer that it gets."""

    __slots__ = (
        "_pending",
        "_receive",
        "_send",
        "admitted",
        "extra",
        "head_bytes",
        "headers",
        "method",
        "path",
        "peer",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.method = scope["method"]
        self.path = scope["path"]
        self.admitted = False  # whether it has come through the door, which then writes the access line
        client = scope.get("client")
        self.peer = f"{client[0]}:{client[1]}" if client else ""
        self.extra: list[Header] = list(_ALWAYS)  # headers of every answer to this request
        self.headers: dict[str, str] = {}
        self.head_bytes = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
        for name, value in scope["headers"]:
            self.head_bytes += len(name) + len(value) + 4  # with ": " and the line's end
            self.headers[name.decode("latin-1")] = value.decode("latin-1")
        # Whether there is, or may be, more of the body to come.
        self._pending = self.headers.get("content-length", "0") != "0" or "transfer-encoding" in self.headers

    async def receive(self) -> Event:
        """The next message from the client."""
        message = await self._receive()
        if not message.get("more_body"):
            self._pending = False
        return message

    async def send(self, message: Event) -> None:
        """Part of the answer."""
        if message["type"] == "http.response.start":
            headers = [*message["headers"], *self.extra]
            if self._pending:
                headers.append((b"connection", b"close"))
            await self._send({"type": "http.response.start", "status": message["status"], "headers": headers})
        elif self._pending and not message.get("more_body"):
            await self._send({"type": "http.response.body", "body": message.get("body", b""), "more_body": True})
            await self._linger()
            await self._send({"type": "http.response.body", "body": b""})
        else:
            await self._send(message)

    async def body(self) -> bytes:
        """The whole body. TOO_LARGE as soon as it is over the limit; CANCELLED where the client goes away."""
        message = await self.receive()
        chunks, size = [message.get("body", b"")], 0
        while True:
            if message["type"] == "http.disconnect":
                raise Fault(Code.CANCELLED, "CANCELLED", "the client went away before its request was complete")
            size += len(chunks[-1])
            if size > MAX_BODY_BYTES:
                raise too_large("body", MAX_BODY_BYTES)
            if not message.get("more_body"):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)
            message = await self.receive()
            chunks.append(message.get("body", b""))

    async def answer(self, status: int, body: bytes, *headers: Header) -> None:
        """The whole answer."""
        length = (b"content-length", str(len(body)).encode())
        await self.send({"type": "http.response.start", "status": status, "headers": (length, *headers)})
        await self.send({"type": "http.response.body", "body": body})

    async def _linger(self) -> None:
        left = _LINGER_BYTES
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while self._pending and left > 0:
                    left -= len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass  # a client that takes longer is cut off


def too_large(what: str, limit: int) -> Fault:
    """RESOURCE_EXHAUSTED for a request that is not read on."""
    return Fault(Code.RESOURCE_EXHAUSTED, "TOO_LARGE", f"the request's {what} is over {limit} bytes")
