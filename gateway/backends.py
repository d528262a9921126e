"""The services behind the gateway, as the gateway sees them: one interface, two ways to fill it.

In the one-machine start the servicer itself fills it, without a hop. In a cluster a channel does.
"""

import uuid
from collections.abc import AsyncGenerator, Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as pb_grpc

from services.kernel.faults import Current, Fault
from services.runtime import status

Response = TypeVar("Response", bound=Message)
Mutation = TypeVar(
    "Mutation",
    pb.UpdateShotRequest,
    pb.UpdateProjectShotRequest,
    pb.CreateSequenceRequest,
    pb.UpdateSequenceRequest,
    pb.DeleteSequenceRequest,
    pb.ReorderSequencesRequest,
    pb.CreateShotRequest,
    pb.DeleteShotRequest,
    pb.MoveShotRequest,
    pb.BatchUpdateShotsRequest,
    pb.RestoreVersionRequest,
)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """What the gateway composes and forwards to."""

    sequence_files: SequenceFiles
    # Package, e.g. "shotline.sequence_file.v1", to the gRPC address that its methods are forwarded to.
    addresses: Mapping[str, str] = field(default_factory=dict)


class RemoteSequenceFiles:
    """The service in another process. Safe to retry: a mutation always has a request id."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = pb_grpc.SequenceFileServiceStub(channel)

    async def ListSequences(self, request: pb.ListSequencesRequest) -> pb.ListSequencesResponse:
        return await _answer(self._stub.ListSequences(request))

    async def GetSequence(self, request: pb.GetSequenceRequest) -> pb.Sequence:
        return await _answer(self._stub.GetSequence(request))

    async def GetShots(self, request: pb.GetShotsRequest) -> pb.GetShotsResponse:
        return await _answer(self._stub.GetShots(request))

    async def GetShot(self, request: pb.GetShotRequest) -> pb.Shot:
        return await _answer(self._stub.GetShot(request))

    async def ListProjectShots(self, request: pb.ListProjectShotsRequest) -> pb.ListProjectShotsResponse:
        return await _answer(self._stub.ListProjectShots(request))

    async def UpdateShot(self, request: pb.UpdateShotRequest) -> pb.Shot:
        return await self._for_shot(self._stub.UpdateShot(_identified(request)), request)

    async def UpdateProjectShot(self, request: pb.UpdateProjectShotRequest) -> pb.Shot:
        return await self._for_shot(self._stub.UpdateProjectShot(_identified(request)), request)

    async def CreateSequence(self, request: pb.CreateSequenceRequest) -> pb.Sequence:
        return await _answer(self._stub.CreateSequence(_identified(request)))

    async def UpdateSequence(self, request: pb.UpdateSequenceRequest) -> pb.Sequence:
        return await _answer(self._stub.UpdateSequence(_identified(request)))

    async def DeleteSequence(self, request: pb.DeleteSequenceRequest) -> pb.DeleteSequenceResponse:
        return await _answer(self._stub.DeleteSequence(_identified(request)))

    async def ReorderSequences(self, request: pb.ReorderSequencesRequest) -> pb.ReorderSequencesResponse:
        return await _answer(self._stub.ReorderSequences(_identified(request)))

    async def CreateShot(self, request: pb.CreateShotRequest) -> pb.Shot:
        return await _answer(self._stub.CreateShot(_identified(request)))

    async def DeleteShot(self, request: pb.DeleteShotRequest) -> pb.DeleteShotResponse:
        return await self._for_shot(self._stub.DeleteShot(_identified(request)), request)

    async def MoveShot(self, request: pb.MoveShotRequest) -> pb.Shot:
        return await self._for_shot(self._stub.MoveShot(_identified(request)), request)

    async def BatchUpdateShots(self, request: pb.BatchUpdateShotsRequest) -> pb.BatchUpdateShotsResponse:
        return await _answer(self._stub.BatchUpdateShots(_identified(request)))

    async def ListVersions(self, request: pb.ListVersionsRequest) -> pb.ListVersionsResponse:
        return await _answer(self._stub.ListVersions(request))

    async def GetVersion(self, request: pb.GetVersionRequest) -> pb.VersionDocument:
        return await _answer(self._stub.GetVersion(request))

    async def DiffVersions(self, request: pb.DiffVersionsRequest) -> pb.DiffVersionsResponse:
        return await _answer(self._stub.DiffVersions(request))

    async def RestoreVersion(self, request: pb.RestoreVersionRequest) -> pb.RestoreVersionResponse:
        return await self._for_shot(self._stub.RestoreVersion(_identified(request)), request)

    async def ListTrash(self, request: pb.ListTrashRequest) -> pb.ListTrashResponse:
        return await _answer(self._stub.ListTrash(request))

    async def WatchProject(self, request: pb.WatchProjectRequest) -> AsyncGenerator[pb.WatchProjectResponse, None]:
        stream = self._stub.WatchProject(request)
        try:
            async for message in stream:
                yield message
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from None
        finally:
            stream.cancel()  # of a stream that has ended, nothing

    async def _for_shot(self, call: Awaitable[Response], request: OfShot) -> Response:
        """The answer to a change of one shot. A conflict whose value was too large for trailing metadata comes with the
        value read anew."""
        try:
            return await _answer(call)
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


async def _answer(call: Awaitable[Response]) -> Response:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise status.from_rpc_error(error) from None


def _identified(request: Mutation) -> Mutation:
    """The request with an id of its own, so that the channel may send it again."""
    if request.request_id:
        return request
    identified = type(request)()
    identified.CopyFrom(request)
    identified.request_id = str(uuid.uuid4())
    return identified
