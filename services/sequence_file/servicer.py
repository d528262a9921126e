"""The contract's methods: convert, call, convert.

Methods raise faults and take their deadline from `runtime.call`, so a servicer serves a gRPC server
and, in one process, the gateway itself, which calls it without a context.
"""

import time
from weakref import WeakKeyDictionary

from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as pb_grpc

from services.kernel.paging import MAX_PAGE_BYTES, page_size, page_start, page_token
from services.runtime import call
from services.sequence_file import convert
from services.sequence_file.domain import faults
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.library import Library


class SequenceFileServicer(pb_grpc.SequenceFileServiceServicer):
    """Serves `shotline.sequence_file.v1.SequenceFileService`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        # Answers of GetShots that hold a whole sequence, for as long as its document is kept. Nobody changes them.
        self._answers: WeakKeyDictionary[Document, pb.GetShotsResponse] = WeakKeyDictionary()

    async def ListSequences(self, request: pb.ListSequencesRequest, context: object = None) -> pb.ListSequencesResponse:
        whole = convert.view(request.view)
        size = page_size(request.page_size, default=1000, largest=1000)
        query = f"sequences\0{request.project_path}"
        start, version = page_start(request.page_token, query)
        project = await self._library.project(request.project_path)
        if version and version != project.version:
            raise faults.page_token_stale(request.project_path)
        response = pb.ListSequencesResponse()
        if not start:
            response.unreachable.extend(map(convert.from_unreachable, project.unreachable))
        taken = 0
        for position, sequence in enumerate(project.sequences[start : start + size], start):
            weight = len(sequence.document.raw) if whole else 0
            if response.sequences and taken + weight > MAX_PAGE_BYTES:
                response.next_page_token = page_token(query, position, project.version)
                return response
            taken += weight
            response.sequences.append(convert.from_sequence(sequence, whole=whole))
        if start + size < len(project.sequences):
            response.next_page_token = page_token(query, start + size, project.version)
        return response

    async def GetSequence(self, request: pb.GetSequenceRequest, context: object = None) -> pb.Sequence:
        sequence = await self._library.sequence(request.project_path, request.sequence_id)
        return convert.from_sequence(sequence, whole=True)

    async def GetShots(self, request: pb.GetShotsRequest, context: object = None) -> pb.GetShotsResponse:
        size = page_size(request.page_size, default=1000, largest=10_000)
        query = f"shots\0{request.project_path}\0{request.sequence_id}"
        start, version = page_start(request.page_token, query)
        sequence = await self._library.sequence(request.project_path, request.sequence_id)
        document = sequence.document
        if version and version != document.etag:
            raise faults.page_token_stale(document.file)
        whole = start == 0 and len(document.starts) <= size and len(document.raw) <= MAX_PAGE_BYTES
        if whole and (kept := self._answers.get(document)) and kept.sequence_id == sequence.id:
            return kept
        response, last = convert.from_shots(sequence, start, min(start + size, len(document.starts)))
        if last < len(document.starts):
            response.next_page_token = page_token(query, last, document.etag)
        if whole:
            self._answers[document] = response
        return response

    async def GetShot(self, request: pb.GetShotRequest, context: object = None) -> pb.Shot:
        return convert.from_shot(await self._library.shot(request.project_path, request.sequence_id, request.shot_id))

    async def UpdateShot(self, request: pb.UpdateShotRequest, context: object = None) -> pb.Shot:
        edit, once = convert.to_edit(request), convert.to_request(request)
        shot = await self._library.update_shot(request.project_path, request.sequence_id, edit, once, _lock_deadline())
        return convert.from_shot(shot)

    async def UpdateProjectShot(self, request: pb.UpdateProjectShotRequest, context: object = None) -> pb.Shot:
        edit, once = convert.to_edit(request), convert.to_request(request)
        shot = await self._library.update_project_shot(request.project_path, edit, once, _lock_deadline())
        return convert.from_shot(shot)


def _lock_deadline() -> float:
    """Until when to wait for a file's lock: early enough that the caller still hears LOCK_TIMEOUT."""
    deadline = call.deadline()
    return deadline - min(0.1, max(0.0, deadline - time.monotonic()) / 10)
