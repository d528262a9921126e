"""Which versions of a file the history keeps.

All of the last hour, before that the last one of each hour, and in any case no more than a number of versions and
of bytes. Where all of these would be too many, each kind is sure of half: a burst of edits does not erase the months
before it, and the months do not leave the burst without its steps. Of the hours the newest win. Of the last hour's
versions half of those that stay are the newest ones; the others are spread over the time before, the oldest
included, so that a burst does not erase what it began with either.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

RECENT = 3600.0  # seconds
MOST = 50  # versions of a file
MOST_BYTES = 256 << 20  # of a file's versions together


class Candidate(NamedTuple):
    """A version that could be kept."""

    revision: int
    at: float  # seconds since 1970
    size: int  # bytes


def kept(versions: Iterable[Candidate], now: float) -> set[int]:
    """The revisions that stay. The newest one always does; hours are those of the clock, in UTC.

    Applied again to what it kept it drops nothing, so it does not matter how often it runs.
    """
    newest_first = sorted(versions, reverse=True)
    hourly: dict[float, Candidate] = {}
    for each in newest_first:
        hourly.setdefault(each.at // RECENT, each)
    lasts = list(hourly.values())
    steps = [each for each in newest_first if now - each.at < RECENT and hourly[each.at // RECENT] is not each]
    chosen = lasts[:1]
    chosen += _fitting(lasts[1:], chosen, MOST // 2, MOST_BYTES // 2)
    sure = len(chosen)
    chosen += _spread(steps[::-1], MOST - sure, MOST_BYTES - sum(each.size for each in chosen))
    chosen += _fitting(lasts[sure:], chosen, MOST, MOST_BYTES)
    return {each.revision for each in chosen}


def _fitting(
    candidates: Sequence[Candidate], chosen: Sequence[Candidate], most: int, most_bytes: int
) -> list[Candidate]:
    """As many of the first candidates as there is room for beside those that are chosen."""
    fitting: list[Candidate] = []
    count, size = len(chosen), sum(each.size for each in chosen)
    for each in candidates:
        count, size = count + 1, size + each.size
        if count > most or size > most_bytes:
            break
        fitting.append(each)
    return fitting


def _spread(oldest_first: Sequence[Candidate], most: int, most_bytes: int) -> list[Candidate]:
    """The newest candidates, and older ones far from each other; the oldest that has room stays as long as any."""
    left = [each for each in oldest_first if each.size <= most_bytes]
    size = sum(each.size for each in left)
    newest = most // 2
    while left and (len(left) > most or size > most_bytes):
        # Without older ones between, the oldest of the newest goes.
        older = range(1, max(len(left) - newest, 2))
        closest = min(older, key=lambda index: left[index].at - left[index - 1].at)
        size -= left.pop(closest).size
    return left
