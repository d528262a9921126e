"""Fixtures of the storage proofs."""

import os
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.log import Log
from tests.storage import projects
from tests.storage.logged import Day, OpenLog
from tests.storage.projects import Server, UnsyncedDisk

Start = Callable[..., Server]


@pytest.fixture
def fast_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one, for thousands of updates none of which waits for a device."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(prefix="shotline-", dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with one sequence of three shots."""
    return projects.make(tmp_path / "project")


@pytest.fixture
def start(project: Path) -> Iterator[Start]:
    """Starts the storage of one more server on the project."""
    started: list[Server] = []

    def start_one(disk: Disk | None = None) -> Server:
        started.append(Server(project, disk))
        return started[-1]

    yield start_one
    for each in started:
        each.close()


@pytest.fixture
def server(start: Start) -> Server:
    """One server's storage on the project."""
    return start()


@pytest.fixture(scope="session")
def processes() -> ForkServerContext:
    """Makes real processes, each forked in milliseconds from a clean one that has everything imported."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.storage.workers"])
    return context


@pytest.fixture
def log_folder(fast_folder: Path) -> Path:
    """A project folder whose `.shotline` somebody made."""
    (fast_folder / ".shotline").mkdir()
    return fast_folder


@pytest.fixture
def open_log(log_folder: Path) -> OpenLog:
    """Opens the folder's log as one more server does."""

    def one(disk: Disk | None = None, **options: Any) -> Log:
        log = Log(disk or UnsyncedDisk(), str(log_folder), (), **options)
        log.catch_up()
        return log

    return one


@pytest.fixture
def day(monkeypatch: pytest.MonkeyPatch) -> Day:
    """A clock, and logs that are rewritten as soon as they may be."""
    return Day(monkeypatch)
