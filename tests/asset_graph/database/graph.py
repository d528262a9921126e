"""Assets and edges by plain SQL, as somebody writes them who knows nothing of the servers."""

import json
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from tests.postgres import Database

NOBODY = UUID("00000000-0000-4000-8000-000000000000")


class Graph:
    """A connection and a workspace to write to."""

    def __init__(self, connection: asyncpg.Connection, workspace: str) -> None:
        self.connection = connection
        self.workspace = workspace

    async def asset(self, kind: str, name: str = "", *, cost: str | None = None, **metadata: object) -> UUID:
        found: UUID = await self.connection.fetchval(
            "INSERT INTO assets (workspace_id, type, name, generation_cost, asset_metadata)"
            " VALUES ($1, $2, $3, $4::text::numeric, $5) RETURNING id",
            *(self.workspace, kind, name or kind, cost, json.dumps(metadata)),
        )
        return found

    async def assets(self, kind: str, count: int) -> list[UUID]:
        rows = await self.connection.fetch(
            "INSERT INTO assets (workspace_id, type, name) SELECT $1, $2, $2 || n FROM generate_series(1, $3::int) n"
            " RETURNING id",
            *(self.workspace, kind, count),
        )
        return [row["id"] for row in rows]

    async def edge(self, kind: str, parent: UUID, child: UUID, sequence: int | None = None) -> UUID:
        """As seed 002 prints it, three columns, and the sequence where one is given."""
        if sequence is None:
            return await self._fetchval(
                "INSERT INTO asset_relationships (parent_asset_id, child_asset_id, relationship_type)"
                " VALUES ($1, $2, $3) RETURNING id",
                *(parent, child, kind),
            )
        return await self._fetchval(
            "INSERT INTO asset_relationships (parent_asset_id, child_asset_id, relationship_type, sequence)"
            " VALUES ($1, $2, $3, $4) RETURNING id",
            *(parent, child, kind, sequence),
        )

    async def shot(self, takes: int = 0) -> tuple[UUID, list[UUID]]:
        shot = await self.asset("shot")
        made = [await self.asset("shot_take", f"take {number + 1}") for number in range(takes)]
        for take in made:
            await self.edge("generation_attempt", shot, take)
        return shot, made

    async def sequences(self, parent: UUID, kind: str) -> list[int | None]:
        rows = await self.connection.fetch(
            "SELECT sequence FROM asset_relationships WHERE parent_asset_id = $1 AND relationship_type = $2"
            " ORDER BY sequence NULLS LAST",
            *(parent, kind),
        )
        return [row["sequence"] for row in rows]

    async def metadata(self, asset: UUID) -> dict[str, object]:
        found: dict[str, object] = json.loads(
            await self.connection.fetchval("SELECT asset_metadata FROM assets WHERE id = $1", asset)
        )
        return found

    async def flag(self, take: UUID, selected: bool) -> None:
        """A selection as seed 004 does it: the flag in the metadata."""
        await self.connection.execute(
            "UPDATE assets SET asset_metadata = asset_metadata || jsonb_build_object('selected', $2::bool)"
            " WHERE id = $1",
            *(take, selected),
        )

    async def point(self, shot: UUID, take: UUID | None) -> None:
        await self.connection.execute("UPDATE shot_state SET selected_take_id = $2 WHERE shot_id = $1", shot, take)

    async def pointed(self, shot: UUID) -> UUID | None:
        found: UUID | None = await self.connection.fetchval(
            "SELECT selected_take_id FROM shot_state WHERE shot_id = $1", shot
        )
        return found

    async def flagged(self, shot: UUID) -> list[UUID]:
        """The selected takes of a shot as the seeds' statements see them."""
        rows = await self.connection.fetch(
            "SELECT take.id FROM assets take JOIN asset_relationships r ON r.child_asset_id = take.id"
            " WHERE r.parent_asset_id = $1 AND r.relationship_type = 'generation_attempt'"
            " AND take.asset_metadata->>'selected' = 'true'",
            shot,
        )
        return [row["id"] for row in rows]

    async def changes(self, since: int = 0) -> list[tuple[int, str, str, list[dict[str, object]]]]:
        rows = await self.connection.fetch(
            "SELECT revision, entity, kind, items FROM change_log WHERE workspace_id = $1 AND revision > $2"
            " ORDER BY revision, ordinal",
            *(self.workspace, since),
        )
        return [(row["revision"], row["entity"], row["kind"], json.loads(row["items"])) for row in rows]

    async def revision(self) -> int:
        found: int = await self.connection.fetchval("SELECT revision FROM workspaces WHERE id = $1", self.workspace)
        return found

    async def _fetchval(self, statement: str, *values: object) -> UUID:
        found: UUID = await self.connection.fetchval(statement, *values)
        return found


async def connections(database: Database, count: int) -> list[asyncpg.Connection]:
    return [await asyncpg.connect(database.operator_url) for _ in range(count)]


async def close(opened: Sequence[asyncpg.Connection]) -> None:
    for connection in opened:
        await connection.close()
