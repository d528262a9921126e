"""A running asset graph for clients, and a wire to it that can be cut at a chosen moment."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from services.asset_graph.main import AssetGraph
from services.asset_graph.settings import Settings
from services.runtime.admission import Door
from services.runtime.call import Principal
from services.runtime.logs import open_log
from services.runtime.settings import Limits, ServerSettings
from services.runtime.tokens import StaticTokens
from tests.postgres import Database

TOKEN = "a-token-of-all-workspaces"
NARROW = "a-token-of-one-workspace"
OWN = "ws-own"  # the workspace that the narrow token holds


@dataclass
class Graph:
    """One asset graph in this process, which can be stopped and started again on its port."""

    database: Database
    folder: Path
    port: int = 0
    parts: AssetGraph | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        settings = Settings(
            server=ServerSettings(address=self.address, token_file=self.folder / "token", settle=0.0, grace=1.0),
            database_url=self.database.app_url,
            connections=8,
        )
        holds = {
            TOKEN: Principal(name="director"),
            NARROW: Principal(name="trainee", workspaces=frozenset({OWN})),
        }
        log = open_log(settings.server.log_level, self.folder / "log")
        self.parts = AssetGraph(settings, Door(StaticTokens(holds), Limits(), log))
        self.port = await self.parts.start()

    async def stop(self) -> None:
        if self.parts is not None:
            await self.parts.drain()
            self.parts = None


@contextlib.asynccontextmanager
async def running(database: Database, folder: Path) -> AsyncIterator[Graph]:
    graph = Graph(database, folder)
    await graph.start()
    try:
        yield graph
    finally:
        await graph.stop()


class Wire:
    """A line to an address. `mute()` lets requests through and keeps their answers back; `cut()` breaks it."""

    def __init__(self, to: str) -> None:
        self._host, _, port = to.rpartition(":")
        self._port = int(port)
        self._muted = False
        self._swallowed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.cut()

    def mute(self) -> None:
        self._muted = True
        self._swallowed.clear()

    def unmute(self) -> None:
        self._muted = False

    async def swallowed(self) -> None:
        """Return once an answer was kept back."""
        await self._swallowed.wait()

    async def cut(self) -> None:
        """End all connections; the next one is whole again."""
        self._muted = False
        for writer in tuple(self._writers):
            writer.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        self._writers |= {writer, there_writer}
        try:
            await asyncio.gather(
                self._pass(reader, there_writer, mutable=False), self._pass(there_reader, writer, mutable=True)
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers -= {writer, there_writer}
            writer.transport.abort()
            there_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, mutable: bool) -> None:
        while data := await reader.read(1 << 16):
            if mutable and self._muted:
                self._swallowed.set()
                continue
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError
