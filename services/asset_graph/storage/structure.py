"""Shots and films with all that belongs to them, put together as JSON by the database: what comes back goes on to the
caller as it is.

What belongs to a shot is a subquery for that shot, which looks its rows up by index whatever the planner believes of
the tables. Joined in one go they were 400 × slower where it believed wrongly. For the same reason the workspace of an
asset is compared with IS NOT DISTINCT FROM: that cannot lure the planner away from the index of ids.
"""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from services.asset_graph.domain import faults
from services.asset_graph.domain.reading import Cut, FilmHead, FilmPage, FilmScene, Position, ShotStructure
from services.asset_graph.domain.rules import RELATIONSHIP_TYPES
from services.asset_graph.storage import pages
from services.asset_graph.storage.database import Connection
from services.asset_graph.storage.rows import asset, asset_columns, related, size
from services.kernel.faults import Fault, invalid_field
from services.kernel.paging import MAX_PAGE_BYTES, Key

FILMS = ("film", "scene")  # what has shots in playing order

_USES = sorted(kind.name for kind in RELATIONSHIP_TYPES if kind.name.startswith("uses_"))
_TAKE = "generation_attempt"
_WITHOUT_SEQUENCE = 2**31 - 1  # behind all others


def quoted(names: Sequence[str]) -> str:
    """Names of types as SQL has a list of texts."""
    return ", ".join(f"'{name}'" for name in names)


_PARTS = ", ".join(
    f"string_agg(e.part, ', ') FILTER (WHERE e.relationship_type = '{kind}') AS {kind}" for kind in (*_USES, _TAKE)
)
_LINKS = ", ".join(f"""'"{kind}": [' || p.{kind} || ']'""" for kind in _USES)
# The document of the shot whose row is `s`, as the contract describes it. All that belongs to it is read in one go.
_DOCUMENT = f"""
    '{{"shot": ' || shotline_asset_json(s) || (
        SELECT ', "links": {{' || concat_ws(', ', {_LINKS}) || '}}, "takes": [' || coalesce(p.{_TAKE}, '') || ']'
        FROM (
            SELECT {_PARTS} FROM (
                SELECT e.relationship_type,
                    shotline_asset_json(a, ', "sequence": ' || coalesce(e.sequence::text, 'null') || CASE
                    WHEN e.relationship_type = '{_TAKE}' THEN ', "video": ' || coalesce((
                        SELECT shotline_asset_json(v)
                        FROM asset_relationships g
                        JOIN assets v ON v.id = g.child_asset_id AND v.workspace_id IS NOT DISTINCT FROM g.workspace_id
                        WHERE g.parent_asset_id = a.id AND g.workspace_id = a.workspace_id
                            AND g.relationship_type = 'generated_video'
                    ), 'null') ELSE '' END) AS part
                FROM asset_relationships e
                JOIN assets a ON a.id = e.child_asset_id AND a.workspace_id IS NOT DISTINCT FROM e.workspace_id
                WHERE e.parent_asset_id = s.id AND e.workspace_id = s.workspace_id
                    AND e.relationship_type IN ({quoted((*_USES, _TAKE))})
                ORDER BY e.sequence, e.id
            ) e
        ) p
    ) || ', "selected_take_id": ' || coalesce((
        SELECT '"' || t.selected_take_id || '"' FROM shot_state t
        WHERE t.shot_id = s.id AND t.workspace_id = s.workspace_id
    ), 'null') || '}}'
"""

_SHOT = f"SELECT s.id, s.etag, {_DOCUMENT} FROM assets s WHERE s.id = $1 AND s.type = 'shot'"


def playing_order(types: Sequence[str] = FILMS, condition: str = "true") -> str:
    """SQL of the scenes and shots of the asset $1, if it is of one of the types: as CTEs `top`, `scenes` and `shots`,
    of which the last has none unless the condition holds.

    `way` is the numbers of the scenes from the film to a scene, by which films are played, and `scenes` their ids.
    What is contained twice stands where it comes first. Of each round only the first to a scene goes on, else scenes
    that share scenes that share scenes would have more ways than can be walked.
    """
    return f"""
    top AS MATERIALIZED (
        SELECT a.id, a.workspace_id FROM assets a WHERE a.id = $1 AND a.type IN ({quoted(types)})
    ),
    reached (id, edge, way, scenes, sequence) AS (
        SELECT top.id, NULL::uuid, '{{}}'::int[], '{{}}'::uuid[], NULL::int FROM top
        UNION ALL
        SELECT n.id, n.edge, n.way, n.scenes, n.sequence FROM (
            SELECT e.child_asset_id AS id, e.id AS edge, r.way || coalesce(e.sequence, {_WITHOUT_SEQUENCE}) AS way,
                r.scenes || e.child_asset_id AS scenes, e.sequence,
                row_number() OVER (
                    PARTITION BY e.child_asset_id ORDER BY r.way, coalesce(e.sequence, {_WITHOUT_SEQUENCE}), e.id
                ) AS turn
            FROM reached r JOIN asset_relationships e ON e.parent_asset_id = r.id
                AND e.relationship_type = 'contains_scene' AND e.workspace_id = (SELECT workspace_id FROM top)
        ) n WHERE n.turn = 1
    ),
    scenes AS MATERIALIZED (
        SELECT DISTINCT ON (r.id) r.id, r.way, r.scenes, r.sequence FROM reached r ORDER BY r.id, r.way, r.edge
    ),
    contained AS (
        SELECT DISTINCT ON (e.child_asset_id) e.child_asset_id AS id, c.way, c.scenes,
            coalesce(e.sequence, {_WITHOUT_SEQUENCE}) AS place, e.id AS edge
        FROM scenes c JOIN asset_relationships e ON e.parent_asset_id = c.id
            AND e.relationship_type = 'contains_shot' AND e.workspace_id = (SELECT workspace_id FROM top)
        WHERE {condition}
        ORDER BY e.child_asset_id, c.way, e.sequence, e.id
    ),
    shots AS MATERIALIZED (
        SELECT c.*, row_number() OVER (ORDER BY c.way, c.place, c.edge) AS position FROM contained c
    )
    """


_HEAD = f"{asset_columns('a')}, NULL::uuid AS edge, NULL::text AS relationship_type"
_DIRECT = """
    top JOIN asset_relationships e ON e.parent_asset_id = top.id AND e.relationship_type = 'contains_shot'
        AND e.workspace_id = top.workspace_id
"""
_PLAIN = "(SELECT f.plain FROM plain f)"
# A film's page in one statement: rows of several kinds, of which each fills its own columns. $2 to $4: behind which
# shot; $5: how many; $6: whether with all that belongs to the film as a whole. A film without scenes is not put into
# order anew for each page: its shots stand in the index as they are played.
_FILM = f"""
    WITH RECURSIVE {playing_order(condition=f"NOT {_PLAIN}")},
    plain AS MATERIALIZED (SELECT count(*) = 1 AS plain FROM scenes),
    counted AS MATERIALIZED (
        SELECT count(*) AS shots, count(*) FILTER (WHERE e.sequence <= $3::bigint) + (
            SELECT count(*) FROM {_DIRECT}
            WHERE e.sequence IS NULL AND e.id <= $4::uuid AND $3::bigint = {_WITHOUT_SEQUENCE}
        ) AS before
        FROM {_DIRECT} WHERE {_PLAIN}
    ),
    direct AS (
        (
            SELECT e.child_asset_id AS id, e.sequence AS place, e.id AS edge FROM {_DIRECT}
            WHERE {_PLAIN} AND $2::int[] = '{{}}' AND e.sequence > $3::bigint ORDER BY e.sequence LIMIT $5::int
        )
        UNION ALL (
            SELECT e.child_asset_id, {_WITHOUT_SEQUENCE}, e.id FROM {_DIRECT}
            WHERE {_PLAIN} AND $2::int[] = '{{}}' AND e.sequence IS NULL
                AND ($3::bigint < {_WITHOUT_SEQUENCE} OR e.id > $4::uuid)
            ORDER BY e.id LIMIT $5::int
        )
    ),
    page AS MATERIALIZED (
        (
            SELECT p.id, p.way, p.scenes, p.place, p.edge, p.position FROM shots p
            WHERE (p.way, p.place, p.edge) > ($2::int[], $3::bigint, $4::uuid) ORDER BY p.position LIMIT $5::int
        )
        UNION ALL (
            SELECT d.id, '{{}}', '{{}}', d.place, d.edge,
                (SELECT c.before FROM counted c) + row_number() OVER (ORDER BY d.place, d.edge)
            FROM direct d ORDER BY d.place, d.edge LIMIT $5::int
        )
    ),
    documents AS MATERIALIZED (
        SELECT p.*, s.etag, {_DOCUMENT} AS document FROM page p
        JOIN assets s ON s.id = p.id AND s.workspace_id IS NOT DISTINCT FROM (SELECT workspace_id FROM top)
    ),
    sized AS (
        SELECT d.*, octet_length(d.document) AS size,
            sum(octet_length(d.document)) OVER (ORDER BY d.position ROWS UNBOUNDED PRECEDING) AS upto
        FROM documents d
    )
    SELECT {_HEAD}, NULL::int AS sequence, NULL::jsonb AS relationship_metadata, 'film' AS kind,
        (SELECT count(*) FROM shots) + (SELECT c.shots FROM counted c) AS position,
        NULL::int[] AS way, NULL::int AS place, NULL::uuid[] AS scenes, NULL::text AS document, 0 AS size
    FROM top JOIN assets a ON a.id = top.id AND a.workspace_id IS NOT DISTINCT FROM top.workspace_id
    UNION ALL (
        SELECT {_HEAD}, c.sequence, NULL, 'scene', NULL, NULL, NULL, c.scenes, NULL, 0
        FROM scenes c
        JOIN assets a ON a.id = c.id AND a.workspace_id IS NOT DISTINCT FROM (SELECT workspace_id FROM top)
        WHERE $6 AND c.id <> $1 ORDER BY c.way
    )
    UNION ALL (
        SELECT {asset_columns("a")}, e.id, e.relationship_type, e.sequence, e.metadata, 'edit',
            NULL, NULL, NULL, NULL, NULL, 0
        FROM top JOIN asset_relationships e ON e.parent_asset_id = top.id AND e.workspace_id = top.workspace_id
            AND e.relationship_type = 'final_edit'
        JOIN assets a ON a.id = e.child_asset_id AND a.workspace_id IS NOT DISTINCT FROM e.workspace_id
        WHERE $6 ORDER BY e.sequence, e.id
    )
    UNION ALL (
        SELECT z.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, z.etag, NULL, NULL, z.edge, NULL, NULL, NULL,
            'shot', z.position, z.way, z.place, z.scenes, z.document, z.size
        FROM sized z WHERE z.upto - z.size <= {MAX_PAGE_BYTES} ORDER BY z.position
    )
"""
_NOTHING_BEFORE: Position = ("", -1, "00000000-0000-0000-0000-000000000000", 0)
_FIRST_PAGE = 250  # shots at most while it is not known how large they are
_SPARE_BYTES = 128 * 1024  # of a page, for shots that are larger than those before them
_SHOT_OVERHEAD = 200  # bytes of a shot in an answer besides its document


async def shot(connection: Connection, shot_id: UUID) -> ShotStructure:
    """One shot. Raises ASSET_NOT_FOUND, and INVALID_FIELD for what is no shot."""
    row = await connection.fetchrow(_SHOT, shot_id)
    if row is None:
        raise await missing(connection, shot_id, "shot_id", ("shot",))
    return ShotStructure(shot_id=row[0], etag=row[1], document=row[2])


async def film(connection: Connection, film_id: UUID, cut: Cut) -> FilmPage:
    """Shots of a film or scene in playing order. Raises as `shot`, and INVALID_FIELD for a page token that is none."""
    *behind, fitting = pages.keys(cut.behind or _NOTHING_BEFORE, _way, pages.number, pages.identity, pages.number)
    # What does not fit into a page was put together for nothing. How many will is known from the page before.
    most = max(1, min(cut.size, fitting or _FIRST_PAGE))
    rows = await connection.fetch(_FILM, film_id, *behind, most, not cut.behind)
    if not rows:
        raise await missing(connection, film_id, "film_id", FILMS)
    head = None if cut.behind else _head(rows)
    count = rows[0]["position"]
    budget = MAX_PAGE_BYTES - _head_size(head)
    taken: list[asyncpg.Record] = []
    for row in (row for row in rows if row["kind"] == "shot"):
        budget -= row["size"] + _SHOT_OVERHEAD
        if budget < 0 and taken:
            break
        taken.append(row)
    following = None
    if taken and (last := taken[-1])["position"] < count:
        average = sum(row["size"] + _SHOT_OVERHEAD for row in taken) // len(taken)
        fitting = max(1, (MAX_PAGE_BYTES - _SPARE_BYTES) // average)
        following = (".".join(map(str, last["way"])), last["place"], str(last["edge"]), fitting)
    return FilmPage(head=head, shots=list(map(_structure, taken)), shot_count=count, following=following)


async def missing(connection: Connection, asset_id: UUID, field: str, types: Sequence[str]) -> Fault:
    """Why nothing was found: there is no such asset, or it is not of one of the types that the field wants."""
    return await unlike(connection, asset_id, field, types) or faults.asset_not_found(asset_id)


async def unlike(connection: Connection, asset_id: UUID, field: str, types: Sequence[str] = ()) -> Fault | None:
    """What is wrong with an asset, as `not_fitting`."""
    found = await connection.fetchval("SELECT a.type FROM assets a WHERE a.id = $1", asset_id)
    return not_fitting(asset_id, field, types, found)


def not_fitting(asset_id: UUID, field: str, types: Sequence[str], found: str | None) -> Fault | None:
    """What is wrong with an asset of a type (None: there is none) in a field that wants one of `types` (empty: any)."""
    if found is None:
        return faults.asset_not_found(asset_id)
    if types and found not in types:
        return invalid_field(field, f"must be a {' or '.join(types)}, and this is a {found}")
    return None


def _way(key: Key) -> list[int]:
    way = [int(step) for step in pages.text(key).split(".")] if key else []
    if not all(0 <= step < 2**31 for step in way):
        raise ValueError
    return way


def _head(rows: Sequence[asyncpg.Record]) -> FilmHead:
    return FilmHead(
        film=asset(rows[0]),
        scenes=[
            FilmScene(asset=asset(row), scenes=row["scenes"][:-1], sequence=row["sequence"])
            for row in rows
            if row["kind"] == "scene"
        ],
        final_edits=[related(row) for row in rows if row["kind"] == "edit"],
    )


def _head_size(head: FilmHead | None) -> int:
    if head is None:
        return 0
    scenes = sum(size(scene.asset) + 40 * len(scene.scenes) for scene in head.scenes)
    return (
        size(head.film) + scenes + sum(size(each.asset) + len(each.relationship_metadata) for each in head.final_edits)
    )


def _structure(row: asyncpg.Record) -> ShotStructure:
    return ShotStructure(
        shot_id=row["id"], etag=row["etag"], document=row["document"], scenes=row["scenes"], position=row["position"]
    )
