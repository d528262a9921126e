"""ApplyChanges: all or nothing, as if each change were made for itself, and each error names its change."""

import json
from typing import Any

import asyncpg
import pytest
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from tests.asset_graph.changes.graph import (
    NOWHERE,
    children,
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

Change = dict[str, Any]


def film() -> list[Change]:
    """A film with a scene, shots, links and takes."""
    return [
        {"temp_id": "$film", "create_asset": {"type": "film", "name": "Film", "metadata_json": '{"title": "Film"}'}},
        {"temp_id": "$scene", "create_asset": {"type": "scene", "name": "Scene"}},
        {"temp_id": "$in", "create_relationship": _edge("$film", "$scene", "contains_scene")},
        {"temp_id": "$hero", "create_asset": {"type": "character_ref", "name": "Hero"}},
        {"temp_id": "$song", "create_asset": {"type": "audio", "name": "Song"}},
        {
            "temp_id": "$one",
            "create_shot": {"name": "One", "parent_asset_id": "$scene", "links": {"characters": ["$hero"]}},
        },
        {"temp_id": "$two", "create_shot": {"name": "Two", "parent_asset_id": "$scene"}},
        {"link_shot_assets": {"shot_id": "$two", "links": {"audios": ["$song"], "characters": ["$hero", "$hero"]}}},
        {"temp_id": "$a", "create_shot_take": {"shot_id": "$one", "selected": True}},
        {"temp_id": "$b", "create_shot_take": {"shot_id": "$one", "selected": True, "generation_cost": "0.50"}},
        {"temp_id": "$v", "link_take_video": {"take_id": "$b", "url": "https://example.com/b.mp4"}},
        {"move_relationship": {"key": _edge("$scene", "$two", "contains_shot"), "position": 1}},
        {"select_take": {"shot_id": "$one", "take_id": "$a", "expected_take_id": "$b"}},
        {"update_asset": {"id": "$film", "name": "Film, renamed"}},
        {"update_asset": {"id": "$film", "metadata_json": '{"status": "done"}'}},
        {"update_asset": {"id": "$two", "name": "Two, renamed"}},
        {"delete_relationship": {"key": _edge("$two", "$hero", "uses_character")}},
        {"temp_id": "$gone", "create_asset": {"type": "image", "name": "Gone"}},
        {"delete_asset": {"id": "$gone"}},
    ]


def _edge(parent: str, child: str, kind: str) -> Change:
    return {"parent_asset_id": parent, "child_asset_id": child, "relationship_type": kind}


async def apply(client: Client, changes: list[Change], **fields: Any) -> pb.ApplyChangesResponse:
    answer: pb.ApplyChangesResponse = await client.ApplyChanges(
        workspace_id=client.workspace, changes=changes, **fields
    )
    return answer


async def test_a_film_is_made_in_one_transaction(client: Client, operator: asyncpg.Connection) -> None:
    answer = await apply(client, changes := film())
    ids = {
        change["temp_id"]: each.id for change, each in zip(changes, answer.results, strict=True) if "temp_id" in change
    }
    assert (answer.revision, await revision(operator, client.workspace)) == (1, 1)
    assert [child for child, _ in await children(operator, ids["$scene"], "contains_shot")] == [
        ids["$two"],
        ids["$one"],
    ]
    assert await children(operator, ids["$one"], "generation_attempt") == [(ids["$a"], 1), (ids["$b"], 2)]
    assert await selected(operator, ids["$one"]) == ([ids["$a"]], ids["$a"])
    assert await children(operator, ids["$two"], "uses_character") == []
    assert await children(operator, ids["$b"], "generated_video") == [(ids["$v"], None)]
    stored = await client.GetAsset(id=ids["$film"])
    assert (stored.name, json.loads(stored.metadata_json)) == ("Film, renamed", {"title": "Film", "status": "done"})
    assert ids["$gone"] == ""
    for change, result in zip(changes, answer.results, strict=True):
        if "delete_asset" in change or "delete_relationship" in change or change.get("temp_id") == "$gone":
            assert (result.id, result.etag) == ("", "")
        elif result.etag:
            assert (await client.GetAsset(id=result.id)).etag == result.etag
        else:
            assert await operator.fetchval("SELECT count(*) FROM asset_relationships WHERE id = $1", result.id) == 1
    history = await operator.fetch(
        "SELECT take_id FROM selection_history WHERE shot_id = $1 ORDER BY ordinal", ids["$one"]
    )
    assert [str(row[0]) for row in history] == [ids["$a"], ids["$b"], ids["$a"]]


FAILING: list[tuple[Change, str, str]] = [
    ({"update_asset": {"id": NOWHERE, "name": "x"}}, "NOT_FOUND", "ASSET_NOT_FOUND"),
    ({"delete_asset": {"id": NOWHERE}}, "NOT_FOUND", "ASSET_NOT_FOUND"),
    ({"create_relationship": _edge("$film", NOWHERE, "contains_shot")}, "NOT_FOUND", "ASSET_NOT_FOUND"),
    ({"delete_relationship": {"key": _edge(NOWHERE, NOWHERE, "uses_asset")}}, "NOT_FOUND", "RELATIONSHIP_NOT_FOUND"),
    ({"create_shot_take": {"shot_id": NOWHERE}}, "NOT_FOUND", "ASSET_NOT_FOUND"),
    ({"select_take": {"shot_id": NOWHERE}}, "NOT_FOUND", "ASSET_NOT_FOUND"),
    ({"create_asset": {"type": "film", "name": ""}}, "INVALID_ARGUMENT", "INVALID_FIELD"),
    (
        {"create_asset": {"type": "video", "name": "x", "metadata_json": '{"width": "1"}'}},
        "INVALID_ARGUMENT",
        "INVALID_METADATA",
    ),
]


@pytest.mark.parametrize("index", range(len(film()) + 1))
async def test_an_error_anywhere_leaves_nothing_and_names_its_change(
    client: Client, operator: asyncpg.Connection, index: int
) -> None:
    before = await everything(operator)
    for change, code, reason in FAILING:
        if "$film" in str(change) and index == 0:
            continue
        changes = film()
        changes.insert(index, change)
        fault = await refused(apply(client, changes), code, reason)
        assert fault.metadata["change_index"] == str(index), change
        assert fault.message.startswith(f"changes[{index}]: ")
        assert all(field.startswith(f"changes[{index}].") for field in fault.fields)
    assert await everything(operator) == before


async def test_a_type_that_is_not_there_is_answered_with_those_that_are(client: Client) -> None:
    made_up = [{"create_asset": {"type": "movie", "name": "x"}}]
    fault = await refused(apply(client, made_up), "INVALID_ARGUMENT", "INVALID_FIELD")
    assert "film, scene, shot, shot_take" in fault.message
    related = {"parent_asset_id": NOWHERE, "child_asset_id": NOWHERE, "relationship_type": "has_scene"}
    fault = await refused(client.CreateRelationship(**related), "INVALID_ARGUMENT", "INVALID_FIELD")
    assert "contains_scene" in fault.message


async def test_the_change_that_closes_a_cycle_is_named(client: Client, operator: asyncpg.Connection) -> None:
    count = 12
    scenes = [{"temp_id": f"$s{at}", "create_asset": {"type": "scene", "name": "x"}} for at in range(count)]
    way = [{"create_relationship": _edge(f"$s{at}", f"$s{at + 1}", "contains_scene")} for at in range(count - 1)]
    before = await everything(operator)
    for closing in (1, 4, count - 1):
        back = {"create_relationship": _edge(f"$s{closing}", "$s0", "contains_scene")}
        changes = scenes + way[:closing] + [back] + way[closing:]
        fault = await refused(apply(client, changes), "FAILED_PRECONDITION", "CYCLE")
        assert fault.metadata["change_index"] == str(count + closing)
        assert len(fault.metadata["path"].split(",")) == closing + 2
    assert await everything(operator) == before
    assert (await apply(client, scenes + way)).revision == 1


async def test_later_changes_see_earlier_ones(client: Client, operator: asyncpg.Connection) -> None:
    shot, takes = await shot_with_takes(client, 2)
    song = await made(client, "audio")
    link = {"shot_id": shot, "links": {"audios": [song]}}
    for changes, code, reason, index in (
        ([{"delete_asset": {"id": takes[0]}}, {"delete_asset": {"id": takes[0]}}], "NOT_FOUND", "ASSET_NOT_FOUND", 1),
        ([{"delete_asset": {"id": shot}}, {"delete_asset": {"id": takes[0]}}], "NOT_FOUND", "ASSET_NOT_FOUND", 1),
        ([{"delete_asset": {"id": shot}}, {"link_shot_assets": link}], "NOT_FOUND", "ASSET_NOT_FOUND", 1),
        (
            [{"link_shot_assets": link}, {"create_relationship": _edge(shot, song, "uses_audio")}],
            "ALREADY_EXISTS",
            "RELATIONSHIP_EXISTS",
            1,
        ),
        (
            [{"create_shot_take": {"shot_id": shot}}, {"create_shot_take": {"shot_id": shot, "attempt_number": 3}}],
            "ALREADY_EXISTS",
            "ATTEMPT_EXISTS",
            1,
        ),
        (
            [{"link_take_video": {"take_id": takes[0], "url": "u"}}] * 2,
            "ALREADY_EXISTS",
            "RELATIONSHIP_EXISTS",
            1,
        ),
        (
            [
                {"select_take": {"shot_id": shot, "take_id": takes[0]}},
                {"select_take": {"shot_id": shot, "take_id": takes[1], "expected_take_id": ""}},
            ],
            "ABORTED",
            "SELECTION_CHANGED",
            1,
        ),
    ):
        fault = await refused(apply(client, changes), code, reason)
        assert fault.metadata["change_index"] == str(index), changes
    flips = [{"update_asset": {"id": take, "metadata_json": '{"selected": true}'}} for take in (*takes, *takes)]
    answer = await apply(client, flips)
    assert await selected(operator, shot) == ([takes[1]], takes[1])
    for take, result in zip((*takes, *takes), answer.results, strict=True):
        assert (await client.GetAsset(id=take)).etag == result.etag


async def test_a_batch_of_nothing_new_has_no_revision(client: Client, operator: asyncpg.Connection) -> None:
    shot, _ = await shot_with_takes(client, 1)
    hero = await made(client, "character_ref")
    link = {"shot_id": shot, "links": {"characters": [hero]}}
    await client.LinkShotAssets(**link)
    before = await everything(operator)
    answer = await apply(
        client,
        [
            {"update_asset": {"id": shot, "name": "Harbour"}},
            {"link_shot_assets": link},
            {"select_take": {"shot_id": shot}},
        ],
    )
    assert answer.revision == 0
    assert [each.id for each in answer.results] == [shot, shot, shot]
    assert answer.results[1].etag == (await client.GetAsset(id=shot)).etag
    assert await everything(operator) == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, "change"),
        ({"temp_id": "film", "create_asset": {"type": "film", "name": "x"}}, "temp_id"),
        ({"temp_id": "$", "create_asset": {"type": "film", "name": "x"}}, "temp_id"),
        ({"temp_id": "$" + "x" * 128, "create_asset": {"type": "film", "name": "x"}}, "temp_id"),
        ({"temp_id": "$é", "create_asset": {"type": "film", "name": "x"}}, "temp_id"),
        ({"temp_id": "$first", "create_asset": {"type": "film", "name": "x"}}, "temp_id"),
        ({"temp_id": "$x", "delete_asset": {"id": "$first"}}, "temp_id"),
        ({"update_asset": {"id": "$later", "name": "x"}}, "id"),
        ({"create_asset": {"type": "film", "name": "x", "workspace_id": "a"}}, "create_asset.workspace_id"),
        ({"update_asset": {"id": "$first", "request_id": NOWHERE}}, "update_asset.request_id"),
        ({"update_asset": {"id": "$edge", "name": "x"}}, "id"),
    ],
)
async def test_what_a_change_must_not_say(client: Client, change: Change, field: str) -> None:
    changes = [
        {"temp_id": "$first", "create_asset": {"type": "film", "name": "x"}},
        {"temp_id": "$shot", "create_asset": {"type": "shot", "name": "x"}},
        {"temp_id": "$edge", "create_relationship": _edge("$first", "$shot", "contains_shot")},
        change,
        {"temp_id": "$later", "create_asset": {"type": "film", "name": "x"}},
    ]
    fault = await refused(apply(client, changes), "INVALID_ARGUMENT", "INVALID_FIELD")
    assert list(fault.fields) == [f"changes[3].{field}"]


async def test_the_size_of_a_batch_has_limits(client: Client) -> None:
    await refused(apply(client, []), "INVALID_ARGUMENT", "INVALID_FIELD")
    change = pb.Change(create_asset=pb.CreateAssetRequest(type="film", name="x"))
    request = pb.ApplyChangesRequest(workspace_id=client.workspace, changes=[change] * 20_001)
    await refused(client.ApplyChanges(request), "INVALID_ARGUMENT", "INVALID_FIELD")


async def test_the_links_of_a_batch_count_as_well(client: Client, operator: asyncpg.Connection) -> None:
    used = [{"temp_id": f"${at}", "create_asset": {"type": "image", "name": "x"}} for at in range(5_000)]
    links = {"assets": [f"${at}" for at in range(5_000)]}
    before = await everything(operator)
    fault = await refused(
        apply(client, used + [{"create_shot": {"name": "x", "links": links}}] * 9), "INVALID_ARGUMENT", "INVALID_FIELD"
    )
    assert fault.metadata["change_index"] == "5008"
    assert await everything(operator) == before


@pytest.mark.parametrize("count", [1_000, pytest.param(9_999, marks=pytest.mark.long)])
async def test_thousands_of_changes_are_one(client: Client, operator: asyncpg.Connection, count: int) -> None:
    request = pb.ApplyChangesRequest(workspace_id=client.workspace)
    request.changes.add(temp_id="$film").create_asset.MergeFrom(pb.CreateAssetRequest(type="film", name="x"))
    for at in range(count):
        request.changes.add(temp_id=f"${at}").create_asset.MergeFrom(pb.CreateAssetRequest(type="shot", name="x"))
        edge = pb.CreateRelationshipRequest(**_edge("$film", f"${at}", "contains_shot"))
        request.changes.add().create_relationship.MergeFrom(edge)
    answer = await client.ApplyChanges(request, timeout=60)
    assert len({each.id for each in answer.results}) == 2 * count + 1
    assert [each.id for each in answer.results] == sorted(each.id for each in answer.results)
    rows = await children(operator, answer.results[0].id, "contains_shot")
    assert [number for _, number in rows] == list(range(1, count + 1))
    assert [child for child, _ in rows] == [each.id for each in answer.results[1::2]]


async def test_existing_assets_are_related_in_a_batch(client: Client, operator: asyncpg.Connection) -> None:
    film_id, shots = await made(client, "film"), [await made(client, "shot") for _ in range(4)]
    await related(client, film_id, shots[0], "contains_shot")
    await apply(client, [{"create_relationship": _edge(film_id, each, "contains_shot")} for each in shots[1:]])
    assert await children(operator, film_id, "contains_shot") == list(zip(shots, range(1, 5), strict=True))
    fault = await refused(
        apply(
            client,
            [
                {"create_relationship": {**_edge(film_id, await made(client, "shot"), "contains_shot"), "sequence": 9}},
                {"create_relationship": _edge(film_id, shots[2], "contains_shot")},
            ],
        ),
        "ALREADY_EXISTS",
        "RELATIONSHIP_EXISTS",
    )
    assert fault.metadata["change_index"] == "1"
