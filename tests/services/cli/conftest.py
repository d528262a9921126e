"""A running Shotline and a way to type commands."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import REPOSITORY, Shotline


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
        self._data = data

    def __call__(self, *words: object, **variables: str) -> Typed:
        """Run a command; a `project` command but `new` is told the data folder unless it says where to go."""
        typed = [str(word) for word in words]
        asks = typed[:1] == ["project"] and typed[1:2] != ["new"] and "--help" not in typed
        if asks and self._data and not {"--data", "--address"} & {*typed} and "SHOTLINE_ADDRESS" not in variables:
            typed += ["--data", str(self._data)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SHOTLINE_")}
        python_path = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "protos/gen/python")))
        done = subprocess.run(
            [sys.executable, "-P", "-m", "services.local.command", *typed],
            cwd=self.folder,
            env={**environment, "PYTHONPATH": python_path, "COLUMNS": "100", **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Typed(done.returncode, done.stdout, done.stderr)


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
