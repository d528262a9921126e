"""What was measured, and how it is told: rows of medians and ratios, and the table of them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Rounds = Sequence[Sequence[float]]  # times in milliseconds, by round


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; times in milliseconds."""

    work: str
    ours: float
    ours_p99: float
    theirs: float
    theirs_p99: float
    ratio: float
    target: str  # "–" where none was set
    met: bool | None = None  # None where there is no target


def compared(work: str, ours: Rounds, theirs: Rounds, target: float | None = None) -> Row:
    """The row of a piece of work that both sides did; the ratio is to be at most the target."""
    pairs = zip(ours, theirs, strict=True)
    ratio = statistics.median(statistics.median(a) / statistics.median(b) for a, b in pairs)
    return Row(
        work=work,
        ours=statistics.median(map(statistics.median, ours)),
        ours_p99=p99(ours),
        theirs=statistics.median(map(statistics.median, theirs)),
        theirs_p99=p99(theirs),
        ratio=ratio,
        target="–" if target is None else f"≤ {target:g}",
        met=None if target is None else ratio <= target,
    )


def p99(rounds: Rounds) -> float:
    """The 99th percentile over all rounds."""
    every = sorted(time for each in rounds for time in each)
    return every[min(len(every) - 1, int(len(every) * 0.99))]


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| work | ours ms p50 | p99 | opponent ms p50 | p99 | ratio | target | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for each in rows:
        times = f"{each.ours:.3f} | {each.ours_p99:.3f} | {each.theirs:.3f} | {each.theirs_p99:.3f}"
        verdict = {None: "", True: "met", False: "**missed**"}[each.met]
        lines.append(f"| {each.work} | {times} | {each.ratio:.2f} | {each.target} | {verdict} |")
    return "\n".join(lines)
