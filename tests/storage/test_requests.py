"""U9: the same request id twice is one edit and one answer."""

import asyncio
import json
import random
import time
import uuid
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb

from services.kernel.faults import Code, Fault
from services.sequence_file.servicer import SequenceFileServicer
from services.sequence_file.storage import files
from services.sequence_file.storage import log as journal
from tests.storage import projects, workers
from tests.storage.conftest import Start
from tests.storage.projects import Server

JOURNAL = ".shotline/changes.jsonl"


async def test_every_edit_sent_twice_at_random_to_two_servers_is_made_once(project: Path, start: Start) -> None:
    chance = random.Random(9)
    servers = [start(), start()]
    once = {f"edit{number}": projects.request() for number in range(60)}
    sent = [*once, *once]
    chance.shuffle(sent)
    answers: dict[str, set[object]] = {mark: set() for mark in once}

    async def client() -> None:
        while sent:
            mark = sent.pop()
            answers[mark].add(await chance.choice(servers).count("s1", mark, once[mark]))

    await asyncio.gather(*(client() for _ in range(8)))
    assert projects.shot_on_disk(project, "s1")["made"] == dict.fromkeys(once, 1)
    assert [len(given) for given in answers.values()] == [1] * 60


async def test_without_a_request_id_an_edit_sent_twice_is_made_twice(project: Path, server: Server) -> None:
    """Naive: no journal."""
    await asyncio.gather(server.count("s1", "edit"), server.count("s1", "edit"))
    assert projects.times_made(project, "s1", "edit") == 2


async def test_one_request_many_times_at_once_is_one_edit_and_one_answer(project: Path, start: Start) -> None:
    servers, once = [start(), start()], projects.request()
    answers = await asyncio.gather(*(servers[number % 2].count("s1", "edit", once) for number in range(40)))
    assert len(set(answers)) == 1
    assert projects.times_made(project, "s1", "edit") == 1


def test_one_request_from_four_processes_at_once_is_one_edit(project: Path, processes: ForkServerContext) -> None:
    start, once = processes.Barrier(4), projects.request()
    pipes = [processes.Pipe(duplex=False) for _ in range(4)]
    senders = [
        processes.Process(target=workers.send_at_the_same_time, args=(theirs, str(project), once, start))
        for _, theirs in pipes
    ]
    for each in senders:
        each.start()
    answers = {ours.recv() for ours, _ in pipes}
    for each in senders:
        each.join()
    for ours, theirs in pipes:
        ours.close()
        theirs.close()
    assert len(answers) == 1
    assert projects.times_made(project, "s1", "edit") == 1


async def test_the_answer_stays_the_same_after_later_edits_and_a_restart(project: Path, start: Start) -> None:
    server, once = start(), projects.request()
    first = await server.count("s1", "edit", once)
    await server.update("s1", {"note": "later"})
    assert await server.count("s1", "edit", once) == first
    assert await start().count("s1", "edit", once) == first
    assert projects.shot_on_disk(project, "s1")["note"] == "later"


async def test_a_request_that_changed_nothing_is_answered_again_the_same_way(project: Path, start: Start) -> None:
    server, once = start(), projects.request()
    first = await server.update("s1", {"note": ""}, once=once)
    await server.update("s1", {"note": "later"})
    assert await start().update("s1", {"note": ""}, once=once) == first
    assert projects.shot_on_disk(project, "s1")["note"] == "later"


@pytest.mark.parametrize("other", ["updates_json", "shot_id", "mode", "etag", "method"])
async def test_a_request_id_with_another_body_is_refused(project: Path, start: Start, other: str) -> None:
    (project / "project.json").write_text('{"shots": [{"id": "loose"}]}')
    request = pb.UpdateShotRequest(
        project_path=str(project),
        sequence_id="001",
        shot_id="s1",
        updates_json='{"n": 1}',
        request_id=str(uuid.uuid4()),
    )
    servicer, restarted = (SequenceFileServicer(start().library) for _ in range(2))
    answer = await servicer.UpdateShot(request)
    assert await restarted.UpdateShot(request) == answer
    before = (project / projects.SEQUENCE).read_bytes()
    changed = pb.UpdateShotRequest()
    changed.CopyFrom(request)
    if other == "mode":
        changed.mode = pb.UPDATE_MODE_REPLACE_TOP_LEVEL
    elif other != "method":
        setattr(changed, other, {"updates_json": '{"n": 2}', "shot_id": "s2", "etag": answer.etag}[other])
    for each in (servicer, restarted):
        with pytest.raises(Fault) as caught:
            if other == "method":
                await each.UpdateProjectShot(
                    pb.UpdateProjectShotRequest(
                        project_path=str(project),
                        shot_id="loose",
                        updates_json='{"n": 1}',
                        request_id=request.request_id.upper(),
                    )
                )
            else:
                await each.UpdateShot(changed)
        assert (caught.value.code, caught.value.reason) == (Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert (project / projects.SEQUENCE).read_bytes() == before


@pytest.mark.parametrize("torn", [b'{"batch": "0123', b'{"done": ', b"17", b"\0\0\0\0", b'"text"', b"\xff\xfe", b"{"])
async def test_a_torn_end_of_the_journal_is_survived(project: Path, start: Start, torn: bytes) -> None:
    first, once = start(), projects.request()
    answer = await first.count("s1", "edit", once)
    await first.idle()
    with (project / JOURNAL).open("ab") as file:
        file.write(torn)
    second, later = start(), projects.request()
    for server in (second, first):
        assert await server.count("s1", "edit", once) == answer
        await server.count("s1", "later", later)
    assert await start().count("s1", "edit", once) == answer
    assert projects.shot_on_disk(project, "s1")["made"] == {"edit": 1, "later": 1}


async def test_a_journal_that_was_emptied_or_removed_does_not_stop_anything(project: Path, start: Start) -> None:
    server = start()
    for number, remove in enumerate((Path.unlink, lambda path: path.write_bytes(b""))):
        await server.count("s1", f"before{number}", projects.request())
        await server.idle()
        remove(project / JOURNAL)
        once = projects.request()
        answer = await server.count("s1", f"edit{number}", once)
        assert await start().count("s1", f"edit{number}", once) == answer
        assert projects.times_made(project, "s1", f"edit{number}") == 1


async def test_the_rewrite_of_an_old_journal_loses_no_live_request(
    project: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_REWRITE_BYTES", 2000)
    monkeypatch.setattr(journal, "_REWRITE_PAUSE", 0.0)
    later = 0.0
    monkeypatch.setattr(files, "Log", partial(journal.Log, clock=lambda: time.time() + later))
    writer, watcher = start(), start()
    old = [projects.request() for _ in range(20)]
    for number, once in enumerate(old):
        await writer.count("s1", f"old{number}", once)
    later = journal.RETENTION - 60
    live = [projects.request() for _ in range(5)]
    answers = [await writer.count("s2", f"live{number}", once) for number, once in enumerate(live)]
    await watcher.count("s2", "live0", live[0])  # has read the journal as it is now
    before = (project / JOURNAL).stat()
    later = journal.RETENTION + 60
    await writer.count("s3", "next", projects.request())
    await writer.idle()
    after = (project / JOURNAL).stat()
    assert after.st_size < before.st_size
    assert after.st_ino != before.st_ino
    for server in (writer, watcher, start()):
        assert [await server.count("s2", f"live{number}", once) for number, once in enumerate(live)] == answers
    assert projects.shot_on_disk(project, "s2")["made"] == {f"live{number}": 1 for number in range(5)}
    assert sum("done" in json.loads(line) for line in (project / JOURNAL).read_text().splitlines()) >= 6
    # Nobody can ask for the old ones any more: what is sent under such an id is a new edit.
    await writer.count("s1", "old0", old[0])
    assert projects.times_made(project, "s1", "old0") == 2
    assert not list((project / ".shotline").glob("*.new"))


async def test_a_rewrite_that_fails_costs_nobody_an_edit(
    project: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoRewrite(projects.UnsyncedDisk):
        def rename(self, folder: int, old: str, new: str) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "_REWRITE_BYTES", 0)
    monkeypatch.setattr(journal, "_REWRITE_PAUSE", 0.0)
    monkeypatch.setattr(journal, "RETENTION", 0)
    server = start(NoRewrite())
    for number in range(3):
        await server.count("s1", f"edit{number}", projects.request())
    await server.idle()
    assert projects.shot_on_disk(project, "s1")["made"] == {"edit0": 1, "edit1": 1, "edit2": 1}
    assert not list((project / ".shotline").glob(".*.new"))
