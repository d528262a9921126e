"""What a channel adds to a call, on real servers."""

import asyncio
import inspect
import json
from collections import Counter
from typing import Any

import grpc
import grpc.aio
import pytest

from services.kernel.faults import Code, Fault
from services.runtime import channels, status
from services.runtime.admission import Door

PACKAGES = ["asset_graph", "sequence_file", "session", "studio"]


def retrying(service: str, *methods: str) -> str:
    """A service config as those beside the contracts, only faster."""
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.01s",
        "maxBackoff": "0.05s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    names = [{"service": service, "method": method} for method in methods]
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": policy}]})


async def tells_time_left(request: bytes, context: Any) -> bytes:
    return json.dumps([context.time_remaining(), dict(context.invocation_metadata())]).encode()


async def test_the_server_sees_the_channels_default_deadline(tiny: Any, serve: Any, connect: Any) -> None:
    running = await serve(Do=tells_time_left)
    do = (await connect(running.address, timeout=12.0)).unary_unary(tiny.path("Do"))
    left, _ = json.loads(await do(b""))
    assert 11 < left <= 12.1
    left, _ = json.loads(await do(b"", timeout=3))
    assert 2 < left <= 3.1


async def test_a_stream_of_answers_has_no_default_deadline(tiny: Any, serve: Any, connect: Any) -> None:
    async def tells(request: bytes, context: Any) -> Any:
        yield await tells_time_left(request, context)

    running = await serve(Do=tiny.kinds["unary_stream"](tells))
    [answer] = [item async for item in (await connect(running.address)).unary_stream(tiny.path("Do"))(b"")]
    assert json.loads(answer)[0] is None


def test_a_timeout_in_a_service_config_is_refused() -> None:
    config = json.dumps({"methodConfig": [{"name": [{}], "timeout": "2s"}]})
    with pytest.raises(ValueError, match="timeout"):
        channels.open_channel("127.0.0.1:1", service_configs=[config])


@pytest.mark.parametrize("context", PACKAGES)
def test_the_service_config_beside_a_contract_retries_only_what_may_be_sent_again(context: str) -> None:
    config = json.loads(channels.service_config(f"shotline.{context}.v1"))
    for entry in config["methodConfig"]:
        assert "timeout" not in entry
        assert entry["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"]
        assert all(name.get("method") for name in entry["name"])


@pytest.mark.parametrize(
    ("method", "code", "attempts"),
    [
        ("Get", Code.UNAVAILABLE, 4),
        ("Create", Code.UNAVAILABLE, 1),
        ("Get", Code.ABORTED, 1),
        ("Get", Code.INTERNAL, 1),
        ("Get", Code.RESOURCE_EXHAUSTED, 1),
        ("Get", Code.DEADLINE_EXCEEDED, 1),
    ],
)
async def test_only_unavailable_is_retried_and_only_for_listed_methods(
    tiny: Any, serve: Any, connect: Any, method: str, code: Code, attempts: int
) -> None:
    seen = Counter[str]()

    async def fails(request: bytes, context: Any) -> bytes:
        seen[method] += 1
        raise Fault(code, "BROKEN", "broken")

    running = await serve(Get=fails, Create=fails)
    channel = await connect(running.address, retrying(tiny.service, "Get"), retrying("shotline.other.v1.Other", "Do"))
    with pytest.raises(grpc.aio.AioRpcError):
        await channel.unary_unary(tiny.path(method))(b"")
    assert seen == {method: attempts}


async def test_a_retried_call_succeeds_once_the_server_can(tiny: Any, serve: Any, connect: Any) -> None:
    failures = iter([True, True, False])

    async def recovers(request: bytes, context: Any) -> bytes:
        if next(failures):
            raise Fault(Code.UNAVAILABLE, "LOCK_TIMEOUT", "busy")
        return b"done"

    running = await serve(Get=recovers)
    channel = await connect(running.address, retrying(tiny.service, "Get"))
    assert await channel.unary_unary(tiny.path("Get"))(b"") == b"done"


async def test_calls_go_round_two_servers(tiny: Any, serve: Any, connect: Any) -> None:
    first, second = [await serve(Do=answers(name)) for name in (b"first", b"second")]
    channel = await connect(f"ipv4:127.0.0.1:{first.port},127.0.0.1:{second.port}")
    do = channel.unary_unary(tiny.path("Do"))
    while await do(b"") == await do(b""):  # until both are connected
        await asyncio.sleep(0.01)
    assert Counter([await do(b"") for _ in range(20)]) == {b"first": 10, b"second": 10}


async def test_a_server_that_says_not_serving_gets_no_calls(tiny: Any, serve: Any, connect: Any) -> None:
    first, second = [await serve(Do=answers(name)) for name in (b"first", b"second")]
    do = (await connect(f"ipv4:127.0.0.1:{first.port},127.0.0.1:{second.port}")).unary_unary(tiny.path("Do"))
    while {await do(b"") for _ in range(4)} != {b"first", b"second"}:
        await asyncio.sleep(0.01)
    await first.server.set_serving("", False)
    while {await do(b"") for _ in range(4)} != {b"second"}:
        await asyncio.sleep(0.01)
    assert {await do(b"") for _ in range(10)} == {b"second"}
    await first.server.set_serving("", True)
    while {await do(b"") for _ in range(4)} != {b"first", b"second"}:
        await asyncio.sleep(0.01)


async def test_a_server_that_comes_back_is_found_again(tiny: Any, serve: Any, connect: Any) -> None:
    running = await serve(Do=answers(b"old"))
    do = (await connect(running.address)).unary_unary(tiny.path("Do"))
    assert await do(b"") == b"old"
    await running.server.drain(0, 0)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await do(b"")
    assert status.from_rpc_error(caught.value).reason == "BACKEND_UNAVAILABLE"
    await serve(Do=answers(b"new"), address=running.address)
    assert await do(b"", wait_for_ready=True, timeout=10) == b"new"


async def test_the_call_that_is_being_answered_is_passed_on(tiny: Any, serve: Any, connect: Any, door: Door) -> None:
    running = await serve(Do=tells_time_left)
    do = (await connect(running.address, token="not this one")).unary_unary(tiny.path("Do"))
    headers = {"authorization": f"Bearer {tiny.token}", "x-request-id": "edit-4"}
    async with door.admit("/outer", headers, timeout=10):
        left, sent = json.loads(await do(b""))
        assert (sent["x-request-id"], sent["authorization"]) == ("edit-4", f"Bearer {tiny.token}")
        assert 9.0 < left <= 9.51  # 5 % stay here, for the answer
        left, _ = json.loads(await do(b"", timeout=2))
        assert 1 < left <= 2.1
        _, sent = json.loads(await do(b"", metadata=(("x-request-id", "own"),)))
        assert sent["x-request-id"] == "own"
    async with door.admit("/outer", headers, timeout=0.15):
        left, _ = json.loads(await do(b""))
        assert left < 0.142  # 10 ms stay here, but for how gRPC rounds
    async with door.admit("/watch", headers, timeout=None, watch=True):
        left, _ = json.loads(await do(b""))
        assert 29 < left <= 30.1


async def test_the_client_of_the_call_that_is_being_answered_is_passed_on(
    tiny: Any, serve: Any, connect: Any, door: Door
) -> None:
    running = await serve(Do=tells_time_left)
    do = (await connect(running.address, client="gateway")).unary_unary(tiny.path("Do"))

    async def told(**call: Any) -> object:
        return json.loads(await do(b"", **call))[1].get("x-client")

    assert await told() == "gateway"
    async with door.admit("/outer", {"authorization": f"Bearer {tiny.token}", "x-client": "editor"}, timeout=10):
        assert await told() == "editor"
        assert await told(metadata=(("x-client", "own"),)) == "own"
    unnamed = (await connect(running.address)).unary_unary(tiny.path("Do"))
    assert "x-client" not in json.loads(await unnamed(b""))[1]


async def test_a_calls_own_headers_come_first(tiny: Any, serve: Any, connect: Any) -> None:
    running = await serve(Do=tells_time_left)
    do = (await connect(running.address, token="wrong")).unary_unary(tiny.path("Do"))
    _, sent = json.loads(await do(b"", metadata=(*tiny.authorization, ("x-note", "1"))))
    assert (sent["authorization"], sent["x-note"]) == (f"Bearer {tiny.token}", "1")


async def test_the_deadline_gets_shorter_with_each_hop(tiny: Any, serve: Any, connect: Any) -> None:
    inner = await serve(Do=tells_time_left)
    to_inner = (await connect(inner.address, token=None)).unary_unary(tiny.path("Do"))

    async def forwards(request: bytes, context: Any) -> bytes:
        here = context.time_remaining()
        there, _ = json.loads(await to_inner(b""))
        return json.dumps([here, there]).encode()

    outer = await serve(Do=forwards)
    here, there = json.loads(await (await connect(outer.address)).unary_unary(tiny.path("Do"))(b"", timeout=10))
    assert 8.5 < there < here - 0.4 < 10


async def test_a_call_of_the_stub_can_be_awaited_but_is_no_coroutine(tiny: Any, serve: Any, connect: Any) -> None:
    running = await serve(Do=answers(b"done"))
    do = (await connect(running.address)).unary_unary(tiny.path("Do"))
    calls = [do(b"") for _ in range(3)]
    assert all(inspect.isawaitable(one) and not inspect.iscoroutine(one) for one in calls)
    assert await asyncio.gather(*calls) == [b"done"] * 3
    async with asyncio.TaskGroup() as group:
        with pytest.raises(TypeError, match="coroutine"):
            group.create_task(do(b""))  # which is why compositions wrap them


async def test_a_proxy_of_the_environment_is_not_asked(
    tiny: Any, serve: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    running = await serve(Do=answers(b"done"))
    assert await (await connect(running.address)).unary_unary(tiny.path("Do"))(b"", timeout=5) == b"done"


async def test_health_is_watched_over_changes_and_restarts(tiny: Any, serve: Any, connect: Any) -> None:
    running = await serve()
    health = channels.watch_health(await connect(running.address), tiny.service)
    assert await anext(health) is True
    await running.server.set_serving(tiny.service, False)
    assert await anext(health) is False
    await running.server.set_serving(tiny.service, True)
    assert await anext(health) is True
    await running.server.drain(0, 0)
    assert await anext(health) is False
    await serve(address=running.address)
    assert await asyncio.wait_for(anext(health), 10) is True
    await health.aclose()


async def test_a_server_that_is_away_is_not_serving(serve: Any, connect: Any) -> None:
    running = await serve()
    await running.server.drain(0, 0)
    health = channels.watch_health(await connect(running.address), "")
    assert await anext(health) is False
    await serve(address=running.address)
    assert await anext(health) is True
    await health.aclose()


async def test_waiting_until_serving_ends_when_it_does(tiny: Any, serve: Any, connect: Any) -> None:
    running = await serve()
    await running.server.set_serving(tiny.service, False)
    channel = await connect(running.address)
    waiting = asyncio.create_task(channels.wait_until_serving(channel, tiny.service, 10))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await running.server.set_serving(tiny.service, True)
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("there", [True, False])
async def test_waiting_until_serving_gives_up(tiny: Any, serve: Any, connect: Any, there: bool) -> None:
    running = await serve()
    if there:
        await running.server.set_serving(tiny.service, False)
    else:
        await running.server.drain(0, 0)
    with pytest.raises(Fault) as caught:
        await channels.wait_until_serving(await connect(running.address), tiny.service, 0.1)
    assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "BACKEND_UNAVAILABLE")


def answers(name: bytes) -> Any:
    async def answer(request: bytes, context: Any) -> bytes:
        return name

    return answer
