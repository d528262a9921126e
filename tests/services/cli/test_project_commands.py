"""`shotline project …`: looking at shots and changing them, what people and programs get, and the exit codes."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Shotline
from tests.services.cli.conftest import Cli

FIRST = "sequences/sequence_001.json"


COPIED = 1.0  # seconds after a write by which what it wrote has its copy in the history


def rewrite(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


# new


def test_new_writes_files_as_json_stringify_does(cli: Cli, film: Path) -> None:
    files = sorted(path.relative_to(film).as_posix() for path in film.rglob("*") if path.is_file())
    assert files == ["project.json", *(f"sequences/sequence_{n:03d}.json" for n in (1, 2, 3))]
    for name in files:
        text = (film / name).read_text(encoding="utf-8")
        assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    sequence = json.loads((film / FIRST).read_text())
    assert list(sequence) == ["id", "name", "description", "duration", "order", "shots", "metadata"]
    assert list(sequence["shots"][0]) == ["id", "sequencePlanId", "number", "type", "generation", "timing"]
    assert len(sequence["shots"]) == 3


def test_new_says_what_it_made(cli: Cli) -> None:
    made = cli("project", "new", "a/b c", "--json")
    assert made.document == {"path": str(cli.folder / "a" / "b c"), "sequences": 3, "shots": 10}
    assert "✓" in cli("project", "new", "other").out


def test_new_refuses_a_folder_that_holds_something(cli: Cli) -> None:
    (cli.folder / "full").mkdir()
    (cli.folder / "full" / "mine.txt").write_text("mine")
    refused = cli("project", "new", "full")
    assert (refused.code, refused.out) == (1, "")
    assert "FOLDER_NOT_EMPTY" in refused.errors
    assert "remedy" in refused.errors
    assert [path.name for path in (cli.folder / "full").iterdir()] == ["mine.txt"]


def test_new_does_not_replace_a_file(cli: Cli) -> None:
    (cli.folder / "file").write_text("mine")
    assert cli("project", "new", "file").code == 1
    assert cli("project", "new", "file/below").code == 1
    assert (cli.folder / "file").read_text() == "mine"


# list, show, shots


def test_list_is_a_table_in_playing_order(cli: Cli, film: Path) -> None:
    listed = cli("project", "list", "film")
    assert listed.code == 0
    head, *rows = listed.out.splitlines()
    assert head.split() == ["id", "name", "order", "shots", "file"]
    assert [row.split()[0] for row in rows] == ["001", "002", "003"]
    assert rows[0].split() == ["001", "Arrival", "1", "3", FIRST]


def test_list_names_what_cannot_be_reached_and_fails(cli: Cli, film: Path) -> None:
    (film / FIRST).write_text('{"id": "001", "shots": [,]}')
    listed = cli("project", "list", "film")
    assert listed.code == 1
    assert "1 cannot be reached" in listed.out
    assert f"✗ {FIRST}  SEQUENCE_FILE_INVALID" in listed.out
    document = cli("project", "list", "film", "--json").document
    assert [one["id"] for one in document["sequences"]] == ["002", "003"]
    (bad,) = document["unreachable"]
    assert (bad["file"], bad["id"], bad["reason"], bad["line"]) == (FIRST, "001", "SEQUENCE_FILE_INVALID", 1)


def test_show_prints_a_shot_as_the_file_has_it_but_for_its_margin(cli: Cli, film: Path) -> None:
    rewrite(film / FIRST, '"steps": 20', '"steps": 2.50e1')
    shown = cli("project", "show", "film", "1", "arrival-1")
    head, _, document = shown.out.partition("\n")
    assert head.startswith(f"{FIRST}   etag ")
    assert '      "steps": 2.50e1,' in document
    assert json.loads(document) == json.loads((film / FIRST).read_text())["shots"][0]
    assert document.rstrip("\n").endswith("\n}")


def test_show_of_a_sequence_is_its_whole_document(cli: Cli, film: Path) -> None:
    text = (film / FIRST).read_text()
    assert cli("project", "show", "film", "001").out.partition("\n")[2] == text + "\n"
    document = cli("project", "show", "film", "sequence-1", "--json").document
    assert document["sequence"] == json.loads(text)
    assert document["file"] == FIRST


def test_shots_lists_every_shot_also_one_without_id(cli: Cli, film: Path) -> None:
    rewrite(film / FIRST, '      "id": "arrival-2",\n', "")
    listed = cli("project", "shots", "film", "1")
    assert [row.split()[0] for row in listed.out.splitlines()] == ["id", "arrival-1", "no", "arrival-3"]
    document = cli("project", "shots", "film", "1", "--json").document
    assert document["shots"] == json.loads((film / FIRST).read_text())["shots"]
    assert set(document["etags"]) == {"arrival-1", "arrival-3"}


def test_shots_of_more_than_a_page_are_all_listed(cli: Cli, film: Path) -> None:
    shots = [{"id": f"s{number}", "notes": "n" * 1500} for number in range(4_000)]
    (film / FIRST).write_text(json.dumps({"id": "001", "shots": shots}))
    assert cli("project", "shots", "film", "1", "--json").document["shots"] == shots


def test_nothing_that_a_file_holds_steers_the_terminal(cli: Cli, film: Path) -> None:
    rewrite(film / FIRST, '"name": "Arrival"', '"name": "[red]x[/red] \\u001b[31m \x9b31m"')
    listed = cli("project", "list", "film").out
    assert "[red]x[/red] \\u001b[31m \\u009b31m" in listed
    assert "\x1b" not in listed
    assert "\x9b" not in listed


def test_no_file_name_in_an_error_steers_the_terminal(cli: Cli, film: Path) -> None:
    (film / "sequences/sequence_\x1b]0;pwn\x07.json").write_text("{")
    refused = cli("project", "shots", "film", "7")
    assert refused.code == 1
    assert "sequence_\\u001b]0;pwn\\u0007.json" in refused.errors
    assert not {"\x1b", "\x07"} & set(refused.errors)


# update


def test_update_changes_what_is_named_and_keeps_the_rest(cli: Cli, film: Path) -> None:
    before = (film / FIRST).read_text()
    updated = cli(
        *("project", "update", "film", "1", "arrival-2", "--json"),
        *("--set", "generation.prompt=A gull, alone", "--set", "generation.parameters.steps=25"),
        *("--json-patch", '{"notes": "café"}'),
    )
    answer = updated.document
    assert answer["storedIn"] == {"file": FIRST, "sequenceId": "001"}
    expected = json.loads(before)["shots"][1]
    expected["generation"]["prompt"] = "A gull, alone"
    expected["generation"]["parameters"]["steps"] = 25
    expected["notes"] = "café"
    assert answer["shot"] == expected
    assert json.loads((film / FIRST).read_text())["shots"][1] == expected


def test_a_regular_shot_is_changed_and_shown_by_a_dash(cli: Cli, film: Path) -> None:
    before = json.loads((film / "project.json").read_text())
    updated = cli("project", "update", "film", "-", "title-card", "--set", "notes=chalk", "--json").document
    assert updated["storedIn"] == {"file": "project.json"}
    assert updated["shot"] == {**before["shots"][0], "notes": "chalk"}
    assert json.loads((film / "project.json").read_text())["shots"] == [updated["shot"]]
    assert cli("project", "show", "film", "-", "title-card", "--json").document["shot"] == updated["shot"]
    assert [row.split()[0] for row in cli("project", "shots", "film", "-").out.splitlines()] == ["id", "title-card"]


def test_a_copy_in_project_json_is_not_listed_with_the_regular_shots(cli: Cli, film: Path) -> None:
    rewrite(film / "project.json", '"shots": [', '"shots": [{"id": "arrival-1"},')
    assert list(cli("project", "shots", "film", "-", "--json").document["etags"]) == ["title-card"]


def test_update_without_a_shot_changes_the_sequence_itself(cli: Cli, film: Path) -> None:
    told = cli("project", "update", "film", "1", "--set", "name=The Ferry", "--set", "metadata.status=locked")
    assert told.out.startswith(f"✓ {FIRST}: changed  (revision ")
    document = json.loads((film / FIRST).read_text())
    assert (document["name"], document["metadata"]["status"]) == ("The Ferry", "locked")
    assert "it was so already" in cli("project", "update", "film", "1", "--set", "name=The Ferry").out


def test_a_change_says_its_revision(cli: Cli, film: Path) -> None:
    words = ("project", "update", "film", "1", "arrival-1", "--set", "notes=x")
    assert cli(*words).out.splitlines()[0].endswith("(revision 1)")
    assert cli(*words).out.splitlines()[0].endswith("(it was so already)")
    assert cli("project", "new-shot", "film", "1").out.splitlines()[0].endswith("(revision 2)")


def test_no_failure_speaks_of_the_contract(cli: Cli, film: Path) -> None:
    refused = cli("project", "update", "film", "1", "arrival-1", "--set", "id=x").errors
    assert "the change: id cannot be changed" in refused
    assert "ListVersions" not in cli("project", "restore", "film", "1", "77").errors


def test_update_in_replace_mode_replaces_whole_members(cli: Cli, film: Path) -> None:
    words = ("project", "update", "film", "1", "arrival-2", "--set", "generation.prompt=Only this", "--mode", "replace")
    assert cli(*words, "--json").document["shot"]["generation"] == {"prompt": "Only this"}


def test_a_stale_etag_is_refused_with_the_current_one(cli: Cli, film: Path) -> None:
    etag = cli("project", "show", "film", "1", "arrival-1", "--json").document["etag"]
    words = ("project", "update", "film", "1", "arrival-1", "--etag", etag)
    assert cli(*words, "--set", "notes=first").code == 0
    refused = cli(*words, "--set", "notes=second")
    assert (refused.code, refused.out) == (1, "")
    assert "error: ABORTED ETAG_MISMATCH" in refused.errors
    now = cli("project", "show", "film", "1", "arrival-1", "--json").document["etag"]
    assert f"its etag now: {now}" in refused.errors
    assert "remedy:" in refused.errors


# failures and exit codes


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("list", "nothing"), "NOT_FOUND", "PROJECT_NOT_FOUND"),
        (("list", "/"), "PERMISSION_DENIED", "PROJECT_NOT_ALLOWED"),
        (("show", "film", "9"), "NOT_FOUND", "SEQUENCE_NOT_FOUND"),
        (("show", "film", "../x"), "INVALID_ARGUMENT", "INVALID_SEQUENCE_ID"),
        (("show", "film", "1", "nobody"), "NOT_FOUND", "SHOT_NOT_FOUND"),
        (("shots", "film", "9"), "NOT_FOUND", "SEQUENCE_NOT_FOUND"),
        (("update", "film", "1", "nobody", "--set", "a=1"), "NOT_FOUND", "SHOT_NOT_FOUND"),
        (("update", "film", "1", "arrival-1", "--set", "id=x"), "INVALID_ARGUMENT", "IMMUTABLE_FIELD"),
        (("verify", "nothing"), "NOT_FOUND", "PROJECT_NOT_FOUND"),
        (("show", "film", "-", "nobody"), "NOT_FOUND", "SHOT_NOT_FOUND"),
        (("update", "film", "-", "arrival-1", "--set", "a=1"), "FAILED_PRECONDITION", "SHOT_IS_A_COPY"),
        (("new-shot", "film", "1", "--set", "id=letter-1"), "ALREADY_EXISTS", "SHOT_EXISTS"),
        (("new-shot", "film", "1", "--after", "nobody"), "NOT_FOUND", "SHOT_NOT_FOUND"),
        (("new-sequence", "film", "002"), "ALREADY_EXISTS", "SEQUENCE_EXISTS"),
        (("move", "film", "1", "nobody"), "NOT_FOUND", "SHOT_NOT_FOUND"),
        (("delete-shot", "film", "1", "nobody"), "NOT_FOUND", "SHOT_NOT_FOUND"),
        (("diff", "film", "1", "77"), "NOT_FOUND", "VERSION_NOT_FOUND"),
        (("restore", "film", "1", "77"), "NOT_FOUND", "VERSION_NOT_FOUND"),
        (("watch", "film", "--from", "77"), "OUT_OF_RANGE", "REVISION_TOO_OLD"),
    ],
)
def test_a_failed_call_exits_1_and_says_code_reason_message_and_remedy(
    cli: Cli, film: Path, words: tuple[str, ...], code: str, reason: str
) -> None:
    failed = cli("project", *words)
    assert (failed.code, failed.out) == (1, "")
    head, message, remedy = failed.errors.splitlines()
    assert head == f"error: {code} {reason}"
    assert message.strip()
    assert remedy.startswith("  remedy: ")
    for_programs = cli("project", *words, "--json")
    assert (for_programs.code, for_programs.out) == (1, "")
    said = json.loads(for_programs.errors)
    assert (said["code"], said["reason"]) == (code, reason)
    assert said["message"]
    assert said["remedy"]


@pytest.mark.parametrize(
    "words",
    [
        ("project", "show"),
        ("project", "list"),
        ("project", "update", "film", "1", "arrival-1"),
        ("project", "update", "film", "1", "arrival-1", "--set", "nonsense"),
        ("project", "update", "film", "1", "arrival-1", "--json-patch", "{"),
        ("project", "update", "film", "1", "arrival-1", "--set", "a=1", "--mode", "sideways"),
        ("project", "update", "film", "-", "--set", "a=1"),
        ("project", "update", "film", "1", "--set", "a=1", "--mode", "replace"),
        ("project", "show", "film", "-"),
        ("project", "move", "film", "1", "arrival-1", "--first", "--after", "arrival-2"),
        ("project", "move", "film", "1", "arrival-1", "--index", "-1"),
        ("project", "new-shot", "film", "1", "--document", "[]"),
        ("project", "diff", "film", "1"),
        ("project", "watch", "film", "--from", "-3"),
        ("project", "frobnicate"),
        ("frobnicate",),
    ],
)
def test_wrong_usage_exits_2(cli: Cli, words: tuple[str, ...]) -> None:
    wrong = cli(*words)
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.errors


def test_an_address_where_nobody_listens_exits_3(cli: Cli) -> None:
    away = cli("project", "list", "film", "--address", "127.0.0.1:1", "--token", "any")
    assert (away.code, away.out) == (3, "")
    assert "shotline up" in away.errors
    assert "  127.0.0.1:1: " in away.errors
    assert "  127.0.0.1:1: " in cli("film", "list", SHOTLINE_ADDRESS="127.0.0.1:1", SHOTLINE_TOKEN="any").errors


def test_without_a_local_start_it_exits_3(cli: Cli) -> None:
    away = cli("project", "list", "film", "--data", cli.folder / "nothing here")
    assert (away.code, away.out) == (3, "")
    assert "shotline up" in away.errors
    for_programs = cli("project", "list", "film", "--data", cli.folder / "nothing here", "--json")
    assert json.loads(for_programs.errors)["code"] == "UNAVAILABLE"


def test_a_connection_file_that_others_can_read_is_not_trusted(cli: Cli, shotline: Shotline) -> None:
    folder = cli.folder / "data"
    folder.mkdir(mode=0o700)
    (folder / "connection.json").write_bytes((shotline.data / "connection.json").read_bytes())
    (folder / "connection.json").chmod(0o644)
    refused = cli("project", "list", "film", "--data", folder)
    assert refused.code == 3
    assert "chmod 600" in refused.errors


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_connection_file_that_is_no_file_is_not_trusted(cli: Cli, shotline: Shotline, kind: str) -> None:
    folder = cli.folder / "data"
    folder.mkdir(mode=0o700)
    if kind == "link":
        (folder / "connection.json").symlink_to(shotline.data / "connection.json")
    else:
        (folder / "connection.json").mkdir()
    refused = cli("project", "list", "film", "--data", folder)
    assert refused.code == 3
    assert "not a regular file" in refused.errors


# where it goes


def test_address_and_token_come_from_the_environment(cli: Cli, film: Path, shotline: Shotline) -> None:
    place = {"SHOTLINE_ADDRESS": shotline.facts["grpc"], "SHOTLINE_TOKEN": shotline.facts["token"]}
    assert cli("project", "list", "film", **place).code == 0
    wrong = cli("project", "list", "film", **{**place, "SHOTLINE_TOKEN": "wrong"})
    assert wrong.code == 1
    assert "UNAUTHENTICATED TOKEN_INVALID" in wrong.errors
    assert "one of `shotline token create` until it expires" in wrong.errors


def test_a_token_of_a_workspace_is_told_which_token_opens_project_folders(cli: Cli, film: Path) -> None:
    made = cli("token", "create", "--workspace", "harbour", "--data", cli.data)
    refused = cli("project", "list", "film", "--token", made.out.strip())
    assert refused.code == 1
    head, message, remedy = refused.errors.splitlines()
    assert (head, "belong to no workspace" in message) == ("error: PERMISSION_DENIED PROJECT_NOT_ALLOWED", True)
    assert remedy.startswith("  remedy: use a token of `shotline token create --all-workspaces`")
    assert "shotline up --root" in cli("project", "list", "/").errors


def test_the_data_folder_comes_from_the_environment(cli: Cli, film: Path, shotline: Shotline) -> None:
    elsewhere = Cli(cli.folder, None)
    assert elsewhere("project", "list", "film", SHOTLINE_DATA=str(shotline.data)).code == 0
    away = elsewhere("project", "list", "film", SHOTLINE_DATA=str(cli.folder / "nothing"))
    assert (away.code, "--data" in away.errors) == (3, True)


def test_options_win_over_the_environment(cli: Cli, film: Path, shotline: Shotline) -> None:
    elsewhere = {"SHOTLINE_ADDRESS": "127.0.0.1:1", "SHOTLINE_TOKEN": "wrong"}
    place = ("--address", shotline.facts["grpc"], "--token", shotline.facts["token"])
    assert cli("project", "list", "film", *place, **elsewhere).code == 0


def test_the_local_token_is_sent_to_the_local_address_only(cli: Cli, film: Path, shotline: Shotline) -> None:
    local = ("--data", shotline.data, "--address")
    assert cli("project", "list", "film", *local, shotline.facts["grpc"]).code == 0
    service = shotline.facts["sequence_file"]  # another address, where the same token would be good
    refused = cli("project", "list", "film", *local, service)
    assert refused.code == 1
    assert "TOKEN_INVALID" in refused.errors


def test_version_and_help_answer(cli: Cli) -> None:
    assert cli("--version").out.startswith("shotline ")
    for command in ("new", "list", "show", "shots", "update", "verify"):
        assert cli("project", command, "--help").code == 0
