"""U4: no update is lost between clients. And the lock: waiting ends, and nobody starves."""

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from services.kernel.faults import Code, Fault
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.ports import Outcome, Target
from services.sequence_file.storage.disk import Disk
from tests.storage import projects, workers
from tests.storage.conftest import Start
from tests.storage.projects import SEQUENCE, Server
from tests.storage.workers import Work


def all_at_once(processes: ForkServerContext, project: Path, work: Work, edits: int) -> tuple[int, list[float]]:
    """Four processes edit one shot: edits that are there in the end, and the seconds that each process took."""
    start = processes.Barrier(4)
    pipes = [processes.Pipe(duplex=False) for _ in range(4)]
    writers = [
        processes.Process(target=work, args=(theirs, str(project), f"writer{number}", edits, start))
        for number, (_, theirs) in enumerate(pipes)
    ]
    for writer in writers:
        writer.start()
    took = [ours.recv() for ours, _ in pipes]
    for writer in writers:
        writer.join()
    for ours, theirs in pipes:
        ours.close()
        theirs.close()
    return sum(projects.shot_on_disk(project, "s1").get("made", {}).values()), took


def test_four_processes_make_1200_edits_and_none_is_lost(
    project: Path,
    processes: ForkServerContext,
) -> None:
    made, took = all_at_once(processes, project, workers.make_edits, 300)
    print("edits a second:", round(made / max(took)))
    print("slowest to fastest:", round(max(took) / min(took), 2))
    assert made == 1200
    assert max(took) < 30
    assert max(took) < 3 * min(took), took


@pytest.mark.parametrize("work", [workers.make_edits_with_a_lock_on_the_data_file, workers.make_edits_without_a_lock])
def test_naive_writers_lose_edits(project: Path, processes: ForkServerContext, work: Work) -> None:
    made, _ = all_at_once(processes, project, work, 300)
    assert made < 1200


async def test_threads_of_one_process_share_writes_and_lose_nothing(project: Path, server: Server) -> None:
    await asyncio.gather(*(server.count("s1", "edit", projects.request()) for _ in range(200)))
    assert projects.times_made(project, "s1", "edit") == 200


async def test_a_lock_held_past_the_deadline_is_a_lock_timeout_and_later_it_works(
    project: Path, server: Server, processes: ForkServerContext
) -> None:
    release = processes.Event()
    ours, theirs = processes.Pipe(duplex=False)
    holder = processes.Process(target=workers.hold_the_lock, args=(theirs, str(project), release))
    holder.start()
    assert ours.recv() == "held"
    once = projects.request()
    began = time.monotonic()
    with pytest.raises(Fault) as caught:
        await server.count("s1", "edit", once, seconds=0.2)
    assert 0.15 < time.monotonic() - began < 1.5
    assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "LOCK_TIMEOUT")
    assert caught.value.retry_after
    assert projects.times_made(project, "s1", "edit") == 0
    assert (await server.shot("s1")).id == "s1"  # readers need no lock
    waiting = asyncio.ensure_future(server.count("s1", "edit", once, seconds=20))
    await asyncio.sleep(0.05)
    release.set()
    await waiting
    assert projects.times_made(project, "s1", "edit") == 1
    holder.join()
    ours.close()
    theirs.close()


async def test_the_lock_of_a_killed_holder_is_free(project: Path, server: Server, processes: ForkServerContext) -> None:
    ours, theirs = processes.Pipe(duplex=False)
    never = processes.Event()
    holder = processes.Process(target=workers.hold_the_lock, args=(theirs, str(project), never))
    holder.start()
    assert ours.recv() == "held"
    holder.kill()
    holder.join()
    await server.count("s1", "edit", seconds=5)
    ours.close()
    theirs.close()


async def test_the_state_folder_may_be_deleted_between_two_edits(project: Path, server: Server) -> None:
    for _ in range(5):
        once = projects.request()
        first = await server.count("s1", "edit", once)
        assert await server.count("s1", "edit", once) == first
        await server.idle()
        shutil.rmtree(project / ".shotline")
    assert projects.times_made(project, "s1", "edit") == 5


async def test_requests_are_known_in_the_state_folder_that_follows_a_deleted_one(project: Path, start: Start) -> None:
    """The new journal often has the inode number of the old one, and may be longer: only its content tells."""
    one, other = start(), start()
    made = 0
    for edits in range(1, 8):
        requests = [projects.request() for _ in range(edits)]
        answers = [await one.count("s1", "edit", once) for once in requests]
        assert [await other.count("s1", "edit", once) for once in requests] == answers
        made += edits
        await one.idle()
        await other.idle()
        shutil.rmtree(project / ".shotline")
    assert projects.times_made(project, "s1", "edit") == made


class Interrupted(Disk):
    """Lets something happen before its n-th operation on the file that is being written."""

    def __init__(self, number: int, interrupt: Callable[[], None]) -> None:
        super().__init__()
        self.reached = False
        self._left = number
        self._interrupt = interrupt

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.reached = True
            self._interrupt()

    def open_to_append(self, folder: int, name: str) -> int:
        self._step()
        return super().open_to_append(folder, name)

    def create(self, folder: int, name: str, mode: int | None) -> int:
        self._step()
        return super().create(folder, name, mode)

    def write(self, descriptor: int, data: bytes) -> None:
        self._step()
        super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._step()
        super().sync(descriptor)

    def sync_folder(self, folder: int) -> None:
        self._step()
        super().sync_folder(folder)

    def remove(self, folder: int, name: str) -> None:
        self._step()
        super().remove(folder, name)


async def test_no_edit_is_lost_when_the_state_folder_is_deleted_in_the_middle_of_a_write(
    tmp_path: Path,
) -> None:
    """It takes the lock with it: before each operation of one server's write another one makes a whole edit."""
    reached, number = True, 0
    while reached:
        number += 1
        project = projects.make(tmp_path / str(number) / "project")
        other = Server(project)

        def interrupt(project: Path = project, other: Server = other) -> None:
            shutil.rmtree(project / ".shotline")
            asyncio.run(other.update("s1", {"other": 1}, once=projects.request()))

        disk = Interrupted(number, interrupt)
        server = Server(project, disk)
        await other.update("s2", {"warm": 1}, once=projects.request())
        await other.idle()
        once = projects.request()
        try:
            await server.update("s1", {"ours": 1}, once=once)
        except Fault as fault:
            assert fault.code is Code.UNAVAILABLE, fault  # noqa: PT017  # others would be bugs
            assert "ours" not in projects.shot_on_disk(project, "s1")
            await server.update("s1", {"ours": 1}, once=once)
        await server.idle()
        await other.idle()
        found = projects.shot_on_disk(project, "s1")
        assert found.get("ours") == 1, number
        assert ("other" in found) == disk.reached, number
        assert not projects.litter(project)
        reached = disk.reached
        server.close()
        other.close()
    assert number > 10


async def test_who_lost_the_lock_does_not_swap_over_an_edit_that_was_acknowledged_since(
    project: Path, start: Start
) -> None:
    """Even for the moment until it is taken back, a swap would show the next holder a file without that edit."""
    other = start()

    class LosesItsLock(Disk):
        def sync(self, descriptor: int) -> None:
            super().sync(descriptor)
            if not projects.shot_on_disk(project, "s1").get("acknowledged"):
                shutil.rmtree(project / ".shotline")
                asyncio.run(other.update("s1", {"acknowledged": 1}))

        def exchange(self, folder: int, one: str, name: str) -> None:
            super().exchange(folder, one, name)
            try:
                asyncio.run(other.update("s1", {"next": 1}, seconds=0.1))
            except Fault as fault:
                assert fault.reason == "LOCK_TIMEOUT", fault  # noqa: PT017  # as it should be, with the lock held

    server = start(LosesItsLock())
    with pytest.raises(Fault) as caught:
        await server.update("s1", {"ours": 1})
    assert (caught.value.code, caught.value.reason) == (Code.UNAVAILABLE, "FILE_BUSY")
    await server.update("s1", {"ours": 1})
    found = projects.shot_on_disk(project, "s1")
    assert (found.get("acknowledged"), found.get("ours")) == (1, 1)


class Gate:
    """An edit that waits in the middle of its write until it is let through."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def apply(self, draft: Draft) -> Outcome:
        self.entered.set()
        assert self.open.wait(10)
        return Outcome(shots=(projects.made_once_more(draft, "s1", "slow"),))


async def test_a_caller_who_left_before_its_turn_is_left_out_and_one_whose_write_has_begun_is_finished(
    project: Path, server: Server
) -> None:
    gate = Gate()
    begun = asyncio.ensure_future(
        server.files.change(
            server.path,
            Target(name="sequence '001'", choose=lambda _: SEQUENCE),
            gate.apply,
            projects.caller(),
        )
    )
    assert await asyncio.to_thread(gate.entered.wait, 10)
    leaves = asyncio.ensure_future(server.count("s1", "left"))
    stays = asyncio.ensure_future(server.count("s1", "stayed"))
    await asyncio.sleep(0.05)
    begun.cancel()
    leaves.cancel()
    gate.open.set()
    await stays
    assert projects.shot_on_disk(project, "s1")["made"] == {"slow": 1, "stayed": 1}
    json.loads((project / SEQUENCE).read_bytes())
