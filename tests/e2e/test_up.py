"""`shotline up`: what it says, what it leaves on the disk, how it ends, and what it survives."""

import fcntl
import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e import projects
from tests.e2e.conftest import REPOSITORY, UP, Shotline, Starter, is_running, wait_for
from tests.e2e.ipc import Envelope, Ipc

COMMAND = UP[:3]
BOTH_MODES = pytest.mark.parametrize("flags", [(), ("--processes",)], ids=["one process", "processes"])


def run(*arguments: object, timeout: float = 30.0, **variables: str) -> subprocess.CompletedProcess[str]:
    """A `shotline` command that ends by itself."""
    command = [*COMMAND, *map(str, arguments)]
    environment = {**os.environ, **variables}
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone in the end, whatever the test did with it."""
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until_ready(process: subprocess.Popen[str]) -> str:
    """What it says to people until it is ready."""
    assert process.stdout
    said = ""
    while "Ctrl-C" not in said:
        line = process.stdout.readline()
        assert line, f"it ended after {said!r}"
        said += line
    return said


def ask(url: str, token: str, channel: str, arguments: object) -> tuple[int, Envelope]:
    """One call on a connection of its own."""
    with closing(Ipc(url, token)) as ipc:
        return ipc.call(channel, arguments)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def prompt(new: str, project: Path) -> list[object]:
    return [str(project), "001", "crossing-1-1", {"generation": {"prompt": new}}]


@BOTH_MODES
def test_the_line_of_json_is_all_of_standard_output(tmp_path: Path, flags: tuple[str, ...]) -> None:
    command = [*UP, "--root", str(tmp_path), "--data", str(tmp_path / "data"), *flags]
    with started(*command) as process:
        assert process.stdout
        line = process.stdout.readline()
        facts = json.loads(line)
        ask(facts["http"], facts["token"], "sequence:get-all", [str(tmp_path)])
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert (rest, errors) == ("", "")
    addresses = {"http", "grpc", "asset_graph", "sequence_file"}
    assert set(facts) == {"ready", *addresses, "token", "token_file", "asset_graph_database_url", "pids"}
    assert facts["ready"] is True
    assert facts["http"].startswith("http://127.0.0.1:")
    assert len({facts[name] for name in addresses}) == len(addresses)
    assert set(facts["pids"]) == {"gateway", "sequence_file", "asset_graph", "postgres"}
    apart = {process.pid, *facts["pids"].values()}
    assert len(apart) == (5 if flags else 2)


@BOTH_MODES
def test_an_edit_reaches_the_file_in_both_modes(start: Starter, tmp_path: Path, flags: tuple[str, ...]) -> None:
    project = projects.crossing(tmp_path / "film")
    answer = start(*flags).ok("sequence:update-shot", prompt("A heron", project))
    assert answer["shot"]["generation"]["prompt"] == "A heron"
    assert "A heron" in (project / "sequences/sequence_001.json").read_text()


def test_what_is_secret_is_for_its_owner_only(start: Starter) -> None:
    shotline = start()
    data = shotline.data
    assert mode(data) == 0o700
    assert mode(data / "connection.json") == 0o600
    assert mode(data / "logs" / "shotline.log") == 0o600
    token_file = Path(shotline.facts["token_file"])
    assert mode(token_file) == 0o600
    assert token_file.read_text().strip() == shotline.facts["token"]


def test_each_start_has_a_token_of_its_own(start: Starter, tmp_path: Path) -> None:
    shotline = start()
    first = shotline.where()[1]
    assert shotline.stop() == 0
    shotline.start()
    assert shotline.where()[1] != first
    status, envelope = ask(shotline.where()[0], first, "sequence:get-all", [str(tmp_path)])
    assert (status, envelope["reason"]) == (401, "TOKEN_INVALID")


def test_after_the_end_no_address_and_no_token_are_left(start: Starter) -> None:
    shotline = start()
    assert shotline.stop() == 0
    assert {path.name for path in shotline.data.iterdir()} == {"logs", "token_key", "up.lock"}


def test_a_second_start_names_the_running_process(start: Starter) -> None:
    shotline = start()
    second = run("up", "--data", shotline.data, "--ports", "auto")
    assert second.returncode == 1
    assert f"process {shotline.pid}" in second.stderr
    shotline.ipc("sequence:get-all", [str(shotline.root)])  # the first is not disturbed


def test_a_folder_that_others_can_enter_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    refused = run("up", "--data", tmp_path / "data", "--ports", "auto")
    assert refused.returncode == 1
    assert "chmod 700" in refused.stderr
    assert list((tmp_path / "data").iterdir()) == []


def test_a_busy_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # then somebody else has it, which is as good
            taken.bind(("127.0.0.1", 50052))
            taken.listen()
        busy = run("up", "--data", tmp_path / "data")
    assert busy.returncode == 1
    assert "50052" in busy.stderr
    assert "--ports auto" in busy.stderr
    assert "Traceback" not in busy.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--root", "/nowhere/at/all"), "/nowhere/at/all is no folder"),
        (("--allow-origin", "*"), "--allow-origin: '*'"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, flags: tuple[str, ...], said: str) -> None:
    wrong = run("up", "--ports", "auto", "--data", tmp_path / "data", *flags)
    assert wrong.returncode == 1
    assert said in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_a_page_of_an_allowed_origin_may_call(start: Starter, tmp_path: Path) -> None:
    project = projects.crossing(tmp_path / "film")
    page = "http://localhost:5173"
    shotline = start("--allow-origin", page, "--allow-origin", "http://localhost:5174")
    for allowed in (page, "http://localhost:5174"):
        assert shotline.ipc("sequence:get-all", [str(project)], origin=allowed)[0] == 200
    status, envelope = shotline.ipc("sequence:get-all", [str(project)], origin="http://localhost:9999")
    assert (status, envelope["reason"]) == (403, "ORIGIN_NOT_ALLOWED")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@BOTH_MODES
def test_a_call_in_flight_is_finished_before_the_end(
    start: Starter, tmp_path: Path, flags: tuple[str, ...], number: signal.Signals
) -> None:
    project = projects.crossing(tmp_path / "film")
    shotline = start(*flags)
    shotline.ok("sequence:update-shot", prompt("First", project))  # makes the lock file
    answers: list[tuple[int, Envelope]] = []

    def edit() -> None:
        answers.append(ask(*shotline.where(), "sequence:update-shot", prompt("In flight", project)))

    (lock_file,) = (project / ".shotline" / "locks").glob("*sequence_001.json.lock")
    with open(lock_file) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        editor = threading.Thread(target=edit)
        editor.start()
        time.sleep(0.3)  # it waits for the lock now
        os.kill(shotline.pid, number)
        time.sleep(0.3)
        assert is_running(shotline.pid)
        assert answers == []
    editor.join(20)
    assert shotline._wait(20) == 0
    assert [(status, answer["success"]) for status, answer in answers] == [(200, True)]
    assert "In flight" in (project / "sequences/sequence_001.json").read_text()


@BOTH_MODES
def test_a_request_that_is_still_being_sent_is_answered_before_the_end(
    start: Starter, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    project = projects.crossing(tmp_path / "film")
    shotline = start(*flags)
    url, token = shotline.where()
    body = json.dumps(prompt("Slowly sent", project)).encode()
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)) as connection:
        connection.putrequest("POST", "/ipc/sequence:update-shot")
        for name, value in (("authorization", f"Bearer {token}"), ("content-type", "application/json")):
            connection.putheader(name, value)
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body[:20])
        time.sleep(0.2)  # the first half is there
        os.kill(shotline.pid, signal.SIGTERM)
        time.sleep(0.3)
        connection.send(body[20:])
        assert connection.getresponse().status == 200
    assert shotline._wait(20) == 0
    assert "Slowly sent" in (project / "sequences/sequence_001.json").read_text()


def test_ctrl_c_in_a_terminal_reaches_the_parent_only(start: Starter) -> None:
    """A terminal sends it to the whole process group; the parent alone knows the order of the drain."""
    shotline = start("--processes")
    groups = {os.getpgid(pid) for pid in shotline.children()}
    assert len(groups) == 3
    assert os.getpgid(shotline.pid) not in groups


@pytest.mark.parametrize("part", ["sequence_file", "gateway", "asset_graph"])
def test_a_part_that_is_killed_is_started_again(start: Starter, tmp_path: Path, part: str) -> None:
    project = projects.crossing(tmp_path / "film")
    shotline = start("--processes")
    shotline.ok("sequence:update-shot", prompt("Before", project))
    killed = shotline.facts["pids"][part]
    os.kill(killed, signal.SIGKILL)

    def answers() -> bool:
        with suppress(OSError):
            return ask(*shotline.where(), "sequence:update-shot", prompt("After", project))[0] == 200
        return False

    wait_for(answers, f"{part} answers again")
    assert killed not in shotline.children()
    assert len(shotline.children()) == 3
    assert shotline.stop() == 0


def test_three_quick_deaths_end_the_start_with_the_reason(start: Starter) -> None:
    shotline = start("--processes")
    pid = shotline.facts["pids"]["sequence_file"]
    for _ in range(3):
        os.kill(pid, signal.SIGKILL)
        dead = pid

        def is_over() -> bool:
            return not is_running(shotline.pid) or _child(shotline, "sequence_file") not in (None, dead)  # noqa: B023

        wait_for(is_over, "a new one, or the end")
        pid = _child(shotline, "sequence_file") or pid
    assert shotline._wait(20) == 1
    said = shotline.data.with_suffix(".stderr").read_text()
    assert "error: sequence_file" in said
    assert "3 times" in said
    assert str(shotline.data / "logs" / "sequence_file.log") in said


def test_a_part_that_cannot_start_says_why_at_once(tmp_path: Path) -> None:
    """Its last words are in the message: here the port was taken after `up` had looked."""
    code = """
from services.local import command, up
up.refuse_busy = lambda ports: None
command.main()
"""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        ports = f"grpc=0,http=0,sequence_file={number}"
        command = [sys.executable, "-c", code, "up", "--processes", "--ports", ports]
        failed = subprocess.run(
            [*command, "--data", str(tmp_path / "data")], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
        )
    assert failed.returncode == 1
    assert "sequence_file cannot listen" in failed.stderr
    assert str(number) in failed.stderr
    assert "Traceback" not in failed.stderr


def test_children_end_with_a_killed_parent_and_the_next_start_works(start: Starter, tmp_path: Path) -> None:
    project = projects.crossing(tmp_path / "film")
    shotline = start("--processes")
    children = shotline.kill_parent()
    assert len(children) == 3
    shotline.start()  # waits for the old children, which still hold the folder
    assert not any(map(is_running, children))
    shotline.ok("sequence:update-shot", prompt("After", project))


def test_after_kill_9_the_next_start_takes_over_at_once(start: Starter) -> None:
    shotline = start()
    shotline.kill()
    assert (shotline.data / "connection.json").exists()  # nobody could remove it
    shotline.start()
    assert json.loads((shotline.data / "connection.json").read_text())["pid"] == shotline.pid


def test_the_lines_to_paste_work_as_they_are(tmp_path: Path) -> None:
    """A shell runs them: real paths with spaces and quotes, a shot that is there, the token from its file."""
    root = tmp_path / "Ana's films"
    project = projects.crossing(root / "the crossing")
    command = [*COMMAND, "up", "--ports", "auto", "--root", str(root), "--data", str(tmp_path / "it's data")]
    with started(*command) as process:
        said = until_ready(process)
        lines = [found.group() for found in re.finditer(r"^(buf )?curl (\\\n|.)+$", said, re.MULTILINE)]
        assert len(lines) == 4
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        answers = []
        for line in lines:
            program = line.split()[0]
            assert shutil.which(program, path=path), f"{program} is needed to try this line"
            done = subprocess.run(
                ["sh", "-c", line], env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=30
            )
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            answers.append(json.loads(done.stdout))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    read, changed, got, changed_by_grpc = answers
    assert [shot["id"] for shot in read["shots"]] == ["crossing-1-1", "crossing-1-2", "crossing-1-3"]
    new = changed["shot"]["generation"]
    assert new["prompt"] != read["shots"][0]["generation"]["prompt"]
    assert new["model"] == "flux-dev"
    assert json.loads(got["documentJson"]) == changed["shot"]
    assert changed_by_grpc["storedIn"] == {"file": "sequences/sequence_001.json", "sequenceId": "001"}
    assert new["prompt"] in (project / "sequences/sequence_001.json").read_text()


def test_without_a_project_it_says_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    command = [*COMMAND, "up", "--ports", "auto", "--root", str(tmp_path / "empty"), "--data", str(tmp_path / "data")]
    with started(*command) as process:
        said = until_ready(process)
        process.terminate()
        process.wait(20)
    assert f"shotline project new {tmp_path}/empty/harbour-lights" in said


def test_it_goes_on_when_whoever_reads_has_left(tmp_path: Path) -> None:
    command = [*UP, "--root", str(tmp_path), "--data", str(tmp_path / "data")]
    with started(*command) as process:
        assert process.stdout
        process.stdout.close()
        connection = tmp_path / "data" / "connection.json"
        wait_for(connection.exists, "it is ready")
        time.sleep(0.2)
        facts = json.loads(connection.read_text())
        ask(facts["http"], facts["token"], "sequence:get-all", [str(tmp_path)])
        process.terminate()
        assert process.stderr
        assert process.stderr.read() == ""
        assert process.wait(20) == 0


@BOTH_MODES
def test_logs_are_json_lines_in_the_data_folder(start: Starter, flags: tuple[str, ...]) -> None:
    shotline = start(*flags)
    shotline.ipc("sequence:get-all", [str(shotline.root)])
    log = shotline.data / "logs" / ("gateway.log" if flags else "shotline.log")
    entries = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert any(entry.get("method") == "/ipc/sequence:get-all" for entry in entries)
    assert shotline.data.with_suffix(".stderr").read_text() == ""


def test_a_log_file_is_rotated_under_the_running_process_and_no_line_is_lost(tmp_path: Path) -> None:
    code = """
import os, sys, time
from pathlib import Path
from services.local import log_files
log = Path(sys.argv[1])
log_files.take_over_standard_error(log)
log_files.keep_small(log, max_bytes=2000, pause=0.01)
for number in range(400):
    os.write(2, b"line %d\\n" % number)
    time.sleep(0.0005)
"""
    log = tmp_path / "up.log"
    subprocess.run([sys.executable, "-c", code, str(log)], cwd=REPOSITORY, check=True, timeout=30)
    files = sorted(tmp_path.glob("up.log.*"), reverse=True)
    assert files
    kept = "".join(path.read_text() for path in (*files, log)).splitlines()
    assert kept == [f"line {number}" for number in range(400 - len(kept), 400)]
    assert len(kept) > 300


def test_help_answers_without_loading_what_it_does_not_need() -> None:
    code = (
        "import sys, services.local.command\n"
        "heavy = {'grpc', 'google.protobuf', 'uvicorn', 'orjson', 'asyncpg', 'sqlalchemy', 'services.sequence_file'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, timeout=30)
    told = run("--help")
    assert told.returncode == 0
    for command in ("up", "doctor", "migrate", "token", "project"):
        assert command in told.stdout


def _child(shotline: Shotline, name: str) -> int | None:
    """The pid of a part; None while there is none."""
    with suppress(OSError, AssertionError):
        return shotline.child(name)
    return None
