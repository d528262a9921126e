"""U2 and U9 with real processes: kill -9 loses no acknowledged edit, and a repeated request is made once."""

import json
import random
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from services.sequence_file.domain.ports import Request
from tests.storage import projects, workers
from tests.storage.conftest import Start
from tests.storage.projects import SEQUENCE


@pytest.mark.parametrize("kills", [12, pytest.param(200, marks=pytest.mark.long)])
async def test_a_killed_writer_loses_no_acknowledged_edit_and_leaves_whole_files(
    project: Path, start: Start, processes: ForkServerContext, kills: int
) -> None:
    chance = random.Random(kills)
    server = start()
    begun: list[Request] = []
    for number in range(kills):
        ours, theirs = processes.Pipe(duplex=False)
        writer = processes.Process(target=workers.edit_until_killed, args=(theirs, str(project), f"life{number}"))
        writer.start()
        theirs.close()
        begun.clear()
        told = 0
        assert ours.poll(30)
        for _ in range(chance.randrange(1, 20)):
            what, once = ours.recv()
            told += what == "told"
            if what == "begun":
                begun.append(once)
        if ours.poll(chance.random() * 0.003):  # somewhere in the middle of what comes next
            pass
        writer.kill()
        writer.join()
        while True:
            try:
                what, once = ours.recv()
            except EOFError:
                break
            told += what == "told"
            if what == "begun":
                begun.append(once)
        ours.close()
        json.loads((project / SEQUENCE).read_bytes())
        made = projects.times_made(project, "s1", f"life{number}")
        assert told <= made <= len(begun)
        for once in begun:
            await server.count("s1", f"life{number}", once)
        assert projects.times_made(project, "s1", f"life{number}") == len(begun)
        await server.count("s2", "next")
        await server.idle()
        assert not projects.litter(project)


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "rename"])
@pytest.mark.parametrize("warm", [True, False], ids=["later write", "first write"])
async def test_a_request_cut_off_behind_any_operation_is_made_once(
    tmp_path: Path,
    processes: ForkServerContext,
    exchange: bool,
    warm: bool,
) -> None:
    operations, outcome = 0, None
    already_there = 0
    while outcome is None:
        operations += 1
        project = projects.make(tmp_path / str(operations) / "project")
        once = projects.request()
        server = projects.Server(project)
        if warm:
            await server.count("s2", "warm", projects.request())
            await server.idle()
        outcome = workers.run(processes, workers.update_and_die, str(project), once, operations, exchange)
        json.loads((project / SEQUENCE).read_bytes())
        already_there += projects.times_made(project, "s1", "edit")
        answer = await server.count("s1", "edit", once)
        assert projects.times_made(project, "s1", "edit") == 1
        # Somebody else's edit, with no request id, must not make the first one look as if it had not happened.
        await server.count("s1", "other")
        second = projects.Server(project)
        assert await second.count("s1", "edit", once) == answer
        await second.idle()
        assert projects.shot_on_disk(project, "s1")["made"] == {"edit": 1, "other": 1}
        assert not projects.litter(project)
        second.close()
        server.close()
    assert outcome == "OK"
    print("kills:", operations - 1)
    assert 1 < already_there < operations  # some came before the swap, some behind it


async def test_an_edit_without_a_request_id_keeps_the_evidence_of_one_that_was_cut_off(
    tmp_path: Path, processes: ForkServerContext
) -> None:
    """Killed behind the swap, before it was marked; then the same shot is edited by somebody without a request id."""
    for operations in range(1, 40):
        project = projects.make(tmp_path / str(operations) / "project")
        once = projects.request()
        if workers.run(processes, workers.update_and_die, str(project), once, operations, True):
            return
        there = projects.times_made(project, "s1", "edit")
        server = projects.Server(project)
        await server.count("s1", "other")
        assert projects.times_made(project, "s1", "edit") == there
        await server.count("s1", "edit", once)
        assert projects.times_made(project, "s1", "edit") == 1
        server.close()
    raise AssertionError("the update never came to its end")
