"""A server in a process of its own, which a test kills and starts again, and a client of it."""

import asyncio
import os
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from typing import Any, Generic, TypeVar

import grpc.aio

Stub = TypeVar("Stub")


class ServerProcess(Generic[Stub]):
    """One server process and a client of it."""

    stub: Stub

    def __init__(
        self,
        processes: ForkServerContext,
        serve: Callable[..., None],
        arguments: tuple[object, ...],
        stub: Callable[[grpc.aio.Channel], Any],
    ) -> None:
        """serve: runs in the process with a connection, to which it sends its port, and the arguments."""
        self._processes = processes
        self._serve = serve
        self._arguments = arguments
        self._make_stub = stub

    async def start(self) -> None:
        ours, theirs = self._processes.Pipe(duplex=False)
        self._process = self._processes.Process(target=self._serve, args=(theirs, *self._arguments))
        self._process.start()
        theirs.close()
        assert await asyncio.to_thread(ours.poll, 30)
        self.address = f"127.0.0.1:{ours.recv()}"
        ours.close()
        self._channel = grpc.aio.insecure_channel(self.address)
        self.stub = self._make_stub(self._channel)

    async def end(self, number: signal.Signals) -> None:
        """Send a signal, and wait until the process has ended."""
        assert self._process.pid
        os.kill(self._process.pid, number)
        await asyncio.to_thread(self._process.join, 30)
        self._process.close()
        await self._channel.close()
