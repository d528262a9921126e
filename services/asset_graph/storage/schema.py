"""Whether a database has the schema that this code was written for."""

import asyncpg

from services.asset_graph.domain.rules import ASSET_TYPES, RELATIONSHIP_TYPES

HEAD = "0001"  # the newest step in `migrations/versions`


class SchemaBehind(Exception):
    """The database lacks something that this code needs. The message says what, and what to do."""


async def check_head(connection: asyncpg.Connection) -> None:
    """Raises SchemaBehind unless the schema is the newest and has every type and rule of the domain.

    The answer is the same for the operator's role and the application's, whatever workspaces they may see.
    """
    if missing := await lacking(connection):
        raise SchemaBehind(f"{missing}: run `shotline migrate` with the operator's database url")


async def lacking(connection: asyncpg.Connection) -> str | None:
    """What the database lacks, in words; None when nothing."""
    if await connection.fetchval("SELECT to_regclass('public.alembic_version') IS NULL"):
        return "the database has no schema"
    if (found := await connection.fetchval("SELECT version_num FROM public.alembic_version")) != HEAD:
        return f"the schema of the database is {found} and this version needs {HEAD}"
    types = await connection.fetch("SELECT type FROM public.asset_types")
    rules = await connection.fetch("SELECT relationship_type, parent_type, child_type FROM public.relationship_rules")
    known = {tuple(row) for row in (*types, *rules)}
    for kind in ASSET_TYPES:
        if (kind.name,) not in known:
            return f"the database does not know the asset type {kind.name!r}"
    for joining in RELATIONSHIP_TYPES:
        for parent, child in joining.pairs():
            if (joining.name, parent, child) not in known:
                return f"the database does not know that {joining.name!r} may join a {parent!r} to a {child!r}"
    return None
