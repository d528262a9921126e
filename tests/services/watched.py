"""A project that two servers serve, each a process of its own: edited by clients and by another program, and watched.

async with begun(processes, folder) as watched:
    received = await watched.follow(cuts=60)
assert received == watched.logged()
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import uuid
from collections.abc import AsyncIterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import TypeAlias

import grpc
import grpc.aio
from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as pb_grpc

from services.runtime.admission import Door
from services.runtime.call import Principal
from services.runtime.logs import Log as AccessLog
from services.runtime.settings import Limits
from services.runtime.tokens import StaticTokens
from services.sequence_file import convert, main
from services.sequence_file.domain.library import Library
from services.sequence_file.domain.ports import Watch
from services.sequence_file.servicer import SequenceFileServicer
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.files import FileSequences
from services.sequence_file.storage.log import Log
from tests.services.served import ServerProcess

TOKEN = "right-token"
AUTHORIZATION = (("authorization", f"Bearer {TOKEN}"),)
SEQUENCES = ("001", "002")
_PAUSE = 0.01  # seconds between two edits of one client
_OUTSIDE_PAUSE = 0.05
_UNTIL_CUT = 1_000_000
_QUIET = 0.3  # seconds without a change after which a watch says where it is


class FromMemory(FileSequences):
    """Naive: remembers what happened since the process began, as a server does that keeps its events in memory."""

    _born: int | None = None

    async def watch(self, path: str, after: int | None, log_id: str) -> Watch:
        if self._born is None:
            now = await super().watch(path, None, "")
            self._born = now.revision
            now.close()
        return await super().watch(path, None if after is None else max(after, self._born), log_id)


def serve(told: Connection, root: str, naive: bool) -> None:
    """A process that serves until it is told to stop, or killed; sends its port."""
    asyncio.run(_serve(told, root, naive))


async def _serve(told: Connection, root: str, naive: bool) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    door = Door(StaticTokens({TOKEN: Principal(name="tester")}), Limits(), AccessLog(os.open(os.devnull, os.O_WRONLY)))
    files = (FromMemory if naive else FileSequences)([root])
    server = main.server("127.0.0.1:0", door, SequenceFileServicer(Library(files)))
    told.send(await server.start())
    await stopping.wait()
    await server.drain(0, 5)
    files.close()


Server: TypeAlias = "ServerProcess[pb_grpc.SequenceFileServiceAsyncStub]"


class Watched:
    """The project, its servers, and who changes it."""

    def __init__(self, processes: ForkServerContext, project: Path, seed: int, *, naive: bool) -> None:
        self.project = project
        self.random = random.Random(seed)
        arguments = (str(project.parent), naive)
        self.servers: list[Server] = [
            ServerProcess(processes, serve, arguments, pb_grpc.SequenceFileServiceStub) for _ in range(2)
        ]
        self.answered: set[str] = set()  # the request ids of edits that were made, as clients know
        self.written = 0  # edits of the other program
        self._over = asyncio.Event()

    async def follow(self, cuts: int, *, from_now: bool = False) -> list[pb.ProjectChange]:
        """Watch from the first revision on while everybody edits, be cut off so many times, and go on each time
        behind the last revision (or, naively, `from_now`); until nothing happens any more. What was received."""
        editors = [asyncio.create_task(self._edit(f"s{number}")) for number in (1, 2, 3)]
        editors.append(asyncio.create_task(self._edit_by_another_program()))
        watcher = _Watcher(self.project, self.random, from_now=from_now)
        for cut in range(cuts):
            server = self.random.choice(self.servers)
            # Most are cut by the client. Of ten servers one is killed, and one told to stop, while it is watched.
            if cut % 10 in (3, 8):
                ending = asyncio.create_task(self._restart(server, signal.SIGKILL if cut % 10 == 3 else signal.SIGTERM))
                await watcher.watch(server, _UNTIL_CUT)
                await ending
            else:
                await watcher.watch(server, self.random.choice((0, 1, 2, 5, 20)))
        self._over.set()
        await asyncio.gather(*editors)
        await watcher.watch(self.servers[0], None)
        return watcher.received

    async def _restart(self, server: Server, number: signal.Signals) -> None:
        await asyncio.sleep(self.random.uniform(0, 0.2))
        await server.end(number)
        await server.start()

    async def _edit(self, shot: str) -> None:
        """A client: edits over either server, and tries again what was not answered."""
        number = 0
        while not self._over.is_set():
            number += 1
            request = pb.UpdateShotRequest(
                project_path=str(self.project),
                sequence_id=self.random.choice(SEQUENCES),
                shot_id=shot,
                updates_json=json.dumps({"n": number}),
                request_id=str(uuid.uuid4()),
            )
            while True:
                try:
                    await self.random.choice(self.servers).stub.UpdateShot(request, metadata=AUTHORIZATION, timeout=10)
                    break
                except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.CancelledError):
                    await asyncio.sleep(0.02)  # it is being started again
            self.answered.add(request.request_id)
            await asyncio.sleep(_PAUSE)

    async def _edit_by_another_program(self) -> None:
        path = self.project / "sequences" / "sequence_003.json"
        number = 0
        while not self._over.is_set():
            number += 1
            content = json.dumps({"id": "003", "shots": [{"id": "o1", "n": number}]})
            if number % 2:
                path.write_text(content)
            else:
                temporary = path.with_name(".other.tmp")
                temporary.write_text(content)
                temporary.rename(path)
            self.written = number
            await asyncio.sleep(_OUTSIDE_PAUSE)

    def logged(self) -> list[pb.ProjectChange]:
        """What the project's log tells, by a look of its own."""
        log = Log(Disk(), str(self.project.parent), (self.project.name,))
        log.catch_up()
        changes = [convert.from_change(change) for change in log.changes(0, log.head)]
        log.close()
        return changes


class _Watcher:
    """A client that goes on where it was cut off."""

    def __init__(self, project: Path, chance: random.Random, *, from_now: bool) -> None:
        self.received: list[pb.ProjectChange] = []
        self._project = project
        self._random = chance
        self._from_now = from_now
        self._last: int | None = 0
        self._log_id = ""

    async def watch(self, server: Server, changes: int | None) -> None:
        """Watch until so many changes came (None: until no more do), or the server ends it."""
        request = pb.WatchProjectRequest(
            project_path=str(self._project), after_revision=self._last, log_id=self._log_id, progress_seconds=_QUIET
        )
        async with grpc.aio.insecure_channel(server.address) as channel:
            stream = pb_grpc.SequenceFileServiceStub(channel).WatchProject(request, metadata=AUTHORIZATION)
            try:
                await self._read(stream, changes)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            if self._random.random() < 0.5:  # else the connection drops
                stream.cancel()

    async def _read(self, stream: AsyncIterator[pb.WatchProjectResponse], changes: int | None) -> None:
        idle = -1
        async for message in stream:
            if message.HasField("progress"):
                self._log_id = message.progress.log_id
                idle += 1
            else:
                self.received.append(message.change)
                self._last = None if self._from_now else message.change.revision
                idle = 0
                changes = None if changes is None else changes - 1
            if changes == 0 or (changes is None and idle == 2):
                return


@contextlib.asynccontextmanager
async def begun(
    processes: ForkServerContext, folder: Path, seed: int, *, naive: bool = False
) -> AsyncIterator[Watched]:
    """Both servers started on a new project."""
    project = folder / "project"
    (project / "sequences").mkdir(parents=True)
    for sequence_id in SEQUENCES:
        document = {"id": sequence_id, "shots": [{"id": f"s{number}"} for number in range(1, 4)]}
        (project / "sequences" / f"sequence_{sequence_id}.json").write_text(json.dumps(document, indent=2))
    watched = Watched(processes, project, seed, naive=naive)
    for server in watched.servers:
        await server.start()
    try:
        yield watched
    finally:
        for server in watched.servers:
            await server.end(signal.SIGKILL)
