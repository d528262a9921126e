"""One call, said through every door: what a test asks, how each door writes it, what comes back.

A call is named as the sequence-file service names it. A door that cannot express it (an id that is
no text, a method that it does not have) says so, and the test leaves the pair out.
"""

import base64
import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.studio.v1 import studio_service_pb2 as studio

from tests.services.gateway import raw_http

TOKEN = "a-token-for-tests"
FILES = files.DESCRIPTOR.services_by_name["SequenceFileService"].full_name
STUDIO = studio.DESCRIPTOR.services_by_name["StudioService"].full_name

# google/rpc/code.proto, and HTTP's own words for what only the HTTP door refuses.
_HTTP = {
    "OK": 200,
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}
_HTTP_OF_REASON = {
    "HOST_NOT_ALLOWED": 421,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "METHOD_NOT_ALLOWED": 405,
    "UNKNOWN_METHOD": 404,
}


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One call of the sequence-file service, by the names of its contract."""

    method: str
    fields: Mapping[str, object]
    timeout: float = 10.0  # seconds
    headers: Mapping[str, str] = field(default_factory=lambda: {"authorization": f"Bearer {TOKEN}"})

    def but(self, **fields: object) -> "Ask":
        return replace(self, fields={**self.fields, **fields})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, in one form for all doors."""

    code: str
    reason: str = ""
    message: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    fields: frozenset[str] = frozenset()  # last words of the names, in snake_case
    retry_after: float | None = None
    documents: Sequence[str] = ()  # of the shots or sequences in it, as JSON text
    etag: str = ""
    unreachable: Sequence[Mapping[str, object]] = ()
    next_page_token: str = ""
    everything: str = ""  # every character that reached the caller


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
        return _fits_messages(ask)

    async def answer(self, at: Address, ask: Ask) -> Answer:
        channel = at.service if self.name == "service" else at.gateway
        ways = {"WatchProject": watch}
        return await ways.get(ask.method, call)(channel, f"/{FILES}/{ask.method}", _encoded(_request(ask), ask), ask)


class GrpcStudio:
    """StudioService over gRPC."""

    name = "studio"
    kind = "grpc"

    def expresses(self, ask: Ask) -> bool:
        return ask.method in _STUDIO_METHODS and "view" not in ask.fields and _fits_messages(ask)

    async def answer(self, at: Address, ask: Ask) -> Answer:
        path = f"/{STUDIO}/{_STUDIO_METHODS[ask.method]}"
        return await call(at.gateway, path, _encoded(_studio_request(ask), ask), ask)


class Connect:
    """Connect JSON over HTTP: SequenceFileService or StudioService."""

    kind = "connect"

    def __init__(self, name: str, *, studio: bool) -> None:
        self.name = name
        self._studio = studio

    def expresses(self, ask: Ask) -> bool:
        return not self._studio or (ask.method in _STUDIO_METHODS and "view" not in ask.fields)

    async def answer(self, at: Address, ask: Ask) -> Answer:
        if self._studio:
            path, fields = f"/{STUDIO}/{_STUDIO_METHODS[ask.method]}", _studio_fields(ask)
        else:
            path, fields = f"/{FILES}/{ask.method}", _without(ask.fields)
        body = json.dumps(_in_camel_case(fields)).encode()
        headers = {"connect-timeout-ms": str(round(ask.timeout * 1000)), **ask.headers}
        if ask.method == "WatchProject":
            headers["content-type"] = "application/connect+json"
            return _stream_answer(await _first_frame(at, path, struct.pack(">BI", 0, len(body)) + body, headers))
        return connect_answer(await post(at, path, body, headers))


class Ipc:
    """`POST /ipc/<channel>`."""

    name = "ipc"
    kind = "ipc"

    def expresses(self, ask: Ask) -> bool:
        return ask.method in _CHANNELS and "view" not in ask.fields

    async def answer(self, at: Address, ask: Ask) -> Answer:
        headers = {"x-timeout-ms": str(round(ask.timeout * 1000)), **ask.headers}
        body = arguments_json(ask).encode("utf-8", "surrogatepass")
        return ipc_answer(await post(at, f"/ipc/{_CHANNELS[ask.method]}", body, headers))


class Invoke:
    """The same channels, through `StudioService.Invoke`."""

    name = "invoke"
    kind = "ipc"

    def expresses(self, ask: Ask) -> bool:
        return ask.method in _CHANNELS and "view" not in ask.fields

    async def answer(self, at: Address, ask: Ask) -> Answer:
        request = studio.InvokeRequest(channel=_CHANNELS[ask.method], arguments_json=arguments_json(ask))
        said = await call(at.gateway, f"/{STUDIO}/Invoke", request.SerializeToString(), ask)
        return envelope_answer(said.documents[0]) if said.code == "OK" else said


SERVICE, FORWARDED = Grpc("service"), Grpc("forwarded")
STUDIO_DOOR, INVOKE, IPC = GrpcStudio(), Invoke(), Ipc()
CONNECT, CONNECT_FORWARDED = Connect("connect", studio=True), Connect("connect-forwarded", studio=False)
DOORS: Sequence[Door] = (SERVICE, FORWARDED, STUDIO_DOOR, CONNECT, CONNECT_FORWARDED, IPC, INVOKE)

_STUDIO_METHODS = {
    "UpdateShot": "UpdateShot",
    "UpdateProjectShot": "UpdateShot",
    "GetShots": "GetShots",
    "GetShot": "GetShot",
    "ListSequences": "GetAllSequences",
}
_CHANNELS = {
    "UpdateShot": "sequence:update-shot",
    "UpdateProjectShot": "shot:update",
    "GetShots": "sequence:get-shots",
    "GetShot": "shot:get",
    "ListSequences": "sequence:get-all",
    "CreateSequence": "sequence:create",
    "UpdateSequence": "sequence:update",
    "DeleteSequence": "sequence:delete",
    "ReorderSequences": "sequence:reorder",
    "CreateShot": "shot:create",
    "DeleteShot": "shot:delete",
    "MoveShot": "shot:move",
    "BatchUpdateShots": "shot:update-many",
    "ListVersions": "sequence:versions",
    "GetVersion": "sequence:version",
    "DiffVersions": "sequence:diff",
    "RestoreVersion": "sequence:restore",
    "ListTrash": "sequence:trash",
}
_OPTIONS = ("etag", "request_id", "page_size", "page_token", "all_or_nothing", "to_revision")
# Fields that are options of one channel, and arguments of others.
_MORE_OPTIONS: Mapping[str, Sequence[str]] = {
    "CreateSequence": ("sequence_id",),
    "CreateShot": ("after_shot_id", "index"),
    "ListVersions": ("shot_id",),
    "DiffVersions": ("shot_id",),
    "RestoreVersion": ("shot_id",),
}
_DOCUMENTS = {"CreateSequence": "document", "CreateShot": "shot"}
_HAVE_TARGETS = frozenset({"UpdateProjectShot", "GetShot", "DeleteShot", "MoveShot"})
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
# By the client's own clock, and by the size limits of the library: neither knows details.
_OF_GRPC_ITSELF = {"DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED": "TOO_LARGE"}
# Bits of integers, and the types of what is neither integer nor text.
_NUMBERS = {
    **dict.fromkeys(("mode", "view", "page_size"), 32),
    **dict.fromkeys(("revision", "from_revision", "to_revision", "after_revision"), 64),
}
_OTHERS: Mapping[str, tuple[type, ...]] = {
    "all_or_nothing": (bool,),
    "progress_seconds": (int, float),
    "place": (Mapping,),
    "edits": (list,),
    "sequence_ids": (list,),
}
_JSON = ("updates_json", "document_json")
_TARGET = ("project_path", "sequence_id", "shot_id")
_MODES = {1: "MERGE_PATCH", 2: "REPLACE_TOP_LEVEL"}


async def call(channel: grpc.aio.Channel, path: str, request: bytes, ask: Ask) -> Answer:
    """One unary call of raw bytes."""
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    try:
        raw = await method(request, timeout=ask.timeout, metadata=tuple(ask.headers.items()))
    except grpc.aio.AioRpcError as error:
        return _grpc_failure(error)
    return _message_answer(_ANSWERS[path].FromString(raw))


async def watch(channel: grpc.aio.Channel, path: str, request: bytes, ask: Ask) -> Answer:
    """The beginning of one watch of raw bytes: its first message, or why there is none."""
    method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)
    stream = method(request, timeout=ask.timeout, metadata=tuple(ask.headers.items()))
    try:
        async for message in stream:
            return Answer(code="OK", everything=str(message))
    except grpc.aio.AioRpcError as error:
        return _grpc_failure(error)
    finally:
        stream.cancel()
    raise AssertionError("a watch that ended without a word")


async def post(at: Address, path: str, body: bytes, headers: Mapping[str, str]) -> raw_http.Answer:
    """One request on a connection of its own. A header that is given as "" is left out."""
    return await raw_http.send(at.http_port, _head(at, path, body, headers) + body)


def _head(at: Address, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    full = {
        "host": f"127.0.0.1:{at.http_port}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **headers,
    }
    return raw_http.head("POST", path, {name: value for name, value in full.items() if value})


async def _first_frame(at: Address, path: str, body: bytes, headers: Mapping[str, str]) -> raw_http.Answer:
    """The beginning of a stream: its first message, or its end. Then the caller hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at.http_port)
    try:
        writer.write(_head(at, path, body, headers) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        if b"transfer-encoding: chunked" not in head.lower():
            reader.feed_data  # noqa: B018
        async for chunk in raw_http.chunks(reader):
            return raw_http.Answer(200, {}, chunk)
    finally:
        writer.close()
    raise AssertionError("a stream without an end")


def ipc_answer(answer: raw_http.Answer) -> Answer:
    """The envelope of a channel, with its HTTP status checked."""
    said = envelope_answer(answer.body.decode())
    _check_status(answer, said)
    return replace(said, everything=f"{answer.headers}{said.everything}")


def connect_answer(answer: raw_http.Answer) -> Answer:
    """What Connect says, with its HTTP status checked."""
    everything = f"{dict(answer.headers)}{answer.body.decode()}"
    body = answer.json
    if answer.status == 200:
        return replace(_json_answer(body), everything=everything)
    if "success" in body:  # refused before the call was known to be one of Connect
        return ipc_answer(answer)
    said = _connect_failure(body)
    _check_status(answer, said)
    return replace(said, everything=everything + said.everything)


def _stream_answer(answer: raw_http.Answer) -> Answer:
    """The end of a stream that ended before its first message."""
    if answer.status != 200:
        return ipc_answer(answer)
    flag, size = struct.unpack_from(">BI", answer.body)
    body = answer.body[5 : 5 + size].decode()
    if flag == 0:
        return Answer(code="OK", everything=body)
    error = cast("dict[str, object]", json.loads(body)["error"])
    said = _connect_failure(error)
    return replace(said, everything=f"{dict(answer.headers)}{body}{said.everything}")


def _connect_failure(body: Mapping[str, object]) -> Answer:
    details = [
        (str(detail["type"]), base64.b64decode(str(detail["value"]) + "=="))
        for detail in cast("list[dict[str, object]]", body.get("details", []))
    ]
    code = "CANCELLED" if body["code"] == "canceled" else str(body["code"]).upper()
    return _failure(code, str(body.get("message", "")), details)


def envelope_answer(text: str) -> Answer:
    """The envelope that channels answer with."""
    body = cast("dict[str, object]", json.loads(text))
    if body["success"] is True:
        return replace(_json_answer(body), everything=text)
    details = cast("dict[str, object]", body["details"])
    fields = cast("dict[str, str]", details.pop("fields", {}))
    retry_after = cast("float | None", details.pop("retryAfterSeconds", None))
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in details.items()}
    if "currentEtag" in metadata:
        metadata["current_etag"] = metadata.pop("currentEtag")
    if "current" in metadata:
        metadata["current_json"] = metadata.pop("current")
    return Answer(
        code=str(body["code"]),
        reason=str(body["reason"]),
        message=str(body["error"]),
        metadata=metadata,
        fields=_last_words(fields),
        retry_after=retry_after,
        everything=text,
    )


def arguments_json(ask: Ask) -> str:
    """A call as the arguments of its channel; documents stand in it as they were given, JSON or not."""
    fields = dict(ask.fields)
    documents = {_DOCUMENTS.get(ask.method, "updates"): fields.pop(name) for name in _JSON if name in fields}
    if ask.method == "CreateShot":
        fields |= cast("Mapping[str, object]", fields.pop("place", {}))
    if ask.method == "MoveShot":
        place = dict(cast("Mapping[str, object]", fields.pop("place", {})))
        if "target_sequence_id" in fields:
            place["sequence_id"] = fields.pop("target_sequence_id")
    names = (*_OPTIONS, *_MORE_OPTIONS.get(ask.method, ()))
    options = {name: fields.pop(name) for name in names if name in fields}
    if "mode" in fields:
        options["mode"] = _mode(fields.pop("mode"))
    if "edits" in fields:
        documents["edits"] = (
            f"[{', '.join(map(_edit_json, cast('Sequence[Mapping[str, object]]', fields.pop('edits'))))}]"
        )
    arguments: dict[str, object] = fields
    if ask.method in _HAVE_TARGETS:
        arguments = {"target": fields}
    if ask.method == "MoveShot":
        arguments["place"] = place
    if options:
        arguments["options"] = options
    return _with_texts(arguments, documents)


def _edit_json(edit: Mapping[str, object]) -> str:
    fields = dict(edit)
    updates = fields.pop("updates_json")
    if "mode" in fields:
        fields["mode"] = _mode(fields["mode"])
    return _with_texts(fields, {"updates": updates})


def _mode(mode: object) -> object:
    return _MODES.get(mode, mode) if type(mode) is int else mode


def _with_texts(members: Mapping[str, object], texts: Mapping[str, object]) -> str:
    """A JSON object of which some values are texts already."""
    pieces = [json.dumps(_in_camel_case(members))[1:-1]] if members else []
    return f"{{{', '.join((*pieces, *(f'{json.dumps(name)}: {text}' for name, text in texts.items())))}}}"


def _request(ask: Ask) -> Message:
    return _filled(cast("type[Message]", getattr(files, f"{ask.method}Request")), ask.fields)


def _studio_request(ask: Ask) -> Message:
    kind = cast("type[Message]", getattr(studio, f"{_STUDIO_METHODS[ask.method]}Request"))
    if ask.method not in ("UpdateShot", "UpdateProjectShot", "GetShot"):
        return _filled(kind, ask.fields)
    place = {name: ask.fields[name] for name in _TARGET if name in ask.fields}
    request = cast("studio.UpdateShotRequest | studio.GetShotRequest", _filled(kind, _without(ask.fields, *_TARGET)))
    if "sequence_id" in place:
        request.target.sequence_shot.MergeFrom(cast(studio.SequenceShot, _filled(studio.SequenceShot, place)))
    else:
        request.target.project_shot.MergeFrom(cast(studio.ProjectShot, _filled(studio.ProjectShot, place)))
    return request


def _studio_fields(ask: Ask) -> Mapping[str, object]:
    if ask.method not in ("UpdateShot", "UpdateProjectShot", "GetShot"):
        return ask.fields
    place = {name: ask.fields[name] for name in _TARGET if name in ask.fields}
    target = {"sequence_shot" if "sequence_id" in place else "project_shot": place}
    return {"target": target, **_without(ask.fields, *_TARGET)}


def _filled(kind: type[Message], fields: Mapping[str, object]) -> Message:
    message = kind()
    _fill(message, fields)
    return message


def _fill(message: Message, fields: Mapping[str, object]) -> None:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            getattr(message, name).SetInParent()
            _fill(getattr(message, name), value)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, Mapping):
                    _fill(getattr(message, name).add(), item)
                else:
                    getattr(message, name).append(item)
        else:
            setattr(message, name, _stand_in(value) if isinstance(value, str) and not _is_unicode(value) else value)


def _encoded(message: Message, ask: Ask) -> bytes:
    """The message's bytes; text that is no Unicode, which no library writes, is put in by hand."""
    raw = message.SerializeToString()
    for value in ask.fields.values():
        if isinstance(value, str) and not _is_unicode(value):
            raw = raw.replace(_stand_in(value).encode(), value.encode("utf-8", "surrogatepass"))
    return raw


def _stand_in(text: str) -> str:
    return "\x02" * len(text.encode("utf-8", "surrogatepass"))


def _is_unicode(text: str) -> bool:
    return not re.search("[\ud800-\udfff]", text)


def _fits_messages(ask: Ask) -> bool:
    for name, value in ask.fields.items():
        if bits := _NUMBERS.get(name):
            if type(value) is not int or not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
                return False
        elif kinds := _OTHERS.get(name):
            if not isinstance(value, kinds):
                return False
        elif not (isinstance(value, str) or callable(value)):
            return False
    return True


def _without(fields: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in fields.items() if name not in names}


def _in_camel_case(value: object) -> object:
    if isinstance(value, list):
        return [_in_camel_case(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {re.sub("_([a-z])", lambda found: found[1].upper(), name): _in_camel_case(v) for name, v in value.items()}


def _last_words(names: Sequence[str] | Mapping[str, str]) -> frozenset[str]:
    return frozenset(re.sub("([A-Z])", r"_\1", name.rpartition(".")[2]).lower() for name in names)


def _message_answer(message: Message) -> Answer:
    if isinstance(message, studio.InvokeResponse):
        return Answer(code="OK", documents=[message.envelope_json], everything=message.envelope_json)
    lists = (getattr(message, name) for name in ("shots", "sequences") if hasattr(message, name))
    listed = cast("Sequence[files.Shot]", next(lists, [message]))  # or another message with a document
    return Answer(
        code="OK",
        documents=[item.document_json for item in listed if hasattr(item, "document_json")],
        etag=getattr(message, "etag", ""),
        unreachable=[
            {"file": one.file, "reason": one.reason, "line": one.line, "column": one.column}
            for one in getattr(message, "unreachable", ())
        ],
        next_page_token=getattr(message, "next_page_token", ""),
        everything=str(message),
    )


def _json_answer(body: Mapping[str, object]) -> Answer:
    """An answer of Connect, whose documents are texts, or of a channel, whose documents are JSON."""
    listed = cast("list[object]", body.get("shots", body.get("sequences", [body.get("shot", body)])))
    documents = [
        str(item["documentJson"]) if isinstance(item, dict) and "documentJson" in item else json.dumps(item)
        for item in (listed if body.keys() - {"nextPageToken", "unreachable"} else [])
    ]
    return Answer(
        code="OK",
        documents=documents,
        etag=str(body.get("etag", "")),
        unreachable=cast("list[Mapping[str, object]]", body.get("unreachable", [])),
        next_page_token=str(body.get("nextPageToken", "")),
    )


def _grpc_failure(error: grpc.aio.AioRpcError) -> Answer:
    status = status_pb2.Status()
    trailing = tuple(error.trailing_metadata() or ())
    for key, value in trailing:
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(cast(bytes, value))
            assert (status.code, status.message) == (error.code().value[0], error.details())
    details = [(detail.TypeName(), detail.value) for detail in status.details]
    said = _failure(error.code().name, error.details() or "", details)
    if not details:
        said = replace(said, reason=_OF_GRPC_ITSELF.get(said.code, ""))
    return replace(said, everything=f"{error.details()}{trailing}{error.initial_metadata()}{said.everything}")


def _failure(code: str, message: str, details: Sequence[tuple[str, bytes]]) -> Answer:
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    retry_after = None
    for kind, value in details:
        match kind:
            case "google.rpc.ErrorInfo":
                info.ParseFromString(value)
                assert info.domain == "shotline"
            case "google.rpc.BadRequest":
                bad.ParseFromString(value)
            case "google.rpc.RetryInfo":
                retry.ParseFromString(value)
                retry_after = retry.retry_delay.ToNanoseconds() / 1e9
            case _:
                raise AssertionError(f"a detail that nobody announced: {kind}")
    return Answer(
        code=code,
        reason=info.reason,
        message=message,
        metadata=dict(info.metadata),
        fields=_last_words([violation.field for violation in bad.field_violations]),
        retry_after=retry_after,
        everything=f"{message}{info}{bad}",
    )


def _check_status(answer: raw_http.Answer, said: Answer) -> None:
    assert answer.status == _HTTP_OF_REASON.get(said.reason, _HTTP[said.code])
