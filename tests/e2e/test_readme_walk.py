"""The README is true: its commands are run as they stand, in its order, and say what it says they say."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import typer.main

from services.local.command import app
from tests.e2e.conftest import REPOSITORY
from tests.postgres import without_settings

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
ELSEWHERE = {"make demo", "make test"}  # run by test_demo, and by whoever runs this
PATIENCE = 30.0
BY_HAND = 1.5  # seconds that an edit by hand takes; what was written before has its copy in the history by then
# What is another one in each run.
VARYING = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "ISO-TIME"),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"\d\d:\d\d:\d\d", "TIME"),
    (r"\b[0-9a-f]{32}\b", "ETAG"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "ID"),
)


@dataclass(frozen=True)
class Block:
    """A fenced block of the README."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Its lines without comments; a line that goes on on the next is one."""
        joined = self.text.replace("\\\n", " ")
        return [command for line in joined.splitlines() if (command := re.sub(r"\s+# .*$", "", line).strip())]


BLOCKS = [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)]


@dataclass
class Terminal:
    """A command that goes on running, and all that it has said."""

    process: "subprocess.Popen[bytes]"
    said: str = ""

    def until(self, wanted: str) -> str:
        """What it said up to the line that holds `wanted`."""
        assert self.process.stdout
        end = time.monotonic() + PATIENCE
        while wanted not in self.said:
            ready, _, _ = select.select([self.process.stdout], [], [], end - time.monotonic())
            assert ready, f"{wanted!r} was not said, but {self.said!r}"
            piece = os.read(self.process.stdout.fileno(), 65536)
            assert piece, f"it ended before {wanted!r}: {self.said!r}"
            self.said += piece.decode()
        return self.said

    def end(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


@dataclass
class Reader:
    """Somebody who types what the README says, at home in a folder of their own."""

    home: Path
    terminals: list[Terminal] = field(default_factory=list)
    film_id: str = ""  # of the film that was made last

    def __post_init__(self) -> None:
        program = self.home / ".venv" / "bin" / "shotline"
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m services.local.command "$@"\n')
        program.chmod(0o755)
        (program.parent / "activate").write_text('PATH="$PWD/.venv/bin:$PATH"\n')

    def types(self, command: str) -> str:
        """What the command says, both streams as a terminal shows them."""
        done = subprocess.run(
            ["bash", "-euc", self._as_here(command)],
            cwd=self.home,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{command} failed:\n{done.stdout}"
        if command.startswith("shotline film import "):
            self.film_id = done.stdout.split()[-1]
        return done.stdout

    def leaves_running(self, command: str) -> Terminal:
        """A command in a terminal of its own."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {self._as_here(command)}"],
            cwd=self.home,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self.terminals.append(Terminal(process))
        return self.terminals[-1]

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in without_settings().items() if not name.startswith("XDG_")}
        path = f"{self.home / '.venv' / 'bin'}:{own['PATH']}"
        python_path = os.pathsep.join(str(REPOSITORY / each) for each in ("", "protos/gen/python", "gateway/sdk"))
        return {**own, "HOME": str(self.home), "PATH": path, "PYTHONPATH": python_path}

    def _as_here(self, command: str) -> str:
        """With the places of this machine for those of the README: the home, and where Shotline listens."""
        command = command.replace("/home/me", str(self.home)).replace("FILM_ID", self.film_id)
        if command.startswith("shotline up "):
            return f"{command} --ports auto"  # the usual ones may be in use
        for connection in self.home.rglob("connection.json"):
            facts = json.loads(connection.read_text())
            command = command.replace("http://127.0.0.1:8080", facts["http"])
            command = command.replace("TOKEN_FILE", str(connection.with_name("token")))
        return command


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    for terminal in reader.terminals:
        if terminal.process.poll() is None:
            terminal.process.kill()
        terminal.process.communicate()


def told(text: str, home: Path) -> str:
    """A text without what differs from run to run."""
    text = text.replace(str(home), "/home/me")
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def pattern(block: Block, home: Path) -> "re.Pattern[str]":
    """What a block shows, as a pattern: `…` stands for anything."""
    shown = told(block.text, home)
    if block.language == "json":
        shown = re.sub(r"\s", "", shown)
    return re.compile(re.escape(shown).replace("…", ".*"), re.DOTALL)


def test_every_command_does_what_the_readme_shows(reader: Reader) -> None:
    watched: Terminal | None = None
    said = ""
    run = compared = 0
    for block in BLOCKS:
        if block.language == "sh" and not ELSEWHERE.issuperset(block.commands):
            run += len(block.commands)
            said = ""
            for command in block.commands:
                if command.startswith("shotline up "):
                    reader.leaves_running(command).until("Ctrl-C ends it")
                elif command.startswith("shotline project watch "):
                    watched = reader.leaves_running(command)
                    watched.until("Ctrl-C ends it")
                else:
                    if command.startswith("sed "):
                        time.sleep(BY_HAND)
                    said += reader.types(command)
        elif said or block.text.startswith("watching"):
            if block.text.startswith("watching"):
                assert watched
                actual = told(watched.until(block.text.splitlines()[-1][-20:]), reader.home)
            else:
                actual = told(said, reader.home)
            if block.language == "json":
                actual = re.sub(r"\s", "", actual)
            assert pattern(block, reader.home).fullmatch(actual), f"the README says\n{block.text}\nbut it is\n{actual}"
            compared += 1
            said = ""
    assert run > 10
    assert compared > 4
    for terminal in reversed(reader.terminals):
        assert terminal.end() == 0


def test_every_command_that_is_named_exists() -> None:
    top = typer.main.get_command(app)
    assert isinstance(top, typer.core.TyperGroup)
    project = top.commands["project"]
    assert isinstance(project, typer.core.TyperGroup)
    named = re.findall(r"shotline (project )?([a-z][a-z-]*)\b", "\n".join(re.findall(r"`[^`]+`", README)))
    assert len(named) > 5
    for of_project, name in named:
        assert name in (project.commands if of_project else top.commands), name


@pytest.mark.parametrize("group", ["project", "film"])
def test_every_command_of_a_group_is_in_the_readme(group: str) -> None:
    top = typer.main.get_command(app)
    assert isinstance(top, typer.core.TyperGroup)
    commands = top.commands[group]
    assert isinstance(commands, typer.core.TyperGroup)
    for name in commands.commands:
        assert re.search(rf"`{name}`|shotline {group} {name}\b", README), name
