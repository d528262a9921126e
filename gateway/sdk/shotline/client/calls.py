"""What all calls of the asset graph share."""

from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

import grpc.aio
from shotline.asset_graph.v1.asset_graph_service_pb2_grpc import AssetGraphServiceStub
from shotline.client.connection import Connection, PageAsked, PageFound

Request = TypeVar("Request")
Answer = TypeVar("Answer")


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

    def _pages(
        self,
        pick: Callable[[AssetGraphServiceStub], "grpc.aio.UnaryUnaryMultiCallable[PageAsked, PageFound]"],
        request: PageAsked,
        timeout: float | None,
    ) -> AsyncGenerator[PageFound, None]:
        """All pages; the timeout is for each."""
        return self._connection.pages(pick, request, timeout)
