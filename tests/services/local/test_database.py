"""The roles of a database that somebody else runs, and what `shotline migrate` makes of it."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.local import database
from services.local.data_folder import DataFolder
from services.local.database import Choice, Database, prepare
from services.runtime.settings import Environment, SettingsError
from tests.postgres import APP, Server, apart, shotline_command, value

OPERATOR_PASSWORD = "told-to-nobody"


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path, -1)


@pytest.fixture
def url(hasty: Server) -> Iterator[str]:
    """An empty database on a server that knows no Shotline yet."""
    with hasty.database() as empty:
        yield empty.operator_url
    hasty.execute("postgres", f"DROP ROLE IF EXISTS {APP}", "DROP ROLE IF EXISTS owner")


def prepared(choice: Choice, folder: DataFolder) -> Database:
    with database.chosen(choice, folder) as chosen:
        apart(lambda: prepare(chosen))
    return chosen


def refused(choice: Choice, folder: DataFolder) -> str:
    with pytest.raises(SettingsError) as caught:
        prepared(choice, folder)
    for each in (choice.url, choice.app_url):
        assert not each or (urlsplit(each).password or "?") not in str(caught.value)
    return str(caught.value)


def test_the_servers_role_is_made_with_a_password_of_its_own(url: str, folder: DataFolder, hasty: Server) -> None:
    for _ in range(2):  # a second start finds everything as it is to be
        chosen = prepared(Choice(url=url), folder)
    powers = "rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication"
    assert value(chosen.app_url, "SELECT current_user") == APP
    assert value(chosen.app_url, f"SELECT {powers} FROM pg_roles WHERE rolname = current_user") is False
    assert value(chosen.app_url, "SELECT count(*) FROM assets") == 0
    assert stat.S_IMODE(folder.app_password_file.stat().st_mode) == 0o600
    password = folder.app_password_file.read_text().strip()
    assert urlsplit(chosen.app_url).password == password
    assert password not in hasty.log.read_text()
    assert password not in repr(chosen)


def test_a_role_that_cannot_log_in_yet_is_completed(url: str, folder: DataFolder, hasty: Server) -> None:
    hasty.execute("postgres", f"CREATE ROLE {APP} NOLOGIN")
    assert value(prepared(Choice(url=url), folder).app_url, "SELECT current_user") == APP


def test_a_role_that_somebody_else_has_set_up_is_asked_for(url: str, folder: DataFolder, hasty: Server) -> None:
    hasty.execute("postgres", f"CREATE ROLE {APP} LOGIN PASSWORD 'theirs'")
    said = refused(Choice(url=url), folder)
    assert "SHOTLINE_APP_DATABASE_URL" in said
    parts = urlsplit(url)
    app_url = parts._replace(netloc=f"{APP}:theirs@").geturl()
    assert value(prepared(Choice(url=url, app_url=app_url), folder).app_url, "SELECT current_user") == APP
    assert not Path(folder.path, "other").exists()


def test_an_operator_who_may_not_make_roles_is_told_what_to_do(url: str, folder: DataFolder, hasty: Server) -> None:
    hasty.execute("postgres", f"CREATE ROLE owner LOGIN PASSWORD '{OPERATOR_PASSWORD}'")
    owner = urlsplit(url)._replace(netloc=f"owner:{OPERATOR_PASSWORD}@").geturl()
    said = refused(Choice(url=owner), folder)
    assert APP in said
    assert "SHOTLINE_APP_DATABASE_URL" in said


def test_a_wrong_password_is_said_at_once(url: str, folder: DataFolder) -> None:
    wrong = urlsplit(url)._replace(netloc="shotline:wrong-one@").geturl()
    assert "lets nobody in: password authentication failed" in refused(Choice(url=wrong), folder)


@pytest.mark.parametrize("name", ["SHOTLINE_DATABASE_URL", "SHOTLINE_APP_DATABASE_URL"])
@pytest.mark.parametrize("text", ["mysql://u:secret@h/d", "postgresql://u:sec ret@h/d", "secret"])
def test_what_is_no_url_is_refused_without_repeating_it(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        Choice.read(Environment({name: text}))
    assert "sec" not in str(caught.value)


def migrate(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return shotline_command("migrate", *words, **variables)


def test_migrate_by_option_or_variable_and_twice(url: str) -> None:
    for done in (migrate("--database-url", url), migrate(SHOTLINE_DATABASE_URL=url)):
        assert done.returncode == 0, done.stderr
        assert "the newest" in done.stdout
        assert urlsplit(url).password not in done.stdout + done.stderr
    assert value(url, "SELECT count(*) FROM asset_types") != 0


def test_migrate_without_a_url_is_about_our_own(tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = migrate("--data", data)
    assert (done.returncode, done.stdout) == (0, f"the new database of {data} is the newest\n"), done.stderr
    assert {path.name for path in data.iterdir()} == {"app_password", "logs", "postgres", "up.lock"}
    assert os.listdir(data / "logs") == ["postgres.log"]
    assert migrate("--data", data).stdout == f"the schema of the database of {data} is the newest\n"


def test_migrate_says_in_one_line_what_is_wrong() -> None:
    for wrong in ("postgresql://u:secret@127.0.0.1:1/d", "nonsense"):
        done = migrate("--database-url", wrong)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert "secret" not in done.stderr
