"""One database for a module, and a workspace of its own for each test: nothing that a test does reaches another's."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator

import asyncpg
import pytest

from tests.asset_graph.database.graph import Graph
from tests.postgres import VERSIONS, Database, Server

ELSEWHERE = [pytest.param(version, marks=pytest.mark.long) for version in VERSIONS if version != "pg18"]


@pytest.fixture(scope="module", params=["pg18", *ELSEWHERE])
def shared(request: pytest.FixtureRequest, postgres_servers: Callable[[str], Server]) -> Iterator[Database]:
    """Empty and migrated when the module begins, on the version that Shotline brings; the long form is on all."""
    server = postgres_servers(request.param)
    with server.database(server.asset_graph_template()) as database:
        yield database


@pytest.fixture
async def graph(shared: Database) -> AsyncIterator[Graph]:
    """An operator's connection, which says nothing of workspaces, and a new workspace."""
    connection = await asyncpg.connect(shared.operator_url)
    workspace = f"ws-{secrets.token_hex(6)}"
    await connection.execute("INSERT INTO workspaces (id) VALUES ($1)", workspace)
    yield Graph(connection, workspace)
    await connection.close()
