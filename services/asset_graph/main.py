"""The asset-graph process: settings, storage, servicer, serve.

python -m services.asset_graph.main
"""

import asyncio
import logging
import os
from collections.abc import Sequence

import grpc.aio
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.asset_graph.v1 import asset_graph_service_pb2_grpc as pb_grpc

from services.asset_graph.servicer import AssetGraphServicer
from services.asset_graph.settings import Settings
from services.asset_graph.storage.changes import PostgresChanges
from services.asset_graph.storage.database import Database, Unfit
from services.asset_graph.storage.reads import PostgresReads
from services.asset_graph.storage.retention import keep_tidy
from services.asset_graph.storage.watching import Watching
from services.kernel.faults import Fault
from services.runtime import process
from services.runtime.admission import Door
from services.runtime.logs import open_log
from services.runtime.server import Server
from services.runtime.settings import Environment, SettingsError
from services.runtime.tokens import authenticator

SERVICE = pb.DESCRIPTOR.services_by_name["AssetGraphService"].full_name
LOOK_EVERY = 0.5  # seconds between two looks whether PostgreSQL answers

_log = logging.getLogger(__name__)


def server(address: str, door: Door, servicer: AssetGraphServicer) -> Server:
    """The gRPC server of this context."""

    def register(grpc_server: grpc.aio.Server) -> Sequence[str]:
        pb_grpc.add_AssetGraphServiceServicer_to_server(servicer, grpc_server)
        return (SERVICE,)

    return Server("asset_graph", address, door, register)


class AssetGraph:
    """All parts of this context in one process, and that they begin and end in the right order."""

    def __init__(self, settings: Settings, door: Door) -> None:
        self._settings = settings
        self._database = Database(settings.database_url, most=settings.connections)
        self._watching = Watching(self._database)
        self._tasks: list[asyncio.Task[None]] = []
        reads, changes = PostgresReads(self._database), PostgresChanges(self._database)
        self.servicer = AssetGraphServicer(reads, self._watching, changes)
        self.server = server(settings.server.address, door, self.servicer)

    async def start(self) -> int:
        """Serve, also while PostgreSQL is away. Gives the port. SettingsError where the address cannot be had, and for
        a database that must not be used."""
        await self._database.open()
        fit = await _is_fit(self._database)
        port = await self.server.start()
        looking = tell_readiness(self.server, self._database, fit=fit)
        self._tasks = [asyncio.create_task(looking), asyncio.create_task(keep_tidy(self._database))]
        return port

    async def run(self, stopping: asyncio.Event) -> None:
        """Return once `stopping` is set. SettingsError when PostgreSQL comes and must not be used."""
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait({self._tasks[0], stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._tasks[0].done():
            self._tasks[0].result()

    async def drain(self) -> None:
        """Stop without failing anybody, then let PostgreSQL go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.server.drain(self._settings.server.settle, self._settings.server.grace)
        await self._watching.close()
        await self._database.close()


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set, then drain. SettingsError for a database that must not be used."""
    log = open_log(settings.server.log_level, settings.server.log_file)
    graph = AssetGraph(settings, Door(authenticator(settings.server), settings.server.limits, log))
    try:
        await graph.start()
        process.warmed_up()
        await graph.run(stopping)
    finally:
        await graph.drain()


async def tell_readiness(running: Server, database: Database, *, fit: bool) -> None:
    """Keep the health of the service as PostgreSQL is: SERVING while it answers. Never ends, but with SettingsError.

    The health of the process ("") does not depend on it: to start this process again would not bring PostgreSQL back.
    """
    serving = True
    while True:
        try:
            if fit:
                await database.ping()
            answers = fit = fit or await _is_fit(database)
        except Fault:
            answers = False
        if answers != serving:
            _log.log(logging.INFO if answers else logging.WARNING, "PostgreSQL %s", "answers" if answers else "is away")
            await running.set_serving(SERVICE, serving := answers)
        await asyncio.sleep(LOOK_EVERY)


async def _is_fit(database: Database) -> bool:
    """Whether the database is one to be used; False while it is away. Raises SettingsError."""
    try:
        await database.check()
    except Unfit as unfit:
        raise SettingsError(
            f"SHOTLINE_DATABASE_URL: {unfit} (`shotline up` takes it from SHOTLINE_APP_DATABASE_URL)"
        ) from None
    except Fault as fault:
        _log.warning("PostgreSQL is away: %s", fault.message)
        return False
    return True


def main() -> None:
    """Entry point of the process."""
    process.run(_main)


async def _main(stopping: asyncio.Event) -> None:
    environment = Environment(os.environ)
    settings = Settings.read(environment)
    environment.refuse_unknown()
    await serve(settings, stopping)


if __name__ == "__main__":
    main()
