"""A process that is told to stop fails nobody."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.kernel.faults import Code
from services.runtime import status
from services.runtime.server import Server
from services.runtime.settings import SettingsError

PROGRAM = Path(__file__).with_name("tiny_process.py")
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def start(stack: AsyncExitStack, tmp_path: Path) -> Callable[..., Awaitable[tuple[asyncio.subprocess.Process, str]]]:
    """Starts the tiny service as a process of its own; gives the process and its address."""

    async def begin(address: str = "127.0.0.1:0") -> tuple[asyncio.subprocess.Process, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROGRAM),
            address,
            str(tmp_path / "process.log"),
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": ":".join([str(REPOSITORY), *sys.path]), "PATH": ""},
        )
        assert process.stdout

        async def end() -> None:
            if process.returncode is None:
                process.kill()
            await process.wait()

        stack.push_async_callback(end)
        port = (await process.stdout.readline()).decode().strip()
        return process, f"127.0.0.1:{port}"

    return begin


async def test_sigterm_says_not_serving_then_ends_watches_and_lets_calls_finish(
    tiny: Any, start: Any, connect: Any, stock: Any, tmp_path: Path
) -> None:
    process, address = await start()
    channel = await connect(address)
    health = health_pb2_grpc.HealthStub(await stock(address))
    states = health.Watch(health_pb2.HealthCheckRequest(service=tiny.service))
    assert (await states.read()).status == health_pb2.HealthCheckResponse.SERVING
    watch = channel.unary_stream(tiny.path("Watch"))(b"")
    assert await watch.read() == b"revision 41"
    in_flight = asyncio.ensure_future(one(channel, tiny.path("Slow"), b"1.2"))
    await asyncio.sleep(0.1)

    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert (await states.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert time.monotonic() - began < 0.4  # at once
    late = await (await stock(address)).unary_unary(tiny.path("Slow"))(b"0", metadata=tiny.authorization)
    assert late == b"done"  # while it settles, new calls are still answered
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watch.read()
    assert time.monotonic() - began > 0.45  # after the settle time
    fault = status.from_rpc_error(caught.value)
    assert (fault.code, fault.reason, fault.metadata) == (Code.UNAVAILABLE, "BACKEND_UNAVAILABLE", {"revision": "41"})
    assert fault.retry_after
    assert await in_flight == b"done"
    assert await asyncio.wait_for(process.wait(), 5) == 0
    assert time.monotonic() - began < 3  # an open health watch does not use up the grace time
    lines = [json.loads(line) for line in (tmp_path / "process.log").read_text().splitlines()]
    assert sorted((line["method"], line["code"]) for line in lines if "method" in line) == [
        (tiny.path("Slow"), "OK"),
        (tiny.path("Slow"), "OK"),
        (tiny.path("Watch"), "UNAVAILABLE"),
    ]
    said = [line["message"].partition(" on ")[0] for line in lines if line.get("logger") == "services.runtime.server"]
    assert said == ["tiny serves", "tiny drains", "tiny stopped"]


async def test_a_second_signal_does_not_wait(tiny: Any, start: Any, connect: Any) -> None:
    process, address = await start()
    channel = await connect(address)
    in_flight = asyncio.ensure_future(one(channel, tiny.path("Slow"), b"30"))
    await asyncio.sleep(0.1)
    process.send_signal(signal.SIGINT)
    await asyncio.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 3) == 1
    with pytest.raises(grpc.aio.AioRpcError):
        await in_flight


async def test_no_retryable_call_fails_while_one_of_two_servers_stops_under_load(
    tiny: Any, start: Any, connect: Any
) -> None:
    (first, one_address), (_, other_address) = await asyncio.gather(start(), start())
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config = {"methodConfig": [{"name": [{"service": tiny.service, "method": "Slow"}], "retryPolicy": policy}]}
    channel = await connect(f"ipv4:{one_address},{other_address}", json.dumps(config))
    answered, over = 0, asyncio.Event()

    async def client() -> None:
        nonlocal answered
        while not over.is_set():
            assert await one(channel, tiny.path("Slow"), b"0.002") == b"done"
            answered += 1

    async with asyncio.TaskGroup() as clients:
        for _ in range(8):
            clients.create_task(client())
        await asyncio.sleep(0.3)
        before = answered
        first.send_signal(signal.SIGTERM)
        assert await first.wait() == 0
        await asyncio.sleep(0.2)
        over.set()
    assert answered > before > 0


async def test_a_watch_that_does_not_listen_is_ended_all_the_same(tiny: Any, serve: Any, connect: Any) -> None:
    async def deaf(request: bytes, context: Any) -> Any:
        yield b"here"
        await asyncio.Event().wait()

    running = await serve(Watch=tiny.kinds["unary_stream"](deaf))
    watch = (await connect(running.address)).unary_stream(tiny.path("Watch"))(b"")
    assert await watch.read() == b"here"
    draining = asyncio.create_task(running.server.drain(0, 10))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watch.read()
    assert status.from_rpc_error(caught.value).reason == "BACKEND_UNAVAILABLE"
    await asyncio.wait_for(draining, 5)


async def test_calls_beyond_the_grace_time_are_cut(tiny: Any, serve: Any, connect: Any) -> None:
    async def dawdles(request: bytes, context: Any) -> bytes:
        await asyncio.sleep(60)
        return b""

    running = await serve(Do=dawdles)
    channel = await connect(running.address)
    in_flight = asyncio.ensure_future(one(channel, tiny.path("Do"), b""))
    while not running.door.calls:
        await asyncio.sleep(0.005)
    await asyncio.wait_for(running.server.drain(0, 0.2), 5)
    with pytest.raises(grpc.aio.AioRpcError):
        await in_flight
    assert running.door.calls == 0


async def test_a_port_that_is_taken_is_an_error_not_half_of_the_calls(serve: Any) -> None:
    running = await serve()
    with pytest.raises(SettingsError, match=rf"tiny cannot listen on {running.address}"):
        await serve(address=running.address)


async def test_draining_what_never_started_is_nothing(door: Any) -> None:
    await Server("tiny", "127.0.0.1:0", door, lambda server: []).drain(0, 0)


async def one(channel: Any, path: str, request: bytes) -> bytes:
    answer: bytes = await channel.unary_unary(path)(request)
    return answer
