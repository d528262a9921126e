"""A whole process as a main makes it: tiny service, SIGTERM drains. Started by test_drain.py.

Arguments: address to listen on, file for the access log. Prints the port when it serves.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from services.runtime import call
from services.runtime.admission import Door
from services.runtime.call import Principal
from services.runtime.logs import open_log
from services.runtime.process import run, warmed_up
from services.runtime.server import Server
from services.runtime.settings import Limits
from services.runtime.tokens import StaticTokens

SERVICE = "shotline.tiny.v1.TinyService"


async def main(stopping: asyncio.Event) -> None:
    log = open_log(destination=Path(sys.argv[2]))
    door = Door(StaticTokens({"right-token": Principal(name="tester")}), Limits(), log)

    async def slow(request: bytes, context: Any) -> bytes:
        await asyncio.sleep(float(request))
        return b"done"

    async def watch(request: bytes, context: Any) -> Any:
        admitted = call.current()
        assert admitted
        admitted.farewell["revision"] = "41"
        yield b"revision 41"
        await asyncio.sleep(60)

    def register(server: grpc.aio.Server) -> list[str]:
        handlers: dict[str, Any] = {
            "Slow": grpc.unary_unary_rpc_method_handler(slow),
            "Watch": grpc.unary_stream_rpc_method_handler(watch),
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
        return [SERVICE]

    server = Server("tiny", sys.argv[1], door, register)
    port = await server.start()
    warmed_up()
    print(port, flush=True)
    await stopping.wait()
    await server.drain(settle=0.5, grace=5)


if __name__ == "__main__":
    run(main)
