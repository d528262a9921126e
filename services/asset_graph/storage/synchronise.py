"""Brings what the database knows of types and relationships in line with the one table of the domain.

What is in line already is left alone, so that running it again locks nothing.
"""

from collections.abc import Iterable

import asyncpg

from services.asset_graph.domain.rules import ASSET_TYPES, RELATIONSHIP_TYPES, RelationshipType


async def synchronise(connection: asyncpg.Connection) -> None:
    """Tables of types and rules, triggers that are made for certain types, indexes that limit parents and children.

    A type that the domain no longer has stays known as long as something of it is stored.
    """
    await _types(connection)
    await _rules(connection)
    await _known(connection)
    await _triggers(connection)
    await _limits(connection)


async def _types(connection: asyncpg.Connection) -> None:
    await connection.executemany(
        "INSERT INTO public.asset_types AS t (type, aliases) VALUES ($1, $2)"
        " ON CONFLICT (type) DO UPDATE SET aliases = excluded.aliases WHERE t.aliases <> excluded.aliases",
        [(kind.name, list(kind.aliases)) for kind in ASSET_TYPES],
    )
    await connection.executemany(
        "INSERT INTO public.relationship_types AS t (relationship_type, ordered, family, max_parents, max_children)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (relationship_type) DO UPDATE SET ordered = excluded.ordered,"
        " family = excluded.family, max_parents = excluded.max_parents, max_children = excluded.max_children"
        " WHERE (t.ordered, t.family, t.max_parents, t.max_children) IS DISTINCT FROM"
        " (excluded.ordered, excluded.family, excluded.max_parents, excluded.max_children)",
        [(kind.name, kind.ordered, kind.family, kind.max_parents, kind.max_children) for kind in RELATIONSHIP_TYPES],
    )


async def _rules(connection: asyncpg.Connection) -> None:
    rules = [
        (kind.name, parent, child, _leads_on(kind, child))
        for kind in RELATIONSHIP_TYPES
        for parent, child in kind.pairs()
    ]
    await connection.executemany(
        "INSERT INTO public.relationship_rules AS r (relationship_type, parent_type, child_type, leads_on)"
        " VALUES ($1, $2, $3, $4) ON CONFLICT (relationship_type, parent_type, child_type)"
        " DO UPDATE SET leads_on = excluded.leads_on WHERE r.leads_on <> excluded.leads_on",
        rules,
    )
    await connection.execute(
        "DELETE FROM public.relationship_rules WHERE (relationship_type, parent_type, child_type)"
        " NOT IN (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))",
        *(list(column) for column in list(zip(*rules, strict=True))[:3]),
    )
    await connection.execute(
        "DELETE FROM public.relationship_types t WHERE NOT relationship_type = ANY ($1::text[]) AND NOT EXISTS"
        " (SELECT FROM public.asset_relationships r WHERE r.relationship_type = t.relationship_type)",
        [kind.name for kind in RELATIONSHIP_TYPES],
    )
    await connection.execute(
        "DELETE FROM public.asset_types t WHERE NOT type = ANY ($1::text[])"
        " AND NOT EXISTS (SELECT FROM public.assets a WHERE a.type = t.type)",
        [kind.name for kind in ASSET_TYPES],
    )


def _leads_on(kind: RelationshipType, child: str) -> bool:
    """Whether a child of this type may be a parent in the same family. If none may, no new edge can close a cycle."""
    return kind.acyclic and any(other.family == kind.family and child in other.parents for other in RELATIONSHIP_TYPES)


async def _known(connection: asyncpg.Connection) -> None:
    """The CHECK of the type of an asset lists the types; those that only stored assets still have stay in it."""
    types = _list(row["type"] for row in await connection.fetch("SELECT type FROM public.asset_types"))
    wanted = f"CHECK (type = ANY ('{types}'::text[]))"
    known = await connection.fetchval(
        "SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint"
        " WHERE conrelid = 'public.assets'::regclass AND conname = 'assets_type_known'"
    )
    if known != wanted:
        comment = await connection.fetchval("SELECT quote_literal($1::text)", wanted)
        await connection.execute(
            "ALTER TABLE public.assets DROP CONSTRAINT IF EXISTS assets_type_known;"
            f"ALTER TABLE public.assets ADD CONSTRAINT assets_type_known {wanted} NOT VALID;"
            "ALTER TABLE public.assets VALIDATE CONSTRAINT assets_type_known;"
            f"COMMENT ON CONSTRAINT assets_type_known ON public.assets IS {comment}"
        )


async def _triggers(connection: asyncpg.Connection) -> None:
    """Triggers for single rows have their types in the condition: a function call for each row would cost more."""
    aliases = _list(alias for kind in ASSET_TYPES for alias in kind.aliases)
    await _trigger(
        connection,
        "assets",
        "b_alias",
        f"BEFORE INSERT OR UPDATE ON public.assets FOR EACH ROW WHEN (NEW.type = ANY ('{aliases}'))"
        " EXECUTE FUNCTION public.shotline_asset_alias()",
    )
    ordered = _list(kind.name for kind in RELATIONSHIP_TYPES if kind.ordered)
    await _trigger(
        connection,
        "asset_relationships",
        "c_numbered",
        "BEFORE INSERT OR UPDATE ON public.asset_relationships FOR EACH ROW"
        f" WHEN (NEW.sequence IS NULL AND NEW.relationship_type = ANY ('{ordered}'))"
        " EXECUTE FUNCTION public.shotline_relationship_numbered()",
    )


async def _trigger(connection: asyncpg.Connection, table: str, name: str, definition: str) -> None:
    known = await connection.fetchval(
        "SELECT obj_description(oid, 'pg_trigger') FROM pg_trigger WHERE tgrelid = $1::text::regclass AND tgname = $2",
        f"public.{table}",
        name,
    )
    if known != definition:
        await connection.execute(f"CREATE OR REPLACE TRIGGER {name} {definition}")
        comment = await connection.fetchval("SELECT quote_literal($1::text)", definition)
        await connection.execute(f"COMMENT ON TRIGGER {name} ON public.{table} IS {comment}")


async def _limits(connection: asyncpg.Connection) -> None:
    """One parent or one child at most is a unique index, which holds against everybody at any time."""
    wanted = {}
    for kind in RELATIONSHIP_TYPES:
        for limit, column, word in (
            (kind.max_parents, "child_asset_id", "parent"),
            (kind.max_children, "parent_asset_id", "child"),
        ):
            if limit == 1:
                wanted[f"asset_relationships_one_{word}_{kind.name}"] = (
                    f"public.asset_relationships ({column}, workspace_id) WHERE relationship_type = '{kind.name}'"
                )
    found = {
        row["indexname"]
        for row in await connection.fetch(
            "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND tablename = 'asset_relationships'"
            " AND indexname ~ '^asset_relationships_one_(parent|child)_'"
        )
    }
    for name in sorted(found - wanted.keys()):
        await connection.execute(f"DROP INDEX public.{name}")
    for name in sorted(wanted.keys() - found):
        await connection.execute(f"CREATE UNIQUE INDEX {name} ON {wanted[name]}")


def _list(names: Iterable[str]) -> str:
    """An array literal of names, which are plain words."""
    return "{" + ",".join(sorted(names)) + "}"
