"""The sequence-file process: settings, storage, servicer, serve.

python -m services.sequence_file.main
"""

import asyncio
import os
from collections.abc import Sequence

import grpc.aio
from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as pb_grpc

from services.runtime import process
from services.runtime.admission import Door
from services.runtime.logs import open_log
from services.runtime.server import Server
from services.runtime.settings import Environment
from services.runtime.tokens import authenticator
from services.sequence_file.domain.library import Library
from services.sequence_file.servicer import SequenceFileServicer
from services.sequence_file.settings import Settings
from services.sequence_file.storage.files import FileSequences

SERVICE = pb.DESCRIPTOR.services_by_name["SequenceFileService"].full_name


def server(address: str, door: Door, servicer: SequenceFileServicer) -> Server:
    """The gRPC server of this context."""

    def register(grpc_server: grpc.aio.Server) -> Sequence[str]:
        pb_grpc.add_SequenceFileServiceServicer_to_server(servicer, grpc_server)
        return (SERVICE,)

    return Server("sequence_file", address, door, register)


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set, then drain."""
    log = open_log(settings.server.log_level, settings.server.log_file)
    door = Door(authenticator(settings.server), settings.server.limits, log)
    files = FileSequences([str(root) for root in settings.roots], cache_bytes=settings.cache_mib << 20)
    running = server(settings.server.address, door, SequenceFileServicer(Library(files)))
    await running.start()
    process.warmed_up()
    await stopping.wait()
    await running.drain(settings.server.settle, settings.server.grace)
    files.close()


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
