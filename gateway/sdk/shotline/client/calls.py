"""What all calls of the asset graph share."""

from collections.abc import AsyncGenerator, Callable
from typing import Protocol, TypeVar

import grpc.aio
from shotline.asset_graph.v1.asset_graph_service_pb2_grpc import AssetGraphServiceStub
from shotline.client.connection import Connection


class Page(Protocol):
    """A page of a list."""

    next_page_token: str


class PageRequest(Protocol):
    """A request of a page."""

    page_token: str


Request = TypeVar("Request")
Answer = TypeVar("Answer")
PageAsked = TypeVar("PageAsked", bound=PageRequest)
PageFound = TypeVar("PageFound", bound=Page)


class Calls:
    """The connection, and how calls go through it."""

    def __init__(self, connection: Connection[AssetGraphServiceStub]) -> None:
        self._connection = connection

    async def _call(
        self,
        pick: Callable[[AssetGraphServiceStub], "grpc.aio.UnaryUnaryMultiCallable[Request, Answer]"],
        request: Request,
        timeout: float | None,
    ) -> Answer:
        return await self._connection.call(pick, request, timeout)

    async def _pages(
        self,
        pick: Callable[[AssetGraphServiceStub], "grpc.aio.UnaryUnaryMultiCallable[PageAsked, PageFound]"],
        request: PageAsked,
        timeout: float | None,
    ) -> AsyncGenerator[PageFound, None]:
        """All pages; the timeout is for each."""
        while True:
            page = await self._connection.call(pick, request, timeout)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
