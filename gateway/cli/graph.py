"""The calls that the `film` commands make. Every method raises Fault. All calls go to the gateway's address."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Sequence

import grpc.aio
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.asset_graph.v1 import asset_graph_service_pb2_grpc as pb_grpc
from shotline.studio.v1 import studio_service_pb2 as studio
from shotline.studio.v1 import studio_service_pb2_grpc as studio_grpc

from services.kernel.faults import Fault
from services.runtime.calls import answer, pages, stream

_AT_ONCE = 16  # calls
_LARGEST_PAGE = 1_000


class Graph:
    """One open channel. Changes carry a request id each: the channel may send them again."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._graph = pb_grpc.AssetGraphServiceStub(channel)
        self._studio = studio_grpc.StudioServiceStub(channel)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def asset(self, asset_id: str) -> pb.Asset | None:
        """An asset; None where there is none of this id."""
        try:
            return await answer(self._graph.GetAsset(pb.GetAssetRequest(id=asset_id)))
        except Fault as fault:
            if fault.reason != "ASSET_NOT_FOUND":
                raise
            return None

    async def films(self, workspace_id: str, *, name: str = "", contains: str = "") -> list[pb.Asset]:
        """The films of a workspace as they were made: all, those of a name, those whose metadata contains an object."""
        request = pb.ListAssetsRequest(
            workspace_id=workspace_id,
            types=["film"],
            name_prefix=name,
            metadata_contains_json=contains,
            page_size=_LARGEST_PAGE,
        )
        listed = pages(self._graph.ListAssets, request)
        return [film async for page in listed for film in page.assets if name in ("", film.name)]

    async def children(self, parent_ids: Sequence[str]) -> list[list[pb.RelatedAsset]]:
        """Of each asset all that it leads to, by type and place."""
        return await asyncio.gather(*map(self._children, parent_ids))

    async def film(self, film_id: str) -> studio.Film:
        """A film with all its shots."""
        request = studio.GetFilmRequest(film_id=film_id, page_size=_LARGEST_PAGE)
        whole = studio.Film()
        async for page in pages(self._studio.GetFilm, request):
            whole.MergeFrom(page)
        whole.ClearField("next_page_token")
        return whole

    async def cost(self, film_id: str) -> pb.FilmCost:
        """What a film cost."""
        return await answer(self._graph.GetFilmCost(pb.GetFilmCostRequest(film_id=film_id)))

    async def takes(self, shot_id: str) -> list[pb.Take]:
        """The takes of a shot by attempt number."""
        request = pb.ListShotTakesRequest(shot_id=shot_id, page_size=_LARGEST_PAGE)
        return [take async for page in pages(self._graph.ListShotTakes, request) for take in page.takes]

    async def select(self, shot_id: str, take_id: str) -> studio.Shot:
        """Select a take; an empty id: none."""
        return await answer(
            self._studio.SelectTake(
                studio.SelectTakeRequest(shot_id=shot_id, take_id=take_id, request_id=str(uuid.uuid4()))
            )
        )

    async def apply(self, request: pb.ApplyChangesRequest) -> pb.ApplyChangesResponse:
        """Make many changes as one."""
        return await answer(self._graph.ApplyChanges(request))

    def changes(self, workspace_id: str, after: int | None = None) -> AsyncGenerator[pb.WatchChangesResponse, None]:
        """The changes of a workspace behind a revision (None: from now on), and where the watch is."""
        request = pb.WatchChangesRequest(workspace_id=workspace_id, after_revision=after)
        return stream(self._graph.WatchChanges, request)

    async def _children(self, parent_id: str) -> list[pb.RelatedAsset]:
        request = pb.ListChildrenRequest(parent_asset_id=parent_id, page_size=_LARGEST_PAGE)

        async def in_turn(request: pb.ListChildrenRequest) -> pb.ListChildrenResponse:
            async with self._turns:
                return await self._graph.ListChildren(request)

        return [child async for page in pages(in_turn, request) for child in page.children]
