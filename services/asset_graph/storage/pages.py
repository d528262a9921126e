"""Pages by keyset: where one begins, and how much of what was found fits into it.

What is read is bounded twice. The database stops at so many stored bytes, which it knows without unpacking a value, so
that no answer of gigabytes is made; here the bytes as they travel are counted, which decides.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from services.asset_graph.domain.reading import Page, Position
from services.kernel.paging import MAX_PAGE_BYTES, Key, foreign_token

T = TypeVar("T")

STORED_BYTES = "octet_length(x.name) + coalesce(octet_length(x.url), 0) + pg_column_size(x.asset_metadata)"


def bounded(rows: str, order: str, limit: str, *, stored: str = STORED_BYTES, most: int = MAX_PAGE_BYTES) -> str:
    """SQL that cuts the rows of a query: at `limit` rows, and behind the one that goes over so many stored bytes. Each
    row has a column `follows` that says whether there is another one behind it.

    rows: an ordered query. order: the same, of its output columns under the alias x. stored: the bytes of a row.
    """
    upto = f"sum({stored}) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING)"
    return (
        f"SELECT y.* FROM (SELECT x.*, lead(true, 1, false) OVER (ORDER BY {order}) AS follows, "
        f"{upto} - ({stored}) AS before FROM ({rows} LIMIT {limit} + 1) x ORDER BY {order} LIMIT {limit}) y "
        f"WHERE y.before <= {most}"
    )


def page(
    rows: Sequence[asyncpg.Record],
    read: Callable[[asyncpg.Record], T],
    size: Callable[[T], int],
    key: Callable[[asyncpg.Record], Position],
) -> Page[T]:
    """As many of the `bounded` rows as fit into a page."""
    items: list[T] = []
    taken = 0
    for index, row in enumerate(rows):
        item = read(row)
        taken += size(item)
        if items and taken > MAX_PAGE_BYTES:
            return Page(items=items, following=key(rows[index - 1]))
        items.append(item)
    return Page(items=items, following=key(rows[-1]) if rows and rows[-1]["follows"] else None)


def key(value: UUID | datetime | str) -> Key:
    """A value as a key."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def keys(behind: Position, *kinds: Callable[[Key], Any]) -> list[Any]:
    """The values that a page begins behind. Raises INVALID_FIELD for those that no page gave."""
    if len(behind) != len(kinds):
        raise foreign_token()
    try:
        return [kind(value) for kind, value in zip(kinds, behind, strict=True)]
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise foreign_token() from None


def text(value: Key) -> str:
    """A key that is a text."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def number(value: Key) -> int:
    """A key that is a number that PostgreSQL's bigint can hold."""
    if not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def identity(value: Key) -> UUID:
    """A key that is an id."""
    return UUID(text(value))


def moment(value: Key) -> datetime:
    """A key that is a time, as `datetime.isoformat` writes it."""
    parsed = datetime.fromisoformat(text(value))
    if parsed.tzinfo is None:
        raise ValueError
    return parsed.astimezone(UTC)  # which some times near the last one cannot be
