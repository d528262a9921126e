"""Between the contract's messages and the domain's values."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb

from services.kernel import ids, strict_json
from services.kernel.faults import Fault, invalid_field
from services.kernel.paging import MAX_PAGE_BYTES
from services.runtime import status
from services.sequence_file.domain.batch import Batch, ShotEdit
from services.sequence_file.domain.changes import Author, Change, FileChange, Trashed, Version, What
from services.sequence_file.domain.document import BOM, Document
from services.sequence_file.domain.draft import Shot
from services.sequence_file.domain.library import ProjectShots
from services.sequence_file.domain.past import Differences
from services.sequence_file.domain.ports import Outcome, Request, SequenceFile, SequenceState, Unreachable
from services.sequence_file.domain.steps import Edit, Mode, Place

MOST_EDITS = 10_000  # of one batch
MOST_SEQUENCES = 10_000  # of one new order
DEFAULT_PROGRESS, LEAST_PROGRESS, LONGEST_PROGRESS = 15.0, 0.1, 60.0  # seconds

Mutation: TypeAlias = (
    pb.UpdateShotRequest
    | pb.UpdateProjectShotRequest
    | pb.CreateSequenceRequest
    | pb.UpdateSequenceRequest
    | pb.DeleteSequenceRequest
    | pb.ReorderSequencesRequest
    | pb.CreateShotRequest
    | pb.DeleteShotRequest
    | pb.MoveShotRequest
    | pb.BatchUpdateShotsRequest
    | pb.RestoreVersionRequest
)

_MODES = {
    pb.UPDATE_MODE_UNSPECIFIED: Mode.MERGE_PATCH,
    pb.UPDATE_MODE_MERGE_PATCH: Mode.MERGE_PATCH,
    pb.UPDATE_MODE_REPLACE_TOP_LEVEL: Mode.REPLACE_TOP_LEVEL,
}
_KINDS = {
    What.CREATED: pb.CHANGE_KIND_CREATED,
    What.UPDATED: pb.CHANGE_KIND_UPDATED,
    What.DELETED: pb.CHANGE_KIND_DELETED,
    What.MOVED: pb.CHANGE_KIND_MOVED,
    What.UNREADABLE: pb.CHANGE_KIND_UNREADABLE,
}


def to_edit(request: pb.UpdateShotRequest | pb.UpdateProjectShotRequest | pb.ShotEdit) -> Edit:
    """The change that a request asks for. Raises INVALID_JSON, INVALID_FIELD."""
    if request.mode not in _MODES:
        raise invalid_field("mode", "must be a value of UpdateMode")
    return Edit(
        shot_id=request.shot_id,
        updates=strict_json.parse_object(request.updates_json),
        mode=_MODES[request.mode],
        etag=ids.etag(request.etag),
    )


def to_batch(request: pb.BatchUpdateShotsRequest) -> Batch:
    """The changes that a request asks for. Raises INVALID_JSON, INVALID_FIELD, which name the edit."""
    if not 1 <= len(request.edits) <= MOST_EDITS:
        raise invalid_field("edits", f"must be 1 to {MOST_EDITS}")
    edits: list[ShotEdit] = []
    for index, each in enumerate(request.edits):
        try:
            edits.append(ShotEdit(sequence_id=each.sequence_id, edit=to_edit(each)))
        except Fault as fault:
            fault.metadata["edit_index"] = str(index)
            fault.fields = {f"edits[{index}].{field}": rule for field, rule in fault.fields.items()}
            raise
    return Batch(edits=edits, all_or_nothing=request.all_or_nothing)


def to_place(place: pb.ShotPlace) -> Place:
    """Where a shot is to stand. Raises INVALID_FIELD."""
    match place.WhichOneof("place"):
        case "after_shot_id":
            if not place.after_shot_id:
                raise invalid_field("place.after_shot_id", "must not be empty")
            return Place(after=place.after_shot_id)
        case "index":
            return Place(index=place.index)
        case None:
            return Place()


def to_order(request: pb.ReorderSequencesRequest) -> list[str]:
    """The sequences in their new order, each once. Raises INVALID_FIELD."""
    order = list(request.sequence_ids)
    if not order or len(order) > MOST_SEQUENCES or len(set(order)) < len(order):
        raise invalid_field("sequence_ids", "must name each sequence of the project once")
    return order


def to_revision(value: int, field: str = "revision") -> int:
    """The revision that a request names. Raises INVALID_FIELD."""
    if value < 0:
        raise invalid_field(field, "must not be negative")
    return value


def to_progress(seconds: float) -> float:
    """After how many seconds without a change a watch says where it is. Raises INVALID_FIELD."""
    if seconds and not LEAST_PROGRESS <= seconds <= LONGEST_PROGRESS:  # NaN is not between them either
        raise invalid_field("progress_seconds", f"must be 0, or {LEAST_PROGRESS:g} to {LONGEST_PROGRESS:g}")
    return seconds or DEFAULT_PROGRESS


def to_request(message: Mutation) -> Request | None:
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


def from_shot(shot: Shot, revision: int = 0) -> pb.Shot:
    """A shot as the contract has it; in the answer to a change with its revision."""
    return pb.Shot(
        id=_text(shot.id),
        document_json=shot.document.decode(),
        etag=shot.etag,
        stored_in=pb.StoredIn(file=_text(shot.file), sequence_id=shot.sequence_id),
        revision=revision,
    )


def from_changed_shot(outcome: Outcome) -> pb.Shot:
    """The one shot that a change was for."""
    return from_shot(outcome.shots[0], outcome.revision)


def from_shots(sequence: SequenceFile, start: int, end: int) -> tuple[pb.GetShotsResponse, int]:
    """The shots from `start` to `end`, as many as fit into a page, and the index behind the last one."""
    document = sequence.document
    response = pb.GetShotsResponse(etag=document.etag, sequence_id=sequence.id, file=_text(document.file))
    following = _add_shots(response, document, range(start, end))
    return response, end if following is None else following


def from_project_shots(found: ProjectShots, start: int, size: int) -> tuple[pb.ListProjectShotsResponse, int | None]:
    """As many regular shots as fit into a page, from the one with index `start` in project.json on, and the index of
    the next page's first one; None on the last page. The first page has what belongs to the whole list."""
    response = pb.ListProjectShotsResponse()
    if not start:
        response.unreachable.extend(map(from_unreachable, found.unreachable))
    if (document := found.document) is None:
        return response, None
    response.etag = document.etag
    if not start:
        for copy in found.copies:
            etag = document.shot_etag(copy.index)
            response.copies.add(id=_text(copy.id), sequence_id=copy.sequence_id, etag=etag, stale=copy.stale)
    copied = {copy.index for copy in found.copies}
    regular = [index for index in range(start, len(document.starts)) if index not in copied]
    following = _add_shots(response, document, regular[:size])
    if following is None and len(regular) > size:
        following = regular[size]
    return response, following


def from_sequence(sequence: SequenceFile, *, whole: bool) -> pb.Sequence:
    """A sequence as the contract has it; only `whole` with its document and etag."""
    document = sequence.document
    message = pb.Sequence(
        id=sequence.id,
        name=_text(document.head.name),
        order=document.head.order,
        file=_text(document.file),
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
        file=_text(unreachable.file),
        id=_text(unreachable.id),
        reason=fault.reason,
        message=_text(fault.message),
        line=int(fault.metadata.get("line", "0")),
        column=int(fault.metadata.get("column", "0")),
    )


def from_state(state: SequenceState, revision: int = 0) -> pb.Sequence:
    """A sequence as a change left it, without its document; of project.json only the file."""
    if not state.id:
        return pb.Sequence(file=_text(state.file), etag=state.etag, revision=revision)
    return pb.Sequence(
        id=state.id,
        name=_text(state.name),
        order=state.order,
        file=_text(state.file),
        shot_count=state.shot_count,
        etag=state.etag,
        revision=revision,
    )


def from_changed_sequence(outcome: Outcome) -> pb.Sequence:
    """The one sequence that a change was for."""
    return from_state(outcome.sequences[0], outcome.revision)


def from_batch(outcome: Outcome) -> pb.BatchUpdateShotsResponse:
    """What became of each edit."""
    response = pb.BatchUpdateShotsResponse(revision=outcome.revision)
    shots, refusals = iter(outcome.shots), {refusal.index: refusal.fault for refusal in outcome.refusals}
    for index in range(len(outcome.shots) + len(refusals)):
        if fault := refusals.get(index):
            response.results.add(error=_edit_error(fault))
        else:
            response.results.add(shot=from_shot(next(shots)))
    if response.ByteSize() > MAX_PAGE_BYTES:
        # The change is made: better an answer without what can be read again than none.
        for result in response.results:
            if result.WhichOneof("result") == "shot":
                result.shot.document_json = ""
            else:
                result.error.metadata.pop("current_json", None)
    return response


def from_versions(
    file: str, versions: Iterable[Version], before: int | None, size: int
) -> tuple[pb.ListVersionsResponse, int | None]:
    """Versions older than revision `before`, and the revision before which the next page begins; None on the last."""
    older = [each for each in versions if before is None or each.revision < before]
    response = pb.ListVersionsResponse(file=_text(file), versions=map(from_version, older[:size]))
    return response, older[size - 1].revision if len(older) > size else None


def from_version(version: Version) -> pb.Version:
    """A version as the contract has it."""
    return pb.Version(
        revision=version.revision,
        create_time=_time(version.at),
        origin=_origin(version.author, version.request_id),
        summary=_text(version.summary),
        etag=version.etag,
        size_bytes=version.size,
        current=version.current,
    )


def from_version_document(version: Version, document: Document) -> pb.VersionDocument:
    """A version with its content."""
    return pb.VersionDocument(version=from_version(version), document_json=document.raw.removeprefix(BOM).decode())


def from_differences(differences: Differences) -> pb.DiffVersionsResponse:
    """What is different, as much of it as fits into an answer."""
    response = pb.DiffVersionsResponse(truncated=differences.truncated)
    taken = 0
    for each in differences.listed:
        taken += len(each.before or "") + len(each.after or "")
        if taken > MAX_PAGE_BYTES and response.differences:
            response.truncated = True
            break
        response.differences.add(
            shot_id=_text(each.shot_id),
            pointer=_text(each.pointer),
            before_json=each.before,
            after_json=each.after,
            before_index=each.before_index,
            after_index=each.after_index,
        )
    return response


def from_restored(outcome: Outcome) -> pb.RestoreVersionResponse:
    """What a version was put back into."""
    response = pb.RestoreVersionResponse(sequence=from_changed_sequence(outcome), revision=outcome.revision)
    if outcome.shots:
        response.shot.CopyFrom(from_changed_shot(outcome))
    return response


def from_trash(trash: Iterable[Trashed]) -> pb.ListTrashResponse:
    """Deleted sequences."""
    response = pb.ListTrashResponse()
    for each in trash:
        response.sequences.add(
            sequence_id=each.sequence_id,
            name=_text(each.name),
            file=_text(each.file),
            revision=each.revision,
            delete_time=_time(each.at),
            origin=_origin(each.author, ""),
        )
    return response


def from_change(change: Change) -> pb.ProjectChange:
    """One revision of a project."""
    return pb.ProjectChange(
        revision=change.revision,
        create_time=_time(change.at),
        origin=_origin(change.author, change.request_id),
        summary=_text(change.summary),
        files=map(_file_change, change.files),
    )


def _file_change(change: FileChange) -> pb.FileChange:
    message = pb.FileChange(
        file=_text(change.file),
        sequence_id=change.sequence_id,
        kind=_KINDS[change.what],
        etag="" if change.what is What.UNREADABLE else change.after or "",
        complete=change.complete,
    )
    for shot in change.shots:
        message.shots.add(
            id=_text(shot.id),
            kind=_KINDS[shot.what],
            etag=shot.after or "",
            document_json=(shot.document or b"").decode(),
        )
    return message


def _origin(author: Author | None, request_id: str) -> pb.Origin:
    if author is None:
        return pb.Origin(kind=pb.Origin.KIND_OUTSIDE)
    return pb.Origin(
        kind=pb.Origin.KIND_CLIENT, principal=author.principal, client=author.client, request_id=request_id
    )


def _edit_error(fault: Fault) -> pb.EditError:
    return pb.EditError(
        code=fault.code.name, reason=fault.reason, message=status.text(fault.message), metadata=status.facts(fault)
    )


def _add_shots(
    response: pb.GetShotsResponse | pb.ListProjectShotsResponse, document: Document, indexes: Iterable[int]
) -> int | None:
    """Add as many of the shots as fit into a page. Gives the index of the first one that does not."""
    taken = 0
    for index in indexes:
        taken += document.ends[index] - document.starts[index]
        if taken > MAX_PAGE_BYTES and response.shots:
            return index
        response.shots.add(
            id=_text(document.shot_ids[index] or ""),
            document_json=document.shot(index).decode(),
            etag=document.shot_etag(index),
        )
    return None


def _text(found: str) -> str:
    """What files say and how they are called, as a message can hold it: both may have lone surrogates."""
    return found if found.isascii() else status.text(found)


def _time(at: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(at)
    return message


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
