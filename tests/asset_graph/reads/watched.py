"""A workspace that a server process serves, that clients and direct SQL change, and that is watched.

async with begun(processes, database) as watched:
    received = await watched.follow(cuts=40)
assert received == await watched.logged()
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
from typing import Any, TypeAlias

import asyncpg
import grpc
import grpc.aio
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.asset_graph.v1 import asset_graph_service_pb2_grpc as pb_grpc

from services.asset_graph.main import AssetGraph
from services.asset_graph.settings import Settings
from services.runtime.admission import Door
from services.runtime.call import Principal
from services.runtime.logs import Log
from services.runtime.settings import Limits, ServerSettings
from services.runtime.tokens import StaticTokens
from tests.postgres import Database
from tests.services.served import ServerProcess

WORKSPACE = "a"
TOKEN = "right-token"
AUTHORIZATION = (("authorization", f"Bearer {TOKEN}"),)
_PAUSE = 0.01  # seconds between two changes of one writer
_UNTIL_CUT = 1_000_000
_QUIET = 0.4  # seconds without a change after which a watch says where it is
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
_KINDS = {"created": pb.CHANGE_KIND_CREATED, "updated": pb.CHANGE_KIND_UPDATED, "deleted": pb.CHANGE_KIND_DELETED}


def serve(told: Connection, url: str) -> None:
    """A process that serves until it is told to stop, or killed; sends its port."""
    asyncio.run(_serve(told, url))


async def _serve(told: Connection, url: str) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    door = Door(StaticTokens({TOKEN: Principal(name="tester")}), Limits(), Log(os.open(os.devnull, os.O_WRONLY)))
    server = ServerSettings(address="127.0.0.1:0", token_file=Path("/none"), settle=0, grace=5)
    graph = AssetGraph(Settings(server=server, database_url=url, connections=6), door)
    told.send(await graph.start())
    await graph.run(stopping)
    await graph.drain()


Server: TypeAlias = "ServerProcess[pb_grpc.AssetGraphServiceAsyncStub]"


class Watched:
    """The workspace, its server, and who changes it."""

    def __init__(self, processes: ForkServerContext, database: Database, seed: int) -> None:
        self.database = database
        self.random = random.Random(seed)
        self.server: Server = ServerProcess(processes, serve, (database.app_url,), pb_grpc.AssetGraphServiceStub)
        self._over = asyncio.Event()

    async def follow(self, cuts: int, *, from_now: bool = False, kills: bool = True) -> list[pb.GraphChange]:
        """Watch from the first revision on while everybody writes, be cut off so many times, and go on each time behind
        the last revision (or, naively, `from_now`), until nothing happens any more. What was received."""
        writers = [asyncio.create_task(self._write(number)) for number in (1, 2)]
        writers += [asyncio.create_task(self._write_sql(number)) for number in (3, 4)]
        watcher = Watcher(self.random, from_now=from_now)
        for cut in range(cuts):
            # Most are cut by the client. Of ten cuts one kills the server, and one tells it to stop.
            if kills and cut % 10 in (3, 8):
                ending = asyncio.create_task(self._restart(signal.SIGKILL if cut % 10 == 3 else signal.SIGTERM))
                await watcher.watch(self.server, _UNTIL_CUT)
                await ending
            else:
                await watcher.watch(self.server, self.random.choice((0, 1, 2, 5, 20)))
        self._over.set()
        await asyncio.gather(*writers)
        await watcher.watch(self.server, None)
        return watcher.received

    async def _restart(self, number: signal.Signals) -> None:
        await asyncio.sleep(self.random.uniform(0, 0.2))
        await self.server.end(number)
        await self.server.start()

    async def _write(self, number: int) -> None:
        """A client: makes films with shots and takes, selects, renames, deletes, brings back."""
        made: list[tuple[str, str, list[str]]] = []
        while not self._over.is_set():
            turn = self.random.random()
            if turn < 0.4 or not made:
                draft = [pb.Change(temp_id="$film"), pb.Change(temp_id="$shot")]
                draft[0].create_asset.MergeFrom(pb.CreateAssetRequest(type="film", name=f"film of {number}"))
                draft[1].create_shot.MergeFrom(pb.CreateShotRequest(name="shot", parent_asset_id="$film"))
                for take in range(2):
                    draft.append(pb.Change(temp_id=f"$take{take}"))
                    draft[-1].create_shot_take.MergeFrom(pb.CreateShotTakeRequest(shot_id="$shot", selected=take == 1))
                answer = await self._sent("ApplyChanges", pb.ApplyChangesRequest(workspace_id=WORKSPACE, changes=draft))
                film, shot, *takes = (result.id for result in answer.results)
                made.append((film, shot, takes))
            elif turn < 0.7:
                film, shot, takes = self.random.choice(made)
                await self._sent("SelectTake", pb.SelectTakeRequest(shot_id=shot, take_id=self.random.choice(takes)))
            elif turn < 0.85:
                film, shot, takes = self.random.choice(made)
                name = f"film of {number} {self.random.random()}"
                await self._sent("UpdateAsset", pb.UpdateAssetRequest(id=film, name=name))
            else:
                film, shot, takes = made.pop()
                await self._sent("DeleteAsset", pb.DeleteAssetRequest(id=shot))
                await self._sent("UndeleteAsset", pb.UndeleteAssetRequest(id=shot))
            await asyncio.sleep(_PAUSE)

    async def _sent(self, method: str, request: Any) -> Any:
        """The answer; asked again, with one request id, until there is one."""
        request.request_id = str(uuid.uuid4())
        while True:
            try:
                return await getattr(self.server.stub, method)(request, metadata=AUTHORIZATION, timeout=10)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _AWAY:
                    raise
            except (grpc.aio.UsageError, asyncio.CancelledError):
                pass
            await asyncio.sleep(0.02)  # it is being started again

    async def _write_sql(self, number: int) -> None:
        """Direct SQL, in transactions of different lengths, of which some are given up."""
        while not self._over.is_set():
            try:
                connection = await asyncpg.connect(self.database.operator_url)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.05)
                continue
            try:
                while not self._over.is_set():
                    await self._one_transaction(connection, number)
            except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                pass  # PostgreSQL is being started again
            finally:
                connection.terminate()

    async def _one_transaction(self, connection: "asyncpg.Connection[asyncpg.Record]", number: int) -> None:
        transaction = connection.transaction()
        await transaction.start()
        for _ in range(self.random.randint(1, 3)):
            text = await connection.fetchval(
                "INSERT INTO assets (workspace_id, type, name) VALUES ($1, 'text', $2) RETURNING id",
                WORKSPACE,
                f"{number}",
            )
            if self.random.random() < 0.5:
                await asyncio.sleep(self.random.uniform(0, 0.01))
                await connection.execute("UPDATE assets SET name = 'again' WHERE id = $1", text)
            if self.random.random() < 0.2:
                await connection.execute("DELETE FROM assets WHERE id = $1", text)
        if self.random.random() < 0.2:
            await transaction.rollback()
        else:
            await transaction.commit()
        await asyncio.sleep(_PAUSE)

    async def logged(self) -> list[pb.GraphChange]:
        """What the change log tells, put together by the plainest means."""
        connection = await asyncpg.connect(self.database.operator_url)
        rows = await connection.fetch(
            "SELECT * FROM change_log WHERE workspace_id = $1 ORDER BY revision, ordinal", WORKSPACE
        )
        last = await connection.fetchval("SELECT revision FROM workspaces WHERE id = $1", WORKSPACE)
        await connection.close()
        return [told([row for row in rows if row["revision"] == revision]) for revision in range(1, last + 1)]


def told(rows: list[asyncpg.Record]) -> pb.GraphChange:
    """One revision: what each thing was before it (from the first that is told of it) and at its end (from the
    last)."""
    last = rows[-1]
    change = pb.GraphChange(revision=last["revision"], actor=last["actor"], client=last["client"])
    change.request_id = str(last["request_id"] or "")
    change.create_time.FromDatetime(last["created_at"])
    events: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
    for row in rows:
        for item in json.loads(row["items"]):
            key = item["shot"] if row["entity"] == "selection" else item["id"]
            kind = row["kind"].replace("moved", "updated")
            events.setdefault((row["entity"], key), []).append((kind, item))
    for (entity, key), happened in events.items():
        (first_kind, first), (last_kind, item) = happened[0], happened[-1]
        if entity == "selection":
            if item["take"] != first["previous"]:
                change.selections.add(shot_id=key, take_id=item["take"] or "", previous_take_id=first["previous"] or "")
            continue
        before, after = first_kind != "created", last_kind != "deleted"
        if not before and not after:
            continue
        kind = _KINDS["updated" if before and after else "created" if after else "deleted"]
        if entity == "asset":
            change.assets.add(
                id=key, kind=kind, type=item["type"], name=item["name"], etag=item["etag"] if after else ""
            )
        else:
            edge = change.relationships.add(id=key, kind=kind, relationship_type=item["type"])
            edge.parent_asset_id, edge.child_asset_id = item["parent"], item["child"]
            if item["sequence"] is not None:
                edge.sequence = item["sequence"]
    return in_order(change)


def in_order(change: pb.GraphChange) -> pb.GraphChange:
    """The same with what changed by id: the order within a revision means nothing."""
    for field in ("assets", "relationships"):
        getattr(change, field).sort(key=lambda each: each.id)
    change.selections.sort(key=lambda each: each.shot_id)
    return change


class Watcher:
    """A client that goes on where it was cut off."""

    def __init__(self, chance: random.Random, *, from_now: bool = False) -> None:
        self.received: list[pb.GraphChange] = []
        self._random = chance
        self._from_now = from_now
        self._last: int | None = 0

    async def watch(self, server: Server, changes: int | None) -> None:
        """Watch until so many changes came (None: until no more do), or the server ends it."""
        request = pb.WatchChangesRequest(workspace_id=WORKSPACE, after_revision=self._last, progress_seconds=_QUIET)
        async with grpc.aio.insecure_channel(server.address) as channel:
            stream = pb_grpc.AssetGraphServiceStub(channel).WatchChanges(request, metadata=AUTHORIZATION)
            try:
                await self._read(stream, changes)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            if self._random.random() < 0.5:  # else the connection drops
                stream.cancel()

    async def _read(self, stream: AsyncIterator[pb.WatchChangesResponse], changes: int | None) -> None:
        idle = -1
        async for message in stream:
            if message.HasField("progress"):
                idle += 1
            else:
                self.received.append(in_order(message.change))
                self._last = None if self._from_now else message.change.revision
                idle = 0
                changes = None if changes is None else changes - 1
            if changes == 0 or (changes is None and idle == 2):
                return


@contextlib.asynccontextmanager
async def begun(processes: ForkServerContext, database: Database, seed: int) -> AsyncIterator[Watched]:
    """The server started, and the workspace there."""
    connection = await asyncpg.connect(database.operator_url)
    await connection.execute("INSERT INTO workspaces (id) VALUES ('a')")
    await connection.close()
    watched = Watched(processes, database, seed)
    await watched.server.start()
    try:
        yield watched
    finally:
        await watched.server.end(signal.SIGKILL)
