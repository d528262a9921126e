"""The calls that the `film` commands make. Every method raises Fault. All calls go to the gateway's address."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import TypeVar

import grpc.aio
from google.protobuf.message import Message
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.asset_graph.v1 import asset_graph_service_pb2_grpc as pb_grpc
from shotline.studio.v1 import studio_service_pb2 as studio
from shotline.studio.v1 import studio_service_pb2_grpc as studio_grpc

from services.kernel.faults import Fault
from services.runtime import status

_AT_ONCE = 16  # calls
_LARGEST_PAGE = 1_000

Answer = TypeVar("Answer", bound=Message)


class Graph:
    """One open channel. Changes carry a request id each: the channel may send them again."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._graph = pb_grpc.AssetGraphServiceStub(channel)
        self._studio = studio_grpc.StudioServiceStub(channel)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def asset(self, asset_id: str) -> pb.Asset | None:
        """An asset; None where there is none of this id."""
        try:
            return await _answer(self._graph.GetAsset(pb.GetAssetRequest(id=asset_id)))
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
        found: list[pb.Asset] = []
        while True:
            page = await _answer(self._graph.ListAssets(request))
            found += [film for film in page.assets if name in ("", film.name)]
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def children(self, parent_ids: Sequence[str]) -> list[list[pb.RelatedAsset]]:
        """Of each asset all that it leads to, by type and place."""
        return await asyncio.gather(*map(self._children, parent_ids))

    async def film(self, film_id: str) -> studio.Film:
        """A film with all its shots."""
        request = studio.GetFilmRequest(film_id=film_id, page_size=_LARGEST_PAGE)
        whole = await _answer(self._studio.GetFilm(request))
        while whole.next_page_token:
            request.page_token = whole.next_page_token
            page = await _answer(self._studio.GetFilm(request))
            whole.shots.extend(page.shots)
            whole.next_page_token = page.next_page_token
        return whole

    async def cost(self, film_id: str) -> pb.FilmCost:
        """What a film cost."""
        return await _answer(self._graph.GetFilmCost(pb.GetFilmCostRequest(film_id=film_id)))

    async def takes(self, shot_id: str) -> list[pb.Take]:
        """The takes of a shot by attempt number."""
        request = pb.ListShotTakesRequest(shot_id=shot_id, page_size=_LARGEST_PAGE)
        found: list[pb.Take] = []
        while True:
            page = await _answer(self._graph.ListShotTakes(request))
            found.extend(page.takes)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def select(self, shot_id: str, take_id: str) -> studio.Shot:
        """Select a take; an empty id: none."""
        return await _answer(
            self._studio.SelectTake(
                studio.SelectTakeRequest(shot_id=shot_id, take_id=take_id, request_id=str(uuid.uuid4()))
            )
        )

    async def apply(self, request: pb.ApplyChangesRequest) -> pb.ApplyChangesResponse:
        """Make many changes as one."""
        return await _answer(self._graph.ApplyChanges(request))

    async def changes(
        self, workspace_id: str, after: int | None = None
    ) -> AsyncGenerator[pb.WatchChangesResponse, None]:
        """The changes of a workspace behind a revision (None: from now on), and where the watch is."""
        request = pb.WatchChangesRequest(workspace_id=workspace_id, after_revision=after)
        stream = self._graph.WatchChanges(request)
        try:
            async for message in stream:
                yield message
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error) from None
        finally:
            stream.cancel()  # of a stream that has ended, nothing

    async def _children(self, parent_id: str) -> list[pb.RelatedAsset]:
        request = pb.ListChildrenRequest(parent_asset_id=parent_id, page_size=_LARGEST_PAGE)
        found: list[pb.RelatedAsset] = []
        while True:
            async with self._turns:
                page = await _answer(self._graph.ListChildren(request))
            found.extend(page.children)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


async def _answer(started: Awaitable[Answer]) -> Answer:
    try:
        return await started
    except grpc.aio.AioRpcError as error:
        raise status.from_rpc_error(error) from None
