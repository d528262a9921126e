"""A gateway on real sockets over one project, with its backend in process and behind a channel."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor import FileDescriptor
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as files_grpc
from shotline.studio.v1 import studio_service_pb2_grpc as studio_grpc

from gateway.backends import AssetGraph, Backends, RemoteAssetGraph, RemoteSequenceFiles
from gateway.forward import CONTRACTS
from gateway.main import Gateway
from gateway.settings import GatewaySettings
from services.runtime.admission import Door
from services.runtime.call import Principal
from services.runtime.channels import open_channel, service_config
from services.runtime.logs import Log
from services.runtime.server import Server
from services.runtime.settings import Limits, ServerSettings
from services.runtime.tokens import StaticTokens
from services.sequence_file.servicer import SequenceFileServicer
from tests.services.gateway import raw_http
from tests.services.gateway.memory import MemoryProject, MemorySequence, MemorySequenceFiles
from tests.services.gateway.raw_http import Answer

PROJECT = "/films/harbour"
TOKEN = "a-token-for-tests"
NARROW, OWN = "a-token-of-one-workspace", "own"  # and the workspace that it holds
PAGE = "https://studio.example"
PACKAGE = "shotline.sequence_file.v1"
GRAPH = "shotline.asset_graph.v1"

# Raw text as an editor writes it: spaces, number spellings and escapes of its own.
OPENING = (
    '{"id": "s1",  "generation": {"prompt": "caf\\u00e9 at dawn", "model": "flux-dev", '
    '"parameters": {"steps": 20, "cfgScale": 7.50}}, "note": "<svg onload=x>"}'
)
SECOND = '{"id": 2, "n": 1E2}'
THIRD = '{"id": "twin", "big": 12345678901234567890}'


def harbour() -> dict[str, MemoryProject]:
    return {
        PROJECT: MemoryProject(
            sequences=[
                MemorySequence("001", "sequences/sequence_001.json", [OPENING, SECOND, THIRD]),
                MemorySequence("6", "sequences/sequence_006.json", ['{"id": "twin"}']),
            ],
            shots=['{"id": "loose", "n": 1.10}'],
            unreachable=[
                files.UnreachableSequence(
                    file="sequences/sequence_009.json",
                    reason="SEQUENCE_FILE_INVALID",
                    message="ends too soon",
                    line=3,
                    column=7,
                )
            ],
        )
    }


@dataclass
class Backend:
    """The sequence-file service on a port."""

    memory: MemorySequenceFiles
    log: Log
    whole: SequenceFileServicer | None = None  # in the place of `memory`, which has no structure, past or watches
    port: int = 0
    server: Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        def register(server: grpc.aio.Server) -> list[str]:
            files_grpc.add_SequenceFileServiceServicer_to_server(self.whole or self.memory, server)
            return [f"{PACKAGE}.SequenceFileService"]

        self.server = Server("sequence_file", self.address, new_door(self.log), register)
        self.port = await self.server.start()

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.drain(0, 1)
            self.server = None


@dataclass
class Rig:
    """A gateway, its backend, and clients of all its doors."""

    gateway: Gateway
    door: Door
    backend: Backend
    log_file: Path
    wiring: str
    channel: grpc.aio.Channel
    studio: studio_grpc.StudioServiceStub = field(init=False)

    def __post_init__(self) -> None:
        self.studio = studio_grpc.StudioServiceStub(self.channel)

    @property
    def memory(self) -> MemorySequenceFiles:
        return self.backend.memory

    @property
    def port(self) -> int:
        return self.gateway.http_port

    def headers(self, **changes: str | None) -> dict[str, str]:
        """Headers of a good request; a change to None leaves one out."""
        good: dict[str, str | None] = {
            "host": f"127.0.0.1:{self.port}",
            "authorization": f"Bearer {TOKEN}",
            "content-type": "application/json",
        }
        good |= {name.replace("_", "-"): value for name, value in changes.items()}
        return {name: value for name, value in good.items() if value is not None}

    async def http(self, method: str, path: str, body: bytes = b"", **changes: str | None) -> Answer:
        headers = {"content-length": str(len(body)), **self.headers(**changes)}
        return await raw_http.send(self.port, raw_http.head(method, path, headers) + body)

    async def ipc(self, channel: str, arguments: object, **changes: str | None) -> Answer:
        return await self.http("POST", f"/ipc/{channel}", json.dumps(arguments).encode(), **changes)

    def access_lines(self) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in self.log_file.read_text().splitlines()]
        return [line for line in lines if "transport" in line]


def new_door(log: Log, limits: Limits | None = None) -> Door:
    narrow = Principal(name="trainee", workspaces=frozenset({OWN}))
    return Door(StaticTokens({TOKEN: Principal(name="tester"), NARROW: narrow}), limits or Limits(), log)


def new_settings(folder: Path, addresses: Mapping[str, str]) -> GatewaySettings:
    return GatewaySettings(
        server=ServerSettings(address="127.0.0.1:0", token_file=folder / "token", settle=0.0, grace=5.0),
        http_address="127.0.0.1:0",
        allowed_hosts=("studio.example:8443",),
        allowed_origins=(PAGE,),
        addresses=addresses,
    )


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND))


@pytest.fixture
async def backend(log: Log) -> AsyncIterator[Backend]:
    backend = Backend(MemorySequenceFiles(harbour()), log)
    await backend.start()
    yield backend
    await backend.stop()


@pytest.fixture
def contracts() -> tuple[FileDescriptor, ...]:
    return tuple(CONTRACTS)


@pytest.fixture
def more_addresses() -> dict[str, str]:
    return {}


@pytest.fixture
def asset_graph() -> AssetGraph | None:
    """The asset graph behind the gateway: none, but for tests that bring one."""
    return None


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture(params=["in process", "remote"])
def wiring(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def rig(
    wiring: str,
    tmp_path: Path,
    log: Log,
    backend: Backend,
    asset_graph: AssetGraph | None,
    contracts: tuple[FileDescriptor, ...],
    more_addresses: dict[str, str],
    limits: Limits,
) -> AsyncIterator[Rig]:
    addresses = {PACKAGE: backend.address, **more_addresses}
    to_backend = open_channel(backend.address, service_configs=[service_config(PACKAGE)])
    to_graph = open_channel(addresses.get(GRAPH, "127.0.0.1:1"), service_configs=[service_config(GRAPH)])
    door = new_door(log, limits)
    gateway = Gateway(
        new_settings(tmp_path, addresses),
        Backends(
            sequence_files=RemoteSequenceFiles(to_backend) if wiring == "remote" else backend.whole or backend.memory,
            asset_graph=RemoteAssetGraph(to_graph) if asset_graph and wiring == "remote" else asset_graph,
            addresses=addresses,
        ),
        door,
        contracts,
    )
    await gateway.start()
    async with open_channel(f"127.0.0.1:{gateway.grpc_port}", service_configs=[], token=TOKEN) as channel:
        yield Rig(gateway, door, backend, tmp_path / "log", wiring, channel)
    await asyncio.wait_for(gateway.drain(), 10)
    await to_backend.close()
    await to_graph.close()
