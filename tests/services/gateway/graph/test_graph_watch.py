"""StudioService.Watch over a workspace of the asset graph, alone and together with a project."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from shotline.asset_graph.v1 import asset_graph_service_pb2 as graph
from shotline.studio.v1 import studio_service_pb2 as pb

from services.runtime.logs import Log
from services.sequence_file.domain.library import Library
from services.sequence_file.servicer import SequenceFileServicer
from services.sequence_file.storage.memory import MemorySequences
from tests.services.gateway.conftest import Backend, Rig
from tests.services.gateway.film import FILES, FILM
from tests.services.gateway.graph.conftest import Film
from tests.services.gateway.memory import MemorySequenceFiles
from tests.services.gateway.test_watch import STUDIO, Stream

WATCH_CHANGES = "/shotline.asset_graph.v1.AssetGraphService/WatchChanges"
PROJECT = pb.WatchSource(project=pb.ProjectSource(project_path=FILM))


@pytest.fixture
async def backend(log: Log) -> AsyncIterator[Backend]:
    backend = Backend(MemorySequenceFiles({}), log, SequenceFileServicer(Library(MemorySequences({FILM: FILES}))))
    await backend.start()
    yield backend
    await backend.stop()


def workspace(film: Film, after: int | None = None) -> pb.WatchSource:
    return pb.WatchSource(workspace=pb.WorkspaceSource(workspace_id=film.workspace, after_revision=after))


@contextlib.asynccontextmanager
async def watching(rig: Rig, *sources: pb.WatchSource) -> AsyncIterator[AsyncIterator[pb.WatchResponse]]:
    stream = rig.studio.Watch(pb.WatchRequest(sources=sources), timeout=20)
    yield aiter(stream)
    stream.cancel()


async def test_a_workspace_and_a_project_are_followed_as_one(rig: Rig, film: Film) -> None:
    async with watching(rig, workspace(film), PROJECT) as messages:
        first = {one.source: one for one in [await anext(messages), await anext(messages)]}
        assert (first[0].workspace_id, first[0].project_path) == (film.workspace, "")
        assert (first[1].workspace_id, first[1].project_path) == ("", FILM)
        assert (first[0].HasField("progress"), first[0].progress.log_id) == (True, "")
        behind = first[0].progress.revision

        answer = await rig.ipc("take:select", [film["Shot 1"], film["Take 2"]], x_client="editor")
        told = await anext(messages)
        change = told.graph_change
        assert (told.source, change.revision) == (0, behind + 1)
        assert change.revision == answer.json["revision"]
        assert (change.origin.kind, change.origin.principal, change.origin.client) == (
            pb.Origin.KIND_CLIENT,
            "tester",
            "editor",
        )
        assert [(one.shot_id, one.take_id, one.previous_take_id) for one in change.selections] == [
            (film["Shot 1"], film["Take 2"], "")
        ]
        take = next(one for one in change.assets if one.id == film["Take 2"])
        assert (take.kind, take.type, take.name) == (pb.CHANGE_KIND_UPDATED, "shot_take", "Take 2")
        assert take.etag == (await film.asset("Take 2")).etag

        await rig.ipc("shot:update", [{"projectPath": FILM, "sequenceId": "001", "shotId": "a1"}, {"n": 7}])
        told = await anext(messages)
        assert (told.source, told.WhichOneof("message")) == (1, "project_change")

    async with watching(rig, workspace(film, after=behind)) as messages:  # from where it was
        assert (await anext(messages)).progress.revision == behind
        again = await anext(messages)
        assert again.graph_change == change


async def test_edges_are_told_and_a_revision_that_has_not_happened_is_refused(rig: Rig, film: Film) -> None:
    async with watching(rig, workspace(film)) as messages:
        revision = (await anext(messages)).progress.revision
        await film.stub.MoveRelationship(
            graph.MoveRelationshipRequest(
                key=graph.RelationshipKey(
                    parent_asset_id=film["Quay"], child_asset_id=film["Shot 2"], relationship_type="contains_shot"
                ),
                position=1,
            )
        )
        edges = (await anext(messages)).graph_change.relationships
        assert {(one.child_asset_id, one.sequence) for one in edges} == {(film["Shot 1"], 2), (film["Shot 2"], 1)}
        assert {one.relationship_type for one in edges} == {"contains_shot"}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async with watching(rig, PROJECT, workspace(film, after=revision + 10)) as messages:
            async with asyncio.timeout(10):
                async for _ in messages:
                    pass
    info = error_details_pb2.ErrorInfo()
    assert any(each.Unpack(info) for each in rpc_status.from_call(caught.value).details if each.Is(info.DESCRIPTOR))
    assert (caught.value.code(), info.reason) == (grpc.StatusCode.OUT_OF_RANGE, "REVISION_TOO_OLD")
    assert (info.metadata["source"], int(info.metadata["revision"])) == ("1", revision + 1)


async def test_a_gateway_that_stops_says_where_to_go_on_with_each_source(rig: Rig, film: Film) -> None:
    async with watching(rig, workspace(film), PROJECT) as messages:
        revisions = {one.source: one.progress.revision for one in [await anext(messages), await anext(messages)]}
        await rig.ipc("take:select", [film["Shot 1"], film["Take 2"]])
        assert (await anext(messages)).graph_change.revision == revisions[0] + 1
        draining = asyncio.create_task(rig.gateway.drain())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(messages)
        await draining
    info = error_details_pb2.ErrorInfo()
    assert any(each.Unpack(info) for each in rpc_status.from_call(caught.value).details if each.Is(info.DESCRIPTOR))
    assert (caught.value.code(), info.reason) == (grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")
    assert dict(info.metadata) == {"revisions": f"{revisions[0] + 1},{revisions[1]}"}


@pytest.mark.parametrize("wiring", ["in process"])
async def test_pages_follow_a_workspace_by_connect_and_grpc_web(rig: Rig, film: Film) -> None:
    asked = json.dumps({"sources": [{"workspace": {"workspaceId": film.workspace}}]}).encode()
    ours = Stream(rig, f"{STUDIO}/Watch", asked, "application/connect+json")
    asked = json.dumps({"workspaceId": film.workspace}).encode()
    theirs = Stream(rig, WATCH_CHANGES, asked, "application/connect+json")
    packed = graph.WatchChangesRequest(workspace_id=film.workspace).SerializeToString()
    web = Stream(rig, WATCH_CHANGES, packed, "application/grpc-web+proto")
    async with ours, theirs, web:
        behind = int(str((await ours.json())["progress"]["revision"]))
        assert (await theirs.json())["progress"]["revision"] == str(behind)
        assert graph.WatchChangesResponse.FromString((await web.next())[1]).progress.revision == behind
        await rig.ipc("take:select", [film["Shot 1"], film["Take 1"]])
        told = (await ours.json())["graphChange"]
        assert (told["revision"], told["origin"]["principal"]) == (str(behind + 1), "tester")  # type: ignore[index]
        assert (await theirs.json())["change"]["actor"] == "tester"
        assert graph.WatchChangesResponse.FromString((await web.next())[1]).change.revision == behind + 1
