"""`make bench`: Shotline against the Node incumbent of seed 001, side by side, as ratios.

Both sides are called by one Node client: the incumbent over the IPC channel of a forked process,
Shotline over keep-alive HTTP on /ipc. Rounds alternate; a row is the median over the rounds of the
ratio of their medians. Writing is durable on our side only.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
UPDATE_TARGETS = {10: (2.0, 2.5), 100: (1.0, 1.5), 1_000: (0.25, 0.4), 10_000: (0.15, 0.2)}
CALLS = {10: 60, 100: 60, 1_000: 30, 10_000: 12}  # in a round


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; times in milliseconds."""

    work: str
    ours: float
    ours_p99: float
    theirs: float
    theirs_p99: float
    ratio: float
    target: str
    met: bool


def shot(number: int, sequence: str) -> dict[str, object]:
    """A shot as seed 001 shows one, with words of our own."""
    return {
        "id": f"shot-{number}",
        "sequencePlanId": sequence,
        "number": number + 1,
        "type": "wide",
        "generation": {
            "prompt": f"A lighthouse keeper climbs the stairs, step {number}, lamp in hand",
            "negativePrompt": "blurry, text",
            "model": "flux-dev",
            "parameters": {"steps": 20, "cfgScale": 7.5, "width": 1024, "height": 768},
        },
        "timing": {"duration": 5, "inPoint": 0, "outPoint": 5},
    }


def make_project(folder: Path, sequences: int, shots: int) -> str:
    """A project folder of so many sequences with so many shots each; its path."""
    (folder / "sequences").mkdir(parents=True)
    (folder / "project.json").write_text("{}")
    for number in range(1, sequences + 1):
        sequence = f"{number:03d}"
        document = {
            "id": sequence,
            "name": f"Sequence {number}",
            "order": number,
            "shots": [shot(i, sequence) for i in range(shots)],
            "metadata": {"created_at": "2026-01-20T00:00:00.000Z"},
        }
        (folder / "sequences" / f"sequence_{sequence}.json").write_text(json.dumps(document, indent=2))
    return str(folder)


@contextmanager
def backend(folder: Path, *flags: str) -> Iterator[dict[str, str]]:
    """A running `shotline up` over a folder: its line of facts."""
    command = [sys.executable, "-m", "services.local.command", "up", "--json", "--ports", "auto"]
    command += ["--root", str(folder), "--data", str(folder / f"data{len(flags)}"), *flags]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(timeout=30)


def drive(facts: dict[str, str], work: dict[str, object]) -> dict[str, list[list[float]]]:
    """Have the Node client do a piece of work."""
    job = json.dumps({"url": facts["http"], "token": facts["token"], "work": work})
    done = subprocess.run(["node", str(HERE / "driver.js")], input=job, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    times: dict[str, list[list[float]]] = json.loads(done.stdout)
    return times


def row(work: str, times: dict[str, list[list[float]]], target: float) -> Row:
    """The row of a piece of work that both sides did."""
    ours, theirs = times["ours"], times["theirs"]
    pairs = zip(ours, theirs, strict=True)
    ratio = statistics.median(statistics.median(a) / statistics.median(b) for a, b in pairs)
    return Row(
        work=work,
        ours=statistics.median(map(statistics.median, ours)),
        ours_p99=p99(ours),
        theirs=statistics.median(map(statistics.median, theirs)),
        theirs_p99=p99(theirs),
        ratio=ratio,
        target=f"≤ {target:g}",
        met=ratio <= target,
    )


def p99(rounds: list[list[float]]) -> float:
    """The 99th percentile over all rounds."""
    every = sorted(time for each in rounds for time in each)
    return every[min(len(every) - 1, int(len(every) * 0.99))]


def run(*, small: bool) -> Iterator[Row]:
    """All rows. `small` shows that they work and measures nothing."""
    rounds = 1 if small else 7
    sizes = [10, 100] if small else list(UPDATE_TARGETS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def pair(work: str, sequences: int, shots: int) -> list[str]:
            return [make_project(folder / work / side, sequences, shots) for side in ("ours", "theirs")]

        updates = {size: pair(f"update{size}", 1, size) for size in sizes}
        for index, flags in enumerate(([], ["--processes"])):
            with backend(folder, *flags) as facts:
                for size, projects in updates.items():
                    count = 3 if small else CALLS[size]
                    work = {"method": "updateShot", "shot": f"shot-{size // 2}", "rounds": rounds, "count": count}
                    times = drive(facts, {**work, "projects": [projects]})
                    label = f"update one of {size:,} shots" + (", a process per service" if flags else "")
                    yield row(label, times, UPDATE_TARGETS[size][index])
        with backend(folder) as facts:
            yield together(facts, pair("together", 1, 1_000), rounds, 2 if small else 20)
            work = {"method": "getShots", "rounds": rounds, "count": 3 if small else 60}
            yield row("shots of a 100-shot sequence", drive(facts, {**work, "projects": [pair("get", 1, 100)]}), 1.5)
            many = pair("all", 5 if small else 100, 100)
            work = {"method": "getAll", "rounds": rounds, "count": 1 if small else 5, "projects": [many]}
            yield row("all sequences, 100 files of 100 shots, warm", drive(facts, work), 0.5)
            copies = [[shutil.copytree(many[0], folder / f"cold{i}"), many[1]] for i in range(rounds + 1)]
            work = {**work, "count": 1, "projects": [[str(a), b] for a, b in copies]}
            yield row("all sequences, 100 files of 100 shots, cold", drive(facts, work), 1.2)


def together(facts: dict[str, str], projects: list[str], rounds: int, count: int) -> Row:
    """64 updates of one file at once against the same updates one after the other: time per update."""
    work = {"method": "together", "shot": "shot-500", "rounds": rounds, "count": count, "projects": [projects]}
    times = drive(facts, work)
    alone = [statistics.median(each) for each in times["alone"]]
    at_once: list[float] = times["together"]  # type: ignore[assignment]
    if times["lost"]:
        raise SystemExit(f"{times['lost']} of the concurrent updates are not in the file")
    ratio = statistics.median(a / b for a, b in zip(alone, at_once, strict=True))
    return Row(
        work="64 concurrent updates of a 1,000-shot file, each (opponent: ours, one at a time; × as many)",
        ours=statistics.median(at_once),
        ours_p99=max(at_once),
        theirs=statistics.median(alone),
        theirs_p99=p99(times["alone"]),
        ratio=ratio,
        target="≥ 10",
        met=ratio >= 10,
    )


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| work | ours ms p50 | p99 | opponent ms p50 | p99 | ratio | target | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for each in rows:
        figures = (
            f"{each.ours:.3f} | {each.ours_p99:.3f} | {each.theirs:.3f} | {each.theirs_p99:.3f} | {each.ratio:.2f}"
        )
        lines.append(f"| {each.work} | {figures} | {each.target} | {'met' if each.met else '**missed**'} |")
    return "\n".join(lines)


def machine() -> str:
    """Where and with what it was measured."""
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    packages = ", ".join(f"{name} {version(name)}" for name in ("grpcio", "protobuf", "uvicorn"))
    kernel = f"{platform.system()} {platform.release().partition('-')[0]}"
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {kernel}, "
        f"Python {platform.python_version()}, Node {node.removeprefix('v')}, {packages}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="see that it works; the figures mean nothing")
    parser.add_argument("--write", action="store_true", help="write BENCHMARKS.md")
    options = parser.parse_args()
    rows: list[Row] = []
    for each in run(small=options.small):
        rows.append(each)
        print(f"{each.work}: {each.ratio:.2f} (target {each.target})", file=sys.stderr, flush=True)
    text = f"Measured {machine()}.\n\n{table(rows)}\n"
    print(text)
    if options.write:
        head = (ROOT / "BENCHMARKS.md").read_text().partition("Measured ")[0]
        (ROOT / "BENCHMARKS.md").write_text(head + text)


if __name__ == "__main__":
    main()
