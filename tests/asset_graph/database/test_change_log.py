"""The log that watches read: one revision for each transaction, in the order of commits, without gaps."""

import asyncio
import json
import random

import asyncpg

from tests.asset_graph.database.graph import Graph, close, connections
from tests.postgres import Database


async def test_a_transaction_is_one_revision_and_a_statement_one_row(graph: Graph) -> None:
    assert await graph.revision() == 0
    async with graph.connection.transaction():
        shot = await graph.asset("shot", "Entrance")
        await graph.assets("audio", 3)
        await graph.connection.execute("UPDATE assets SET name = 'Exit' WHERE id = $1", shot)
    await graph.asset("film")
    log = await graph.changes()
    assert [(revision, entity, kind, len(items)) for revision, entity, kind, items in log] == [
        (1, "asset", "created", 1),
        (1, "asset", "created", 3),
        (1, "asset", "updated", 1),
        (2, "asset", "created", 1),
    ]
    etag = await graph.connection.fetchval("SELECT etag FROM assets WHERE id = $1", shot)
    assert log[2][3] == [{"id": str(shot), "type": "shot", "name": "Exit", "etag": etag}]
    assert await graph.revision() == 2


async def test_every_kind_of_change_is_told(graph: Graph) -> None:
    shot, audio = await graph.asset("shot"), await graph.asset("audio")
    edge = await graph.edge("uses_audio", shot, audio)
    since = await graph.revision()
    await graph.connection.execute("UPDATE asset_relationships SET sequence = 5 WHERE id = $1", edge)
    await graph.connection.execute("UPDATE asset_relationships SET metadata = '{\"gain\": 1}' WHERE id = $1", edge)
    await graph.connection.execute("DELETE FROM asset_relationships WHERE id = $1", edge)
    await graph.connection.execute("DELETE FROM assets WHERE id = $1", audio)
    log = await graph.changes(since)
    item = {"id": str(edge), "parent": str(shot), "child": str(audio), "type": "uses_audio", "sequence": 5}
    assert [(entity, kind) for _, entity, kind, _ in log] == [
        ("relationship", "moved"),
        ("relationship", "updated"),
        ("relationship", "deleted"),
        ("asset", "deleted"),
    ]
    assert [items for _, _, _, items in log[:3]] == [[item]] * 3


async def test_what_changes_nothing_is_not_told(graph: Graph) -> None:
    shot = await graph.asset("shot")
    edge = await graph.edge("uses_audio", shot, await graph.asset("audio"))
    since = await graph.revision()
    await graph.connection.execute("UPDATE assets SET name = name WHERE id = $1", shot)
    await graph.connection.execute("UPDATE asset_relationships SET sequence = sequence WHERE id = $1", edge)
    await graph.connection.execute("DELETE FROM assets WHERE id = shotline_uuid7()")
    assert await graph.revision() == since
    assert await graph.changes(since) == []


async def test_a_rolled_back_change_leaves_no_gap(graph: Graph) -> None:
    await graph.asset("shot")
    transaction = graph.connection.transaction()
    await transaction.start()
    await graph.asset("shot")
    await transaction.rollback()
    async with graph.connection.transaction():
        inner = graph.connection.transaction()
        await inner.start()
        await graph.asset("shot")
        await inner.rollback()
        await graph.asset("film")
    assert [(revision, items[0]["type"]) for revision, _, _, items in await graph.changes()] == [
        (1, "shot"),
        (2, "film"),
    ]


async def test_a_large_statement_is_told_in_parts(graph: Graph) -> None:
    ids = await graph.assets("audio", 2500)
    log = await graph.changes()
    assert [(revision, len(items)) for revision, _, _, items in log] == [(1, 1000), (1, 1000), (1, 500)]
    assert {item["id"] for _, _, _, items in log for item in items} == set(map(str, ids))


async def test_a_long_name_is_told_shortened(graph: Graph) -> None:
    await graph.asset("text", "é" * 100_000)
    ((_, _, _, items),) = await graph.changes()
    assert items[0]["name"] == "é" * 200


async def test_each_workspace_counts_for_itself(graph: Graph) -> None:
    other = Graph(graph.connection, f"{graph.workspace}-2")
    await graph.connection.execute("INSERT INTO workspaces (id) VALUES ($1)", other.workspace)
    await graph.asset("shot")
    async with graph.connection.transaction():
        mine, theirs = await graph.asset("shot"), await other.asset("shot")
        await graph.connection.execute("UPDATE assets SET name = 'x' WHERE id = ANY ($1)", [mine, theirs])
    assert [revision for revision, _, _, _ in await graph.changes()] == [1, 2, 2]
    assert [revision for revision, _, _, _ in await other.changes()] == [1, 1]


async def test_who_did_it_is_kept(graph: Graph) -> None:
    async with graph.connection.transaction():
        await graph.connection.execute(
            "SELECT set_config('shotline.actor', 'ann', true), set_config('shotline.client', 'editor', true),"
            " set_config('shotline.request_id', '0195a1c2-7e00-7000-8000-000000000000', true)"
        )
        await graph.asset("shot")
    await graph.asset("shot")
    rows = await graph.connection.fetch(
        "SELECT actor, client, request_id::text FROM change_log WHERE workspace_id = $1 ORDER BY revision",
        graph.workspace,
    )
    operator = await graph.connection.fetchval("SELECT session_user::text")
    assert [tuple(row) for row in rows] == [
        ("ann", "editor", "0195a1c2-7e00-7000-8000-000000000000"),
        (operator, "", None),
    ]


async def test_a_change_is_notified_once_with_its_workspace(shared: Database, graph: Graph) -> None:
    (listener,) = await connections(shared, 1)
    heard: asyncio.Queue[str] = asyncio.Queue()
    await listener.add_listener("shotline_changes", lambda *told: heard.put_nowait(str(told[3])))
    async with graph.connection.transaction():
        await graph.asset("shot")
        await graph.assets("audio", 2)
    assert await asyncio.wait_for(heard.get(), 5) == graph.workspace
    await graph.connection.execute("NOTIFY shotline_changes, 'the end'")
    assert await asyncio.wait_for(heard.get(), 5) == "the end"
    await close([listener])


async def writer(connection: asyncpg.Connection, workspace: str, count: int, seed: int) -> None:
    graph, dice = Graph(connection, workspace), random.Random(seed)
    for _ in range(count):
        transaction = connection.transaction()
        await transaction.start()
        for _ in range(dice.randint(1, 3)):
            await graph.asset("shot")
        if dice.random() < 0.2:
            await transaction.rollback()
        else:
            await transaction.commit()


async def watcher(connection: asyncpg.Connection, workspace: str, done: asyncio.Event) -> list[int]:
    """What a watch does: ask for what is behind the last revision seen."""
    seen: list[int] = []
    last = False
    while not last:
        last = done.is_set()
        rows = await connection.fetch(
            "SELECT DISTINCT revision FROM change_log WHERE workspace_id = $1 AND revision > $2 ORDER BY 1",
            *(workspace, seen[-1] if seen else 0),
        )
        seen += [row["revision"] for row in rows]
    return seen


async def test_eight_writers_commit_in_the_order_of_revisions(shared: Database, graph: Graph) -> None:
    """Whoever reads while they write never finds a revision behind which an earlier one appears later."""
    opened = await connections(shared, 9)
    done = asyncio.Event()
    reading = asyncio.create_task(watcher(opened[8], graph.workspace, done))
    await asyncio.gather(*(writer(one, graph.workspace, 40, seed) for seed, one in enumerate(opened[:8])))
    done.set()
    seen = await reading
    await close(opened)
    assert seen == list(range(1, await graph.revision() + 1))
    assert len(seen) > 200
    times = await graph.connection.fetch(
        "SELECT created_at FROM change_log WHERE workspace_id = $1 ORDER BY revision, ordinal", graph.workspace
    )
    assert [row["created_at"] for row in times] == sorted(row["created_at"] for row in times)


async def test_who_prunes_waits_for_nobody(shared: Database, graph: Graph) -> None:
    (busy,) = await connections(shared, 1)
    await graph.asset("shot")
    await busy.execute("BEGIN")
    await busy.execute("SELECT FROM workspaces WHERE id = $1 FOR NO KEY UPDATE", graph.workspace)
    await asyncio.wait_for(graph.connection.execute("SELECT shotline_prune('0')"), 5)
    assert len(await graph.changes()) == 1
    await busy.execute("COMMIT")
    await graph.connection.execute("SELECT shotline_prune('0')")
    assert await graph.changes() == []
    await close([busy])


async def test_a_sequence_of_the_database_becomes_visible_out_of_order(shared: Database, graph: Graph) -> None:
    """The naive opponent: whoever reads between the two commits never sees the first row."""
    await graph.connection.execute("CREATE TABLE naive_log (revision bigserial)")
    first, second = await connections(shared, 2)
    await first.execute("BEGIN")
    await first.execute("INSERT INTO naive_log DEFAULT VALUES")
    await second.execute("INSERT INTO naive_log DEFAULT VALUES")
    seen = await graph.connection.fetchval("SELECT max(revision) FROM naive_log")
    await first.execute("COMMIT")
    await close([first, second])
    missed = await graph.connection.fetchval("SELECT count(*) FROM naive_log WHERE revision < $1", seen)
    await graph.connection.execute("DROP TABLE naive_log")
    assert (seen, missed) == (2, 1)


async def test_old_revisions_are_dropped_as_a_whole(graph: Graph) -> None:
    for _ in range(3):
        async with graph.connection.transaction():
            await graph.asset("shot")
            await graph.asset("audio")
    await graph.connection.execute(
        "INSERT INTO request_log (workspace_id, request_id, digest, answer, created_at)"
        " SELECT $1, shotline_uuid7(), '', '', now() - n * interval '1 hour' FROM generate_series(1, 3) n",
        graph.workspace,
    )
    await graph.connection.execute(
        "UPDATE change_log SET created_at = created_at - interval '1 day' WHERE workspace_id = $1 AND (revision = 1"
        " OR revision = 2 AND ordinal ="
        " (SELECT min(ordinal) FROM change_log WHERE workspace_id = $1 AND revision = 2))",
        graph.workspace,
    )
    await graph.connection.execute("SELECT shotline_prune('150 minutes')")
    assert [revision for revision, _, _, _ in await graph.changes()] == [2, 2, 3, 3]
    oldest = await graph.connection.fetchval("SELECT oldest_revision FROM workspaces WHERE id = $1", graph.workspace)
    assert oldest == 2
    kept = await graph.connection.fetchval("SELECT count(*) FROM request_log WHERE workspace_id = $1", graph.workspace)
    assert kept == 2
    await graph.connection.execute("SELECT shotline_prune('0')")
    assert await graph.changes() == []
    assert (
        json.dumps(
            await graph.connection.fetchval("SELECT oldest_revision FROM workspaces WHERE id = $1", graph.workspace)
        )
        == "4"
    )
