"""Shots, takes and films of the asset graph as the studio tells of them."""

import math
import re

import orjson
from shotline.asset_graph.v1 import asset_graph_service_pb2 as graph
from shotline.studio.v1 import studio_service_pb2 as pb

from gateway.backends import AssetGraph
from gateway.graph_json import array_json, asset_json, items, members, object_json
from services.kernel import strict_json
from services.kernel.faults import Code, Fault, invalid_field
from services.kernel.strict_json import Json, Number

# Of the members of a shot's document: those that never change by an update.
_IMMUTABLE = ("id", "type", "workspace_id", "etag", "create_time", "update_time")
_CHANGEABLE = ("name", "url", "duration", "generation_cost", "metadata")
# Fields of the asset graph by what the caller of the studio said instead.
_FIELDS = {
    "id": "shot_id",
    "name": "updates_json.name",
    "url": "updates_json.url",
    "duration_seconds": "updates_json.duration",
    "generation_cost": "updates_json.generation_cost",
    "metadata_json": "updates_json.metadata",
}


async def get_shot(backend: AssetGraph, shot_id: str, revision: int = 0) -> pb.Shot:
    """A shot with what belongs to it."""
    return to_shot(await backend.GetShotStructure(graph.GetShotStructureRequest(shot_id=shot_id)), revision)


async def update_shot(backend: AssetGraph, request: pb.UpdateShotRequest) -> pb.Shot:
    """Changes a shot."""
    shot_id = request.target.graph_shot.shot_id
    change = graph.UpdateAssetRequest(
        id=shot_id,
        mode=graph.UpdateMode.ValueType(request.mode),  # the same numbers, known and unknown
        etag=request.etag,
        request_id=request.request_id,
    )
    _put(change, request.updates_json)
    try:
        await _be_a_shot(backend, shot_id)
        asset = await backend.UpdateAsset(change)
    except Fault as fault:
        raise _told(fault) from None
    return pb.Shot(
        id=asset.id,
        document_json=asset_json(asset),
        etag=asset.etag,
        stored_in=pb.StoredIn(workspace_id=asset.workspace_id),
        revision=asset.revision,
    )


async def select_take(backend: AssetGraph, request: pb.SelectTakeRequest) -> pb.Shot:
    """Selects a take and gives the shot as it is then."""
    change = graph.SelectTakeRequest(shot_id=request.shot_id, take_id=request.take_id, request_id=request.request_id)
    if request.HasField("expected_take_id"):
        change.expected_take_id = request.expected_take_id
    selection = await backend.SelectTake(change)
    return await get_shot(backend, request.shot_id, selection.revision)


async def get_film(backend: AssetGraph, request: pb.GetFilmRequest) -> pb.Film:
    """One page of a film."""
    page = await backend.GetFilmStructure(
        graph.GetFilmStructureRequest(
            film_id=request.film_id, page_size=request.page_size, page_token=request.page_token
        )
    )
    film = pb.Film(id=request.film_id, shot_count=page.shot_count, next_page_token=page.next_page_token)
    for shot in page.shots:
        film.shots.add(shot=to_shot(shot), scene_ids=shot.scene_ids, position=shot.position)
    if page.HasField("film"):
        film.id = page.film.id
        film.document_json = asset_json(page.film)
        film.scenes_json = array_json(map(_scene, page.scenes))
        film.final_edits_json = array_json(asset_json(edit.asset, **_sequence(edit)) for edit in page.final_edits)
    return film


def to_shot(structure: graph.ShotStructure, revision: int = 0) -> pb.Shot:
    """A shot with what belongs to it, its texts as the graph wrote them."""
    parts = members(structure.document_json)
    document = parts.pop("shot")
    workspace_id = orjson.loads(members(document)["workspace_id"])
    parts["selected_video"] = _selected_video(parts)
    return pb.Shot(
        id=structure.shot_id,
        document_json=document,
        etag=structure.etag,
        stored_in=pb.StoredIn(workspace_id=workspace_id),
        revision=revision,
        structure_json=object_json(parts),
    )


def _selected_video(structure: dict[str, str]) -> str:
    selected = structure["selected_take_id"]
    if selected != "null":
        for take in items(structure["takes"]):
            parts = members(take)
            if parts["id"] == selected:
                return parts.get("video", "null")
    return "null"


def _scene(scene: graph.FilmScene) -> str:
    return asset_json(scene.asset, scene_ids=array_json(map(strict_json.quote, scene.scene_ids)), **_sequence(scene))


def _sequence(placed: graph.FilmScene | graph.RelatedAsset) -> dict[str, str]:
    return {"sequence": str(placed.sequence) if placed.HasField("sequence") else "null"}


async def _be_a_shot(backend: AssetGraph, shot_id: str) -> None:
    """Raises INVALID_FIELD for an asset of another type, which no change can make a shot."""
    try:
        asset = await backend.GetAsset(graph.GetAssetRequest(id=shot_id))
    except Fault as fault:
        if fault.reason != "ASSET_NOT_FOUND":
            raise
        return  # the change itself says so, unless it is one that was made already, sent again
    if asset.type != "shot":
        raise invalid_field("shot_id", f"must be the id of a shot, and this is one of a {asset.type}")


def _put(change: graph.UpdateAssetRequest, updates_json: str) -> None:
    """Fill in what is to be changed. Raises INVALID_JSON, IMMUTABLE_FIELD, INVALID_FIELD."""
    updates = strict_json.parse(updates_json, max_depth=strict_json.MAX_DEPTH + 1)  # the metadata stand one deeper
    if not isinstance(updates, dict):
        raise strict_json.invalid_json("must be a JSON object")
    if fixed := [name for name in _IMMUTABLE if name in updates]:
        fields = {f"updates_json.{name}": "cannot be changed" for name in fixed}
        raise Fault(Code.INVALID_ARGUMENT, "IMMUTABLE_FIELD", f"cannot change {', '.join(fixed)}", fields=fields)
    for name, value in updates.items():
        field = f"updates_json.{name}"
        match name:
            case "name":
                change.name = _text(value, field)
            case "url":
                change.url = "" if value is None else _text(value, field)
            case "duration" if value is None:
                change.clear_duration = True
            case "duration":
                change.duration_seconds = _seconds(value, field)
            case "generation_cost":
                change.generation_cost = _amount(value, field)
            case "metadata":
                if not isinstance(value, dict):
                    raise invalid_field(field, "must be a JSON object")
                change.metadata_json = strict_json.dumps(value)
            case _:
                known = ", ".join(_CHANGEABLE)
                rule = f"belongs under `metadata`; the members of a shot that can be changed are {known}"
                raise invalid_field(f"updates_json.{name[:100]}", rule)


def _text(value: Json, field: str) -> str:
    if type(value) is not str:  # not isinstance: a Number is its text
        raise invalid_field(field, "must be a string")
    return value


def _seconds(value: Json, field: str) -> float:
    if not isinstance(value, Number) or not math.isfinite(seconds := float(value)):
        raise invalid_field(field, "must be a number of seconds, or null")
    return seconds


def _amount(value: Json, field: str) -> str:
    """A decimal number: its text, or a JSON number by its text, so that `0.50` keeps its zero."""
    if value is None:
        return ""
    if not isinstance(value, str) or not value:
        raise invalid_field(field, 'must be an amount such as "0.50", or null')
    return str(value)


def _told(fault: Fault) -> Fault:
    """A fault of the asset graph in the words of a change to a shot."""
    told = fault.again()
    told.fields.clear()
    for field, rule in fault.fields.items():
        word = _FIELDS.get(field, field)
        told.fields[word] = rule
        told.message = told.message.replace(f"{field}: ", f"{word}: ", 1)
    if fault.reason in ("INVALID_METADATA", "INVALID_JSON") and "pointer" in fault.metadata:
        pointer = fault.metadata["pointer"]
        told.metadata["pointer"] = f"/metadata{pointer}"
        told.message = re.sub(rf" at {re.escape(pointer)}$", f" at /metadata{pointer}", told.message)
        told.message = told.message.replace("metadata_json/", "/metadata/", 1)
    return told
