"""The reads and updates of the sequence-file contract over dictionaries: honest answers without files."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as pb_grpc

from services.kernel import ids, paging, strict_json
from services.kernel.faults import Code, Current, Fault, invalid_field
from services.kernel.strict_json import Json


@dataclass
class MemorySequence:
    """One sequence: its shots as the raw text that the file would have."""

    id: str
    file: str
    shots: list[str] = field(default_factory=list)

    @property
    def document(self) -> str:
        shots = ",\n    ".join(self.shots)
        return f'{{"id": {json.dumps(self.id)}, "shots": [\n    {shots}\n]}}\n'


@dataclass
class MemoryProject:
    sequences: list[MemorySequence] = field(default_factory=list)
    shots: list[str] = field(default_factory=list)  # of project.json
    unreachable: list[pb.UnreachableSequence] = field(default_factory=list)


class MemorySequenceFiles(pb_grpc.SequenceFileServiceServicer):
    """Fills the gateway's SequenceFiles, in process and behind a server."""

    def __init__(self, projects: dict[str, MemoryProject]) -> None:
        self.projects = projects
        self.seen: list[object] = []  # every request, in order
        self._journal: dict[str, tuple[str, pb.Shot]] = {}

    async def ListSequences(self, request: pb.ListSequencesRequest, context: object = None) -> pb.ListSequencesResponse:
        self.seen.append(request)
        project = self._project(request.project_path)
        documents = [one.document for one in project.sequences]
        start, end, token = _page(request, repr(request.project_path), documents, 1000)
        return pb.ListSequencesResponse(
            sequences=[_sequence(one) for one in project.sequences[start:end]],
            unreachable=[] if start else project.unreachable,
            next_page_token=token,
        )

    async def GetSequence(self, request: pb.GetSequenceRequest, context: object = None) -> pb.Sequence:
        return _sequence(self._sequence(request.project_path, request.sequence_id))

    async def GetShots(self, request: pb.GetShotsRequest, context: object = None) -> pb.GetShotsResponse:
        self.seen.append(request)
        sequence = self._sequence(request.project_path, request.sequence_id)
        start, end, token = _page(request, repr((request.project_path, sequence.id)), sequence.shots, 10_000)
        return pb.GetShotsResponse(
            shots=[_shot(text, sequence.file, sequence.id) for text in sequence.shots[start:end]],
            etag=_etag(sequence.document),
            next_page_token=token,
            sequence_id=sequence.id,
            file=sequence.file,
        )

    async def GetShot(self, request: pb.GetShotRequest, context: object = None) -> pb.Shot:
        self.seen.append(request)
        place, index, file, sequence_id = self._find(request.project_path, request.sequence_id, request.shot_id)
        return _shot(place[index], file, sequence_id)

    async def UpdateShot(self, request: pb.UpdateShotRequest, context: object = None) -> pb.Shot:
        self.seen.append(request)
        sequence = self._sequence(request.project_path, request.sequence_id)
        return self._once(request, lambda: self._update(request, sequence.id))

    async def UpdateProjectShot(self, request: pb.UpdateProjectShotRequest, context: object = None) -> pb.Shot:
        self.seen.append(request)
        return self._once(request, lambda: self._update(request, ""))

    def _once(
        self, request: pb.UpdateShotRequest | pb.UpdateProjectShotRequest, change: Callable[[], pb.Shot]
    ) -> pb.Shot:
        if (key := ids.request_id(request.request_id)) is None:
            return change()
        body = request.SerializeToString(deterministic=True).hex()
        if key not in self._journal:
            self._journal[key] = (body, change())
        known, answer = self._journal[key]
        if known != body:
            raise Fault(Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED", "used for another change")
        return answer

    def _update(self, request: pb.UpdateShotRequest | pb.UpdateProjectShotRequest, sequence_id: str) -> pb.Shot:
        if request.mode not in pb.UpdateMode.values():
            raise invalid_field("mode", "must be a known mode")
        updates = strict_json.parse_object(request.updates_json)
        if immutable := {"id", "sequencePlanId"} & updates.keys():
            raise Fault(Code.INVALID_ARGUMENT, "IMMUTABLE_FIELD", f"cannot change {', '.join(immutable)}")
        place, index, file, _ = self._find(request.project_path, sequence_id, request.shot_id)
        now = _etag(place[index])
        if (etag := ids.etag(request.etag)) and etag != now:
            current = Current(etag=now, document_json=place[index])
            raise Fault(Code.ABORTED, "ETAG_MISMATCH", "the shot has changed", current=current)
        if updates:
            old = strict_json.parse_object(place[index])
            replace = request.mode == pb.UPDATE_MODE_REPLACE_TOP_LEVEL
            place[index] = strict_json.dumps({**old, **updates} if replace else _merged(old, updates))
        return _shot(place[index], file, sequence_id)

    def _project(self, path: str) -> MemoryProject:
        if path not in self.projects:
            raise Fault(Code.NOT_FOUND, "PROJECT_NOT_FOUND", f"no project {path!r}")
        return self.projects[path]

    def _sequence(self, path: str, sequence_id: str) -> MemorySequence:
        project = self._project(path)
        if not sequence_id or "/" in sequence_id:
            raise Fault(
                Code.INVALID_ARGUMENT,
                "INVALID_SEQUENCE_ID",
                "no file can have this id",
                fields={"sequence_id": "must be an id"},
            )
        for sequence in project.sequences:
            if sequence.id == sequence_id:
                return sequence
        raise Fault(Code.NOT_FOUND, "SEQUENCE_NOT_FOUND", f"no sequence {sequence_id!r}")

    def _find(self, path: str, sequence_id: str, shot_id: str) -> tuple[list[str], int, str, str]:
        """The list that holds the shot, its place there, the file and the sequence's id."""
        project = self._project(path)
        places = [(one.shots, one.file, one.id) for one in project.sequences if sequence_id in ("", one.id)]
        found = _hits(places, shot_id)
        if not found and not sequence_id:
            found = _hits([(project.shots, "project.json", "")], shot_id)
        if not found:
            raise Fault(Code.NOT_FOUND, "SHOT_NOT_FOUND", f"no shot {shot_id!r}", metadata={"shot_id": shot_id})
        if len(found) > 1:
            raise Fault(Code.FAILED_PRECONDITION, "DUPLICATE_ID", f"{found[0][2]} and {found[1][2]} have {shot_id!r}")
        return found[0]


def _hits(places: list[tuple[list[str], str, str]], shot_id: str) -> list[tuple[list[str], int, str, str]]:
    return [
        (shots, index, file, sequence_id)
        for shots, file, sequence_id in places
        for index, text in enumerate(shots)
        if str(json.loads(text).get("id")) == shot_id
    ]


def _page(
    request: pb.ListSequencesRequest | pb.GetShotsRequest, query: str, texts: Sequence[str], largest: int
) -> tuple[int, int, str]:
    version = str(hash(tuple(texts)))
    start, then = paging.page_start(request.page_token, query)
    if then and then != version:
        raise Fault(Code.ABORTED, "PAGE_TOKEN_STALE", "the list has changed; begin again")
    end, size = start, 0
    most = paging.page_size(request.page_size, default=1000, largest=largest)
    while end < len(texts) and end - start < most and (end == start or size + len(texts[end]) <= paging.MAX_PAGE_BYTES):
        size += len(texts[end])
        end += 1
    return start, end, paging.page_token(query, end, version) if end < len(texts) else ""


def _shot(text: str, file: str, sequence_id: str) -> pb.Shot:
    return pb.Shot(
        id=str(json.loads(text).get("id", "")),
        document_json=text,
        etag=_etag(text),
        stored_in=pb.StoredIn(file=file, sequence_id=sequence_id),
    )


def _sequence(one: MemorySequence) -> pb.Sequence:
    return pb.Sequence(
        id=one.id, file=one.file, shot_count=len(one.shots), document_json=one.document, etag=_etag(one.document)
    )


def _etag(text: str) -> str:
    return f"{hash(text) % 2**64:032x}"  # in one process as good as any


def _merged(old: Json, patch: Json) -> Json:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged
