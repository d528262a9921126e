"""T1: a shot has one selected take at most, whoever writes; the pointer and the flags never disagree."""

import asyncio
import json
import random
from uuid import UUID

import asyncpg
import pytest

from tests.asset_graph.database.graph import Graph, close, connections
from tests.postgres import Database

ONE_STATEMENT = (
    "UPDATE assets SET asset_metadata = asset_metadata || jsonb_build_object('selected', id = $1)"
    " WHERE id IN (SELECT child_asset_id FROM asset_relationships WHERE parent_asset_id = $2)"
)


async def history(graph: Graph, shot: UUID) -> list[tuple[UUID | None, UUID | None]]:
    rows = await graph.connection.fetch(
        "SELECT take_id, previous_take_id FROM selection_history WHERE shot_id = $1 ORDER BY revision, ordinal", shot
    )
    return [(row["take_id"], row["previous_take_id"]) for row in rows]


async def test_a_flag_moves_the_pointer_and_takes_the_flag_from_the_other_take(graph: Graph) -> None:
    shot, (first, second) = await graph.shot(2)
    await graph.flag(first, True)
    assert (await graph.pointed(shot), await graph.flagged(shot)) == (first, [first])
    await graph.flag(second, True)
    assert (await graph.pointed(shot), await graph.flagged(shot)) == (second, [second])
    assert (await graph.metadata(first))["selected"] is False


async def test_the_pointer_writes_the_flags(graph: Graph) -> None:
    shot, (first, second, third) = await graph.shot(3)
    await graph.point(shot, first)
    await graph.point(shot, second)
    assert await graph.flagged(shot) == [second]
    assert "selected" not in await graph.metadata(third), "a take that was never selected has no flag"
    await graph.point(shot, None)
    assert await graph.flagged(shot) == []


async def test_taking_the_flag_away_clears_the_selection(graph: Graph) -> None:
    shot, (first, second) = await graph.shot(2)
    await graph.flag(first, True)
    await graph.flag(second, False)
    assert await graph.pointed(shot) == first
    await graph.flag(first, False)
    assert (await graph.pointed(shot), await graph.flagged(shot)) == (None, [])
    await graph.connection.execute(
        "UPDATE assets SET asset_metadata = asset_metadata || '{\"selected\": true}' WHERE id = $1", first
    )
    await graph.connection.execute(
        "UPDATE assets SET asset_metadata = asset_metadata - 'selected' WHERE id = $1", first
    )
    assert await graph.pointed(shot) is None


async def test_every_move_is_history(graph: Graph) -> None:
    shot, (first, second) = await graph.shot(2)
    await graph.flag(first, True)
    await graph.point(shot, second)
    await graph.point(shot, second)
    await graph.flag(second, False)
    assert await history(graph, shot) == [(first, None), (second, first), (None, second)]
    told = [items for _, entity, _, items in await graph.changes() if entity == "selection"]
    assert told[1] == [{"shot": str(shot), "take": str(second), "previous": str(first)}]
    assert len(told) == 3


@pytest.mark.parametrize("order", ["id", "id DESC", "random()"])
async def test_one_statement_may_flip_all_takes_in_any_order(graph: Graph, order: str) -> None:
    """A partial unique index over the flag fails here when a row is set before the other is cleared."""
    shot, takes = await graph.shot(5)
    for chosen in [takes[3], takes[0], takes[4], takes[1]]:
        # Rewritten in this order, the rows of the next statement come in this order.
        for row in await graph.connection.fetch(f"SELECT id FROM assets WHERE id = ANY ($1) ORDER BY {order}", takes):
            await graph.connection.execute("UPDATE assets SET name = name || '.' WHERE id = $1", row["id"])
        await graph.connection.execute(ONE_STATEMENT, chosen, shot)
        assert (await graph.pointed(shot), await graph.flagged(shot)) == (chosen, [chosen])


async def test_a_partial_unique_index_over_the_flag_refuses_that(graph: Graph) -> None:
    """The naive opponent of the test above: it depends on the order in which the rows are met."""
    await graph.connection.execute("CREATE TEMP TABLE naive (id int, shot int, selected bool)")
    await graph.connection.execute("CREATE UNIQUE INDEX ON naive (shot) WHERE selected")
    await graph.connection.execute("INSERT INTO naive VALUES (1, 1, false), (2, 1, true)")
    with pytest.raises(asyncpg.UniqueViolationError):
        await graph.connection.execute("UPDATE naive SET selected = (id = 1)")


async def test_one_statement_over_several_shots(graph: Graph) -> None:
    shots = [await graph.shot(3) for _ in range(4)]
    chosen = [takes[number % 3] for number, (_, takes) in enumerate(shots)]
    everything = [take for _, takes in shots for take in takes]
    await graph.connection.execute(
        "UPDATE assets SET asset_metadata = asset_metadata || jsonb_build_object('selected', id = ANY ($1))"
        " WHERE id = ANY ($2)",
        *(chosen, everything),
    )
    assert [await graph.flagged(shot) for shot, _ in shots] == [[take] for take in chosen]


async def test_the_takes_of_thousand_shots_are_selected_at_once(graph: Graph) -> None:
    """One statement over all, and the work grows with their number, not with its square."""
    shots = await graph.assets("shot", 1000)
    takes = await graph.assets("shot_take", 2000)
    await graph.connection.execute(
        "INSERT INTO asset_relationships (parent_asset_id, child_asset_id, relationship_type)"
        " SELECT ($1::uuid[])[1 + (n - 1) / 2], ($2::uuid[])[n], 'generation_attempt' FROM generate_series(1, 2000) n",
        *(shots, takes),
    )
    for chosen in (takes[0::2], takes[1::2]):
        await graph.connection.execute(
            "UPDATE assets SET asset_metadata = asset_metadata || '{\"selected\": true}' WHERE id = ANY ($1)", chosen
        )
        rows = await graph.connection.fetch(
            "SELECT id FROM assets WHERE workspace_id = $1 AND asset_metadata->>'selected' = 'true' ORDER BY id",
            graph.workspace,
        )
        assert [row["id"] for row in rows] == chosen
    assert len(await history(graph, shots[7])) == 2
    told = [items for _, entity, _, items in await graph.changes() if entity == "selection"]
    assert [len(items) for items in told] == [1000, 1000]


async def test_two_takes_of_one_shot_flagged_in_one_statement_are_refused(graph: Graph) -> None:
    shot, takes = await graph.shot(2)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await graph.connection.execute(
            "UPDATE assets SET asset_metadata = asset_metadata || '{\"selected\": true}' WHERE id = ANY ($1)", takes
        )
    assert refused.value.sqlstate == "SH004"
    facts = json.loads(str(refused.value.as_dict()["detail"]))
    assert facts == {"shot": str(shot), "takes": sorted(map(str, takes))}
    assert await graph.flagged(shot) == []


async def test_the_text_true_counts_since_readers_see_it_so(graph: Graph) -> None:
    shot, (first, second) = await graph.shot(2)
    await graph.flag(first, True)
    await graph.connection.execute(
        'UPDATE assets SET asset_metadata = asset_metadata || \'{"selected": "true"}\' WHERE id = $1', second
    )
    assert (await graph.pointed(shot), await graph.flagged(shot)) == (second, [second])


async def test_a_wish_of_a_take_without_a_shot_counts_when_its_edge_is_created(graph: Graph) -> None:
    shot, (first,) = await graph.shot(1)
    await graph.flag(first, True)
    take = await graph.asset("shot_take", selected=True)
    assert await graph.flagged(shot) == [first]
    await graph.edge("generation_attempt", shot, take)
    assert (await graph.pointed(shot), await graph.flagged(shot)) == (take, [take])
    assert await history(graph, shot) == [(first, None), (take, first)]


async def test_the_pointer_takes_only_takes_of_its_shot(graph: Graph) -> None:
    shot, _ = await graph.shot(1)
    _, (foreign,) = await graph.shot(1)
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="shot_state_selected_fkey"):
        await graph.point(shot, foreign)


async def test_a_selected_take_that_loses_its_shot_is_selected_no_more(graph: Graph) -> None:
    shot, (first, _) = await graph.shot(2)
    await graph.flag(first, True)
    await graph.connection.execute("DELETE FROM asset_relationships WHERE child_asset_id = $1", first)
    assert await graph.pointed(shot) is None
    assert (await graph.metadata(first))["selected"] is False
    assert await history(graph, shot) == [(first, None), (None, first)]


async def test_a_deleted_selected_take_leaves_the_shot_without_selection(graph: Graph) -> None:
    shot, (first, _) = await graph.shot(2)
    await graph.flag(first, True)
    await graph.connection.execute("DELETE FROM assets WHERE id = $1", first)
    assert await graph.pointed(shot) is None
    assert await history(graph, shot) == [(first, None), (None, first)]


async def selects(
    connection: asyncpg.Connection, shots: list[tuple[UUID, list[UUID]]], count: int, seed: int, trouble: list[str]
) -> None:
    """Random selections in each of the ways that exist, and the invariant asked after each."""
    graph, dice = Graph(connection, ""), random.Random(seed)
    for _ in range(count):
        shot, takes = dice.choice(shots)
        chosen = dice.choice(takes)
        way = dice.randrange(4)
        if way == 0:
            await graph.flag(chosen, True)
        elif way == 1:
            await graph.point(shot, chosen)
        elif way == 2:
            await connection.execute(ONE_STATEMENT, chosen, shot)
        else:
            async with connection.transaction():
                await graph.flag(dice.choice(takes), True)
                await graph.flag(chosen, True)
        if len(found := await graph.flagged(shot)) != 1:
            trouble.append(f"{found} after way {way}")
    await connection.execute("SELECT 1")


async def test_eight_connections_never_make_two_selected_takes(shared: Database, graph: Graph) -> None:
    await eight(shared, graph, 40)


@pytest.mark.long
async def test_eight_connections_with_1000_selects_each_never_make_two_selected_takes(
    shared: Database, graph: Graph
) -> None:
    await eight(shared, graph, 1000)


async def eight(database: Database, graph: Graph, count: int) -> None:
    shots = [await graph.shot(4) for _ in range(2)]
    opened = await connections(database, 8)
    trouble: list[str] = []
    await asyncio.gather(*(selects(one, shots, count, seed, trouble) for seed, one in enumerate(opened)))
    await close(opened)
    assert trouble == []
    for shot, _ in shots:
        assert await graph.flagged(shot) == [await graph.pointed(shot)]
        moves = await history(graph, shot)
        assert [previous for _, previous in moves[1:]] == [take for take, _ in moves[:-1]], "history is one chain"


async def test_flags_without_the_database_end_with_two_selected_takes(shared: Database, graph: Graph) -> None:
    """The naive opponent: clear the others, set one, in two transactions at once."""
    await graph.connection.execute("CREATE TABLE naive_takes (id int, metadata jsonb)")
    await graph.connection.execute("INSERT INTO naive_takes VALUES (1, '{}'), (2, '{}')")
    opened = await connections(shared, 2)
    for number, connection in enumerate(opened):
        await connection.execute("BEGIN")
        await connection.execute(
            "UPDATE naive_takes SET metadata = '{\"selected\": false}' WHERE metadata->>'selected' = 'true'"
        )
        await connection.execute("UPDATE naive_takes SET metadata = '{\"selected\": true}' WHERE id = $1", number + 1)
    for connection in opened:
        await connection.execute("COMMIT")
    await close(opened)
    count = await graph.connection.fetchval("SELECT count(*) FROM naive_takes WHERE metadata->>'selected' = 'true'")
    await graph.connection.execute("DROP TABLE naive_takes")
    assert count == 2
