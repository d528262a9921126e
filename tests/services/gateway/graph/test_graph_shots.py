"""Graph shots by the studio: what GetShot shows, what UpdateShot changes, which take is selected."""

import json
import uuid

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from shotline.asset_graph.v1 import asset_graph_service_pb2 as graph
from shotline.studio.v1 import studio_service_pb2 as pb

from tests.services.gateway.conftest import Rig
from tests.services.gateway.graph.conftest import Film

one_way = pytest.mark.parametrize("wiring", ["in process"])


def target(shot_id: str) -> pb.ShotTarget:
    return pb.ShotTarget(graph_shot=pb.GraphShot(shot_id=shot_id))


async def get(rig: Rig, shot_id: str) -> pb.Shot:
    return await rig.studio.GetShot(pb.GetShotRequest(target=target(shot_id)))


async def update(rig: Rig, shot_id: str, updates: str, **more: object) -> pb.Shot:
    request = pb.UpdateShotRequest(target=target(shot_id), updates_json=updates, **more)  # type: ignore[arg-type]
    return await rig.studio.UpdateShot(request)


async def refusal(rig: Rig, shot_id: str, updates: str, **more: object) -> tuple[str, error_details_pb2.ErrorInfo, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await update(rig, shot_id, updates, **more)
    info = error_details_pb2.ErrorInfo()
    assert any(each.Unpack(info) for each in rpc_status.from_call(caught.value).details if each.Is(info.DESCRIPTOR))
    return info.reason, info, caught.value.details() or ""


async def test_a_shot_comes_with_its_characters_takes_and_selected_video(rig: Rig, film: Film) -> None:
    shot = await get(rig, film["Shot 1"])
    document, structure = json.loads(shot.document_json), json.loads(shot.structure_json)
    assert (shot.id, shot.stored_in, shot.revision) == (film["Shot 1"], pb.StoredIn(workspace_id=film.workspace), 0)
    assert document["metadata"] == {"prompt": "prompt 1", "n": 1}
    assert document["etag"] == shot.etag
    assert [one["name"] for one in structure["links"]["uses_character"]] == ["Mara"]
    assert [(one["sequence"], one["video"]["name"]) for one in structure["takes"]] == [(1, "Video 1"), (2, "Video 2")]
    assert (structure["selected_take_id"], structure["selected_video"]) == (None, None)
    shot = await rig.studio.SelectTake(pb.SelectTakeRequest(shot_id=shot.id, take_id=film["Take 2"]))
    structure = json.loads(shot.structure_json)
    assert structure["selected_take_id"] == film["Take 2"]
    assert structure["selected_video"] == structure["takes"][1]["video"]
    assert shot.revision > 0
    assert json.loads((await get(rig, shot.id)).structure_json) == structure


async def test_members_of_a_shot_are_changed_and_removed(rig: Rig, film: Film) -> None:
    updates = (
        '{"name": "Arrival", "url": "https://a/b", "duration": 5.5, "generation_cost": 0.50, "metadata": {"n": 1.10}}'
    )
    shot = await update(rig, film["Shot 1"], updates)
    document = json.loads(shot.document_json)
    assert (document["name"], document["url"], document["duration"]) == ("Arrival", "https://a/b", 5.5)
    assert document["generation_cost"] == "0.50"
    assert '"n": 1.10' in shot.document_json
    assert document["metadata"]["prompt"] == "prompt 1"
    assert shot.revision > 0
    assert document == json.loads((await get(rig, shot.id)).document_json)  # whichever way it comes
    shot = await update(
        rig, shot.id, '{"url": null, "duration": null, "generation_cost": null, "metadata": {"n": null}}'
    )
    document = json.loads(shot.document_json)
    assert (document["url"], document["duration"], document["generation_cost"]) == (None, None, None)
    assert document["metadata"] == {"prompt": "prompt 1"}
    assert (await update(rig, shot.id, "{}")).revision == 0


@one_way
async def test_metadata_are_merged_or_replaced_member_by_member(rig: Rig, film: Film) -> None:
    await update(rig, film["Shot 1"], '{"metadata": {"generation": {"prompt": "dawn", "steps": 20}}}')
    shot = await update(rig, film["Shot 1"], '{"metadata": {"generation": {"prompt": "dusk"}}}')
    assert json.loads(shot.document_json)["metadata"]["generation"] == {"prompt": "dusk", "steps": 20}
    replace = pb.UPDATE_MODE_REPLACE_TOP_LEVEL
    shot = await update(rig, shot.id, '{"metadata": {"generation": {"steps": 5}, "note": null}}', mode=replace)
    metadata = json.loads(shot.document_json)["metadata"]
    assert metadata == {"prompt": "prompt 1", "n": 1, "generation": {"steps": 5}, "note": None}


async def test_a_stale_etag_is_told_the_current_shot_however_large(rig: Rig, film: Film) -> None:
    stale = (await get(rig, film["Shot 1"])).etag
    for note in ("short", "long " * 20_000):
        now = await update(rig, film["Shot 1"], json.dumps({"metadata": {"note": note}}))
        answer = await rig.ipc("shot:update", [graph_target(now.id), {"name": "Mine"}, {"etag": stale}])
        assert (answer.status, answer.json["reason"]) == (409, "ETAG_MISMATCH")
        assert answer.json["details"]["currentEtag"] == now.etag
        assert answer.json["details"]["current"] == json.loads(now.document_json)
    reason, info, _ = await refusal(rig, film["Shot 1"], '{"name": "Mine"}', etag=stale)
    assert (reason, info.metadata["current_etag"]) == ("ETAG_MISMATCH", now.etag)


async def test_a_change_that_is_sent_twice_is_made_once_also_when_the_shot_is_gone_by_then(
    rig: Rig, film: Film
) -> None:
    request_id = str(uuid.uuid4())
    first = await update(rig, film["Shot 1"], '{"name": "Mine"}', request_id=request_id)
    await film.stub.DeleteAsset(graph.DeleteAssetRequest(id=film["Shot 1"]))
    assert await update(rig, film["Shot 1"], '{"name": "Mine"}', request_id=request_id) == first
    assert (await refusal(rig, film["Shot 1"], '{"name": "X"}', request_id=request_id))[0] == "REQUEST_ID_REUSED"
    assert (await refusal(rig, film["Shot 1"], '{"name": "X"}'))[0] == "ASSET_NOT_FOUND"


REFUSED = (
    ('{"id": "x"}', "IMMUTABLE_FIELD", "cannot change id"),
    ('{"type": "film", "etag": "x"}', "IMMUTABLE_FIELD", "cannot change type, etag"),
    ('{"workspace_id": "mine"}', "IMMUTABLE_FIELD", "workspace_id"),
    ('{"update_time": null}', "IMMUTABLE_FIELD", "update_time"),
    ('{"prompt": "dawn"}', "INVALID_FIELD", "updates_json.prompt: belongs under `metadata`"),
    ('{"name": null}', "INVALID_FIELD", "updates_json.name: must be a string"),
    ('{"name": 5}', "INVALID_FIELD", "updates_json.name: must be a string"),
    ('{"url": {}}', "INVALID_FIELD", "updates_json.url: must be a string"),
    ('{"duration": "5"}', "INVALID_FIELD", "updates_json.duration: must be a number"),
    ('{"duration": -1}', "INVALID_FIELD", "updates_json.duration: "),
    ('{"generation_cost": true}', "INVALID_FIELD", "updates_json.generation_cost: must be"),
    ('{"generation_cost": ""}', "INVALID_FIELD", "updates_json.generation_cost: must be"),
    ('{"generation_cost": "-1"}', "INVALID_FIELD", "updates_json.generation_cost: "),
    ('{"generation_cost": 1e999}', "INVALID_JSON", "/generation_cost"),
    ('{"metadata": null}', "INVALID_FIELD", "updates_json.metadata: must be a JSON object"),
    ('{"metadata": [1]}', "INVALID_FIELD", "updates_json.metadata: must be a JSON object"),
    ('{"metadata": {"prompt": 5}}', "INVALID_METADATA", "/metadata/prompt"),
    ('{"metadata": {"a": 1, "a": 2}}', "INVALID_JSON", "/metadata/a"),
    ("[]", "INVALID_JSON", "must be a JSON object"),
    ("", "INVALID_JSON", "not JSON"),
)


@one_way
async def test_what_cannot_be_changed_is_refused_by_name(rig: Rig, film: Film) -> None:
    before = await film.asset("Shot 1")
    for updates, reason, said in REFUSED:
        told, _, message = await refusal(rig, film["Shot 1"], updates)
        assert (told, said in message) == (reason, True), message
        if updates in ("", "[]"):
            continue
        answer = await rig.http("POST", "/ipc/shot:update", as_ipc(film["Shot 1"], updates))
        assert (answer.status, answer.json["reason"]) == (400, reason)
        assert said.replace("updates_json", "updates") in str(answer.json["error"])
    assert await film.asset("Shot 1") == before


@one_way
async def test_metadata_may_be_as_deep_as_any_and_no_deeper(rig: Rig, film: Film) -> None:
    for depth, status in ((64, 200), (65, 400)):
        metadata = '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)
        answer = await rig.http("POST", "/ipc/shot:update", as_ipc(film["Shot 1"], f'{{"metadata":{metadata}}}'))
        assert answer.status == status, answer.json


@one_way
async def test_an_asset_that_is_no_shot_is_not_one(rig: Rig, film: Film) -> None:
    reason, _, message = await refusal(rig, film["Harbour"], '{"name": "X"}')
    assert (reason, "must be" in message and "film" in message) == ("INVALID_FIELD", True)
    answer = await rig.ipc("shot:get", [graph_target(film["Harbour"])])
    assert (answer.status, answer.json["reason"]) == (400, "INVALID_FIELD")
    assert list(answer.json["details"]["fields"]) == ["shotId"]
    assert (await film.asset("Harbour")).name == "Harbour"


@one_way
async def test_the_channels_answer_as_documented(rig: Rig, film: Film) -> None:
    got = (await rig.ipc("shot:get", {"target": graph_target(film["Shot 1"])})).json
    assert got["storedIn"] == {"workspaceId": film.workspace}
    assert got["structure"]["takes"][0]["metadata"]["quality_score"] == 8.5
    changed = (await rig.ipc("shot:update", [graph_target(film["Shot 1"]), {"name": "Arrival"}])).json
    assert (changed["shot"]["name"], changed["storedIn"]) == ("Arrival", got["storedIn"])
    assert "structure" not in changed
    chosen = (await rig.ipc("take:select", [film["Shot 1"], film["Take 1"]])).json
    assert chosen["structure"]["selected_video"]["name"] == "Video 1"
    assert chosen["revision"] == changed["revision"] + 1
    none = (await rig.ipc("take:select", {"shotId": film["Shot 1"], "takeId": ""})).json
    assert none["structure"]["selected_take_id"] is None


async def test_a_selection_that_somebody_changed_meanwhile_is_told(rig: Rig, film: Film) -> None:
    await rig.ipc("take:select", [film["Shot 1"], film["Take 1"], {"expectedTakeId": ""}])
    answer = await rig.ipc("take:select", [film["Shot 1"], film["Take 2"], {"expectedTakeId": ""}])
    assert (answer.status, answer.json["reason"]) == (409, "SELECTION_CHANGED")
    assert answer.json["details"]["current_take_id"] == film["Take 1"]
    other = await rig.ipc("take:select", [film["Shot 2"], film["Take 2"]])
    assert (other.status, other.json["reason"]) == (400, "NOT_A_TAKE_OF_THE_SHOT")
    assert (
        await rig.ipc("take:select", [film["Shot 1"], film["Take 2"], {"expectedTakeId": film["Take 1"]}])
    ).status == 200


def graph_target(shot_id: str) -> dict[str, object]:
    return {"graphShot": {"shotId": shot_id}}


def as_ipc(shot_id: str, updates: str) -> bytes:
    return f'{{"target": {{"graphShot": {{"shotId": "{shot_id}"}}}}, "updates": {updates}}}'.encode()
