"""Forwarding byte for byte over gRPC: messages, metadata, deadline, trailers, streams, cancellation, reflection."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.descriptor import FileDescriptor
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as files_grpc

from gateway.forward import CONTRACTS
from services.runtime.channels import watch_health
from tests.services.gateway import probe
from tests.services.gateway.conftest import OPENING, PROJECT, TOKEN, Rig
from tests.services.gateway.probe import WITH_UNKNOWN, ProbeServer

FILES = "shotline.sequence_file.v1.SequenceFileService"

pytestmark = pytest.mark.parametrize("wiring", ["in process"])


@pytest.fixture
async def server() -> AsyncIterator[ProbeServer]:
    server = ProbeServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def contracts(server: ProbeServer) -> tuple[FileDescriptor, ...]:
    return (*CONTRACTS, probe.CONTRACT)


@pytest.fixture
def more_addresses(server: ProbeServer) -> dict[str, str]:
    return {probe.PACKAGE: f"127.0.0.1:{server.port}"}


async def test_a_unary_call_passes_with_fields_nobody_here_knows(rig: Rig, server: ProbeServer) -> None:
    sent = (("x-mine", "a"), ("x-mine-bin", b"\0\xff"), ("x-request-id", "mine-7"), ("x-client", "editor"))
    call = rig.channel.unary_unary(f"/{probe.SERVICE}/One")(WITH_UNKNOWN, metadata=sent, timeout=7)
    assert await call == WITH_UNKNOWN
    assert probe.both(tuple(await call.initial_metadata()), tuple(await call.trailing_metadata()))
    assert set(sent) <= set(server.metadata.items())
    assert server.metadata["authorization"] == f"Bearer {TOKEN}"
    assert server.seconds is not None
    assert 5 < server.seconds < 7


async def test_a_stream_of_answers_passes(rig: Rig, server: ProbeServer) -> None:
    call = rig.channel.unary_stream(f"/{probe.SERVICE}/Many")(WITH_UNKNOWN)
    assert [message async for message in call] == [WITH_UNKNOWN] * 3
    assert probe.both(tuple(await call.initial_metadata()), tuple(await call.trailing_metadata()))
    assert server.seconds is None  # a stream without a deadline is given none


async def test_a_stream_of_requests_passes(rig: Rig, server: ProbeServer) -> None:
    call = rig.channel.stream_unary(f"/{probe.SERVICE}/Gather")(iter([WITH_UNKNOWN] * 5))
    assert await call == WITH_UNKNOWN + b"\x7a\x05....."
    assert probe.both(tuple(await call.initial_metadata()), tuple(await call.trailing_metadata()))


async def test_a_conversation_passes_word_by_word(rig: Rig, server: ProbeServer) -> None:
    call = rig.channel.stream_stream(f"/{probe.SERVICE}/Talk")()
    for _ in range(3):
        await call.write(WITH_UNKNOWN)
        assert await call.read() == WITH_UNKNOWN
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert probe.both(tuple(await call.initial_metadata()), tuple(await call.trailing_metadata()))


async def test_a_method_newer_than_the_gateway_passes(rig: Rig, server: ProbeServer) -> None:
    assert await rig.channel.unary_unary(f"/{probe.SERVICE}/Newer")(WITH_UNKNOWN) == WITH_UNKNOWN


@pytest.mark.parametrize("name", [f"/{probe.SERVICE}/Never", "/shotline.session.v1.SessionService/GetSession", "/a/b"])
async def test_what_nobody_has_is_unimplemented(rig: Rig, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await rig.channel.unary_unary(name)(b"")
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_status_passes_as_it_is_with_its_trailers(rig: Rig, server: ProbeServer) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await rig.channel.unary_unary(f"/{probe.SERVICE}/One")(b"fail")
    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.DATA_LOSS, "it is gone")
    assert {("x-why", "mice"), ("x-why-bin", b"\0\xff")} <= set(failed.value.trailing_metadata() or ())
    assert ("x-first", "1") in tuple(failed.value.initial_metadata() or ())
    call = rig.channel.unary_stream(f"/{probe.SERVICE}/Many")(b"fail")
    with pytest.raises(grpc.aio.AioRpcError, match="no more"):
        _ = [message async for message in call]
    assert ("x-why", "mice") in tuple(await call.trailing_metadata())


@pytest.mark.parametrize("method", ["One", "Many"])
async def test_a_caller_that_cancels_cancels_the_service(rig: Rig, server: ProbeServer, method: str) -> None:
    start = rig.channel.unary_unary if method == "One" else rig.channel.unary_stream
    call = start(f"/{probe.SERVICE}/{method}")(b"hang")
    await asyncio.wait_for(server.hanging.wait(), 5)
    call.cancel()
    await asyncio.wait_for(server.cancelled.wait(), 5)


async def test_a_deadline_ends_the_call_on_both_sides(rig: Rig, server: ProbeServer) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await rig.channel.unary_unary(f"/{probe.SERVICE}/One")(b"hang", timeout=0.2)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(server.cancelled.wait(), 5)


async def test_a_service_that_goes_away_cuts_its_streams(rig: Rig, server: ProbeServer) -> None:
    call = rig.channel.unary_stream(f"/{probe.SERVICE}/Many")(b"hang")
    assert [await call.read() for _ in range(3)] == [b"hang"] * 3
    await server.stop()
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()


@pytest.mark.parametrize("name", ["Many", "Talk", "Newer"])
async def test_a_stream_to_a_service_that_is_away_is_unavailable(rig: Rig, server: ProbeServer, name: str) -> None:
    await server.stop()
    call = rig.channel.unary_stream(f"/{probe.SERVICE}/{name}")(b"")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        _ = [message async for message in call]
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert _retry_info(failed.value)


async def test_a_drain_ends_a_forwarded_watch_with_a_time_to_come_back(rig: Rig, server: ProbeServer) -> None:
    call = rig.channel.unary_stream(f"/{probe.SERVICE}/Many")(b"hang")
    await asyncio.wait_for(server.hanging.wait(), 5)
    await rig.gateway.drain()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        _ = [message async for message in call]
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert _retry_info(failed.value)


async def test_without_a_token_nothing_is_forwarded(rig: Rig, server: ProbeServer) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{rig.gateway.grpc_port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await channel.unary_unary(f"/{probe.SERVICE}/One")(b"")
    assert failed.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert not server.begun.is_set()


async def test_reflection_shows_the_studio_and_every_configured_service(rig: Rig) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(rig.channel)
    names = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=probe.SERVICE),
    ]
    listed, found = [answer async for answer in stub.ServerReflectionInfo(iter(names))]
    services = {service.name for service in listed.list_services_response.service}
    assert {
        "shotline.studio.v1.StudioService",
        "shotline.sequence_file.v1.SequenceFileService",
        probe.SERVICE,
    } <= services
    assert "shotline.session.v1.SessionService" not in services
    assert b"ProbeService" in found.file_descriptor_response.file_descriptor_proto[0]


async def test_a_real_service_is_forwarded_with_its_faults(rig: Rig) -> None:
    stub = files_grpc.SequenceFileServiceStub(rig.channel)
    request = files.GetShotRequest(project_path=PROJECT, sequence_id="001", shot_id="s1")
    assert (await stub.GetShot(request)).document_json == OPENING
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.GetShot(files.GetShotRequest(project_path=PROJECT, shot_id="twin"))
    assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    details = {detail.TypeName() for detail in rpc_status.from_call(failed.value).details}
    assert details == {"google.rpc.ErrorInfo"}


async def test_a_service_that_is_away_is_unavailable_until_it_is_back(rig: Rig) -> None:
    stub = files_grpc.SequenceFileServiceStub(rig.channel)
    request = files.GetShotRequest(project_path=PROJECT, sequence_id="001", shot_id="s1")
    await stub.GetShot(request)
    await rig.backend.stop()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.GetShot(request)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert _retry_info(failed.value)
    await rig.backend.start()
    async with asyncio.timeout(10):
        while await _code(stub.GetShot(request)) is grpc.StatusCode.UNAVAILABLE:
            await asyncio.sleep(0.1)
    assert (await stub.GetShot(request)).document_json == OPENING


async def test_health_of_a_forwarded_service_is_what_it_is_there(rig: Rig) -> None:
    health = watch_health(rig.channel, FILES)
    async with asyncio.timeout(10):
        while not await anext(health):
            pass
        await rig.backend.stop()
        assert not await anext(health)
        await rig.backend.start()
        assert await anext(health)
    await health.aclose()


async def _code(call: grpc.aio.UnaryUnaryCall[files.GetShotRequest, files.Shot]) -> grpc.StatusCode:
    return await call.code()


def _retry_info(error: grpc.aio.AioRpcError) -> bool:
    details = rpc_status.from_call(error).details
    return any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in details)
