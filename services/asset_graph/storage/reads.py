"""What is asked of the graph, one statement each.

    listing.py     lists of assets
    structure.py   shots and films with all that belongs to them
    cost.py        what they cost
    pages.py       where a page begins and ends

Nothing here names the caller's workspaces: `Database.read` says them to PostgreSQL, whose row-level security holds back
everything else.
"""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from services.asset_graph.domain import faults
from services.asset_graph.domain.model import Asset, Related, Scope, Selection, Take
from services.asset_graph.domain.reading import (
    Cut,
    DeletedAsset,
    EndFilter,
    FilmCost,
    FilmPage,
    Filter,
    Order,
    Page,
    Position,
    ShotMetrics,
    ShotStructure,
)
from services.asset_graph.storage import cost, pages, structure
from services.asset_graph.storage.database import Database
from services.asset_graph.storage.listing import Query, key_columns, listing
from services.asset_graph.storage.rows import ASSET_WIDTH, EDGE, asset, asset_columns, related, size

_MOST_BYTES = 30 * 1024 * 1024  # of assets in one answer that has no pages
_BEHIND_ALL = 2**31  # in place of a sequence that is absent: behind every number

_ASSET = f"SELECT {asset_columns('a')} FROM assets a WHERE a.id = $1"

_ASSETS = pages.bounded(
    f"SELECT {asset_columns('a')} FROM assets a WHERE a.id = ANY ($1) ORDER BY a.id",
    "x.id",
    "$2::int",
    most=_MOST_BYTES,
)

_DELETED = pages.bounded(
    f"SELECT {asset_columns('d')}, d.deleted_at, d.deleted_revision, d.deleted_by FROM deleted_assets d "
    "WHERE d.workspace_id = $1 AND (d.deleted_at, d.id) < ($3, $4) ORDER BY d.deleted_at DESC, d.id DESC",
    "x.deleted_at DESC, x.id DESC",
    "$2::int",
)
_DELETED_LAST: Position = ("9999-12-31T00:00:00+00:00", "ffffffff-ffff-ffff-ffff-ffffffffffff")

_CHILDREN_ORDER = "{0}.relationship_type, {0}.sequence, {0}.{1}"
_PARENTS_ORDER = "{0}.relationship_type, {0}.{1}"

_VIDEO = "v_"
_TAKE_BYTES = (
    f"{pages.STORED_BYTES} + coalesce(pg_column_size(x.{_VIDEO}asset_metadata) + octet_length(x.{_VIDEO}name), 0)"
)
_TAKE = f"{asset_columns('t')}, r.sequence AS attempt, r.parent_asset_id AS shot, {asset_columns('v', _VIDEO)}"
_TAKE_VIDEO = """
    LEFT JOIN asset_relationships g ON g.parent_asset_id = t.id AND g.workspace_id = t.workspace_id
        AND g.relationship_type = 'generated_video'
    LEFT JOIN assets v ON v.id = g.child_asset_id AND v.workspace_id = g.workspace_id
"""

_TAKES = pages.bounded(
    f"""
    SELECT {_TAKE}, coalesce(s.selected_take_id = t.id, false) AS selected
    FROM asset_relationships r
    JOIN assets t ON t.id = r.child_asset_id AND t.workspace_id = r.workspace_id
    LEFT JOIN shot_state s ON s.shot_id = r.parent_asset_id AND s.workspace_id = r.workspace_id
    {_TAKE_VIDEO}
    WHERE r.parent_asset_id = $1 AND r.relationship_type = 'generation_attempt' AND r.sequence > $3::bigint
    ORDER BY r.sequence
    """,
    "x.attempt",
    "$2::int",
    stored=_TAKE_BYTES,
)

_SELECTED = f"""
    SELECT {_TAKE}, true AS selected, h.type AS asked_type
    FROM assets h
    LEFT JOIN shot_state s ON s.shot_id = h.id AND s.workspace_id = h.workspace_id
    LEFT JOIN asset_relationships r ON r.parent_asset_id = h.id AND r.child_asset_id = s.selected_take_id
        AND r.relationship_type = 'generation_attempt' AND r.workspace_id = h.workspace_id
    LEFT JOIN assets t ON t.id = r.child_asset_id AND t.workspace_id = r.workspace_id
    {_TAKE_VIDEO}
    WHERE h.id = $1
"""


class PostgresReads:
    """Fills `domain.reading.Reads`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def asset(self, scope: Scope, until: float, asset_id: UUID) -> Asset:
        """See `Reads.asset`."""
        async with self._database.read(scope, until) as connection:
            row = await connection.fetchrow(_ASSET, asset_id)
        if row is None:
            raise faults.asset_not_found(asset_id)
        return asset(row)

    async def assets(self, scope: Scope, until: float, asset_ids: Sequence[UUID]) -> Page[Asset]:
        """See `Reads.assets`."""
        async with self._database.read(scope, until) as connection:
            rows = await connection.fetch(_ASSETS, asset_ids, len(asset_ids))
        return Page(items=list(map(asset, rows)), following=(None,) if rows and rows[-1]["follows"] else None)

    async def list_assets(
        self, scope: Scope, until: float, workspace_id: str, wanted: Filter, order: Order, cut: Cut
    ) -> Page[Asset]:
        """See `Reads.list_assets`."""
        sql, arguments = listing(workspace_id, wanted, order, cut)
        async with self._database.read(scope, until) as connection:
            rows = await connection.fetch(sql, *arguments)
        columns = key_columns(order)
        return pages.page(rows, asset, size, lambda row: tuple(pages.key(row[column]) for column in columns))

    async def list_deleted(self, scope: Scope, until: float, workspace_id: str, cut: Cut) -> Page[DeletedAsset]:
        """See `Reads.list_deleted`."""
        behind = pages.keys(cut.behind or _DELETED_LAST, pages.moment, pages.identity)
        async with self._database.read(scope, until) as connection:
            rows = await connection.fetch(_DELETED, workspace_id, cut.size, *behind)
        return pages.page(
            rows,
            _deleted,
            lambda each: size(each.asset),
            lambda row: (pages.key(row["deleted_at"]), pages.key(row["id"])),
        )

    async def children(self, scope: Scope, until: float, parent: UUID, wanted: EndFilter, cut: Cut) -> Page[Related]:
        """See `Reads.children`."""
        query = Query()
        conditions = _of_types(query, wanted)
        if cut.behind:
            kind, sequence, edge = map(query.argument, pages.keys(cut.behind, pages.text, pages.number, pages.identity))
            same = (
                f"r.relationship_type = {kind} AND (coalesce(r.sequence, {_BEHIND_ALL}), r.id) > ({sequence}, {edge})"
            )
            # The first part says nothing more, but an index can begin there.
            conditions += f" AND r.relationship_type >= {kind} AND (r.relationship_type > {kind} OR {same})"
        rows = await self._ends(scope, until, query, parent, "parent", "child", conditions, _CHILDREN_ORDER, cut.size)
        return pages.page(rows, related, _related_size, _child_key)

    async def parents(self, scope: Scope, until: float, child: UUID, wanted: EndFilter, cut: Cut) -> Page[Related]:
        """See `Reads.parents`."""
        query = Query()
        conditions = _of_types(query, wanted)
        if cut.behind:
            behind = ", ".join(map(query.argument, pages.keys(cut.behind, pages.text, pages.identity)))
            conditions += f" AND (r.relationship_type, r.id) > ({behind})"
        rows = await self._ends(scope, until, query, child, "child", "parent", conditions, _PARENTS_ORDER, cut.size)
        return pages.page(
            rows, related, _related_size, lambda row: (row["relationship_type"], str(row["relationship_id"]))
        )

    async def takes(self, scope: Scope, until: float, shot: UUID, cut: Cut) -> Page[Take]:
        """See `Reads.takes`."""
        (behind,) = pages.keys(cut.behind or (0,), pages.number)
        async with self._database.read(scope, until) as connection:
            rows = await connection.fetch(_TAKES, shot, cut.size, behind)
            if not rows and (fault := await structure.unlike(connection, shot, "shot_id", ("shot",))):
                raise fault
        return pages.page(rows, _take, _take_size, lambda row: (row["attempt"],))

    async def selection(self, scope: Scope, until: float, shot: UUID) -> Selection:
        """See `Reads.selection`."""
        async with self._database.read(scope, until) as connection:
            row = await connection.fetchrow(_SELECTED, shot)
        if fault := structure.not_fitting(shot, "shot_id", ("shot",), row["asked_type"] if row else None):
            raise fault
        return Selection(shot_id=shot, take=_take(row) if row and row["id"] else None)

    async def shot_structure(self, scope: Scope, until: float, shot: UUID) -> ShotStructure:
        """See `Reads.shot_structure`."""
        async with self._database.read(scope, until) as connection:
            return await structure.shot(connection, shot)

    async def film_structure(self, scope: Scope, until: float, film: UUID, cut: Cut) -> FilmPage:
        """See `Reads.film_structure`."""
        async with self._database.read(scope, until, snapshot=True) as connection:
            return await structure.film(connection, film, cut)

    async def film_cost(self, scope: Scope, until: float, film: UUID) -> FilmCost:
        """See `Reads.film_cost`."""
        async with self._database.read(scope, until) as connection:
            return await cost.film(connection, film)

    async def shot_metrics(self, scope: Scope, until: float, shot: UUID) -> ShotMetrics:
        """See `Reads.shot_metrics`."""
        async with self._database.read(scope, until) as connection:
            return await cost.metrics(connection, shot)

    async def _ends(
        self,
        scope: Scope,
        until: float,
        query: Query,
        asset_id: UUID,
        this: str,
        other: str,
        conditions: str,
        order: str,
        most: int,
    ) -> Sequence[asyncpg.Record]:
        """The assets at the `other` ends of the relationships of an asset."""
        sql = pages.bounded(
            f"SELECT {asset_columns('a')}, {EDGE} FROM asset_relationships r "
            f"JOIN assets a ON a.id = r.{other}_asset_id AND a.workspace_id = r.workspace_id "
            f"WHERE r.{this}_asset_id = {query.argument(asset_id)}{conditions} ORDER BY {order.format('r', 'id')}",
            order.format("x", "relationship_id"),
            f"{query.argument(most)}::int",
        )
        async with self._database.read(scope, until) as connection:
            rows = await connection.fetch(sql, *query.arguments)
            if not rows and (fault := await structure.unlike(connection, asset_id, f"{this}_asset_id")):
                raise fault
        return rows


def _of_types(query: Query, wanted: EndFilter) -> str:
    conditions = ""
    if wanted.relationship_type:
        conditions += f" AND r.relationship_type = {query.argument(wanted.relationship_type)}"
    if wanted.asset_type:
        conditions += f" AND a.type = {query.argument(wanted.asset_type)}"
    return conditions


def _child_key(row: asyncpg.Record) -> Position:
    sequence = row["sequence"]
    return row["relationship_type"], _BEHIND_ALL if sequence is None else sequence, str(row["relationship_id"])


def _related_size(each: Related) -> int:
    return 120 + size(each.asset) + len(each.relationship_metadata.encode())


def _deleted(row: asyncpg.Record) -> DeletedAsset:
    return DeletedAsset(
        asset=asset(row),
        deleted_at=row[ASSET_WIDTH],
        revision=row[ASSET_WIDTH + 1],
        deleted_by=row[ASSET_WIDTH + 2],
    )


def _take(row: asyncpg.Record) -> Take:
    at = ASSET_WIDTH + 2
    return Take(
        asset=asset(row),
        attempt_number=row[ASSET_WIDTH],
        shot_id=row[ASSET_WIDTH + 1],
        video=None if row[at] is None else asset(row, at),
        selected=row[at + ASSET_WIDTH],
    )


def _take_size(take: Take) -> int:
    return 80 + size(take.asset) + (size(take.video) if take.video else 0)
