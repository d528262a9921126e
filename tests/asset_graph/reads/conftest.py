"""A server for each module of tests, and an empty asset graph for each test."""

import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.asset_graph.reads.serving import Client, Serving, serving
from tests.postgres import Database
from tests.postgres import Server as Postgres

EMPTY = "TRUNCATE workspaces CASCADE", "INSERT INTO workspaces (id) VALUES ('default')"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a module share its server, and so its event loop."""
    for item in items:
        if Path(__file__).parent in item.path.parents and inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest.fixture(scope="module")
def module_database(embedded_postgres: Postgres) -> Iterator[Database]:
    with embedded_postgres.database(embedded_postgres.asset_graph_template()) as database:
        yield database


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_server(module_database: Database) -> AsyncIterator[Serving]:
    async with serving(module_database) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def server(module_server: Serving) -> Serving:
    await module_server.sql(*EMPTY)
    return module_server


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: Serving) -> Client:
    return server.client
