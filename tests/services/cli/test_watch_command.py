"""`shotline project watch`: every change once and in order, over restarts; how it ends."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Shotline
from tests.services.cli.conftest import Cli
from tests.services.cli.test_project_commands import FIRST, rewrite

PATIENCE = 20.0


class Watch:
    """A watch that runs."""

    def __init__(self, cli: Cli, *words: object, of: Sequence[object] = ("project", "watch", "film")) -> None:
        command, environment = cli.command(*of, *words)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._process = subprocess.Popen(command, cwd=cli.folder, env=environment, bufsize=0, **pipes)  # type: ignore[call-overload]
        self._unread = {self._process.stdout: b"", self._process.stderr: b""}

    def line(self) -> str:
        """The next change."""
        return self._next(self._process.stdout)

    def remark(self) -> str:
        """The next line of standard error."""
        return self._next(self._process.stderr)

    def change(self) -> dict[str, Any]:
        """The next change of --json."""
        change: dict[str, Any] = json.loads(self.line())
        return change

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """The exit code, and what else it said on standard error."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        _, errors = self._process.communicate(timeout=PATIENCE)
        return self._process.returncode, errors.decode()

    def _next(self, stream: Any) -> str:
        until = time.monotonic() + PATIENCE
        while b"\n" not in self._unread[stream]:
            ready, _, _ = select.select([stream], [], [], until - time.monotonic())
            assert ready, f"nothing came; so far: {self._unread}"
            piece = os.read(stream.fileno(), 65536)
            assert piece, f"it ended; so far: {self._unread}"
            self._unread[stream] += piece
        line, _, self._unread[stream] = self._unread[stream].partition(b"\n")
        return line.decode()


@pytest.fixture
def watches(cli: Cli, film: Path) -> Iterator[Any]:
    begun: list[Watch] = []

    def begin(*words: object) -> Watch:
        begun.append(Watch(cli, *words))
        return begun[-1]

    yield begin
    for each in begun:
        each.end(signal.SIGKILL)


def notes(cli: Cli, text: str) -> None:
    assert cli("project", "update", "film", "1", "arrival-1", "--set", f"notes={text}").code == 0


def test_a_line_for_each_change_as_it_happens(cli: Cli, film: Path, watches: Any) -> None:
    watch = watches()
    assert watch.remark().endswith("behind revision 0; Ctrl-C ends it")
    notes(cli, "first")
    assert watch.line().split()[0::2] == ["1", "local", "001", "notes"]
    rewrite(film / FIRST, '"notes": "first"', '"notes": "by hand"')
    line = watch.line()
    assert "another program" in line
    assert line.endswith("arrival-1: notes")
    assert watch.end() == (0, "")


def test_programs_get_one_json_document_a_line(cli: Cli, film: Path, watches: Any) -> None:
    watch = watches("--json")
    watch.remark()
    notes(cli, "first")
    change = watch.change()
    assert (change["revision"], change["summary"]) == (1, "arrival-1: notes")
    assert change["origin"]["client"] == "shotline-cli"
    ((file,),) = (change["files"],)
    (shot,) = file["shots"]
    assert shot["shot"] == json.loads((film / FIRST).read_text())["shots"][0]


def test_from_begins_with_a_revision_of_the_past(cli: Cli, film: Path, watches: Any) -> None:
    for text in ("first", "second", "third"):
        notes(cli, text)
    watch = watches("--json", "--from", "2")
    assert [watch.change()["revision"] for _ in range(2)] == [2, 3]
    watch = watches("--json", "--from", "0")
    assert [watch.change()["revision"] for _ in range(3)] == [1, 2, 3]


def test_it_ends_quietly_when_nobody_reads(cli: Cli, film: Path) -> None:
    notes(cli, "first")
    command, environment = cli.command("project", "watch", "film", "--from", "1")
    with subprocess.Popen(
        command, cwd=cli.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as it:
        assert it.stdout
        assert it.stderr
        it.stdout.readline()
        it.stdout.close()
        notes(cli, "second")
        assert it.wait(PATIENCE) == 0
        assert b"Traceback" not in it.stderr.read()


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_restart_of_the_server_shows_no_gap(tmp_path: Path, how: str) -> None:
    """A Shotline of its own: on other ports and with another token than before, as each start has them."""
    (tmp_path / "films").mkdir()
    shotline = Shotline(tmp_path / "films", tmp_path / "data")
    cli = Cli(tmp_path / "films", shotline.data)
    assert cli("project", "new", "film").code == 0
    shotline.start()
    watch = Watch(cli, "--json")
    try:
        watch.remark()
        notes(cli, "first")
        assert watch.change()["revision"] == 1
        if how == "stopped":
            assert shotline.stop() == 0
        else:
            shotline.kill()
        assert "is away" in watch.remark()
        # Nothing runs: seen when something does again.
        rewrite(tmp_path / "films/film" / FIRST, '"notes": "first"', '"notes": "by hand"')
        shotline.start()
        notes(cli, "third")
        assert [(each["revision"], each["origin"]["kind"]) for each in (watch.change(), watch.change())] == [
            (2, "OUTSIDE"),
            (3, "CLIENT"),
        ]
        assert "is back; going on behind revision 1" in watch.remark()
        assert watch.end()[0] == 0
    finally:
        watch.end(signal.SIGKILL)
        shotline.end()


def test_a_log_that_was_begun_anew_is_told(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    shotline = Shotline(tmp_path / "films", tmp_path / "data")
    cli = Cli(tmp_path / "films", shotline.data)
    assert cli("project", "new", "film").code == 0
    shotline.start()
    watch = Watch(cli, "--json")
    try:
        watch.remark()
        notes(cli, "first")
        watch.change()
        assert shotline.stop() == 0
        subprocess.run(["rm", "-r", str(tmp_path / "films/film/.shotline")], check=True)
        shotline.start()
        notes(cli, "anew")
        assert [watch.remark()[:16], watch.remark()[:27]] == ["Shotline is away", "the log was begun anew, or "]
        assert (change := watch.change())["summary"] == "arrival-1: notes"
        assert change["files"][0]["shots"][0]["shot"]["notes"] == "anew"
    finally:
        watch.end(signal.SIGKILL)
        shotline.end()


def test_a_watch_of_nothing_fails_at_once(cli: Cli, film: Path) -> None:
    failed = cli("project", "watch", "nothing")
    assert (failed.code, failed.out) == (1, "")
    assert "PROJECT_NOT_FOUND" in failed.errors
    assert cli("project", "watch", "film", "--address", "127.0.0.1:1", "--token", "any").code == 3
