"""Both sides of the graph's bench: a running asset graph, and a bare gRPC call beside hand-written statements.

python -m tests.bench.graph_sides    serves the bare call and prints its port.
"""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from shotline.asset_graph.v1 import asset_graph_service_pb2_grpc as pb_grpc

from services.local import ports
from services.runtime import process
from services.runtime.tokens import Grant, SignedTokens, make_key_file, new_token, read_key_file
from tests.postgres import Database

ROOT = Path(__file__).parents[2]
ECHO = "/bench.Echo/Call"
START_TIMEOUT = 30.0  # seconds
_CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # each channel is a connection of its own
)

Turn = Callable[[], Awaitable[float]]  # does the work once; gives the milliseconds that it took


class Client:
    """A caller whose token holds some workspaces, on a connection of its own."""

    def __init__(self, address: str, token: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL)
        self.stub = pb_grpc.AssetGraphServiceStub(self._channel)
        self.metadata = (("authorization", f"Bearer {token}"),)

    async def ready(self) -> None:
        """Return when its connection stands."""
        await asyncio.wait_for(self._channel.channel_ready(), START_TIMEOUT)

    async def close(self) -> None:
        await self._channel.close()


class Service:
    """A running asset-graph process."""

    def __init__(self, address: str, key: bytes, pid: int) -> None:
        self._address = address
        self._tokens = SignedTokens(key)
        self.pid = pid

    @asynccontextmanager
    async def client(self, *workspaces: str) -> AsyncIterator[Client]:
        """A connection with a token of these workspaces."""
        grant = Grant(id=secrets.token_hex(4), name="bench", workspaces=frozenset(workspaces), expires=None)
        client = Client(self._address, self._tokens.sign(grant))
        try:
            await client.ready()
            yield client
        finally:
            await client.close()


@contextmanager
def service(folder: Path, database: Database) -> Iterator[Service]:
    """An asset graph on a database, as the role that row-level security holds; it logs as it does by default."""
    folder.mkdir(parents=True)
    (folder / "token").write_text(new_token())
    make_key_file(folder / "key")
    address = f"127.0.0.1:{ports.chosen('auto').asset_graph}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHOTLINE_")} | {
        "SHOTLINE_GRPC_ADDRESS": address,
        "SHOTLINE_DATABASE_URL": database.app_url,
        "SHOTLINE_TOKEN_FILE": str(folder / "token"),
        "SHOTLINE_TOKEN_KEY_FILE": str(folder / "key"),
        "SHOTLINE_LOG_FILE": str(folder / "log"),
        "SHOTLINE_SETTLE": "0",
    }
    with running("services.asset_graph.main", environment) as child:
        yield Service(address, read_key_file(folder / "key"), child.pid)


@contextmanager
def running(module: str, environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """A Python program, for as long as the block lasts."""
    child = subprocess.Popen(
        [sys.executable, "-m", module], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(timeout=30)


@asynccontextmanager
async def bare_call() -> AsyncIterator[Turn]:
    """A call of a gRPC server in another process that gives back what it gets, and does nothing else."""
    with running("tests.bench.graph_sides", dict(os.environ)) as child:
        assert child.stdout
        port = child.stdout.readline().strip()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_CHANNEL) as channel:
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(ECHO)
            await asyncio.wait_for(channel.channel_ready(), START_TIMEOUT)
            body = bytes(64)

            async def turn() -> float:
                began = time.perf_counter()
                await method(body)
                return (time.perf_counter() - began) * 1e3

            yield turn


async def alternating(rounds: int, count: int, *sides: Turn) -> list[list[list[float]]]:
    """The times of each side by round, all sides in each round. A first round warms all up and is not told; who begins
    changes, so that a machine that becomes slower or faster favours none."""
    times: list[list[list[float]]] = [[] for _ in sides]
    for number in range(rounds + 1):
        for place in range(len(sides)):
            side = (place + number) % len(sides)
            took = [await sides[side]() for _ in range(count)]
            if number:
                times[side].append(took)
    return times


def timed(work: Callable[[], Awaitable[object]]) -> Turn:
    """The milliseconds of a piece of work."""

    async def turn() -> float:
        began = time.perf_counter()
        await work()
        return (time.perf_counter() - began) * 1e3

    return turn


def together(*turns: Turn) -> Turn:
    """One after the other: the sum of their milliseconds."""

    async def turn() -> float:
        return sum([await each() for each in turns])

    return turn


def ask(client: Client, method: str) -> Callable[[object], Awaitable[object]]:
    """A method of the service, with the client's token."""
    call = getattr(client.stub, method)
    return lambda request: call(request, metadata=client.metadata, timeout=60)


async def _echo(stopping: asyncio.Event) -> None:
    async def echo(request: bytes, _: object) -> bytes:
        return request

    class Handlers(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
            return grpc.unary_unary_rpc_method_handler(echo) if handler_call_details.method == ECHO else None

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handlers(),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    process.warmed_up()
    await stopping.wait()
    await server.stop(None)


if __name__ == "__main__":
    process.run(_echo)
