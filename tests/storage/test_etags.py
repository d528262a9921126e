"""U5: a stale etag is refused with what is there now; equal content is no conflict."""

import asyncio
import json
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb

from services.kernel.faults import Code, Fault
from services.sequence_file.servicer import SequenceFileServicer
from tests.storage import projects, workers
from tests.storage.conftest import Start
from tests.storage.projects import SEQUENCE, Server


async def test_of_two_writers_who_saw_the_same_shot_exactly_one_is_refused_with_what_is_there(
    project: Path, start: Start
) -> None:
    servers = [start(), start()]
    for round_number in range(20):
        seen = (await servers[0].shot("s1")).etag
        outcomes = await asyncio.gather(
            *(each.update("s1", {"n": [round_number, number]}, etag=seen) for number, each in enumerate(servers)),
            return_exceptions=True,
        )
        (refused,) = [each for each in outcomes if isinstance(each, Fault)]
        (made,) = [each for each in outcomes if not isinstance(each, BaseException)]
        assert (refused.code, refused.reason) == (Code.ABORTED, "ETAG_MISMATCH")
        assert refused.current is not None
        assert refused.current.etag == made.etag
        assert refused.current.document_json == made.document.decode()
        assert await servers[1].shot("s1") == made


def test_of_two_processes_who_saw_the_same_shot_exactly_one_is_refused(
    project: Path, processes: ForkServerContext
) -> None:
    server = Server(project)
    seen = asyncio.run(server.shot("s1")).etag
    start = processes.Barrier(2)
    pipes = [processes.Pipe(duplex=False) for _ in range(2)]
    writers = [
        processes.Process(target=workers.update_with_etag, args=(theirs, str(project), number, seen, start))
        for number, (_, theirs) in enumerate(pipes)
    ]
    for each in writers:
        each.start()
    told = sorted(ours.recv() for ours, _ in pipes)
    for each in writers:
        each.join()
    for ours, theirs in pipes:
        ours.close()
        theirs.close()
    now = asyncio.run(server.shot("s1")).etag
    assert told == [("ETAG_MISMATCH", now), ("OK", now)]
    server.close()


async def test_without_looking_at_the_etag_the_first_edit_is_overwritten(project: Path, server: Server) -> None:
    """Naive: the incumbent's spread, which takes whatever comes last."""
    await asyncio.gather(server.update("s1", {"n": 0}), server.update("s1", {"n": 1}))
    assert projects.shot_on_disk(project, "s1")["n"] in (0, 1)  # both callers were told that theirs was made


async def test_different_shots_of_one_file_are_no_conflict(project: Path, start: Start) -> None:
    servers = [start(), start()]
    for number in range(10):
        seen = [(await servers[0].shot(shot)).etag for shot in ("s1", "s2")]
        await asyncio.gather(
            *(
                each.update(shot, {"n": number}, etag=etag)
                for each, shot, etag in zip(servers, ("s1", "s2"), seen, strict=True)
            )
        )
    assert [projects.shot_on_disk(project, shot)["n"] for shot in ("s1", "s2")] == [9, 9]


async def test_a_reformatted_file_is_no_conflict(project: Path, server: Server) -> None:
    seen = (await server.shot("s1")).etag
    (project / SEQUENCE).write_text(json.dumps(json.loads((project / SEQUENCE).read_bytes()), indent="\t"))
    assert (await server.shot("s1")).etag == seen
    await server.update("s1", {"n": 1}, etag=seen)
    assert projects.shot_on_disk(project, "s1")["n"] == 1


async def test_a_change_that_somebody_made_already_is_no_conflict(project: Path, start: Start) -> None:
    one, other = start(), start()
    seen = (await one.shot("s1")).etag
    made = await one.update("s1", {"n": 1}, etag=seen)
    written = (project / SEQUENCE).stat()
    assert await other.update("s1", {"n": 1}, etag=seen) == made
    assert (project / SEQUENCE).stat().st_ino == written.st_ino


async def test_an_edit_of_another_program_makes_the_etag_stale(project: Path, server: Server) -> None:
    seen = (await server.shot("s1")).etag
    raw = (project / SEQUENCE).read_bytes()
    (project / SEQUENCE).write_bytes(raw.replace(b'"note": ""', b'"note": "theirs"', 1))
    with pytest.raises(Fault) as caught:
        await server.update("s1", {"note": "ours"}, etag=seen)
    assert caught.value.current is not None
    assert json.loads(caught.value.current.document_json or "")["note"] == "theirs"
    assert projects.shot_on_disk(project, "s1")["note"] == "theirs"


@pytest.mark.parametrize("etag", ["x", "0" * 31, "G" * 32, "0" * 33, "0" * 32 + "\n"])
async def test_a_malformed_etag_is_refused_before_anything_is_read(server: Server, etag: str) -> None:
    request = pb.UpdateShotRequest(
        project_path=server.path, sequence_id="001", shot_id="s1", updates_json='{"n": 1}', etag=etag
    )
    with pytest.raises(Fault) as caught:
        await SequenceFileServicer(server.library).UpdateShot(request)
    assert (caught.value.code, list(caught.value.fields)) == (Code.INVALID_ARGUMENT, ["etag"])
