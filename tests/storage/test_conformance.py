"""What every implementation of the port `Sequences` must do: read, and change shots."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.kernel.faults import Fault
from services.kernel.strict_json import parse_object
from services.sequence_file.domain.draft import Shot
from services.sequence_file.domain.ports import Request
from services.sequence_file.domain.steps import Edit, Mode
from tests.storage.cases import KINDS, Case, cases
from tests.storage.projects import caller, shot_of

FIRST = b"""{
  "id": "001",
  "order": 1,
  "shots": [
    {"id": "s1", "generation": {"prompt": "dawn", "model": "flux-dev"}},
    {"id": "s2"},
    {"id": "twice"},
    {"id": "twice"}
  ],
  "metadata": {"updated_at": "2020-01-01T00:00:00.000Z"}
}
"""
BROKEN = "sequences/sequence_003.json"
FILES = {
    "project.json": b'{"shots": [{"id": "s1", "stale": true}, {"id": "loose"}]}',
    "sequences/sequence_001.json": FIRST,
    "sequences/sequence_002.json": b'{"shots": [{"id": "s3"}]}',
    BROKEN: b'{"id": "003", "shots": [',
}


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    yield from cases(request.param, tmp_path, FILES)


async def test_a_project_lists_its_good_sequences_and_names_the_others(case: Case) -> None:
    project = await case.library.project(case.path)
    assert [(each.id, each.document.file) for each in project.sequences] == [
        ("001", "sequences/sequence_001.json"),
        ("002", "sequences/sequence_002.json"),
    ]
    assert [(each.file, each.id, each.fault.reason) for each in project.unreachable] == [
        ("sequences/sequence_003.json", "003", "SEQUENCE_FILE_INVALID")
    ]


async def test_an_update_is_answered_with_the_shot_and_read_back(case: Case) -> None:
    answer = await case.update('{"generation": {"prompt": "dusk"}}')
    assert json.loads(answer.document)["generation"] == {"prompt": "dusk", "model": "flux-dev"}
    assert (answer.file, answer.sequence_id) == ("sequences/sequence_001.json", "001")
    assert await case.library.shot(case.path, "1", "s1") == answer
    after = case.read("sequences/sequence_001.json")
    assert after.startswith(FIRST[: FIRST.index(b'"dawn"')] + b'"dusk", "model": "flux-dev"}}')
    assert json.loads(after)["metadata"].keys() == {"updated_at", "modified_at"}


async def test_updates_that_change_nothing_write_nothing(case: Case) -> None:
    before = await case.library.shot(case.path, "001", "s1")
    for updates in ("{}", '{"generation": {"model": "flux-dev"}}', '{"gone": null}'):
        assert await case.update(updates) == before
    assert case.read("sequences/sequence_001.json") == FIRST


async def test_a_stale_etag_is_refused_with_what_is_there_now(case: Case) -> None:
    seen = (await case.library.shot(case.path, "001", "s1")).etag
    answer = await case.update('{"generation": {"prompt": "dusk"}}', etag=seen)
    with pytest.raises(Fault) as caught:
        await case.update('{"generation": {"prompt": "noon"}}', etag=seen)
    assert caught.value.reason == "ETAG_MISMATCH"
    assert caught.value.current is not None
    assert caught.value.current.etag == answer.etag
    assert caught.value.current.document_json == answer.document.decode()


async def test_a_stale_etag_does_no_harm_where_the_change_is_there_already(case: Case) -> None:
    seen = (await case.library.shot(case.path, "001", "s1")).etag
    answer = await case.update('{"generation": {"prompt": "dusk"}}', etag=seen)
    assert await case.update('{"generation": {"prompt": "dusk"}}', etag=seen) == answer


async def test_top_level_members_are_replaced_whole_when_asked_for(case: Case) -> None:
    answer = await case.update('{"generation": {"prompt": "dusk"}, "x": null}', mode=Mode.REPLACE_TOP_LEVEL)
    assert json.loads(answer.document) == {"id": "s1", "generation": {"prompt": "dusk"}, "x": None}


async def test_a_request_sent_twice_is_one_change_and_one_answer(case: Case) -> None:
    once = Request(id=str(uuid.uuid4()), fingerprint="a")
    first = await case.update('{"n": 1}', by=caller(once))
    between = await case.update('{"n": 2}')
    assert await case.update('{"n": 1}', by=caller(once)) == first
    assert await case.library.shot(case.path, "001", "s1") == between
    with pytest.raises(Fault) as caught:
        await case.update('{"n": 3}', by=caller(Request(id=once.id, fingerprint="b")))
    assert caught.value.reason == "REQUEST_ID_REUSED"


async def test_a_refused_request_may_be_sent_again(case: Case) -> None:
    once = Request(id=str(uuid.uuid4()), fingerprint="a")
    with pytest.raises(Fault):
        await case.update('{"n": 1}', shot="nobody", by=caller(once))
    with pytest.raises(Fault, match="no shot has the id 'nobody'"):
        await case.update('{"n": 1}', shot="nobody", by=caller(once))


async def test_changes_at_the_same_time_are_all_made(case: Case) -> None:
    await asyncio.gather(*(case.update(json.dumps({f"k{i}": i}), shot=f"s{i % 2 + 1}") for i in range(40)))
    kept = {**json.loads((await case.library.shot(case.path, "001", "s1")).document)}
    kept |= json.loads((await case.library.shot(case.path, "001", "s2")).document)
    assert {f"k{i}" for i in range(40)} <= kept.keys()


async def test_one_bad_change_among_many_fails_alone(case: Case) -> None:
    outcomes = await asyncio.gather(
        *(case.update('{"n": 1}', shot=shot) for shot in ("s1", "nobody", "s2", "twice")), return_exceptions=True
    )
    assert [getattr(each, "reason", "ok") for each in outcomes] == ["ok", "SHOT_NOT_FOUND", "ok", "DUPLICATE_ID"]


@pytest.mark.parametrize(
    ("sequence", "shot", "reason"),
    [
        ("009", "s1", "SEQUENCE_NOT_FOUND"),
        ("001", "s9", "SHOT_NOT_FOUND"),
        ("001", "twice", "DUPLICATE_ID"),
        ("003", "s1", "SEQUENCE_FILE_INVALID"),
        ("../x", "s1", "INVALID_SEQUENCE_ID"),
        ("001", "", "INVALID_SHOT_ID"),
    ],
)
async def test_what_cannot_be_meant_is_refused(case: Case, sequence: str, shot: str, reason: str) -> None:
    with pytest.raises(Fault) as caught:
        await case.update('{"n": 1}', sequence=sequence, shot=shot)
    assert caught.value.reason == reason


async def test_a_copy_in_the_project_file_is_neither_read_nor_written(case: Case) -> None:
    case.remove(BROKEN)
    found = await case.library.shot(case.path, "", "s1")
    assert found.sequence_id == "001"
    with pytest.raises(Fault) as caught:
        await project_update(case, "s1")
    assert caught.value.reason == "SHOT_IS_A_COPY"
    assert case.read("project.json") == FILES["project.json"]


async def test_a_regular_shot_is_found_and_changed_in_the_project_file(case: Case) -> None:
    case.remove(BROKEN)
    assert (await case.library.shot(case.path, "", "loose")).file == "project.json"
    answer = await project_update(case, "loose")
    assert (answer.file, answer.sequence_id) == ("project.json", "")
    assert json.loads(case.read("project.json"))["shots"][1] == {"id": "loose", "n": 1}


async def test_an_unreadable_sequence_might_hold_the_shot_so_nothing_is_guessed(case: Case) -> None:
    for attempt in (case.library.shot(case.path, "", "loose"), project_update(case, "loose")):
        with pytest.raises(Fault) as caught:
            await attempt
        assert caught.value.reason == "SEQUENCE_FILE_INVALID"


async def project_update(case: Case, shot: str) -> Shot:
    edit = Edit(shot_id=shot, updates=parse_object('{"n": 1}'))
    return shot_of(await case.library.update_project_shot(case.path, edit, caller()))
