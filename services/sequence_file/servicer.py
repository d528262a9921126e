"""The contract's methods: convert, call, convert.

Methods raise faults and take their deadline from `runtime.call`, so a servicer serves a gRPC server
and, in one process, the gateway itself, which calls it without a context.
"""

import contextlib
import time
from collections.abc import AsyncGenerator
from weakref import WeakKeyDictionary

from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as pb_grpc

from services.kernel import ids, strict_json
from services.kernel.paging import MAX_PAGE_BYTES, page_size, page_start, page_token
from services.runtime import call
from services.sequence_file import convert
from services.sequence_file.domain import faults
from services.sequence_file.domain.changes import Author
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.library import Library
from services.sequence_file.domain.ports import PROJECT_FILE, Caller


class SequenceFileServicer(pb_grpc.SequenceFileServiceServicer):
    """Serves `shotline.sequence_file.v1.SequenceFileService`."""

    def __init__(self, library: Library) -> None:
        self._whole_library = library
        # Answers of GetShots that hold a whole sequence, for as long as its document is kept. Nobody changes them.
        self._answers: WeakKeyDictionary[Document, pb.GetShotsResponse] = WeakKeyDictionary()

    @property
    def _library(self) -> Library:
        """The library, for callers who may use it: every method comes by here."""
        if not call.holds_all_workspaces():
            raise faults.project_not_of_a_workspace()
        return self._whole_library

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

    async def ListProjectShots(
        self, request: pb.ListProjectShotsRequest, context: object = None
    ) -> pb.ListProjectShotsResponse:
        size = page_size(request.page_size, default=1000, largest=10_000)
        query = f"project shots\0{request.project_path}"
        start, version = page_start(request.page_token, query)
        found = await self._library.project_shots(request.project_path)
        etag = found.document.etag if found.document else ""
        if version and version != etag:
            raise faults.page_token_stale(PROJECT_FILE)
        response, following = convert.from_project_shots(found, start, size)
        if following is not None:
            response.next_page_token = page_token(query, following, etag)
        return response

    async def UpdateShot(self, request: pb.UpdateShotRequest, context: object = None) -> pb.Shot:
        edit, caller = convert.to_edit(request), _caller(request)
        outcome = await self._library.update_shot(request.project_path, request.sequence_id, edit, caller)
        return convert.from_changed_shot(outcome)

    async def UpdateProjectShot(self, request: pb.UpdateProjectShotRequest, context: object = None) -> pb.Shot:
        edit, caller = convert.to_edit(request), _caller(request)
        return convert.from_changed_shot(await self._library.update_project_shot(request.project_path, edit, caller))

    async def CreateSequence(self, request: pb.CreateSequenceRequest, context: object = None) -> pb.Sequence:
        document, caller = strict_json.parse_object(request.document_json or "{}"), _caller(request)
        outcome = await self._library.create_sequence(request.project_path, request.sequence_id, document, caller)
        return convert.from_changed_sequence(outcome)

    async def UpdateSequence(self, request: pb.UpdateSequenceRequest, context: object = None) -> pb.Sequence:
        updates, etag = strict_json.parse_object(request.updates_json), ids.etag(request.etag)
        path, caller = request.project_path, _caller(request)
        outcome = await self._library.update_sequence(path, request.sequence_id, updates, etag, caller)
        return convert.from_changed_sequence(outcome)

    async def DeleteSequence(
        self, request: pb.DeleteSequenceRequest, context: object = None
    ) -> pb.DeleteSequenceResponse:
        etag, caller = ids.etag(request.etag), _caller(request)
        outcome = await self._library.delete_sequence(request.project_path, request.sequence_id, etag, caller)
        return pb.DeleteSequenceResponse(revision=outcome.revision)

    async def ReorderSequences(
        self, request: pb.ReorderSequencesRequest, context: object = None
    ) -> pb.ReorderSequencesResponse:
        order, caller = convert.to_order(request), _caller(request)
        outcome = await self._library.reorder_sequences(request.project_path, order, caller)
        sequences = map(convert.from_state, outcome.sequences)
        return pb.ReorderSequencesResponse(sequences=sequences, revision=outcome.revision)

    async def CreateShot(self, request: pb.CreateShotRequest, context: object = None) -> pb.Shot:
        document, place = strict_json.parse_object(request.document_json), convert.to_place(request.place)
        path, caller = request.project_path, _caller(request)
        outcome = await self._library.create_shot(path, request.sequence_id, document, place, caller)
        return convert.from_changed_shot(outcome)

    async def DeleteShot(self, request: pb.DeleteShotRequest, context: object = None) -> pb.DeleteShotResponse:
        path, etag, caller = request.project_path, ids.etag(request.etag), _caller(request)
        outcome = await self._library.delete_shot(path, request.sequence_id, request.shot_id, etag, caller)
        return pb.DeleteShotResponse(revision=outcome.revision)

    async def MoveShot(self, request: pb.MoveShotRequest, context: object = None) -> pb.Shot:
        place, etag, caller = convert.to_place(request.place), ids.etag(request.etag), _caller(request)
        source, target = request.sequence_id, request.target_sequence_id
        outcome = await self._library.move_shot(
            request.project_path, source, request.shot_id, target, place, etag, caller
        )
        return convert.from_changed_shot(outcome)

    async def BatchUpdateShots(
        self, request: pb.BatchUpdateShotsRequest, context: object = None
    ) -> pb.BatchUpdateShotsResponse:
        batch, caller = convert.to_batch(request), _caller(request)
        return convert.from_batch(await self._library.update_shots(request.project_path, batch, caller))

    async def ListVersions(self, request: pb.ListVersionsRequest, context: object = None) -> pb.ListVersionsResponse:
        size = page_size(request.page_size, default=100, largest=100)
        query = f"versions\0{request.project_path}\0{request.sequence_id}\0{request.shot_id}"
        # The place in this list is a revision: new versions come before it, and old ones that go leave no gap.
        before, _ = page_start(request.page_token, query)
        path, shot_id = request.project_path, request.shot_id
        file, versions = await self._library.versions(path, request.sequence_id, shot_id)
        response, following = convert.from_versions(file, versions, before or None, size)
        if following is not None:
            response.next_page_token = page_token(query, following, "")
        return response

    async def GetVersion(self, request: pb.GetVersionRequest, context: object = None) -> pb.VersionDocument:
        revision = convert.to_revision(request.revision)
        found = await self._library.version(request.project_path, request.sequence_id, revision)
        return convert.from_version_document(*found)

    async def DiffVersions(self, request: pb.DiffVersionsRequest, context: object = None) -> pb.DiffVersionsResponse:
        earlier = convert.to_revision(request.from_revision, "from_revision")
        later = convert.to_revision(request.to_revision, "to_revision") if request.HasField("to_revision") else None
        path, shot_id = request.project_path, request.shot_id
        differences = await self._library.differences(path, request.sequence_id, earlier, later, shot_id)
        return convert.from_differences(differences)

    async def RestoreVersion(
        self, request: pb.RestoreVersionRequest, context: object = None
    ) -> pb.RestoreVersionResponse:
        revision, etag, caller = convert.to_revision(request.revision), ids.etag(request.etag), _caller(request)
        path, shot_id = request.project_path, request.shot_id
        outcome = await self._library.restore(path, request.sequence_id, revision, shot_id, etag, caller)
        return convert.from_restored(outcome)

    async def ListTrash(self, request: pb.ListTrashRequest, context: object = None) -> pb.ListTrashResponse:
        return convert.from_trash(await self._library.trash(request.project_path))

    async def WatchProject(
        self, request: pb.WatchProjectRequest, context: object = None
    ) -> AsyncGenerator[pb.WatchProjectResponse, None]:
        seconds = convert.to_progress(request.progress_seconds)
        after = convert.to_revision(request.after_revision, "after_revision")
        behind = after if request.HasField("after_revision") else None
        with contextlib.closing(await self._library.watch(request.project_path, behind, request.log_id)) as watch:
            sent = watch.revision
            while True:
                _bid_farewell(sent)
                yield pb.WatchProjectResponse(progress=pb.WatchProgress(revision=sent, log_id=watch.log_id))
                while changes := await watch.next(seconds):
                    for change in changes:
                        _bid_farewell(sent := change.revision)
                        yield pb.WatchProjectResponse(change=convert.from_change(change))


def _bid_farewell(revision: int) -> None:
    """Note what a watch says when it is ended from outside: what goes out now will have arrived before that."""
    if current := call.current():
        current.farewell["revision"] = str(revision)


def _caller(request: convert.Mutation) -> Caller:
    """Who asks for a change. Raises INVALID_FIELD for a request id that is none."""
    current = call.current()
    author = Author(principal=current.principal.name, client=current.client) if current else Author(principal="")
    return Caller(author=author, request=convert.to_request(request), deadline=_lock_deadline())


def _lock_deadline() -> float:
    """Until when to wait for a file's lock: early enough that the caller still hears LOCK_TIMEOUT."""
    deadline = call.deadline()
    return deadline - min(0.1, max(0.0, deadline - time.monotonic()) / 10)
