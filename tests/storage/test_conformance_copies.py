"""What every implementation of `Sequences` must do: a shot that is deleted takes its copy in project.json along."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.kernel.faults import Fault
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.library import Library
from services.sequence_file.domain.ports import Outcome
from services.sequence_file.storage.files import FileSequences
from services.sequence_file.storage.memory import MemorySequences
from tests.storage.cases import KINDS, LOOSE, ONE, TWO, Case, cases, stringified
from tests.storage.projects import caller, request

A1, A2, B1, REGULAR = {"id": "a1", "stale": True}, {"id": "a2"}, {"id": "b1"}, {"id": "loose", "note": "mine"}
FILES = {
    LOOSE: stringified({"name": "Film", "shots": [A1, REGULAR, A2, B1]}),
    ONE: stringified({"id": "001", "shots": [{"id": "a1"}, {"id": "a2"}, {"id": "a3"}]}),
    TWO: stringified({"id": "002", "shots": [{"id": "b1"}]}),
}


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    yield from cases(request.param, tmp_path, FILES)


def shots(case: Case) -> list[object]:
    found: list[object] = case.document(LOOSE)["shots"]
    return found


async def listed(case: Case) -> list[str]:
    """Shots that count as those of project.json itself."""
    found = await case.library.project_shots(case.path)
    assert found.document is not None
    copies = {each.index for each in found.copies}
    return [str(each) for index, each in enumerate(found.document.shot_ids) if index not in copies]


async def test_a_deleted_shot_does_not_come_back_as_one_of_the_project(case: Case) -> None:
    outcome = await case.library.delete_shot(case.path, "001", "a1", None, caller())
    assert case.shot_ids(ONE) == ["a2", "a3"]
    assert shots(case) == [REGULAR, A2, B1]
    assert await listed(case) == ["loose"]
    with pytest.raises(Fault) as gone:
        await case.library.shot(case.path, "", "a1")
    assert gone.value.reason == "SHOT_NOT_FOUND"
    # One change of two files; project.json has a version from before it.
    watch = await case.library.watch(case.path, outcome.revision - 1)
    (change,) = await watch.next(5)
    watch.close()
    assert [each.file for each in change.files] == [ONE, LOOSE]
    _, versions = await case.library.versions(case.path, "")
    assert [each.revision for each in versions] == [outcome.revision, 0]
    assert (await case.library.version(case.path, "", 0))[1].raw == FILES[LOOSE]


async def test_the_other_shots_of_the_project_file_keep_their_numbers(case: Case) -> None:
    numbered = [{"id": "a1", "number": 1}, {"id": "a2", "number": 2}, {"id": "b1", "number": 1}]
    case.write(LOOSE, stringified({"shots": numbered}))
    await case.library.delete_shot(case.path, "001", "a1", None, caller())
    assert shots(case) == numbered[1:]


async def test_the_shots_of_a_deleted_sequence_do_not_come_back_as_those_of_the_project(case: Case) -> None:
    outcome = await case.library.delete_sequence(case.path, "001", None, caller())
    assert [each.id for each in outcome.sequences] == ["001"]
    assert case.files() == {LOOSE, TWO}
    assert shots(case) == [REGULAR, B1]
    assert await listed(case) == ["loose"]


async def test_a_deletion_sent_twice_is_answered_twice_and_made_once(case: Case) -> None:
    for delete in (
        lambda once: case.library.delete_shot(case.path, "001", "a1", None, caller(once)),
        lambda once: case.library.delete_sequence(case.path, "001", None, caller(once)),
    ):
        once = request()
        outcome: Outcome = await delete(once)
        after = case.read(LOOSE)
        assert await delete(once) == outcome
        assert case.read(LOOSE) == after
    assert outcome.revision == 2


async def test_a_refused_deletion_leaves_the_copies(case: Case) -> None:
    for attempt in (
        case.library.delete_shot(case.path, "001", "a1", "0" * 32, caller()),
        case.library.delete_sequence(case.path, "001", "0" * 32, caller()),
    ):
        with pytest.raises(Fault) as refused:
            await attempt
        assert refused.value.reason == "ETAG_MISMATCH"
    with pytest.raises(Fault) as gone:
        await case.library.delete_shot(case.path, "002", "a1", None, caller())
    assert gone.value.reason == "SHOT_NOT_FOUND"
    assert case.read(LOOSE) == FILES[LOOSE]


async def test_a_shot_without_a_copy_leaves_the_project_file_alone(case: Case) -> None:
    await case.library.delete_shot(case.path, "001", "a3", None, caller())
    assert case.read(LOOSE) == FILES[LOOSE]


async def test_a_shot_that_stands_in_another_sequence_too_keeps_its_copy(case: Case) -> None:
    case.write(TWO, stringified({"id": "002", "shots": [{"id": "a1"}, {"id": "b1"}]}))
    await case.library.delete_shot(case.path, "001", "a1", None, caller())
    assert case.read(LOOSE) == FILES[LOOSE]
    await case.library.delete_sequence(case.path, "002", None, caller())
    assert shots(case) == [REGULAR, A2]


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"shots": [{"id": "a1"}, {"id": "a1"}]}', b"{}", None])
async def test_a_project_file_that_cannot_be_changed_stops_no_deletion(case: Case, raw: bytes | None) -> None:
    if raw is None:
        case.remove(LOOSE)
    else:
        case.write(LOOSE, raw)
    await case.library.delete_shot(case.path, "001", "a1", None, caller())
    assert case.shot_ids(ONE) == ["a2", "a3"]
    await case.library.delete_sequence(case.path, "001", None, caller())
    assert case.files() == {TWO} | (set() if raw is None else {LOOSE})
    if raw is not None:
        assert case.read(LOOSE) == raw


class ChangedBehindTheLook(MemorySequences):
    """Another program changes project.json when it has just been read."""

    meanwhile: Callable[[], None] | None = None

    async def project_file(self, path: str) -> Document:
        found = await super().project_file(path)
        if meanwhile := self.meanwhile:
            self.meanwhile = None
            meanwhile()
        return found


class ChangedOnDiskBehindTheLook(FileSequences):
    """The same of files."""

    meanwhile: Callable[[], None] | None = None

    async def project_file(self, path: str) -> Document:
        found = await super().project_file(path)
        if meanwhile := self.meanwhile:
            self.meanwhile = None
            meanwhile()
        return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("left", [[REGULAR, B1], [REGULAR, A2, B1], [REGULAR, A1, A2, {"id": "a3"}, B1], None])
async def test_copies_that_another_program_changes_meanwhile_are_no_error(
    kind: str, left: list[object] | None, tmp_path: Path
) -> None:
    for case in cases(kind, tmp_path, FILES):
        sequences: ChangedBehindTheLook | ChangedOnDiskBehindTheLook
        if kind == "memory":
            sequences = ChangedBehindTheLook({case.path: FILES})
        else:
            sequences = ChangedOnDiskBehindTheLook([str(tmp_path)])
        other = Case(sequences, case.path)
        sequences.meanwhile = lambda other=other: (  # type: ignore[misc]
            other.remove(LOOSE) if left is None else other.write(LOOSE, stringified({"shots": left}))
        )
        await Library(sequences).delete_shot(other.path, "001", "a1", None, caller())
        await Library(sequences).delete_sequence(other.path, "001", None, caller())
        assert ONE not in other.files()
        if left is not None:
            assert [each["id"] for each in json.loads(other.read(LOOSE))["shots"]] == ["loose", "b1"]
        if isinstance(sequences, FileSequences):
            sequences.close()


async def test_where_the_sequences_are_those_of_another_project_the_copies_stay(tmp_path: Path) -> None:
    for case in cases("files", tmp_path, FILES):
        own = tmp_path / "own"
        own.mkdir()
        (own / LOOSE).write_bytes(FILES[LOOSE])
        (own / "sequences").symlink_to(Path(case.path, "sequences"))
        await case.library.delete_shot(str(own), "001", "a1", None, caller())
        await case.library.delete_sequence(str(own), "002", None, caller())
        assert case.files() == {LOOSE, ONE}
        assert case.shot_ids(ONE) == ["a2", "a3"]
        assert (own / LOOSE).read_bytes() == case.read(LOOSE) == FILES[LOOSE]


async def test_a_project_file_that_may_not_be_written_stops_no_deletion(tmp_path: Path) -> None:
    for case in cases("files", tmp_path, FILES):
        elsewhere = tmp_path / "elsewhere.json"
        Path(case.path, LOOSE).rename(elsewhere)
        Path(case.path, LOOSE).symlink_to(elsewhere)
        await case.library.delete_shot(case.path, "001", "a1", None, caller())
        assert case.shot_ids(ONE) == ["a2", "a3"]
