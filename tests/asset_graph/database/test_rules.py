"""R1, R2, R4 and the values of columns: what the database refuses whoever writes."""

import asyncio
import graphlib
import json
import random
from uuid import UUID

import asyncpg
import pytest

from services.asset_graph.domain.rules import ASSET_TYPES, RELATIONSHIP_TYPES, stored_type
from tests.asset_graph.database.graph import NOBODY, Graph, close, connections
from tests.postgres import Database

TYPES = [kind.name for kind in ASSET_TYPES]


async def test_every_pair_of_types_under_every_relationship_type(graph: Graph) -> None:
    """The full matrix, against the table in the domain."""
    allowed, refused = 0, 0
    parents = {kind: await graph.asset(kind) for kind in TYPES}
    children = {kind: await graph.asset(kind) for kind in TYPES}
    for rule in RELATIONSHIP_TYPES:
        for parent_type in TYPES:
            for child_type in TYPES:
                parent, child = parents[parent_type], children[child_type]
                try:
                    edge = await graph.edge(rule.name, parent, child)
                except asyncpg.PostgresError as error:
                    refused += 1
                    said = (error.sqlstate, json.loads(str(error.as_dict()["detail"])))
                else:
                    allowed += 1
                    said = None
                    await graph.connection.execute("DELETE FROM asset_relationships WHERE id = $1", edge)
                facts = {
                    "relationship_type": rule.name,
                    "parent": str(parent),
                    "parent_type": parent_type,
                    "child": str(child),
                    "child_type": child_type,
                }
                assert said == (None if rule.allows(parent_type, child_type) else ("SH001", facts)), facts
    assert (allowed, refused) == (sum(len(list(rule.pairs())) for rule in RELATIONSHIP_TYPES), 11 * 81 - allowed)
    assert allowed == 2 + 2 + 1 + 1 + 1 + 9 + 1 + 1 + 1 + 1 + 9


async def test_one_wrong_edge_among_many_refuses_all(graph: Graph) -> None:
    shot, takes = await graph.shot(0)
    images = await graph.assets("image", 3)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await graph.connection.execute(
            "INSERT INTO asset_relationships (parent_asset_id, child_asset_id, relationship_type)"
            " SELECT $1, child, CASE n WHEN 2 THEN 'uses_audio' ELSE 'uses_asset' END"
            " FROM unnest($2::uuid[]) WITH ORDINALITY t (child, n)",
            *(shot, images),
        )
    assert refused.value.sqlstate == "SH001"
    assert await graph.sequences(shot, "uses_asset") == takes == []


async def test_script_is_stored_as_text(graph: Graph) -> None:
    script = await graph.asset("script")
    assert (
        await graph.connection.fetchval("SELECT type FROM assets WHERE id = $1", script)
        == stored_type("script")
        == "text"
    )


async def test_an_unknown_type_is_refused(graph: Graph) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="assets_type_known"):
        await graph.asset("poem")
    shot, _ = await graph.shot()
    with pytest.raises(asyncpg.PostgresError) as refused:
        await graph.edge("likes", shot, await graph.asset("audio"))
    assert refused.value.sqlstate == "SH001"


@pytest.mark.parametrize("cost", ["NaN", "Infinity", "-Infinity", "-0.01", "1e15"])
async def test_a_cost_that_is_none_is_refused(graph: Graph, cost: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="assets_cost_range"):
        await graph.asset("video", cost=cost)


async def test_nan_passes_a_check_that_only_asks_for_no_less_than_zero(graph: Graph) -> None:
    """The naive opponent: NaN counts as larger than every number."""
    assert await graph.connection.fetchval("SELECT 'NaN'::numeric >= 0")


async def test_costs_are_exact(graph: Graph) -> None:
    for _ in range(10):
        await graph.asset("video", cost="0.1")
    total = await graph.connection.fetchval(
        "SELECT sum(generation_cost)::text FROM assets WHERE workspace_id = $1", graph.workspace
    )
    assert total == "1.0"


@pytest.mark.parametrize("duration", ["NaN", "Infinity", "-1", "1.1e9"])
async def test_a_duration_that_is_none_is_refused(graph: Graph, duration: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="assets_duration_range"):
        await graph.connection.execute(
            "INSERT INTO assets (workspace_id, type, name, duration) VALUES ($1, 'video', 'v', $2)",
            *(graph.workspace, float(duration)),
        )


async def test_a_time_that_no_reader_can_say_is_refused(graph: Graph) -> None:
    for moment in ("infinity", "-infinity", "0044-03-15 BC", "10000-01-01"):
        with pytest.raises(asyncpg.CheckViolationError, match="assets_time_range"):
            await graph.connection.execute(
                "INSERT INTO assets (workspace_id, type, name, created_at)"
                f" VALUES ('{graph.workspace}', 'video', 'v', '{moment}')"
            )


async def test_metadata_is_an_object(graph: Graph) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="assets_metadata_object"):
        await graph.connection.execute(
            "INSERT INTO assets (workspace_id, type, name, asset_metadata) VALUES ($1, 'video', 'v', '[]')",
            graph.workspace,
        )


async def test_a_name_of_a_megabyte_is_kept_and_a_longer_one_refused(graph: Graph) -> None:
    name = "é" * 524288
    asset = await graph.asset("text", name)
    assert await graph.connection.fetchval("SELECT name FROM assets WHERE id = $1", asset) == name
    with pytest.raises(asyncpg.CheckViolationError, match="assets_name_size"):
        await graph.asset("text", name + "x")


@pytest.mark.parametrize(
    "change", ["id = shotline_uuid7()", "workspace_id = 'default'", "type = 'film'", "created_at = now() + '1 s'"]
)
async def test_what_an_asset_is_never_changes(graph: Graph, change: str) -> None:
    asset = await graph.asset("shot")
    with pytest.raises(asyncpg.PostgresError) as refused:
        await graph.connection.execute(f"UPDATE assets SET {change} WHERE id = $1", asset)
    assert refused.value.sqlstate == "SH005"


async def test_what_a_relationship_joins_never_changes(graph: Graph) -> None:
    shot, _ = await graph.shot()
    edge = await graph.edge("uses_audio", shot, await graph.asset("audio"))
    other = await graph.asset("audio")
    for change in (
        f"child_asset_id = '{other}'",
        f"parent_asset_id = '{other}'",
        "relationship_type = 'uses_asset'",
        "workspace_id = 'default'",
        "created_at = now() + '1 s'",
    ):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await graph.connection.execute(f"UPDATE asset_relationships SET {change} WHERE id = $1", edge)
        assert refused.value.sqlstate == "SH005", change


async def test_the_time_of_change_never_goes_backwards(graph: Graph) -> None:
    asset = await graph.asset("shot")
    ahead = await graph.connection.fetchval(
        "INSERT INTO assets (workspace_id, type, name, updated_at) VALUES ($1, 'shot', 's', now() + '1 day')"
        " RETURNING id",
        graph.workspace,
    )
    before = dict(await graph.connection.fetch("SELECT id, updated_at FROM assets WHERE id = ANY ($1)", [asset, ahead]))
    await graph.connection.execute(
        "UPDATE assets SET name = 'n', updated_at = '2000-01-01' WHERE workspace_id = $1", graph.workspace
    )
    after = dict(await graph.connection.fetch("SELECT id, updated_at FROM assets WHERE id = ANY ($1)", [asset, ahead]))
    assert after[asset] > before[asset]
    assert after[ahead] == before[ahead]


async def test_the_etag_is_of_the_content_and_of_nothing_else(graph: Graph) -> None:
    async def etag(**columns: object) -> str:
        names, values = [*columns], [*columns.values()]
        found: str = await graph.connection.fetchval(
            f"INSERT INTO assets (workspace_id, type, {', '.join(names)}) VALUES ($1, 'video',"
            f" {', '.join(f'${n + 2}' for n in range(len(names)))}) RETURNING etag",
            *(graph.workspace, *values),
        )
        return found

    same = await etag(name="a", url="b", duration=1.5, asset_metadata='{"x": 1, "y": 2}')
    assert same == await etag(name="a", url="b", duration=1.5, asset_metadata='{"y": 2, "x": 1}')
    assert len(same) == 32
    others = [
        await etag(name="ab"),
        await etag(name="a", url="b"),
        await etag(name="a", url=""),
        await etag(name="a"),
        await etag(name="a u1 b"),
        await etag(name="a", duration=0.0),
        await etag(name="a", duration=1.5),
        await etag(name="a", asset_metadata='{"x": 1}'),
    ]
    assert len({same, *others}) == 9


async def test_an_edge_to_itself_to_nobody_or_twice_is_refused(graph: Graph) -> None:
    shot, _ = await graph.shot()
    audio = await graph.asset("audio")
    with pytest.raises(asyncpg.CheckViolationError, match="asset_relationships_self"):
        await graph.edge("variant_of", shot, shot)
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="asset_relationships_child_fkey"):
        await graph.edge("uses_audio", shot, NOBODY)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await graph.edge("uses_audio", NOBODY, audio)
    assert refused.value.sqlstate == "SH006"
    await graph.edge("uses_audio", shot, audio)
    with pytest.raises(asyncpg.UniqueViolationError, match="asset_relationships_once"):
        await graph.edge("uses_audio", shot, audio)


# R4


async def test_ordered_children_are_numbered_on_and_on(graph: Graph) -> None:
    shot, _ = await graph.shot()
    for _ in range(3):
        await graph.edge("uses_audio", shot, await graph.asset("audio"))
    await graph.edge("uses_audio", shot, await graph.asset("audio"), 10)
    await graph.edge("uses_audio", shot, await graph.asset("audio"))
    assert await graph.sequences(shot, "uses_audio") == [1, 2, 3, 10, 11]


async def test_unordered_children_get_no_number_and_keep_one_that_is_given(graph: Graph) -> None:
    shot, _ = await graph.shot()
    await graph.edge("uses_character", shot, await graph.asset("character_ref"))
    await graph.edge("uses_character", shot, await graph.asset("character_ref"), 4)
    await graph.edge("uses_character", shot, await graph.asset("character_ref"))
    assert await graph.sequences(shot, "uses_character") == [4, None, None]


async def test_a_place_is_taken_once(graph: Graph) -> None:
    shot, _ = await graph.shot()
    await graph.edge("uses_audio", shot, await graph.asset("audio"), 1)
    with pytest.raises(asyncpg.UniqueViolationError, match="asset_relationships_place"):
        await graph.edge("uses_audio", shot, await graph.asset("audio"), 1)
    with pytest.raises(asyncpg.CheckViolationError, match="asset_relationships_sequence_range"):
        await graph.edge("uses_audio", shot, await graph.asset("audio"), 0)


async def test_a_move_is_one_statement_in_whatever_order_it_meets_the_rows(graph: Graph) -> None:
    film = await graph.asset("film")
    edges = [await graph.edge("contains_shot", film, shot) for shot in await graph.assets("shot", 9)]
    for source, target in [(9, 2), (1, 9), (5, 4), (2, 8)]:
        await graph.connection.execute(
            "UPDATE asset_relationships SET sequence = CASE WHEN sequence = $2::int THEN $3::int"
            " ELSE sequence + CASE WHEN $2::int < $3::int THEN -1 ELSE 1 END END"
            " WHERE parent_asset_id = $1 AND sequence BETWEEN least($2::int, $3::int) AND greatest($2::int, $3::int)",
            *(film, source, target),
        )
        edges.insert(target - 1, edges.pop(source - 1))
        rows = await graph.connection.fetch(
            "SELECT id FROM asset_relationships WHERE parent_asset_id = $1 ORDER BY sequence", film
        )
        assert [row["id"] for row in rows] == edges


async def test_an_ordered_child_that_loses_its_number_goes_to_the_end(graph: Graph) -> None:
    shot, _ = await graph.shot()
    first = await graph.edge("uses_audio", shot, await graph.asset("audio"))
    await graph.edge("uses_audio", shot, await graph.asset("audio"))
    await graph.connection.execute("UPDATE asset_relationships SET sequence = NULL WHERE id = $1", first)
    assert await graph.sequences(shot, "uses_audio") == [2, 3]


async def test_eight_connections_number_the_children_of_one_film(shared: Database, graph: Graph) -> None:
    film = await graph.asset("film")
    shots = await graph.assets("shot", 160)
    opened = await connections(shared, 8)

    async def link(connection: asyncpg.Connection, part: list[UUID]) -> None:
        for shot in part:
            await Graph(connection, "").edge("contains_shot", film, shot)

    await asyncio.gather(*(link(one, shots[number::8]) for number, one in enumerate(opened)))
    await close(opened)
    assert await graph.sequences(film, "contains_shot") == list(range(1, 161))


# R2


@pytest.mark.parametrize("kind", ["contains_scene", "derived_from", "variant_of"])
async def test_a_cycle_is_refused_with_its_path(graph: Graph, kind: str) -> None:
    one, two, three, four = await graph.assets("scene" if kind == "contains_scene" else "video", 4)
    await graph.edge(kind, one, two)
    await graph.edge(kind, two, three)
    await graph.edge(kind, two, four)
    await graph.edge(kind, four, three)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await graph.edge(kind, three, one)
    assert refused.value.sqlstate == "SH002"
    facts = json.loads(str(refused.value.as_dict()["detail"]))
    assert facts["path"] == [str(id) for id in (three, one, two, three)]


async def test_a_cycle_of_one_statement_is_refused(graph: Graph) -> None:
    videos = await graph.assets("video", 5)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await graph.connection.execute(
            "INSERT INTO asset_relationships (parent_asset_id, child_asset_id, relationship_type)"
            " SELECT ($1::uuid[])[n], ($1::uuid[])[1 + n % 5], 'derived_from' FROM generate_series(1, 5) n",
            videos,
        )
    assert refused.value.sqlstate == "SH002"
    assert len(json.loads(str(refused.value.as_dict()["detail"]))["path"]) == 6


async def test_families_do_not_mix(graph: Graph) -> None:
    """An edit may be derived from a video that is called a variant of it."""
    one, two = await graph.assets("video", 2)
    await graph.edge("derived_from", one, two)
    await graph.edge("variant_of", two, one)


async def random_edges(connection: asyncpg.Connection, videos: list[UUID], count: int, seed: int) -> tuple[int, int]:
    graph, dice = Graph(connection, ""), random.Random(seed)
    made = cycles = 0
    for _ in range(count):
        kind = dice.choice(["derived_from", "variant_of"])
        try:
            await graph.edge(kind, *dice.sample(videos, 2))
            made += 1
        except asyncpg.UniqueViolationError:
            pass
        except asyncpg.PostgresError as error:
            if error.sqlstate != "SH002":
                raise
            cycles += 1
    return made, cycles


async def test_eight_connections_with_random_edges_close_no_cycle(shared: Database, graph: Graph) -> None:
    await eight(shared, graph, videos=20, count=40)


@pytest.mark.long
async def test_eight_connections_with_1000_random_edges_each_close_no_cycle(shared: Database, graph: Graph) -> None:
    await eight(shared, graph, videos=120, count=1000)


async def eight(database: Database, graph: Graph, *, videos: int, count: int) -> None:
    ids = await graph.assets("video", videos)
    opened = await connections(database, 8)
    done = await asyncio.gather(*(random_edges(one, ids, count, seed) for seed, one in enumerate(opened)))
    await close(opened)
    assert sum(made for made, _ in done) > videos
    assert sum(cycles for _, cycles in done) > videos
    for kind in ("derived_from", "variant_of"):
        sorter: graphlib.TopologicalSorter[UUID] = graphlib.TopologicalSorter()
        for row in await graph.connection.fetch(
            "SELECT parent_asset_id, child_asset_id FROM asset_relationships"
            " WHERE workspace_id = $1 AND relationship_type = $2",
            *(graph.workspace, kind),
        ):
            sorter.add(*row)
        sorter.prepare()  # CycleError


async def test_two_at_once_close_a_cycle_when_each_only_looks(shared: Database, graph: Graph) -> None:
    """The naive opponent: a look before the insert, without the lock."""
    await graph.connection.execute("CREATE TABLE naive_edges (parent int, child int)")
    opened = await connections(shared, 2)
    for connection, (parent, child) in zip(opened, [(1, 2), (2, 1)], strict=True):
        await connection.execute("BEGIN")
        await connection.execute(
            f"INSERT INTO naive_edges SELECT {parent}, {child} WHERE NOT EXISTS"
            f" (SELECT FROM naive_edges WHERE parent = {child} AND child = {parent})"
        )
    for connection in opened:
        await connection.execute("COMMIT")
    await close(opened)
    assert await graph.connection.fetchval("SELECT count(*) FROM naive_edges") == 2
    await graph.connection.execute("DROP TABLE naive_edges")
