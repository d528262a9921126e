"""U6: an edit by another program is never silently overwritten.

Another program replaces, rewrites, empties and writes, or deletes the file before each operation of our change, and
our process may be killed behind that: both edits are there in the end, or the caller was refused and told both.
"""

import json
from collections.abc import Callable
from itertools import count
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from services.kernel.faults import Fault
from services.sequence_file.domain.draft import Shot
from services.sequence_file.storage import swap
from tests.storage import projects, workers
from tests.storage.desk import SEQUENCE, Desk, shots_on_disk
from tests.storage.interrupted import InterruptedDisk
from tests.storage.power import Killed
from tests.storage.projects import NoExchange, Server, UnsyncedDisk

Write = Callable[[Path, bytes], None]


def replace(path: Path, raw: bytes) -> None:
    """As careful editors do."""
    beside = path.with_name("by-hand.tmp")
    beside.write_bytes(raw)
    beside.rename(path)


def rewrite(path: Path, raw: bytes) -> None:
    """In place, without emptying the file first."""
    with path.open("r+b") as file:
        file.write(raw)
        file.truncate()


def empty_and_write(path: Path, raw: bytes) -> None:
    """As Node's writeFile does."""
    path.write_bytes(raw)


WRITES: tuple[Write, ...] = (replace, rewrite, empty_and_write)
# What the other program changes; ours is always s1's `note`.
PLACES = {"another shot": ("s2", "note"), "another member": ("s1", "mood"), "the same member": ("s1", "note")}


class Rival:
    """Another program, and what it wrote."""

    def __init__(self, project: Path, place: str, write: Write) -> None:
        self.path = project / SEQUENCE
        self.wrote = b""
        self.shot, self.member = PLACES[place]
        self._project = project
        self._write = write

    def edit(self) -> None:
        document = json.loads(self.path.read_bytes())
        shot = next(each for each in document["shots"] if each["id"] == self.shot)
        shot[self.member] = "theirs"
        self.wrote = json.dumps(document, indent=2).encode()
        self._write(self.path, self.wrote)

    @property
    def is_there(self) -> bool:
        return bool(shots_on_disk(self._project)[self.shot].get(self.member) == "theirs")


def our_edit(desk: Desk, etag: str | None, once: Any = None) -> Shot | Fault:
    """Our edit, or why it was refused."""
    try:
        return desk.update("s1", {"note": "ours"}, once, etag=etag)
    except Fault as fault:
        return fault


def check_what_is_kept(project: Path, rival: Rival, where: object) -> None:
    """What the other program wrote is what the file holds, or a version; and every version can be read."""
    fresh = Desk(project, UnsyncedDisk())
    fresh.notice()
    fresh.flush()
    versions = fresh.contents()
    assert rival.wrote in {each.raw for each in versions.values()}, where
    assert rival.path.read_bytes() in {each.raw for each in versions.values()}, where
    fresh.update("s3", {"next": 1})
    assert not projects.litter(project), where
    changes = fresh.log.changes(fresh.log.oldest - 1, 1000)
    assert [each.revision for each in changes] == list(range(1, len(changes) + 1)), where


def check_answer(
    project: Path, rival: Rival, place: str, answer: Shot | Fault, etag: str | None, where: object
) -> None:
    """Neither edit is lost without a word."""
    ours = shots_on_disk(project)["s1"]["note"] == "ours"
    if isinstance(answer, Fault):
        assert answer.reason in (("EDIT_CONFLICT", "ETAG_MISMATCH") if etag else ("EDIT_CONFLICT",)), (answer, where)
        assert place != "another shot", where
        assert rival.is_there, where
        assert not ours, where
        if answer.reason == "EDIT_CONFLICT":
            assert place == "the same member", where
            assert answer.metadata["refused_json"] == '"ours"', where
            assert answer.current, where
            assert answer.current.document_json == '"theirs"', where
    elif place != "the same member":
        assert ours, where
        assert rival.is_there, where
    elif etag:
        assert rival.is_there, where  # it came behind our edit
    else:
        assert ours != rival.is_there, where


def started(folder: Path, *, warm: bool) -> tuple[Path, str]:
    """A project, and the etag of its first shot."""
    project = projects.make(folder / "project")
    desk = Desk(project, UnsyncedDisk())
    if warm:
        desk.update("s3", {"warm": 1})
    shot = desk.change(lambda draft: projects.Outcome(shots=(draft.shot("s1"),))).shots[0]
    return project, shot.etag


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("with_etag", [True, False], ids=["etag", "no etag"])
def test_whenever_another_program_writes_both_edits_are_there_or_ours_is_refused(
    fast_folder: Path, place: str, write: Write, with_etag: bool
) -> None:
    told: set[str] = set()
    for number in count(1):
        project, seen = started(fast_folder / str(number), warm=number % 2 == 0)
        etag = seen if with_etag else None
        rival = Rival(project, place, write)
        disk = InterruptedDisk(number, rival.edit)
        answer = our_edit(Desk(project, disk), etag, projects.request() if number % 4 < 2 else None)
        if not disk.interrupted:
            break
        where = (number, disk.calls[number - 1], answer)
        check_answer(project, rival, place, answer, etag, where)
        check_what_is_kept(project, rival, where)
        told.add(answer.reason if isinstance(answer, Fault) else "OK")
    assert number > 40
    if with_etag and place == "the same member":
        assert told == {"OK", "ETAG_MISMATCH", "EDIT_CONFLICT"}


@pytest.mark.parametrize("once", [True, False], ids=["request id", "no request id"])
def test_a_file_that_another_program_deletes_at_any_time_stays_deleted(fast_folder: Path, once: bool) -> None:
    for number in count(1):
        project, _ = started(fast_folder / str(number), warm=True)
        disk = InterruptedDisk(number, (project / SEQUENCE).unlink)
        answer = our_edit(Desk(project, disk), None, projects.request() if once else None)
        if not disk.interrupted:
            break
        where = (number, disk.calls[number - 1], answer)
        assert not (project / SEQUENCE).exists(), where
        if isinstance(answer, Fault):
            assert answer.reason == "SEQUENCE_NOT_FOUND", where
        fresh = Desk(project, UnsyncedDisk())
        fresh.notice()
        assert fresh.trash() == {"001": fresh.log.head}, where
        assert not projects.litter(project), where
    assert number > 30


def killed_behind(folder: Path, place: str, write: Write, step: int, once: bool, heir: str) -> int:
    """Another program writes before each operation of ours, and we are killed at each one behind that."""
    pairs = 0
    for number in count(1):
        reached = False
        for kill_at in count(number, step):
            project, etag = started(folder / f"{number}-{kill_at}", warm=(number + kill_at) % 2 == 0)
            rival = Rival(project, place, write)
            disk = InterruptedDisk(number, rival.edit, kill_at)
            request = projects.request() if once else None
            answer: Shot | Fault | None = None
            try:
                answer = our_edit(Desk(project, disk), etag, request)
            except Killed:
                pass
            if not rival.wrote:
                return pairs
            reached = True
            where = (number, kill_at, disk.calls[number - 1], disk.calls[-1], answer)
            fresh = Desk(project, UnsyncedDisk())
            if heir == "notices":
                fresh.notice()
            elif heir == "edits":
                fresh.update("s3", {"next": 1})
            else:
                again = our_edit(fresh, etag, request)
                check_answer(project, rival, place, again, etag, where)
            assert rival.is_there, where
            if answer is not None:
                check_answer(project, rival, place, answer, etag, where)
            check_what_is_kept(project, rival, where)
            pairs += 1
            if not disk.killed:
                break
        if not reached:
            return pairs
    return pairs


@pytest.mark.parametrize("heir", ["notices", "edits", "sends it again"])
def test_an_edit_that_was_displaced_when_we_were_killed_comes_back(fast_folder: Path, heir: str) -> None:
    place = "the same member" if heir == "edits" else "another shot"
    assert killed_behind(fast_folder, place, replace, 13, heir != "edits", heir) > 60


@pytest.mark.long
@pytest.mark.parametrize("heir", ["notices", "edits", "sends it again"])
@pytest.mark.parametrize("once", [True, False], ids=["request id", "no request id"])
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("place", PLACES)
def test_an_edit_that_was_displaced_when_we_were_killed_comes_back_in_every_way(
    fast_folder: Path, place: str, write: Write, once: bool, heir: str
) -> None:
    if heir == "sends it again" and not once:
        heir = "edits and notices"
    assert killed_behind(fast_folder, place, write, 3, once, heir) > 250


@pytest.mark.parametrize("replaces", [True, False], ids=["replaces", "empties and writes"])
@pytest.mark.parametrize("edits", [200, pytest.param(2000, marks=pytest.mark.long)])
async def test_a_program_that_edits_all_the_time_loses_nothing(
    fast_folder: Path, processes: ForkServerContext, replaces: bool, edits: int
) -> None:
    """Its own edits may come over ours, since it looks at nothing; ours never come over its."""
    project = projects.make(fast_folder / "project")
    server = Server(project, UnsyncedDisk())
    ours, theirs = processes.Pipe(duplex=False)
    editor = processes.Process(target=workers.edit_by_hand, args=(theirs, str(project), edits, replaces))
    editor.start()
    made = 0
    while not ours.poll():
        try:
            await server.update("s1", {"note": f"ours {made}"})
            made += 1
        except Fault as fault:
            assert fault.reason in ("FILE_BUSY", "EDIT_CONFLICT"), fault  # noqa: PT017  # others would be bugs
    assert ours.recv() == edits
    editor.join()
    ours.close()
    theirs.close()
    server.close()
    assert made > 10
    assert list(projects.shot_on_disk(project, "s2")["by_hand"]) == [str(number) for number in range(edits)]


class RenamesOver(NoExchange, InterruptedDisk):
    """Naive: what was displaced is gone."""


def lost(folder: Path, make_disk: Callable[..., InterruptedDisk]) -> int:
    """How often another program's edit of another shot vanishes."""
    vanished = 0
    for number in count(1):
        project, _ = started(folder / str(number), warm=True)
        rival = Rival(project, "another shot", replace)
        disk = make_disk(number, rival.edit)
        our_edit(Desk(project, disk), None)
        if not disk.interrupted:
            return vanished
        vanished += not rival.is_there
    return vanished


def test_without_a_look_at_what_was_displaced_edits_vanish(fast_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lost(fast_folder / "compared", InterruptedDisk) == 0
    assert lost(fast_folder / "renamed over", RenamesOver) > 0
    monkeypatch.setattr(swap, "content", lambda *_: ANY)
    assert lost(fast_folder / "not compared", InterruptedDisk) > 0
