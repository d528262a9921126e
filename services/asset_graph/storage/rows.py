"""Rows of the tables as the domain's values: which columns are read, in which order, and what they become."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import asyncpg

from services.asset_graph.domain.model import Asset, Related, Relationship

Row: TypeAlias = "asyncpg.Record | Sequence[Any]"

_ASSET = (
    "id",
    "workspace_id",
    "type",
    "name",
    "url",
    "duration",
    "generation_cost",
    "asset_metadata",
    "etag",
    "created_at",
    "updated_at",
)
ASSET_WIDTH = len(_ASSET)
_RELATIONSHIP = (
    "id",
    "workspace_id",
    "parent_asset_id",
    "child_asset_id",
    "relationship_type",
    "sequence",
    "metadata",
    "created_at",
)


def asset_columns(table: str, prefix: str = "") -> str:
    """The columns of an asset, in the order of `asset`, of a table or its alias; named with a prefix where two are
    joined."""
    return ", ".join(f"{table}.{name}{f' AS {prefix}{name}' if prefix else ''}" for name in _ASSET)


def relationship_columns(table: str) -> str:
    """The columns of a relationship, in the order of `relationship`."""
    return ", ".join(f"{table}.{name}" for name in _RELATIONSHIP)


EDGE = "r.id AS relationship_id, r.relationship_type, r.sequence, r.metadata AS relationship_metadata"
"""The columns of `related` behind those of the asset."""


def asset(row: Row, at: int = 0) -> Asset:
    """The asset whose columns begin at a place of the row."""
    return Asset(
        id=row[at],
        workspace_id=row[at + 1],
        type=row[at + 2],
        name=row[at + 3],
        url=row[at + 4],
        duration=row[at + 5],
        generation_cost=row[at + 6],
        metadata=row[at + 7],
        etag=row[at + 8],
        created_at=row[at + 9],
        updated_at=row[at + 10],
    )


def relationship(row: Row, at: int = 0) -> Relationship:
    """The relationship whose columns begin at a place of the row."""
    return Relationship(
        id=row[at],
        workspace_id=row[at + 1],
        parent=row[at + 2],
        child=row[at + 3],
        type=row[at + 4],
        sequence=row[at + 5],
        metadata=row[at + 6],
        created_at=row[at + 7],
    )


def related(row: Row) -> Related:
    """An asset, then id, type, sequence and metadata of the relationship that leads to it."""
    return Related(
        asset=asset(row),
        relationship_id=row[ASSET_WIDTH],
        relationship_type=row[ASSET_WIDTH + 1],
        sequence=row[ASSET_WIDTH + 2],
        relationship_metadata=row[ASSET_WIDTH + 3],
    )


def size(asset: Asset) -> int:
    """About how many bytes it has in an answer."""
    return 240 + len(asset.name.encode()) + len(asset.metadata.encode()) + len((asset.url or "").encode())
