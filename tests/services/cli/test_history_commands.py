"""`shotline project` history, diff and restore, of a client's edits and of another program's."""

import json
import shlex
import time
from pathlib import Path

from tests.services.cli.conftest import Cli
from tests.services.cli.test_project_commands import COPIED, FIRST, rewrite


def notes(cli: Cli, shot: str, text: str) -> None:
    assert cli("project", "update", "film", "1", shot, "--set", f"notes={text}").code == 0


def test_history_lists_each_edit_and_who_made_it(cli: Cli, film: Path) -> None:
    notes(cli, "arrival-1", "first")
    time.sleep(COPIED)
    rewrite(film / FIRST, '"notes": "first"', '"notes": "by hand"')
    notes(cli, "arrival-2", "second")
    listed = cli("project", "history", "film", "1", "--json").document
    assert listed["file"] == FIRST
    versions = listed["versions"]
    assert [version["revision"] for version in versions] == [3, 2, 1, 0]
    assert [version["origin"]["client"] for version in versions[:3]] == ["shotline-cli", "", "shotline-cli"]
    assert [version["summary"] for version in versions[:3]] == [
        "arrival-2: notes",
        "arrival-1: notes",
        "arrival-1: notes",
    ]
    assert [version["current"] for version in versions] == [True, False, False, False]
    assert versions[0]["sizeBytes"] == (film / FIRST).stat().st_size
    assert versions[1]["origin"]["kind"] == "OUTSIDE"
    _, head, *rows = cli("project", "history", "film", "1").out.splitlines()
    assert head.split() == ["revision", "when", "who", "bytes", "what"]
    assert rows[0].lstrip().startswith("* 3")
    assert "another program" in rows[1]


def test_history_of_one_shot_leaves_the_others_out(cli: Cli, film: Path) -> None:
    notes(cli, "arrival-1", "first")
    notes(cli, "arrival-2", "second")
    versions = cli("project", "history", "film", "1", "--shot", "arrival-1", "--json").document["versions"]
    assert [version["revision"] for version in versions if version["revision"]] == [1]


def test_a_file_that_another_program_deleted_unseen_is_found_again(cli: Cli, film: Path) -> None:
    """Whatever looks for it says how to bring it back."""
    notes(cli, "arrival-1", "first")
    time.sleep(COPIED)
    kept = (film / FIRST).read_bytes()
    (film / FIRST).unlink()
    failed = cli("project", "shots", "film", "1")
    assert (failed.code, "SEQUENCE_NOT_FOUND" in failed.errors) == (1, True)
    assert "another program deleted sequences/sequence_001.json" in failed.errors
    told = cli("project", "history", "film", "001")
    assert "(revision 2)" in told.out.splitlines()[-2]
    assert cli("project", "history", "film", "001", "--json").document["deleted"]["revision"] == 2
    assert told.out.splitlines()[-1] == cli("project", "trash", "film").out.splitlines()[-1]
    way_back = failed.errors.split("`")[1]
    assert cli(*shlex.split(way_back)[1:]).code == 0
    assert (film / FIRST).read_bytes() == kept
    assert cli("project", "history", "film", "001", "--json").document["deleted"] is None


def test_a_broken_file_is_told_with_the_version_before(cli: Cli, film: Path) -> None:
    notes(cli, "arrival-1", "first")
    time.sleep(COPIED)
    kept = (film / FIRST).read_bytes()
    (film / FIRST).write_text("{")
    failed = cli("project", "shots", "film", "1")
    assert "SEQUENCE_FILE_INVALID" in failed.errors
    assert cli(*shlex.split(failed.errors.split("`")[1])[1:]).code == 0
    assert (film / FIRST).read_bytes() == kept


def test_a_file_that_was_always_broken_has_no_version_before(cli: Cli, film: Path) -> None:
    (film / FIRST).write_text("{")
    assert "no version from before" in cli("project", "shots", "film", "1").errors


def test_history_of_a_project_without_changes_says_so(cli: Cli, film: Path) -> None:
    assert "no change" in cli("project", "history", "film").out


def test_history_without_a_sequence_is_of_the_whole_project(cli: Cli, film: Path) -> None:
    notes(cli, "arrival-1", "first")
    assert cli("project", "update", "film", "2", "letter-1", "--set", "notes=second").code == 0
    assert cli("project", "update", "film", "-", "title-card", "--set", "notes=third").code == 0
    rows = cli("project", "history", "film").out.splitlines()
    assert [row.split()[0] for row in rows] == ["3", "2", "1"]
    assert rows[0].endswith("title-card: notes")
    changes = cli("project", "history", "film", "--shot", "letter-1", "--json").document["changes"]
    assert [change["revision"] for change in changes] == [2]
    assert cli("project", "history", "film", "-", "--json").document["file"] == "project.json"


def test_diff_tells_what_was_and_what_is(cli: Cli, film: Path) -> None:
    old = json.loads((film / FIRST).read_text())["shots"][0]["generation"]["prompt"]
    words = ("project", "update", "film", "1", "arrival-1")
    assert cli(*words, "--set", "generation.prompt=Fog").code == 0
    assert cli(*words, "--set", "generation.prompt=Rain").code == 0
    told = cli("project", "diff", "film", "1", "0", "1", "--shot", "arrival-1").out.splitlines()
    assert told == ["arrival-1", "  generation.prompt", f'  - "{old}"', '  + "Fog"']
    found = cli("project", "diff", "film", "1", "1", "--json").document["differences"]
    assert {"shotId": "arrival-1", "pointer": "/generation/prompt", "before": "Fog", "after": "Rain"} in found
    assert "no difference" in cli("project", "diff", "film", "1", "2", "2").out


def test_restore_brings_back_a_file_and_can_be_undone(cli: Cli, film: Path) -> None:
    before = json.loads((film / FIRST).read_text())["shots"]
    notes(cli, "arrival-1", "first")
    after = json.loads((film / FIRST).read_text())["shots"]
    told = cli("project", "restore", "film", "1", "0")
    assert told.out == f"✓ {FIRST} is as in revision 0  (revision 2)\n"
    assert json.loads((film / FIRST).read_text())["shots"] == before
    assert cli("project", "restore", "film", "1", "1", "--json").document["revision"] == 3
    assert json.loads((film / FIRST).read_text())["shots"] == after


def test_restore_of_one_shot_leaves_the_others(cli: Cli, film: Path) -> None:
    before = json.loads((film / FIRST).read_text())["shots"]
    notes(cli, "arrival-1", "first")
    notes(cli, "arrival-2", "second")
    restored = cli("project", "restore", "film", "1", "0", "--shot", "arrival-1", "--json").document
    assert restored["shot"] == before[0]
    now = json.loads((film / FIRST).read_text())["shots"]
    assert now[0] == before[0]
    assert now[1]["notes"] == "second"


def test_what_a_text_editor_overwrote_can_be_brought_back(cli: Cli, film: Path) -> None:
    """In place, a moment after our write: the copy of what was there is made meanwhile."""
    notes(cli, "arrival-1", "worth keeping")
    time.sleep(COPIED)
    with open(film / FIRST, "r+") as file:
        file.write('{"id": "001", "shots": []}')
        file.truncate()
    (outside, *_) = cli("project", "history", "film", "1", "--json").document["versions"]
    assert (outside["revision"], outside["origin"]["kind"]) == (2, "OUTSIDE")
    assert cli("project", "restore", "film", "1", "1").code == 0
    assert json.loads((film / FIRST).read_text())["shots"][0]["notes"] == "worth keeping"
