"""Pages of lists: sizes, and tokens that belong to one query."""

import base64
import binascii
import hashlib
import json

from services.kernel.faults import Fault, invalid_field

MAX_PAGE_BYTES = 3 * 1024 * 1024  # stock gRPC clients receive 4 MiB


def page_size(asked: int, *, default: int, largest: int) -> int:
    """How many items a page may hold. 0 means the default, more than `largest` is capped."""
    if asked < 0:
        raise invalid_field("page_size", "must not be negative")
    return min(asked or default, largest)


def page_token(query: str, position: int, version: str) -> str:
    """Token of the page that begins at `position` of the answer to `query`, as it was at `version`."""
    text = json.dumps([_digest(query), position, version], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def page_start(token: str, query: str) -> tuple[int, str]:
    """Position and version that a token names; (0, "") without one. INVALID_ARGUMENT for another query's token."""
    if not token:
        return 0, ""
    try:
        digest, position, version = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise _foreign() from None
    if digest != _digest(query) or type(position) is not int or type(version) is not str or position < 0:
        raise _foreign()
    return position, version


def _foreign() -> Fault:
    return invalid_field("page_token", "must come from the page before, of the same query")


def _digest(query: str) -> str:
    return hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()[:16]
