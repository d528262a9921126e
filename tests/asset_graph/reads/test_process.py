"""The process: which databases it refuses, and that it outlives PostgreSQL."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.asset_graph.main import SERVICE, AssetGraph
from services.asset_graph.settings import Settings
from services.kernel.faults import Code, Fault
from services.runtime.settings import Environment, ServerSettings, SettingsError
from tests.asset_graph.reads.films import film_of
from tests.asset_graph.reads.serving import Serving, serving
from tests.postgres import HASTY, Database, running
from tests.postgres import Server as Postgres

TOKEN_FILE = {"SHOTLINE_TOKEN_FILE": "/token"}


def settings(url: str) -> Settings:
    server = ServerSettings(address="127.0.0.1:0", token_file=Path("/none"), settle=0, grace=1)
    return Settings(server=server, database_url=url, connections=2)


@pytest.fixture(scope="module")
def postgres_of_ours() -> Iterator[Postgres]:
    """A server that tests may stop and start."""
    with running("pg18", **HASTY) as postgres:
        yield postgres


async def start(url: str) -> None:
    graph = AssetGraph(settings(url), None)  # type: ignore[arg-type]  # nobody comes to its door
    try:
        await graph.start()
    finally:
        await graph.drain()


async def health(server: Serving, name: str) -> str:
    stub = health_pb2_grpc.HealthStub(server.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def becomes(wanted: str, server: Serving) -> None:
    until = time.monotonic() + 20
    while await health(server, SERVICE) != wanted:
        assert time.monotonic() < until
        await asyncio.sleep(0.05)


async def test_a_role_that_gets_around_row_level_security_is_refused(embedded_database: Database) -> None:
    with pytest.raises(SettingsError, match=r"SHOTLINE_DATABASE_URL: .*shotline_app"):
        await start(embedded_database.operator_url)


async def test_a_database_that_was_not_migrated_is_refused(bare_database: Database) -> None:
    with pytest.raises(SettingsError, match="shotline migrate"):
        await start(bare_database.app_url)


async def test_an_address_that_is_taken_is_an_error_for_the_operator(embedded_database: Database) -> None:
    async with serving(embedded_database) as server:
        taken = settings(embedded_database.app_url)
        taken = replace(taken, server=replace(taken.server, address=f"127.0.0.1:{server.port}"))
        graph = AssetGraph(taken, server.door)
        with pytest.raises(SettingsError, match="cannot listen"):
            await graph.start()
        await graph.drain()


@pytest.mark.parametrize("url", ["mysql://x:secret@y", "postgresql://x:secret@y z", "secret"])
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read(Environment({**TOKEN_FILE, "SHOTLINE_DATABASE_URL": url}))
    assert "secret" not in str(caught.value)
    good = Settings.read(Environment({**TOKEN_FILE, "SHOTLINE_DATABASE_URL": "postgresql://x:secret@y/z"}))
    assert "secret" not in repr(good)


async def test_postgresql_may_come_late_go_and_come_back(postgres_of_ours: Postgres) -> None:
    with postgres_of_ours.database(postgres_of_ours.asset_graph_template()) as database:
        await asyncio.to_thread(postgres_of_ours.stop)
        async with serving(database) as server:
            await becomes("NOT_SERVING", server)
            await away(server)
            await asyncio.to_thread(postgres_of_ours.launch)
            await becomes("SERVING", server)
            made = await film_of(server.client, ["s"])
            await asyncio.to_thread(postgres_of_ours.stop)
            await away(server)
            await becomes("NOT_SERVING", server)
            assert await health(server, "") == "SERVING"
            await asyncio.to_thread(postgres_of_ours.launch)
            await becomes("SERVING", server)
            assert (await server.client.GetAsset(id=made["film"])).name == "film"
            stream = server.client.watch(workspace_id="a", after_revision=0)
            assert (await stream.read()).HasField("progress")
            stream.cancel()


async def away(server: Serving) -> None:
    """Every call is refused at once, and says when to try again and nothing of where PostgreSQL is."""
    began = time.monotonic()
    for method in ("GetAsset", "DeleteAsset"):
        with pytest.raises(Fault) as caught:
            await getattr(server.client, method)(id="00000000-0000-7000-8000-000000000000")
        assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert caught.value.retry_after
        assert "postgresql://" not in caught.value.message
    assert time.monotonic() - began < 5


async def test_a_database_that_comes_late_and_must_not_be_used_ends_the_process(postgres_of_ours: Postgres) -> None:
    postgres_of_ours.asset_graph_template()
    with postgres_of_ours.database() as database:
        await asyncio.to_thread(postgres_of_ours.stop)
        async with serving(database) as server:
            ending = asyncio.create_task(server.graph.run(asyncio.Event()))
            await asyncio.to_thread(postgres_of_ours.launch)
            with pytest.raises(SettingsError, match="shotline migrate"):
                await asyncio.wait_for(ending, 20)


async def test_a_hundred_readers_share_four_connections(server: Serving) -> None:
    ids = await film_of(server.client, [f"s{number}" for number in range(20)])
    calls: list[Callable[[], object]] = [
        lambda: server.client.GetAsset(id=ids["film"]),
        lambda: server.client.GetFilmStructure(film_id=ids["film"]),
        lambda: server.client.GetFilmCost(film_id=ids["film"]),
        lambda: server.client.ListChildren(parent_asset_id=ids["film"]),
        lambda: server.client.ListAssets(workspace_id="a"),
    ]
    await asyncio.gather(*(calls[number % 5]() for number in range(100)))  # type: ignore[call-overload]


async def test_who_finds_all_connections_busy_waits_and_is_told_so_at_last(server: Serving) -> None:
    ids = await film_of(server.client, ["s"])
    holding = asyncio.create_task(server.sql("BEGIN; LOCK TABLE assets; SELECT pg_sleep(2); COMMIT", "SELECT 1"))
    await asyncio.sleep(0.3)
    readers = [
        asyncio.create_task(server.client.GetAsset(id=ids["film"], timeout=0.2 if number % 2 else 20))
        for number in range(20)
    ]
    answers = await asyncio.gather(*readers, return_exceptions=True)
    await holding
    assert all(answer.id == ids["film"] for answer in answers[::2])  # type: ignore[union-attr]
    codes = {answer.code for answer in answers[1::2] if isinstance(answer, Fault)}
    assert codes <= {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED}
    assert codes
    # Nothing stays behind: all connections can be had again.
    await asyncio.gather(*(server.client.GetAsset(id=ids["film"], timeout=5) for _ in range(8)))


async def test_calls_that_are_given_up_leave_no_connection_behind(server: Serving) -> None:
    ids = await film_of(server.client, ["s"])
    for _ in range(30):
        call = asyncio.create_task(server.client.GetFilmStructure(film_id=ids["film"]))
        await asyncio.sleep(0.001)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    await asyncio.gather(*(server.client.GetAsset(id=ids["film"], timeout=5) for _ in range(8)))
    pool = server.graph._database._pool
    assert pool is not None
    assert pool.get_size() <= 4
