"""Faults as gRPC and HTTP say them, and back: the one table, in both directions.

On the wire a fault is a google.rpc.Status with
    ErrorInfo    reason, domain "shotline", metadata (with current_etag and current_json for a conflict)
    BadRequest   the fields, where there are any
    RetryInfo    retry_after, where it is known
"""

import logging
import uuid
from typing import NoReturn
from urllib.parse import quote

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.kernel.faults import Code, Current, Fault

DOMAIN = "shotline"
MAX_CURRENT_JSON = 4096  # bytes of a conflict's current value that travel with the error
# Stock clients refuse trailing metadata above 8 KiB; 1 KiB is left for what else is in it.
MAX_TRAILERS = 7 * 1024

_UTF8 = ("utf-8", "backslashreplace")
_DETAILS_KEY = "grpc-status-details-bin"
_RETRY_AFTER = 1.0  # seconds, for an UNAVAILABLE that does not say

_log = logging.getLogger(__name__)

# Code → gRPC → HTTP, as google/rpc/code.proto has it.
_TABLE = {
    Code.CANCELLED: (grpc.StatusCode.CANCELLED, 499),
    Code.INVALID_ARGUMENT: (grpc.StatusCode.INVALID_ARGUMENT, 400),
    Code.DEADLINE_EXCEEDED: (grpc.StatusCode.DEADLINE_EXCEEDED, 504),
    Code.NOT_FOUND: (grpc.StatusCode.NOT_FOUND, 404),
    Code.ALREADY_EXISTS: (grpc.StatusCode.ALREADY_EXISTS, 409),
    Code.PERMISSION_DENIED: (grpc.StatusCode.PERMISSION_DENIED, 403),
    Code.RESOURCE_EXHAUSTED: (grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
    Code.FAILED_PRECONDITION: (grpc.StatusCode.FAILED_PRECONDITION, 400),
    Code.ABORTED: (grpc.StatusCode.ABORTED, 409),
    Code.OUT_OF_RANGE: (grpc.StatusCode.OUT_OF_RANGE, 400),
    Code.UNIMPLEMENTED: (grpc.StatusCode.UNIMPLEMENTED, 501),
    Code.INTERNAL: (grpc.StatusCode.INTERNAL, 500),
    Code.UNAVAILABLE: (grpc.StatusCode.UNAVAILABLE, 503),
    Code.UNAUTHENTICATED: (grpc.StatusCode.UNAUTHENTICATED, 401),
}
_CODES = {code_of_grpc: code for code, (code_of_grpc, _) in _TABLE.items()}

# Refusals of the HTTP door for which HTTP has a finer word than the code's.
_HTTP_OF_REASON = {"HOST_NOT_ALLOWED": 421, "UNSUPPORTED_MEDIA_TYPE": 415, "METHOD_NOT_ALLOWED": 405}

# What a status without our ErrorInfo means: it comes from gRPC itself, or from something in between.
# Texts of ours: gRPC's own name addresses, and those of strangers may hold anything.
_BARE = {
    Code.UNAVAILABLE: ("BACKEND_UNAVAILABLE", "a process that is needed cannot be reached; try again"),
    Code.DEADLINE_EXCEEDED: ("DEADLINE_EXCEEDED", "the work was not done in time"),
    Code.UNIMPLEMENTED: ("UNKNOWN_METHOD", "no such method here"),
    Code.RESOURCE_EXHAUSTED: ("TOO_LARGE", "a message or its metadata is over the limit"),
    Code.UNAUTHENTICATED: ("TOKEN_INVALID", "the token is not valid here"),
}


def grpc_code(code: Code) -> grpc.StatusCode:
    """The gRPC status code."""
    return _TABLE[code][0]


def http_status(fault: Fault) -> int:
    """The HTTP status."""
    return _HTTP_OF_REASON.get(fault.reason) or _TABLE[fault.code][1]


def to_status(fault: Fault) -> status_pb2.Status:
    """The fault as a google.rpc.Status that fits into the trailing metadata of stock clients: a current
    value that is too large is left out, then long texts are cut."""
    current = _travelling(fault.current)
    status = _encode(fault, current)
    if _size(status) > MAX_TRAILERS and current:
        current = Current(etag=current.etag, document_json=None)
        status = _encode(fault, current)
    if _size(status) > MAX_TRAILERS:
        status = _encode(_shortened(fault), current)
    return status


def facts(fault: Fault) -> dict[str, str]:
    """What an ErrorInfo says of the fault besides its reason, for errors that are part of an answer."""
    return _facts(fault, _travelling(fault.current))


def text(words: str) -> str:
    """The words as a protobuf string can hold them.

    A file name that is not UTF-8 reaches Python as lone surrogates, which none can.
    """
    return words.encode(*_UTF8).decode()


async def abort(context: "grpc.aio.ServicerContext[object, object]", fault: Fault) -> NoReturn:
    """End the call with the fault."""
    await context.abort_with_status(rpc_status.to_status(to_status(fault)))


def from_rpc_error(error: grpc.aio.AioRpcError) -> Fault:
    """The fault behind a failed call: the inverse of `to_status`."""
    code = _CODES.get(error.code())
    status = _details(error)
    info, fields, retry_after = error_details_pb2.ErrorInfo(), {}, None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad_request = error_details_pb2.BadRequest()
            detail.Unpack(bad_request)
            fields = {violation.field: violation.description for violation in bad_request.field_violations}
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry_info = error_details_pb2.RetryInfo()
            detail.Unpack(retry_info)
            retry_after = retry_info.retry_delay.ToNanoseconds() / 1e9
    if code is None or info.domain != DOMAIN:
        return _bare(code, error)
    metadata = dict(info.metadata)
    etag, document_json = metadata.pop("current_etag", None), metadata.pop("current_json", None)
    return Fault(
        code,
        info.reason,
        status.message,
        metadata=metadata,
        fields=fields,
        retry_after=retry_after,
        current=None if etag is None else Current(etag=etag, document_json=document_json),
    )


def _bare(code: Code | None, error: grpc.aio.AioRpcError) -> Fault:
    if code is Code.CANCELLED:
        # A call that we end raises CancelledError. This one was dropped by a server that was shutting down.
        code = Code.UNAVAILABLE
    if code in _BARE:
        reason, message = _BARE[code]
        _log.info("a backend answered %s: %s", error.code(), error.details())
        return Fault(code, reason, message, retry_after=_RETRY_AFTER if code is Code.UNAVAILABLE else None)
    error_id = uuid.uuid4().hex
    _log.error("error id %s: a backend answered %s: %s", error_id, error.code(), error.details())
    return internal(error_id)


def internal(error_id: str) -> Fault:
    """What a caller is told of an error that is ours; the log has the rest under the same id."""
    return Fault(
        Code.INTERNAL,
        "INTERNAL",
        f"internal error; see the log under error id {error_id}",
        metadata={"error_id": error_id},
    )


def _details(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break  # not a Status: as good as none
    return status_pb2.Status()


def _encode(fault: Fault, current: Current | None) -> status_pb2.Status:
    status = status_pb2.Status(code=fault.code.value, message=text(fault.message))
    info = error_details_pb2.ErrorInfo(reason=fault.reason, domain=DOMAIN, metadata=_facts(fault, current))
    _pack(status, info)
    if fault.fields:
        violation = error_details_pb2.BadRequest.FieldViolation
        violations = [violation(field=text(name), description=text(rule)) for name, rule in fault.fields.items()]
        _pack(status, error_details_pb2.BadRequest(field_violations=violations))
    if fault.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(round(fault.retry_after * 1e9))
        _pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def _travelling(current: Current | None) -> Current | None:
    """The value of a conflict, only as its etag where it is too large to travel with the error."""
    if current and current.document_json is not None and len(current.document_json.encode(*_UTF8)) > MAX_CURRENT_JSON:
        return Current(etag=current.etag, document_json=None)
    return current


def _facts(fault: Fault, current: Current | None) -> dict[str, str]:
    metadata = {key: text(value) for key, value in fault.metadata.items()}
    if current:
        metadata["current_etag"] = text(current.etag)
        if current.document_json is not None:
            metadata["current_json"] = text(current.document_json)
    return metadata


def _pack(status: status_pb2.Status, detail: Message) -> None:
    status.details.add().Pack(detail)


def _size(status: status_pb2.Status) -> int:
    """Bytes of trailing metadata: the message once more, percent-encoded, and the details in base64."""
    return len(quote(status.message, safe=" ")) + len(status.SerializeToString()) * 4 // 3


def _shortened(fault: Fault) -> Fault:
    """The same fault with every text cut so far that all of it fits."""
    return Fault(
        fault.code,
        fault.reason,
        _cut(fault.message, 300),
        metadata={_cut(key, 40): _cut(value, 120) for key, value in list(fault.metadata.items())[:8]},
        fields={_cut(name, 120): _cut(rule, 120) for name, rule in list(fault.fields.items())[:8]},
        retry_after=fault.retry_after,
    )


def _cut(text: str, size: int) -> str:
    encoded = text.encode(*_UTF8)
    return text if len(encoded) <= size else encoded[: size - 3].decode("utf-8", "ignore") + "…"
