"""What comes back from a call, in one form for all doors."""

import base64
import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import grpc.aio
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.studio.v1 import studio_service_pb2 as studio

from tests.services.gateway import raw_http

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


# By the client's own clock, and by the size limits of the library: neither knows details.
_OF_GRPC_ITSELF = {"DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED": "TOO_LARGE"}


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


def stream_answer(answer: raw_http.Answer) -> Answer:
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


def _last_words(names: Sequence[str] | Mapping[str, str]) -> frozenset[str]:
    return frozenset(re.sub("([A-Z])", r"_\1", name.rpartition(".")[2]).lower() for name in names)


def message_answer(message: Message) -> Answer:
    """A message of gRPC."""
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


def grpc_failure(error: grpc.aio.AioRpcError) -> Answer:
    """A call of gRPC that failed."""
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
