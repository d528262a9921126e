"""A service that the gateway does not know: all four kinds of methods, made from a descriptor, answering raw bytes."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "shotline.probe.v1"
SERVICE = f"{PACKAGE}.ProbeService"


def _contract() -> FileDescriptor:
    string, single = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    text = descriptor_pb2.FieldDescriptorProto(name="text", json_name="text", number=1, type=string, label=single)
    methods = [
        descriptor_pb2.MethodDescriptorProto(
            name=name,
            input_type=f".{PACKAGE}.Probe",
            output_type=f".{PACKAGE}.Probe",
            client_streaming=client_streaming,
            server_streaming=server_streaming,
        )
        for name, client_streaming, server_streaming in (
            ("One", False, False),
            ("Many", False, True),
            ("Gather", True, False),
            ("Talk", True, True),
        )
    ]
    file = descriptor_pb2.FileDescriptorProto(
        name="shotline/probe/v1/probe_service.proto",
        package=PACKAGE,
        syntax="proto3",
        message_type=[descriptor_pb2.DescriptorProto(name="Probe", field=[text])],
        service=[descriptor_pb2.ServiceDescriptorProto(name="ProbeService", method=methods)],
    )
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    contract = pool.FindFileByName(file.name)
    assert isinstance(contract, FileDescriptor)
    return contract


CONTRACT = _contract()
Probe = GetMessageClass(CONTRACT.message_types_by_name["Probe"])
# "hello" and a field 15 that no contract has.
WITH_UNKNOWN = Probe(text="hello").SerializeToString() + b"\x7a\x03new"

Context = grpc.aio.ServicerContext[bytes, bytes]


class ProbeServer(grpc.GenericRpcHandler):
    """Echoes, and remembers what came with the call."""

    def __init__(self) -> None:
        self.metadata: dict[str, str | bytes] = {}
        self.seconds: float | None = None
        self.begun = asyncio.Event()
        self.hanging = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.port = 0
        self._server = grpc.aio.server()

    async def start(self) -> None:
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(0)

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        match details.method.removeprefix(f"/{SERVICE}/"):
            case "One" | "Newer":
                return grpc.unary_unary_rpc_method_handler(self._one)
            case "Many":
                return grpc.unary_stream_rpc_method_handler(self._many)
            case "Gather":
                return grpc.stream_unary_rpc_method_handler(self._gather)
            case "Talk":
                return grpc.stream_stream_rpc_method_handler(self._talk)
        return None

    async def _one(self, request: bytes, context: Context) -> bytes:
        await self._meet(context)
        if b"fail" in request:
            await context.abort(grpc.StatusCode.DATA_LOSS, "it is gone", (("x-why", "mice"), ("x-why-bin", b"\0\xff")))
        if b"hang" in request:
            await self._hang()
        self._part(context)
        return request

    async def _many(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        await self._meet(context)
        for _ in range(3):
            yield request
        if b"fail" in request:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no more", (("x-why", "mice"),))
        if b"hang" in request:
            await self._hang()
        self._part(context)

    async def _gather(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        await self._meet(context)
        everything = [request async for request in requests]
        self._part(context)
        return everything[-1] + bytes((0x7A, len(everything))) + b"." * len(everything)

    async def _talk(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        await self._meet(context)
        async for request in requests:
            yield request
        self._part(context)

    async def _meet(self, context: Context) -> None:
        self.metadata = dict(context.invocation_metadata() or ())
        self.seconds = context.time_remaining()
        await context.send_initial_metadata((("x-first", "1"), ("x-first-bin", b"\1\xfe")))
        self.begun.set()

    async def _hang(self) -> None:
        self.hanging.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def _part(self, context: Context) -> None:
        context.set_trailing_metadata((("x-last", "2"), ("x-last-bin", b"\2\xfd")))


def both(initial: Sequence[tuple[str, str | bytes]], trailing: Sequence[tuple[str, str | bytes]]) -> bool:
    """Whether the metadata of both ends came through."""
    return {("x-first", "1"), ("x-first-bin", b"\1\xfe")} <= set(initial) and {
        ("x-last", "2"),
        ("x-last-bin", b"\2\xfd"),
    } <= set(trailing)
