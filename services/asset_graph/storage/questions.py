"""What has to be known of a workspace before it is changed: one statement for all that a question asks."""

from collections.abc import Collection, Mapping
from functools import cache

import asyncpg

from services.asset_graph.domain.changing import ATTEMPT
from services.asset_graph.domain.metadata import MOST_ATTEMPTS
from services.asset_graph.domain.model import Relationship
from services.asset_graph.domain.ports import EdgeKey, Knowledge, KnownEnd, ParentsOf, Place, Question, Siblings
from services.asset_graph.storage.database import Connection

SPACE = "current_setting('shotline.workspace')"  # the workspace that the transaction changes

# Every part of a question answers with these columns:
# which part, parent or asset, child, type, number, relationship, text, flag, time, attempt number or workspace
_PARTS: Mapping[str, str] = {
    "ends": """
        SELECT 'ends', a.id, NULL::uuid, a.type, NULL::bigint, NULL::uuid,
               CASE WHEN a.id = ANY ({1}::uuid[]) THEN a.name END,
               a.type = 'shot_take' AND shotline_flagged(a.asset_metadata), NULL::timestamptz,
               CASE WHEN a.type = 'shot_take' THEN a.asset_metadata->>'attempt_number' END
        FROM assets a WHERE a.id = ANY ({0}::uuid[])""",
    "edges": """
        SELECT 'edges', r.parent_asset_id, r.child_asset_id, r.relationship_type, r.sequence::bigint, r.id,
               r.metadata::text, NULL::boolean, r.created_at, r.workspace_id
        FROM unnest({0}::uuid[], {1}::uuid[], {2}::text[]) AS k (parent, child, type)
        JOIN asset_relationships r ON r.parent_asset_id = k.parent AND r.child_asset_id = k.child
            AND r.relationship_type = k.type""",
    "last": f"""
        SELECT 'last', k.parent, NULL::uuid, k.type, greatest(
                   (SELECT max(r.sequence) FROM asset_relationships r
                    WHERE r.parent_asset_id = k.parent AND r.relationship_type = k.type AND r.workspace_id = {SPACE}),
                   (SELECT s.last_attempt_number FROM shot_state s
                    WHERE s.shot_id = k.parent AND k.type = '{ATTEMPT}'))::bigint,
               NULL::uuid, NULL, NULL::boolean, NULL::timestamptz, NULL
        FROM unnest({{0}}::uuid[], {{1}}::text[]) AS k (parent, type)""",
    "places": """
        SELECT 'places', k.parent, r.child_asset_id, k.type, k.sequence::bigint, NULL::uuid, NULL, NULL::boolean,
               NULL::timestamptz, NULL
        FROM unnest({0}::uuid[], {1}::text[], {2}::int[]) AS k (parent, type, sequence)
        JOIN asset_relationships r ON r.parent_asset_id = k.parent AND r.relationship_type = k.type
            AND r.sequence = k.sequence""",
    "former": f"""
        SELECT 'former', k.parent, d.child_asset_id, k.type, k.sequence::bigint, NULL::uuid, NULL, NULL::boolean,
               NULL::timestamptz, NULL
        FROM unnest({{0}}::uuid[], {{1}}::text[], {{2}}::int[]) AS k (parent, type, sequence)
        JOIN deleted_asset_relationships d ON d.parent_asset_id = k.parent AND d.relationship_type = k.type
            AND d.sequence = k.sequence
        WHERE k.type = '{ATTEMPT}'""",
    "parents": """
        SELECT 'parents', NULL::uuid, k.child, k.type, NULL::bigint, r.id, NULL, NULL::boolean, NULL::timestamptz, NULL
        FROM unnest({0}::uuid[], {1}::text[]) AS k (child, type)
        JOIN asset_relationships r ON r.child_asset_id = k.child AND r.relationship_type = k.type""",
    "children": """
        SELECT 'children', k.parent, NULL::uuid, k.type, NULL::bigint, r.id, NULL, NULL::boolean, NULL::timestamptz,
               NULL
        FROM unnest({0}::uuid[], {1}::text[]) AS k (parent, type)
        JOIN asset_relationships r ON r.parent_asset_id = k.parent AND r.relationship_type = k.type""",
}


async def ask(connection: Connection, question: Question) -> Knowledge:
    """What is known of what a question names."""
    arguments: list[object] = []
    parts: list[str] = []

    def part(name: str, *values: object) -> None:
        parts.append(name)
        arguments.extend(values)

    if question.ends:
        part("ends", list(question.ends), list(question.named))
    if question.edges:
        part("edges", *columns(question.edges, 3))
    if question.siblings:
        part("last", *columns(question.siblings, 2))
    if question.places:
        places = columns(question.places, 3)
        part("places", *places)
        if any(place.type == ATTEMPT for place in question.places):
            part("former", *places)
    if question.parents:
        part("parents", *columns(question.parents, 2))
    if question.children:
        part("children", *columns(question.children, 2))
    known = Knowledge.empty()
    for row in await connection.fetch(_asking(tuple(parts)), *arguments) if parts else ():
        _learn(known, row)
    return known


def columns(rows: Collection[tuple[object, ...]], width: int) -> list[list[object]]:
    """Rows as the arrays that `unnest` takes."""
    return [[row[place] for row in rows] for place in range(width)]


@cache
def _asking(parts: tuple[str, ...]) -> str:
    """The statement of a question's parts."""
    texts, number = [], 1
    for name in parts:
        width = _PARTS[name].count("}::")
        texts.append(_PARTS[name].format(*(f"${number + place}" for place in range(width))))
        number += width
    return " UNION ALL ".join(texts)


def _learn(known: Knowledge, row: asyncpg.Record) -> None:
    """One row of an answer."""
    part, parent, child, kind, number, edge_id, text, flag, moment, said = row
    if part == "ends":
        known.ends[parent] = KnownEnd(type=kind, name=text or "", wished_attempt=_attempt(said), wished_selected=flag)
    elif part == "edges":
        known.edges[EdgeKey(parent, child, kind)] = Relationship(
            id=edge_id,
            workspace_id=said,
            parent=parent,
            child=child,
            type=kind,
            sequence=number,
            metadata=text,
            created_at=moment,
        )
    elif part == "last":
        known.last[Siblings(parent, kind)] = number or 0
    elif part == "places":
        known.places[Place(parent, kind, number)] = child
    elif part == "former":
        known.former[Place(parent, kind, number)] = child
    elif part == "parents":
        known.parents[ParentsOf(child, kind)] = edge_id
    else:
        known.children[Siblings(parent, kind)] = edge_id


def _attempt(text: str | None) -> int | None:
    """An attempt number as metadata may have it."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return int(number) if 1 <= number <= MOST_ATTEMPTS and number.is_integer() else None
