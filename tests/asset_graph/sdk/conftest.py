"""An asset graph on PostgreSQL, and clients of it."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from shotline.client import AssetService, Studio

from gateway.backends import Backends
from gateway.main import ASSET_GRAPH, SEQUENCE_FILE, Gateway
from gateway.settings import GatewaySettings
from services.runtime.admission import Door
from services.runtime.call import Principal
from services.runtime.logs import Log
from services.runtime.settings import Limits, ServerSettings
from services.runtime.tokens import StaticTokens
from services.sequence_file.domain.library import Library
from services.sequence_file.main import server
from services.sequence_file.servicer import SequenceFileServicer
from services.sequence_file.storage.files import FileSequences
from tests.asset_graph.sdk.graphs import TOKEN, Graph, running
from tests.postgres import Database
from tests.services.system import new_project


@pytest_asyncio.fixture
async def graph(embedded_database: Database, tmp_path: Path) -> AsyncIterator[Graph]:
    async with running(embedded_database, tmp_path) as graph:
        yield graph


@pytest_asyncio.fixture
async def service(graph: Graph) -> AsyncIterator[AssetService]:
    async with AssetService(address=graph.address, token=TOKEN) as service:
        yield service


@pytest_asyncio.fixture
async def rows(graph: Graph) -> AsyncIterator[asyncpg.Connection]:
    """The database itself, as its operator sees it."""
    connection = await asyncpg.connect(graph.database.operator_url)
    yield connection
    await connection.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with two sequences."""
    (tmp_path / "films").mkdir()
    return new_project(tmp_path / "films")


@pytest_asyncio.fixture
async def gateway(graph: Graph, project: Path, tmp_path: Path) -> AsyncIterator[str]:
    """Address of a gateway before the asset graph and the project's files."""
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    door = Door(StaticTokens({TOKEN: Principal(name="director")}), Limits(), Log(descriptor))
    files = FileSequences([str(project.parent)])
    servicer = SequenceFileServicer(Library(files))
    service = server("127.0.0.1:0", door, servicer)
    addresses = {SEQUENCE_FILE: f"127.0.0.1:{await service.start()}", ASSET_GRAPH: graph.address}
    settings = GatewaySettings(
        server=ServerSettings(address="127.0.0.1:0", token_file=tmp_path / "token", settle=0.0, grace=1.0),
        http_address="127.0.0.1:0",
        addresses=addresses,
    )
    assert graph.parts is not None
    backends = Backends(sequence_files=servicer, asset_graph=graph.parts.servicer, addresses=addresses)
    gateway = Gateway(settings, backends, door)
    await gateway.start()
    yield f"127.0.0.1:{gateway.grpc_port}"
    await gateway.drain()
    await service.drain(0, 1)
    files.close()
    os.close(descriptor)


@pytest_asyncio.fixture
async def studio(gateway: str) -> AsyncIterator[Studio]:
    async with Studio(gateway, token=TOKEN) as studio:
        yield studio


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Shotline of this machine is found by chance."""
    for name in tuple(os.environ):
        if name.startswith("SHOTLINE_") and not name.startswith("SHOTLINE_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SHOTLINE_DATA", str(tmp_path / "no-shotline"))
