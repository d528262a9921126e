"""A server of the asset graph in this process, and clients of it."""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import grpc.aio
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from services.asset_graph.main import SERVICE, AssetGraph
from services.asset_graph.settings import Settings
from services.runtime.admission import Door
from services.runtime.call import Principal
from services.runtime.logs import Log
from services.runtime.settings import Limits, ServerSettings
from services.runtime.status import from_rpc_error
from services.runtime.tokens import StaticTokens
from tests.postgres import Database

METHODS = pb.DESCRIPTOR.services_by_name["AssetGraphService"].methods_by_name
OPERATOR = Principal(name="operator")
ANNE = Principal(name="anne", workspaces=frozenset({"a"}))
BERT = Principal(name="bert", workspaces=frozenset({"b"}))


class Client:
    """Calls methods by name with the fields of their requests: `await client.GetAsset(id=…)`. Raises faults."""

    def __init__(self, channel: grpc.aio.Channel, principal: Principal) -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {principal.name}"), ("x-client", "desk"))

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(request: Message | None = None, timeout: float = 20, **fields: Any) -> Message:
            method = METHODS[name]
            sent = GetMessageClass(method.input_type)(**fields) if request is None else request
            try:
                answer = await self.raw(name, sent.SerializeToString(), timeout)
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from None
            return GetMessageClass(method.output_type).FromString(answer)

        return call

    async def raw(self, name: str, request: bytes, timeout: float = 20) -> bytes:
        """The bytes of an answer to bytes."""
        call: Any = self._channel.unary_unary(f"/{SERVICE}/{name}")
        answer: bytes = await call(request, metadata=self._metadata, timeout=timeout)
        return answer

    def watch(self, **fields: Any) -> Any:
        """The stream of a watch."""
        method: Any = self._channel.unary_stream(
            f"/{SERVICE}/WatchChanges",
            request_serializer=pb.WatchChangesRequest.SerializeToString,
            response_deserializer=pb.WatchChangesResponse.FromString,
        )
        return method(pb.WatchChangesRequest(**fields), metadata=self._metadata)

    async def ids(self, method: str, field: str, **fields: Any) -> list[str]:
        """The ids that a list has, over all of its pages."""
        found: list[str] = []
        while True:
            answer = await getattr(self, method)(**fields)
            for item in getattr(answer, field):
                found.append(item.asset.id if hasattr(item, "asset") else item.id)
            if not answer.next_page_token:
                return found
            fields["page_token"] = answer.next_page_token


class Serving:
    """A server with its database, and clients of several principals."""

    def __init__(self, database: Database, graph: AssetGraph, door: Door, channel: grpc.aio.Channel, port: int) -> None:
        self.database = database
        self.graph = graph
        self.door = door
        self.channel = channel
        self.port = port
        self.client, self.anne, self.bert = (Client(channel, each) for each in (OPERATOR, ANNE, BERT))

    async def sql(self, *statements: str) -> list[asyncpg.Record]:
        """The operator carries statements out; the rows of the last one."""
        connection = await asyncpg.connect(self.database.operator_url)
        try:
            *before, last = statements
            for statement in before:
                await connection.execute(statement)
            return await connection.fetch(last)
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def serving(
    database: Database, *, connections: int = 4, limits: Mapping[str, Any] | None = None
) -> AsyncIterator[Serving]:
    """A server that began, until the block ends."""
    server = ServerSettings(
        address="127.0.0.1:0",
        token_file=Path("/none"),
        limits=Limits(**(limits or {})),
        settle=0,
        grace=1,
    )
    descriptor = os.open(os.devnull, os.O_WRONLY)
    door = Door(StaticTokens({each.name: each for each in (OPERATOR, ANNE, BERT)}), server.limits, Log(descriptor))
    graph = AssetGraph(Settings(server=server, database_url=database.app_url, connections=connections), door)
    try:
        port = await graph.start()
        options = (("grpc.max_receive_message_length", 64 << 20),)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            yield Serving(database, graph, door, channel, port)
    finally:
        await graph.drain()
        os.close(descriptor)
