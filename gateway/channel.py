"""One channel: what it takes, and the words of its answer.

Documents go out as the raw JSON text that the file has: never decoded, never written anew.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import orjson
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.studio.v1 import studio_service_pb2 as pb

from gateway.arguments import Arguments
from gateway.compose import Studio
from services.kernel.faults import Fault

Payload = dict[str, object]

# The words are the same in both contracts.
MODES = {
    "MERGE_PATCH": pb.UPDATE_MODE_MERGE_PATCH,
    "REPLACE_TOP_LEVEL": pb.UPDATE_MODE_REPLACE_TOP_LEVEL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel: the names of its arguments in order, of its options, and what answers it."""

    arguments: tuple[str, ...]
    options: tuple[str, ...] = ()
    answer: Callable[[Studio, Arguments], Awaitable[Payload]]
    levels: int = 1  # how deep in its arguments documents stand
    # Fields of the services that are not simply called in camel case here.
    words: Mapping[str, str] = field(default_factory=dict)


def shot_payload(shot: pb.Shot | files.Shot) -> Payload:
    """A shot, where it is stored and, of a graph shot, what belongs to it where that was asked for."""
    payload: Payload = {"shot": orjson.Fragment(shot.document_json), "etag": shot.etag}
    if isinstance(shot, pb.Shot) and shot.structure_json:
        payload["structure"] = orjson.Fragment(shot.structure_json)
    return {**payload, "storedIn": _stored_in(shot)}


def changed_shot_payload(shot: pb.Shot | files.Shot) -> Payload:
    """A shot that was changed."""
    return {**shot_payload(shot), "revision": shot.revision}


def _stored_in(shot: pb.Shot | files.Shot) -> Payload:
    if isinstance(shot, pb.Shot) and shot.stored_in.workspace_id:
        return {"workspaceId": shot.stored_in.workspace_id}
    stored_in: Payload = {"file": shot.stored_in.file}
    if shot.stored_in.sequence_id:
        stored_in["sequenceId"] = shot.stored_in.sequence_id
    return stored_in


def sequence_payload(sequence: files.Sequence) -> Payload:
    """A sequence without its document. Of project.json there is only the file."""
    if not sequence.id:
        return {"file": sequence.file}
    order = {"order": sequence.order} if sequence.HasField("order") else {}
    return {
        "id": sequence.id,
        "file": sequence.file,
        "name": sequence.name,
        **order,
        "shotCount": sequence.shot_count,
    }


def changed_sequence_payload(sequence: files.Sequence) -> Payload:
    """A sequence that was changed."""
    return {"sequence": sequence_payload(sequence), "etag": sequence.etag, "revision": sequence.revision}


def failed(fault: Fault) -> bytes:
    """The envelope of a call that failed."""
    return orjson.dumps(failure(fault))


def failure(fault: Fault) -> Payload:
    """What is told of a failure."""
    details: Payload = {key: _utf8(value) for key, value in fault.metadata.items()}
    if fault.fields:
        details["fields"] = {_utf8(field): _utf8(rule) for field, rule in fault.fields.items()}
    if fault.current is not None:
        details["currentEtag"] = fault.current.etag
        if fault.current.document_json is not None:
            details["current"] = orjson.Fragment(fault.current.document_json)
    if fault.retry_after is not None:
        details["retryAfterSeconds"] = fault.retry_after
    return {
        "success": False,
        "error": _utf8(fault.message),
        "code": fault.code.name,
        "reason": fault.reason,
        "details": details,
    }


def _utf8(text: str) -> str:
    # A file name that is not UTF-8 reaches Python as lone surrogates, which JSON for the wire cannot hold.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
