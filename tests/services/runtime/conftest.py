"""A tiny service of bytes, served by the real builder on a real port."""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from services.runtime.admission import Door
from services.runtime.call import Principal
from services.runtime.channels import open_channel
from services.runtime.logs import Log
from services.runtime.server import Server
from services.runtime.settings import Limits
from services.runtime.tokens import StaticTokens

SERVICE = "shotline.tiny.v1.TinyService"
TOKEN = "right-token"

KINDS: Mapping[str, Callable[..., Any]] = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
    "stream_unary": grpc.stream_unary_rpc_method_handler,
    "stream_stream": grpc.stream_stream_rpc_method_handler,
}


@dataclass
class Running:
    """A server under test, with what a test wants to see of it."""

    server: Server
    door: Door
    port: int
    log_file: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]


Serve = Callable[..., Awaitable[Running]]


@dataclass
class Tiny:
    """What tests say often."""

    service: str = SERVICE
    token: str = TOKEN
    authorization: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {TOKEN}"),)
    kinds: Mapping[str, Callable[..., Any]] = field(default_factory=lambda: KINDS)

    def path(self, method: str) -> str:
        return f"/{self.service}/{method}"


@pytest.fixture
def tiny() -> Tiny:
    return Tiny()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def log_descriptor(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "access.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def log_file(tmp_path: Path, log_descriptor: int) -> Path:
    return tmp_path / "access.log"


@pytest.fixture
def door(log_descriptor: int) -> Door:
    return a_door(log_descriptor, Limits())


@pytest.fixture
def serve(stack: AsyncExitStack, log_descriptor: int, log_file: Path) -> Serve:
    """Starts the tiny service: its methods as handlers by name, of the kind `unary_unary` unless a handler
    is a whole RpcMethodHandler."""

    async def start(*, limits: Limits | None = None, address: str = "127.0.0.1:0", **handlers: Any) -> Running:
        whole = {
            name: handler if isinstance(handler, grpc.RpcMethodHandler) else KINDS["unary_unary"](handler)
            for name, handler in handlers.items()
        }

        def register(server: grpc.aio.Server) -> list[str]:
            server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, whole)])
            return [SERVICE]

        door = a_door(log_descriptor, limits or Limits())
        server = Server("tiny", address, door, register)
        port = await server.start()
        stack.push_async_callback(server.drain, 0, 0)
        return Running(server, door, port, log_file)

    return start


@pytest.fixture
def connect(stack: AsyncExitStack) -> Callable[..., Awaitable[grpc.aio.Channel]]:
    """Opens one of our channels, with the right token."""

    async def open_it(address: str, *service_configs: str, **options: Any) -> grpc.aio.Channel:
        options.setdefault("token", TOKEN)
        return await stack.enter_async_context(open_channel(address, service_configs=service_configs, **options))

    return open_it


@pytest.fixture
def stock(stack: AsyncExitStack) -> Callable[..., Awaitable[grpc.aio.Channel]]:
    """Opens a channel as any client would, with default options and no token."""

    async def open_it(address: str, *options: tuple[str, Any]) -> grpc.aio.Channel:
        return await stack.enter_async_context(grpc.aio.insecure_channel(address, options))

    return open_it


def a_door(descriptor: int, limits: Limits) -> Door:
    return Door(StaticTokens({TOKEN: Principal(name="tester")}), limits, Log(descriptor))
