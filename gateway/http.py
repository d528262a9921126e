"""The HTTP door: `POST /ipc/<channel>`, Connect and gRPC-Web, behind one set of checks.

Bare ASGI, because it is on the way of every edit. The order of the checks: whom the request is for
(Host), which page sent it (Origin), how large and what it is (size, method, type), who sends it (token).
"""

import math
from collections.abc import Collection

from gateway.channel import failed
from gateway.channels import Channels
from gateway.connect import ConnectDoor
from gateway.exchange import MAX_BODY_BYTES, MAX_HEADER_BYTES, Exchange, Header, Receive, Scope, Send, too_large
from services.kernel.faults import Code, Fault, invalid_field
from services.kernel.strict_json import invalid_json
from services.runtime.admission import Door
from services.runtime.status import http_status

_JSON: Header = (b"content-type", b"application/json")

_CORS_ALLOWED_HEADERS = (
    b"authorization, content-type, connect-protocol-version, connect-timeout-ms, grpc-timeout, "
    b"x-grpc-web, x-user-agent, x-client, x-request-id, x-timeout-ms"
)
_CORS_EXPOSED_HEADERS = b"grpc-status, grpc-message, grpc-status-details-bin, retry-after, x-request-id"


class HttpDoor:
    """The ASGI application."""

    def __init__(
        self,
        *,
        channels: Channels,
        connect: ConnectDoor,
        door: Door,
        hosts: Collection[str],
        origins: Collection[str],
    ) -> None:
        """`hosts`: exact values of Host in lower case; `origins`: exact values of Origin of other sites' pages."""
        self._channels = channels
        self._connect = connect
        self._door = door
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        if exchange.path == "/healthz":
            # No token and any Host: the probe of an orchestrator has neither, and learns only that we live.
            await exchange.answer(200, b'{"status":"ok"}', _JSON)
            return
        try:
            self._check_source(exchange, scope)
            if exchange.method == "OPTIONS" and "access-control-request-method" in exchange.headers:
                await self._preflight(exchange)
            elif exchange.path.startswith("/ipc/"):
                await self._ipc(exchange, exchange.path[len("/ipc/") :])
            else:
                await self._connect.answer(exchange, scope)
        except Fault as fault:
            if not exchange.admitted:
                self._log_refusal(exchange, fault)
            await _fail(exchange, fault)

    def _check_source(self, exchange: Exchange, scope: Scope) -> None:
        headers = exchange.headers
        host = headers.get("host", "").lower()
        twice = len(headers) != len(scope["headers"]) and sum(name == b"host" for name, _ in scope["headers"]) > 1
        if host not in self._hosts or twice:
            raise Fault(Code.INVALID_ARGUMENT, "HOST_NOT_ALLOWED", f"{host[:100]!r} is not a name of this server")
        if (origin := headers.get("origin")) is not None:
            if origin in self._origins:
                exchange.extra += (
                    (b"access-control-allow-origin", origin.encode("latin-1")),
                    (b"access-control-expose-headers", _CORS_EXPOSED_HEADERS),
                    (b"vary", b"Origin"),
                )
            elif origin not in (f"http://{host}", f"https://{host}"):
                raise Fault(
                    Code.PERMISSION_DENIED, "ORIGIN_NOT_ALLOWED", f"pages of {origin[:100]!r} may not call this server"
                )
        if exchange.head_bytes > MAX_HEADER_BYTES:
            raise too_large("head", MAX_HEADER_BYTES)
        if int(headers.get("content-length") or "0") > MAX_BODY_BYTES:
            raise too_large("body", MAX_BODY_BYTES)

    async def _preflight(self, exchange: Exchange) -> None:
        await exchange.answer(
            204,
            b"",
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", _CORS_ALLOWED_HEADERS),
            (b"access-control-max-age", b"7200"),
        )

    async def _ipc(self, exchange: Exchange, channel: str) -> None:
        headers = exchange.headers
        if exchange.method != "POST":
            raise Fault(Code.INVALID_ARGUMENT, "METHOD_NOT_ALLOWED", f"{exchange.method}: a channel is called by POST")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Fault(Code.INVALID_ARGUMENT, "UNSUPPORTED_MEDIA_TYPE", "the body must be application/json")
        if headers.get("content-encoding", "identity") != "identity":
            raise Fault(Code.INVALID_ARGUMENT, "UNSUPPORTED_MEDIA_TYPE", "the body must not be compressed")
        timeout = _timeout(headers)
        exchange.admitted = True
        async with self._door.admit(
            exchange.path, headers, timeout=timeout, peer=exchange.peer, transport="ipc"
        ) as call:
            exchange.extra.append((b"x-request-id", call.request_id.encode()))
            envelope = await self._channels.call(channel, _text(await exchange.body()))
        await exchange.answer(200, envelope, _JSON)

    def _log_refusal(self, exchange: Exchange, fault: Fault) -> None:
        """The access line of a request that was refused before anybody asked for its token."""
        self._door.log.write(
            {
                "method": exchange.path[:128],
                "code": fault.code.name,
                "reason": fault.reason,
                "ms": 0.0,
                "request_id": "",
                "principal": "",
                "peer": exchange.peer,
                "transport": "http",
            }
        )


async def _fail(exchange: Exchange, fault: Fault) -> None:
    headers = [_JSON]
    if fault.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(fault.retry_after))).encode()))
    if fault.reason == "METHOD_NOT_ALLOWED":
        headers.append((b"allow", b"POST"))
    if fault.code is Code.UNAUTHENTICATED:
        headers.append((b"www-authenticate", b"Bearer"))
    await exchange.answer(_status(fault), failed(fault), *headers)


def _status(fault: Fault) -> int:
    # Of HTTP's words for "nothing here is called that", 501 is the one for methods such as DELETE.
    return 404 if fault.reason == "UNKNOWN_METHOD" else http_status(fault)


def _timeout(headers: dict[str, str]) -> float | None:
    """Seconds that the caller waits; None where it does not say."""
    if (text := headers.get("x-timeout-ms")) is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise invalid_field("x-timeout-ms", "must be a whole number of milliseconds")
    return int(text) / 1000


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise invalid_json(f"not UTF-8: byte {error.start} of the body") from None
