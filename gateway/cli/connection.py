"""Where Shotline is and how to get in.

Address, token and data folder come from the options, else the environment, else address and token from the file of
the local start.
"""

import asyncio
import os
import shlex
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc.aio

from gateway.cli import failures, way_back
from gateway.cli.client import Client
from gateway.cli.graph import Graph
from services.kernel.faults import Code, Fault
from services.runtime import local_address
from services.runtime.channels import open_channel, service_config

NAME = "shotline-cli"  # what this client calls itself in the history
_CONFIGS = tuple(service_config(f"shotline.{context}.v1") for context in ("sequence_file", "asset_graph", "studio"))

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the options say of where to go."""

    address: str | None
    token: str | None
    data: Path | None
    as_json: bool

    def command(self, *words: object) -> str:
        """A `shotline project` command to paste that goes where this one went. The token is never in it."""
        places = (("--address", self.address), ("--data", self.data))
        options = [word for option, value in places if value for word in (option, value)]
        return "shotline project " + shlex.join(map(str, (*words, *options)))


def call(
    target: Target, work: Callable[[Client], Coroutine[None, None, T]], project: str = "", sequence_id: str = ""
) -> T:
    """The result of `work` with a client; every failure ends the command, with the way back to the sequence that
    was meant, where one was and there is such a way."""
    what_to_do = ""

    async def run() -> T:
        nonlocal what_to_do
        async with opened(target) as client:
            try:
                return await work(client)
            except Fault as fault:
                if sequence_id:
                    what_to_do = await way_back.remedy(client, target.command, fault, project, sequence_id)
                raise

    try:
        return asyncio.run(run())
    except Fault as fault:
        failures.leave(fault, as_json=target.as_json, what_to_do=what_to_do)


def ask(target: Target, work: Callable[[Graph], Coroutine[None, None, T]]) -> T:
    """The result of `work` with a client of the asset graph; every failure ends the command."""

    async def run() -> T:
        async with opened_graph(target) as graph:
            return await work(graph)

    try:
        return asyncio.run(run())
    except Fault as fault:
        failures.leave(fault, as_json=target.as_json, what_to_do=failures.film_remedy(fault.reason))


@asynccontextmanager
async def opened(target: Target) -> AsyncIterator[Client]:
    """A client of the Shotline that is there now. Raises Fault where none is known."""
    async with _channel(target) as channel:
        yield Client(channel)


@asynccontextmanager
async def opened_graph(target: Target) -> AsyncIterator[Graph]:
    """A client of its asset graph likewise."""
    async with _channel(target) as channel:
        yield Graph(channel)


@asynccontextmanager
async def _channel(target: Target) -> AsyncIterator[grpc.aio.Channel]:
    address, token = _find(target)
    async with open_channel(address, service_configs=_CONFIGS, token=token, client=NAME) as channel:
        try:
            yield channel
        except Fault as fault:
            if fault.reason != "BACKEND_UNAVAILABLE":
                raise
            told = fault.again()
            told.message = f"{address}: {fault.message}"
            raise told from None


def absolute(project: Path) -> str:
    """The path as the server needs it. Links stay: the server decides where they may lead."""
    return os.path.abspath(project.expanduser())


def _find(target: Target) -> tuple[str, str | None]:
    folder = target.data or local_address.default_folder()
    try:
        local = local_address.read(folder)
    except FileNotFoundError:
        local = None
    except (PermissionError, ValueError, NotADirectoryError) as error:
        if not target.address:
            raise _not_running(str(error)) from None
        local = None
    if not target.address:
        if local is None:
            raise _not_running(f"no Shotline runs on {folder}")
        return local.grpc, target.token or local.token
    # The local token is for the local address only: another machine must not learn it.
    is_local = local is not None and local.grpc == target.address
    return target.address, target.token or (local.token if local and is_local else None)


def _not_running(message: str) -> Fault:
    return Fault(Code.UNAVAILABLE, "BACKEND_UNAVAILABLE", message)
