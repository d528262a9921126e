"""Between the contract's messages and the domain's values."""

import hashlib

from google.protobuf.message import Message
from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb

from services.kernel import ids, strict_json
from services.kernel.faults import invalid_field
from services.kernel.paging import MAX_PAGE_BYTES
from services.sequence_file.domain.document import BOM
from services.sequence_file.domain.draft import Edit, Mode, Shot
from services.sequence_file.domain.ports import Request, SequenceFile, Unreachable

_MODES = {
    pb.UPDATE_MODE_UNSPECIFIED: Mode.MERGE_PATCH,
    pb.UPDATE_MODE_MERGE_PATCH: Mode.MERGE_PATCH,
    pb.UPDATE_MODE_REPLACE_TOP_LEVEL: Mode.REPLACE_TOP_LEVEL,
}


def to_edit(request: pb.UpdateShotRequest | pb.UpdateProjectShotRequest) -> Edit:
    """The change that a request asks for. Raises INVALID_JSON, INVALID_FIELD."""
    if request.mode not in _MODES:
        raise invalid_field("mode", "must be a value of UpdateMode")
    return Edit(
        shot_id=request.shot_id,
        updates=strict_json.parse_object(request.updates_json),
        mode=_MODES[request.mode],
        etag=ids.etag(request.etag),
    )


def to_request(message: pb.UpdateShotRequest | pb.UpdateProjectShotRequest) -> Request | None:
    """The request id with the hash of all that was asked; None without an id. Raises INVALID_FIELD."""
    if (request_id := ids.request_id(message.request_id)) is None:
        return None
    body: Message = type(message)()
    body.CopyFrom(message)
    body.ClearField("request_id")
    asked = message.DESCRIPTOR.full_name.encode() + b"\0" + body.SerializeToString(deterministic=True)
    return Request(id=request_id, fingerprint=hashlib.sha256(asked).hexdigest())


def view(value: "pb.SequenceView.ValueType") -> bool:
    """Whether a list answers whole documents. Raises INVALID_FIELD."""
    if value not in pb.SequenceView.values():
        raise invalid_field("view", "must be a value of SequenceView")
    return value != pb.SEQUENCE_VIEW_BASIC


def from_shot(shot: Shot) -> pb.Shot:
    """A shot as the contract has it."""
    return pb.Shot(
        id=shot.id,
        document_json=shot.document.decode(),
        etag=shot.etag,
        stored_in=pb.StoredIn(file=shot.file, sequence_id=shot.sequence_id),
    )


def from_shots(sequence: SequenceFile, start: int, end: int) -> tuple[pb.GetShotsResponse, int]:
    """The shots from `start` to `end`, as many as fit into a page, and the index behind the last one."""
    document = sequence.document
    response = pb.GetShotsResponse(etag=document.etag, sequence_id=sequence.id, file=document.file)
    taken = 0
    for index in range(start, end):
        taken += document.ends[index] - document.starts[index]
        if taken > MAX_PAGE_BYTES and index > start:
            return response, index
        response.shots.add(
            id=document.shot_ids[index] or "",
            document_json=document.shot(index).decode(),
            etag=document.shot_etag(index),
        )
    return response, end


def from_sequence(sequence: SequenceFile, *, whole: bool) -> pb.Sequence:
    """A sequence as the contract has it; only `whole` with its document and etag."""
    document = sequence.document
    message = pb.Sequence(
        id=sequence.id,
        name=document.head.name,
        order=document.head.order,
        file=document.file,
        shot_count=len(document.starts),
    )
    message.update_time.FromDatetime(sequence.modified)
    if whole:
        message.document_json = _with_id(document.raw.removeprefix(BOM).decode(), document.head.id, sequence.id)
        message.etag = document.etag
    return message


def from_unreachable(unreachable: Unreachable) -> pb.UnreachableSequence:
    """A file that cannot be reached, as the contract has it."""
    fault = unreachable.fault
    return pb.UnreachableSequence(
        file=unreachable.file,
        id=unreachable.id,
        reason=fault.reason,
        message=fault.message,
        line=int(fault.metadata.get("line", "0")),
        column=int(fault.metadata.get("column", "0")),
    )


def _with_id(text: str, own: str | None, known_as: str) -> str:
    """A document that states no id, with the one that its file name gives put first."""
    if own is not None:
        return text
    brace = text.index("{")
    rest = text[brace + 1 :]
    body = rest.lstrip()
    gap = rest[: len(rest) - len(body)]
    comma = "" if body.startswith("}") else ","
    return f'{text[: brace + 1]}{gap}"id": {strict_json.quote(known_as)}{comma}{gap or " "}{body}'
