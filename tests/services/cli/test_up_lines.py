"""The lines of `shotline up` lead to the start that prints them."""

from pathlib import Path

import pytest

from services.local import database, welcome
from services.local.data_folder import held
from services.local.plan import Plan
from services.local.ports import chosen
from services.runtime import local_address


def watch_line(data: Path, root: Path) -> str:
    example = welcome.Example(project=str(root / "my film"), sequence_id="001", shot_id="a")
    choice = database.Choice(url="postgresql://operator:told-to-nobody@films.example/graph")
    with held(data) as folder, database.chosen(choice, folder) as its_database:
        plan = Plan(roots=(root,), origins=(), ports=chosen("auto"), data=folder, database=its_database)
        said = welcome.text(plan, {}, example)
    assert "PostgreSQL at films.example:5432" in said
    assert "told-to-nobody" not in said
    return next(line for line in said.splitlines() if line.startswith("shotline project watch "))


def test_a_data_folder_that_is_not_the_usual_one_is_named(tmp_path: Path) -> None:
    line = watch_line(tmp_path / "it's data", tmp_path)
    assert line == f"""shotline project watch '{tmp_path}/my film' --data '{tmp_path}/it'"'"'s data'"""


def test_the_usual_data_folder_is_found_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert watch_line(local_address.default_folder(), tmp_path) == f"shotline project watch '{tmp_path}/my film'"
