"""Which versions of a file the history keeps.

All of the last hour, before that the last one of each hour, and in any case no more than a number of versions and
of bytes. Where all of these would be too many, each kind is sure of half: a burst of edits does not erase the months
before it, and the months do not leave the burst without its steps. The newest of each kind win.
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
    chosen += _fitting(steps, chosen, MOST, MOST_BYTES)
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
