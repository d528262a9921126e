"""The gateway's process: one gRPC server and one HTTP door over the same studio.

Composition root: settings, backends, studio, doors, serve.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import grpc
from google.protobuf.descriptor import FileDescriptor
from shotline.studio.v1 import studio_service_pb2_grpc as pb_grpc

from gateway import forward_web
from gateway.backends import Backends, RemoteAssetGraph, RemoteSequenceFiles
from gateway.channels import Channels
from gateway.compose import Studio
from gateway.connect import ConnectDoor
from gateway.forward import CONTRACTS, Forwarding
from gateway.http import HttpDoor
from gateway.listener import Listener
from gateway.servicer import STUDIO, StudioServicer
from gateway.settings import GatewaySettings
from services.runtime import process
from services.runtime.admission import Door
from services.runtime.channels import open_channel, service_config, watch_health
from services.runtime.logs import open_log
from services.runtime.server import Server
from services.runtime.settings import Environment, SettingsError
from services.runtime.tokens import authenticator

SEQUENCE_FILE, ASSET_GRAPH = "shotline.sequence_file.v1", "shotline.asset_graph.v1"


class Gateway:
    """Both doors of the gateway. `start` it inside the event loop, `drain` it in the end."""

    grpc_port: int  # once it has started
    http_port: int

    def __init__(
        self,
        settings: GatewaySettings,
        backends: Backends,
        door: Door,
        contracts: Sequence[FileDescriptor] = CONTRACTS,
    ) -> None:
        self._settings = settings
        self._backends = backends
        self._door = door
        self._contracts = contracts
        self._mirrors: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listen on both doors. SettingsError where an address cannot be had."""
        settings = self._settings
        self._listener = Listener(settings.http_address)
        self._forwarding = forwarding = Forwarding(self._backends.addresses, self._contracts)
        studio = Studio(self._backends.sequence_files, self._backends.asset_graph)
        channels = Channels(studio)
        servicer = StudioServicer(studio, channels)

        def register(server: grpc.aio.Server) -> Sequence[str]:
            pb_grpc.add_StudioServiceServicer_to_server(servicer, server)
            return (STUDIO.full_name,)

        self._server = Server(
            "gateway",
            settings.server.address,
            self._door,
            register,
            generic_handlers=(forwarding.handler,),
            reflection_names=[service.full_name for service in forwarding.services],
        )
        self.http_port = self._listener.port
        http = HttpDoor(
            channels=channels,
            connect=ConnectDoor(
                self._door,
                unary=(*servicer.unary(), *forward_web.unary(forwarding)),
                streams=(*servicer.streams(), *forward_web.streams(forwarding)),
            ),
            door=self._door,
            hosts=(*settings.allowed_hosts, *self._own_hosts()),
            origins=settings.allowed_origins,
        )
        try:
            self.grpc_port = await self._server.start()
        except SettingsError:
            await self._listener.drain()
            await forwarding.close()
            raise
        await self._listener.start(http, settings.server.grace)
        self._mirrors = [
            asyncio.create_task(self._mirror_health(service.full_name, forwarding.channel(service.file.package)))
            for service in forwarding.services
        ]

    async def drain(self) -> None:
        """Stop without failing anybody: both doors finish what they have begun."""
        settle, grace = self._settings.server.settle, self._settings.server.grace
        for mirror in self._mirrors:
            mirror.cancel()
        await asyncio.gather(*self._mirrors, return_exceptions=True)
        await asyncio.gather(self._server.drain(settle, grace), self._drain_http(settle))
        await self._forwarding.close()

    async def _drain_http(self, settle: float) -> None:
        await asyncio.sleep(settle)
        await self._listener.drain()

    async def _mirror_health(self, service: str, channel: grpc.aio.Channel) -> None:
        """A forwarded service is as healthy here as it is there."""
        async for serving in watch_health(channel, service):
            await self._server.set_serving(service, serving)

    def _own_hosts(self) -> Sequence[str]:
        """What a browser of this machine calls us, exactly: a name that was made to point here is not among it."""
        bound = self._settings.http_address.rpartition(":")[0]
        names = dict.fromkeys(("127.0.0.1", "localhost", "[::1]", bound.lower()))
        hosts = [f"{name}:{self.http_port}" for name in names]
        return [*hosts, *names] if self.http_port == 80 else hosts  # browsers leave the usual port out


async def serve(settings: GatewaySettings, backends: Backends, door: Door, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set, then drain."""
    gateway = Gateway(settings, backends, door)
    await gateway.start()
    process.warmed_up()
    await stopping.wait()
    await gateway.drain()


def main() -> None:
    """The gateway as a process of its own."""
    process.run(_main)


async def _main(stopping: asyncio.Event) -> None:
    environment = Environment(os.environ)
    settings = GatewaySettings.read(environment)
    environment.refuse_unknown()
    log = open_log(settings.server.log_level, settings.server.log_file)
    async with _open(settings.addresses) as backends:
        await serve(settings, backends, Door(authenticator(settings.server), settings.server.limits, log), stopping)


@asynccontextmanager
async def _open(addresses: Mapping[str, str]) -> AsyncIterator[Backends]:
    """The services at their addresses."""
    channels = {
        package: open_channel(addresses[package], service_configs=(service_config(package),))
        for package in (SEQUENCE_FILE, ASSET_GRAPH)
        if package in addresses
    }
    try:
        yield Backends(
            sequence_files=RemoteSequenceFiles(channels[SEQUENCE_FILE]),
            asset_graph=RemoteAssetGraph(channels[ASSET_GRAPH]) if ASSET_GRAPH in channels else None,
            addresses=addresses,
        )
    finally:
        for channel in channels.values():
            await channel.close()


if __name__ == "__main__":
    main()
