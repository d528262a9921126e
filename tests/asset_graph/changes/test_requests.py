"""The same request twice is one change and one answer."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import asyncpg
import pytest

from tests.asset_graph.changes.graph import everything, made, refused, related, revision, shot_with_takes
from tests.asset_graph.reads.serving import Client, Serving, serving
from tests.postgres import Database

pytestmark = pytest.mark.asyncio(loop_scope="module")

Fields = dict[str, object]


async def every_mutation(client: Client) -> dict[str, Fields]:
    """Requests of all methods that change something, each for things of its own."""
    film, scene = await made(client, "film"), await made(client, "scene")
    songs = [await made(client, "audio") for _ in range(3)]
    shot, takes = await shot_with_takes(client, 2)
    doomed, deleted = await made(client, "image"), await made(client, "image")
    await client.DeleteAsset(id=deleted)
    await related(client, film, scene, "contains_scene")
    await client.LinkShotAssets(shot_id=shot, links={"audios": songs})
    edge = {"parent_asset_id": shot, "relationship_type": "uses_audio"}
    return {
        "CreateAsset": {"workspace_id": client.workspace, "type": "film", "name": "new"},
        "UpdateAsset": {"id": film, "name": "changed"},
        "DeleteAsset": {"id": doomed},
        "UndeleteAsset": {"id": deleted},
        "CreateRelationship": {
            "parent_asset_id": film,
            "child_asset_id": shot,
            "relationship_type": "contains_shot",
        },
        "DeleteRelationship": {"key": {**edge, "child_asset_id": songs[0]}},
        "MoveRelationship": {"key": {**edge, "child_asset_id": songs[1]}, "position": 3},
        "CreateShot": {"workspace_id": client.workspace, "name": "new", "parent_asset_id": scene},
        "LinkShotAssets": {"shot_id": shot, "links": {"assets": [film]}},
        "UnlinkShotAssets": {"shot_id": shot, "links": {"audios": [songs[2]]}},
        "CreateShotTake": {"shot_id": shot, "selected": True},
        "LinkTakeVideo": {"take_id": takes[0], "url": "https://example.com/1.mp4"},
        "SelectTake": {"shot_id": shot, "take_id": takes[1]},
        "ApplyChanges": {
            "workspace_id": client.workspace,
            "changes": [{"create_asset": {"type": "film", "name": "new"}}],
        },
    }


async def test_every_change_sent_twice_is_made_once(client: Client, operator: asyncpg.Connection) -> None:
    for method, fields in (await every_mutation(client)).items():
        request = str(uuid4())
        before = await revision(operator, client.workspace)
        answer = await getattr(client, method)(**fields, request_id=request)
        after = await everything(operator)
        assert await revision(operator, client.workspace) == before + 1, method
        assert await getattr(client, method)(**fields, request_id=request.upper()) == answer, method
        assert await everything(operator) == after, method


async def test_every_change_sent_several_times_at_once_is_made_once(
    client: Client, operator: asyncpg.Connection
) -> None:
    for method, fields in (await every_mutation(client)).items():
        request = str(uuid4())
        before = await revision(operator, client.workspace)
        call: Callable[..., Awaitable[object]] = getattr(client, method)
        answers = await asyncio.gather(*(call(**fields, request_id=request) for _ in range(4)))
        assert all(answer == answers[0] for answer in answers), method
        assert await revision(operator, client.workspace) == before + 1, method


async def test_a_request_id_is_for_one_change(client: Client, operator: asyncpg.Connection) -> None:
    request = str(uuid4())
    film = await client.CreateAsset(workspace_id=client.workspace, type="film", name="one", request_id=request)
    before = await everything(operator)
    for call in (
        client.CreateAsset(workspace_id=client.workspace, type="film", name="two", request_id=request),
        client.UpdateAsset(id=film.id, name="two", request_id=request),
        client.ApplyChanges(
            workspace_id=client.workspace,
            changes=[{"update_asset": {"id": film.id, "name": "two"}}],
            request_id=request,
        ),
    ):
        await refused(call, "INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    await refused(client.UpdateAsset(id=film.id, request_id="x"), "INVALID_ARGUMENT", "INVALID_FIELD")
    assert await everything(operator) == before


async def test_another_workspace_has_request_ids_of_its_own(client: Client) -> None:
    request = str(uuid4())
    one = await client.CreateAsset(workspace_id=client.workspace, type="film", name="one", request_id=request)
    two = await client.CreateAsset(workspace_id=f"{client.workspace}-too", type="film", name="one", request_id=request)
    assert one.id != two.id


async def test_what_failed_may_be_sent_again(client: Client) -> None:
    request, shot = str(uuid4()), await made(client, "shot")
    await refused(client.CreateShotTake(shot_id=str(uuid4()), request_id=request), "NOT_FOUND", "ASSET_NOT_FOUND")
    assert (await client.CreateShotTake(shot_id=shot, request_id=request)).attempt_number == 1


async def test_a_change_of_nothing_is_remembered_too(client: Client, operator: asyncpg.Connection) -> None:
    request = str(uuid4())
    film = await made(client, "film", "one")
    first = await client.UpdateAsset(id=film, name="one", request_id=request)
    await client.UpdateAsset(id=film, name="two")
    assert await client.UpdateAsset(id=film, name="one", request_id=request) == first
    assert (await client.GetAsset(id=film)).name == "two"


async def test_another_server_knows_the_request(client: Client, server: Serving, module_database: Database) -> None:
    request = str(uuid4())
    fields = {"workspace_id": client.workspace, "changes": [{"create_asset": {"type": "film", "name": "x" * 100_000}}]}
    answer = await client.ApplyChanges(**fields, request_id=request)
    async with serving(module_database) as other:
        assert await other.client.ApplyChanges(**fields, request_id=request) == answer
