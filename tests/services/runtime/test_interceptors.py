"""Every handler behind the door, whatever its kind."""

import asyncio
import json
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import wrappers_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.kernel.faults import Code, Fault
from services.runtime import call, status, wire
from services.runtime.settings import Limits

SECRET = "postgresql://owner:hunter2@db/shotline"

STYLES = ["unary_unary", "stream_unary", "unary_stream yields", "unary_stream writes", "stream_stream yields"]
STYLES.append("stream_stream writes")


def handler_that_raises(tiny: Any, style: str, error: Exception) -> Any:
    kind, _, way = style.partition(" ")

    async def raises(request: Any, context: Any) -> bytes:
        raise error

    async def yields(request: Any, context: Any) -> Any:
        yield b"first"
        raise error

    async def writes(request: Any, context: Any) -> None:
        await context.write(b"first")
        raise error

    return tiny.kinds[kind]({"yields": yields, "writes": writes}.get(way, raises))


async def outcome(channel: grpc.aio.Channel, path: str, style: str, **options: Any) -> grpc.aio.AioRpcError:
    kind = style.split()[0]
    request: Any = b"" if kind.startswith("unary") else iter([b""])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        answer = getattr(channel, kind)(path)(request, timeout=10, **options)
        if kind.endswith("stream"):
            async for _ in answer:
                pass
        else:
            await answer
    return caught.value


@pytest.mark.parametrize("style", STYLES)
async def test_text_of_an_unexpected_exception_stays_in_the_log(
    tiny: Any, serve: Any, stock: Any, caplog: pytest.LogCaptureFixture, style: str
) -> None:
    running = await serve(Do=handler_that_raises(tiny, style, RuntimeError(f"cannot connect to {SECRET}")))
    error = await outcome(await stock(running.address), tiny.path("Do"), style, metadata=tiny.authorization)
    assert "hunter2" not in str(error)
    fault = status.from_rpc_error(error)
    assert (fault.code, fault.reason) == (Code.INTERNAL, "INTERNAL")
    error_id = fault.metadata["error_id"]
    assert error_id in fault.message
    [record] = [record for record in caplog.records if error_id in record.getMessage()]
    assert record.exc_info
    assert SECRET in str(record.exc_info[1])


@pytest.mark.parametrize("style", STYLES)
async def test_a_fault_arrives_with_its_reason(tiny: Any, serve: Any, stock: Any, style: str) -> None:
    fault = Fault(Code.NOT_FOUND, "SHOT_NOT_FOUND", "no shot 7", metadata={"shot_id": "7"})
    running = await serve(Do=handler_that_raises(tiny, style, fault))
    error = await outcome(await stock(running.address), tiny.path("Do"), style, metadata=tiny.authorization)
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no shot 7")
    arrived = status.from_rpc_error(error)
    assert (arrived.reason, arrived.metadata) == ("SHOT_NOT_FOUND", {"shot_id": "7"})
    assert {(line["code"], line["reason"]) for line in running.lines()} == {("NOT_FOUND", "SHOT_NOT_FOUND")}


@pytest.mark.parametrize("style", STYLES)
async def test_without_the_token_nothing_is_done(tiny: Any, serve: Any, stock: Any, style: str) -> None:
    running = await serve(Do=handler_that_raises(tiny, style, AssertionError("reached")))
    channel = await stock(running.address)
    for metadata in ((), (("authorization", "Bearer wrong"),)):
        error = await outcome(channel, tiny.path("Do"), style, metadata=metadata)
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert status.from_rpc_error(error).reason == "TOKEN_INVALID"


async def test_answers_of_all_kinds_pass(tiny: Any, serve: Any, connect: Any) -> None:
    async def one(request: bytes, context: Any) -> bytes:
        return request + b"!"

    async def collects(requests: Any, context: Any) -> bytes:
        return b"".join([request async for request in requests])

    async def counts(request: bytes, context: Any) -> Any:
        for number in range(3):
            yield request + str(number).encode()

    async def echoes(requests: Any, context: Any) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(request)

    kinds = tiny.kinds
    running = await serve(
        One=one,
        Collect=kinds["stream_unary"](collects),
        Count=kinds["unary_stream"](counts),
        Later=kinds["unary_stream"](lambda request, context: counts(request, context)),
        Echo=kinds["stream_stream"](echoes),
    )
    channel = await connect(running.address)
    assert await channel.unary_unary(tiny.path("One"))(b"hi") == b"hi!"
    assert await channel.stream_unary(tiny.path("Collect"))(iter([b"a", b"b"])) == b"ab"
    for method in ("Count", "Later"):
        assert [item async for item in channel.unary_stream(tiny.path(method))(b"n")] == [b"n0", b"n1", b"n2"]
    assert [item async for item in channel.stream_stream(tiny.path("Echo"))(iter([b"a", b"b"]))] == [b"a", b"b"]
    assert [line["code"] for line in running.lines()] == ["OK"] * 5


async def test_a_status_that_the_handler_sends_itself_stands(tiny: Any, serve: Any, connect: Any) -> None:
    async def forwards(request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.DATA_LOSS, "as it was", (("backend", "7"),))
        raise AssertionError

    running = await serve(Do=forwards)
    error = await outcome(await connect(running.address), tiny.path("Do"), "unary_unary")
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "as it was")
    assert ("backend", "7") in tuple(error.trailing_metadata())
    assert running.lines()[0]["code"] == "DATA_LOSS"


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
async def test_an_unknown_method_is_unimplemented(tiny: Any, serve: Any, connect: Any, kind: str) -> None:
    running = await serve()
    channel = await connect(running.address)
    for path in (tiny.path("Nothing"), "/shotline.none.v1.None/Nothing"):
        error = await outcome(channel, path, kind)
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "grpc-status-details-bin" in dict(error.trailing_metadata())
        assert status.from_rpc_error(error).reason == "UNKNOWN_METHOD"
    assert {line["reason"] for line in running.lines()} == {"UNKNOWN_METHOD"}


async def test_an_unknown_method_is_nobodys_business_without_the_token(tiny: Any, serve: Any, stock: Any) -> None:
    running = await serve()
    error = await outcome(await stock(running.address), tiny.path("Nothing"), "unary_unary")
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_bytes_that_are_no_message_are_an_invalid_argument(tiny: Any, serve: Any, connect: Any) -> None:
    async def never(request: Any, context: Any) -> Any:
        async for _ in request:
            raise AssertionError
        return wrappers_pb2.StringValue()

    parse, dump = wrappers_pb2.StringValue.FromString, wrappers_pb2.StringValue.SerializeToString
    running = await serve(**{kind: make(never, parse, dump) for kind, make in tiny.kinds.items()})
    channel = await connect(running.address)
    for kind in tiny.kinds:
        request: Any = b"\xff\xff" if kind.startswith("unary") else iter([b"\xff\xff"])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            answer = getattr(channel, kind)(tiny.path(kind))(request)
            await (answer if kind.endswith("unary") else answer.read())
        assert (caught.value.code(), kind) == (grpc.StatusCode.INVALID_ARGUMENT, kind)


async def test_an_answer_that_is_no_message_is_our_own_error(tiny: Any, serve: Any, connect: Any) -> None:
    async def forgets(request: Any, context: Any) -> None:
        return None

    dump = wrappers_pb2.StringValue.SerializeToString
    running = await serve(Do=tiny.kinds["unary_unary"](forgets, None, dump))
    error = await outcome(await connect(running.address), tiny.path("Do"), "unary_unary")
    assert status.from_rpc_error(error).metadata["error_id"]


async def test_the_handler_knows_its_call(tiny: Any, serve: Any, connect: Any) -> None:
    async def tells(request: bytes, context: Any) -> bytes:
        current = call.current()
        assert current
        return json.dumps([current.method, current.request_id, current.principal.name, current.remaining()]).encode()

    running = await serve(Do=tells)
    do = (await connect(running.address)).unary_unary(tiny.path("Do"))
    method, request_id, principal, remaining = json.loads(
        await do(b"", timeout=7, metadata=(("x-request-id", "edit 4"),))
    )
    assert (method, request_id, principal) == (tiny.path("Do"), "edit 4", "tester")
    assert 6 < remaining <= 7.1


async def test_one_line_is_logged_for_each_call(tiny: Any, serve: Any, connect: Any) -> None:
    async def answers(request: bytes, context: Any) -> bytes:
        return request

    running = await serve(Do=answers)
    do = (await connect(running.address)).unary_unary(tiny.path("Do"))
    await do(b"", metadata=(("x-request-id", "edit-4"),))
    [line] = running.lines()
    assert list(line) == ["time", "method", "code", "reason", "ms", "request_id", "principal", "peer", "transport"]
    assert (line["method"], line["code"], line["request_id"]) == (tiny.path("Do"), "OK", "edit-4")
    assert (line["principal"], line["transport"]) == ("tester", "grpc")
    assert line["peer"].startswith("ipv4:127.0.0.1:")
    assert tiny.token not in running.log_file.read_text()


async def test_calls_beyond_the_limit_are_told_when_to_come_back(tiny: Any, serve: Any, connect: Any) -> None:
    may_end = asyncio.Event()

    async def waits(request: bytes, context: Any) -> bytes:
        await may_end.wait()
        return b"done"

    running = await serve(limits=Limits(calls=2), Do=waits)
    channel = await connect(running.address)
    do = channel.unary_unary(tiny.path("Do"))
    first = [asyncio.ensure_future(do(b"")) for _ in range(2)]
    while running.door.calls < 2:
        await asyncio.sleep(0.005)
    error = await outcome(channel, tiny.path("Do"), "unary_unary")
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    fault = status.from_rpc_error(error)
    assert fault.reason == "TOO_MANY_CALLS"
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    kinds = [detail.TypeName() for detail in status_pb2.Status.FromString(details).details]
    assert error_details_pb2.RetryInfo.DESCRIPTOR.full_name in kinds
    assert fault.retry_after
    check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert (await check).status == health_pb2.HealthCheckResponse.SERVING
    may_end.set()
    assert await asyncio.gather(*first) == [b"done"] * 2
    assert await do(b"") == b"done"
    assert running.door.calls == 0


async def test_watches_have_a_count_of_their_own(tiny: Any, serve: Any, connect: Any) -> None:
    async def watches(request: bytes, context: Any) -> Any:
        yield b"here"
        await asyncio.Event().wait()

    async def answers(request: bytes, context: Any) -> bytes:
        return b"done"

    running = await serve(limits=Limits(calls=1, watches=2), Watch=tiny.kinds["unary_stream"](watches), Do=answers)
    channel = await connect(running.address)
    open_watches = [channel.unary_stream(tiny.path("Watch"))(b"") for _ in range(2)]
    for watch in open_watches:
        assert await watch.read() == b"here"
    error = await outcome(channel, tiny.path("Watch"), "unary_stream")
    assert status.from_rpc_error(error).reason == "TOO_MANY_WATCHES"
    assert status.from_rpc_error(error).retry_after
    assert await channel.unary_unary(tiny.path("Do"))(b"") == b"done"
    open_watches[0].cancel()
    while running.door.watches == 2:
        await asyncio.sleep(0.005)
    third = channel.unary_stream(tiny.path("Watch"))(b"")
    assert await third.read() == b"here"


async def test_a_watch_outlives_the_deadline_of_calls(tiny: Any, serve: Any, connect: Any) -> None:
    async def watches(request: bytes, context: Any) -> Any:
        yield b"first"
        await asyncio.sleep(0.4)
        yield b"second"

    limits = Limits(default_timeout=0.1, longest_timeout=0.1)
    running = await serve(limits=limits, Watch=tiny.kinds["unary_stream"](watches))
    channel = await connect(running.address, timeout=0.1)
    assert [item async for item in channel.unary_stream(tiny.path("Watch"))(b"")] == [b"first", b"second"]


@pytest.mark.parametrize(
    ("limits", "timeout"),
    [(Limits(default_timeout=0.1), None), (Limits(longest_timeout=0.1), 60)],
    ids=["none stated", "too late"],
)
async def test_work_ends_at_the_servers_own_deadline(
    tiny: Any, serve: Any, stock: Any, limits: Limits, timeout: float | None
) -> None:
    ended = asyncio.Event()

    async def dawdles(request: bytes, context: Any) -> bytes:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return b""

    running = await serve(limits=limits, Do=dawdles)
    do = (await stock(running.address)).unary_unary(tiny.path("Do"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await do(b"", metadata=tiny.authorization, timeout=timeout)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert status.from_rpc_error(caught.value).reason == "DEADLINE_EXCEEDED"
    assert ended.is_set()
    assert running.lines()[0]["code"] == "DEADLINE_EXCEEDED"


async def test_a_caller_who_hangs_up_ends_the_work(tiny: Any, serve: Any, connect: Any) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def dawdles(request: bytes, context: Any) -> bytes:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return b""

    running = await serve(Do=dawdles)
    calling = (await connect(running.address)).unary_unary(tiny.path("Do"))(b"")
    waiting = asyncio.ensure_future(began.wait())
    await asyncio.wait([waiting, asyncio.ensure_future(calling.code())], return_when=asyncio.FIRST_COMPLETED)
    calling.cancel()
    await asyncio.wait_for(ended.wait(), 5)
    while not running.lines():
        await asyncio.sleep(0.005)
    assert running.lines()[0]["code"] == "CANCELLED"
    assert running.door.calls == 0


async def test_stock_health_watch_works_without_a_token(tiny: Any, serve: Any, stock: Any) -> None:
    running = await serve()
    health = health_pb2_grpc.HealthStub(await stock(running.address))
    kinds = health_pb2.HealthCheckResponse
    watch = health.Watch(health_pb2.HealthCheckRequest(service=tiny.service))
    assert (await watch.read()).status == kinds.SERVING
    await running.server.set_serving(tiny.service, False)
    assert (await watch.read()).status == kinds.NOT_SERVING
    assert (await health.Check(health_pb2.HealthCheckRequest(service=tiny.service))).status == kinds.NOT_SERVING
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == kinds.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(health_pb2.HealthCheckRequest(service="shotline.none.v1.None"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert running.door.watches == 0
    watch.cancel()


@pytest.mark.parametrize("version", ["v1alpha", "v1"])
async def test_reflection_lists_the_services_to_those_who_have_the_token(
    tiny: Any, serve: Any, stock: Any, version: str
) -> None:
    running = await serve()
    channel = await stock(running.address)
    info = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await info(iter(asked)).read()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    answer = await info(iter(asked), metadata=tiny.authorization).read()
    names = {service.name for service in answer.list_services_response.service}
    assert names == {tiny.service, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_reflection_that_is_kept_open_is_a_call_with_a_deadline(tiny: Any, serve: Any, connect: Any) -> None:
    running = await serve(limits=Limits(watches=0, default_timeout=0.2))
    stub = reflection_pb2_grpc.ServerReflectionStub(await connect(running.address))
    info = stub.ServerReflectionInfo()
    await info.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    assert (await info.read()).HasField("list_services_response")
    assert (running.door.calls, running.door.watches) == (1, 0)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await info.read()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert running.door.calls == 0


async def test_messages_up_to_32_mib_pass_and_larger_ones_are_refused(tiny: Any, serve: Any, connect: Any) -> None:
    async def answers(request: bytes, context: Any) -> bytes:
        return bytes(int(request)) if len(request) < 20 else str(len(request)).encode()

    running = await serve(Do=answers)
    limit = 32 * 1024 * 1024
    channel = await connect(running.address)
    do = channel.unary_unary(tiny.path("Do"))
    assert await do(bytes(limit)) == str(limit).encode()
    assert len(await do(str(limit).encode())) == limit
    for request in (bytes(limit + 1), str(limit + 1).encode()):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await do(request)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert status.from_rpc_error(caught.value).reason == "TOO_LARGE"


async def test_the_server_itself_refuses_more_than_32_mib(tiny: Any, serve: Any, stock: Any) -> None:
    async def answers(request: bytes, context: Any) -> bytes:
        return bytes(32 * 1024 * 1024 + 1)

    running = await serve(Do=answers)
    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    do = (await stock(running.address, *unlimited)).unary_unary(tiny.path("Do"))
    for request in (bytes(32 * 1024 * 1024 + 1), b""):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await do(request, metadata=tiny.authorization)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_20_kb_of_metadata_are_refused_and_15_kb_pass(tiny: Any, serve: Any, stock: Any) -> None:
    async def answers(request: bytes, context: Any) -> bytes:
        return b"done"

    running = await serve(Do=answers)
    do = (await stock(running.address)).unary_unary(tiny.path("Do"))
    assert await do(b"", metadata=(*tiny.authorization, ("x-note", "n" * 15_000))) == b"done"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await do(b"", metadata=(*tiny.authorization, ("x-note", "n" * 20_000)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_answer_over_the_limit_is_refused_with_its_reason(tiny: Any, serve: Any, connect: Any) -> None:
    """gRPC alone would say it without a reason, and the access log would say OK."""

    async def too_much(request: bytes, context: Any) -> bytes:
        return bytes(wire.MAX_MESSAGE + 1)

    running = await serve(Do=too_much)
    error = await outcome(await connect(running.address), tiny.path("Do"), "unary_unary")
    fault = status.from_rpc_error(error)
    assert (fault.code.name, fault.reason) == ("RESOURCE_EXHAUSTED", "TOO_LARGE")
    assert running.lines()[-1]["reason"] == "TOO_LARGE"
