"""Messages of the contract as the dicts of `shapes`."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from google.protobuf.timestamp_pb2 import Timestamp
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.client import shapes

_KINDS: dict[int, shapes.ChangeKind] = {
    pb.CHANGE_KIND_CREATED: "created",
    pb.CHANGE_KIND_UPDATED: "updated",
    pb.CHANGE_KIND_DELETED: "deleted",
}


def asset(message: pb.Asset) -> shapes.Asset:
    """An asset."""
    metadata = json.loads(message.metadata_json or "{}")
    return {
        "id": message.id,
        "workspace_id": message.workspace_id,
        "type": message.type,
        "name": message.name,
        "url": message.url if message.HasField("url") else None,
        "duration": message.duration_seconds if message.HasField("duration_seconds") else None,
        "generation_cost": Decimal(message.generation_cost) if message.HasField("generation_cost") else None,
        "metadata": metadata,
        "asset_metadata": metadata,
        "etag": message.etag,
        "create_time": _time(message.create_time),
        "update_time": _time(message.update_time),
    }


def changed_asset(message: pb.Asset) -> shapes.ChangedAsset:
    """An asset after a change."""
    return {**asset(message), "revision": message.revision}


def related(message: pb.RelatedAsset) -> shapes.RelatedAsset:
    """An asset at the other end of a relationship."""
    return {
        **asset(message.asset),
        "relationship_id": message.relationship_id,
        "relationship_type": message.relationship_type,
        "relationship_metadata": json.loads(message.relationship_metadata_json or "{}"),
        "sequence": message.sequence if message.HasField("sequence") else None,
    }


def take(message: pb.Take) -> shapes.Take:
    """A take."""
    return {
        **asset(message.asset),
        "shot_id": message.shot_id or None,
        "attempt_number": message.attempt_number,
        "selected": message.selected,
        "video": asset(message.video) if message.HasField("video") else None,
    }


def deleted_asset(message: pb.DeletedAsset) -> shapes.DeletedAsset:
    """A deleted asset."""
    return {
        **asset(message.asset),
        "delete_time": _time(message.delete_time),
        "deleted_by": message.deleted_by,
        "revision": message.revision,
    }


def relationship(message: pb.Relationship) -> shapes.Relationship:
    """A relationship."""
    return {
        "id": message.id,
        "workspace_id": message.workspace_id,
        "parent_asset_id": message.parent_asset_id,
        "child_asset_id": message.child_asset_id,
        "relationship_type": message.relationship_type,
        "sequence": message.sequence if message.HasField("sequence") else None,
        "metadata": json.loads(message.metadata_json or "{}"),
        "create_time": _time(message.create_time),
        "revision": message.revision,
    }


def linked(message: pb.LinkShotAssetsResponse) -> shapes.Linked:
    """The links of a call."""
    return {
        "relationships": [relationship(each) for each in message.relationships],
        "created_count": message.created_count,
        "revision": message.revision,
    }


def selection(message: pb.Selection) -> shapes.Selection:
    """A selection."""
    return {
        "shot_id": message.shot_id,
        "take": take(message.take) if message.HasField("take") else None,
        "revision": message.revision,
    }


def asset_of_json(document: dict[str, Any]) -> shapes.Asset:
    """An asset from its JSON form, with whatever members stand beside."""
    metadata, cost = document["metadata"], document["generation_cost"]
    read = {
        **document,
        "generation_cost": None if cost is None else Decimal(cost),
        "duration": None if document["duration"] is None else float(document["duration"]),
        "asset_metadata": metadata,
        "create_time": datetime.fromisoformat(document["create_time"]),
        "update_time": datetime.fromisoformat(document["update_time"]),
    }
    return cast(shapes.Asset, read)


def shot_structure(message: pb.ShotStructure) -> shapes.ShotStructure:
    """A shot with all that belongs to it."""
    document = json.loads(message.document_json)
    found = {"shot": asset_of_json(document["shot"]), **links_and_takes(document)}
    return cast(shapes.ShotStructure, found)


def links_and_takes(document: dict[str, Any]) -> dict[str, Any]:
    """What belongs to a shot, from its JSON form."""
    return {
        "links": {kind: [asset_of_json(each) for each in links] for kind, links in document["links"].items()},
        "takes": [_structure_take(each) for each in document["takes"]],
        "selected_take_id": document["selected_take_id"],
    }


def film_shot(message: pb.ShotStructure) -> shapes.FilmShot:
    """A shot within a film."""
    return {**shot_structure(message), "scene_ids": list(message.scene_ids), "position": message.position}


def film_scene(message: pb.FilmScene) -> shapes.FilmScene:
    """A scene within a film."""
    return {
        **asset(message.asset),
        "scene_ids": list(message.scene_ids),
        "sequence": message.sequence if message.HasField("sequence") else None,
    }


def film_cost(message: pb.FilmCost) -> shapes.FilmCost:
    """What a film cost."""
    return {
        "film_id": message.film_id,
        "currency": message.currency,
        "total": Decimal(message.total),
        "unselected": Decimal(message.unselected),
        "deleted": Decimal(message.deleted),
        "shots": [
            {
                "shot_id": each.shot_id or None,
                "name": each.name,
                "total": Decimal(each.total),
                "attempts": each.attempts,
                "deleted": each.deleted,
            }
            for each in message.shots
        ],
        "providers": [
            {
                "provider": each.provider,
                "model": each.model,
                "total": Decimal(each.total),
                "asset_count": each.asset_count,
            }
            for each in message.providers
        ],
    }


def shot_metrics(message: pb.ShotMetrics) -> shapes.ShotMetrics:
    """Production figures of a shot."""
    return {
        "shot_id": message.shot_id,
        "attempts": message.attempts,
        "mean_quality_score": message.mean_quality_score if message.HasField("mean_quality_score") else None,
        "total_cost": Decimal(message.total_cost),
        "currency": message.currency,
        "selected_take_id": message.selected_take_id or None,
        "selection_history": [
            {
                "take_id": each.take_id or None,
                "previous_take_id": each.previous_take_id or None,
                "create_time": _time(each.create_time),
                "actor": each.actor,
                "revision": each.revision,
            }
            for each in message.selection_history
        ],
    }


def rules(message: pb.ListRulesResponse) -> shapes.Rules:
    """The rules."""
    return {
        "asset_types": [
            {
                "type": each.type,
                "aliases": list(each.aliases),
                "description": each.description,
                "metadata_fields": [{"name": field.name, "rule": field.rule} for field in each.metadata_fields],
            }
            for each in message.asset_types
        ],
        "relationship_rules": [
            {
                "relationship_type": each.relationship_type,
                "parent_types": list(each.parent_types),
                "child_types": list(each.child_types),
                "same_type": each.same_type,
                "ordered": each.ordered,
                "acyclic": each.acyclic,
                "max_parents": each.max_parents or None,
                "max_children": each.max_children or None,
                "description": each.description,
            }
            for each in message.relationship_rules
        ],
    }


def graph_change(message: pb.GraphChange) -> shapes.GraphChange:
    """A revision."""
    return {
        "revision": message.revision,
        "create_time": _time(message.create_time),
        "actor": message.actor,
        "client": message.client,
        "request_id": message.request_id or None,
        "assets": [
            {
                "id": each.id,
                "kind": _KINDS[each.kind],
                "type": each.type,
                "name": each.name,
                "etag": each.etag or None,
            }
            for each in message.assets
        ],
        "relationships": [
            {
                "id": each.id,
                "kind": _KINDS[each.kind],
                "parent_asset_id": each.parent_asset_id,
                "child_asset_id": each.child_asset_id,
                "relationship_type": each.relationship_type,
                "sequence": each.sequence if each.HasField("sequence") else None,
            }
            for each in message.relationships
        ],
        "selections": [
            {
                "shot_id": each.shot_id,
                "take_id": each.take_id or None,
                "previous_take_id": each.previous_take_id or None,
            }
            for each in message.selections
        ],
        "truncated": message.truncated,
    }


def _structure_take(document: dict[str, Any]) -> shapes.StructureTake:
    video = document["video"]
    found = {**asset_of_json(document), "video": None if video is None else asset_of_json(video)}
    return cast(shapes.StructureTake, found)


def _time(message: Timestamp) -> datetime:
    return message.ToDatetime(UTC)
