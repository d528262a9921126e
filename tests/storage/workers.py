"""What the processes of the proofs do: each function runs in a process of its own."""

import asyncio
import fcntl
import json
import os
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

from services.kernel.faults import Fault
from services.sequence_file.domain.ports import Request
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.locks import FileLock
from services.sequence_file.storage.places import Roots
from tests.storage import projects
from tests.storage.projects import SEQUENCE, Server

Work = Callable[..., None]


def run(processes: ForkServerContext, work: Work, *arguments: object, seconds: float = 30.0) -> Any:
    """Run one function that sends one thing, and answer with that; None if it was killed before."""
    ours, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=work, args=(theirs, *arguments))
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(seconds) else None
    except EOFError:
        return None
    finally:
        process.join(seconds)
        ours.close()
        process.close()


def update_with_a_limit(told: Connection, project: str, largest: int) -> None:
    """Update while no file may become larger than `largest` bytes."""
    server = Server(Path(project))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    told.send(asyncio.run(_outcome(server, "s1", None)))
    server.close()


async def _outcome(server: Server, shot: str, once: Request | None) -> str:
    try:
        await server.count(shot, "edit", once)
    except Fault as fault:
        return fault.reason
    return "OK"
