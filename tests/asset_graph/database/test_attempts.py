"""T2: the numbers of a shot's takes, given by the database itself to whoever inserts an edge."""

import asyncio
import json
from uuid import UUID

import asyncpg
import pytest

from tests.asset_graph.database.graph import Graph, close, connections
from tests.postgres import Database


async def test_takes_are_numbered_from_1_and_know_their_number(graph: Graph) -> None:
    shot, takes = await graph.shot(3)
    assert await graph.sequences(shot, "generation_attempt") == [1, 2, 3]
    assert [(await graph.metadata(take))["attempt_number"] for take in takes] == [1, 2, 3]


async def test_the_number_in_the_metadata_is_the_number(graph: Graph) -> None:
    shot, _ = await graph.shot(1)
    await graph.edge("generation_attempt", shot, await graph.asset("shot_take", attempt_number=7))
    await graph.edge("generation_attempt", shot, await graph.asset("shot_take"))
    assert await graph.sequences(shot, "generation_attempt") == [1, 7, 8]


async def test_several_takes_of_one_statement_are_numbered_one_by_one(graph: Graph) -> None:
    shots = [await graph.asset("shot") for _ in range(3)]
    takes = await graph.assets("shot_take", 30)
    await graph.connection.execute(
        "INSERT INTO asset_relationships (parent_asset_id, child_asset_id, relationship_type)"
        " SELECT ($1::uuid[])[1 + n % 3], ($2::uuid[])[n], 'generation_attempt' FROM generate_series(1, 30) n",
        *(shots, takes),
    )
    for shot in shots:
        assert await graph.sequences(shot, "generation_attempt") == list(range(1, 11))


async def test_a_number_that_is_none_is_refused(graph: Graph) -> None:
    shot, _ = await graph.shot()
    for number in ("2", 0, -1, 2.5, 10**12, True, [1]):
        take = await graph.asset("shot_take", attempt_number=number)
        with pytest.raises(asyncpg.PostgresError) as refused:
            await graph.edge("generation_attempt", shot, take)
        assert refused.value.sqlstate == "SH003", number


async def test_a_mismatch_is_refused_from_either_side(graph: Graph) -> None:
    shot, (first,) = await graph.shot(1)
    take = await graph.asset("shot_take", attempt_number=2)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await graph.edge("generation_attempt", shot, take, 3)
    assert refused.value.sqlstate == "SH003"
    assert json.loads(str(refused.value.as_dict()["detail"])) == {
        "shot": str(shot),
        "take": str(take),
        "sequence": 3,
        "attempt_number": 2,
    }
    with pytest.raises(asyncpg.PostgresError) as refused:
        await graph.connection.execute(
            "UPDATE assets SET asset_metadata = '{\"attempt_number\": 5}' WHERE id = $1", first
        )
    assert refused.value.sqlstate == "SH003"


async def test_a_number_that_is_taken_is_refused(graph: Graph) -> None:
    shot, _ = await graph.shot(2)
    with pytest.raises(asyncpg.UniqueViolationError, match="asset_relationships_place"):
        await graph.edge("generation_attempt", shot, await graph.asset("shot_take"), 2)


async def test_metadata_that_is_replaced_as_a_whole_keeps_the_number(graph: Graph) -> None:
    _, (_, second) = await graph.shot(2)
    await graph.connection.execute(
        "UPDATE assets SET asset_metadata = '{\"quality_score\": 9.5}' WHERE id = $1", second
    )
    assert await graph.metadata(second) == {"quality_score": 9.5, "attempt_number": 2}


async def test_the_number_of_a_deleted_take_is_not_used_again(graph: Graph) -> None:
    shot, takes = await graph.shot(3)
    await graph.connection.execute("DELETE FROM assets WHERE id = $1", takes[2])
    await graph.edge("generation_attempt", shot, await graph.asset("shot_take"))
    assert await graph.sequences(shot, "generation_attempt") == [1, 2, 4]


async def test_the_number_of_an_attempt_never_changes(graph: Graph) -> None:
    shot, _ = await graph.shot(2)
    for value in ("sequence + 5", "NULL"):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await graph.connection.execute(
                f"UPDATE asset_relationships SET sequence = {value} WHERE parent_asset_id = $1", shot
            )
        assert refused.value.sqlstate == "SH005"


async def test_a_take_has_one_shot(graph: Graph) -> None:
    _, (take,) = await graph.shot(1)
    other, _ = await graph.shot(0)
    with pytest.raises(asyncpg.UniqueViolationError, match="asset_relationships_one_parent_generation_attempt"):
        await graph.edge("generation_attempt", other, take)


async def test_a_take_has_one_video_and_a_video_one_take(graph: Graph) -> None:
    _, (first, second) = await graph.shot(2)
    one, two = await graph.asset("video"), await graph.asset("video")
    await graph.edge("generated_video", first, one)
    with pytest.raises(asyncpg.UniqueViolationError, match="one_child_generated_video"):
        await graph.edge("generated_video", first, two)
    with pytest.raises(asyncpg.UniqueViolationError, match="one_parent_generated_video"):
        await graph.edge("generated_video", second, one)


async def create(connection: asyncpg.Connection, workspace: str, shots: list[UUID], count: int) -> None:
    graph = Graph(connection, workspace)
    for number in range(count):
        await graph.edge("generation_attempt", shots[number % len(shots)], await graph.asset("shot_take"))


async def test_eight_creators_give_unique_numbers_without_gaps(shared: Database, graph: Graph) -> None:
    await eight(shared, graph, 12)


@pytest.mark.long
async def test_eight_creators_of_200_takes_give_unique_numbers_without_gaps(shared: Database, graph: Graph) -> None:
    await eight(shared, graph, 200)


async def eight(database: Database, graph: Graph, count: int) -> None:
    shots = [await graph.asset("shot") for _ in range(2)]
    opened = await connections(database, 8)
    await asyncio.gather(*(create(one, graph.workspace, shots, count) for one in opened))
    await close(opened)
    for shot in shots:
        assert await graph.sequences(shot, "generation_attempt") == list(range(1, 4 * count + 1))
    last = await graph.connection.fetch("SELECT last_attempt_number FROM shot_state WHERE shot_id = ANY ($1)", shots)
    assert [row["last_attempt_number"] for row in last] == [4 * count] * 2


async def test_the_highest_number_and_one_is_not_enough_without_the_lock(shared: Database, graph: Graph) -> None:
    """The naive opponent: two at once read the same highest number."""
    await graph.connection.execute("CREATE TABLE naive_attempts (number int)")
    opened = await connections(shared, 2)
    for connection in opened:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO naive_attempts SELECT 1 + coalesce(max(number), 0) FROM naive_attempts")
    for connection in opened:
        await connection.execute("COMMIT")
    await close(opened)
    assert await graph.connection.fetchval("SELECT array_agg(number) FROM naive_attempts") == [1, 1]
    await graph.connection.execute("DROP TABLE naive_attempts")
