"""All parts but PostgreSQL in this process: the gateway calls the services in process, and each listens as well."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from gateway.backends import Backends
from gateway.main import Gateway
from gateway.settings import GatewaySettings
from services.asset_graph.main import AssetGraph
from services.asset_graph.settings import Settings as AssetGraphSettings
from services.local.plan import ASSET_GRAPH, GATEWAY, SEQUENCE_FILE, Plan
from services.runtime import process
from services.runtime.admission import Door
from services.runtime.logs import open_log
from services.runtime.settings import Environment
from services.runtime.tokens import authenticator
from services.sequence_file import main as sequence_file
from services.sequence_file.domain.library import Library
from services.sequence_file.servicer import SequenceFileServicer
from services.sequence_file.settings import Settings
from services.sequence_file.storage.files import FileSequences

Ready = Callable[[Mapping[str, int]], Awaitable[None]]


async def serve(plan: Plan, stopping: asyncio.Event, ready: Ready) -> None:
    """Serve until `stopping` is set, then drain. `ready` hears the pid of each part once all of them serve.
    SettingsError where an address cannot be had."""
    settings = Settings.read(Environment(plan.environment(SEQUENCE_FILE)))
    gateway_settings = GatewaySettings.read(Environment(plan.environment(GATEWAY)))
    graph_settings = AssetGraphSettings.read(Environment(plan.environment(ASSET_GRAPH)))
    log = open_log()
    tokens = authenticator(settings.server)

    files = FileSequences([str(root) for root in settings.roots], cache_bytes=settings.cache_mib << 20)
    servicer = SequenceFileServicer(Library(files))
    service = sequence_file.server(settings.server.address, Door(tokens, settings.server.limits, log), servicer)
    graph = AssetGraph(graph_settings, Door(tokens, graph_settings.server.limits, log))
    backends = Backends(sequence_files=servicer, asset_graph=graph.servicer, addresses=gateway_settings.addresses)
    gateway = Gateway(gateway_settings, backends, Door(tokens, gateway_settings.server.limits, log))
    async with AsyncExitStack() as ending:  # callers before callees: the last that was started is the first to drain
        ending.callback(files.close)
        ending.push_async_callback(graph.drain)
        await graph.start()
        ending.push_async_callback(service.drain, settings.server.settle, settings.server.grace)
        await service.start()
        await gateway.start()
        ending.push_async_callback(gateway.drain)
        process.warmed_up()
        await ready(dict.fromkeys((GATEWAY, SEQUENCE_FILE, ASSET_GRAPH), os.getpid()))
        await graph.run(stopping)
        # The services know the last revisions of their watches; the gateway passes them on.
        await asyncio.gather(service.end_watches(), graph.server.end_watches())
