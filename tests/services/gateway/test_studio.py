"""StudioService over gRPC: the compositions, and a backend that goes away and comes back."""

import asyncio
import uuid

import grpc
import pytest
from google.protobuf.descriptor import Descriptor
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from shotline.asset_graph.v1 import asset_graph_service_pb2 as graph
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.studio.v1 import studio_service_pb2 as pb

from tests.services.gateway.conftest import OPENING, PROJECT, SECOND, THIRD, Rig
from tests.services.gateway.memory import MemorySequenceFiles

remotely = pytest.mark.parametrize("wiring", ["remote"])


def named(shot_id: str, sequence_id: str = "001") -> pb.ShotTarget:
    return pb.ShotTarget(sequence_shot=pb.SequenceShot(project_path=PROJECT, sequence_id=sequence_id, shot_id=shot_id))


def loose(shot_id: str) -> pb.ShotTarget:
    return pb.ShotTarget(project_shot=pb.ProjectShot(project_path=PROJECT, shot_id=shot_id))


async def test_a_shot_is_changed_where_it_lives(rig: Rig) -> None:
    for target, file, sequence_id in (
        (named("s1"), "sequences/sequence_001.json", "001"),
        (loose("s1"), "sequences/sequence_001.json", "001"),
        (loose("loose"), "project.json", ""),
    ):
        shot = await rig.studio.UpdateShot(pb.UpdateShotRequest(target=target, updates_json='{"n": 1.50}'))
        assert shot.stored_in == pb.StoredIn(file=file, sequence_id=sequence_id)
        assert '"n":1.50' in shot.document_json
        assert await rig.studio.GetShot(pb.GetShotRequest(target=target)) == shot


async def test_reading_is_byte_for_byte(rig: Rig) -> None:
    page = await rig.studio.GetShots(pb.GetShotsRequest(project_path=PROJECT, sequence_id="001"))
    assert [shot.document_json for shot in page.shots] == [OPENING, SECOND, THIRD]
    everything = await rig.studio.GetAllSequences(pb.GetAllSequencesRequest(project_path=PROJECT))
    assert [one.document_json for one in everything.sequences] == [
        one.document for one in rig.memory.projects[PROJECT].sequences
    ]
    assert [one.reason for one in everything.unreachable] == ["SEQUENCE_FILE_INVALID"]


async def test_pages_pass_through(rig: Rig) -> None:
    request = pb.GetShotsRequest(project_path=PROJECT, sequence_id="001", page_size=2)
    first = await rig.studio.GetShots(request)
    request.page_token = first.next_page_token
    assert [shot.id for shot in (await rig.studio.GetShots(request)).shots] == ["twin"]
    sequences = pb.GetAllSequencesRequest(project_path=PROJECT, page_size=1)
    sequences.page_token = (await rig.studio.GetAllSequences(sequences)).next_page_token
    rest = await rig.studio.GetAllSequences(sequences)
    assert ([one.id for one in rest.sequences], list(rest.unreachable)) == (["6"], [])


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (pb.UpdateShotRequest(updates_json="{}"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        (
            pb.UpdateShotRequest(target=named("s1", ""), updates_json="{}"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_SEQUENCE_ID",
        ),
        (
            pb.UpdateShotRequest(target=named("loose"), updates_json="{}"),
            grpc.StatusCode.NOT_FOUND,
            "SHOT_NOT_FOUND",
        ),
        (
            pb.UpdateShotRequest(target=loose("twin"), updates_json="{}"),
            grpc.StatusCode.FAILED_PRECONDITION,
            "DUPLICATE_ID",
        ),
        (
            pb.UpdateShotRequest(target=named("s1"), updates_json='{"id": 7}'),
            grpc.StatusCode.INVALID_ARGUMENT,
            "IMMUTABLE_FIELD",
        ),
        (
            pb.UpdateShotRequest(target=named("s1"), updates_json="[]"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_JSON",
        ),
        (
            pb.UpdateShotRequest(target=named("s1"), updates_json="{}", mode=999),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
        ),
    ],
)
async def test_a_refusal_has_its_code_and_reason(
    rig: Rig, request_: pb.UpdateShotRequest, code: grpc.StatusCode, reason: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await rig.studio.UpdateShot(request_)
    assert (failed.value.code(), _info(failed.value).reason) == (code, reason)


async def test_a_shot_of_no_place_is_refused(rig: Rig) -> None:
    for target in (pb.ShotTarget(), named("s1", "")):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await rig.studio.GetShot(pb.GetShotRequest(target=target))
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stale_etag_carries_the_current_shot(rig: Rig) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await rig.studio.UpdateShot(pb.UpdateShotRequest(target=named("s1"), updates_json='{"n":1}', etag="0" * 32))
    assert failed.value.code() is grpc.StatusCode.ABORTED
    assert _info(failed.value).metadata["current_json"] == OPENING


@remotely
async def test_a_change_always_has_an_id_on_its_way_to_the_service(rig: Rig) -> None:
    await rig.studio.UpdateShot(pb.UpdateShotRequest(target=named("s1"), updates_json='{"n":1}'))
    mine = str(uuid.uuid4())
    await rig.studio.UpdateShot(pb.UpdateShotRequest(target=loose("loose"), updates_json='{"n":1}', request_id=mine))
    first, second = (
        one for one in rig.memory.seen if isinstance(one, files.UpdateShotRequest | files.UpdateProjectShotRequest)
    )
    assert uuid.UUID(first.request_id)
    assert second.request_id == mine


@remotely
async def test_a_backend_that_is_away_is_unavailable_until_it_is_back(rig: Rig) -> None:
    read = pb.GetShotsRequest(project_path=PROJECT, sequence_id="001")
    assert (await rig.ipc("sequence:get-all", [PROJECT])).status == 200
    await rig.backend.stop()
    answer = await rig.ipc("sequence:get-all", [PROJECT])
    assert (answer.status, answer.json["code"]) == (503, "UNAVAILABLE")
    assert answer.json["reason"] == "BACKEND_UNAVAILABLE"
    assert int(answer.headers["retry-after"]) >= 1
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await rig.studio.GetShots(read)
    details = rpc_status.from_call(failed.value).details
    assert any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in details)
    body = b'{"projectPath": "%b", "sequenceId": "001"}' % PROJECT.encode()
    connect = await rig.http("POST", "/shotline.studio.v1.StudioService/GetShots", body)
    assert (connect.status, connect.json["code"]) == (503, "unavailable")
    assert int(connect.headers["retry-after"]) >= 1

    await rig.backend.start()
    async with asyncio.timeout(10):
        while (await rig.ipc("sequence:get-all", [PROJECT])).status != 200:
            await asyncio.sleep(0.1)


@remotely
async def test_the_service_knows_the_call_and_its_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(self: object, request: object, context: object = None) -> files.GetShotsResponse:
        stuck.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()
        raise AssertionError

    monkeypatch.setattr(rig.memory, "GetShots", hang.__get__(rig.memory, MemorySequenceFiles))
    await rig.backend.stop()
    await rig.backend.start()
    answer = await rig.ipc("sequence:get-shots", [PROJECT, "001"], x_timeout_ms="1500", x_request_id="mine-9")
    assert answer.status == 504
    await asyncio.wait_for(cancelled.wait(), 5)
    here, there = (line for line in rig.access_lines() if line["request_id"] == "mine-9")
    assert {here["transport"], there["transport"]} == {"ipc", "grpc"}


@pytest.mark.parametrize(
    ("ours", "theirs", "more"),
    [
        # What only a graph shot has.
        (pb.Shot.DESCRIPTOR, files.Shot.DESCRIPTOR, {"structure_json"}),
        (pb.StoredIn.DESCRIPTOR, files.StoredIn.DESCRIPTOR, {"workspace_id"}),
        (pb.ProjectChange.DESCRIPTOR, files.ProjectChange.DESCRIPTOR, set()),
        (pb.FileChange.DESCRIPTOR, files.FileChange.DESCRIPTOR, set()),
        (pb.ShotChange.DESCRIPTOR, files.ShotChange.DESCRIPTOR, set()),
        (pb.Origin.DESCRIPTOR, files.Origin.DESCRIPTOR, set()),
        (pb.WatchProgress.DESCRIPTOR, files.WatchProgress.DESCRIPTOR, set()),
        (pb.AssetChange.DESCRIPTOR, graph.AssetChange.DESCRIPTOR, set()),
        (pb.RelationshipChange.DESCRIPTOR, graph.RelationshipChange.DESCRIPTOR, set()),
        (pb.SelectionNotice.DESCRIPTOR, graph.SelectionNotice.DESCRIPTOR, set()),
        (pb.WatchProgress.DESCRIPTOR, graph.WatchProgress.DESCRIPTOR, {"log_id"}),
        (pb.GetShotsResponse.DESCRIPTOR, files.GetShotsResponse.DESCRIPTOR, {"sequence_id", "file"}),
    ],
)
def test_messages_that_are_copied_by_wire_have_the_same_fields(
    ours: Descriptor, theirs: Descriptor, more: set[str]
) -> None:
    def fields(message: Descriptor) -> set[tuple[str, int, int, bool]]:
        return {
            (field.name, field.number, field.type, field.is_repeated)
            for field in message.fields
            if field.name not in more
        }

    assert fields(ours) == fields(theirs)


def test_nothing_that_a_workspace_tells_of_a_revision_is_left_out() -> None:
    theirs = {field.name for field in graph.GraphChange.DESCRIPTOR.fields}
    assert {field.name for field in pb.GraphChange.DESCRIPTOR.fields} == (
        theirs - {"actor", "client", "request_id"} | {"origin"}
    )


def test_enums_have_the_same_numbers() -> None:
    assert dict(pb.UpdateMode.items()) == dict(files.UpdateMode.items())
    assert dict(pb.UpdateMode.items()) == dict(graph.UpdateMode.items())
    assert dict(pb.ChangeKind.items()) == dict(files.ChangeKind.items())
    assert dict(graph.ChangeKind.items()).items() <= dict(pb.ChangeKind.items()).items()
    assert dict(pb.Origin.Kind.items()) == dict(files.Origin.Kind.items())


def _info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    for detail in rpc_status.from_call(error).details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
    return info
