"""A Shotline that runs as a user runs it, and project folders for it."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests import given
from tests.e2e import projects
from tests.e2e.ipc import Envelope, Ipc
from tests.postgres import Database, without_settings

REPOSITORY = Path(__file__).parents[2]
UP = (sys.executable, "-m", "services.local.command", "up", "--json", "--ports", "auto")
_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 20.0


class Shotline:
    """One `shotline up` and its client. Not started yet."""

    facts: Envelope  # the line of --json

    def __init__(self, root: Path, data: Path, *flags: str, database: Database | None = None) -> None:
        """root: project folders may lie below it; data: its --data; flags: more of them; database: one that is there,
        instead of a PostgreSQL of its own."""
        self.root = root
        self._database = database
        self.data = data
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None
        self._ipc: Ipc | None = None

    def start(self) -> None:
        """Start, or start again, on the same data; return when it is ready."""
        command = [*UP, "--root", str(self.root), "--data", str(self.data), *self._flags]
        with open(self._errors, "ab") as errors:
            self._process = subprocess.Popen(
                command, cwd=REPOSITORY, env=self.environment(), stdout=subprocess.PIPE, stderr=errors
            )
        assert self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], _START_TIMEOUT)
        line = self._process.stdout.readline() if ready else b""
        assert line, f"no line within {_START_TIMEOUT:g} s; it said: {self._errors.read_text()[-2000:]}"
        self.facts = json.loads(line)
        assert self.facts["ready"] is True

    def environment(self) -> dict[str, str]:
        """The variables with which it is started."""
        return {**without_settings(), **(self._database.settings() if self._database else {})}

    @property
    def pid(self) -> int:
        """The process that was started."""
        assert self._process
        return self._process.pid

    def where(self) -> tuple[str, str]:
        """URL and token, as they are since the last start."""
        return self.facts["http"], self.facts["token"]

    def ipc(self, channel: str, arguments: object, **headers: str) -> tuple[int, Envelope]:
        """Call a channel over one keep-alive connection: HTTP status and envelope."""
        if self._ipc is None:
            self._ipc = Ipc(*self.where())
        return self._ipc.call(channel, arguments, **headers)

    def ok(self, channel: str, arguments: object) -> Envelope:
        """The envelope of a call that must succeed."""
        status, envelope = self.ipc(channel, arguments)
        assert (status, envelope["success"]) == (200, True), envelope
        return envelope

    def child(self, name: str) -> int:
        """The pid of a part that --processes started, as it is now."""
        for pid in self.children():
            if name in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
        raise AssertionError(f"no process of {name} below {self.pid}")

    def children(self) -> list[int]:
        """The processes that the started one has started, as they are now."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def kill(self) -> None:
        """kill -9 of all its processes at once."""
        for pid in (self.pid, *self.children()):
            with suppress(ProcessLookupError):  # it ended with its parent, between the two
                os.kill(pid, signal.SIGKILL)
        self._wait(_STOP_TIMEOUT)

    def kill_parent(self) -> list[int]:
        """kill -9 of the started process alone; the children that it had."""
        children = self.children()
        os.kill(self.pid, signal.SIGKILL)
        self._wait(_STOP_TIMEOUT)
        return children

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._close_client()
        os.kill(self.pid, signal.SIGTERM)
        return self._wait(_STOP_TIMEOUT)

    def end(self) -> None:
        """Whatever it does now, it ends."""
        self._close_client()
        if self._process and self._process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        if self._process and self._process.stdout:
            self._process.stdout.close()

    @property
    def _errors(self) -> Path:
        return self.data.with_suffix(".stderr")

    def _wait(self, timeout: float) -> int:
        assert self._process
        self._close_client()
        code = self._process.wait(timeout)
        if self._process.stdout and not self._process.stdout.closed:
            with self._process.stdout as output:
                assert output.read() == b"", "there is more on standard output than the line of --json"
        return code

    def _close_client(self) -> None:
        if self._ipc is not None:
            self._ipc.close()
            self._ipc = None


def is_running(pid: int) -> bool:
    """Whether a process still does anything: a dead one that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # gone, or going while it was read
        return False
    return state != "Z"


def wait_for(condition: Callable[[], object], what: str, timeout: float = 20.0) -> None:
    """Return once the condition holds."""
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, f"not within {timeout:g} s: {what}"
        time.sleep(0.005)


Starter = Callable[..., Shotline]


@contextmanager
def starting(root: Path, database: Database | None) -> Iterator[Starter]:
    """Starts Shotlines over one root, on the database or each on one of its own, and ends them all."""
    started: list[Shotline] = []

    def starter(*flags: str) -> Shotline:
        shotline = Shotline(root, root / f"data-{len(started)}", *flags, database=database)
        started.append(shotline)
        shotline.start()
        return shotline

    yield starter
    for each in started:
        each.end()


@pytest.fixture
def start(tmp_path: Path, embedded_database: Database) -> Iterator[Starter]:
    """Starts Shotlines that one test has for itself: `start(*flags)`. Their root is the test's folder, and they share a
    database: most tests are about other things."""
    with starting(tmp_path, embedded_database) as starter:
        yield starter


@pytest.fixture
def start_whole(tmp_path: Path) -> Iterator[Starter]:
    """As `start`, each with a PostgreSQL of its own."""
    with starting(tmp_path, None) as starter:
        yield starter


@pytest.fixture(scope="module")
def shotline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shotline]:
    """One running Shotline for the tests of a module: each has a project of its own, so none disturbs another."""
    folder = tmp_path_factory.mktemp("shotline")
    root = folder / "films"
    root.mkdir()
    shotline = Shotline(root, folder / "data")
    try:
        shotline.start()
        yield shotline
    finally:
        shotline.end()


@pytest.fixture
def folder(shotline: Shotline, request: pytest.FixtureRequest) -> Path:
    """A path below the root that no other test has; nothing is there yet."""
    name = re.sub(r"\W+", "-", request.node.name).strip("-")
    return shotline.root / f"{name}-{len(list(shotline.root.iterdir()))}"


@pytest.fixture
def project(folder: Path) -> Path:
    """A project of three sequences and one regular shot, in seed 001's file format."""
    return projects.crossing(folder)


@pytest.fixture(scope="session")
def seed() -> str:
    """The text of seed 001."""
    return given.seed("001")


@pytest.fixture(scope="session")
def storycore() -> Path:
    """The folder of the real projects, which is only read."""
    return given.data("storycore")


def writable_copy(source: Path, target: Path) -> Path:
    """A copy of a read-only folder that may be edited."""
    shutil.copytree(source, target)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target
