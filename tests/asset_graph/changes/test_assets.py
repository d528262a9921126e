"""Assets: made, changed, deleted and brought back, one revision each."""

import json

import asyncpg
import pytest

from tests.asset_graph.changes.graph import (
    NOWHERE,
    everything,
    made,
    refused,
    related,
    revision,
    selected,
    shot_with_takes,
)
from tests.asset_graph.reads.serving import Client

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_asset_is_answered_as_it_is_stored(client: Client, operator: asyncpg.Connection) -> None:
    asset = await client.CreateAsset(
        workspace_id=client.workspace,
        type="video",
        name="take 1 “final”",
        metadata_json='{"width": 1920, "unknown": [1.10, null, {"é": "%_\\\\"}]}',
        url="https://cdn.example.com/1.mp4",
        duration_seconds=5.25,
        generation_cost="0.50",
    )
    assert json.loads(asset.metadata_json) == {"width": 1920, "unknown": [1.1, None, {"é": "%_\\"}]}
    assert "1.10" in asset.metadata_json
    assert (asset.generation_cost, asset.duration_seconds, asset.revision) == ("0.50", 5.25, 1)
    assert asset.create_time == asset.update_time
    read = await client.GetAsset(id=asset.id)
    asset.revision = 0
    assert read == asset
    row = await operator.fetchrow("SELECT * FROM assets WHERE id = $1", asset.id)
    assert (row["etag"], row["workspace_id"], str(row["generation_cost"])) == (asset.etag, client.workspace, "0.50")


async def test_a_script_is_stored_as_text(client: Client) -> None:
    assert (await client.GetAsset(id=await made(client, "script"))).type == "text"


async def test_an_update_changes_what_it_names_and_nothing_else(client: Client) -> None:
    asset = await client.CreateAsset(
        workspace_id=client.workspace,
        type="shot",
        name="one",
        metadata_json='{"prompt": "a", "deep": {"x": 1, "y": 2}, "gone": true}',
        url="u",
        duration_seconds=2,
        generation_cost="1",
    )
    merged = await client.UpdateAsset(id=asset.id, metadata_json='{"deep": {"y": null, "z": 1e2}, "gone": null}')
    assert json.loads(merged.metadata_json) == {"prompt": "a", "deep": {"x": 1, "z": 100}}
    assert (merged.name, merged.url, merged.duration_seconds, merged.generation_cost) == ("one", "u", 2, "1")
    assert merged.etag != asset.etag
    replaced = await client.UpdateAsset(id=asset.id, metadata_json='{"deep": {"w": null}}', mode=2, url="")
    assert json.loads(replaced.metadata_json) == {"prompt": "a", "deep": {"w": None}}
    assert not replaced.HasField("url")
    bare = await client.UpdateAsset(id=asset.id, clear_duration=True, generation_cost="", name="two")
    assert (bare.name, bare.HasField("duration_seconds"), bare.HasField("generation_cost")) == ("two", False, False)
    assert bare.revision == 4


async def test_equal_content_writes_nothing(client: Client, operator: asyncpg.Connection) -> None:
    asset = await client.CreateAsset(
        workspace_id=client.workspace, type="shot", name="one", metadata_json='{"a": {"b": 1}}', generation_cost="0.50"
    )
    before = await everything(operator)
    same = await client.UpdateAsset(id=asset.id, name="one", metadata_json='{"a": {"b": 1}}', generation_cost="0.50")
    nothing = await client.UpdateAsset(id=asset.id)
    empty = await client.UpdateAsset(id=asset.id, metadata_json="{}")
    for answer in (same, nothing, empty):
        assert (answer.revision, answer.etag, answer.update_time) == (0, asset.etag, asset.update_time)
    assert await everything(operator) == before


async def test_a_number_in_another_spelling_is_another_content(client: Client) -> None:
    asset = await client.CreateAsset(
        workspace_id=client.workspace, type="shot", name="one", metadata_json='{"x": 1.1}', generation_cost="0.5"
    )
    changed = await client.UpdateAsset(id=asset.id, metadata_json='{"x": 1.10}')
    assert ("1.10" in changed.metadata_json, changed.revision) == (True, 2)
    assert (await client.UpdateAsset(id=asset.id, generation_cost="0.50")).generation_cost == "0.50"


async def test_a_stale_etag_is_refused_with_what_is_there(client: Client, operator: asyncpg.Connection) -> None:
    asset = await client.CreateAsset(workspace_id=client.workspace, type="shot", name="one")
    newer = await client.UpdateAsset(id=asset.id, name="two", etag=asset.etag)
    before = await everything(operator)
    for call in (
        client.UpdateAsset(id=asset.id, name="three", etag=asset.etag),
        client.DeleteAsset(id=asset.id, etag=asset.etag),
    ):
        fault = await refused(call, "ABORTED", "ETAG_MISMATCH")
        assert fault.current is not None
        assert fault.current.etag == newer.etag
        assert json.loads(fault.current.document_json or "")["name"] == "two"
    assert await everything(operator) == before


async def test_members_that_direct_sql_broke_do_not_stand_in_the_way(
    client: Client, operator: asyncpg.Connection
) -> None:
    shot = await made(client, "shot")
    deep = "[" * 200 + "9007199254740993" + "]" * 200
    await operator.execute(
        "UPDATE assets SET asset_metadata = $2::jsonb WHERE id = $1", shot, f'{{"prompt": 5, "deep": {deep}}}'
    )
    changed = await client.UpdateAsset(id=shot, metadata_json='{"camera_angle": "wide"}')
    assert "9007199254740993" in changed.metadata_json
    assert json.loads(changed.metadata_json)["prompt"] == 5
    await refused(client.UpdateAsset(id=shot, metadata_json='{"prompt": 6}'), "INVALID_ARGUMENT", "INVALID_METADATA")


async def test_deleting_a_shot_takes_its_takes_and_undeleting_brings_all_back(
    client: Client, operator: asyncpg.Connection
) -> None:
    shot, takes = await shot_with_takes(client, 3)
    film, hero = await made(client, "film"), await made(client, "character_ref")
    await related(client, film, shot, "contains_shot")
    await client.LinkShotAssets(shot_id=shot, links={"characters": [hero]})
    await client.SelectTake(shot_id=shot, take_id=takes[1])
    before = {
        table: await operator.fetch(f"SELECT * FROM {table} WHERE workspace_id = $1 ORDER BY id", client.workspace)
        for table in ("assets", "asset_relationships")
    }
    gone = await client.DeleteAsset(id=shot)
    assert list(gone.deleted_asset_ids) == [shot, *takes]
    assert gone.revision == await revision(operator, client.workspace)
    await refused(client.GetAsset(id=takes[0]), "NOT_FOUND", "ASSET_NOT_FOUND")
    await refused(client.DeleteAsset(id=shot), "NOT_FOUND", "ASSET_NOT_FOUND")
    back = await client.UndeleteAsset(id=shot)
    assert (back.id, back.revision) == (shot, gone.revision + 1)
    after = {
        table: await operator.fetch(f"SELECT * FROM {table} WHERE workspace_id = $1 ORDER BY id", client.workspace)
        for table in ("assets", "asset_relationships")
    }
    assert [row["id"] for row in after["assets"]] == [row["id"] for row in before["assets"]]
    assert after["asset_relationships"] == before["asset_relationships"]
    assert await selected(operator, shot) == ([takes[1]], takes[1])
    assert (await client.CreateShotTake(shot_id=shot)).attempt_number == 4


async def test_only_what_was_deleted_can_be_undeleted(client: Client) -> None:
    shot = await made(client, "shot")
    await refused(client.UndeleteAsset(id=shot), "FAILED_PRECONDITION", "NOT_DELETED")
    await refused(client.UndeleteAsset(id=NOWHERE), "NOT_FOUND", "ASSET_NOT_FOUND")


async def test_revisions_count_changes_and_name_their_caller(client: Client, operator: asyncpg.Connection) -> None:
    request = "0195a1c2-7e00-7000-8000-000000000001"
    first = await client.CreateAsset(workspace_id=client.workspace, type="film", name="a", request_id=request)
    second = await client.UpdateAsset(id=first.id, name="b")
    assert (first.revision, second.revision) == (1, 2)
    log = await operator.fetch(
        "SELECT revision, actor, client, request_id FROM change_log WHERE workspace_id = $1 ORDER BY revision",
        client.workspace,
    )
    assert [(row[0], row[1], row[2]) for row in log] == [(1, "operator", "desk"), (2, "operator", "desk")]
    assert [str(row[3] or "") for row in log] == [request, ""]
