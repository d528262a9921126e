"""The services behind the gateway, as the gateway sees them: one interface, two ways to fill it.

In the one-machine start the servicer itself fills it, without a hop. In a cluster a channel does.
"""

import uuid
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as pb_grpc

from services.kernel.faults import Current, Fault
from services.runtime import status

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Mutation = TypeVar("Mutation", pb.UpdateShotRequest, pb.UpdateProjectShotRequest)


class SequenceFiles(Protocol):
    """The sequence-file service's contract. Every method raises Fault."""

    def ListSequences(self, request: pb.ListSequencesRequest) -> Awaitable[pb.ListSequencesResponse]: ...
    def GetSequence(self, request: pb.GetSequenceRequest) -> Awaitable[pb.Sequence]: ...
    def GetShots(self, request: pb.GetShotsRequest) -> Awaitable[pb.GetShotsResponse]: ...
    def GetShot(self, request: pb.GetShotRequest) -> Awaitable[pb.Shot]: ...
    def UpdateShot(self, request: pb.UpdateShotRequest) -> Awaitable[pb.Shot]: ...
    def UpdateProjectShot(self, request: pb.UpdateProjectShotRequest) -> Awaitable[pb.Shot]: ...


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

    async def UpdateShot(self, request: pb.UpdateShotRequest) -> pb.Shot:
        try:
            return await _answer(self._stub.UpdateShot(_identified(request)))
        except Fault as fault:
            place = pb.GetShotRequest(
                project_path=request.project_path, sequence_id=request.sequence_id, shot_id=request.shot_id
            )
            raise await self._with_current(fault, place) from None

    async def UpdateProjectShot(self, request: pb.UpdateProjectShotRequest) -> pb.Shot:
        try:
            return await _answer(self._stub.UpdateProjectShot(_identified(request)))
        except Fault as fault:
            place = pb.GetShotRequest(project_path=request.project_path, shot_id=request.shot_id)
            raise await self._with_current(fault, place) from None

    async def _with_current(self, fault: Fault, place: pb.GetShotRequest) -> Fault:
        """A conflict whose value was too large for trailing metadata, with the value read anew."""
        if fault.reason != "ETAG_MISMATCH" or (fault.current and fault.current.document_json is not None):
            return fault
        try:
            shot = await self.GetShot(place)
        except Fault:
            return fault  # the conflict is what the caller must hear of; the value was extra
        fault.current = Current(etag=shot.etag, document_json=shot.document_json)
        return fault


async def _answer(call: grpc.aio.UnaryUnaryCall[Request, Response]) -> Response:
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
