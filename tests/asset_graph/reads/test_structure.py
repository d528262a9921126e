"""Shots and films with all that belongs to them."""

import json
from decimal import Decimal
from typing import Any

import pytest
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from services.kernel.faults import Fault
from services.kernel.paging import MAX_PAGE_BYTES
from tests.asset_graph.reads.films import Draft, document, film_of
from tests.asset_graph.reads.serving import Client, Serving


def as_json(asset: pb.Asset) -> dict[str, Any]:
    """The JSON form that the contract describes, of an asset that was read on its own."""
    return {
        "id": asset.id,
        "workspace_id": asset.workspace_id,
        "type": asset.type,
        "name": asset.name,
        "url": asset.url if asset.HasField("url") else None,
        "duration": asset.duration_seconds if asset.HasField("duration_seconds") else None,
        "generation_cost": asset.generation_cost if asset.HasField("generation_cost") else None,
        "metadata": json.loads(asset.metadata_json),
        "etag": asset.etag,
    }


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    assert found["create_time"].endswith("+00:00")
    assert found["update_time"] >= found["create_time"]
    return {name: value for name, value in found.items() if name not in ("create_time", "update_time")}


async def test_a_shot_has_all_that_belongs_to_it(client: Client) -> None:
    draft = Draft()
    awkward = 'quotes " \\ \b\n and \U0001f3ac </script>'
    draft.asset(
        "shot", "shot", name=awkward, metadata_json=json.dumps({"prompt": awkward, "n": 1, "deep": [{"a": None}]})
    )
    draft.asset("hero", "character_ref", url="https://cdn/hero")
    draft.asset("villain", "character_ref")
    draft.asset("music", "audio", duration_seconds=12.5)
    draft.asset("rain", "audio", duration_seconds=0.0000001)
    for child in ("villain", "hero"):
        draft.edge("shot", "uses_character", child)
    for child in ("rain", "music"):
        draft.edge("shot", "uses_audio", child)
    draft.take("shot", "one", generation_cost="0.50")
    draft.take("shot", "two", selected=True, video="video", generation_cost="0")
    ids = await draft.make(client)
    answer = await client.GetShotStructure(shot_id=ids["shot"])
    found = document(answer)
    assets = {name: as_json(await client.GetAsset(id=each)) for name, each in ids.items()}
    assert without_times(found["shot"]) == assets["shot"]
    assert (answer.shot_id, answer.etag) == (ids["shot"], assets["shot"]["etag"])
    assert found["selected_take_id"] == ids["two"]
    assert {kind: [link["id"] for link in links] for kind, links in found["links"].items()} == {
        "uses_audio": [ids["rain"], ids["music"]],
        "uses_character": [ids["villain"], ids["hero"]],
    }
    assert [link["sequence"] for link in found["links"]["uses_audio"]] == [1, 2]
    assert [link["sequence"] for link in found["links"]["uses_character"]] == [None, None]
    assert without_times(found["links"]["uses_character"][1]) == {**assets["hero"], "sequence": None}
    assert [take["id"] for take in found["takes"]] == [ids["one"], ids["two"]]
    assert found["takes"][0]["video"] is None
    video = found["takes"][1].pop("video")
    assert without_times(video) == assets["video"]
    assert without_times(found["takes"][1]) == {**assets["two"], "sequence": 2}


async def test_a_shot_alone_has_nothing(client: Client) -> None:
    shot = await client.CreateShot(workspace_id="a", name="alone")
    found = document(await client.GetShotStructure(shot_id=shot.id))
    assert (found["links"], found["takes"], found["selected_take_id"]) == ({}, [], None)


async def test_takes_are_listed_with_their_videos_and_the_selected_one_is_given(client: Client) -> None:
    ids = await film_of(client, ["s"])
    for size in (1, 2, 3):
        takes = await client.ids("ListShotTakes", "takes", shot_id=ids["s"], page_size=size)
        assert takes == [ids["s-1"], ids["s-2"]]
    first, second = (await client.ListShotTakes(shot_id=ids["s"])).takes
    assert (first.attempt_number, first.selected, first.HasField("video")) == (1, False, False)
    assert (second.attempt_number, second.selected, second.video.id) == (2, True, ids["s-2-video"])
    assert second.shot_id == ids["s"]
    selection = await client.GetSelectedTake(shot_id=ids["s"])
    assert (selection.shot_id, selection.take) == (ids["s"], second)
    await client.SelectTake(shot_id=ids["s"])
    assert not (await client.GetSelectedTake(shot_id=ids["s"])).HasField("take")


async def in_order(client: Client, film_id: str, size: int) -> list[pb.ShotStructure]:
    found: list[pb.ShotStructure] = []
    fields: dict[str, Any] = {"film_id": film_id, "page_size": size}
    while True:
        answer = await client.GetFilmStructure(**fields)
        assert answer.HasField("film") == (not found)
        found += answer.shots
        if not answer.next_page_token:
            assert answer.shot_count == len(found)
            return found
        fields["page_token"] = answer.next_page_token


async def nested(client: Client) -> tuple[dict[str, str], Draft]:
    """film: s1 s2 · A: a1 · AA: aa1 · B: b1, s2 again, and AA again · C: empty."""
    draft = Draft()
    for name, kind in {"film": "film", "A": "scene", "B": "scene", "AA": "scene", "C": "scene"}.items():
        draft.asset(name, kind)
    for name in ("b1", "aa1", "s2", "a1", "s1"):
        draft.asset(name, "shot")
    for parent, child in [("film", "B"), ("film", "C"), ("A", "AA"), ("B", "AA")]:
        draft.edge(parent, "contains_scene", child)
    draft.edge("film", "contains_scene", "A", 9)
    for parent, child in [("film", "s1"), ("film", "s2"), ("B", "b1"), ("B", "s2"), ("AA", "aa1"), ("A", "a1")]:
        draft.edge(parent, "contains_shot", child)
    ids = await draft.make(client)
    key = {"parent_asset_id": ids["film"], "child_asset_id": ids["A"], "relationship_type": "contains_scene"}
    await client.MoveRelationship(key=key, position=1)
    return ids, draft


async def test_a_film_is_played_in_order_whatever_the_pages(client: Client) -> None:
    ids, _ = await nested(client)
    names = {value: key for key, value in ids.items()}
    for size in (1, 2, 3, 5, 100):
        shots = await in_order(client, ids["film"], size)
        assert [names[shot.shot_id] for shot in shots] == ["s1", "s2", "a1", "aa1", "b1"]
        assert [shot.position for shot in shots] == [1, 2, 3, 4, 5]
        assert [[names[each] for each in shot.scene_ids] for shot in shots] == [[], [], ["A"], ["A", "AA"], ["B"]]
    first = await client.GetFilmStructure(film_id=ids["film"])
    assert [names[scene.asset.id] for scene in first.scenes] == ["A", "AA", "B", "C"]
    assert [[names[each] for each in scene.scene_ids] for scene in first.scenes] == [[], ["A"], [], []]
    assert [scene.sequence for scene in first.scenes] == [1, 1, 2, 9]
    assert first.film == await client.GetAsset(id=ids["film"])
    scene = await client.GetFilmStructure(film_id=ids["B"])
    assert [names[shot.shot_id] for shot in scene.shots] == ["b1", "s2", "aa1"]
    assert [names[scene.asset.id] for scene in scene.scenes] == ["AA"]


async def test_each_shot_of_a_film_is_as_it_is_on_its_own(client: Client) -> None:
    ids = await film_of(client, ["s1", "s2", "s3"])
    for shot in await in_order(client, ids["film"], 2):
        alone = await client.GetShotStructure(shot_id=shot.shot_id)
        assert (shot.document_json, shot.etag) == (alone.document_json, alone.etag)


async def test_a_page_goes_on_where_the_last_one_ended_although_shots_came_and_went(client: Client) -> None:
    ids = await film_of(client, [f"s{number}" for number in range(6)])
    first = await client.GetFilmStructure(film_id=ids["film"], page_size=3)
    await client.DeleteAsset(id=ids["s0"])
    await client.DeleteAsset(id=ids["s2"])
    await client.CreateShot(workspace_id="a", name="new", parent_asset_id=ids["film"])
    rest = await client.GetFilmStructure(film_id=ids["film"], page_token=first.next_page_token)
    assert [document(shot)["shot"]["name"] for shot in rest.shots] == ["s3", "s4", "s5", "new"]
    assert [shot.position for shot in rest.shots] == [2, 3, 4, 5]
    assert rest.shot_count == 5


async def test_a_film_without_shots_and_its_final_edits(client: Client) -> None:
    draft = Draft()
    draft.asset("film", "film")
    for name in ("v1", "v2"):
        draft.asset(name, "video")
        draft.edge("film", "final_edit", name)
    ids = await draft.make(client)
    answer = await client.GetFilmStructure(film_id=ids["film"])
    assert [edit.asset.name for edit in answer.final_edits] == ["v1", "v2"]
    assert (answer.shot_count, list(answer.shots), answer.next_page_token) == (0, [], "")


async def test_a_page_of_a_film_is_cut_at_three_mebibytes(client: Client) -> None:
    large = json.dumps({"prompt": "x" * 700_000})
    ids = await film_of(client, [f"s{number}" for number in range(6)], metadata_json=large)
    fields: dict[str, Any] = {"film_id": ids["film"]}
    found: list[str] = []
    while True:
        answer = await client.GetFilmStructure(**fields)
        assert answer.ByteSize() < MAX_PAGE_BYTES + 1000
        found += [shot.shot_id for shot in answer.shots]
        if not answer.next_page_token:
            break
        fields["page_token"] = answer.next_page_token
    assert found == [ids[f"s{number}"] for number in range(6)]


async def test_scenes_that_share_scenes_are_walked_once(client: Client) -> None:
    """Forty times two ways are 10^12 ways to the last scene."""
    draft = Draft()
    draft.asset("film", "film")
    above = ["film"]
    for level in range(40):
        scenes = [draft.asset(f"{side}{level}", "scene") for side in ("l", "r")]
        for parent in above:
            for scene in scenes:
                draft.edge(parent, "contains_scene", scene)
        above = scenes
    draft.asset("shot", "shot", generation_cost="1")
    for parent in above:
        draft.edge(parent, "contains_shot", "shot")
    ids = await draft.make(client)
    answer = await client.GetFilmStructure(film_id=ids["film"], timeout=5)
    assert [shot.shot_id for shot in answer.shots] == [ids["shot"]]
    assert list(answer.shots[0].scene_ids) == [ids[f"l{level}"] for level in range(40)]
    assert [scene.asset.name for scene in answer.scenes][:42] == [*(f"l{level}" for level in range(40)), "r39", "r38"]
    assert (await client.GetFilmCost(film_id=ids["film"], timeout=5)).total == "1"


async def test_figures_of_a_shot(client: Client) -> None:
    draft = Draft()
    draft.asset("shot", "shot", generation_cost="0.10")
    for number, score in enumerate((8.5, None, 3.0), 1):
        fields = {} if score is None else {"quality_score": score}
        draft.take("shot", f"t{number}", generation_cost="0.50", video=f"v{number}", **fields)
    ids = await draft.make(client)
    await client.UpdateAsset(id=ids["v1"], generation_cost="0.05")
    first = await client.SelectTake(shot_id=ids["shot"], take_id=ids["t1"])
    await client.SelectTake(shot_id=ids["shot"], take_id=ids["t3"])
    await client.DeleteAsset(id=ids["t1"])
    last = await client.SelectTake(shot_id=ids["shot"])
    metrics = await client.GetShotMetrics(shot_id=ids["shot"])
    assert (metrics.attempts, metrics.mean_quality_score, metrics.selected_take_id) == (2, 3.0, "")
    assert Decimal(metrics.total_cost) == Decimal("1.65")
    assert metrics.currency == "USD"
    assert [(each.previous_take_id, each.take_id) for each in metrics.selection_history] == [
        ("", ids["t1"]),
        (ids["t1"], ids["t3"]),
        (ids["t3"], ""),
    ]
    assert [each.revision for each in metrics.selection_history][::2] == [first.revision, last.revision]
    assert {each.actor for each in metrics.selection_history} == {"operator"}
    alone = await client.CreateShot(workspace_id="a", name="alone")
    metrics = await client.GetShotMetrics(shot_id=alone.id)
    assert (metrics.attempts, metrics.HasField("mean_quality_score"), metrics.total_cost) == (0, False, "0")


@pytest.mark.parametrize(
    ("method", "field"),
    [
        ("GetShotStructure", "shot_id"),
        ("GetShotMetrics", "shot_id"),
        ("GetSelectedTake", "shot_id"),
        ("ListShotTakes", "shot_id"),
        ("GetFilmStructure", "film_id"),
        ("GetFilmCost", "film_id"),
    ],
)
async def test_an_asset_of_another_type_is_refused_with_its_type(client: Client, method: str, field: str) -> None:
    asset = await client.CreateAsset(workspace_id="a", type="audio", name="x")
    with pytest.raises(Fault) as caught:
        await getattr(client, method)(**{field: asset.id})
    assert caught.value.fields.keys() == {field}
    assert "this is a audio" in caught.value.message


async def test_shots_without_a_number_are_played_last_as_they_were_put_in(server: Serving) -> None:
    """Only direct SQL can take a number away."""
    ids = await film_of(server.client, [f"s{number}" for number in range(6)])
    shots = ", ".join(f"'{ids[name]}'" for name in ("s1", "s3", "s4"))
    await server.sql(
        "SET session_replication_role = replica",
        f"UPDATE asset_relationships SET sequence = NULL WHERE child_asset_id IN ({shots})",
    )
    for size in (1, 2, 4, 6):
        found = await in_order(server.client, ids["film"], size)
        assert [document(shot)["shot"]["name"] for shot in found] == ["s0", "s2", "s5", "s1", "s3", "s4"]
        assert [shot.position for shot in found] == [1, 2, 3, 4, 5, 6]
