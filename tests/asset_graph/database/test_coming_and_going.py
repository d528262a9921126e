"""Whatever was linked, selected, deleted in whatever order: an undelete succeeds, and flags and pointers agree."""

import random
from uuid import UUID

import asyncpg
import pytest

from tests.asset_graph.database.graph import Graph

KINDS = {"film": 1, "scene": 4, "shot": 3, "shot_take": 6, "video": 4, "audio": 2}
EDGES = [
    ("contains_scene", "film", "scene"),
    ("contains_scene", "scene", "scene"),
    ("contains_shot", "scene", "shot"),
    ("generation_attempt", "shot", "shot_take"),
    ("generation_attempt", "shot", "shot_take"),
    ("generated_video", "shot_take", "video"),
    ("derived_from", "video", "video"),
    ("uses_audio", "shot", "audio"),
]
# What a single change may run into; an undelete never may.
REFUSED = {"23505", "SH002", "SH003", "SH006", "23514", "23503"}
DISAGREEING = """
SELECT s.shot_id FROM shot_state s
    JOIN asset_relationships r ON r.parent_asset_id = s.shot_id AND r.relationship_type = 'generation_attempt'
    JOIN assets t ON t.id = r.child_asset_id
    WHERE s.workspace_id = $1
    AND ((t.asset_metadata->>'selected' = 'true') IS TRUE <> (t.id = s.selected_take_id) IS TRUE
         OR (t.asset_metadata->>'attempt_number')::int <> r.sequence OR r.sequence > s.last_attempt_number)
"""


class Chance:
    """Random changes of one small workspace, each of which is tried whether or not it makes sense."""

    def __init__(self, graph: Graph, ids: dict[str, list[UUID]], seed: int) -> None:
        self._graph = graph
        self._ids = ids
        self._all = [id for each in ids.values() for id in each]
        self._dice = random.Random(seed)

    async def change(self) -> None:
        graph, dice = self._graph, self._dice
        way = dice.randrange(10)
        try:
            if way < 5:
                kind, parent, child = dice.choice(EDGES)
                await graph.edge(kind, dice.choice(self._ids[parent]), dice.choice(self._ids[child]))
            elif way < 7:
                await graph.flag(dice.choice(self._ids["shot_take"]), dice.random() < 0.8)
            elif way < 9:
                await graph.connection.execute("DELETE FROM assets WHERE id = $1", dice.choice(self._all))
            else:
                await graph.connection.execute(
                    "DELETE FROM asset_relationships WHERE id = (SELECT id FROM asset_relationships"
                    " WHERE workspace_id = $1 ORDER BY id OFFSET $2 LIMIT 1)",
                    *(graph.workspace, dice.randrange(8)),
                )
        except asyncpg.PostgresError as error:
            if error.sqlstate not in REFUSED:
                raise

    async def undelete(self) -> int:
        back: int = await self._graph.connection.fetchval(
            "SELECT shotline_undelete($1, $2)", self._graph.workspace, self._dice.choice(self._all)
        )
        return back


async def comes_and_goes(graph: Graph, seed: int, count: int) -> int:
    ids = {kind: await graph.assets(kind, number) for kind, number in KINDS.items()}
    chance = Chance(graph, ids, seed)
    back = 0
    for _ in range(count):
        await chance.change()
        back += await chance.undelete()
        assert await graph.connection.fetch(DISAGREEING, graph.workspace) == [], f"seed {seed}"
    tables = ("assets", "deleted_assets")
    rows = [
        await graph.connection.fetch(f"SELECT id FROM {table} WHERE workspace_id = $1", graph.workspace)
        for table in tables
    ]
    assert sorted(row["id"] for found in rows for row in found) == sorted(id for each in ids.values() for id in each)
    return back


async def test_an_undelete_always_succeeds(graph: Graph) -> None:
    assert await comes_and_goes(graph, 1, 250) > 20


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 22))
async def test_an_undelete_always_succeeds_whatever_happened_before(graph: Graph, seed: int) -> None:
    await comes_and_goes(graph, seed, 500)
