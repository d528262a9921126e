"""A film made and read with the client: what the seeds' examples do, in words of our own, and what they leave out."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from shotline.client import (
    AlreadyExists,
    AssetService,
    Conflict,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)

from tests.asset_graph.sdk.graphs import NARROW, OWN, TOKEN, Graph

WS = "harbour"


async def test_a_shot_with_cast_sound_script_and_takes(service: AssetService) -> None:
    shot_id = await service.create_shot(
        workspace_id=WS,
        name="The pier",
        description="Two people wait for a boat",
        shot_number="07B",
        camera_angle="wide",
        duration_target=6.5,
        prompt="a pier in fog",
        metadata={"weather": "fog"},
    )
    assert isinstance(shot_id, str)
    assert UUID(shot_id).version == 7
    cast = [await service.create_asset(WS, "character_ref", name) for name in ("Ida", "Tom")]
    fog_horn, waves = [await service.create_asset(WS, "audio", name) for name in ("horn", "waves")]
    script = await service.create_asset(WS, "script", "dialogue")

    linked = await service.link_shot_assets(UUID(shot_id), characters=cast)
    assert linked["created_count"] == 2
    assert [link["child_asset_id"] for link in linked["relationships"]] == cast
    await service.link_shot_assets(shot_id, audios=[waves])
    again = await service.link_shot_assets(shot_id, audios=[fog_horn, waves], scripts=[script])
    assert again["created_count"] == 2  # the horn and the script: the waves were there

    audios = await service.get_child_assets(parent_asset_id=shot_id, relationship_type="uses_audio", asset_type="audio")
    assert [(audio["sequence"], audio["name"]) for audio in audios] == [(1, "waves"), (2, "horn")]
    (text,) = await service.get_child_assets(UUID(shot_id), asset_type="script")
    assert (text["type"], text["relationship_type"]) == ("text", "uses_script")

    first = await service.create_shot_take(shot_id, generation_params={"provider": "minimax"}, generation_cost=0.10)
    second = await service.create_shot_take(shot_id, selected=True, quality_score=8.5, generation_cost=Decimal("0.20"))
    video = await service.link_take_video(second, "https://cdn.example.com/2.mp4", 6.4, {"fps": 24, "gamma": 2.2})
    takes = await service.get_shot_takes(shot_id)
    assert [(take["id"], take["attempt_number"], take["selected"]) for take in takes] == [
        (first, 1, False),
        (second, 2, True),
    ]
    assert takes[0]["video"] is None
    assert takes[1]["video"] is not None
    assert (takes[1]["video"]["id"], takes[1]["video"]["duration"]) == (video, 6.4)
    assert takes[1]["video"]["metadata"] == {"fps": 24, "gamma": 2.2}
    assert takes[1]["asset_metadata"] is takes[1]["metadata"]
    assert takes[1]["asset_metadata"]["selected"] is True
    assert (takes[0]["generation_cost"], takes[1]["generation_cost"]) == (Decimal("0.1"), Decimal("0.20"))

    selected = await service.get_selected_take(shot_id)
    assert selected is not None
    assert selected["id"] == second

    updated = await service.update_asset(asset_id=first, metadata={"selected": True})
    assert updated["metadata"]["selected"] is True
    assert updated["revision"] > 0
    assert [take["selected"] for take in await service.get_shot_takes(shot_id)] == [True, False]
    selection = await service.select_take(shot_id, None)
    assert selection["take"] is None
    assert await service.get_selected_take(shot_id) is None


async def test_numbers_and_texts_come_back_as_they_were(service: AssetService) -> None:
    metadata: dict[str, Any] = {"steps": 20, "cfg": 7.5, "seed": 2**53, "who": "Zoë 🎬", "list": [1, None, {"a": True}]}
    asset_id = await service.create_asset(WS, "image", "naïve “title” %_\\", metadata=metadata, generation_cost="0.10")
    asset = await service.get_asset(asset_id)
    assert asset["metadata"] == metadata
    assert isinstance(asset["metadata"]["steps"], int)
    assert asset["name"] == "naïve “title” %_\\"
    assert str(asset["generation_cost"]) == "0.10"
    now = datetime.now(UTC)
    assert now - timedelta(minutes=5) < asset["create_time"] <= asset["update_time"] <= now + timedelta(minutes=5)


async def test_an_update_merges_replaces_and_takes_away(service: AssetService) -> None:
    asset_id = await service.create_asset(
        WS, "shot", "Shot", {"generation": {"prompt": "a", "seed": 1}, "note": "x"}, "https://x.example/", 3.0, "1.50"
    )
    merged = await service.update_asset(asset_id, metadata={"generation": {"prompt": "b"}, "note": None})
    assert merged["metadata"] == {"generation": {"prompt": "b", "seed": 1}}
    replaced = await service.update_asset(asset_id, metadata={"generation": {"prompt": "c"}}, mode="replace_top_level")
    assert replaced["metadata"] == {"generation": {"prompt": "c"}}
    assert (replaced["url"], replaced["duration"], replaced["generation_cost"]) == (
        "https://x.example/",
        3.0,
        Decimal("1.50"),
    )
    bare = await service.update_asset(asset_id, "Shot 2", url=None, duration=None, generation_cost=None)
    assert (bare["name"], bare["url"], bare["duration"], bare["generation_cost"]) == ("Shot 2", None, None, None)


async def test_a_stale_etag_is_a_conflict_that_shows_what_is_there(service: AssetService) -> None:
    asset_id = await service.create_asset(WS, "shot", "Shot", {"prompt": "dawn"})
    seen = await service.get_asset(asset_id)
    newer = await service.update_asset(asset_id, metadata={"prompt": "dusk"}, etag=seen["etag"])
    with pytest.raises(Conflict) as caught:
        await service.update_asset(asset_id, metadata={"prompt": "noon"}, etag=seen["etag"])
    conflict = caught.value
    assert (conflict.reason, conflict.code, conflict.current_etag) == ("ETAG_MISMATCH", "ABORTED", newer["etag"])
    assert conflict.current == await service.get_asset(asset_id)
    assert conflict.current["metadata"] is conflict.current["asset_metadata"]
    with pytest.raises(Conflict):
        await service.delete_asset(asset_id, etag=seen["etag"])


async def test_a_conflict_shows_also_what_is_too_large_for_an_error(service: AssetService) -> None:
    asset_id = await service.create_asset(WS, "shot", "Shot", {"prompt": "long " * 2_000})
    with pytest.raises(Conflict) as caught:
        await service.update_asset(asset_id, name="Other", etag="0" * 32)
    assert caught.value.current == await service.get_asset(asset_id)


async def test_failures_have_kinds_and_reasons(service: AssetService) -> None:
    film = await service.create_asset(WS, "film", "Film")
    scene = await service.create_asset(WS, "scene", "Scene")
    with pytest.raises(NotFound) as missing:
        await service.get_asset(uuid4())
    assert missing.value.reason == "ASSET_NOT_FOUND"
    assert missing.value.request_id is None
    await service.create_relationship(film, scene, "contains_scene")
    with pytest.raises(AlreadyExists) as twice:
        await service.create_relationship(film, scene, "contains_scene")
    assert twice.value.reason == "RELATIONSHIP_EXISTS"
    assert twice.value.request_id is not None
    with pytest.raises(InvalidArgument) as mismatch:
        await service.create_relationship(scene, film, "uses_character")
    assert mismatch.value.reason == "RELATIONSHIP_TYPE_MISMATCH"
    inner = await service.create_asset(WS, "scene", "Inner")
    await service.create_relationship(scene, inner, "contains_scene")
    with pytest.raises(FailedPrecondition) as circle:
        await service.create_relationship(inner, scene, "contains_scene")
    assert circle.value.reason == "CYCLE"
    assert scene in circle.value.details["path"].split(",")
    with pytest.raises(InvalidArgument) as field:
        await service.get_asset("x")
    assert "id" in field.value.fields


async def test_another_workspace_is_denied_and_its_assets_do_not_exist(graph: Graph, service: AssetService) -> None:
    elsewhere = await service.create_asset(WS, "film", "Secret")
    async with AssetService(graph.address, token=NARROW) as trainee:
        assert await trainee.create_asset(OWN, "film", "Mine")
        with pytest.raises(NotFound):
            await trainee.get_asset(elsewhere)
        with pytest.raises(PermissionDenied) as denied:
            await trainee.create_asset(WS, "film", "Theirs")
        assert denied.value.reason == "WORKSPACE_NOT_ALLOWED"
    async with AssetService(graph.address, token="made up") as stranger:
        with pytest.raises(Unauthenticated):
            await stranger.rules()
    assert [asset["id"] async for asset in service.list_assets(WS, "film")] == [elsewhere]
    assert TOKEN != NARROW


async def test_a_film_in_one_batch_read_as_a_whole(service: AssetService) -> None:
    async with service.batch(WS) as batch:
        film = batch.create_asset("film", "Harbour", {"synopsis": "A boat comes"})
        scene = batch.create_asset("scene", "Morning")
        batch.create_relationship(film, scene, "contains_scene")
        hero = batch.create_asset("character_ref", "Ida")
        shots = [batch.create_shot(f"Shot {n}", prompt=f"p{n}", parent_id=scene, characters=[hero]) for n in (1, 2)]
        take = batch.create_shot_take(
            shots[0], generation_params={"provider": "minimax", "model": "video-01"}, generation_cost="0.50"
        )
        batch.link_take_video(take, "https://cdn.example.com/1.mp4", 5.0, generation_cost="0.05")
        batch.select_take(shots[0], take)
        batch.update_asset(hero, metadata={"age": 40})
    assert batch.revision is not None
    assert batch.revision > 0
    assert len(batch.results) == len(batch) == 10
    ids = batch.ids
    found = await service.get_film_structure(ids[film])
    assert found["film"]["name"] == "Harbour"
    assert [(each["name"], each["scene_ids"]) for each in found["scenes"]] == [("Morning", [])]
    assert found["shot_count"] == 2
    assert [(each["shot"]["id"], each["position"], each["scene_ids"]) for each in found["shots"]] == [
        (ids[shots[0]], 1, [ids[scene]]),
        (ids[shots[1]], 2, [ids[scene]]),
    ]
    first = found["shots"][0]
    assert first["selected_take_id"] == ids[take]
    assert first["takes"][0]["generation_cost"] == Decimal("0.50")
    assert first["takes"][0]["video"] is not None
    assert first["takes"][0]["video"]["url"] == "https://cdn.example.com/1.mp4"
    assert [each["metadata"] for each in first["links"]["uses_character"]] == [{"age": 40}]
    assert [each["shot"]["id"] async for each in service.list_film_shots(ids[film], page_size=1)] == [
        ids[shots[0]],
        ids[shots[1]],
    ]
    alone = await service.get_shot_structure(ids[shots[0]])
    assert alone["takes"] == first["takes"]
    assert alone["shot"]["create_time"] == (await service.get_asset(ids[shots[0]]))["create_time"]

    cost = await service.get_film_cost(ids[film])
    assert (cost["total"], cost["currency"]) == (Decimal("0.55"), "USD")
    dearest = cost["shots"][0]
    assert (dearest["name"], dearest["total"], dearest["attempts"]) == ("Shot 1", Decimal("0.55"), 1)
    assert ("minimax", "video-01") in [(each["provider"], each["model"]) for each in cost["providers"]]
    metrics = await service.get_shot_metrics(ids[shots[0]])
    assert (metrics["attempts"], metrics["selected_take_id"], metrics["mean_quality_score"]) == (1, ids[take], None)
    assert [change["take_id"] for change in metrics["selection_history"]] == [ids[take]]


async def test_a_batch_is_made_whole_or_not_at_all(service: AssetService) -> None:
    with pytest.raises(NotFound) as failed:
        async with service.batch(WS) as batch:
            batch.create_asset("film", "Harbour")
            batch.create_shot("Shot", parent_id=uuid4())
    assert failed.value.details["change_index"] == "1"
    with pytest.raises(ZeroDivisionError):
        async with service.batch(WS) as batch:
            batch.create_asset("film", "Harbour")
            raise ZeroDivisionError
    async with service.batch(WS):
        pass
    assert [asset async for asset in service.list_assets(WS)] == []


async def test_order_moves_and_ends(service: AssetService) -> None:
    film = await service.create_asset(WS, "film", "Film")
    shots = [await service.create_shot(WS, f"Shot {n}", parent_id=film) for n in range(3)]
    moved = await service.move_relationship(film, shots[2], "contains_shot", position=1)
    assert moved["sequence"] == 1
    await service.move_relationship(film, shots[0], "contains_shot", after=shots[1])
    assert [each["id"] for each in await service.get_child_assets(film)] == [shots[2], shots[1], shots[0]]
    assert await service.delete_relationship(film, shots[1], "contains_shot") > 0
    assert [each["id"] for each in await service.get_child_assets(film)] == [shots[2], shots[0]]
    hero = await service.create_asset(WS, "character_ref", "Ida")
    for shot in shots:
        await service.link_shot_assets(shot, characters=[hero])
    assert [each["id"] for each in await service.get_parent_assets(hero, "uses_character", "shot")] == shots
    assert (await service.unlink_shot_assets(shots[0], characters=[hero]))["deleted_count"] == 1


async def test_a_deleted_shot_comes_back_with_its_takes(service: AssetService) -> None:
    shot = await service.create_shot(WS, "Shot")
    take = await service.create_shot_take(shot, selected=True)
    gone = await service.delete_asset(shot)
    assert gone["deleted_asset_ids"] == [shot, take]
    with pytest.raises(NotFound):
        await service.get_shot_takes(shot)
    deleted = [each async for each in service.list_deleted_assets(WS)]
    assert {each["id"] for each in deleted} == {shot, take}
    assert deleted[0]["deleted_by"] == "director"
    back = await service.undelete_asset(shot)
    assert back["id"] == shot
    selected = await service.get_selected_take(shot)
    assert selected is not None
    assert selected["id"] == take
    with pytest.raises(FailedPrecondition):
        await service.undelete_asset(shot)


async def test_the_rules_can_be_read(service: AssetService) -> None:
    rules = await service.rules()
    assert "script" in next(each["aliases"] for each in rules["asset_types"] if each["type"] == "text")
    contains = next(each for each in rules["relationship_rules"] if each["relationship_type"] == "contains_shot")
    assert contains["ordered"]
    assert set(contains["parent_types"]) == {"film", "scene"}


async def test_lists_page_by_themselves(service: AssetService) -> None:
    async with service.batch(WS) as batch:
        handles = [batch.create_asset("image", f"image {n:04}", {"even": n % 2 == 0}) for n in range(1_203)]
    ids = [batch.ids[handle] for handle in handles]
    assert [each["id"] async for each in service.list_assets(WS, order="name", page_size=100)] == ids
    even = service.list_assets(WS, ["image"], name_prefix="image 00", metadata_contains={"even": True}, page_size=7)
    assert [each["id"] async for each in even] == ids[:100:2]
    asked = [ids[1_200], uuid4(), *ids[:1_100]]
    assert [each["id"] for each in await service.get_assets(asked)] == [ids[1_200], *ids[:1_100]]
    film = await service.create_asset(WS, "film", "Film")
    async with service.batch(WS) as batch:
        shots = [batch.create_shot(f"Shot {n}", parent_id=film) for n in range(1_050)]
    children = await service.get_child_assets(film)
    assert [each["id"] for each in children] == [batch.ids[shot] for shot in shots]
    assert [each["sequence"] for each in children] == list(range(1, 1_051))
