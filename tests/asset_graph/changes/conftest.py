"""A server on a database of its own for each module, and a workspace of its own for each test."""

import itertools
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
import pytest_asyncio

from tests.asset_graph.reads.serving import Client, Serving, serving
from tests.postgres import Database, Server

_COUNT = itertools.count(1)


@pytest.fixture(scope="module")
def module_database(embedded_postgres: Server) -> Iterator[Database]:
    with embedded_postgres.database(embedded_postgres.asset_graph_template()) as database:
        yield database


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(module_database: Database) -> AsyncIterator[Serving]:
    async with serving(module_database, connections=8) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: Serving) -> Client:
    """A client that may do everything; `workspace` is the test's own."""
    client = server.client
    client.workspace = f"test-{next(_COUNT)}"
    return client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(module_database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(module_database.operator_url)
    yield connection
    await connection.close()
