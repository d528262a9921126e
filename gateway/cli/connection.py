"""Where Shotline is and how to get in, and the calls that the commands make there.

Address and token come from the options, else the environment, else the file of the local start.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc.aio
from google.protobuf.message import Message
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as files_grpc
from shotline.studio.v1 import studio_service_pb2 as studio
from shotline.studio.v1 import studio_service_pb2_grpc as studio_grpc

from gateway.cli import failures
from services.kernel.faults import Fault
from services.runtime import local_address, status
from services.runtime.channels import open_channel, service_config

_PACKAGES = ("shotline.studio.v1", "shotline.sequence_file.v1")
_READINGS = 3

T = TypeVar("T")
Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the options say of where to go."""

    address: str | None
    token: str | None
    data: Path | None
    as_json: bool


class Client:
    """The calls of the commands. Every method raises Fault."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._files = files_grpc.SequenceFileServiceStub(channel)
        self._studio = studio_grpc.StudioServiceStub(channel)

    async def sequences(self, project: str) -> tuple[list[files.Sequence], list[files.UnreachableSequence]]:
        """All sequences in playing order, without their documents, and the files that cannot be reached."""
        request = files.ListSequencesRequest(project_path=project, view=files.SEQUENCE_VIEW_BASIC)
        found: list[files.Sequence] = []
        unreachable: list[files.UnreachableSequence] = []
        while True:
            page = await _answer(self._files.ListSequences(request))
            found.extend(page.sequences)
            unreachable.extend(page.unreachable)
            if not page.next_page_token:
                return found, unreachable
            request.page_token = page.next_page_token

    async def sequence(self, project: str, sequence_id: str) -> files.Sequence:
        """One sequence with its document."""
        return await _answer(
            self._files.GetSequence(files.GetSequenceRequest(project_path=project, sequence_id=sequence_id))
        )

    async def shots(self, project: str, sequence_id: str) -> tuple[list[studio.Shot], str]:
        """All shots of a sequence in order, and the sequence's etag. A file that changes between two pages is
        read anew, a few times."""
        for _ in range(_READINGS - 1):
            try:
                return await self._all_shots(project, sequence_id)
            except Fault as fault:
                if fault.reason != "PAGE_TOKEN_STALE":
                    raise
        return await self._all_shots(project, sequence_id)

    async def shot(self, project: str, sequence_id: str, shot_id: str) -> studio.Shot:
        """One shot of a sequence."""
        return await _answer(self._studio.GetShot(studio.GetShotRequest(target=_target(project, sequence_id, shot_id))))

    async def loose_shot(self, project: str, shot_id: str) -> studio.Shot:
        """One shot of a project wherever it stands."""
        place = studio.ProjectShot(project_path=project, shot_id=shot_id)
        return await _answer(self._studio.GetShot(studio.GetShotRequest(target=studio.ShotTarget(project_shot=place))))

    async def update(
        self, project: str, sequence_id: str, shot_id: str, updates_json: str, *, replace: bool, etag: str
    ) -> studio.Shot:
        """Change a shot of a sequence. Safe to be sent again by the channel."""
        return await _answer(
            self._studio.UpdateShot(
                studio.UpdateShotRequest(
                    target=_target(project, sequence_id, shot_id),
                    updates_json=updates_json,
                    mode=studio.UPDATE_MODE_REPLACE_TOP_LEVEL if replace else studio.UPDATE_MODE_MERGE_PATCH,
                    etag=etag,
                    request_id=str(uuid.uuid4()),
                )
            )
        )

    async def _all_shots(self, project: str, sequence_id: str) -> tuple[list[studio.Shot], str]:
        request = studio.GetShotsRequest(project_path=project, sequence_id=sequence_id)
        found: list[studio.Shot] = []
        while True:
            page = await _answer(self._studio.GetShots(request))
            found.extend(page.shots)
            if not page.next_page_token:
                return found, page.etag
            request.page_token = page.next_page_token


def call(target: Target, work: Callable[[Client], Coroutine[None, None, T]]) -> T:
    """The result of `work` with a client; every failure ends the command."""
    address, token = _find(target)

    async def run() -> T:
        async with _open(address, token) as client:
            return await work(client)

    try:
        return asyncio.run(run())
    except Fault as fault:
        failures.leave(fault, as_json=target.as_json)


def absolute(project: Path) -> str:
    """The path as the server needs it. Links stay: the server decides where they may lead."""
    return os.path.abspath(project.expanduser())


@asynccontextmanager
async def _open(address: str, token: str | None) -> AsyncIterator[Client]:
    async with open_channel(address, service_configs=tuple(map(service_config, _PACKAGES)), token=token) as channel:
        yield Client(channel)


def _find(target: Target) -> tuple[str, str | None]:
    folder = target.data or local_address.default_folder()
    try:
        local = local_address.read(folder)
    except FileNotFoundError:
        local = None
    except (PermissionError, ValueError, NotADirectoryError) as error:
        if not target.address:
            failures.not_running(str(error), as_json=target.as_json)
        local = None
    if not target.address:
        if local is None:
            failures.not_running(f"no Shotline runs on {folder}", as_json=target.as_json)
        return local.grpc, target.token or local.token
    # The local token is for the local address only: another machine must not learn it.
    is_local = local is not None and local.grpc == target.address
    return target.address, target.token or (local.token if local and is_local else None)


async def _answer(started: Awaitable[Answer]) -> Answer:
    try:
        return await started
    except grpc.aio.AioRpcError as error:
        raise status.from_rpc_error(error) from None


def _target(project: str, sequence_id: str, shot_id: str) -> studio.ShotTarget:
    place = studio.SequenceShot(project_path=project, sequence_id=sequence_id, shot_id=shot_id)
    return studio.ShotTarget(sequence_shot=place)
