"""What PostgreSQL does to us: away, back, full, read-only, or of another mind about who was first."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from services.asset_graph.domain.model import Caller, Scope
from services.asset_graph.domain.ports import Graph, NewAsset, Where
from services.asset_graph.storage.changes import MOST_TRIES, PostgresChanges
from services.asset_graph.storage.database import Database, Unfit
from services.kernel.faults import Fault
from services.kernel.uuid7 import Uuid7
from tests.asset_graph.changes.graph import everything, made, refused, revision
from tests.asset_graph.reads.serving import Client, Serving, serving
from tests.postgres import HASTY, running
from tests.postgres import Database as Urls

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERYTHING = Scope(workspaces=None)
new_id = Uuid7()


def soon() -> float:
    return time.monotonic() + 10


@pytest_asyncio.fixture(loop_scope="module")
async def database(module_database: Urls) -> AsyncIterator[Database]:
    database = Database(module_database.app_url, most=2)
    await database.open()
    yield database
    await database.close()


async def once(database: Database, *failures: str) -> int:
    """Make an asset, where the first tries end with these errors; says how many tries there were."""
    tries = 0

    async def work(graph: Graph) -> bytes:
        nonlocal tries
        await graph.add([NewAsset(id=new_id(), type="film", name="x")], [], whole=False)
        tries += 1
        if tries <= len(failures):
            statement = f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{failures[tries - 1]}'; END $$"
            await graph._connection.execute(statement)  # type: ignore[attr-defined]
        return b""

    caller = Caller(scope=EVERYTHING, actor="somebody")
    await PostgresChanges(database).once(caller, b"", soon(), Where(workspace_id="tried"), work)
    return tries


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_what_the_database_gives_up_is_made_again(
    database: Database, operator: asyncpg.Connection, state: str
) -> None:
    before = await revision(operator, "tried")
    assert await once(database, *[state] * (MOST_TRIES - 1)) == MOST_TRIES
    assert await revision(operator, "tried") == before + 1
    await refused(once(database, *[state] * MOST_TRIES), "ABORTED", "TRANSACTION_ABORTED")
    assert await revision(operator, "tried") == before + 1


@pytest.mark.parametrize(
    ("state", "code", "reason"),
    [
        ("53100", "RESOURCE_EXHAUSTED", "DISK_FULL"),
        ("25006", "FAILED_PRECONDITION", "READ_ONLY"),
        ("57P01", "UNAVAILABLE", "DATABASE_UNAVAILABLE"),
        ("57014", "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
    ],
)
async def test_other_errors_are_faults_and_change_nothing(
    database: Database, operator: asyncpg.Connection, state: str, code: str, reason: str
) -> None:
    before = await everything(operator)
    await refused(once(database, state), code, reason)
    assert await everything(operator) == before
    assert await once(database) == 1


async def test_an_error_of_ours_stays_one(database: Database) -> None:
    with pytest.raises(asyncpg.PostgresError):
        await once(database, "42601")


async def test_a_connection_that_died_unnoticed_fails_no_call(client: Client, operator: asyncpg.Connection) -> None:
    film = await made(client, "film")
    for _ in range(3):
        await asyncio.gather(*(client.GetAsset(id=film) for _ in range(8)))
        await operator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shotline_app'"
            " AND application_name LIKE 'shotline%'"
        )
        assert (await client.UpdateAsset(id=film, name=str(uuid4()))).revision
        assert (await client.GetAsset(id=film)).id == film


async def test_no_connection_stays_in_a_transaction(
    client: Client, server: Serving, operator: asyncpg.Connection
) -> None:
    film = await made(client, "film")
    async with operator.transaction():
        await operator.execute("SELECT FROM workspaces WHERE id = $1 FOR UPDATE", client.workspace)
        results = await asyncio.gather(
            *(client.UpdateAsset(id=film, name=f"{at}", timeout=0.3) for at in range(20)), return_exceptions=True
        )
    assert {each.code.name for each in results if isinstance(each, Fault)} <= {"DEADLINE_EXCEEDED", "UNAVAILABLE"}
    assert all(isinstance(each, Fault) for each in results)
    assert (await client.UpdateAsset(id=film, name="done")).revision == 2
    idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND usename = 'shotline_app'"
    until = soon()
    while await operator.fetchval(idle):
        assert time.monotonic() < until
        await asyncio.sleep(0.01)


async def test_those_who_wait_for_a_workspace_stop_nobody_else(client: Client, operator: asyncpg.Connection) -> None:
    film, shots = await made(client, "film"), [await made(client, "shot") for _ in range(24)]
    other = f"{client.workspace}-other"
    async with operator.transaction():
        await operator.execute("SELECT FROM workspaces WHERE id = $1 FOR UPDATE", client.workspace)
        waiting = [
            asyncio.create_task(each)
            for each in (
                *(client.UpdateAsset(id=shot, name="changed") for shot in shots),
                *(client.CreateAsset(workspace_id=client.workspace, type="film", name="x") for _ in range(24)),
            )
        ]
        for _ in range(5):
            await asyncio.sleep(0.05)
            assert (await client.GetAsset(id=film, timeout=5)).id == film
            await client.CreateAsset(workspace_id=other, type="film", name="x", timeout=5)
        assert not any(each.done() for each in waiting)
    answers = await asyncio.gather(*waiting)
    assert len({answer.revision for answer in answers}) == 48


async def test_a_role_that_sees_everything_is_refused(module_database: Urls) -> None:
    mighty = Database(module_database.operator_url)
    await mighty.open()
    with pytest.raises(Unfit, match="shotline_app"):
        await mighty.check()
    await mighty.close()


async def test_away_and_back_without_a_restart() -> None:
    with running("pg18", **HASTY) as postgres, postgres.database(postgres.asset_graph_template()) as database:
        async with serving(database) as server:
            client, fields = server.client, {"workspace_id": "a", "type": "film", "name": "x"}
            request = str(uuid4())
            film = await client.CreateAsset(**fields, request_id=request)
            await asyncio.to_thread(postgres.stop)
            for call in (client.CreateAsset(**fields), client.UpdateAsset(id=film.id, name="y")):
                fault = await refused(call, "UNAVAILABLE", "DATABASE_UNAVAILABLE")
                assert fault.retry_after
            await asyncio.to_thread(postgres.launch)
            assert await client.CreateAsset(**fields, request_id=request) == film
            assert (await client.UpdateAsset(id=film.id, name="y")).revision == 2
