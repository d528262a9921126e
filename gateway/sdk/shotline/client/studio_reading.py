"""Messages of the studio's contract as the dicts of `studio_shapes`."""

import json
from datetime import UTC
from typing import Any, cast

from shotline.asset_graph.v1 import asset_graph_service_pb2 as graph_pb
from shotline.client import reading
from shotline.client.shapes import Asset, GraphChange
from shotline.client.studio_shapes import (
    FileChange,
    FileChangeKind,
    GraphStructure,
    ProjectChange,
    Sequence,
    StudioFilmShot,
    StudioShot,
    UnreachableSequence,
)
from shotline.studio.v1 import studio_service_pb2 as pb

_KINDS: dict[int, FileChangeKind] = {
    pb.CHANGE_KIND_CREATED: "created",
    pb.CHANGE_KIND_UPDATED: "updated",
    pb.CHANGE_KIND_DELETED: "deleted",
    pb.CHANGE_KIND_MOVED: "moved",
    pb.CHANGE_KIND_UNREADABLE: "unreadable",
}


def shot(message: pb.Shot) -> StudioShot:
    """A shot, wherever it lives."""
    stored_in = message.stored_in
    document: dict[str, Any] = json.loads(message.document_json)
    if stored_in.workspace_id or message.structure_json:
        document = dict(reading.asset_of_json(document))
    return {
        "id": message.id,
        "shot": document,
        "etag": message.etag,
        "stored_in": {
            "file": stored_in.file or None,
            "sequence_id": stored_in.sequence_id or None,
            "workspace_id": stored_in.workspace_id or None,
        }
        if message.HasField("stored_in")
        else None,
        "structure": _structure(message.structure_json) if message.structure_json else None,
        "revision": message.revision,
    }


def film_shot(message: pb.FilmShot) -> StudioFilmShot:
    """A shot of a film."""
    return {**shot(message.shot), "scene_ids": list(message.scene_ids), "position": message.position}


def assets(text: str) -> list[Asset]:
    """Assets of a JSON array."""
    return [reading.asset_of_json(each) for each in json.loads(text or "[]")]


def sequence(message: pb.Sequence) -> Sequence:
    """A sequence file."""
    return {
        "id": message.id,
        "file": message.file,
        "sequence": json.loads(message.document_json),
        "etag": message.etag,
    }


def unreachable(message: pb.UnreachableSequence) -> UnreachableSequence:
    """A file that cannot be read."""
    return {
        "file": message.file,
        "id": message.id or None,
        "reason": message.reason,
        "message": message.message,
        "line": message.line or None,
        "column": message.column or None,
    }


def project_change(message: pb.ProjectChange) -> ProjectChange:
    """A revision of a project."""
    return {
        "revision": message.revision,
        "create_time": message.create_time.ToDatetime(UTC),
        "outside": message.origin.kind == pb.Origin.KIND_OUTSIDE,
        "actor": message.origin.principal,
        "client": message.origin.client,
        "request_id": message.origin.request_id or None,
        "summary": message.summary,
        "files": [_file_change(each) for each in message.files],
    }


def graph_change(message: pb.GraphChange) -> GraphChange:
    """A revision of a workspace: the studio's message says the same as the asset graph's."""
    return reading.graph_change(
        graph_pb.GraphChange(
            revision=message.revision,
            create_time=message.create_time,
            actor=message.origin.principal,
            client=message.origin.client,
            request_id=message.origin.request_id,
            assets=[graph_pb.AssetChange.FromString(each.SerializeToString()) for each in message.assets],
            relationships=[
                graph_pb.RelationshipChange.FromString(each.SerializeToString()) for each in message.relationships
            ],
            truncated=message.truncated,
            selections=[graph_pb.SelectionNotice.FromString(each.SerializeToString()) for each in message.selections],
        )
    )


def _structure(text: str) -> GraphStructure:
    document = json.loads(text)
    video = document["selected_video"]
    structure = {
        **reading.links_and_takes(document),
        "selected_video": None if video is None else reading.asset_of_json(video),
    }
    return cast(GraphStructure, structure)


def _file_change(message: pb.FileChange) -> FileChange:
    return {
        "file": message.file,
        "sequence_id": message.sequence_id or None,
        "kind": _KINDS[message.kind],
        "etag": message.etag or None,
        "shots": [
            {
                "id": each.id,
                "kind": _KINDS[each.kind],
                "etag": each.etag or None,
                "shot": json.loads(each.document_json) if each.document_json else None,
            }
            for each in message.shots
        ],
        "complete": message.complete,
    }
