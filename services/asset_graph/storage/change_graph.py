"""One workspace while it is changed: each thing that changes need as one statement of any number of rows.

Which workspace it is, the statements take from the transaction (`shotline.workspace`); row-level security shows them
no other one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from uuid import UUID

import asyncpg

from services.asset_graph.domain.changing import ATTEMPT
from services.asset_graph.domain.model import Asset, Relationship, Selection, Take
from services.asset_graph.domain.ports import (
    Destination,
    EdgeKey,
    EdgeRefused,
    Knowledge,
    Known,
    Made,
    Moved,
    NewAsset,
    NewEdge,
    Question,
)
from services.asset_graph.storage import questions
from services.asset_graph.storage.database import Connection
from services.asset_graph.storage.questions import SPACE, columns
from services.asset_graph.storage.rows import ASSET_WIDTH, asset, asset_columns, relationship, relationship_columns
from services.asset_graph.storage.trouble import fault_of
from services.kernel.faults import Fault

# The workspace's revision as the statement found it: where nothing was changed before, this change is the next one.
_BASE = f"(SELECT w.revision FROM workspaces w WHERE w.id = {SPACE})"

_ADD_ASSETS = f"""
    INSERT INTO assets (id, workspace_id, type, name, url, duration, generation_cost, asset_metadata)
    SELECT u.id, {SPACE}, u.type, u.name, u.url, u.duration, u.cost, u.metadata
    FROM unnest({{0}}::uuid[], {{1}}::text[], {{2}}::text[], {{3}}::text[], {{4}}::float8[], {{5}}::numeric[],
                {{6}}::jsonb[]) AS u (id, type, name, url, duration, cost, metadata)
    RETURNING id, etag, {{whole}} AS metadata, created_at, updated_at"""
_ADD_EDGES = f"""
    INSERT INTO asset_relationships (id, workspace_id, parent_asset_id, child_asset_id, relationship_type, sequence,
                                     metadata)
    SELECT u.id, {SPACE}, u.parent, u.child, u.type, u.sequence, coalesce(u.metadata, '{{{{}}}}')
    FROM unnest({{0}}::uuid[], {{1}}::uuid[], {{2}}::uuid[], {{3}}::text[], {{4}}::int[], {{5}}::jsonb[])
        AS u (id, parent, child, type, sequence, metadata)
    RETURNING id, metadata, created_at"""

_KNOWN = f"""
    SELECT {asset_columns("a")}, e.sequence,
           CASE WHEN a.type = 'shot' THEN ARRAY(
               SELECT t.child_asset_id FROM asset_relationships t
               WHERE t.parent_asset_id = a.id AND t.relationship_type = '{ATTEMPT}' ORDER BY t.sequence) END
    FROM assets a LEFT JOIN asset_relationships e
    ON a.type = 'shot_take' AND e.child_asset_id = a.id AND e.relationship_type = '{ATTEMPT}'
    WHERE a.id = ANY ($1::uuid[])"""
_DOCUMENT = "SELECT shotline_asset_json(a) FROM assets a WHERE a.id = $1"
# Compared as texts: 1.10 is another content than 1.1.
_UPDATE = f"""
    UPDATE assets a SET name = u.name, url = u.url, duration = u.duration, generation_cost = u.cost,
        asset_metadata = u.metadata
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::float8[], $5::numeric[], $6::jsonb[])
        AS u (id, name, url, duration, cost, metadata)
    WHERE a.id = u.id AND (a.name, a.url, a.duration, a.generation_cost::text, a.asset_metadata::text)
        IS DISTINCT FROM (u.name, u.url, u.duration, u.cost::text, u.metadata::text)
    RETURNING {asset_columns("a")}, {_BASE}"""
_REMOVE = "DELETE FROM assets WHERE id = ANY ($1::uuid[])"
_RESTORE = f"SELECT shotline_undelete({SPACE}, $1)"
_END = """
    DELETE FROM asset_relationships r
    USING unnest($1::uuid[], $2::uuid[], $3::text[]) AS k (parent, child, type)
    WHERE r.parent_asset_id = k.parent AND r.child_asset_id = k.child AND r.relationship_type = k.type
    RETURNING r.parent_asset_id, r.child_asset_id, r.relationship_type"""
# The children between the old and the new place each take the number of their neighbour, and the moved one the number
# of the place where it comes to stand: gaps stay where they are.
_MOVE = f"""
    WITH s AS (
        SELECT r.id, r.child_asset_id AS child, r.sequence, row_number() OVER (ORDER BY r.sequence) AS rank
        FROM asset_relationships r
        WHERE r.parent_asset_id = $1 AND r.relationship_type = $3 AND r.sequence IS NOT NULL
    ), m AS (
        SELECT rank FROM s WHERE child = $2
    ), t AS (
        SELECT CASE
            WHEN $4::uuid IS NOT NULL THEN
                (SELECT s.rank + CASE WHEN s.rank < m.rank THEN 1 ELSE 0 END FROM s WHERE s.child = $4)
            WHEN $5::uuid IS NOT NULL THEN
                (SELECT s.rank - CASE WHEN s.rank > m.rank THEN 1 ELSE 0 END FROM s WHERE s.child = $5)
            ELSE least($6::bigint, (SELECT count(*) FROM s)) END AS rank
        FROM m
    ), moved AS (
        UPDATE asset_relationships r SET sequence = n.sequence
        FROM m, t, s o, s n
        WHERE r.id = o.id AND r.parent_asset_id = $1 AND t.rank <> m.rank
        AND o.rank BETWEEN least(m.rank, t.rank) AND greatest(m.rank, t.rank)
        AND n.rank = CASE WHEN o.rank = m.rank THEN t.rank ELSE o.rank + sign(m.rank - t.rank)::bigint END
        RETURNING r.id, r.sequence
    )
    SELECT {relationship_columns("r")}, t.rank IS NOT NULL, (SELECT v.sequence FROM moved v WHERE v.id = r.id)
    FROM m, t, asset_relationships r
    WHERE r.parent_asset_id = $1 AND r.child_asset_id = $2 AND r.relationship_type = $3"""
_SHOTS = f"""
    SELECT k.shot, s.selected_take_id, k.take, EXISTS (
        SELECT FROM asset_relationships e WHERE e.parent_asset_id = k.shot AND e.child_asset_id = k.take
        AND e.relationship_type = '{ATTEMPT}')
    FROM unnest($1::uuid[], $2::uuid[]) AS k (shot, take)
    LEFT JOIN shot_state s ON s.shot_id = k.shot"""
_SELECT = """
    UPDATE shot_state s SET selected_take_id = k.take FROM unnest($1::uuid[], $2::uuid[]) AS k (shot, take)
    WHERE s.shot_id = k.shot"""
_SELECTION = f"""
    SELECT {asset_columns("t", "take_")}, e.sequence, v.id IS NOT NULL, {asset_columns("v", "video_")}
    FROM shot_state s
    JOIN assets t ON t.id = s.selected_take_id
    JOIN asset_relationships e ON e.parent_asset_id = s.shot_id AND e.child_asset_id = t.id
        AND e.relationship_type = '{ATTEMPT}'
    LEFT JOIN asset_relationships g ON g.parent_asset_id = t.id AND g.relationship_type = 'generated_video'
    LEFT JOIN assets v ON v.id = g.child_asset_id
    WHERE s.shot_id = $1"""
_ETAGS = "SELECT id, etag FROM assets WHERE id = ANY ($1::uuid[])"
_EDGES = "SELECT id FROM asset_relationships WHERE id = ANY ($1::uuid[])"
_REVISION = f"""
    SELECT CASE WHEN revision_xid = pg_current_xact_id() AND revised_at = now() THEN revision ELSE 0 END
    FROM workspaces WHERE id = {SPACE}"""


class PostgresGraph:
    """One workspace in a transaction that holds its lock."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._written = False
        self._revision: int | None = None  # of this change, where it is known

    async def ask(self, question: Question) -> Knowledge:
        """As the port says."""
        return await questions.ask(self._connection, question)

    async def add(
        self, assets: Sequence[NewAsset], edges: Sequence[NewEdge], *, whole: bool
    ) -> tuple[Mapping[UUID, Made], Mapping[UUID, Relationship]]:
        """As the port says."""
        if len(edges) < 2:
            try:
                return await self._add(assets, edges, whole)
            except asyncpg.PostgresError as error:
                if edges and isinstance(fault := fault_of(error), Fault) and _of_an_edge(error):
                    raise EdgeRefused(0, fault) from error
                raise
        await self._connection.execute("SAVEPOINT additions")
        try:
            return await self._add(assets, edges, whole)
        except asyncpg.PostgresError as error:
            if not _of_an_edge(error):
                raise
            await self._connection.execute("ROLLBACK TO additions")
            raise await self._refusal(assets, edges) from error

    async def known(self, ids: Collection[UUID]) -> Mapping[UUID, Known]:
        """As the port says."""
        rows = await self._connection.fetch(_KNOWN, list(ids))
        return {
            row[0]: Known(asset=asset(row), attempt=row[ASSET_WIDTH], takes=row[ASSET_WIDTH + 1] or ()) for row in rows
        }

    async def document(self, asset_id: UUID) -> str:
        """As the port says."""
        document: str = await self._connection.fetchval(_DOCUMENT, asset_id)
        return document

    async def update(self, assets: Sequence[NewAsset]) -> Mapping[UUID, Asset]:
        """As the port says."""
        rows = await self._connection.fetch(
            _UPDATE,
            [each.id for each in assets],
            [each.name for each in assets],
            [each.url for each in assets],
            [each.duration for each in assets],
            [each.generation_cost for each in assets],
            [each.metadata for each in assets],
        )
        if rows:
            self._wrote(rows[0][ASSET_WIDTH])
        return {row[0]: asset(row) for row in rows}

    async def remove(self, ids: Collection[UUID]) -> None:
        """As the port says."""
        await self._connection.execute(_REMOVE, list(ids))
        self._written = True

    async def restore(self, asset_id: UUID) -> bool:
        """As the port says."""
        self._written = True
        return bool(await self._connection.fetchval(_RESTORE, asset_id))

    async def end(self, keys: Collection[EdgeKey]) -> Collection[EdgeKey]:
        """As the port says."""
        self._written = True
        return [EdgeKey(*row) for row in await self._connection.fetch(_END, *columns(keys, 3))]

    async def move(self, key: EdgeKey, to: Destination) -> Moved:
        """As the port says."""
        row = await self._connection.fetchrow(_MOVE, key.parent, key.child, key.type, to.after, to.before, to.position)
        if row is None:
            return Moved(relationship=None, sibling_found=False)
        found, sequence = row[-2], row[-1]
        moved = relationship(row)
        if sequence is not None:
            self._written = True
            moved = replace(moved, sequence=sequence)
        return Moved(relationship=moved, sibling_found=found)

    async def shots(
        self, pairs: Sequence[tuple[UUID, UUID | None]]
    ) -> tuple[Mapping[UUID, UUID | None], Collection[UUID]]:
        """As the port says."""
        rows = await self._connection.fetch(_SHOTS, *columns(pairs, 2))
        return {row[0]: row[1] for row in rows}, {row[2] for row in rows if row[3]}

    async def select(self, pairs: Sequence[tuple[UUID, UUID | None]]) -> None:
        """As the port says."""
        await self._connection.execute(_SELECT, *columns(pairs, 2))
        self._written = True

    async def selection(self, shot_id: UUID) -> Selection:
        """As the port says."""
        row = await self._connection.fetchrow(_SELECTION, shot_id)
        if row is None:
            return Selection(shot_id=shot_id, take=None)
        video = asset(row, ASSET_WIDTH + 2) if row[ASSET_WIDTH + 1] else None
        take = Take(asset=asset(row), shot_id=shot_id, attempt_number=row[ASSET_WIDTH], selected=True, video=video)
        return Selection(shot_id=shot_id, take=take)

    async def etags(self, ids: Collection[UUID]) -> Mapping[UUID, str]:
        """As the port says."""
        return {row[0]: row[1] for row in await self._connection.fetch(_ETAGS, list(ids))}

    async def relationships(self, ids: Collection[UUID]) -> Collection[UUID]:
        """As the port says."""
        return {row[0] for row in await self._connection.fetch(_EDGES, list(ids))}

    async def revision(self) -> int:
        """As the port says."""
        if not self._written:
            return 0
        if self._revision is None:
            self._revision = await self._connection.fetchval(_REVISION)
        return self._revision or 0

    async def _add(
        self, assets: Sequence[NewAsset], edges: Sequence[NewEdge], whole: bool
    ) -> tuple[Mapping[UUID, Made], Mapping[UUID, Relationship]]:
        arguments: list[object] = []
        if assets:
            ids, types, names, documents, *rest = zip(*assets, strict=True)
            # A column of nothing is sent as nothing: unnest fills it up.
            urls, durations, costs = (column if any(each is not None for each in column) else None for column in rest)
            arguments += ids, types, names, urls, durations, costs, documents
        if edges:
            ids, keys, sequences, documents = zip(*edges, strict=True)
            parents, children, types = zip(*keys, strict=True)
            bare = all(each == "{}" for each in documents)
            arguments += ids, parents, children, types, sequences, None if bare else documents
        rows = await self._connection.fetch(_adding(bool(assets), bool(edges), whole), *arguments)
        self._wrote(rows[0]["base"])
        if not whole:
            return {row[0]: Made(row[1], None) for row in rows if row[1] is not None}, {}
        found = {row["id"]: row for row in rows}
        made = {each.id: Made(found[each.id]["etag"], _made(each, found[each.id])) for each in assets}
        related = {
            each.id: Relationship(
                id=each.id,
                workspace_id=found[each.id]["workspace_id"],
                parent=each.key.parent,
                child=each.key.child,
                type=each.key.type,
                sequence=each.sequence,
                metadata=found[each.id]["metadata"],
                created_at=found[each.id]["created_at"],
            )
            for each in edges
        }
        return made, related

    async def _refusal(self, assets: Sequence[NewAsset], edges: Sequence[NewEdge]) -> EdgeRefused:
        """The first relationship that cannot be made behind those before it: where some fail, more fail as well."""
        passing, failing = 0, len(edges)
        fault: BaseException | None = None
        while failing - passing > 1 or fault is None:
            middle = (passing + failing) // 2 if failing - passing > 1 else failing
            try:
                await self._add(assets, edges[:middle], whole=False)
                passing = middle
            except asyncpg.PostgresError as error:
                failing, fault = middle, fault_of(error)
            await self._connection.execute("ROLLBACK TO additions")
        if not isinstance(fault, Fault):
            raise fault
        return EdgeRefused(failing - 1, fault)

    def _wrote(self, base: int) -> None:
        if not self._written:
            self._revision = base + 1
        self._written = True


@cache
def _adding(assets: bool, edges: bool, whole: bool) -> str:
    """The statement that makes assets, relationships, or both. Assets answer with an etag, relationships without."""
    parts, answers, number = [], [], 1
    if assets:
        names = [f"${place}" for place in range(number, number + 7)]
        parts.append(f"a AS ({_ADD_ASSETS.format(*names, whole='asset_metadata' if whole else 'NULL::jsonb')})")
        answers.append("SELECT a.id, a.etag, a.metadata, a.created_at, a.updated_at FROM a")
        number += 7
    if edges:
        names = [f"${place}" for place in range(number, number + 6)]
        parts.append(f"e AS ({_ADD_EDGES.format(*names)})")
        if whole:
            answers.append("SELECT e.id, NULL, e.metadata, e.created_at, NULL::timestamptz FROM e")
        elif not assets:
            answers.append(
                "SELECT NULL::uuid AS id, NULL AS etag, NULL::jsonb AS metadata, min(e.created_at) AS created_at,"
                " NULL::timestamptz AS updated_at FROM e"
            )
    if not assets and whole:
        answers[0] = "SELECT e.id, NULL AS etag, e.metadata, e.created_at, NULL::timestamptz AS updated_at FROM e"
    return (
        f"WITH {', '.join(parts)} SELECT x.*, {SPACE} AS workspace_id, {_BASE} AS base"
        f" FROM ({' UNION ALL '.join(answers)}) x"
    )


def _made(asset: NewAsset, row: asyncpg.Record) -> Asset:
    """A new asset as it is stored: what we gave, and what the database made of it."""
    return Asset(
        id=asset.id,
        workspace_id=row["workspace_id"],
        type=asset.type,
        name=asset.name,
        url=asset.url,
        duration=asset.duration,
        generation_cost=asset.generation_cost,
        metadata=row["metadata"],
        etag=row["etag"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _of_an_edge(error: asyncpg.PostgresError) -> bool:
    """Whether what is refused is one of the relationships, not the transaction."""
    state = error.sqlstate or ""
    return state.startswith(("SH", "23"))
