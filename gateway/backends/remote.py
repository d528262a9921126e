"""Calls to a service in another process: its errors as faults, its changes safe to send again."""

import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from services.runtime import status

Response = TypeVar("Response", bound=Message)
Request = TypeVar("Request", bound=Message)
Item = TypeVar("Item", bound=Message, covariant=True)


class Messages(Protocol[Item]):
    """A stream that has begun."""

    def __aiter__(self) -> AsyncIterator[Item]: ...
    def cancel(self) -> bool: ...


class _Mutation(Protocol):
    request_id: str


Mutation = TypeVar("Mutation", bound=_Mutation)


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


def identified(request: Mutation) -> Mutation:
    """The request with an id of its own, so that the channel may send it again."""
    if request.request_id:
        return request
    assert isinstance(request, Message)
    copy = type(request)()
    copy.CopyFrom(request)
    copy.request_id = str(uuid.uuid4())
    return copy
