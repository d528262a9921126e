"""Films by the studio and its channel, the asset graph's own methods through the gateway, and a graph that is away."""

import asyncio
import json
from collections.abc import Sequence

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from shotline.asset_graph.v1 import asset_graph_service_pb2 as graph
from shotline.studio.v1 import studio_service_pb2 as pb

from gateway.servicer import STUDIO
from services.asset_graph.main import SERVICE
from services.runtime.channels import watch_health
from tests.services.gateway.conftest import GRAPH, NARROW, OWN, Rig
from tests.services.gateway.graph.conftest import Film, Running

one_way = pytest.mark.parametrize("wiring", ["in process"])


async def test_a_film_comes_in_playing_order_with_its_scenes(rig: Rig, film: Film) -> None:
    whole = await rig.studio.GetFilm(pb.GetFilmRequest(film_id=film["Harbour"]))
    assert json.loads(whole.document_json)["metadata"] == {"title": "Harbour"}
    scenes = json.loads(whole.scenes_json)
    assert [(one["name"], one["sequence"], one["scene_ids"]) for one in scenes] == [("Quay", 1, []), ("Cabin", 2, [])]
    assert json.loads(whole.final_edits_json) == []
    assert [(one.position, one.shot.id, list(one.scene_ids)) for one in whole.shots] == [
        (1, film["Shot 1"], [film["Quay"]]),
        (2, film["Shot 2"], [film["Quay"]]),
        (3, film["Shot 3"], [film["Cabin"]]),
    ]
    assert (whole.id, whole.shot_count, whole.next_page_token) == (film["Harbour"], 3, "")
    for one in whole.shots:
        assert one.shot == await rig.studio.GetShot(
            pb.GetShotRequest(target=pb.ShotTarget(graph_shot=pb.GraphShot(shot_id=one.shot.id)))
        )


@one_way
async def test_final_edits_and_scenes_within_scenes_are_told(rig: Rig, film: Film) -> None:
    video = await film.stub.CreateAsset(
        graph.CreateAssetRequest(
            workspace_id=film.workspace, type="video", name="Cut", url="https://cdn.example/cut.mp4"
        )
    )
    inner = await film.stub.CreateAsset(
        graph.CreateAssetRequest(workspace_id=film.workspace, type="scene", name="Inner")
    )
    for parent, child, kind in (
        (film["Harbour"], video.id, "final_edit"),
        (film["Quay"], inner.id, "contains_scene"),
    ):
        await film.stub.CreateRelationship(
            graph.CreateRelationshipRequest(parent_asset_id=parent, child_asset_id=child, relationship_type=kind)
        )
    whole = (await rig.ipc("film:get", [film["Harbour"]])).json
    assert [(one["name"], one["url"]) for one in whole["finalEdits"]] == [("Cut", "https://cdn.example/cut.mp4")]
    assert [(one["name"], one["scene_ids"]) for one in whole["scenes"]] == [
        ("Quay", []),
        ("Inner", [film["Quay"]]),
        ("Cabin", []),
    ]


@one_way
async def test_the_channel_gives_the_whole_film_or_pages_of_it(rig: Rig, film: Film) -> None:
    whole = (await rig.ipc("film:get", {"filmId": film["Harbour"]})).json
    assert whole["film"]["name"] == "Harbour"
    assert [one["shot"]["name"] for one in whole["shots"]] == ["Shot 1", "Shot 2", "Shot 3"]
    assert whole["shots"][0]["structure"]["links"]["uses_character"][0]["name"] == "Mara"
    assert (whole["shotCount"], "nextPageToken" in whole) == (3, False)
    first = (await rig.ipc("film:get", [film["Harbour"], {"pageSize": 2}])).json
    rest = (await rig.ipc("film:get", [film["Harbour"], {"pageToken": first["nextPageToken"]}])).json
    assert first["shots"] + rest["shots"] == whole["shots"]
    assert first["scenes"] == whole["scenes"]
    assert ("film" in rest, rest["nextPageToken"], rest["shotCount"]) == (False, "", 3)


BAD: Sequence[tuple[str, Sequence[object], int, str, str]] = (
    ("film:get", [], 400, "INVALID_FIELD", "filmId"),
    ("film:get", [""], 400, "INVALID_FIELD", "filmId"),
    ("film:get", ["not-a-uuid"], 400, "INVALID_FIELD", "filmId"),
    ("film:get", [5], 400, "INVALID_FIELD", "filmId"),
    ("film:get", ["0195a1c2-7e00-7000-8000-000000000000"], 404, "ASSET_NOT_FOUND", ""),
    ("film:get", ["<Shot 1>"], 400, "INVALID_FIELD", "filmId"),
    ("film:get", ["<Harbour>", {"pageSize": -1}], 400, "INVALID_FIELD", "pageSize"),
    ("film:get", ["<Harbour>", {"pageToken": "made up"}], 400, "INVALID_FIELD", "pageToken"),
    ("film:get", ["<Harbour>", {"etag": "x"}], 400, "INVALID_FIELD", "options.etag"),
    ("take:select", ["<Shot 1>"], 400, "INVALID_FIELD", "takeId"),
    ("take:select", ["<Shot 1>", None], 400, "INVALID_FIELD", "takeId"),
    ("take:select", ["<Shot 1>", 5], 400, "INVALID_FIELD", "takeId"),
    ("take:select", ["<Shot 1>", "x"], 400, "INVALID_FIELD", "takeId"),
    ("take:select", ["", "<Take 1>"], 400, "INVALID_FIELD", "shotId"),
    ("take:select", ["<Harbour>", "<Take 1>"], 400, "INVALID_FIELD", "shotId"),
    ("take:select", ["<Shot 1>", "<Take 1>", {"requestId": "x"}], 400, "INVALID_FIELD", "requestId"),
    ("take:select", ["<Shot 1>", "<Take 1>", {"expectedTakeId": "x"}], 400, "INVALID_FIELD", "expectedTakeId"),
    ("take:select", ["<Shot 1>", "<Take 1>", {"expectedTakeId": 1}], 400, "INVALID_FIELD", "expectedTakeId"),
    ("shot:get", [{"graphShot": "x"}], 400, "INVALID_FIELD", "target.graphShot"),
    ("shot:get", [{"graphShot": {}}], 400, "INVALID_FIELD", "target.graphShot.shotId"),
    ("shot:get", [{"graphShot": {"shotId": "x", "more": 1}}], 400, "INVALID_FIELD", "target.graphShot.more"),
    ("shot:get", [{"graphShot": {"shotId": "x"}, "projectPath": "/p"}], 400, "INVALID_FIELD", "target.projectPath"),
    ("shot:get", [{"graphShot": {"shotId": "x"}}], 400, "INVALID_FIELD", "shotId"),
    ("shot:get", [{"graphShot": {"shotId": ""}}], 400, "INVALID_FIELD", "shotId"),
)


@one_way
async def test_bad_arguments_are_named(rig: Rig, film: Film) -> None:
    before = await film.asset("Shot 1")
    for channel, arguments, status, reason, field in BAD:
        meant = [film[str(one)[1:-1]] if str(one)[:1] == "<" else one for one in arguments]
        answer = await rig.ipc(channel, meant)
        assert (answer.status, answer.json["reason"]) == (status, reason), (channel, arguments, answer.json)
        fields = [name.removeprefix("options.") for name in answer.json["details"].get("fields", ())]
        assert fields == ([field.removeprefix("options.")] if field else []), (channel, arguments)
    assert await film.asset("Shot 1") == before


@one_way
async def test_the_graphs_own_methods_pass_by_grpc_connect_and_reflection(rig: Rig, film: Film) -> None:
    path = f"/{SERVICE}/GetAsset"
    answer = await rig.http("POST", path, json.dumps({"id": film["Mara"]}).encode())
    assert (answer.status, answer.json["name"]) == (200, "Mara")
    answer = await rig.http("POST", path, b'{"id": "0195a1c2-7e00-7000-8000-000000000000"}')
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    cost = await film.stub.GetFilmCost(graph.GetFilmCostRequest(film_id=film["Harbour"]))
    assert (cost.total, cost.unselected) == ("1.25", "1.25")
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(rig.channel)
    async for listed in stub.ServerReflectionInfo(iter([request])):
        assert SERVICE in {service.name for service in listed.list_services_response.service}
        break


@one_way
async def test_pages_of_a_browser_get_a_film_by_connect(rig: Rig, film: Film) -> None:
    path = f"/{STUDIO.full_name}/GetFilm"
    answer = await rig.http("POST", path, json.dumps({"filmId": film["Harbour"], "pageSize": 1}).encode())
    assert (answer.status, answer.json["shotCount"], len(answer.json["shots"])) == (200, 3, 1)
    assert json.loads(answer.json["shots"][0]["shot"]["structureJson"])["takes"][1]["name"] == "Take 2"


async def test_a_token_of_another_workspace_finds_nothing_here(rig: Rig, film: Film) -> None:
    """Whether the graph is in this process or behind a channel, it is the caller whose workspaces count."""
    bearer = f"Bearer {NARROW}"
    shot = {"graphShot": {"shotId": film["Shot 1"]}}
    for channel, arguments in (
        ("film:get", [film["Harbour"]]),
        ("shot:get", [shot]),
        ("shot:update", [shot, {"name": "Mine"}]),
        ("take:select", [film["Shot 1"], film["Take 1"]]),
    ):
        answer = await rig.ipc(channel, arguments, authorization=bearer)
        assert (answer.status, answer.json["reason"]) == (404, "ASSET_NOT_FOUND"), channel
    headers = (("authorization", bearer),)
    sources = [pb.WatchSource(workspace=pb.WorkspaceSource(workspace_id=film.workspace))]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in rig.studio.Watch(pb.WatchRequest(sources=sources), metadata=headers):
            pass
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    own = await film.stub.CreateAsset(
        graph.CreateAssetRequest(workspace_id=OWN, type="film", name="Mine"), metadata=headers
    )
    answer = await rig.ipc("film:get", [own.id], authorization=bearer)
    assert (answer.status, answer.json["film"]["name"], answer.json["shots"]) == (200, "Mine", [])


@one_way
async def test_the_graphs_health_is_mirrored_and_its_absence_is_said(rig: Rig, film: Film, running: Running) -> None:
    async with asyncio.timeout(10):
        async for serving in watch_health(rig.channel, SERVICE):
            if serving:
                break
        await running.parts.server.drain(0, 0.1)
        async for serving in watch_health(rig.channel, SERVICE):
            if not serving:
                break
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await film.asset("Mara")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


class TestWithoutAssetGraph:
    """A gateway that was given none."""

    @pytest.fixture
    def asset_graph(self) -> None:
        return None

    @pytest.fixture
    def more_addresses(self) -> dict[str, str]:
        return {}

    @one_way
    async def test_graph_calls_say_that_there_is_none(self, rig: Rig) -> None:
        some = "0195a1c2-7e00-7000-8000-000000000000"
        for channel, arguments in (
            ("film:get", [some]),
            ("take:select", [some, some]),
            ("shot:get", [{"graphShot": {"shotId": some}}]),
            ("shot:update", [{"graphShot": {"shotId": some}}, {"name": "X"}]),
        ):
            answer = await rig.ipc(channel, arguments)
            assert (answer.status, answer.json["code"]) == (404, "UNIMPLEMENTED")
            assert "no asset graph" in str(answer.json["error"])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            workspace = pb.WatchSource(workspace=pb.WorkspaceSource(workspace_id="w"))
            async for _ in rig.studio.Watch(pb.WatchRequest(sources=[workspace])):
                pass
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert rig.gateway.grpc_port
        method = rig.channel.unary_unary(f"/{GRAPH}.AssetGraphService/GetAsset")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
