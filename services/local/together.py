"""All parts in this process: the gateway calls the services in process, and each still listens on its own port."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping

from gateway.backends import Backends
from gateway.main import Gateway
from gateway.settings import GatewaySettings
from services.local.plan import GATEWAY, MAINS, SEQUENCE_FILE, Plan
from services.runtime import process
from services.runtime.admission import Door
from services.runtime.call import Principal
from services.runtime.logs import open_log
from services.runtime.settings import Environment
from services.runtime.tokens import StaticTokens, read_token_file
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
    log = open_log()
    tokens = StaticTokens({read_token_file(plan.data.token_file): Principal(name="local")})

    files = FileSequences([str(root) for root in settings.roots], cache_bytes=settings.cache_mib << 20)
    servicer = SequenceFileServicer(Library(files))
    service = sequence_file.server(settings.server.address, Door(tokens, settings.server.limits, log), servicer)
    backends = Backends(sequence_files=servicer, addresses=gateway_settings.addresses)
    gateway = Gateway(gateway_settings, backends, Door(tokens, gateway_settings.server.limits, log))
    try:
        await service.start()
        await gateway.start()
        process.warmed_up()
        await ready(dict.fromkeys(MAINS, os.getpid()))
        await stopping.wait()
        await service.end_watches()  # it knows their last revisions; the gateway passes them on
        await gateway.drain()
        await service.drain(settings.server.settle, settings.server.grace)
    finally:
        files.close()
