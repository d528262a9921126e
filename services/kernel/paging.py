"""Pages of lists: sizes, and tokens that belong to one query.

A list that has a version is paged by position. One that changes all the time is paged by the values that its last item
is ordered by (a keyset), so that what comes and goes before it shifts nothing.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import TypeAlias

from services.kernel.faults import Fault, invalid_field

MAX_PAGE_BYTES = 3 * 1024 * 1024  # stock gRPC clients receive 4 MiB

Key: TypeAlias = str | int | None


def page_size(asked: int, *, default: int, largest: int) -> int:
    """How many items a page may hold. 0 means the default, more than `largest` is capped."""
    if asked < 0:
        raise invalid_field("page_size", "must not be negative")
    return min(asked or default, largest)


def page_token(query: str, position: int, version: str) -> str:
    """Token of the page that begins at `position` of the answer to `query`, as it was at `version`."""
    return _token(query, [position, version])


def page_start(token: str, query: str) -> tuple[int, str]:
    """Position and version that a token names; (0, "") without one. INVALID_ARGUMENT for another query's token."""
    if not token:
        return 0, ""
    match _content(token, query):
        case [int(position), str(version)] if position >= 0 and type(position) is int:
            return position, version
    raise foreign_token()


def keyset_token(query: str, keys: Sequence[Key]) -> str:
    """Token of the page that begins behind the item with these keys in the answer to `query`."""
    return _token(query, [list(keys)])


def keyset_start(token: str, query: str) -> tuple[Key, ...]:
    """The keys that a token names; none without one. INVALID_ARGUMENT for another query's token. Whether they are of
    the kind that the list is ordered by is for its reader to find out."""
    if not token:
        return ()
    match _content(token, query):
        case [[*found]] if found:
            keys = tuple(key for key in found if key is None or type(key) is int or isinstance(key, str))
            if len(keys) == len(found):
                return keys
    raise foreign_token()


def foreign_token() -> Fault:
    """INVALID_ARGUMENT for a token that no page of the query gave."""
    return invalid_field("page_token", "must come from the page before, of the same query")


def _token(query: str, content: Sequence[object]) -> str:
    text = json.dumps([_digest(query), *content], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _content(token: str, query: str) -> list[object]:
    try:
        content: list[object]
        digest, *content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise foreign_token() from None
    if digest != _digest(query):
        raise foreign_token()
    return content


def _digest(query: str) -> str:
    return hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()[:16]
