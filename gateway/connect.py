"""Connect and gRPC-Web over HTTP: StudioService, and the forwarded services' unary and server-streaming RPCs.

Endpoints are built from the contracts' descriptors; nothing is generated for them.
"""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from connectrpc.code import Code as ConnectCode
from connectrpc.codec import Codec
from connectrpc.compat import google_protobuf_binary_codec, google_protobuf_json_codec
from connectrpc.errors import ConnectError, ErrorDetail
from connectrpc.interceptor import MetadataInterceptor
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.request import RequestContext
from connectrpc.server import ConnectASGIApplication, Endpoint
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.json_format import ParseError
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from protobuf.wkt import Any as WireAny

from gateway.exchange import MAX_BODY_BYTES, Event, Exchange, Scope, Send
from gateway.forward import path
from services.kernel.faults import Code, Fault, invalid_field
from services.runtime.admission import Admission, Door, hand_over
from services.runtime.status import to_status
from services.runtime.wire import MAX_MESSAGE, too_large

Context = RequestContext[Message, Message]
Unary = Callable[[Message, Context], Awaitable[Message]]
Stream = Callable[[Message, Context], AsyncIterator[Message]]

_UNARY_TYPES = frozenset({"application/json", "application/proto"})
_STREAM_TYPES = frozenset({"application/connect+json", "application/connect+proto"})
_WEB_TYPES = frozenset({"application/grpc-web", "application/grpc-web+proto", "application/grpc-web+json"})

_IDEMPOTENCY = {
    MethodOptions.IDEMPOTENCY_UNKNOWN: IdempotencyLevel.UNKNOWN,
    MethodOptions.NO_SIDE_EFFECTS: IdempotencyLevel.NO_SIDE_EFFECTS,
    MethodOptions.IDEMPOTENT: IdempotencyLevel.IDEMPOTENT,
}

# What the Connect library finds wrong by itself, in our words.
_OF_LIBRARY = {
    ConnectCode.INVALID_ARGUMENT: (Code.INVALID_ARGUMENT, "INVALID_FIELD"),
    ConnectCode.RESOURCE_EXHAUSTED: (Code.RESOURCE_EXHAUSTED, "TOO_LARGE"),
    ConnectCode.DEADLINE_EXCEEDED: (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    ConnectCode.UNIMPLEMENTED: (Code.UNIMPLEMENTED, "UNKNOWN_METHOD"),
    ConnectCode.INTERNAL: (Code.INVALID_ARGUMENT, "INVALID_FIELD"),  # its word for a broken envelope
}


class ConnectDoor:
    """Answers Connect and gRPC-Web requests for a set of methods."""

    def __init__(
        self,
        door: Door,
        unary: Iterable[tuple[MethodDescriptor, Unary]],
        streams: Iterable[tuple[MethodDescriptor, Stream]],
    ) -> None:
        self._door = door
        calls = {path(method): Endpoint.unary(_info(method, StreamType.UNARY), answer) for method, answer in unary}
        watches = {
            path(method): Endpoint.server_stream(_info(method, StreamType.SERVER_STREAM), stream)
            for method, stream in streams
        }
        self._methods = {name: endpoint.method for name, endpoint in (*calls.items(), *watches.items())}
        self._application = _Application(
            service=None,
            endpoints=lambda _: {**calls, **watches},
            interceptors=(_Admitted(door),),
            read_max_bytes=MAX_BODY_BYTES,
            compressions=(),
            # Unknown members of JSON are refused: a misspelt `etag` would lose its protection in silence, and an
            # unknown word of an enum would be dropped with it.
            codecs=(
                _Bounded(google_protobuf_binary_codec()),
                _Bounded(google_protobuf_json_codec(ignore_unknown_fields=False)),
            ),
        )

    async def answer(self, exchange: Exchange, scope: Scope) -> None:
        """Answer one request. Raises Fault for one that is none of an RPC here."""
        self._check(exchange, scope)
        watch = self._methods[exchange.path].stream_type is StreamType.SERVER_STREAM
        send = _Impatient(exchange.send, self._door.limits.slow_watch) if watch else None
        try:
            await self._application(scope, exchange.receive, send or exchange.send)
        except (ConnectError, Fault):
            if send is None or not send.failed:
                raise
            # Nobody reads why the watch ended. The door has written it down.
            scope["cut_off"]()
            await asyncio.sleep(0)  # in which the server hears that the connection is gone
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # The door ended the call, by its deadline or because the process stops, and it has been answered.

    def _check(self, exchange: Exchange, scope: Scope) -> None:
        """What the library would refuse without a reason, or before the call is admitted."""
        if (method := self._methods.get(exchange.path)) is None:
            raise Fault(Code.UNIMPLEMENTED, "UNKNOWN_METHOD", f"nothing here is called {exchange.path[:100]!r}")
        safe = method.idempotency_level is IdempotencyLevel.NO_SIDE_EFFECTS and method.stream_type is StreamType.UNARY
        query = scope.get("query_string", b"")
        if exchange.method == "GET" and safe and query.isascii():
            kind = "application/" + ("proto" if b"encoding=proto" in query else "json")
            known = b"encoding=proto" in query or b"encoding=json" in query
        elif exchange.method == "POST":
            kind = exchange.headers.get("content-type", "")
            own = _UNARY_TYPES if method.stream_type is StreamType.UNARY else _STREAM_TYPES
            known = kind in _WEB_TYPES or kind.partition(";")[0].strip().lower() in own
        else:
            raise Fault(Code.INVALID_ARGUMENT, "METHOD_NOT_ALLOWED", f"{exchange.method}: an RPC is called by POST")
        if not known:
            raise Fault(
                Code.INVALID_ARGUMENT, "UNSUPPORTED_MEDIA_TYPE", f"{kind[:100]!r} is no content type of this RPC"
            )
        headers = exchange.headers
        if headers.get("connect-protocol-version", "1") != "1":
            raise invalid_field("connect-protocol-version", "must be 1")
        if not re.fullmatch("[0-9]{1,10}", headers.get("connect-timeout-ms", "0")):
            raise invalid_field("connect-timeout-ms", "must be a whole number of milliseconds")
        if not re.fullmatch("[0-9]{1,8}[HMSmun]", headers.get("grpc-timeout", "0n")):
            raise invalid_field("grpc-timeout", "must be a number and its unit, e.g. 100m")
        if not all(map(str.isascii, headers.values())):
            raise invalid_field("headers", "must be ASCII")


class _Impatient:
    """Sends the messages of a watch, whose caller has to take each in time."""

    def __init__(self, send: Send, seconds: float) -> None:
        self._send = send
        self._seconds = seconds
        self.failed = False

    async def __call__(self, message: Event) -> None:
        try:
            await hand_over(self._send(message), self._seconds)
        except Fault:
            self.failed = True
            raise


class _Application(ConnectASGIApplication[None]):
    path = ""


class _Bounded(Codec[Message, Message]):
    """A codec that keeps to our limit on the way out, and on the way in fails in our words."""

    def __init__(self, codec: Codec[Message, Message]) -> None:
        self._codec = codec

    def name(self) -> str:
        return self._codec.name()

    def encode(self, message: Message) -> bytes:
        answer = self._codec.encode(message)
        if len(answer) > MAX_MESSAGE:
            raise too_large(len(answer))
        return answer

    def decode(self, data: bytes | bytearray, message_class: type[Message]) -> Message:
        try:
            return self._codec.decode(data, message_class)
        except (ParseError, DecodeError, RecursionError, TypeError, ValueError, AttributeError) as error:
            # Where the parser stumbles over a type that it did not expect, its words name its insides.
            why = f": {error}" if isinstance(error, ParseError) and "Error:" not in str(error) else ""
            message = f"the body is not a request of this RPC{why}"
            raise ConnectError(ConnectCode.INVALID_ARGUMENT, message) from None


class _Admitted(MetadataInterceptor[Admission]):
    """Every RPC through the door, before its body is read; every failure out as a fault with its details."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def on_start(self, ctx: Context) -> Admission:
        timeout_ms = ctx.timeout_ms
        admission = self._door.admit(
            f"/{ctx.method.service_name}/{ctx.method.name}",
            ctx.request_headers,
            timeout=None if timeout_ms is None else timeout_ms / 1000,
            watch=ctx.method.stream_type is StreamType.SERVER_STREAM,
            peer=ctx.client_address or "",
            transport="grpc-web" if ctx.request_headers.get("content-type") in _WEB_TYPES else "connect",
        )
        try:
            call = await admission.__aenter__()
        except Fault as fault:
            raise _told(fault, ctx) from None
        ctx.response_headers["x-request-id"] = call.request_id
        return admission

    async def on_end(self, token: Admission, ctx: Context, error: Exception | None, /) -> None:
        cause = _cause(error)
        try:
            await token.__aexit__(type(cause) if cause else None, cause, cause.__traceback__ if cause else None)
        except Fault as fault:
            raise _told(fault, ctx) from None
        if isinstance(cause, Fault):
            raise _told(cause, ctx)


def _cause(error: Exception | None) -> BaseException | None:
    """What ended the call, as the door wants to hear it."""
    if not isinstance(error, ConnectError):
        return error
    if error.code is ConnectCode.CANCELED:
        return asyncio.CancelledError()  # whether by the client or by the door, the door knows
    code, reason = _OF_LIBRARY.get(error.code, (Code.INTERNAL, "INTERNAL"))
    return Fault(code, reason, error.message)


def _told(fault: Fault, ctx: Context) -> ConnectError:
    if fault.retry_after is not None:
        ctx.response_headers["retry-after"] = str(max(1, math.ceil(fault.retry_after)))
    status = to_status(fault)
    details = [ErrorDetail(WireAny(type_url=one.type_url, value=one.value)) for one in status.details]
    code = ConnectCode.CANCELED if fault.code is Code.CANCELLED else ConnectCode[fault.code.name]
    return ConnectError(code, status.message, details)


def _info(method: MethodDescriptor, kind: StreamType) -> MethodInfo[Message, Message]:
    return MethodInfo(
        name=method.name,
        service_name=method.containing_service.full_name,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        idempotency_level=_IDEMPOTENCY[method.GetOptions().idempotency_level],
        stream_type=kind,
    )
