"""Changes, versions and differences as people and programs get them."""

import json
from collections.abc import Callable

import orjson
import pytest
import typer
from google.protobuf.timestamp_pb2 import Timestamp
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files

from gateway.cli import failures, render_history
from services.kernel.faults import Code, Current, Fault

AT = Timestamp(seconds=1_795_000_000, nanos=250_000_000)
EDITOR = files.Origin(
    kind=files.Origin.KIND_CLIENT,
    principal="ada",
    client="an editor",
    request_id="0195a1c2-7e00-7000-8000-000000000001",
)
Shown = Callable[..., list[str]]
OUTSIDE = files.Origin(kind=files.Origin.KIND_OUTSIDE)


def changed(origin: files.Origin, summary: str = "arrival-1: notes") -> files.ProjectChange:
    shot = files.ShotChange(
        id="arrival-1",
        kind=files.CHANGE_KIND_UPDATED,
        etag="e1",
        document_json='{\r\n  "number": 1.10,\n\t"a": " b\\n\u2028 "\n}',
    )
    file = files.FileChange(
        file="sequences/sequence_001.json",
        sequence_id="001",
        kind=files.CHANGE_KIND_UPDATED,
        etag="f1",
        shots=[shot, files.ShotChange(id="arrival-2", kind=files.CHANGE_KIND_DELETED)],
        complete=True,
    )
    return files.ProjectChange(revision=7, create_time=AT, origin=origin, summary=summary, files=[file])


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """What people get of differences, line by line."""

    def show(*differences: files.Difference, truncated: bool = False) -> list[str]:
        render_history.print_differences(files.DiffVersionsResponse(differences=differences, truncated=truncated))
        return capsys.readouterr().out.splitlines()

    return show


def test_a_change_is_one_line() -> None:
    line = render_history.change_line(changed(EDITOR)).plain
    words = line.split()
    assert words[0] == "7"
    assert words[2:] == ["ada", "(an", "editor)", "001", "arrival-1:", "notes"]


def test_a_change_by_another_program_says_so() -> None:
    assert "another program" in render_history.change_line(changed(OUTSIDE)).plain


def test_no_summary_makes_a_second_line_or_steers_the_terminal() -> None:
    line = render_history.change_line(changed(EDITOR, "a\nb \x1b[31m")).plain
    assert line.endswith("a b \\u001b[31m")


def test_programs_get_a_change_with_its_shots_as_the_file_has_them() -> None:
    text = orjson.dumps(render_history.change_facts(changed(EDITOR))).decode()
    assert '"shot":{"number": 1.10,"a": " b\\n\u2028 "}' in text
    assert "\n" not in text
    facts = json.loads(text)
    assert facts["origin"] == {
        "kind": "CLIENT",
        "principal": "ada",
        "client": "an editor",
        "requestId": "0195a1c2-7e00-7000-8000-000000000001",
    }
    assert facts["createTime"].endswith(".250Z")
    (file,) = facts["files"]
    assert (file["kind"], file["sequenceId"], file["complete"]) == ("UPDATED", "001", True)
    assert [(shot["id"], shot["kind"], shot["shot"]) for shot in file["shots"]] == [
        ("arrival-1", "UPDATED", {"number": 1.1, "a": " b\n\u2028 "}),
        ("arrival-2", "DELETED", None),
    ]
    assert json.loads(orjson.dumps(render_history.change_facts(changed(OUTSIDE))))["origin"]["kind"] == "OUTSIDE"


def test_a_difference_names_shot_and_path_and_both_values(shown: Shown) -> None:
    assert shown(
        files.Difference(shot_id="arrival-1", pointer="/generation/prompt", before_json='"old"', after_json='"new"'),
        files.Difference(shot_id="arrival-1", pointer="/notes", after_json='"added"'),
        files.Difference(shot_id="arrival-2", pointer="/a~1b/c~0d", before_json="1.10"),
        files.Difference(pointer="/metadata/modified_at", before_json='"then"', after_json='"now"'),
    ) == [
        "arrival-1",
        "  generation.prompt",
        '  - "old"',
        '  + "new"',
        "  notes",
        '  + "added"',
        "arrival-2",
        "  a/b.c~d",
        "  - 1.10",
        "(the sequence)",
        "  metadata.modified_at",
        '  - "then"',
        '  + "now"',
    ]


def test_a_path_that_dots_could_not_tell_stays_a_pointer(shown: Shown) -> None:
    assert "  /v1.5/steps" in shown(files.Difference(shot_id="a", pointer="/v1.5/steps", after_json="1"))


def test_new_gone_and_moved_shots_are_told_as_such(shown: Shown) -> None:
    told = shown(
        files.Difference(shot_id="new", after_json='{"id": "new"}', after_index=2),
        files.Difference(shot_id="gone", before_json='{"id": "gone"}'),
        files.Difference(shot_id="moved", before_index=2, after_index=0),
    )
    assert told == [
        "new",
        "  new shot, at place 3",
        '  + {"id": "new"}',
        "gone",
        "  deleted shot",
        '  - {"id": "gone"}',
        "moved",
        "  moved from place 3 to 1",
    ]


def test_a_long_object_is_laid_out_a_member_a_line(shown: Shown) -> None:
    value = json.dumps({"prompt": "p" * 90, "steps": 20})
    told = shown(files.Difference(shot_id="a", pointer="/generation", before_json=value))
    assert told[2:] == ["  - {", f'  -   "prompt": "{"p" * 90}",', '  -   "steps": 20', "  - }"]


def test_a_new_shot_is_shown_without_the_margin_of_its_file(shown: Shown) -> None:
    value = '{\n      "id": "a",\n      "n": 1.50\n    }'
    told = shown(files.Difference(shot_id="a", after_json=value, after_index=0))
    assert told[2:] == ["  + {", '  +   "id": "a",', '  +   "n": 1.50', "  + }"]


def test_a_diff_that_was_cut_says_so(shown: Shown) -> None:
    told = shown(files.Difference(shot_id="a", pointer="/b", after_json="1"), truncated=True)
    assert "more than these 1" in told[-1]


def test_versions_are_a_table_in_which_the_current_one_has_a_star(capsys: pytest.CaptureFixture[str]) -> None:
    now = files.Version(revision=7, create_time=AT, origin=EDITOR, summary="a: notes", size_bytes=99, current=True)
    found = files.Version(revision=0, create_time=AT, size_bytes=80)
    render_history.print_versions("sequences/sequence_001.json", [now, found])
    file, head, *rows = capsys.readouterr().out.splitlines()
    assert file == "sequences/sequence_001.json"
    assert head.split() == ["revision", "when", "who", "bytes", "what"]
    assert rows[0].split()[:2] == ["*", "7"]
    assert rows[0].rstrip().endswith("99  a: notes")
    assert rows[1].split()[0] == "0"
    assert rows[1].rstrip().endswith("80  as it was first found")


def test_an_edit_conflict_shows_both_values(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"shot_id": "a", "pointer": "/notes", "refused_json": '"ours"'}
    theirs = Current(etag="e" * 32, document_json='"theirs"')
    fault = Fault(Code.ABORTED, "EDIT_CONFLICT", "another program changed it", metadata=facts, current=theirs)
    for as_json in (False, True):
        with pytest.raises(typer.Exit):
            failures.leave(fault, as_json=as_json)
    *told, for_programs = capsys.readouterr().err.splitlines()
    assert told[2:5] == ['  in the file now: "theirs"', '  yours, refused:  "ours"', f"  its etag now: {'e' * 32}"]
    details = json.loads(for_programs)["details"]
    assert details == {**facts, "current_json": '"theirs"', "current_etag": "e" * 32}
