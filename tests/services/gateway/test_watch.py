"""StudioService.Watch: several projects as one stream, by gRPC, Connect and gRPC-Web."""

import asyncio
import base64
import contextlib
import json
import struct
from collections.abc import AsyncIterator

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.studio.v1 import studio_service_pb2 as pb

from services.runtime.logs import Log
from services.runtime.settings import Limits
from services.sequence_file.domain.library import Library
from services.sequence_file.servicer import SequenceFileServicer
from services.sequence_file.storage.memory import MemorySequences
from tests.services.gateway import raw_http
from tests.services.gateway.conftest import PAGE, Backend, Rig
from tests.services.gateway.film import FILES, FILM, FIRST
from tests.services.gateway.memory import MemorySequenceFiles

OTHER = "/films/calm"
STUDIO = "/shotline.studio.v1.StudioService"
WATCH_PROJECT = "/shotline.sequence_file.v1.SequenceFileService/WatchProject"
A1 = {"projectPath": FILM, "sequenceId": "001", "shotId": "a1"}

gateway_alone = pytest.mark.parametrize("wiring", ["in process"])


@pytest.fixture
def projects() -> MemorySequences:
    return MemorySequences({FILM: FILES, OTHER: FILES})


@pytest.fixture
async def backend(log: Log, projects: MemorySequences) -> AsyncIterator[Backend]:
    backend = Backend(MemorySequenceFiles({}), log, SequenceFileServicer(Library(projects)))
    await backend.start()
    yield backend
    await backend.stop()


def source(path: str = FILM, after: int | None = None, log_id: str = "") -> pb.WatchSource:
    return pb.WatchSource(project=pb.ProjectSource(project_path=path, after_revision=after, log_id=log_id))


@contextlib.asynccontextmanager
async def watching(
    rig: Rig, *sources: pb.WatchSource, progress: float = 0
) -> AsyncIterator[AsyncIterator[pb.WatchResponse]]:
    """The messages of a watch."""
    stream = rig.studio.Watch(pb.WatchRequest(sources=sources, progress_seconds=progress), timeout=10)
    yield aiter(stream)
    stream.cancel()


async def changed(rig: Rig, path: str, n: int, client: str = "") -> int:
    """Make a change. Gives its revision."""
    headers = {"x_client": client} if client else {}
    answer = await rig.ipc("shot:update", [{**A1, "projectPath": path}, {"n": n}], **headers)
    return int(str(answer.json["revision"]))


async def failure(stream: AsyncIterator[pb.WatchResponse]) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stream:
            pass
    return caught.value.code(), info_of(rpc_status.from_call(caught.value))


def info_of(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details if detail.Is(info.DESCRIPTOR))
    return info


async def test_each_source_begins_with_where_it_is_and_goes_on_in_its_own_order(rig: Rig) -> None:
    await changed(rig, FILM, 0)
    async with watching(rig, source(FILM), source(OTHER)) as messages:
        first = {message.source: message for message in [await anext(messages), await anext(messages)]}
        assert [first[n].project_path for n in (0, 1)] == [FILM, OTHER]
        assert [first[n].progress.revision for n in (0, 1)] == [1, 0]
        assert first[0].progress.log_id != first[1].progress.log_id
        for n in range(1, 4):
            await changed(rig, FILM, n, client="editor")
            await changed(rig, OTHER, n)
        seen: dict[int, list[pb.ProjectChange]] = {0: [], 1: []}
        for _ in range(6):
            message = await anext(messages)
            seen[message.source].append(message.project_change)
    assert [change.revision for change in seen[0]] == [2, 3, 4]
    assert [change.revision for change in seen[1]] == [1, 2, 3]
    change = seen[0][0]
    assert (change.origin.kind, change.origin.principal, change.origin.client) == (
        pb.Origin.KIND_CLIENT,
        "tester",
        "editor",
    )
    (file,) = change.files
    assert (file.file, file.sequence_id, file.kind, file.complete) == (FIRST, "001", pb.CHANGE_KIND_UPDATED, True)
    (shot,) = file.shots
    assert json.loads(shot.document_json)["n"] == 1
    assert change.create_time.seconds > 1e9


async def test_a_watch_goes_on_where_it_was_cut(rig: Rig, projects: MemorySequences) -> None:
    for n in range(3):
        await changed(rig, FILM, n)
    projects.projects[FILM][FIRST] = FILES[FIRST].replace(b"a boat", b"a raft")  # by another program
    async with watching(rig, source(FILM, after=1)) as messages:
        log_id = (await anext(messages)).progress.log_id
        changes = [(await anext(messages)).project_change for _ in range(3)]
    assert [change.revision for change in changes] == [2, 3, 4]
    assert changes[-1].origin.kind == pb.Origin.KIND_OUTSIDE
    async with watching(rig, source(FILM, after=4, log_id=log_id)) as messages:
        assert (await anext(messages)).progress.revision == 4
        await changed(rig, FILM, 9)
        assert (await anext(messages)).project_change.revision == 5


async def test_progress_is_told_while_nothing_happens(rig: Rig) -> None:
    async with watching(rig, source(FILM), progress=0.1) as messages:
        assert [(await anext(messages)).WhichOneof("message") for _ in range(3)] == ["progress"] * 3


async def test_the_end_of_one_source_ends_all_and_says_which(rig: Rig) -> None:
    async with watching(rig, source(FILM), source(OTHER, after=99)) as messages:
        code, info = await failure(messages)
    assert (code, info.reason) == (grpc.StatusCode.OUT_OF_RANGE, "REVISION_TOO_OLD")
    assert info.metadata["source"] == "1"
    assert {"oldest_revision", "revision", "log_id"} <= set(info.metadata)
    async with watching(rig, source("/films/nowhere")) as messages:
        code, info = await failure(messages)
    assert (code, info.reason, info.metadata["source"]) == (grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND", "0")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.WatchRequest(), "sources"),
        (pb.WatchRequest(sources=[source()] * 101), "sources"),
        (pb.WatchRequest(sources=[source(), pb.WatchSource()]), "sources[1]"),
        (pb.WatchRequest(sources=[source(after=-1)]), "after_revision"),
        *[
            (pb.WatchRequest(sources=[source()], progress_seconds=seconds), "progress_seconds")
            for seconds in (-1.0, 0.05, 61.0, float("nan"), float("inf"))
        ],
    ],
)
@gateway_alone
async def test_a_watch_of_nothing_is_refused(rig: Rig, request_: pb.WatchRequest, field: str) -> None:
    stream = rig.studio.Watch(request_, timeout=5)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(stream))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field in str(caught.value.details())


async def test_a_drain_ends_a_watch_with_where_to_go_on(rig: Rig) -> None:
    async with watching(rig, source(FILM), source(OTHER)) as messages:
        await anext(messages)
        await anext(messages)
        await changed(rig, FILM, 1)
        await anext(messages)
        draining = asyncio.create_task(rig.gateway.drain())
        code, info = await failure(messages)
        await draining
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")
    assert dict(info.metadata) == {"revisions": "1,0"}


@pytest.mark.parametrize("wiring", ["remote"])
async def test_a_service_that_stops_ends_a_watch_with_where_to_go_on(rig: Rig) -> None:
    async with watching(rig, source(FILM)) as messages:
        await anext(messages)
        await changed(rig, FILM, 1)
        await anext(messages)
        stopping = asyncio.create_task(rig.backend.stop())
        code, info = await failure(messages)
        await stopping
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")
    assert (info.metadata["source"], info.metadata["revisions"], info.metadata["revision"]) == ("0", "1", "1")


async def test_a_client_that_leaves_takes_its_watches_with_it(rig: Rig) -> None:
    async with watching(rig, source(FILM), source(OTHER)) as messages:
        await anext(messages)
        assert rig.door.watches == 1
        assert any("follow" in str(task.get_coro()) for task in asyncio.all_tasks())
    async with asyncio.timeout(5):
        while rig.door.watches or any("follow" in str(task.get_coro()) for task in asyncio.all_tasks()):
            await asyncio.sleep(0.01)


# Over HTTP: the studio's own, and the service's as it is forwarded.


def frame(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


class Stream:
    """A stream over HTTP as it comes, frame by frame."""

    def __init__(self, rig: Rig, path: str, body: bytes, content_type: str) -> None:
        self.rig, self.path, self.body, self.content_type = rig, path, body, content_type
        self.pending = b""

    async def __aenter__(self) -> "Stream":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.rig.port, limit=1 << 16)
        framed = frame(self.body)
        headers = self.rig.headers(content_type=self.content_type, origin=PAGE, x_client="page")
        headers["content-length"] = str(len(framed))
        self.writer.write(raw_http.head("POST", self.path, headers) + framed)
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        assert head.startswith(b"HTTP/1.1 200"), head
        self.chunks = raw_http.chunks(self.reader)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def next(self) -> tuple[int, bytes]:
        """Flag and body of the next frame."""
        while len(self.pending) < 5 or len(self.pending) < 5 + struct.unpack_from(">BI", self.pending)[1]:
            self.pending += await asyncio.wait_for(anext(self.chunks), 10)
        flag, size = struct.unpack_from(">BI", self.pending)
        message, self.pending = self.pending[5 : 5 + size], self.pending[5 + size :]
        return flag, message

    async def json(self) -> dict[str, dict[str, object]]:
        flag, message = await self.next()
        assert flag == 0, message
        value: dict[str, dict[str, object]] = json.loads(message)
        return value


async def test_connect_streams_the_studios_watch_as_json(rig: Rig) -> None:
    body = json.dumps({"sources": [{"project": {"projectPath": FILM}}, {"project": {"projectPath": OTHER}}]}).encode()
    async with Stream(rig, f"{STUDIO}/Watch", body, "application/connect+json") as stream:
        progress = [await stream.json(), await stream.json()]
        assert sorted(message["projectPath"] for message in progress) == [OTHER, FILM]
        assert all(message["progress"]["logId"] for message in progress)
        await changed(rig, FILM, 1, client="editor")
        message = await stream.json()
        assert (message["projectChange"]["revision"], message["projectChange"]["origin"]["client"]) == ("1", "editor")
        draining = asyncio.create_task(rig.gateway.drain())
        flag, end = await stream.next()
        await draining
    error = json.loads(end)["error"]
    assert (flag, error["code"]) == (2, "unavailable")
    info = next(one for one in error["details"] if one["type"] == "google.rpc.ErrorInfo")
    told = error_details_pb2.ErrorInfo.FromString(base64.b64decode(info["value"] + "=="))
    assert dict(told.metadata) == {"revisions": "1,0"}


async def test_connect_streams_the_services_watch_as_json(rig: Rig) -> None:
    body = json.dumps({"projectPath": FILM, "afterRevision": "0"}).encode()
    async with Stream(rig, WATCH_PROJECT, body, "application/connect+json") as stream:
        assert (await stream.json())["progress"]["logId"]
        await changed(rig, FILM, 1)
        assert (await stream.json())["change"]["revision"] == "1"


async def test_grpc_web_streams_both(rig: Rig) -> None:
    asked = pb.WatchRequest(sources=[source()]).SerializeToString()
    ours = Stream(rig, f"{STUDIO}/Watch", asked, "application/grpc-web+proto")
    asked = files.WatchProjectRequest(project_path=FILM).SerializeToString()
    theirs = Stream(rig, WATCH_PROJECT, asked, "application/grpc-web+proto")
    async with ours, theirs:
        assert pb.WatchResponse.FromString((await ours.next())[1]).HasField("progress")
        assert files.WatchProjectResponse.FromString((await theirs.next())[1]).HasField("progress")
        await changed(rig, FILM, 1)
        assert pb.WatchResponse.FromString((await ours.next())[1]).project_change.revision == 1
        assert files.WatchProjectResponse.FromString((await theirs.next())[1]).change.revision == 1
        draining = asyncio.create_task(rig.gateway.drain())
        flag, trailers = await ours.next()
        await draining
    told = dict(line.replace(": ", ":").split(":", 1) for line in trailers.decode().strip().split("\r\n"))
    assert (flag, told["grpc-status"]) == (0x80, "14")
    details = told["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4)))
    assert dict(info_of(status).metadata) == {"revisions": "1"}


@gateway_alone
async def test_a_watch_that_cannot_begin_is_refused_over_http(rig: Rig) -> None:
    for sources, code in (([{"project": {"projectPath": "/nowhere"}}], "not_found"), ([], "invalid_argument")):
        body = json.dumps({"sources": sources}).encode()
        async with Stream(rig, f"{STUDIO}/Watch", body, "application/connect+json") as stream:
            flag, end = await stream.next()
        assert (flag, json.loads(end)["error"]["code"]) == (2, code)


@gateway_alone
@pytest.mark.parametrize("limits", [Limits(slow_watch=0.2)])
async def test_a_page_that_does_not_read_is_cut_off(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps({"sources": [{"project": {"projectPath": FILM}}]}).encode()
    async with Stream(rig, f"{STUDIO}/Watch", body, "application/connect+json") as stream:
        await stream.json()
        text = "x" * 200_000
        async with asyncio.timeout(20):
            n = 0
            while rig.door.watches:
                await rig.ipc("shot:update", [A1, {"text": f"{n}{text}"}])
                n += 1
    reasons = [line["reason"] for line in rig.access_lines() if str(line["method"]).endswith("/Watch")]
    assert reasons == ["WATCH_TOO_SLOW"]
    assert not caplog.records  # the HTTP server did not take it for a crash
