"""StudioService: the gateway's own RPCs, the same for gRPC, Connect and gRPC-Web."""

from collections.abc import AsyncGenerator, Iterator

from google.protobuf.descriptor import MethodDescriptor
from shotline.studio.v1 import studio_service_pb2 as pb
from shotline.studio.v1 import studio_service_pb2_grpc as pb_grpc

from gateway.channels import Channels
from gateway.compose import Studio
from gateway.connect import Stream, Unary

STUDIO = pb.DESCRIPTOR.services_by_name["StudioService"]


class StudioServicer(pb_grpc.StudioServiceServicer):
    """Three lines a method: the work is in `compose` and `channels`."""

    def __init__(self, studio: Studio, channels: Channels) -> None:
        self._studio = studio
        self._channels = channels

    def unary(self) -> Iterator[tuple[MethodDescriptor, Unary]]:
        """Each unary method of the contract with what answers it."""
        for method in STUDIO.methods:
            if not method.server_streaming:
                yield method, getattr(self, method.name)

    def streams(self) -> Iterator[tuple[MethodDescriptor, Stream]]:
        """Each server-streaming method of the contract with what answers it."""
        for method in STUDIO.methods:
            if method.server_streaming:
                yield method, getattr(self, method.name)

    async def UpdateShot(self, request: pb.UpdateShotRequest, context: object = None) -> pb.Shot:
        return await self._studio.update_shot(request)

    async def GetShots(self, request: pb.GetShotsRequest, context: object = None) -> pb.GetShotsResponse:
        return await self._studio.get_shots(request)

    async def GetAllSequences(
        self, request: pb.GetAllSequencesRequest, context: object = None
    ) -> pb.GetAllSequencesResponse:
        return await self._studio.get_all_sequences(request)

    async def GetShot(self, request: pb.GetShotRequest, context: object = None) -> pb.Shot:
        return await self._studio.get_shot(request)

    async def GetFilm(self, request: pb.GetFilmRequest, context: object = None) -> pb.Film:
        return await self._studio.get_film(request)

    async def SelectTake(self, request: pb.SelectTakeRequest, context: object = None) -> pb.Shot:
        return await self._studio.select_take(request)

    def Watch(self, request: pb.WatchRequest, context: object = None) -> AsyncGenerator[pb.WatchResponse, None]:
        return self._studio.watch(request)

    async def Invoke(self, request: pb.InvokeRequest, context: object = None) -> pb.InvokeResponse:
        envelope = await self._channels.invoke(request.channel, request.arguments_json)
        return pb.InvokeResponse(envelope_json=envelope.decode())
