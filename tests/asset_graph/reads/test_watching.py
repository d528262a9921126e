"""Watching a workspace: whatever cuts the stream, who goes on has every revision once and in order."""

import asyncio
import time
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from typing import Any

import asyncpg
import grpc
import grpc.aio
import pytest
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from services.asset_graph.storage import retention
from services.kernel.faults import Code, Fault
from services.runtime.status import from_rpc_error
from tests.asset_graph.reads.films import film_of
from tests.asset_graph.reads.serving import Serving, serving
from tests.asset_graph.reads.watched import begun
from tests.postgres import HASTY, Database, running


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.asset_graph.reads.watched"])
    return context


async def changes_of(stream: Any, number: int) -> list[pb.GraphChange]:
    """The next so many changes."""
    changes: list[pb.GraphChange] = []
    while len(changes) < number:
        message = await asyncio.wait_for(stream.read(), 10)
        if message.HasField("change"):
            changes.append(message.change)
    return changes


async def ending(stream: Any) -> tuple[list[pb.GraphChange], Fault]:
    """The changes that still come, and what ends the stream."""
    changes: list[pb.GraphChange] = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        while message := await asyncio.wait_for(stream.read(), 10):
            if message.HasField("change"):
                changes.append(message.change)
    return changes, from_rpc_error(caught.value)


async def test_the_first_message_says_where_the_watch_is_and_one_now_and_then(server: Serving) -> None:
    await server.client.CreateAsset(workspace_id="a", type="film", name="x")
    stream = server.client.watch(workspace_id="a", progress_seconds=0.1)
    assert (await stream.read()).progress.revision == 1
    began = time.monotonic()
    assert (await stream.read()).progress.revision == 1
    assert (await stream.read()).progress.revision == 1
    assert 0.15 < time.monotonic() - began < 5
    stream.cancel()


async def test_a_change_says_what_who_and_by_which_request(server: Serving) -> None:
    stream = server.client.watch(workspace_id="a")
    assert (await stream.read()).HasField("progress")  # of a workspace that is not there yet
    request_id = "0195a1c2-7e00-7000-8000-00000000abcd"
    made = await server.client.CreateAsset(workspace_id="a", type="film", name="x" * 300, request_id=request_id)
    (change,) = await changes_of(stream, 1)
    assert (change.revision, change.actor, change.client, change.request_id) == (1, "operator", "desk", request_id)
    (asset,) = change.assets
    assert (asset.id, asset.kind, asset.type, asset.etag) == (made.id, pb.CHANGE_KIND_CREATED, "film", made.etag)
    assert asset.name == "x" * 200
    stream.cancel()


async def test_a_change_comes_at_once_because_it_is_told_and_not_by_looking(server: Serving) -> None:
    stream = server.client.watch(workspace_id="a")
    await stream.read()
    await server.client.CreateAsset(workspace_id="a", type="film", name="x")
    await changes_of(stream, 1)
    waits = []
    for _ in range(5):
        began = time.monotonic()
        await server.client.CreateAsset(workspace_id="a", type="film", name="x")
        await changes_of(stream, 1)
        waits.append(time.monotonic() - began)
    assert sorted(waits)[2] < 0.5
    stream.cancel()


async def test_each_thing_stands_once_in_a_revision_as_it_was_at_its_end(server: Serving) -> None:
    ids = await film_of(server.client, ["s"])
    stream = server.client.watch(workspace_id="a", after_revision=0)
    (change,) = await changes_of(stream, 1)
    assert sorted(asset.id for asset in change.assets) == sorted(ids.values())
    assert {asset.kind for asset in change.assets} == {pb.CHANGE_KIND_CREATED}
    selected = await server.client.GetAsset(id=ids["s-2"])
    assert [asset.etag for asset in change.assets if asset.id == selected.id] == [selected.etag]
    assert [(each.shot_id, each.take_id, each.previous_take_id) for each in change.selections] == [
        (ids["s"], ids["s-2"], "")
    ]
    deleted = await server.client.DeleteAsset(id=ids["s"])
    (change,) = await changes_of(stream, 1)
    assert {(asset.id, asset.kind, asset.etag) for asset in change.assets} == {
        (each, pb.CHANGE_KIND_DELETED, "") for each in deleted.deleted_asset_ids
    }
    await server.client.UndeleteAsset(id=ids["s"])
    (change,) = await changes_of(stream, 1)
    assert {asset.id for asset in change.assets} == set(deleted.deleted_asset_ids)
    await server.sql(
        "INSERT INTO assets (workspace_id, type, name) VALUES ('a', 'text', 'before'); "
        "UPDATE assets SET name = 'after' WHERE name = 'before'; "
        "INSERT INTO assets (workspace_id, type, name) VALUES ('a', 'text', 'short'); "
        "DELETE FROM assets WHERE name = 'short'".replace("; ", ";").join(("DO $$ BEGIN ", "; END $$"))
    )
    (change,) = await changes_of(stream, 1)
    assert [(asset.name, asset.kind) for asset in change.assets] == [("after", pb.CHANGE_KIND_CREATED)]
    assert change.actor == "shotline"
    stream.cancel()


async def test_going_on_behind_a_revision(server: Serving) -> None:
    for _ in range(40):
        await server.client.CreateAsset(workspace_id="a", type="film", name="x")
    for behind in (0, 1, 17, 39, 40):
        stream = server.client.watch(workspace_id="a", after_revision=behind)
        assert (await stream.read()).progress.revision == behind
        changes = await changes_of(stream, 40 - behind)
        assert [change.revision for change in changes] == list(range(behind + 1, 41))
        stream.cancel()


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"after_revision": 2}, Code.OUT_OF_RANGE, "REVISION_TOO_OLD"),
        ({"after_revision": 2**62}, Code.OUT_OF_RANGE, "REVISION_TOO_OLD"),
        ({"after_revision": -1}, Code.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"progress_seconds": 0.01}, Code.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"progress_seconds": 61}, Code.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"progress_seconds": float("nan")}, Code.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"workspace_id": ""}, Code.INVALID_ARGUMENT, "INVALID_FIELD"),
    ],
)
async def test_a_watch_that_cannot_begin(server: Serving, fields: dict[str, Any], code: Code, reason: str) -> None:
    await server.client.CreateAsset(workspace_id="a", type="film", name="x")
    _, fault = await ending(server.client.watch(**{"workspace_id": "a", **fields}))
    assert (fault.code, fault.reason) == (code, reason)
    if reason == "REVISION_TOO_OLD":
        assert fault.metadata == {"oldest_revision": "1", "revision": "1"}
    assert server.door.watches == 0


async def test_a_revision_that_is_no_longer_kept(server: Serving) -> None:
    for _ in range(3):
        await server.client.CreateAsset(workspace_id="a", type="film", name="x")
    await server.sql("UPDATE change_log SET created_at = created_at - interval '25 hours' WHERE revision <= 2")
    await retention.tidy(server.graph._database)
    _, fault = await ending(server.client.watch(workspace_id="a", after_revision=1))
    assert fault.metadata == {"oldest_revision": "3", "revision": "3"}
    stream = server.client.watch(workspace_id="a", after_revision=0)
    assert (await stream.read()).progress.revision == 2
    assert [change.revision for change in await changes_of(stream, 1)] == [3]
    stream.cancel()


async def test_a_client_that_does_not_read_is_cut_off_and_misses_nothing(embedded_database: Database) -> None:
    async with serving(embedded_database, limits={"slow_watch": 0.3}) as server:
        stream = server.client.watch(workspace_id="default")
        await stream.read()
        await server.sql(
            *(
                "INSERT INTO assets (workspace_id, type, name) "
                "SELECT 'default', 'text', repeat('Ω', 200) FROM generate_series(1, 1000)"
                for _ in range(30)
            )
        )
        until = time.monotonic() + 20
        while server.door.watches:
            assert time.monotonic() < until, "15 MB wait for a client that does not read"
            await asyncio.sleep(0.01)
        before, fault = await ending(stream)
        assert (fault.code, fault.reason) == (Code.RESOURCE_EXHAUSTED, "WATCH_TOO_SLOW")
        assert fault.metadata == {"revision": str(len(before))}
        rest = server.client.watch(workspace_id="default", after_revision=len(before))
        behind = await changes_of(rest, 30 - len(before))
        assert [change.revision for change in (*before, *behind)] == list(range(1, 31))
        assert all(len(change.assets) == 1000 for change in (*before, *behind))
        rest.cancel()


async def test_a_server_that_stops_says_where_the_watch_is(embedded_database: Database) -> None:
    async with serving(embedded_database) as server:
        await server.client.CreateAsset(workspace_id="a", type="film", name="x")
        stream = server.client.watch(workspace_id="a", after_revision=0)
        await changes_of(stream, 1)
        draining = asyncio.create_task(server.graph.server.drain(0, 1))
        _, fault = await ending(stream)
        assert (fault.code, fault.metadata["revision"]) == (Code.UNAVAILABLE, "1")
        await draining


async def test_many_watches_of_one_workspace_read_the_log_once(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    watching = server.graph._watching
    read = watching.read

    async def counted(*arguments: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(*arguments)

    monkeypatch.setattr(watching, "read", counted)
    streams = [server.client.watch(workspace_id="a") for _ in range(50)]
    for stream in streams:
        await stream.read()
    for _ in range(10):
        await server.client.CreateAsset(workspace_id="a", type="film", name="x")
        for stream in streams:
            await changes_of(stream, 1)
    assert reads <= 20
    for stream in streams:
        stream.cancel()
    until = time.monotonic() + 5
    while server.door.watches or watching._feeds:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)


async def test_a_revision_too_large_for_a_message_says_so(server: Serving) -> None:
    await server.sql(
        "INSERT INTO assets (workspace_id, type, name) SELECT 'default', 'text', 'x' FROM generate_series(1, 20001)"
    )
    await server.client.CreateAsset(workspace_id="default", type="film", name="x")
    stream = server.client.watch(workspace_id="default", after_revision=0)
    large, small = await changes_of(stream, 2)
    assert (len(large.assets), large.truncated) == (20_000, True)
    assert (len(small.assets), small.truncated) == (1, False)
    # What other watches are to be told is kept; of what is as large as this, the last revision only.
    (feed,) = server.graph._watching._feeds.values()
    assert list(feed._recent) == [2]
    stream.cancel()


@pytest.mark.parametrize("cuts", [40, pytest.param(500, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
async def test_a_watcher_that_is_cut_at_random_equals_the_change_log(
    processes: ForkServerContext, embedded_database: Database, cuts: int
) -> None:
    async with begun(processes, embedded_database, seed=cuts) as watched:
        received = await watched.follow(cuts)
        logged = await watched.logged()
    assert [change.revision for change in received] == list(range(1, len(logged) + 1))
    assert received == logged
    assert len(logged) > cuts


async def test_a_watcher_that_begins_anew_each_time_misses_some(
    processes: ForkServerContext, embedded_database: Database
) -> None:
    """The naive form, which shows that the test above can fail."""
    async with begun(processes, embedded_database, seed=7) as watched:
        received = await watched.follow(12, from_now=True)
        assert len(received) < len(await watched.logged())


async def test_a_watcher_outlives_postgresql(processes: ForkServerContext) -> None:
    with running("pg18", **HASTY) as postgres, postgres.database(postgres.asset_graph_template()) as database:
        async with begun(processes, database, seed=3) as watched:
            following = asyncio.create_task(watched.follow(25, kills=False))
            for _ in range(2):
                await asyncio.sleep(0.7)
                await asyncio.to_thread(postgres.stop)
                await asyncio.to_thread(postgres.launch)
            received = await following
            assert received == await watched.logged()
            assert received


async def test_a_watcher_over_numbers_of_a_sequence_skips_some(embedded_database: Database) -> None:
    """The naive form of a log: numbered as it is written, and read behind the largest number that was seen."""
    operator = await asyncpg.connect(embedded_database.operator_url)
    await operator.execute("CREATE TABLE events (id bigserial PRIMARY KEY, writer int)")
    over = asyncio.Event()
    seen: list[int] = []

    async def write(writer: int) -> None:
        connection = await asyncpg.connect(embedded_database.operator_url)
        for turn in range(30):
            async with connection.transaction():
                await connection.execute("INSERT INTO events (writer) VALUES ($1)", writer)
                await asyncio.sleep((writer + turn) % 4 * 0.002)
        await connection.close()

    async def watch() -> None:
        connection = await asyncpg.connect(embedded_database.operator_url)
        while True:
            last = over.is_set()
            rows = await connection.fetch("SELECT id FROM events WHERE id > $1 ORDER BY id", seen[-1] if seen else 0)
            seen.extend(row["id"] for row in rows)
            if last:
                break
        await connection.close()

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(write(writer) for writer in range(4)))
    over.set()
    await watching
    assert len(seen) < await operator.fetchval("SELECT count(*) FROM events")
    await operator.close()
