"""The services' own RPCs over Connect and gRPC-Web: their unary and server-streaming methods.

Parsed once, because JSON clients need it; unknown fields of binary clients pass all the same.
"""

import binascii
import math
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterable, Iterator

import grpc
from connectrpc.request import Headers
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.connect import Context, Stream, Unary
from gateway.forward import Forwarding, MetadataPair, forwarded, path
from services.kernel.faults import invalid_field
from services.runtime import call
from services.runtime.status import from_rpc_error

# Headers that HTTP, a browser or a proxy adds for this hop.
_OF_HTTP = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "content-encoding",
        "content-length",
        "cookie",
        "date",
        "expect",
        "keep-alive",
        "origin",
        "referer",
        "set-cookie",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-grpc-web",
        "x-user-agent",
    }
)
_PREFIXES_OF_HTTP = ("access-control-", "connect-", "grpc-", "proxy-", "sec-")


def unary(forwarding: Forwarding) -> Iterator[tuple[MethodDescriptor, Unary]]:
    """The unary methods of the configured services, and what forwards each."""
    for service in forwarding.services:
        for method in service.methods:
            if not method.client_streaming and not method.server_streaming:
                yield method, _relay_one(forwarding.channel(service.file.package), method)


def streams(forwarding: Forwarding) -> Iterator[tuple[MethodDescriptor, Stream]]:
    """The server-streaming methods of the configured services, and what forwards each."""
    for service in forwarding.services:
        for method in service.methods:
            if not method.client_streaming and method.server_streaming:
                yield method, _relay_many(forwarding.channel(service.file.package), method)


def _relay_one(channel: grpc.aio.Channel, method: MethodDescriptor) -> Unary:
    ask: grpc.aio.UnaryUnaryMultiCallable[Message, Message] = channel.unary_unary(
        path(method),
        GetMessageClass(method.input_type).SerializeToString,
        GetMessageClass(method.output_type).FromString,
    )

    async def relay(request: Message, ctx: Context) -> Message:
        asked = ask(request, metadata=_metadata(ctx.request_headers), timeout=_seconds_left())
        try:
            answer = await asked
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        _put(ctx.response_headers, await asked.initial_metadata())
        _put(ctx.response_trailers, await asked.trailing_metadata())
        return answer

    return relay


def _relay_many(channel: grpc.aio.Channel, method: MethodDescriptor) -> Stream:
    begin: grpc.aio.UnaryStreamMultiCallable[Message, Message] = channel.unary_stream(
        path(method),
        GetMessageClass(method.input_type).SerializeToString,
        GetMessageClass(method.output_type).FromString,
    )

    async def relay(request: Message, ctx: Context) -> AsyncIterator[Message]:
        stream = begin(request, metadata=_metadata(ctx.request_headers), timeout=_seconds_left())
        try:
            _put(ctx.response_headers, await stream.initial_metadata())
            async for message in stream:
                yield message
            _put(ctx.response_trailers, await stream.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        finally:
            stream.cancel()  # of a stream that has ended, nothing

    return relay


def _seconds_left() -> float | None:
    current = call.current()
    seconds = current.remaining() if current else math.inf
    return None if seconds == math.inf else seconds


def _metadata(headers: Headers) -> list[MetadataPair]:
    pairs: list[MetadataPair] = []
    for key, value in headers.allitems():
        if _is_of_http(key):
            continue
        if not key.endswith("-bin"):
            pairs.append((key, value))
            continue
        try:
            pairs.append((key, b64decode(value + "=" * (-len(value) % 4), validate=True)))
        except binascii.Error:
            raise invalid_field(key, "must be base64") from None
    return list(forwarded(pairs))


def _put(headers: Headers, metadata: Iterable[MetadataPair]) -> None:
    for key, value in forwarded(metadata):
        if not _is_of_http(key):
            headers.add(key, value if isinstance(value, str) else b64encode(value).decode().rstrip("="))


def _is_of_http(key: str) -> bool:
    return key in _OF_HTTP or key.startswith(_PREFIXES_OF_HTTP)
