"""`shotline doctor`: sound and broken folders, and nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.local.data_folder import held
from tests.e2e.conftest import REPOSITORY
from tests.postgres import Database, Server
from tests.services.cli.conftest import Cli


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A root with the sample project in it."""
    assert Cli(tmp_path, None)("project", "new", "film").code == 0
    return tmp_path


@pytest.fixture
def doctor(folder: Path) -> Cli:
    return Cli(folder, None)


def findings(doctor: Cli, *words: object) -> list[dict[str, Any]]:
    examined = doctor("doctor", "--json", "--ports", "auto", "--data", doctor.folder / "data", *words)
    document = examined.document
    troubles = [each for each in document["findings"] if each["level"] == "trouble"]
    assert document["ok"] is (not troubles)
    assert examined.code == (1 if troubles else 0)
    assert all(each["remedy"] for each in troubles)
    found: list[dict[str, Any]] = document["findings"]
    return found


def troubles(doctor: Cli, *words: object) -> list[str]:
    return [f"{each['check']}: {each['message']}" for each in findings(doctor, *words) if each["level"] == "trouble"]


def tree(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def test_a_sound_folder_passes_every_check_and_is_left_as_it_was(doctor: Cli) -> None:
    before = tree(doctor.folder)
    found = findings(doctor)
    assert troubles(doctor) == []
    said = " ".join(f"{each['check']} {each['message']}" for each in found)
    for word in (
        "Python",
        "grpcio",
        "protobuf",
        "UTC",
        "data folder",
        "synced",
        "RENAME_EXCHANGE",
        "locks",
        "GiB free",
    ):
        assert word in said or (word == "RENAME_EXCHANGE" and "plain rename" in said)
    assert tree(doctor.folder) == before


def test_people_get_a_line_for_each_finding(doctor: Cli) -> None:
    told = doctor("doctor", "--ports", "auto", "--data", doctor.folder / "data")
    assert told.code == 0
    assert "✓ versions: " in told.out
    assert "nothing is in the way" in told.out


def test_a_shotline_that_runs_already_is_said_and_not_that_nothing_is_in_the_way(doctor: Cli) -> None:
    with held(doctor.folder / "data"):
        told = doctor("doctor", "--ports", "auto", "--data", doctor.folder / "data")
        assert told.code == 0
        last = told.out.splitlines()[-1]
        assert last == f"Shotline runs already, as process {os.getpid()}: a second one needs another --data"
        assert "in the way" not in told.out


def test_a_root_that_is_not_there_is_trouble(doctor: Cli) -> None:
    (said,) = troubles(doctor, "--root", doctor.folder / "gone")
    assert "does not exist" in said


def test_a_data_folder_that_others_can_enter_is_trouble(doctor: Cli) -> None:
    (doctor.folder / "data").mkdir(mode=0o755)
    (said,) = troubles(doctor)
    assert "open to others" in said


def test_a_data_folder_that_is_a_file_is_trouble(doctor: Cli) -> None:
    (doctor.folder / "data").write_text("")
    (said,) = troubles(doctor)
    assert "data" in said


def test_a_file_that_nobody_may_read_is_named(doctor: Cli) -> None:
    (doctor.folder / "film/sequences/sequence_002.json").chmod(0)
    (said,) = troubles(doctor)
    assert "sequences/sequence_002.json cannot be read (mode 000)" in said


def test_a_pipe_in_the_place_of_a_file_is_named_and_does_not_hang(doctor: Cli) -> None:
    os.mkfifo(doctor.folder / "film/sequences/sequence_004.json")
    (said,) = troubles(doctor)
    assert "sequences/sequence_004.json is not a regular file" in said


def test_files_that_no_sequence_is_read_from_are_not_looked_at(doctor: Cli) -> None:
    for name in ("notes.json", "sequence_.json"):
        os.mkfifo(doctor.folder / "film/sequences" / name)
    assert troubles(doctor) == []


def test_something_else_in_the_place_of_the_state_folder_is_named(doctor: Cli) -> None:
    (doctor.folder / "film/.shotline").write_text("")
    (said,) = troubles(doctor)
    assert ".shotline is no folder" in said


def test_locks_that_keep_nobody_apart_are_found(doctor: Cli) -> None:
    """As on a volume whose flock does nothing."""
    (said,) = broken(doctor, "from services.local import checks; checks.fcntl.flock = lambda *_: None")
    assert "locks do not work: a held one was taken" in said


def test_a_file_system_without_exchange_is_noted_with_what_is_used_instead(doctor: Cli) -> None:
    code = """
from services.sequence_file.storage import disk
def refuse(*_): raise disk.ExchangeUnsupported
disk.Disk.exchange = refuse
"""
    notes = broken(doctor, code, level="note")
    assert any("plain rename is used" in said for said in notes)


def test_a_disk_that_cannot_sync_is_trouble(doctor: Cli) -> None:
    code = """
from services.sequence_file.storage import disk
def refuse(*_): raise OSError(5, "Input/output error")
disk.Disk.sync = refuse
"""
    said = broken(doctor, code)
    assert any("fsync fails" in each for each in said)


def test_a_full_disk_is_trouble(doctor: Cli) -> None:
    code = """
import shutil
from types import SimpleNamespace
shutil.disk_usage = lambda _: SimpleNamespace(free=1000)
"""
    assert all("0.0 GiB free" in said for said in broken(doctor, code))


def test_packages_that_do_not_fit_the_generated_code_are_trouble(doctor: Cli) -> None:
    code = """
import importlib
from services.local import checks
def refuse(name): raise RuntimeError("the grpc package installed is at version 1.0")
checks.import_module = refuse
"""
    (said,) = broken(doctor, code)
    assert "do not fit the generated code: the grpc package" in said


def test_a_clock_in_the_past_is_trouble(doctor: Cli) -> None:
    code = """
from datetime import datetime, UTC
from services.local import checks
checks._BUILT = datetime(2999, 1, 1, tzinfo=UTC)
"""
    (said,) = broken(doctor, code)
    assert "clock" in said


def test_a_busy_port_is_trouble_unless_free_ones_are_asked_for(doctor: Cli) -> None:
    code = "from services.local import checks; checks.is_free = lambda port: port != 8080"
    (said,) = broken(doctor, code, ports="default")
    assert "port 8080" in said
    assert broken(doctor, code, ports="auto") == []


def test_no_number_is_given_for_a_port_that_the_start_will_pick(doctor: Cli) -> None:
    said = [each for each in findings(doctor) if each["check"].startswith("port")]
    assert [each["check"] for each in said] == ["ports"] * 4
    assert [each["message"] for each in said][1] == "the start picks a free one for the gateway (HTTP)"


def broken(doctor: Cli, code: str, *, level: str = "trouble", ports: str = "auto") -> list[str]:
    """What doctor finds in a process in which `code` has broken something; it still leaves nothing behind."""
    before = tree(doctor.folder)
    run = f"""
import json, sys
from pathlib import Path
{code}
from services.local.doctor import examine
from services.local.ports import wanted
found = examine([Path({str(doctor.folder)!r})], Path({str(doctor.folder / "data")!r}), ports=wanted({ports!r}))
print(json.dumps([f"{{each.check}}: {{each.message}}" for each in found if each.level == {level!r}]))
"""
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True
    )
    assert tree(doctor.folder) == before
    said: list[str] = json.loads(done.stdout)
    return said


def about_the_database(doctor: Cli, **variables: str) -> list[dict[str, Any]]:
    command, environment = doctor.command(
        "doctor", "--json", "--ports", "auto", "--data", doctor.folder / "data", **variables
    )
    done = subprocess.run(command, cwd=doctor.folder, env=environment, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    return [each for each in json.loads(done.stdout)["findings"] if each["check"].startswith("database")]


def test_our_own_database_is_tried_without_being_started(doctor: Cli) -> None:
    (finding,) = about_the_database(doctor)
    assert finding["level"] in ("ok", "note")
    assert "PostgreSQL 18 can be run" in finding["message"]
    assert not (doctor.folder / "data").exists()


def test_programs_that_do_not_run_are_trouble(doctor: Cli) -> None:
    (finding,) = about_the_database(doctor, SHOTLINE_POSTGRES_BINARIES=str(doctor.folder))
    assert finding["level"] == "trouble"
    assert str(doctor.folder) in finding["message"]


def test_a_database_that_is_gone_is_trouble(doctor: Cli) -> None:
    (doctor.folder / "data").mkdir(mode=0o700)
    (doctor.folder / "data" / "postgres").symlink_to(doctor.folder / "gone")
    (finding,) = about_the_database(doctor)
    assert finding["level"] == "trouble"
    assert "bring it back" in finding["message"]


def test_a_database_that_is_named_is_looked_into(
    doctor: Cli, embedded_database: Database, embedded_postgres: Server
) -> None:
    (operators, servers) = about_the_database(doctor, **embedded_database.settings())
    assert (operators["level"], servers["level"]) == ("ok", "ok")
    assert "its schema is the newest" in operators["message"]
    with embedded_postgres.database() as bare:
        (behind,) = about_the_database(doctor, SHOTLINE_DATABASE_URL=bare.operator_url)
    assert behind["level"] == "note"
    assert "shotline migrate" in behind["remedy"]


def test_a_database_that_cannot_be_reached_is_trouble_and_its_password_is_not_said(doctor: Cli) -> None:
    for url in ("postgresql://u:told-to-nobody@127.0.0.1:1/d", "mysql://u:told-to-nobody@h/d"):
        (finding,) = about_the_database(doctor, SHOTLINE_DATABASE_URL=url)
        assert finding["level"] == "trouble"
        assert "told-to-nobody" not in json.dumps(finding)
