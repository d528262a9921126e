"""R5: what lives in another workspace does not exist, for every method that there is."""

from collections.abc import Mapping
from typing import Any

import grpc.aio
import pytest
from google.protobuf.message_factory import GetMessageClass
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from services.kernel.faults import Code, Fault
from services.runtime.status import from_rpc_error
from tests.asset_graph.reads.films import film_of
from tests.asset_graph.reads.serving import METHODS, Client, Serving

NOWHERE = "00000000-0000-7000-8000-000000000000"
OWN, OTHER = "OWN", "OTHER"  # in the place of an id: of an asset of one's own, of one that is not
KEY = {"parent_asset_id": OTHER, "child_asset_id": OWN, "relationship_type": "uses_audio"}

# Requests that name an asset which is not the caller's.
FOREIGN_ID: Mapping[str, list[dict[str, Any]]] = {
    "GetAsset": [{"id": OTHER}],
    "UpdateAsset": [{"id": OTHER, "name": "mine"}],
    "DeleteAsset": [{"id": OTHER}],
    "UndeleteAsset": [{"id": OTHER}],
    "CreateRelationship": [
        {"parent_asset_id": OWN, "child_asset_id": OTHER, "relationship_type": "uses_asset"},
        {"parent_asset_id": OTHER, "child_asset_id": OWN, "relationship_type": "uses_asset"},
    ],
    "DeleteRelationship": [{"key": KEY}],
    "MoveRelationship": [{"key": KEY, "position": 1}],
    "ListChildren": [{"parent_asset_id": OTHER}],
    "ListParents": [{"child_asset_id": OTHER}],
    "CreateShot": [
        {"workspace_id": "b", "name": "x", "parent_asset_id": OTHER},
        {"workspace_id": "b", "name": "x", "links": {"characters": [OTHER]}},
    ],
    "LinkShotAssets": [
        {"shot_id": OTHER, "links": {"assets": [OWN]}},
        {"shot_id": OWN, "links": {"assets": [OTHER]}},
    ],
    "UnlinkShotAssets": [{"shot_id": OTHER, "links": {"assets": [OWN]}}],
    "CreateShotTake": [{"shot_id": OTHER}],
    "LinkTakeVideo": [{"take_id": OTHER, "url": "https://cdn/x"}],
    "ListShotTakes": [{"shot_id": OTHER}],
    "SelectTake": [{"shot_id": OTHER}],
    "GetSelectedTake": [{"shot_id": OTHER}],
    "GetShotStructure": [{"shot_id": OTHER}],
    "GetFilmStructure": [{"film_id": OTHER}],
    "GetFilmCost": [{"film_id": OTHER}],
    "GetShotMetrics": [{"shot_id": OTHER}],
    "ApplyChanges": [
        {"workspace_id": "b", "changes": [{"delete_asset": {"id": OTHER}}]},
        {"workspace_id": "b", "changes": [{"update_asset": {"id": OTHER, "name": "mine"}}]},
    ],
}
# Requests that name a workspace which is not the caller's.
FOREIGN_WORKSPACE: Mapping[str, dict[str, Any]] = {
    "CreateAsset": {"workspace_id": "a", "type": "film", "name": "x"},
    "ListAssets": {"workspace_id": "a"},
    "ListDeletedAssets": {"workspace_id": "a"},
    "CreateShot": {"workspace_id": "a", "name": "x"},
    "ApplyChanges": {"workspace_id": "a", "changes": [{"create_shot": {"name": "x"}}]},
    "WatchChanges": {"workspace_id": "a"},
}
# Methods that answer about what they were not asked for, in other ways.
OTHERS = {"ListRules", "BatchGetAssets"}


def with_ids(fields: Any, own: str, other: str) -> Any:
    if isinstance(fields, dict):
        return {name: with_ids(value, own, other) for name, value in fields.items()}
    if isinstance(fields, list):
        return [with_ids(value, own, other) for value in fields]
    return {OWN: own, OTHER: other}.get(fields, fields)


async def fault_of(client: Client, method: str, fields: dict[str, Any]) -> Fault:
    with pytest.raises(Fault) as caught:
        if METHODS[method].server_streaming:
            try:
                await client.watch(**fields).read()
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from None
        else:
            await getattr(client, method)(GetMessageClass(METHODS[method].input_type)(**fields))
    return caught.value


def test_every_method_is_in_the_tables() -> None:
    assert FOREIGN_ID.keys() | FOREIGN_WORKSPACE.keys() | OTHERS == set(METHODS)
    for name, method in METHODS.items():
        assert "workspace_id" not in method.input_type.fields_by_name or name in FOREIGN_WORKSPACE, name


@pytest.mark.parametrize("method", FOREIGN_ID)
async def test_anothers_asset_is_like_one_that_was_never_made(server: Serving, method: str) -> None:
    theirs = await film_of(server.client, ["s"], "a")
    mine = await film_of(server.client, ["s"], "b")
    gone = (await server.client.CreateAsset(workspace_id="a", type="film", name="gone")).id
    await server.client.DeleteAsset(id=gone)
    for fields in FOREIGN_ID[method]:
        own, made_up = mine["s"], await fault_of(server.bert, method, with_ids(fields, mine["s"], NOWHERE))
        assert made_up.code is Code.NOT_FOUND
        assert made_up.reason in ("ASSET_NOT_FOUND", "RELATIONSHIP_NOT_FOUND")
        for other in (theirs["film"], theirs["s"], theirs["s-1"], gone):
            found = await fault_of(server.bert, method, with_ids(fields, own, other))
            assert (found.code, found.reason) == (made_up.code, made_up.reason)
            assert found.message.replace(other, NOWHERE) == made_up.message
            assert {key: value.replace(other, NOWHERE) for key, value in found.metadata.items()} == made_up.metadata
            assert found.fields == made_up.fields
    # And nothing of theirs changed.
    assert len(await server.anne.ids("ListAssets", "assets", workspace_id="a")) == len(theirs)


@pytest.mark.parametrize("method", FOREIGN_WORKSPACE)
async def test_anothers_workspace_is_refused_whether_it_is_there_or_not(server: Serving, method: str) -> None:
    await server.client.CreateAsset(workspace_id="a", type="film", name="x")
    for workspace in ("a", "nowhere"):
        fields = {**FOREIGN_WORKSPACE[method], "workspace_id": workspace}
        found = await fault_of(server.bert, method, fields)
        assert (found.code, found.reason) == (Code.PERMISSION_DENIED, "WORKSPACE_NOT_ALLOWED")
        assert found.message == f"the token does not hold the workspace {workspace!r}"


async def test_many_assets_by_id_are_those_of_ones_own(server: Serving) -> None:
    theirs, mine = [
        await server.client.CreateAsset(workspace_id=workspace, type="film", name="x") for workspace in ("a", "b")
    ]
    answer = await server.bert.BatchGetAssets(ids=[theirs.id, NOWHERE, mine.id])
    assert [asset.id for asset in answer.assets] == [mine.id]
    assert answer.missing_ids == [theirs.id, NOWHERE]


async def test_who_holds_all_workspaces_sees_all(server: Serving) -> None:
    made = [await server.client.CreateAsset(workspace_id=each, type="film", name="x") for each in ("a", "b")]
    assert len((await server.client.BatchGetAssets(ids=[each.id for each in made])).assets) == 2


async def test_a_watch_tells_of_its_own_workspace_only(server: Serving) -> None:
    await server.client.CreateAsset(workspace_id="a", type="film", name="theirs")
    await server.client.CreateAsset(workspace_id="b", type="film", name="mine")
    stream = server.bert.watch(workspace_id="b", after_revision=0)
    assert (await stream.read()).HasField("progress")
    change: pb.GraphChange = (await stream.read()).change
    assert [asset.name for asset in change.assets] == ["mine"]
    stream.cancel()
