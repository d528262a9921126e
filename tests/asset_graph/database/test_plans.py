"""Reads of the servers' role find their index: row-level security stands in the way of none."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from tests.asset_graph.database.graph import Graph
from tests.postgres import Database, Server

WORKSPACES, SHOTS, AUDIOS = 4, 200, 5
ASSETS = """
INSERT INTO assets (workspace_id, type, name, created_at)
    SELECT 'plans' || w, CASE WHEN n <= $2::int THEN 'shot' ELSE 'audio' END, 'name ' || n, now() - n * interval '1 min'
    FROM generate_series(1, $1::int) w, generate_series(1, $2::int * ($3::int + 1)) n ORDER BY n, w
"""
EDGES = """
INSERT INTO asset_relationships (parent_asset_id, child_asset_id, relationship_type)
    SELECT s.id, a.id, 'uses_audio' FROM assets a
    JOIN assets s ON s.workspace_id = a.workspace_id
        AND s.name = 'name ' || ((substr(a.name, 6)::int - 1) % $1::int + 1)
    WHERE a.type = 'audio' AND s.type = 'shot'
"""
READS = {
    "SELECT * FROM assets WHERE id = $shot": {"assets_pkey"},
    "SELECT * FROM assets_v2 WHERE id = $shot": {"assets_pkey"},
    "SELECT * FROM assets WHERE id = ANY (ARRAY[$shot, $audio])": {"assets_pkey"},
    "SELECT a.*, r.sequence FROM asset_relationships r JOIN assets a ON a.id = r.child_asset_id"
    " AND a.workspace_id = r.workspace_id WHERE r.parent_asset_id = $shot AND r.relationship_type = 'uses_audio'"
    " ORDER BY r.sequence": {"asset_relationships_place", "assets_pkey"},
    "SELECT a.* FROM asset_relationships r JOIN assets a ON a.id = r.parent_asset_id"
    " AND a.workspace_id = r.workspace_id WHERE r.child_asset_id = $audio AND r.relationship_type = 'uses_audio'"
    " ORDER BY r.id LIMIT 50": {
        "asset_relationships_by_child",
        "assets_pkey",
    },
    "SELECT * FROM assets WHERE workspace_id = 'plans2' AND type = 'shot' AND (created_at, id) > ('2000-01-01', $shot)"
    " ORDER BY created_at, id LIMIT 50": {"assets_by_type_and_time"},
    "SELECT * FROM assets WHERE workspace_id = 'plans2' ORDER BY created_at DESC, id DESC LIMIT 50": {"assets_by_time"},
    "SELECT * FROM assets WHERE workspace_id = 'plans2' AND type = 'shot'"
    " AND name_key >= 'name 19' AND name_key < 'name 1:'"
    " ORDER BY name_key, id LIMIT 50": {"assets_by_type_and_name"},
    "SELECT * FROM assets WHERE workspace_id = 'plans2' AND name_key >= 'name 19' AND name_key < 'name 1:'"
    " ORDER BY name_key, id LIMIT 50": {"assets_by_name"},
}
# Of tables that have few rows here, so that only the question whether the index can be used makes sense.
SMALL = {
    "SELECT * FROM change_log WHERE workspace_id = 'plans2' AND revision > 1 ORDER BY revision, ordinal": (
        "change_log_pkey"
    ),
    "SELECT * FROM shot_state WHERE shot_id = gen_random_uuid()": "shot_state_pkey",
    "SELECT * FROM deleted_assets WHERE workspace_id = 'plans2' ORDER BY deleted_at DESC, id DESC LIMIT 9": (
        "deleted_assets_by_time"
    ),
    "SELECT * FROM deleted_asset_relationships WHERE parent_asset_id = gen_random_uuid()": (
        "deleted_asset_relationships_by_parent"
    ),
}


@pytest.fixture(scope="module")
def filled(embedded_postgres: Server) -> Iterator[Database]:
    with embedded_postgres.database(embedded_postgres.asset_graph_template()) as database:
        yield database


@pytest.fixture
async def reader(filled: Database) -> AsyncIterator[asyncpg.Connection]:
    """The servers' role over some thousand assets in four workspaces, acting for one."""
    operator = await asyncpg.connect(filled.operator_url)
    if not await operator.fetchval("SELECT EXISTS (SELECT FROM assets)"):
        await operator.execute(
            "INSERT INTO workspaces (id) SELECT 'plans' || n FROM generate_series(1, $1::int) n", WORKSPACES
        )
        await operator.execute(ASSETS, WORKSPACES, SHOTS, AUDIOS)
        await operator.execute("ANALYZE")
        await operator.execute(EDGES, SHOTS)
        await operator.execute("ANALYZE")
    await operator.close()
    connection = await asyncpg.connect(filled.app_url)
    await connection.execute("SELECT set_config('shotline.workspaces', '{plans2}', false)")
    yield connection
    await connection.close()


async def plan(connection: asyncpg.Connection, statement: str) -> list[dict[str, object]]:
    """The nodes of a plan."""
    found: list[dict[str, object]] = []

    def collect(node: dict[str, object]) -> None:
        found.append(node)
        for child in node.get("Plans", []):  # type: ignore[attr-defined]
            collect(child)

    collect(json.loads(await connection.fetchval(f"EXPLAIN (FORMAT json) {statement}"))[0]["Plan"])
    return found


@pytest.mark.parametrize("statement", READS)
async def test_a_read_finds_its_index(reader: asyncpg.Connection, statement: str) -> None:
    text = statement
    for kind in ("shot", "audio"):
        found = await reader.fetchval("SELECT id FROM assets WHERE type = $1 LIMIT 1", kind)
        text = text.replace(f"${kind}", f"'{found}'::uuid")
    nodes = await plan(reader, text)
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}, nodes
    assert {node["Index Name"] for node in nodes if "Index Name" in node} == READS[statement], nodes
    assert not [node for node in nodes if "current_setting" in str(node.get("Filter"))], "asked once, not for each row"


@pytest.mark.parametrize("statement", SMALL)
async def test_a_read_can_use_its_index(reader: asyncpg.Connection, statement: str) -> None:
    await reader.execute("SET enable_seqscan = off")
    nodes = await plan(reader, statement.replace("gen_random_uuid()", "'0195a1c2-7e00-7000-8000-000000000000'"))
    assert [node["Index Name"] for node in nodes if "Index Cond" in node] == [SMALL[statement]], nodes


async def test_like_finds_none(reader: asyncpg.Connection) -> None:
    """The naive opponent of the range of names: a function that might tell what it is shown is asked last."""
    nodes = await plan(reader, "SELECT * FROM assets WHERE workspace_id = 'plans2' AND name_key LIKE 'name 19%'")
    assert not [node for node in nodes if "name_key" in str(node.get("Index Cond"))]


async def test_a_foreign_key_looks_an_asset_up_by_its_primary_key(embedded_database: Database) -> None:
    """As foreign keys ask, and with the plan that they keep: with three rows every index seems equally good."""
    connection = await asyncpg.connect(embedded_database.operator_url)
    await Graph(connection, "default").assets("shot", 3)
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(
        "PREPARE lookup (uuid, text) AS"
        " SELECT 1 FROM ONLY assets x WHERE id = $1 AND workspace_id = $2 FOR KEY SHARE OF x"
    )
    nodes = await plan(connection, "EXECUTE lookup (gen_random_uuid(), 'default')")
    await connection.close()
    assert [node["Index Name"] for node in nodes if "Index Name" in node] == ["assets_pkey"]


async def test_plans_made_while_the_tables_were_empty_serve_many_rows(embedded_database: Database) -> None:
    """Triggers and foreign keys keep their plans; none may be one that goes through a workspace for each row."""
    connection = await asyncpg.connect(embedded_database.operator_url)
    graph = Graph(connection, "default")
    for count in (*[1] * 10, 2000):
        film, shots = await graph.asset("film"), [await graph.asset("shot")]
        async with connection.transaction():
            shots += await graph.assets("shot", count)
            await connection.execute(
                "INSERT INTO asset_relationships (parent_asset_id, child_asset_id, relationship_type)"
                " SELECT $1, shot, 'contains_shot' FROM unnest($2::uuid[]) shot",
                *(film, shots),
            )
            read = await connection.fetchval(
                "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables WHERE relname IN"
                " ('assets', 'asset_relationships', 'relationship_rules', 'relationship_types', 'asset_types')"
            )
    await connection.close()
    assert read < 12 * len(shots), f"{read} rows read for {len(shots)} edges"


async def test_triggers_put_no_rows_together_to_throw_them_away(embedded_database: Database) -> None:
    """The same for takes and selections, by what the server itself says of its work."""
    connection = await asyncpg.connect(embedded_database.operator_url)
    graph = Graph(connection, "default")
    _, takes = await graph.shot(6)
    for take in takes:
        await graph.flag(take, True)
    shots, takes = await graph.assets("shot", 300), await graph.assets("shot_take", 600)
    said: list[str] = []
    connection.add_log_listener(lambda _, message: said.append(str(message)))
    await connection.execute(
        "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_analyze = on;"
        "SET auto_explain.log_timing = off; SET auto_explain.log_nested_statements = on; SET client_min_messages = log"
    )
    await connection.execute(
        "INSERT INTO asset_relationships (parent_asset_id, child_asset_id, relationship_type)"
        " SELECT ($1::uuid[])[1 + n / 2], take, 'generation_attempt'"
        " FROM unnest($2::uuid[]) WITH ORDINALITY t (take, n) WHERE n < 600",
        *(shots, takes),
    )
    for chosen in (takes[0::2], takes[1:-1:2]):
        await connection.execute(
            "UPDATE assets SET asset_metadata = asset_metadata || '{\"selected\": true}' WHERE id = ANY ($1)", chosen
        )
    async with connection.transaction():
        counted = "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables"
        before = await connection.fetchval(counted)
        await graph.flag(takes[0], True)
        read = await connection.fetchval(counted) - before
    await connection.execute("DELETE FROM assets WHERE id = ANY ($1)", shots)
    await asyncio.sleep(0.1)
    await connection.close()
    assert read < 60, f"{read} rows read for one selection"
    counts = [re.findall(r"Rows Removed by (?:Join )?Filter: (\d+)", text) for text in said]
    removed = sum(int(count) for found in counts for count in found)
    assert len([text for text in said if "shot_state" in text]) > 8
    assert removed < 10 * len(takes), f"{removed} rows thrown away for {len(takes)} takes"
