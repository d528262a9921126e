"""Watching a project over gRPC: whatever cuts the stream, who goes on has every revision once and in order."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as pb_grpc

from services.kernel.faults import Code, Fault
from services.runtime.admission import Door
from services.runtime.call import Principal
from services.runtime.logs import Log
from services.runtime.server import WATCH_FAREWELL, Server
from services.runtime.settings import Limits
from services.runtime.status import from_rpc_error
from services.runtime.tokens import StaticTokens
from services.sequence_file import main
from services.sequence_file.domain.library import Library
from services.sequence_file.servicer import SequenceFileServicer
from services.sequence_file.storage.files import FileSequences
from tests.e2e.conftest import Shotline
from tests.services import watched
from tests.services.watched import AUTHORIZATION, TOKEN

CLIENT = (*AUTHORIZATION, ("x-client", "editor 7"))


class Client:
    """A client of one project over one address."""

    def __init__(self, channel: grpc.aio.Channel, project: Path, token: str = TOKEN) -> None:
        self._stub = pb_grpc.SequenceFileServiceStub(channel)
        self._project = str(project)
        self._metadata = (("authorization", f"Bearer {token}"), ("x-client", "editor 7"))

    async def update(self, updates: object, shot_id: str = "s1") -> pb.Shot:
        request = pb.UpdateShotRequest(
            project_path=self._project, sequence_id="001", shot_id=shot_id, updates_json=json.dumps(updates)
        )
        return await self._stub.UpdateShot(request, metadata=self._metadata)

    def watch(self, **fields: Any) -> Any:
        request = pb.WatchProjectRequest(**{"project_path": self._project, **fields})
        return self._stub.WatchProject(request, metadata=self._metadata)


class Serving:
    """A server in this process."""

    def __init__(self, server: Server, door: Door, client: Client) -> None:
        self.server = server
        self.door = door
        self.client = client


@contextlib.asynccontextmanager
async def serving(folder: Path, *, padding: int = 0, **limits: Any) -> AsyncIterator[Serving]:
    """A server with one project of one sequence, whose shot s1 is so many bytes larger."""
    project = folder / "project"
    (project / "sequences").mkdir(parents=True)
    document = {"id": "001", "shots": [{"id": "s1", "prompt": "." * padding}, {"id": "s2"}]}
    (project / "sequences" / "sequence_001.json").write_text(json.dumps(document, indent=2))
    descriptor = os.open(os.devnull, os.O_WRONLY)
    door = Door(StaticTokens({TOKEN: Principal(name="tester")}), Limits(**limits), Log(descriptor))
    files = FileSequences([str(folder)])
    server = main.server("127.0.0.1:0", door, SequenceFileServicer(Library(files)))
    port = await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Serving(server, door, Client(channel, project))
    finally:
        await server.drain(0, 1)
        await asyncio.to_thread(files.close)
        os.close(descriptor)


async def ending(stream: Any) -> tuple[list[pb.ProjectChange], Fault]:
    """The changes that still come, and what ends the stream."""
    changes: list[pb.ProjectChange] = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        while message := await asyncio.wait_for(stream.read(), 10):
            if message.HasField("change"):
                changes.append(message.change)
    return changes, from_rpc_error(caught.value)


async def changes_of(stream: Any, number: int) -> list[pb.ProjectChange]:
    """The next so many changes."""
    changes: list[pb.ProjectChange] = []
    while len(changes) < number:
        message = await asyncio.wait_for(stream.read(), 10)
        if message.HasField("change"):
            changes.append(message.change)
    return changes


async def test_the_first_message_says_where_the_watch_is_and_one_now_and_then(tmp_path: Path) -> None:
    async with serving(tmp_path) as at:
        await at.client.update({"n": 1})
        stream = at.client.watch(progress_seconds=0.1)
        first = (await stream.read()).progress
        assert first.revision == 1
        assert len(first.log_id) == 32
        began = time.monotonic()
        assert (await stream.read()).progress == first
        assert (await stream.read()).progress == first
        assert 0.15 < time.monotonic() - began < 2
        stream.cancel()


async def test_a_change_says_who_made_it_what_it_is_and_the_shot(tmp_path: Path) -> None:
    async with serving(tmp_path) as at:
        stream = at.client.watch()
        assert (await stream.read()).HasField("progress")
        made = await at.client.update({"prompt": "dusk"})
        change = (await stream.read()).change
        assert (change.revision, made.revision) == (1, 1)
        origin = change.origin
        assert (origin.kind, origin.principal, origin.client) == (origin.KIND_CLIENT, "tester", "editor 7")
        assert change.summary == "s1: prompt"
        assert change.create_time.ToSeconds() == pytest.approx(time.time(), abs=60)
        [file] = change.files
        assert (file.file, file.sequence_id, file.complete) == ("sequences/sequence_001.json", "001", True)
        assert file.kind == pb.CHANGE_KIND_UPDATED
        [shot] = file.shots
        assert (shot.id, shot.etag, shot.document_json) == ("s1", made.etag, made.document_json)
        stream.cancel()


async def test_going_on_behind_a_revision(tmp_path: Path) -> None:
    async with serving(tmp_path) as at:
        for number in range(5):
            await at.client.update({"n": number})
        stream = at.client.watch(after_revision=0)
        progress = (await stream.read()).progress
        assert progress.revision == 0
        assert [change.revision for change in await changes_of(stream, 5)] == [1, 2, 3, 4, 5]
        stream.cancel()
        stream = at.client.watch(after_revision=3, log_id=progress.log_id)
        assert (await stream.read()).progress.revision == 3
        assert [change.revision for change in await changes_of(stream, 2)] == [4, 5]
        stream.cancel()


async def test_names_and_ids_that_are_no_text_reach_the_client_as_text(tmp_path: Path) -> None:
    """A message that cannot be made would end this watch and every one that goes on behind it."""
    async with serving(tmp_path) as at:
        stream = at.client.watch()
        assert (await stream.read()).HasField("progress")
        with open(os.fsencode(tmp_path / "project" / "sequences") + b"/sequence_\xff.json", "w") as file:
            file.write('{"id": "9", "shots": [{"id": "\\ud800"}]}')
        [change] = await changes_of(stream, 1)
        assert change.files[0].file == "sequences/sequence_\\udcff.json"
        assert [shot.id for shot in change.files[0].shots] == ["\\ud800"]
        stream.cancel()


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"after_revision": 2}, Code.OUT_OF_RANGE, "REVISION_TOO_OLD"),
        ({"after_revision": 1, "log_id": "another"}, Code.OUT_OF_RANGE, "REVISION_TOO_OLD"),
        ({"after_revision": -1}, Code.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"progress_seconds": 0.01}, Code.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"progress_seconds": float("nan")}, Code.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"project_path": "/elsewhere"}, Code.PERMISSION_DENIED, "PROJECT_NOT_ALLOWED"),
        ({"project_path": ""}, Code.INVALID_ARGUMENT, "INVALID_PROJECT_PATH"),
    ],
)
async def test_a_watch_that_cannot_begin(tmp_path: Path, fields: dict[str, Any], code: Code, reason: str) -> None:
    async with serving(tmp_path) as at:
        await at.client.update({"n": 1})
        _, fault = await ending(at.client.watch(**fields))
        assert (fault.code, fault.reason) == (code, reason)
        if reason == "REVISION_TOO_OLD":
            assert fault.metadata.keys() == {"oldest_revision", "revision", "log_id"}
            assert (fault.metadata["oldest_revision"], fault.metadata["revision"]) == ("1", "1")
        assert at.door.watches == 0


async def test_a_client_that_does_not_read_is_cut_off_and_misses_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, padding=200_000, slow_watch=0.3) as at:
        stream = at.client.watch()
        log_id = (await stream.read()).progress.log_id
        for number in range(60):
            await at.client.update({"n": number})
        until = time.monotonic() + 10
        while at.door.watches:
            assert time.monotonic() < until, "12 MB wait for a client that does not read"
            await asyncio.sleep(0.01)
        before, fault = await ending(stream)
        assert (fault.code, fault.reason) == (Code.RESOURCE_EXHAUSTED, "WATCH_TOO_SLOW")
        assert fault.metadata == {"revision": str(len(before))}
        assert fault.retry_after
        rest = at.client.watch(after_revision=int(fault.metadata["revision"]), log_id=log_id)
        behind = await changes_of(rest, 60 - len(before))
        assert [change.revision for change in (*before, *behind)] == list(range(1, 61))
        rest.cancel()


async def test_a_client_that_reads_slowly_but_reads_is_not_cut_off(tmp_path: Path) -> None:
    async with serving(tmp_path, padding=200_000, slow_watch=1.0) as at:
        stream = at.client.watch()
        assert (await stream.read()).HasField("progress")
        for number in range(40):
            await at.client.update({"n": number})
        for number in range(40):
            await asyncio.sleep(0.03)
            assert (await stream.read()).change.revision == number + 1
        stream.cancel()


async def test_a_stopping_server_says_where_the_watch_was(tmp_path: Path) -> None:
    async with serving(tmp_path) as at:
        streams = [at.client.watch() for _ in range(3)]
        for stream in streams:
            assert (await stream.read()).HasField("progress")
        await at.client.update({"n": 1})
        for stream in streams:
            assert (await stream.read()).change.revision == 1
        began = time.monotonic()
        await at.server.drain(0, 5)
        assert time.monotonic() - began < WATCH_FAREWELL
        for stream in streams:
            changes, fault = await ending(stream)
            assert changes == []
            assert (fault.code, fault.reason) == (Code.UNAVAILABLE, "BACKEND_UNAVAILABLE")
            assert fault.metadata == {"revision": "1"}
            assert fault.retry_after


@pytest.fixture
def shotline(tmp_path: Path) -> Iterator[Shotline]:
    """What a user starts, not started yet."""
    shotline = Shotline(tmp_path, tmp_path / "data")
    yield shotline
    shotline.end()


async def test_over_the_gateway_and_over_restarts_of_everything(shotline: Shotline, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "sequences").mkdir(parents=True)
    file = project / "sequences" / "sequence_001.json"
    file.write_text('{"id": "001", "shots": [{"id": "s1"}]}')
    last, log_id = 0, ""
    ends: list[Callable[[], object]] = [shotline.stop, shotline.kill, shotline.stop]
    for number, end in enumerate(ends):
        await asyncio.to_thread(shotline.start)
        async with grpc.aio.insecure_channel(shotline.facts["grpc"]) as channel:
            client = Client(channel, project, shotline.facts["token"])
            stream = client.watch(after_revision=last, log_id=log_id)
            log_id = (await stream.read()).progress.log_id
            if number:
                [change] = await changes_of(stream, 1)
                assert change.origin.kind == pb.Origin.KIND_OUTSIDE
                assert [shot.document_json for shot in change.files[0].shots] == [
                    f'{{"id": "s1", "by hand": {number - 1}}}'
                ]
            await client.update({"n": number})
            [change] = await changes_of(stream, 1)
            last += 2 if number else 1
            assert change.revision == last
            await asyncio.sleep(0.5)  # what is there now is kept as a version in a moment
            await asyncio.to_thread(end)
            _, fault = await ending(stream)
            assert (fault.code, fault.reason) == (Code.UNAVAILABLE, "BACKEND_UNAVAILABLE")
            if end == shotline.stop:
                assert fault.metadata == {"revision": str(last)}
        file.write_text(f'{{"id": "001", "shots": [{{"id": "s1", "by hand": {number}}}]}}')


@pytest.fixture(scope="session")
def processes() -> ForkServerContext:
    """Makes real processes, each forked in milliseconds from a clean one that has everything imported."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.services.watched"])
    return context


@pytest.mark.parametrize("cuts", [60, pytest.param(500, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
async def test_a_watcher_that_is_cut_off_again_and_again_has_exactly_the_change_log(
    processes: ForkServerContext, tmp_path: Path, cuts: int
) -> None:
    async with watched.begun(processes, tmp_path, seed=cuts) as project:
        received = await project.follow(cuts)
    logged = project.logged()
    assert [change.revision for change in received] == list(range(1, len(logged) + 1))
    assert received == logged
    # And the log is the truth: each edit that was answered is one revision, and the last of each shot what is there.
    made = [change.origin.request_id for change in logged if change.origin.request_id]
    assert len(made) == len(set(made))
    assert project.answered <= set(made)
    assert any(change.origin.kind == change.origin.KIND_OUTSIDE for change in logged)
    last: dict[tuple[str, str], Any] = {}
    for change in received:
        for file in change.files:
            for shot in file.shots:
                last[file.file, shot.id] = json.loads(shot.document_json)
    for (file, shot_id), document in last.items():
        shots = json.loads((project.project / file).read_text())["shots"]
        assert next(shot for shot in shots if shot["id"] == shot_id) == document


@pytest.mark.parametrize(
    ("naive_server", "from_now"),
    [pytest.param(True, False, id="events kept in memory"), pytest.param(False, True, id="goes on from now")],
)
async def test_a_naive_watcher_misses_changes(
    processes: ForkServerContext, tmp_path: Path, naive_server: bool, from_now: bool
) -> None:
    async with watched.begun(processes, tmp_path, seed=1, naive=naive_server) as project:
        received = await project.follow(20, from_now=from_now)
    assert received != project.logged()
