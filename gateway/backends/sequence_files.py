"""The sequence-file service, as the gateway sees it."""

from collections.abc import AsyncGenerator, Awaitable
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as pb_grpc

from gateway.backends.remote import identified
from services.kernel.faults import Current, Fault
from services.runtime.calls import answer, stream

Response = TypeVar("Response", bound=Message)
OfShot = (
    pb.UpdateShotRequest
    | pb.UpdateProjectShotRequest
    | pb.DeleteShotRequest
    | pb.MoveShotRequest
    | pb.RestoreVersionRequest
)


class SequenceFiles(Protocol):
    """The sequence-file service's contract. Every method raises Fault."""

    def ListSequences(self, request: pb.ListSequencesRequest) -> Awaitable[pb.ListSequencesResponse]: ...
    def GetSequence(self, request: pb.GetSequenceRequest) -> Awaitable[pb.Sequence]: ...
    def GetShots(self, request: pb.GetShotsRequest) -> Awaitable[pb.GetShotsResponse]: ...
    def GetShot(self, request: pb.GetShotRequest) -> Awaitable[pb.Shot]: ...
    def ListProjectShots(self, request: pb.ListProjectShotsRequest) -> Awaitable[pb.ListProjectShotsResponse]: ...
    def UpdateShot(self, request: pb.UpdateShotRequest) -> Awaitable[pb.Shot]: ...
    def UpdateProjectShot(self, request: pb.UpdateProjectShotRequest) -> Awaitable[pb.Shot]: ...
    def CreateSequence(self, request: pb.CreateSequenceRequest) -> Awaitable[pb.Sequence]: ...
    def UpdateSequence(self, request: pb.UpdateSequenceRequest) -> Awaitable[pb.Sequence]: ...
    def DeleteSequence(self, request: pb.DeleteSequenceRequest) -> Awaitable[pb.DeleteSequenceResponse]: ...
    def ReorderSequences(self, request: pb.ReorderSequencesRequest) -> Awaitable[pb.ReorderSequencesResponse]: ...
    def CreateShot(self, request: pb.CreateShotRequest) -> Awaitable[pb.Shot]: ...
    def DeleteShot(self, request: pb.DeleteShotRequest) -> Awaitable[pb.DeleteShotResponse]: ...
    def MoveShot(self, request: pb.MoveShotRequest) -> Awaitable[pb.Shot]: ...
    def BatchUpdateShots(self, request: pb.BatchUpdateShotsRequest) -> Awaitable[pb.BatchUpdateShotsResponse]: ...
    def ListVersions(self, request: pb.ListVersionsRequest) -> Awaitable[pb.ListVersionsResponse]: ...
    def GetVersion(self, request: pb.GetVersionRequest) -> Awaitable[pb.VersionDocument]: ...
    def DiffVersions(self, request: pb.DiffVersionsRequest) -> Awaitable[pb.DiffVersionsResponse]: ...
    def RestoreVersion(self, request: pb.RestoreVersionRequest) -> Awaitable[pb.RestoreVersionResponse]: ...
    def ListTrash(self, request: pb.ListTrashRequest) -> Awaitable[pb.ListTrashResponse]: ...
    def WatchProject(self, request: pb.WatchProjectRequest) -> AsyncGenerator[pb.WatchProjectResponse, None]: ...


class RemoteSequenceFiles:
    """The service in another process. Safe to retry: a mutation always has a request id."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = pb_grpc.SequenceFileServiceStub(channel)

    async def ListSequences(self, request: pb.ListSequencesRequest) -> pb.ListSequencesResponse:
        return await answer(self._stub.ListSequences(request))

    async def GetSequence(self, request: pb.GetSequenceRequest) -> pb.Sequence:
        return await answer(self._stub.GetSequence(request))

    async def GetShots(self, request: pb.GetShotsRequest) -> pb.GetShotsResponse:
        return await answer(self._stub.GetShots(request))

    async def GetShot(self, request: pb.GetShotRequest) -> pb.Shot:
        return await answer(self._stub.GetShot(request))

    async def ListProjectShots(self, request: pb.ListProjectShotsRequest) -> pb.ListProjectShotsResponse:
        return await answer(self._stub.ListProjectShots(request))

    async def UpdateShot(self, request: pb.UpdateShotRequest) -> pb.Shot:
        return await self._for_shot(self._stub.UpdateShot(identified(request)), request)

    async def UpdateProjectShot(self, request: pb.UpdateProjectShotRequest) -> pb.Shot:
        return await self._for_shot(self._stub.UpdateProjectShot(identified(request)), request)

    async def CreateSequence(self, request: pb.CreateSequenceRequest) -> pb.Sequence:
        return await answer(self._stub.CreateSequence(identified(request)))

    async def UpdateSequence(self, request: pb.UpdateSequenceRequest) -> pb.Sequence:
        return await answer(self._stub.UpdateSequence(identified(request)))

    async def DeleteSequence(self, request: pb.DeleteSequenceRequest) -> pb.DeleteSequenceResponse:
        return await answer(self._stub.DeleteSequence(identified(request)))

    async def ReorderSequences(self, request: pb.ReorderSequencesRequest) -> pb.ReorderSequencesResponse:
        return await answer(self._stub.ReorderSequences(identified(request)))

    async def CreateShot(self, request: pb.CreateShotRequest) -> pb.Shot:
        return await answer(self._stub.CreateShot(identified(request)))

    async def DeleteShot(self, request: pb.DeleteShotRequest) -> pb.DeleteShotResponse:
        return await self._for_shot(self._stub.DeleteShot(identified(request)), request)

    async def MoveShot(self, request: pb.MoveShotRequest) -> pb.Shot:
        return await self._for_shot(self._stub.MoveShot(identified(request)), request)

    async def BatchUpdateShots(self, request: pb.BatchUpdateShotsRequest) -> pb.BatchUpdateShotsResponse:
        return await answer(self._stub.BatchUpdateShots(identified(request)))

    async def ListVersions(self, request: pb.ListVersionsRequest) -> pb.ListVersionsResponse:
        return await answer(self._stub.ListVersions(request))

    async def GetVersion(self, request: pb.GetVersionRequest) -> pb.VersionDocument:
        return await answer(self._stub.GetVersion(request))

    async def DiffVersions(self, request: pb.DiffVersionsRequest) -> pb.DiffVersionsResponse:
        return await answer(self._stub.DiffVersions(request))

    async def RestoreVersion(self, request: pb.RestoreVersionRequest) -> pb.RestoreVersionResponse:
        return await self._for_shot(self._stub.RestoreVersion(identified(request)), request)

    async def ListTrash(self, request: pb.ListTrashRequest) -> pb.ListTrashResponse:
        return await answer(self._stub.ListTrash(request))

    def WatchProject(self, request: pb.WatchProjectRequest) -> AsyncGenerator[pb.WatchProjectResponse, None]:
        return stream(self._stub.WatchProject, request)

    async def _for_shot(self, call: Awaitable[Response], request: OfShot) -> Response:
        """The answer to a change of one shot. A conflict whose value was too large for trailing metadata comes with the
        value read anew."""
        try:
            return await answer(call)
        except Fault as fault:
            if (
                fault.reason == "ETAG_MISMATCH"
                and request.shot_id
                and not (fault.current and fault.current.document_json)
            ):
                fault.current = await self._current(request) or fault.current
            raise

    async def _current(self, request: OfShot) -> Current | None:
        place = pb.GetShotRequest(project_path=request.project_path, shot_id=request.shot_id)
        if not isinstance(request, pb.UpdateProjectShotRequest):
            place.sequence_id = request.sequence_id
        try:
            shot = await self.GetShot(place)
        except Fault:
            return None  # the conflict is what the caller must hear of; the value was extra
        return Current(etag=shot.etag, document_json=shot.document_json)
