"""What tests of changes make and look at."""

import json
from collections.abc import Mapping
from typing import Any

import asyncpg
import pytest
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from services.kernel.faults import Fault
from tests.asset_graph.reads.serving import Client

NOWHERE = "00000000-0000-7000-8000-000000000000"


async def made(client: Client, kind: str, name: str = "x", metadata: Mapping[str, Any] | None = None) -> str:
    """The id of a new asset."""
    answer = await client.CreateAsset(
        workspace_id=client.workspace, type=kind, name=name, metadata_json=json.dumps(metadata or {})
    )
    return str(answer.id)


async def shot_with_takes(client: Client, count: int) -> tuple[str, list[str]]:
    """The ids of a new shot and its takes."""
    shot = await client.CreateShot(workspace_id=client.workspace, name="Harbour")
    takes = [await client.CreateShotTake(shot_id=shot.id) for _ in range(count)]
    return shot.id, [take.asset.id for take in takes]


async def related(client: Client, parent: str, child: str, kind: str, **fields: Any) -> pb.Relationship:
    answer: pb.Relationship = await client.CreateRelationship(
        parent_asset_id=parent, child_asset_id=child, relationship_type=kind, **fields
    )
    return answer


async def refused(awaitable: Any, code: str, reason: str) -> Fault:
    """The fault with which a call ends, which must be this one."""
    with pytest.raises(Fault) as caught:
        await awaitable
    assert (caught.value.code.name, caught.value.reason) == (code, reason), caught.value.message
    return caught.value


async def children(operator: asyncpg.Connection, parent: str, kind: str) -> list[tuple[str, int | None]]:
    """Ids and numbers of what stands under a parent, in order."""
    rows = await operator.fetch(
        "SELECT child_asset_id, sequence FROM asset_relationships WHERE parent_asset_id = $1 AND relationship_type = $2"
        " ORDER BY sequence NULLS LAST, id",
        parent,
        kind,
    )
    return [(str(row[0]), row[1]) for row in rows]


async def revision(operator: asyncpg.Connection, workspace: str) -> int:
    """The last revision of a workspace; 0 where there is none."""
    return await operator.fetchval("SELECT revision FROM workspaces WHERE id = $1", workspace) or 0


async def selected(operator: asyncpg.Connection, shot: str) -> tuple[list[str], str | None]:
    """The takes of a shot whose metadata says that they are selected, and the take that the shot points to."""
    flagged = await operator.fetch(
        "SELECT a.id FROM assets a JOIN asset_relationships r ON r.child_asset_id = a.id"
        " WHERE r.parent_asset_id = $1 AND r.relationship_type = 'generation_attempt'"
        " AND a.asset_metadata->>'selected' = 'true'",
        shot,
    )
    pointer = await operator.fetchval("SELECT selected_take_id FROM shot_state WHERE shot_id = $1", shot)
    return [str(row[0]) for row in flagged], None if pointer is None else str(pointer)


async def everything(operator: asyncpg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables that a change may touch."""
    tables = (
        "workspaces",
        "assets",
        "asset_relationships",
        "shot_state",
        "selection_history",
        "change_log",
        "request_log",
        "deleted_assets",
        "deleted_asset_relationships",
    )
    return {
        table: sorted((tuple(row) for row in await operator.fetch(f"SELECT * FROM {table}")), key=repr)
        for table in tables
    }
