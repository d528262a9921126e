"""Changes that a service in another process may be sent again."""

import uuid
from typing import Protocol, TypeVar

from google.protobuf.message import Message


class _Mutation(Protocol):
    request_id: str


Mutation = TypeVar("Mutation", bound=_Mutation)


def identified(request: Mutation) -> Mutation:
    """The request with an id of its own, so that the channel may send it again."""
    if request.request_id:
        return request
    assert isinstance(request, Message)
    copy = type(request)()
    copy.CopyFrom(request)
    copy.request_id = str(uuid.uuid4())
    return copy
