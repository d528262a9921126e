"""The services' own RPCs under the gateway's address: forwarded byte for byte.

Messages are never parsed, so that fields and methods pass which this gateway does not know yet. What
stays the same: message bytes, metadata both ways, deadline, trailers, all four kinds of streams,
cancellation both ways. What does not: headers that belong to one hop, and an UNAVAILABLE that says
nothing more (the service is away), which gets its reason and a time to try again.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import NoReturn

import grpc
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor, ServiceDescriptor
from shotline.asset_graph.v1 import asset_graph_service_pb2
from shotline.sequence_file.v1 import sequence_file_service_pb2
from shotline.session.v1 import session_service_pb2

from services.runtime.channels import open_channel
from services.runtime.status import from_rpc_error

CONTRACTS: Sequence[FileDescriptor] = (
    asset_graph_service_pb2.DESCRIPTOR,
    sequence_file_service_pb2.DESCRIPTOR,
    session_service_pb2.DESCRIPTOR,
)

MetadataPair = tuple[str, str | bytes]
Context = grpc.aio.ServicerContext[bytes, bytes]
OneAnswer = grpc.aio.UnaryUnaryCall[bytes, bytes] | grpc.aio.StreamUnaryCall[bytes, bytes]
ManyAnswers = grpc.aio.UnaryStreamCall[bytes, bytes] | grpc.aio.StreamStreamCall[bytes, bytes]

# Said anew on each hop: by gRPC itself, and the first three by the channel for the call that is being answered.
_OF_ONE_HOP = frozenset(
    {
        "authorization",
        "x-client",
        "x-request-id",
        "connection",
        "content-type",
        "grpc-accept-encoding",
        "grpc-encoding",
        "grpc-message",
        "grpc-previous-rpc-attempts",
        "grpc-status",
        "grpc-timeout",
        "host",
        "te",
        "user-agent",
    }
)
# What a channel says by itself, when the service is away, stopping, late or sends too much.
_OF_THE_CHANNEL = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


class Forwarding:
    """Channels to the configured services. Made inside the event loop, as channels must be."""

    def __init__(self, addresses: Mapping[str, str], contracts: Iterable[FileDescriptor] = CONTRACTS) -> None:
        """`addresses`: package, e.g. "shotline.session.v1", to gRPC address."""
        # No retries here: what may be sent twice is for the caller to know.
        self._channels = {package: open_channel(address, service_configs=()) for package, address in addresses.items()}
        self.services: Sequence[ServiceDescriptor] = [
            service
            for contract in contracts
            if contract.package in addresses
            for service in contract.services_by_name.values()
        ]
        self.handler = _Handler(self._channels, self.services)

    def channel(self, package: str) -> grpc.aio.Channel:
        """The channel to a configured package."""
        return self._channels[package]

    async def close(self) -> None:
        """Ends what is still under way."""
        for channel in self._channels.values():
            await channel.close()


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, channels: Mapping[str, grpc.aio.Channel], services: Iterable[ServiceDescriptor]) -> None:
        self._channels = channels
        self._known = {path(method): method for service in services for method in service.methods}
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        name = details.method
        if (handler := self._handlers.get(name)) is not None:
            return handler
        package = name.lstrip("/").rpartition("/")[0].rpartition(".")[0]
        if (channel := self._channels.get(package)) is None:
            return None  # UNIMPLEMENTED, as for every other name that nobody has
        if (method := self._known.get(name)) is None:
            # A method newer than this gateway: on the wire every kind is a case of both streaming. Not
            # remembered, because callers make up such names.
            return _forward(channel, name, client_streams=True, server_streams=True)
        handler = _forward(
            channel, name, client_streams=method.client_streaming, server_streams=method.server_streaming
        )
        self._handlers[name] = handler
        return handler


def path(method: MethodDescriptor) -> str:
    """The method's name on the wire."""
    return f"/{method.containing_service.full_name}/{method.name}"


def forwarded(metadata: Iterable[MetadataPair]) -> list[MetadataPair]:
    """What of a message's metadata goes on to the next hop."""
    return [(key, value) for key, value in metadata if key not in _OF_ONE_HOP and not key.startswith(":")]


def _forward(
    channel: grpc.aio.Channel, name: str, *, client_streams: bool, server_streams: bool
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    if server_streams:
        begin: Callable[..., ManyAnswers] = (channel.stream_stream if client_streams else channel.unary_stream)(name)

        async def relay_many(sent: object, context: Context) -> AsyncIterator[bytes]:
            stream = begin(sent, metadata=_onward(context), timeout=context.time_remaining())
            try:
                await context.send_initial_metadata(forwarded(await stream.initial_metadata()))
                async for message in stream:
                    yield message
                context.set_trailing_metadata(forwarded(await stream.trailing_metadata()))
            except grpc.aio.AioRpcError as error:
                await _fail(context, error)
            finally:
                stream.cancel()  # of a stream that has ended, nothing

        if client_streams:
            return grpc.stream_stream_rpc_method_handler(relay_many)
        return grpc.unary_stream_rpc_method_handler(relay_many)

    ask: Callable[..., OneAnswer] = (channel.stream_unary if client_streams else channel.unary_unary)(name)

    async def relay_one(sent: object, context: Context) -> bytes:
        asked = ask(sent, metadata=_onward(context), timeout=context.time_remaining())
        try:
            answer = await asked
        except grpc.aio.AioRpcError as error:
            if initial := forwarded(await asked.initial_metadata()):
                await context.send_initial_metadata(initial)
            await _fail(context, error)
        if initial := forwarded(await asked.initial_metadata()):
            await context.send_initial_metadata(initial)
        context.set_trailing_metadata(forwarded(await asked.trailing_metadata()))
        return answer

    if client_streams:
        return grpc.stream_unary_rpc_method_handler(relay_one)
    return grpc.unary_unary_rpc_method_handler(relay_one)


def _onward(context: Context) -> list[MetadataPair]:
    return forwarded(context.invocation_metadata() or ())


async def _fail(context: Context, error: grpc.aio.AioRpcError) -> NoReturn:
    trailing = tuple(forwarded(error.trailing_metadata() or ()))
    if not trailing and error.code() in _OF_THE_CHANNEL:
        raise from_rpc_error(error) from None
    await context.abort(error.code(), error.details() or "", trailing)
