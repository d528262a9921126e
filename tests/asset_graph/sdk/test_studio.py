"""The studio's client at the gateway: shots of files and of the graph, films, and one watch of both."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from shotline.client import AssetService, Conflict, FailedPrecondition, NotFound, Studio

WS = "studio"


async def test_shots_of_a_sequence(studio: Studio, project: Path) -> None:
    shots = await studio.get_shots(project, "001")
    assert [each["id"] for each in shots["shots"]] == ["s1", "s2", "s3"]
    updated = await studio.update_shot(
        "s1", {"generation": {"parameters": {"steps": 30}}}, project_path=project, sequence_id="001"
    )
    assert updated["shot"]["generation"] == {"model": "flux-dev", "parameters": {"steps": 30, "cfgScale": 7.5}}
    assert updated["stored_in"] == {
        "file": "sequences/sequence_001.json",
        "sequence_id": "001",
        "workspace_id": None,
    }
    assert updated["revision"] > 0
    assert updated["structure"] is None
    found = await studio.get_shot("loose", project_path=project)
    assert found["stored_in"] is not None
    assert found["stored_in"]["file"] == "project.json"
    with pytest.raises(Conflict) as conflict:
        await studio.update_shot(
            "s1", {"prompt": "x"}, project_path=project, sequence_id="001", etag=shots["shots"][0]["etag"]
        )
    assert conflict.value.current is not None
    assert conflict.value.current["id"] == "s1"
    with pytest.raises(NotFound):
        await studio.get_shot("nowhere", project_path=project)
    with pytest.raises(ValueError, match="needs its project_path"):
        await studio.get_shot("s1", sequence_id="001")


async def test_sequences_and_those_that_cannot_be_read(studio: Studio, project: Path) -> None:
    (project / "sequences" / "sequence_003.json").write_text('{"id": "003",\n "shots": [}')
    found = await studio.get_all_sequences(project)
    assert [(each["id"], each["file"]) for each in found["sequences"]] == [
        ("001", "sequences/sequence_001.json"),
        ("002", "sequences/sequence_002.json"),
    ]
    assert found["sequences"][0]["sequence"]["name"] == "Opening"
    (broken,) = found["unreachable"]
    assert (broken["file"], broken["line"]) == ("sequences/sequence_003.json", 2)
    with pytest.raises(FailedPrecondition) as caught:
        await studio.get_shots(project, "003")
    assert caught.value.reason == "SEQUENCE_FILE_INVALID"


async def test_shots_of_the_graph_and_their_film(studio: Studio, service: AssetService) -> None:
    film = await service.create_asset(WS, "film", "Harbour")
    shot = await service.create_shot(WS, "Shot", prompt="dusk", parent_id=film)
    take = await service.create_shot_take(shot, generation_cost="0.50")
    video = await service.link_take_video(take, "https://cdn.example.com/1.mp4", 4.5)
    selected = await studio.select_take(shot, take, expected_take_id=None)
    assert selected["structure"] is not None
    assert selected["structure"]["selected_take_id"] == take
    assert selected["structure"]["selected_video"] is not None
    assert selected["structure"]["selected_video"]["id"] == video
    assert selected["structure"]["takes"][0]["generation_cost"] == Decimal("0.50")
    updated = await studio.update_shot(shot, {"name": "Pier", "metadata": {"prompt": "dawn"}})
    assert updated["shot"]["metadata"] == updated["shot"]["asset_metadata"] == {"prompt": "dawn"}
    assert updated["stored_in"] == {"file": None, "sequence_id": None, "workspace_id": WS}
    found = await studio.get_film(film)
    assert (found["film"]["name"], found["shot_count"]) == ("Harbour", 1)
    assert [(each["shot"]["name"], each["position"]) for each in found["shots"]] == [("Pier", 1)]
    assert found["shots"][0]["structure"] is not None
    assert (await studio.get_shot(shot))["etag"] == updated["etag"]
    with pytest.raises(Conflict):
        await studio.select_take(shot, None, expected_take_id=None)


async def test_one_watch_of_files_and_graph_goes_on_where_it_was(
    studio: Studio, service: AssetService, project: Path
) -> None:
    async with studio.watch(projects=[project], workspaces=[WS]) as watch:
        begun = await watch.begin()
        assert all(place.revision is not None for place in begun)
        await studio.update_shot("s1", {"prompt": "dawn"}, project_path=project, sequence_id="001")
        first = await asyncio.wait_for(anext(watch), 10)
        film = await service.create_asset(WS, "film", "Film")
        second = await asyncio.wait_for(anext(watch), 10)
    assert first["source"] == str(project)
    assert first["project"] is not None
    assert [(each["file"], each["shots"][0]["id"]) for each in first["project"]["files"]] == [
        ("sequences/sequence_001.json", "s1")
    ]
    assert second["source"] == WS
    assert second["graph"] is not None
    assert [each["id"] for each in second["graph"]["assets"]] == [film]
    await service.create_asset(WS, "film", "Later")
    async with studio.watch(projects=[project], workspaces=[WS], places=watch.places) as later:
        change = await asyncio.wait_for(anext(later), 10)
    assert change["graph"] is not None
    assert [each["name"] for each in change["graph"]["assets"]] == ["Later"]
    with pytest.raises(ValueError, match="as many places"):
        studio.watch(projects=[project], places=watch.places)
