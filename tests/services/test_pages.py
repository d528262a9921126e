"""Pages of the sequence-file service: nothing is left out, or the caller is told to begin again."""

import json
from pathlib import Path

import pytest
from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb

from services.kernel.faults import Fault
from services.sequence_file.domain.library import Library
from services.sequence_file.servicer import SequenceFileServicer
from services.sequence_file.storage.files import FileSequences


def write(folder: Path, number: int, shots: int = 0) -> None:
    (folder / "sequences").mkdir(parents=True, exist_ok=True)
    document = {"id": f"{number:03d}", "order": number, "shots": [{"id": f"s{i}"} for i in range(shots)]}
    (folder / "sequences" / f"sequence_{number:03d}.json").write_text(json.dumps(document))


async def test_a_list_that_changes_between_two_pages_is_not_cut_in_silence(tmp_path: Path) -> None:
    """A position in the old list would skip a sequence of the new one."""
    for number in range(1, 5):
        write(tmp_path, number)
    files = FileSequences([str(tmp_path)])
    servicer = SequenceFileServicer(Library(files))
    first = await servicer.ListSequences(pb.ListSequencesRequest(project_path=str(tmp_path), page_size=2))
    following = pb.ListSequencesRequest(
        project_path=str(tmp_path), page_size=2, page_token=first.next_page_token, view=pb.SEQUENCE_VIEW_BASIC
    )
    second = await servicer.ListSequences(following)
    assert [one.id for page in (first, second) for one in page.sequences] == ["001", "002", "003", "004"]
    assert first.sequences[0].document_json
    assert not second.sequences[0].document_json  # the basic view
    (tmp_path / "sequences" / "sequence_001.json").unlink()
    with pytest.raises(Fault) as caught:
        await servicer.ListSequences(following)
    assert caught.value.reason == "PAGE_TOKEN_STALE"
    files.close()


async def test_shots_come_in_pages_that_belong_together(tmp_path: Path) -> None:
    write(tmp_path, 1, shots=5)
    files = FileSequences([str(tmp_path)])
    servicer = SequenceFileServicer(Library(files))
    request = pb.GetShotsRequest(project_path=str(tmp_path), sequence_id="1", page_size=2)
    ids: list[str] = []
    while True:
        page = await servicer.GetShots(request)
        ids += [shot.id for shot in page.shots]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert ids == [f"s{i}" for i in range(5)]
    write(tmp_path, 1, shots=4)
    with pytest.raises(Fault) as caught:
        await servicer.GetShots(request)
    assert caught.value.reason == "PAGE_TOKEN_STALE"
    files.close()


async def test_the_regular_shots_of_a_project_come_in_pages_and_its_copies_on_the_first(tmp_path: Path) -> None:
    write(tmp_path, 1, shots=3)
    loose = [{"id": "a"}, {"prompt": "without an id"}, {"id": "b"}, {"id": "b"}]
    copies = [{"id": "s0"}, {"id": "s2", "prompt": "stale"}]
    project = tmp_path / "project.json"
    project.write_text(json.dumps({"shots": [copies[0], *loose[:3], copies[1], loose[3]]}))
    (tmp_path / "sequences" / "sequence_009.json").write_text("{")
    files = FileSequences([str(tmp_path)])
    servicer = SequenceFileServicer(Library(files))
    request = pb.ListProjectShotsRequest(project_path=str(tmp_path), page_size=3)
    first = await servicer.ListProjectShots(request)
    assert [json.loads(shot.document_json) for shot in first.shots] == loose[:3]
    assert [(copy.id, copy.sequence_id, copy.stale) for copy in first.copies] == [
        ("s0", "001", False),
        ("s2", "001", True),
    ]
    assert [bad.file for bad in first.unreachable] == ["sequences/sequence_009.json"]
    request.page_token = first.next_page_token
    last = await servicer.ListProjectShots(request)
    assert ([json.loads(shot.document_json) for shot in last.shots], last.next_page_token) == (loose[3:], "")
    assert not last.copies
    assert not last.unreachable
    assert last.etag == first.etag
    project.write_text('{"shots": []}')
    with pytest.raises(Fault) as caught:
        await servicer.ListProjectShots(request)
    assert caught.value.reason == "PAGE_TOKEN_STALE"
    project.unlink()
    none = await servicer.ListProjectShots(pb.ListProjectShotsRequest(project_path=str(tmp_path)))
    assert (list(none.shots), none.etag, len(none.unreachable)) == ([], "", 1)
    files.close()


async def test_the_answer_that_was_kept_is_that_of_the_newest_content(tmp_path: Path) -> None:
    write(tmp_path, 1, shots=2)
    files = FileSequences([str(tmp_path)])
    servicer = SequenceFileServicer(Library(files))
    request = pb.GetShotsRequest(project_path=str(tmp_path), sequence_id="1")
    assert await servicer.GetShots(request) == await servicer.GetShots(request)
    write(tmp_path, 1, shots=3)
    assert len((await servicer.GetShots(request)).shots) == 3
    files.close()
