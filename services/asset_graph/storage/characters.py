"""The old table `shot_characters` (seed 002, "Migration from Old Schema") becomes `uses_character` relationships.

Every row does, or none: a row that cannot is named, and the old table stays as it was. An old id may be any text. One
that no asset has gets an asset, so that no row is lost: a placeholder with the old id as its name, in the workspace of
what it is joined to, else in `default`. Afterwards the old table is kept under another name.
"""

import asyncpg

from services.asset_graph.storage.migrations import MigrationError

OLD_TABLE = "shot_characters"
_SHOWN = 5  # rows that an error names

# The pairs, and each of their ends once: which asset it is, of which type, in which workspace.
_COLLECT = """
LOCK TABLE public.shot_characters IN ACCESS EXCLUSIVE MODE;
CREATE TEMPORARY TABLE adopted_pairs ON COMMIT DROP AS
    SELECT t.shot_id::text AS shot, t.character_id::text AS character,
           (array_agg(to_jsonb(t) - 'shot_id' - 'character_id'))[1] AS rest
    FROM public.shot_characters t GROUP BY 1, 2;
CREATE TEMPORARY TABLE adopted_ends ON COMMIT DROP AS
    SELECT e.type, e.old_id, e.id, array_agg(a.workspace_id) FILTER (WHERE a.id IS NOT NULL) AS found,
           array_agg(a.type) FILTER (WHERE a.id IS NOT NULL) AS found_types, min(a.workspace_id) AS workspace_id
    FROM (
        SELECT n.type, n.old_id, CASE
            WHEN n.old_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN n.old_id::uuid
            ELSE public.shotline_uuid_of(n.type || ' ' || n.old_id) END AS id
        FROM (SELECT 'shot' AS type, shot AS old_id FROM adopted_pairs
              UNION SELECT 'character_ref', character FROM adopted_pairs) n
        WHERE n.old_id IS NOT NULL) e
    LEFT JOIN public.assets a ON a.id = e.id
    GROUP BY e.type, e.old_id, e.id;
ANALYZE adopted_pairs, adopted_ends;
"""

# A placeholder's workspace is that of what it is joined to. Repeated until nothing more is found out.
_SPREAD = """
WITH joined AS (
    SELECT p.shot, p.character, s.workspace_id AS of_shot, c.workspace_id AS of_character
    FROM adopted_pairs p
    JOIN adopted_ends s ON s.type = 'shot' AND s.old_id = p.shot
    JOIN adopted_ends c ON c.type = 'character_ref' AND c.old_id = p.character
    WHERE (s.workspace_id IS NULL) <> (c.workspace_id IS NULL)
)
UPDATE adopted_ends e SET workspace_id = n.workspace_id
    FROM (
        SELECT 'shot' AS type, shot AS old_id, min(of_character) AS workspace_id
        FROM joined WHERE of_shot IS NULL GROUP BY shot
        UNION ALL
        SELECT 'character_ref', character, min(of_shot) FROM joined WHERE of_character IS NULL GROUP BY character) n
    WHERE e.type = n.type AND e.old_id = n.old_id
"""

_IMPOSSIBLE = """
SELECT p.shot, p.character, CASE
        WHEN p.shot IS NULL OR p.character IS NULL THEN 'an id is missing'
        WHEN cardinality(s.found) > 1 OR cardinality(c.found) > 1 THEN 'an id is in several workspaces'
        WHEN s.found_types[1] <> 'shot' THEN 'the shot is of type ' || s.found_types[1]
        WHEN c.found_types[1] <> 'character_ref' THEN 'the character is of type ' || c.found_types[1]
        WHEN s.workspace_id <> c.workspace_id
            THEN format('the shot is in workspace %s, the character in %s', s.workspace_id, c.workspace_id)
    END AS trouble
    FROM adopted_pairs p
    LEFT JOIN adopted_ends s ON s.type = 'shot' AND s.old_id = p.shot
    LEFT JOIN adopted_ends c ON c.type = 'character_ref' AND c.old_id = p.character
    WHERE p.shot IS NULL OR p.character IS NULL OR cardinality(s.found) > 1 OR cardinality(c.found) > 1
    OR s.found_types[1] <> 'shot' OR c.found_types[1] <> 'character_ref' OR s.workspace_id <> c.workspace_id
    ORDER BY 1, 2
"""

_ADOPT = """
INSERT INTO public.workspaces (id) SELECT DISTINCT workspace_id FROM adopted_ends ON CONFLICT DO NOTHING;
INSERT INTO public.assets (id, workspace_id, type, name, asset_metadata)
    SELECT id, workspace_id, type, old_id, jsonb_build_object('migrated_from', 'shot_characters', 'old_id', old_id)
    FROM adopted_ends WHERE found IS NULL ORDER BY type, old_id;
INSERT INTO public.asset_relationships (workspace_id, parent_asset_id, child_asset_id, relationship_type, metadata)
    SELECT s.workspace_id, s.id, c.id, 'uses_character', p.rest
    FROM adopted_pairs p
    JOIN adopted_ends s ON s.type = 'shot' AND s.old_id = p.shot
    JOIN adopted_ends c ON c.type = 'character_ref' AND c.old_id = p.character
    ORDER BY p.shot, p.character
    ON CONFLICT ON CONSTRAINT asset_relationships_once DO NOTHING;
"""


async def adopt(connection: asyncpg.Connection) -> None:
    """Does it in the transaction that the caller began; nothing when there is no such table (any more).

    MigrationError names rows that cannot become a relationship: without an id, with an asset of another type, or with
    ends in two workspaces.
    """
    columns = {
        row["column_name"]
        for row in await connection.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1",
            OLD_TABLE,
        )
    }
    if not columns:
        return
    if not columns >= {"shot_id", "character_id"}:
        raise MigrationError(f"the old table {OLD_TABLE} has no columns shot_id and character_id; rename or drop it")
    await connection.execute(_COLLECT)
    while await connection.execute(_SPREAD) != "UPDATE 0":
        pass
    await connection.execute("UPDATE adopted_ends SET workspace_id = 'default' WHERE workspace_id IS NULL")
    if impossible := await connection.fetch(_IMPOSSIBLE):
        rows = "; ".join(f"({row['shot']}, {row['character']}): {row['trouble']}" for row in impossible[:_SHOWN])
        more = f"; and {len(impossible) - _SHOWN} more" if len(impossible) > _SHOWN else ""
        raise MigrationError(
            f"{len(impossible)} rows of {OLD_TABLE} cannot become relationships, so none did: {rows}{more}."
            " Mend or remove them and migrate again"
        )
    await connection.execute(_ADOPT)
    await connection.execute(f"ALTER TABLE public.{OLD_TABLE} RENAME TO {await _free_name(connection)}")


async def _free_name(connection: asyncpg.Connection) -> str:
    name, number = f"{OLD_TABLE}_migrated", 1
    while await connection.fetchval("SELECT to_regclass('public.' || $1::text) IS NOT NULL", name):
        number += 1
        name = f"{OLD_TABLE}_migrated_{number}"
    return name
