"""`shotline project verify`: every trouble and every oddity of a project, with its remedy."""

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Shotline
from tests.services.cli.conftest import Cli
from tests.services.cli.test_project_commands import FIRST, rewrite

SECOND = "sequences/sequence_002.json"


def found(cli: Cli, kind: str = "troubles") -> list[dict[str, Any]]:
    """What verify finds in `film`; each has a message and a remedy."""
    verified = cli("project", "verify", "film", "--json")
    document = verified.document
    assert document["ok"] is (not document["troubles"])
    assert verified.code == (1 if document["troubles"] else 0)
    findings: list[dict[str, Any]] = document[kind]
    assert all(each["message"] and each["remedy"] for each in findings)
    return findings


def remedy(finding: dict[str, Any]) -> list[str]:
    """The words of the command that a remedy says."""
    command = finding["remedy"].split("`")[1]
    assert command.startswith("shotline project ")
    return shlex.split(command)[1:]


def reasons(cli: Cli, kind: str = "troubles") -> set[tuple[str, str]]:
    return {(each["where"], each["reason"]) for each in found(cli, kind)}


def test_verify_finds_nothing_wrong_with_a_sound_project(cli: Cli, film: Path) -> None:
    verified = cli("project", "verify", "film")
    assert (verified.code, verified.errors) == (0, "")
    assert "✓ 3 sequences, 10 shots" in verified.out
    document = cli("project", "verify", "film", "--json").document
    assert document == {"ok": True, "sequences": 3, "shots": 10, "troubles": [], "notes": []}


def test_verify_names_each_trouble_with_its_remedy(cli: Cli, film: Path) -> None:
    """All at once: none hides another."""
    rewrite(film / FIRST, '      "id": "arrival-2",\n', "")
    rewrite(film / FIRST, '"id": "arrival-3"', '"id": "letter-1"')
    (film / "sequences/sequence_003.json").write_text("{")
    rewrite(film / "project.json", "{", "{,")
    assert reasons(cli) == {
        (FIRST, "SHOT_WITHOUT_ID"),
        (FIRST, "DUPLICATE_ID"),
        ("sequences/sequence_003.json", "SEQUENCE_FILE_INVALID"),
        ("project.json", "SEQUENCE_FILE_INVALID"),
    }
    (twice,) = (trouble for trouble in found(cli) if trouble["reason"] == "DUPLICATE_ID")
    assert FIRST in twice["message"]
    assert SECOND in twice["message"]
    told = cli("project", "verify", "film")
    assert told.code == 1
    assert told.out.count("remedy:") == 4
    assert "4 troubles" in told.out


def test_two_sequences_of_one_id_are_found(cli: Cli, film: Path) -> None:
    rewrite(film / SECOND, '"id": "002"', '"id": "001"')
    assert reasons(cli) == {(FIRST, "DUPLICATE_ID"), (SECOND, "DUPLICATE_ID")}


def test_a_shot_that_stands_twice_in_one_file_is_found(cli: Cli, film: Path) -> None:
    rewrite(film / FIRST, '"id": "arrival-3"', '"id": "arrival-1"')
    (trouble,) = found(cli)
    assert (trouble["where"], trouble["reason"]) == (FIRST, "DUPLICATE_ID")
    assert "2 times" in trouble["message"]


def test_two_regular_shots_of_one_id_are_found(cli: Cli, film: Path) -> None:
    (film / "project.json").write_text('{"shots": [{"id": "x"}, {"id": "x"}, {"type": "wide"}]}')
    assert reasons(cli) == {("project.json", "DUPLICATE_ID"), ("project.json", "SHOT_WITHOUT_ID")}


def test_numbers_that_do_not_follow_the_order_are_found(cli: Cli, film: Path) -> None:
    rewrite(film / FIRST, '"number": 2,', '"number": 3.5,')
    (trouble,) = found(cli)
    assert (trouble["where"], trouble["reason"]) == (FIRST, "NUMBERS_OUT_OF_ORDER")
    assert "arrival-3 has 3 behind 3.5" in trouble["message"]


def test_a_move_mends_the_numbers_as_the_remedy_says(cli: Cli, film: Path) -> None:
    rewrite(film / FIRST, '"number": 2,', '"number": 9,')
    assert found(cli)
    assert cli("project", "move", "film", "1", "arrival-1").code == 0
    assert found(cli) == []


def test_a_duration_that_is_not_the_sum_may_be_meant(cli: Cli, film: Path) -> None:
    rewrite(film / FIRST, '"duration": 13,', '"duration": 20,')
    assert found(cli) == []
    (note,) = found(cli, "notes")
    assert (note["where"], note["reason"]) == (FIRST, "DURATION_NOT_THE_SUM")
    assert "duration is 20, the shots' durations add up to 13" in note["message"]
    assert "--set duration=13" in note["remedy"]


def test_a_total_is_not_told_while_a_duration_is_none(cli: Cli, film: Path) -> None:
    """It would be the sum of the others, and the remedy make it worse."""
    for wrong in ('"six"', "-6"):
        rewrite(film / FIRST, '"timing": {\n        "duration": 6,', f'"timing": {{\n        "duration": {wrong},')
        (note,) = found(cli, "notes")
        assert (note["where"], note["reason"]) == (FIRST, "DURATION_NOT_SECONDS")
        assert f"timing.duration of arrival-1 is {wrong}" in note["message"]
        rewrite(film / FIRST, wrong, "6")
    assert found(cli, "notes") == []


def test_a_number_that_is_none_is_noted_where_the_others_are(cli: Cli, film: Path) -> None:
    rewrite(film / FIRST, '"number": 2,', '"number": "two",')
    (note,) = found(cli, "notes")
    assert (note["where"], note["reason"]) == (FIRST, "NUMBER_NOT_A_NUMBER")
    assert cli(*remedy(note)).code == 0
    assert found(cli, "notes") == []
    for number in (1, 2, 3):
        rewrite(film / FIRST, f'"number": {number},', f'"number": "12{number}",')
    assert found(cli, "notes") == []  # names, as it seems


def test_a_shot_that_names_another_sequence_is_noted(cli: Cli, film: Path) -> None:
    rewrite(film / FIRST, '"sequencePlanId": "001"', '"sequencePlanId": "sequence-1"')
    assert found(cli, "notes") == []
    rewrite(film / FIRST, '"sequencePlanId": "sequence-1"', '"sequencePlanId": "009"')
    (note,) = found(cli, "notes")
    assert (note["where"], note["reason"]) == (FIRST, "NAMES_ANOTHER_SEQUENCE")
    assert 'arrival-1 "009"' in note["message"]


def test_two_sequences_of_one_order_are_noted(cli: Cli, film: Path) -> None:
    rewrite(film / SECOND, '"order": 2', '"order": 1')
    (note,) = found(cli, "notes")
    assert (note["where"], note["reason"]) == (SECOND, "ORDER_TWICE")
    assert cli(*remedy(note)).code == 0
    assert found(cli, "notes") == []


def test_a_file_that_another_program_deleted_is_noted_with_the_way_back(cli: Cli, film: Path) -> None:
    before = (film / SECOND).read_bytes()
    assert found(cli, "notes") == []
    (film / SECOND).unlink()
    (film / "project.json").unlink()
    assert reasons(cli, "notes") == {(SECOND, "DELETED"), ("project.json", "DELETED")}
    for note in found(cli, "notes"):
        assert cli(*remedy(note)).code == 0
    assert found(cli, "notes") == []
    assert (film / SECOND).read_bytes() == before


def test_what_a_client_deleted_was_meant(cli: Cli, film: Path) -> None:
    assert cli("project", "delete-sequence", "film", "002").code == 0
    assert found(cli, "notes") == []


def test_a_count_that_is_not_true_is_a_trouble(cli: Cli, film: Path) -> None:
    rewrite(film / FIRST, '"duration": 13,', '"duration": 13, "shot_count": 4,')
    rewrite(film / SECOND, '"metadata": {', '"metadata": {"totalShots": 12,')
    assert reasons(cli) == {(FIRST, "COUNT_NOT_TRUE")}
    assert reasons(cli, "notes") == {(SECOND, "COUNT_NOT_TRUE")}


def test_the_totals_of_numbers_that_nobody_can_add_end_nothing(cli: Cli, film: Path) -> None:
    rewrite(film / FIRST, '"duration": 6,', '"duration": 1e999999,')
    assert reasons(cli, "notes") == {(FIRST, "DURATION_NOT_THE_SUM")}


def test_a_name_that_leaves_no_room_beside_it_is_found(cli: Cli, film: Path) -> None:
    name = "sequence_" + "x" * 227 + ".json"
    assert len(name) == 241
    (film / FIRST).rename(film / "sequences" / name)
    (trouble,) = found(cli)
    assert (trouble["where"], trouble["reason"]) == (f"sequences/{name}", "NAME_TOO_LONG")
    (film / "sequences" / name).rename(film / "sequences" / name.replace("xx", "x", 1))
    assert found(cli) == []


def test_a_file_that_verify_finds_cannot_be_named_indeed_cannot_be_changed(cli: Cli, film: Path) -> None:
    (film / FIRST).rename(film / "sequences" / ("sequence_" + "x" * 227 + ".json"))
    assert cli("project", "update", "film", "001", "arrival-1", "--set", "a=1").code == 1


def test_what_a_killed_write_left_is_noted(cli: Cli, film: Path) -> None:
    """Only when it is old: a write that goes on has such a file, too."""
    left = film / "sequences/.sequence_001.json.shotline-tmp"
    left.write_text("{")
    assert found(cli, "notes") == []
    left.write_text("{")  # looking at the file may have removed it
    old = "from gateway.cli import verify; verify._ABANDONED_AFTER = -1.0"
    checked = f"""
import sys
{old}
from services.local.command import main
sys.argv = ["shotline", "project", "verify", {str(film)!r}, "--json", "--data", {str(cli.data)!r}]
main()
"""
    done = subprocess.run([sys.executable, "-c", checked], capture_output=True, text=True, timeout=30, check=True)
    (note,) = json.loads(done.stdout)["notes"]
    assert (note["where"], note["reason"]) == ("sequences/.sequence_001.json.shotline-tmp", "LEFTOVER")


def test_stale_copies_are_noted(cli: Cli, film: Path) -> None:
    shots = json.loads((film / FIRST).read_text())["shots"]
    copies = [shots[0], {**shots[1], "type": "stale"}]
    (film / "project.json").write_text(json.dumps({"shots": [*copies, {"id": "loose"}]}))
    assert found(cli) == []
    (note,) = found(cli, "notes")
    assert (note["where"], note["reason"]) == ("project.json", "STALE_COPIES")
    assert "1 of its 2 copies" in note["message"]
    assert "arrival-2" in note["message"]


def test_a_project_without_project_json_is_sound(cli: Cli, film: Path) -> None:
    (film / "project.json").unlink()
    assert found(cli) == []


def test_verify_shows_its_progress_on_a_terminal_only(cli: Cli, film: Path, shotline: Shotline) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "services.local.command", "project", "verify", str(film), "--json"]
    done = subprocess.run(
        [*command, "--data", str(shotline.data)], stdout=subprocess.PIPE, stderr=theirs, timeout=30, check=False
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert json.loads(done.stdout)["ok"] is True
    assert "verifying" in shown
