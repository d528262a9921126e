"""A running Shotline and a way to type commands."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.local.command import app
from tests import given
from tests.e2e.conftest import REPOSITORY, Shotline
from tests.postgres import without_settings


@dataclass(frozen=True)
class Typed:
    """What a command answered."""

    code: int
    out: str
    errors: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        assert self.code in (0, 1), self.errors
        return json.loads(self.out)


class Cli:
    """Types `shotline` commands in a folder, as a user of one data folder."""

    def __init__(self, folder: Path, data: Path | None) -> None:
        self.folder = folder
        self.data = data

    def __call__(self, *words: object, **variables: str) -> Typed:
        """Run a command; a `project` command but `new`, and a `film` command, is told the data folder unless it says
        where to go."""
        if words[0] in ("project", "film"):
            return self._here(*words, **variables)
        command, environment = self.command(*words, **variables)
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Typed(done.returncode, done.stdout, done.stderr)

    def command(self, *words: object, **variables: str) -> tuple[list[str], dict[str, str]]:
        """What a process needs to be that command: its words and its environment."""
        environment = without_settings()
        python_path = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "protos/gen/python")))
        command = [sys.executable, "-P", "-m", "services.local.command", *self._typed(words, variables)]
        return command, {**environment, "PYTHONPATH": python_path, "COLUMNS": "100", **variables}

    def _here(self, *words: object, **variables: str) -> Typed:
        """In this process: starting one takes ten times as long as what it does."""
        environment = dict.fromkeys(os.environ.keys() - without_settings().keys())
        with contextlib.chdir(self.folder):
            done = CliRunner().invoke(
                app, self._typed(words, variables), env={**environment, "COLUMNS": "100", **variables}
            )
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Typed(done.exit_code, done.stdout, done.stderr)

    def _typed(self, words: tuple[object, ...], variables: dict[str, str]) -> list[str]:
        typed = [str(word) for word in words]
        asks = typed[0] in ("project", "film") and typed[1:2] != ["new"] and "--help" not in typed
        if asks and self.data and not {"--data", "--address"} & {*typed} and "SHOTLINE_ADDRESS" not in variables:
            typed += ["--data", str(self.data)]
        return typed


@pytest.fixture(scope="package")
def shotline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shotline]:
    """One Shotline for all tests of this folder; each has a project of its own below its root."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "films").mkdir()
    shotline = Shotline(folder / "films", folder / "data")
    try:
        shotline.start()
        yield shotline
    finally:
        shotline.end()


@pytest.fixture
def cli(shotline: Shotline, request: pytest.FixtureRequest) -> Cli:
    """Commands typed in an empty folder below the root of the running Shotline."""
    folder = shotline.root / request.node.name.replace("/", "-")[:100]
    folder.mkdir()
    return Cli(folder, shotline.data)


@pytest.fixture
def film(cli: Cli) -> Path:
    """The sample project, as `film` in the folder in which commands are typed."""
    assert cli("project", "new", "film").code == 0
    return cli.folder / "film"


@pytest.fixture(scope="session")
def vimax() -> Path:
    """The folder of the stories that a generator wrote, which is only read."""
    return given.data("vimax")
