"""kill -9 in the middle of edits: what was acknowledged is there, every file parses, nothing is made twice.

The clients do what a careful client does: they send an edit again, with its request id, until it is acknowledged.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e import projects
from tests.e2e.conftest import REPOSITORY, Shotline, Starter, is_running, wait_for
from tests.e2e.editor import SEQUENCE, SHOTS, Edit, Editor
from tests.e2e.ipc import Envelope

FILE = "sequence_001.json"
EDITORS = 2  # at once, on one file
# How many edits, and how often something is killed meanwhile.
SMALL = pytest.param(150, 2, id="150 edits")
FULL = pytest.param(1000, 8, id="1000 edits", marks=[pytest.mark.long, pytest.mark.timeout(600)])
# A part that dies three times within seconds ends the whole start, by design.
MOST_DEATHS_OF_A_CHILD = 2

# Kills something, sees to it that Shotline serves again.
Crash = Callable[[Shotline], None]


def write_project(folder: Path) -> Path:
    document = projects.sequence(SEQUENCE, 1, "shot", shots=SHOTS)
    return projects.write(folder, {FILE: document}, loose=projects.shot("title-card", None, 1))


def kill_all(shotline: Shotline) -> None:
    shotline.kill()
    shotline.start()


def kill_parent(shotline: Shotline) -> None:
    """The children end by themselves: nobody writes or holds a port behind the next start's back."""
    children = shotline.kill_parent()
    assert len(children) == 3  # gateway, sequence files, asset graph
    wait_for(lambda: not any(map(is_running, children)), "the children of a killed parent end")
    shotline.start()


def kill_child(name: str) -> Crash:
    """Its parent starts it again, on the same port; the line of --json stays true."""

    def crash(shotline: Shotline) -> None:
        killed = shotline.child(name)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: not is_running(killed), f"{name} ends")

    return crash


CRASHES = {
    "the only process": ((), kill_all),
    "all processes": (("--processes",), kill_all),
    "the sequence-file process": (("--processes",), kill_child("sequence_file")),
    "the gateway process": (("--processes",), kill_child("gateway")),
    "the parent of the processes": (("--processes",), kill_parent),
}


@pytest.mark.parametrize(("edits", "kills"), [SMALL, FULL])
@pytest.mark.parametrize(("flags", "crash"), CRASHES.values(), ids=CRASHES.keys())
def test_a_kill_loses_no_acknowledged_edit(
    start: Starter, tmp_path: Path, flags: tuple[str, ...], crash: Crash, edits: int, kills: int
) -> None:
    if crash not in (kill_all, kill_parent):
        kills = min(kills, MOST_DEATHS_OF_A_CHILD)
    project = write_project(tmp_path / "film")
    shotline = start(*flags)
    with ExitStack() as ending:
        editors = [Editor(shotline.where, str(project), f"editor{n}", edits // EDITORS) for n in range(EDITORS)]
        for editor in editors:
            ending.callback(editor.give_up)
            editor.start()
        for kill in range(1, kills + 1):
            wait_for_edits(editors, edits * kill // (kills + 1))
            time.sleep(random.uniform(0, 0.004))  # somewhere within an edit
            assert any(each.is_alive() for each in editors), "the edits were done before the kill"
            acknowledged = [edit for each in editors for edit in list(each.acknowledged)]
            crash(shotline)
            assert_made(project, acknowledged)
        made = [edit for each in editors for edit in each.finish()]
    assert len(made) == edits // EDITORS * EDITORS
    assert_made(project, made)
    assert_each_once(shotline, project, made)


def wait_for_edits(editors: list[Editor], count: int) -> None:
    wait_for(lambda: sum(len(each.acknowledged) for each in editors) >= count, f"{count} edits", timeout=60)


def assert_made(project: Path, edits: list[Edit]) -> None:
    """Every file parses, and each edit is in its shot."""
    files = [path for path in project.rglob("*.json") if ".shotline" not in path.parts]
    documents = {path.name: json.loads(path.read_bytes()) for path in files}
    assert documents.keys() == {FILE, "project.json"}
    shots = {shot["id"]: shot for shot in documents[FILE]["shots"]}
    for edit in edits:
        _, _, shot_id, updates, _ = edit.arguments
        assert isinstance(updates, dict)
        assert updates["edits"].items() <= shots[str(shot_id)].get("edits", {}).items()


def assert_each_once(shotline: Shotline, project: Path, edits: list[Edit]) -> None:
    """Sent once more, each request gets the answer that it got, and nothing is made: an edit that was made twice
    would take `latest` back."""
    before = (project / "sequences" / FILE).read_bytes()
    latest: dict[str, Envelope] = {}
    for edit in edits:
        _, _, shot_id, updates, _ = edit.arguments
        assert isinstance(updates, dict)
        latest[str(shot_id)] = {**latest.get(str(shot_id), {}), **updates["latest"]}
    assert {shot["id"]: shot["latest"] for shot in json.loads(before)["shots"]} == latest
    for edit in edits:
        assert shotline.ok("sequence:update-shot", edit.arguments) == edit.answer
    assert (project / "sequences" / FILE).read_bytes() == before


def test_two_shotlines_and_four_clients_keep_1200_edits(start: Starter, tmp_path: Path) -> None:
    project = write_project(tmp_path / "film")
    shotlines = [start(), start()]
    assert shotlines[0].data != shotlines[1].data
    with ExitStack() as clients:
        waiting: list[subprocess.Popen[str]] = []
        for number in range(4):
            url, token = shotlines[number % 2].where()
            command = [sys.executable, "-m", "tests.e2e.editor", url, token, str(project), f"client{number}", "300"]
            process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
            waiting.append(clients.enter_context(process))
            clients.callback(process.kill)  # where an assertion or the clock ends the test first
        assert [client.communicate(timeout=100)[0].strip() for client in waiting] == ["300"] * 4
    shots = json.loads((project / "sequences" / FILE).read_bytes())["shots"]
    for shot in shots:
        number = int(shot["id"].removeprefix("shot-"))
        expected = {f"client{c}-{n}" for c in range(4) for n in range(300) if n % SHOTS + 1 == number}
        assert shot["edits"].keys() == expected
        assert set(shot["latest"].values()) == {296 + number - 1}
    for shotline in shotlines:  # both see all of them
        assert shotline.ok("sequence:get-shots", [str(project), SEQUENCE])["shots"] == shots
