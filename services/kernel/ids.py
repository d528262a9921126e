"""Ids that callers send."""

import re
from uuid import UUID

from services.kernel.faults import invalid_field

# The text form of RFC 9562, any version; upper case is accepted and folded.
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ETAG = re.compile(r"[0-9a-f]{32}")


def request_id(text: str) -> str | None:
    """The id of a mutation in lower case, or None for the empty text. INVALID_ARGUMENT unless a UUID."""
    if not text:
        return None
    if not _UUID.fullmatch(folded := text.lower()):
        raise invalid_field("request_id", "must be a UUID such as 0195a1c2-7e00-7000-8000-000000000000")
    return folded


def uuid(text: str, field: str) -> UUID:
    """The id that a field must name. INVALID_ARGUMENT unless a UUID."""
    if not _UUID.fullmatch(folded := text.lower()):
        raise invalid_field(field, "must be a UUID such as 0195a1c2-7e00-7000-8000-000000000000")
    return UUID(folded)


def etag(text: str) -> str | None:
    """The etag that a caller last saw, or None for the empty text. INVALID_ARGUMENT when malformed."""
    if not text:
        return None
    if not _ETAG.fullmatch(text):
        raise invalid_field("etag", "must be the 32 hexadecimal digits of an earlier answer")
    return text
