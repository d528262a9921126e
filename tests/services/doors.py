"""The doors: one call, said through each of them.

A door that cannot express a call (an id that is no text, a method that it does not have) says so, and
the test leaves the pair out.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Protocol

import grpc.aio
from google.protobuf.message import Message
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.studio.v1 import studio_service_pb2 as studio

from tests.services.answers import (
    Answer,
    connect_answer,
    envelope_answer,
    grpc_failure,
    ipc_answer,
    message_answer,
    stream_answer,
)
from tests.services.asking import (
    CHANNELS,
    FILES,
    STUDIO,
    STUDIO_METHODS,
    Ask,
    arguments_json,
    encoded,
    fits_messages,
    in_camel_case,
    message_of,
    studio_fields,
    studio_message_of,
    without,
)
from tests.services.gateway import raw_http


class Address(Protocol):
    """Where the doors are."""

    service: grpc.aio.Channel
    gateway: grpc.aio.Channel
    http_port: int


class Door(Protocol):
    """A way in. `kind` is grpc, connect or ipc: what decides how values are written."""

    name: str
    kind: str

    def expresses(self, ask: Ask) -> bool: ...
    async def answer(self, at: Address, ask: Ask) -> Answer: ...


class Grpc:
    """SequenceFileService over gRPC: at the service, or forwarded by the gateway."""

    kind = "grpc"

    def __init__(self, name: str) -> None:
        self.name = name

    def expresses(self, ask: Ask) -> bool:
        return fits_messages(ask)

    async def answer(self, at: Address, ask: Ask) -> Answer:
        channel = at.service if self.name == "service" else at.gateway
        ways = {"WatchProject": watch}
        return await ways.get(ask.method, call)(channel, f"/{FILES}/{ask.method}", encoded(message_of(ask), ask), ask)


class GrpcStudio:
    """StudioService over gRPC."""

    name = "studio"
    kind = "grpc"

    def expresses(self, ask: Ask) -> bool:
        return ask.method in STUDIO_METHODS and "view" not in ask.fields and fits_messages(ask)

    async def answer(self, at: Address, ask: Ask) -> Answer:
        path = f"/{STUDIO}/{STUDIO_METHODS[ask.method]}"
        return await call(at.gateway, path, encoded(studio_message_of(ask), ask), ask)


class Connect:
    """Connect JSON over HTTP: SequenceFileService or StudioService."""

    kind = "connect"

    def __init__(self, name: str, *, studio: bool) -> None:
        self.name = name
        self._studio = studio

    def expresses(self, ask: Ask) -> bool:
        return not self._studio or (ask.method in STUDIO_METHODS and "view" not in ask.fields)

    async def answer(self, at: Address, ask: Ask) -> Answer:
        if self._studio:
            path, fields = f"/{STUDIO}/{STUDIO_METHODS[ask.method]}", studio_fields(ask)
        else:
            path, fields = f"/{FILES}/{ask.method}", without(ask.fields)
        body = json.dumps(in_camel_case(fields)).encode()
        headers = {"connect-timeout-ms": str(round(ask.timeout * 1000)), **ask.headers}
        if ask.method == "WatchProject":
            headers["content-type"] = "application/connect+json"
            framed = struct.pack(">BI", 0, len(body)) + body
            return stream_answer(await post(at, path, framed, headers, beginning=True))
        return connect_answer(await post(at, path, body, headers))


class Ipc:
    """`POST /ipc/<channel>`."""

    name = "ipc"
    kind = "ipc"

    def expresses(self, ask: Ask) -> bool:
        return ask.method in CHANNELS and "view" not in ask.fields

    async def answer(self, at: Address, ask: Ask) -> Answer:
        headers = {"x-timeout-ms": str(round(ask.timeout * 1000)), **ask.headers}
        body = arguments_json(ask).encode("utf-8", "surrogatepass")
        return ipc_answer(await post(at, f"/ipc/{CHANNELS[ask.method]}", body, headers))


class Invoke:
    """The same channels, through `StudioService.Invoke`."""

    name = "invoke"
    kind = "ipc"

    def expresses(self, ask: Ask) -> bool:
        return ask.method in CHANNELS and "view" not in ask.fields

    async def answer(self, at: Address, ask: Ask) -> Answer:
        request = studio.InvokeRequest(channel=CHANNELS[ask.method], arguments_json=arguments_json(ask))
        said = await call(at.gateway, f"/{STUDIO}/Invoke", request.SerializeToString(), ask)
        return envelope_answer(said.documents[0]) if said.code == "OK" else said


SERVICE, FORWARDED = Grpc("service"), Grpc("forwarded")
STUDIO_DOOR, INVOKE, IPC = GrpcStudio(), Invoke(), Ipc()
CONNECT, CONNECT_FORWARDED = Connect("connect", studio=True), Connect("connect-forwarded", studio=False)
DOORS: Sequence[Door] = (SERVICE, FORWARDED, STUDIO_DOOR, CONNECT, CONNECT_FORWARDED, IPC, INVOKE)

_ANSWERS: Mapping[str, type[Message]] = {
    f"/{FILES}/ListSequences": files.ListSequencesResponse,
    f"/{FILES}/GetSequence": files.Sequence,
    f"/{FILES}/GetShots": files.GetShotsResponse,
    f"/{FILES}/GetShot": files.Shot,
    f"/{FILES}/UpdateShot": files.Shot,
    f"/{FILES}/UpdateProjectShot": files.Shot,
    f"/{FILES}/ListProjectShots": files.ListProjectShotsResponse,
    f"/{FILES}/CreateSequence": files.Sequence,
    f"/{FILES}/UpdateSequence": files.Sequence,
    f"/{FILES}/DeleteSequence": files.DeleteSequenceResponse,
    f"/{FILES}/ReorderSequences": files.ReorderSequencesResponse,
    f"/{FILES}/CreateShot": files.Shot,
    f"/{FILES}/DeleteShot": files.DeleteShotResponse,
    f"/{FILES}/MoveShot": files.Shot,
    f"/{FILES}/BatchUpdateShots": files.BatchUpdateShotsResponse,
    f"/{FILES}/ListVersions": files.ListVersionsResponse,
    f"/{FILES}/GetVersion": files.VersionDocument,
    f"/{FILES}/DiffVersions": files.DiffVersionsResponse,
    f"/{FILES}/RestoreVersion": files.RestoreVersionResponse,
    f"/{FILES}/ListTrash": files.ListTrashResponse,
    f"/{STUDIO}/UpdateShot": studio.Shot,
    f"/{STUDIO}/GetShot": studio.Shot,
    f"/{STUDIO}/GetShots": studio.GetShotsResponse,
    f"/{STUDIO}/GetAllSequences": studio.GetAllSequencesResponse,
    f"/{STUDIO}/Invoke": studio.InvokeResponse,
}


async def call(channel: grpc.aio.Channel, path: str, request: bytes, ask: Ask) -> Answer:
    """One unary call of raw bytes."""
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    try:
        raw = await method(request, timeout=ask.timeout, metadata=tuple(ask.headers.items()))
    except grpc.aio.AioRpcError as error:
        return grpc_failure(error)
    return message_answer(_ANSWERS[path].FromString(raw))


async def watch(channel: grpc.aio.Channel, path: str, request: bytes, ask: Ask) -> Answer:
    """The beginning of one watch of raw bytes: its first message, or why there is none."""
    method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)
    stream = method(request, timeout=ask.timeout, metadata=tuple(ask.headers.items()))
    try:
        async for message in stream:
            return Answer(code="OK", everything=str(message))
    except grpc.aio.AioRpcError as error:
        return grpc_failure(error)
    finally:
        stream.cancel()
    raise AssertionError("a watch that ended without a word")


async def post(
    at: Address, path: str, body: bytes, headers: Mapping[str, str], *, beginning: bool = False
) -> raw_http.Answer:
    """One request on a connection of its own; of a stream only the `beginning`. A header that is "" is left out."""
    full = {
        "host": f"127.0.0.1:{at.http_port}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **headers,
    }
    head = raw_http.head("POST", path, {name: value for name, value in full.items() if value})
    return await raw_http.send(at.http_port, head + body, beginning=beginning)
