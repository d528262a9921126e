"""What every implementation of `Sequences` must do: many edits as one change; and list what project.json holds."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.kernel.faults import Fault
from services.kernel.strict_json import parse_object
from services.sequence_file.domain.batch import Batch, ShotEdit
from services.sequence_file.domain.ports import Outcome
from services.sequence_file.domain.steps import Edit
from tests.storage.cases import FILES, KINDS, LOOSE, ONE, TEN, TWO, Case, cases
from tests.storage.projects import caller


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    yield from cases(request.param, tmp_path, FILES)


def edit(sequence: str, shot: str, updates: str = '{"n": 1}', etag: str | None = None) -> ShotEdit:
    return ShotEdit(sequence_id=sequence, edit=Edit(shot_id=shot, updates=parse_object(updates), etag=etag))


async def batch(case: Case, *edits: ShotEdit, all_or_nothing: bool = False) -> Outcome:
    return await case.library.update_shots(case.path, Batch(edits=edits, all_or_nothing=all_or_nothing), caller())


async def test_a_batch_changes_what_it_can_and_names_the_rest(case: Case) -> None:
    before = await case.library.shot(case.path, "001", "a2")
    outcome = await batch(
        case,
        edit("001", "a1", '{"note": 1}'),
        edit("001", "nobody"),
        edit("001", "a2", '{"note": 2}', "0" * 32),
        edit("001", "a1", '{"note": 3}'),
        edit("001", ""),
    )
    assert [(each.index, each.fault.reason) for each in outcome.refusals] == [
        (1, "SHOT_NOT_FOUND"),
        (2, "ETAG_MISMATCH"),
        (4, "INVALID_SHOT_ID"),
    ]
    now = await case.library.shot(case.path, "001", "a1")
    assert outcome.shots == (now, now)  # both edits of it, as they left it
    assert json.loads(now.document)["note"] == 3
    assert await case.library.shot(case.path, "001", "a2") == before


@pytest.mark.parametrize("second", ["001", "002"])
async def test_a_batch_that_is_all_or_nothing_is_refused_whole(case: Case, second: str) -> None:
    with pytest.raises(Fault) as caught:
        await batch(case, edit("001", "a1"), edit(second, "nobody"), all_or_nothing=True)
    assert (caught.value.reason, caught.value.metadata["edit_index"]) == ("SHOT_NOT_FOUND", "1")
    assert all(case.read(file) == FILES[file] for file in FILES)


async def test_others_are_no_hostages_of_a_batch_that_is_refused(case: Case) -> None:
    outcomes = await asyncio.gather(
        case.update('{"kept": 1}', shot="a1"),
        batch(case, edit("001", "a1", '{"lost": 1}'), edit("001", "nobody"), all_or_nothing=True),
        case.update('{"kept": 1}', shot="a2"),
        return_exceptions=True,
    )
    assert [isinstance(each, Fault) for each in outcomes] == [False, True, False]
    assert b"lost" not in case.read(ONE)
    assert case.read(ONE).count(b"kept") == 2


async def test_a_batch_over_several_files_is_one_revision(case: Case) -> None:
    outcome = await batch(
        case,
        edit("002", "b1"),
        edit("404", "x"),
        edit("001", "a1"),
        edit("", "loose"),
        edit("", "a1"),
        edit("../1", "x"),
        edit("2", "b1", '{"n": 2}'),
    )
    assert [(each.index, each.fault.reason) for each in outcome.refusals] == [
        (1, "SEQUENCE_NOT_FOUND"),
        (4, "SHOT_IS_A_COPY"),
        (5, "INVALID_SEQUENCE_ID"),
    ]
    assert [(shot.file, shot.id) for shot in outcome.shots] == [(TWO, "b1"), (ONE, "a1"), (LOOSE, "loose"), (TWO, "b1")]
    assert outcome.shots[0] == await case.library.shot(case.path, "002", "b1")
    assert case.document(TWO)["shots"][0]["n"] == 2
    after = await batch(case, edit("001", "a1", '{"n": 5}'), edit("001", "a2"))
    assert after.revision == outcome.revision + 1


async def test_a_batch_for_the_project_file_leaves_copies_alone(case: Case) -> None:
    outcome = await batch(case, edit("", "a1"), edit("", "loose"))
    assert [(each.index, each.fault.reason) for each in outcome.refusals] == [(0, "SHOT_IS_A_COPY")]
    assert case.document(LOOSE)["shots"] == [{"id": "a1", "copy": True}, {"id": "loose", "n": 1}]


async def test_a_batch_of_edits_that_change_nothing_is_no_revision(case: Case) -> None:
    outcome = await batch(case, edit("001", "a1", "{}"), edit("002", "b1", "{}"))
    assert (outcome.revision, len(outcome.shots)) == (0, 2)
    assert all(case.read(file) == FILES[file] for file in FILES)


async def test_the_shots_of_the_project_file_are_told_from_copies(case: Case) -> None:
    shots = await case.library.project_shots(case.path)
    assert shots.document is not None
    assert shots.document.shot_ids == ["a1", "loose"]
    assert [(copy.index, copy.id, copy.sequence_id, copy.stale) for copy in shots.copies] == [(0, "a1", "001", True)]
    case.write(TEN, b"{")
    assert [each.file for each in (await case.library.project_shots(case.path)).unreachable] == [TEN]
    case.remove(LOOSE)
    assert (await case.library.project_shots(case.path)).document is None
