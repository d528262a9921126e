"""What films, scenes and shots cost: everything that they contain or use, each asset once, in exact decimals.

What was deleted counts on. It is found by the relationships that went with it; one that somebody ended leads nowhere.

An asset belongs to the shot that it is, that made it (its take, its take's video), or that uses it, in this order. What
several shots use belongs to none of them alone.

Everything is looked up by index from what contains it, and nothing is joined: what the planner believes of the size of
what it has just found would decide between milliseconds and minutes.
"""

from decimal import Decimal
from uuid import UUID

from services.asset_graph.domain.reading import FilmCost, ProviderCost, SelectionChange, ShotCost, ShotMetrics
from services.asset_graph.domain.rules import RELATIONSHIP_TYPES
from services.asset_graph.storage.database import Connection
from services.asset_graph.storage.structure import FILMS, missing, playing_order, quoted

COUNTED = (*FILMS, "shot")  # what has a cost of its own and of what is below

_USES = tuple(kind.name for kind in RELATIONSHIP_TYPES if kind.name.startswith("uses_"))
_MOST_SELECTIONS = 1_000
_NOTHING = Decimal(0)


def _below(parent: str, *types: str) -> str:
    """SQL of the children `b.child` of a column, by relationships that live or went with one of their ends."""
    mine = (
        f"e.parent_asset_id = {parent} AND e.relationship_type IN ({quoted(types)}) "
        "AND e.workspace_id = (SELECT workspace_id FROM top)"
    )
    # What came back, but without the relationship, no longer has it.
    gone = " OR ".join(
        f"EXISTS (SELECT FROM deleted_assets d WHERE d.id = e.{end}_asset_id AND d.workspace_id = e.workspace_id)"
        for end in ("child", "parent")
    )
    return (
        f"CROSS JOIN LATERAL (SELECT e.child_asset_id AS child FROM asset_relationships e WHERE {mine} UNION ALL "
        f"SELECT e.child_asset_id FROM deleted_asset_relationships e WHERE {mine} AND e.cascaded AND ({gone})) b"
    )


def _thing(column: str) -> str:
    """SQL of the asset `a` with the id of a column, living or deleted."""
    this = f"a.id = {column} AND a.workspace_id IS NOT DISTINCT FROM (SELECT workspace_id FROM top)"
    columns = "a.type, a.name, a.generation_cost AS cost, a.asset_metadata AS metadata"
    return (
        f"CROSS JOIN LATERAL (SELECT {columns}, false AS deleted FROM assets a WHERE {this} UNION ALL "
        f"SELECT {columns}, true FROM deleted_assets a WHERE {this}) a"
    )


# Of the shots in `part_shots`.
_MADE = f"""
    takes AS MATERIALIZED (
        SELECT s.id AS shot, b.child AS take, a.cost, a.deleted, a.metadata,
            coalesce(a.metadata->'generation_params'->>'provider', '') AS provider,
            coalesce(a.metadata->'generation_params'->>'model', '') AS model,
            NOT EXISTS (
                SELECT FROM shot_state p WHERE p.shot_id = s.id AND p.workspace_id = (SELECT workspace_id FROM top)
                    AND p.selected_take_id = b.child
            ) AS unselected
        FROM part_shots s {_below("s.id", "generation_attempt")} {_thing("b.child")}
    ),
    videos AS MATERIALIZED (
        SELECT t.shot, b.child AS video, a.cost, a.deleted, t.provider, t.model, t.unselected
        FROM takes t {_below("t.take", "generated_video")} {_thing("b.child")}
    )
"""

_FILM = f"""
    WITH RECURSIVE {playing_order(COUNTED)},
    walk (id) AS (
        SELECT id FROM top
        UNION
        SELECT b.child FROM walk {_below("walk.id", "contains_scene", "contains_shot")}
    ),
    parts AS MATERIALIZED (SELECT walk.id, a.type, a.name, a.cost, a.deleted FROM walk {_thing("walk.id")}),
    part_shots AS MATERIALIZED (SELECT id, name, deleted FROM parts WHERE type = 'shot'),
    {_MADE},
    found AS (
        SELECT id AS asset, 1 AS closeness, CASE WHEN type = 'shot' THEN id END AS shot, cost, deleted,
            '' AS provider, '' AS model, false AS unselected
        FROM parts
        UNION ALL SELECT take, 2, shot, cost, deleted, provider, model, unselected FROM takes
        UNION ALL SELECT video, 3, shot, cost, deleted, provider, model, unselected FROM videos
        UNION ALL SELECT b.child, 4, s.id, a.cost, a.deleted, '', '', false
            FROM part_shots s {_below("s.id", *_USES)} {_thing("b.child")}
        UNION ALL SELECT b.child, 5, NULL, a.cost, a.deleted, '', '', false
            FROM top {_below("top.id", "final_edit")} {_thing("b.child")}
    ),
    once AS MATERIALIZED (
        SELECT DISTINCT ON (f.asset) f.asset,
            CASE WHEN count(DISTINCT f.shot) = 1 THEN (array_agg(f.shot))[1] END AS shot,
            max(f.cost) AS cost, bool_and(f.deleted) AS deleted, min(f.provider) AS provider, min(f.model) AS model,
            bool_and(f.unselected) AS unselected
        FROM found f GROUP BY f.asset, f.closeness ORDER BY f.asset, f.closeness
    ),
    by_shot AS (
        SELECT shot, NULL::text AS name, cost, 0 AS attempts, NULL::boolean AS deleted, NULL::bigint AS position
        FROM once
        UNION ALL SELECT id, name, NULL, 0, deleted, NULL FROM part_shots
        UNION ALL SELECT shot, NULL, NULL, 1, NULL, NULL FROM (SELECT DISTINCT shot, take FROM takes) t
        UNION ALL SELECT id, NULL, NULL, 0, NULL, position FROM shots
    )
    (
        SELECT 'film' AS kind, top.id AS shot, w.currency AS name, 0 AS attempts, false AS deleted,
            '' AS provider, '' AS model,
            (SELECT sum(cost) FROM once) AS total, (SELECT sum(cost) FROM once WHERE unselected) AS unselected_total,
            (SELECT sum(cost) FROM once WHERE deleted) AS deleted_total
        FROM top JOIN workspaces w ON w.id = top.workspace_id
    )
    UNION ALL (
        SELECT 'shot', shot, max(name), sum(attempts), bool_or(deleted), '', '', sum(cost), NULL, NULL
        FROM by_shot GROUP BY shot
        HAVING shot IS NOT NULL OR sum(cost) IS NOT NULL
        ORDER BY shot IS NULL, bool_or(deleted), min(position), shot
    )
    UNION ALL (
        SELECT 'provider', NULL, NULL, count(*), false, provider, model, sum(cost), NULL, NULL
        FROM once WHERE cost IS NOT NULL GROUP BY provider, model ORDER BY sum(cost) DESC, provider, model
    )
"""

_SCORE = "CASE WHEN jsonb_typeof(metadata->'quality_score') = 'number' THEN (metadata->>'quality_score')::numeric END"

_METRICS = f"""
    WITH top AS MATERIALIZED (
        SELECT a.id, a.workspace_id, a.generation_cost FROM assets a WHERE a.id = $1 AND a.type = 'shot'
    ),
    part_shots AS MATERIALIZED (SELECT id FROM top),
    {_MADE},
    once AS (SELECT DISTINCT take AS asset, cost FROM takes UNION SELECT video, cost FROM videos)
    SELECT
        (SELECT count(*) FROM takes WHERE NOT deleted) AS attempts,
        (
            SELECT avg(s.score)::float8 FROM (SELECT {_SCORE} AS score FROM takes WHERE NOT deleted) s
            WHERE abs(s.score) < 1e100
        ) AS score,
        coalesce(top.generation_cost, 0) + (SELECT coalesce(sum(cost), 0) FROM once) AS total,
        (SELECT w.currency FROM workspaces w WHERE w.id = top.workspace_id) AS currency,
        (
            SELECT p.selected_take_id FROM shot_state p WHERE p.shot_id = top.id AND p.workspace_id = top.workspace_id
        ) AS selected,
        ARRAY(
            SELECT ROW(h.take_id, h.previous_take_id, h.created_at, h.actor, h.revision)
            FROM selection_history h WHERE h.shot_id = top.id AND h.workspace_id = top.workspace_id
            ORDER BY h.revision DESC, h.ordinal DESC LIMIT {_MOST_SELECTIONS}
        ) AS selections
    FROM top
"""


async def film(connection: Connection, film_id: UUID) -> FilmCost:
    """What a film, scene or shot cost. Raises ASSET_NOT_FOUND, and INVALID_FIELD for what is none of these."""
    rows = await connection.fetch(_FILM, film_id)
    if not rows:
        raise await missing(connection, film_id, "film_id", COUNTED)
    head = rows[0]
    return FilmCost(
        film_id=film_id,
        currency=head["name"],
        total=head["total"] or _NOTHING,
        unselected=head["unselected_total"] or _NOTHING,
        deleted=head["deleted_total"] or _NOTHING,
        shots=[
            ShotCost(
                shot_id=row["shot"],
                name=row["name"] or "",
                total=row["total"] or _NOTHING,
                attempts=row["attempts"],
                deleted=bool(row["deleted"]),
            )
            for row in rows
            if row["kind"] == "shot"
        ],
        providers=[
            ProviderCost(provider=row["provider"], model=row["model"], total=row["total"], assets=row["attempts"])
            for row in rows
            if row["kind"] == "provider"
        ],
    )


async def metrics(connection: Connection, shot_id: UUID) -> ShotMetrics:
    """Production figures of a shot. Raises ASSET_NOT_FOUND, and INVALID_FIELD for what is no shot."""
    row = await connection.fetchrow(_METRICS, shot_id)
    if row is None:
        raise await missing(connection, shot_id, "shot_id", ("shot",))
    return ShotMetrics(
        shot_id=shot_id,
        attempts=row["attempts"],
        mean_quality_score=row["score"],
        total_cost=row["total"],
        currency=row["currency"],
        selected_take_id=row["selected"],
        selections=[
            SelectionChange(take_id=take, previous_take_id=previous, created_at=moment, actor=actor, revision=revision)
            for take, previous, moment, actor, revision in reversed(row["selections"])
        ],
    )
