"""Calls to a service in another process: its errors as faults, its lists in pages."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

import grpc.aio

from services.runtime import status

Request = TypeVar("Request")
Response = TypeVar("Response")
Item = TypeVar("Item", covariant=True)


class Messages(Protocol[Item]):
    """A stream that has begun."""

    def __aiter__(self) -> AsyncIterator[Item]: ...
    def cancel(self) -> bool: ...


class PageRequest(Protocol):
    """A request of a page."""

    page_token: str


class Page(Protocol):
    """A page of a list."""

    next_page_token: str


PageAsked = TypeVar("PageAsked", bound=PageRequest)
PageFound = TypeVar("PageFound", bound=Page)


async def answer(call: Awaitable[Response]) -> Response:
    """The answer to a call that has begun. Raises Fault."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise status.from_rpc_error(error) from None


async def stream(begin: Callable[[Request], Messages[Response]], request: Request) -> AsyncGenerator[Response, None]:
    """The messages of a stream, which ends with the generator. Raises Fault."""
    call = begin(request)
    try:
        async for message in call:
            yield message
    except grpc.aio.AioRpcError as error:
        raise status.from_rpc_error(error) from None
    finally:
        call.cancel()  # of a stream that has ended, nothing


async def pages(
    call: Callable[[PageAsked], Awaitable[PageFound]], request: PageAsked
) -> AsyncGenerator[PageFound, None]:
    """All pages of a list, from the one that the request asks for on. Raises Fault."""
    while True:
        page = await answer(call(request))
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
