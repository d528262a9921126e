"""`shotline project` new-shot, move, delete-shot, new-sequence, reorder, delete-sequence, trash, and the way back."""

import json
import shlex
from pathlib import Path
from typing import Any

from tests.services.cli.conftest import Cli
from tests.services.cli.test_project_commands import FIRST

SECOND = "sequences/sequence_002.json"


def shots(film: Path, file: str = FIRST) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((film / file).read_text())["shots"]
    return found


def ids(film: Path, file: str = FIRST) -> list[str]:
    assert [shot["number"] for shot in shots(film, file)] == list(range(1, len(shots(film, file)) + 1))
    return [shot["id"] for shot in shots(film, file)]


def test_a_new_shot_stands_where_it_was_wanted(cli: Cli, film: Path) -> None:
    words = ("project", "new-shot", "film", "1", "--json")
    made = cli(*words, "--set", "id=a", "--set", "generation.prompt=A gull", "--after", "arrival-1").document
    assert made["shot"] == {**made["shot"], "id": "a", "sequencePlanId": "001", "number": 2}
    assert made["shot"]["generation"] == {"prompt": "A gull"}
    assert made["storedIn"] == {"file": FIRST, "sequenceId": "001"}
    cli(*words, "--document", '{"id": "b", "timing": {"duration": 1.50}}', "--first")
    cli(*words, "--set", "id=c", "--index", "1")
    assert ids(film) == ["b", "c", "arrival-1", "a", "arrival-2", "arrival-3"]
    assert json.loads((film / FIRST).read_text())["duration"] == 14.5
    last = cli(*words).document["shot"]["id"]
    assert ids(film)[-1] == last


def test_a_shot_moves_within_its_sequence_and_into_another(cli: Cli, film: Path) -> None:
    told = cli("project", "move", "film", "1", "arrival-1", "--after", "arrival-2")
    assert told.out.startswith(f"✓ arrival-1 is in {FIRST}  (revision ")
    assert ids(film) == ["arrival-2", "arrival-1", "arrival-3"]
    moved = cli("project", "move", "film", "1", "arrival-3", "--to", "2", "--first", "--json").document
    assert moved["storedIn"] == {"file": SECOND, "sequenceId": "002"}
    assert moved["revision"] == 2
    assert ids(film) == ["arrival-2", "arrival-1"]
    assert ids(film, SECOND) == ["arrival-3", "letter-1", "letter-2", "letter-3"]


def test_a_deleted_shot_says_how_to_bring_it_back_and_that_works(cli: Cli, film: Path) -> None:
    before = shots(film)
    told = cli("project", "delete-shot", "film", "1", "arrival-2")
    assert ids(film) == ["arrival-1", "arrival-3"]
    assert told.out.startswith("✓ arrival-2 is deleted  (revision 1)")
    assert way_back(cli, told.out).code == 0
    assert shots(film) == before


def test_a_deleted_sequence_says_how_to_bring_it_back_and_that_works(cli: Cli, film: Path) -> None:
    before = (film / SECOND).read_bytes()
    told = cli("project", "delete-sequence", "film", "002")
    assert not (film / SECOND).exists()
    listed = cli("project", "trash", "film")
    assert [row.split()[0] for row in listed.out.splitlines()[:2]] == ["id", "002"]
    (trashed,) = cli("project", "trash", "film", "--json").document["sequences"]
    assert (trashed["name"], trashed["file"], trashed["origin"]["client"]) == ("The Letter", SECOND, "shotline-cli")
    assert told.out.splitlines()[1] == listed.out.splitlines()[2]
    assert way_back(cli, told.out).code == 0
    assert (film / SECOND).read_bytes() == before
    assert "empty" in cli("project", "trash", "film").out


def way_back(cli: Cli, told: str) -> Any:
    command = told.splitlines()[1].partition("bring it back: shotline ")[2]
    return cli(*shlex.split(command))


def test_a_new_sequence_gets_the_next_free_number_and_the_last_place(cli: Cli, film: Path) -> None:
    told = cli("project", "new-sequence", "film", "--set", "name=Epilogue")
    assert told.out == "✓ sequence 004 is in sequences/sequence_004.json  (revision 1)\n"
    assert cli("project", "new-sequence", "film", "epilogue-2", "--json").document["id"] == "epilogue-2"
    listed = cli("project", "list", "film", "--json").document["sequences"]
    assert [(one["id"], one["name"]) for one in listed[3:]] == [("004", "Epilogue"), ("epilogue-2", "")]


def test_reorder_gives_another_playing_order(cli: Cli, film: Path) -> None:
    told = cli("project", "reorder", "film", "3", "1", "2")
    assert told.out == "✓ order 003, 001, 002  (revision 1)\n"
    listed = cli("project", "list", "film", "--json").document["sequences"]
    assert [(one["id"], one["order"]) for one in listed] == [("003", 1), ("001", 2), ("002", 3)]
    incomplete = cli("project", "reorder", "film", "3", "1")
    assert (incomplete.code, "INVALID_FIELD" in incomplete.errors) == (1, True)
    assert "shotline project reorder film 003 001 002" in incomplete.errors


def test_a_shot_that_moved_on_is_not_brought_back_twice(cli: Cli, film: Path) -> None:
    assert cli("project", "move", "film", "1", "arrival-3", "--to", "2").code == 0
    refused = cli("project", "restore", "film", "1", "0", "--shot", "arrival-3")
    assert "SHOT_EXISTS" in refused.errors
    assert cli(*shlex.split(refused.errors.split("`")[1])[1:]).code == 0
    assert ids(film) == ["arrival-1", "arrival-2", "arrival-3"]
