"""Films for tests, made through the API in one transaction."""

import json
from collections.abc import Sequence
from typing import Any

from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from tests.asset_graph.reads.serving import Client


class Draft:
    """Changes that make things, each named by its temp id without the `$`."""

    def __init__(self) -> None:
        self.changes: list[pb.Change] = []

    def asset(self, key: str, kind: str, **fields: Any) -> str:
        change = pb.Change(temp_id=f"${key}")
        change.create_asset.MergeFrom(pb.CreateAssetRequest(**{"type": kind, "name": key, **fields}))
        self.changes.append(change)
        return key

    def edge(self, parent: str, kind: str, child: str, sequence: int | None = None) -> None:
        change = pb.Change()
        change.create_relationship.MergeFrom(
            pb.CreateRelationshipRequest(
                parent_asset_id=f"${parent}", child_asset_id=f"${child}", relationship_type=kind, sequence=sequence
            )
        )
        self.changes.append(change)

    def take(self, shot: str, name: str, *, video: str = "", selected: bool = False, **fields: Any) -> str:
        change = pb.Change(temp_id=f"${name}")
        change.create_shot_take.MergeFrom(
            pb.CreateShotTakeRequest(shot_id=f"${shot}", name=name, selected=selected, **fields)
        )
        self.changes.append(change)
        if video:
            change = pb.Change(temp_id=f"${video}")
            change.link_take_video.MergeFrom(
                pb.LinkTakeVideoRequest(take_id=f"${name}", url=f"https://cdn/{video}", name=video)
            )
            self.changes.append(change)
        return name

    async def make(self, client: Client, workspace_id: str = "a") -> dict[str, str]:
        """The id of each thing by its name."""
        answer = await client.ApplyChanges(workspace_id=workspace_id, changes=self.changes)
        pairs = zip(self.changes, answer.results, strict=True)
        return {change.temp_id[1:]: result.id for change, result in pairs if change.temp_id}


async def film_of(client: Client, shots: Sequence[str], workspace_id: str = "a", **fields: Any) -> dict[str, str]:
    """A film `film` with these shots, each with two takes, of which the second has a video and is selected."""
    draft = Draft()
    draft.asset("film", "film")
    for shot in shots:
        draft.asset(shot, "shot", **fields)
        draft.edge("film", "contains_shot", shot)
        draft.take(shot, f"{shot}-1", generation_cost="0.50")
        draft.take(shot, f"{shot}-2", generation_cost="0.50", selected=True, video=f"{shot}-2-video")
    return await draft.make(client, workspace_id)


def document(structure: pb.ShotStructure) -> Any:
    return json.loads(structure.document_json)
