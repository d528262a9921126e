"""A gateway in front of a real asset graph on a real PostgreSQL, with a film in it."""

import json
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from shotline.asset_graph.v1 import asset_graph_service_pb2 as graph
from shotline.asset_graph.v1 import asset_graph_service_pb2_grpc as graph_grpc

from services.asset_graph.main import AssetGraph
from services.asset_graph.servicer import AssetGraphServicer
from services.asset_graph.settings import Settings
from services.runtime.logs import Log
from services.runtime.settings import ServerSettings
from tests.postgres import Database, Server
from tests.services.gateway.conftest import GRAPH, Rig, new_door


@dataclass
class Running:
    """An asset graph in this process, and where it listens."""

    parts: AssetGraph
    port: int


@dataclass
class Film:
    """A film of two scenes in the asset graph, and ways to change it behind the studio's back."""

    stub: graph_grpc.AssetGraphServiceStub
    workspace: str = field(default_factory=lambda: f"harbour-{uuid.uuid4().hex[:8]}")
    ids: Mapping[str, str] = field(default_factory=dict)  # by the name of each asset

    def __getitem__(self, name: str) -> str:
        return self.ids[name]

    async def make(self) -> None:
        request = graph.ApplyChangesRequest(workspace_id=self.workspace)
        names: list[str] = []

        def asset(name: str, kind: str, **more: Any) -> str:
            metadata = json.dumps(more.pop("metadata", {}))
            creation = graph.CreateAssetRequest(type=kind, name=name, metadata_json=metadata, **more)
            names.append(name)
            request.changes.add(temp_id=f"${len(names)}", create_asset=creation)
            return f"${len(names)}"

        def edge(parent: str, child: str, kind: str) -> None:
            request.changes.add(
                create_relationship=graph.CreateRelationshipRequest(
                    parent_asset_id=parent, child_asset_id=child, relationship_type=kind
                )
            )

        film = asset("Harbour", "film", metadata={"title": "Harbour"})
        quay, cabin = asset("Quay", "scene"), asset("Cabin", "scene")
        mara = asset("Mara", "character_ref", metadata={"age": 28})
        shots = [asset(f"Shot {n}", "shot", metadata={"prompt": f"prompt {n}", "n": n}) for n in (1, 2, 3)]
        edge(film, quay, "contains_scene")
        edge(film, cabin, "contains_scene")
        for scene, shot in ((quay, shots[0]), (quay, shots[1]), (cabin, shots[2])):
            edge(scene, shot, "contains_shot")
            edge(shot, mara, "uses_character")
        for number, cost in ((1, "0.50"), (2, "0.75")):
            params = {"provider": "minimax", "model": "video-01"}
            metadata = {"attempt_number": number, "generation_params": params, "quality_score": 7.50 + number}
            take = asset(f"Take {number}", "shot_take", metadata=metadata, generation_cost=cost)
            video = asset(f"Video {number}", "video", url=f"https://cdn.example/{number}.mp4", duration_seconds=5.25)
            edge(shots[0], take, "generation_attempt")
            edge(take, video, "generated_video")
        answer = await self.stub.ApplyChanges(request)
        made = [one.id for change, one in zip(request.changes, answer.results, strict=True) if change.temp_id]
        self.ids = dict(zip(names, made, strict=True))

    async def asset(self, name: str) -> graph.Asset:
        return await self.stub.GetAsset(graph.GetAssetRequest(id=self.ids[name]))


@pytest.fixture(scope="session")
def shared_database(embedded_postgres: Server) -> Iterator[Database]:
    """One asset graph for all tests of this folder; each has a workspace of its own."""
    with embedded_postgres.database(embedded_postgres.asset_graph_template()) as database:
        yield database


@pytest.fixture
async def running(shared_database: Database, tmp_path: Path, log: Log) -> AsyncIterator[Running]:
    settings = Settings(
        server=ServerSettings(address="127.0.0.1:0", token_file=tmp_path / "token", settle=0.0, grace=1.0),
        database_url=shared_database.app_url,
        connections=4,
    )
    parts = AssetGraph(settings, new_door(log))
    yield Running(parts, await parts.start())
    await parts.drain()


@pytest.fixture
def asset_graph(running: Running) -> AssetGraphServicer:
    return running.parts.servicer


@pytest.fixture
def more_addresses(running: Running) -> dict[str, str]:
    return {GRAPH: f"127.0.0.1:{running.port}"}


@pytest.fixture
async def film(rig: Rig) -> Film:
    film = Film(graph_grpc.AssetGraphServiceStub(rig.channel))
    await film.make()
    return film
