"""The asset graph, as the gateway sees it."""

from collections.abc import AsyncGenerator, Awaitable
from typing import Protocol

import grpc
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.asset_graph.v1 import asset_graph_service_pb2_grpc as pb_grpc

from gateway.backends.remote import identified
from gateway.graph_json import asset_json
from services.kernel.faults import Current, Fault
from services.runtime.calls import answer, stream


class AssetGraph(Protocol):
    """What the gateway composes of the asset graph's contract. Every method raises Fault."""

    def GetAsset(self, request: pb.GetAssetRequest) -> Awaitable[pb.Asset]: ...
    def UpdateAsset(self, request: pb.UpdateAssetRequest) -> Awaitable[pb.Asset]: ...
    def SelectTake(self, request: pb.SelectTakeRequest) -> Awaitable[pb.Selection]: ...
    def GetShotStructure(self, request: pb.GetShotStructureRequest) -> Awaitable[pb.ShotStructure]: ...
    def GetFilmStructure(self, request: pb.GetFilmStructureRequest) -> Awaitable[pb.GetFilmStructureResponse]: ...
    def WatchChanges(self, request: pb.WatchChangesRequest) -> AsyncGenerator[pb.WatchChangesResponse, None]: ...


class RemoteAssetGraph:
    """The service in another process. Safe to retry: a mutation always has a request id."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = pb_grpc.AssetGraphServiceStub(channel)

    async def GetAsset(self, request: pb.GetAssetRequest) -> pb.Asset:
        return await answer(self._stub.GetAsset(request))

    async def UpdateAsset(self, request: pb.UpdateAssetRequest) -> pb.Asset:
        try:
            return await answer(self._stub.UpdateAsset(identified(request)))
        except Fault as fault:
            if fault.reason == "ETAG_MISMATCH" and not (fault.current and fault.current.document_json):
                fault.current = await self._current(request.id) or fault.current
            raise

    async def SelectTake(self, request: pb.SelectTakeRequest) -> pb.Selection:
        return await answer(self._stub.SelectTake(identified(request)))

    async def GetShotStructure(self, request: pb.GetShotStructureRequest) -> pb.ShotStructure:
        return await answer(self._stub.GetShotStructure(request))

    async def GetFilmStructure(self, request: pb.GetFilmStructureRequest) -> pb.GetFilmStructureResponse:
        return await answer(self._stub.GetFilmStructure(request))

    def WatchChanges(self, request: pb.WatchChangesRequest) -> AsyncGenerator[pb.WatchChangesResponse, None]:
        return stream(self._stub.WatchChanges, request)

    async def _current(self, asset_id: str) -> Current | None:
        """What a conflict met, read anew: it was too large for trailing metadata."""
        try:
            asset = await self.GetAsset(pb.GetAssetRequest(id=asset_id))
        except Fault:
            return None  # the conflict is what the caller must hear of; the value was extra
        return Current(etag=asset.etag, document_json=asset_json(asset))
