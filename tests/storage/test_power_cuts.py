"""U2: OK means durable.

Every state that a power cut may leave is made and opened by a fresh server: no torn file, no
acknowledged edit lost, and an edit that is sent again under its request id is made once.
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.sequence_file.domain.draft import Shot
from services.sequence_file.domain.ports import Outcome, Request
from tests.storage import power, projects
from tests.storage.desk import Desk
from tests.storage.power import Killed, RecordingDisk, Tree
from tests.storage.projects import NoExchange, UnsyncedDisk

MakeDisk = Callable[..., RecordingDisk]

HEIRS = ("sends it again", "finds it there", "makes another", "makes another, sends again")


@dataclass(frozen=True)
class Counted:
    """An edit that counts itself, with a request id or without."""

    mark: str
    once: Request | None


class WithoutExchange(NoExchange, RecordingDisk):
    """A file system that cannot exchange two names."""


class NeverSyncsFiles(RecordingDisk):
    """Naive: rename without fsync."""

    def sync(self, descriptor: int) -> None: ...


class NeverSyncsFolders(RecordingDisk):
    """Naive: no fsync of the folder."""

    def sync_folder(self, folder: int) -> None: ...


def edits(pattern: str) -> list[Counted]:
    """`r` is an edit with a request id, `n` one without."""
    return [
        Counted(f"{kind}{number}", projects.request() if kind == "r" else None) for number, kind in enumerate(pattern)
    ]


def make(desk: Desk, edit: Counted) -> Shot:
    """Make an edit; the recording says when its caller is told."""
    return desk.count("s1", edit.mark, edit.once, told=edit.mark)


def look_for_what_is_there(desk: Desk) -> None:
    """Somebody without a request id asks for what the file shows already, and is told OK."""
    desk.change(lambda draft: Outcome(shots=(draft.shot("s1"),)))


@dataclass
class Verdict:
    """What the fresh servers found."""

    states: int = 0
    torn: int = 0
    lost: int = 0
    made_twice: int = 0
    other_answer: int = 0

    @property
    def clean(self) -> bool:
        return not (self.torn or self.lost or self.made_twice or self.other_answer)


def judge(
    found: Iterable[tuple[Tree, frozenset[str]]],
    made: Sequence[Counted],
    answers: dict[str, Shot],
    folder: Path,
) -> Verdict:
    """Open every state with a fresh server, look, and send every edit that has a request id again."""
    verdict = Verdict()
    project = folder / "after" / "project"
    for tree, told in found:
        verdict.states += 1
        power.materialise(tree, project)
        try:
            kept = {edit.mark: projects.times_made(project, "s1", edit.mark) for edit in made}
        except ValueError:
            verdict.torn += 1
        else:
            verdict.lost += any(kept[mark] == 0 for mark in told)
            desk = Desk(project, UnsyncedDisk())
            for edit in made:
                if edit.once:
                    answer = make(desk, edit)
                    verdict.other_answer += edit.mark in told and answer != answers.get(edit.mark, answer)
                    kept[edit.mark] = projects.times_made(project, "s1", edit.mark)
                    verdict.lost += kept[edit.mark] == 0
            verdict.made_twice += any(times > 1 for times in kept.values())
            make(desk, Counted("next", None))
            assert projects.times_made(project, "s1", "next") == 1
            assert not projects.litter(project)
        shutil.rmtree(project)
    return verdict


def cut_everywhere(folder: Path, make_disk: MakeDisk, pattern: str) -> Verdict:
    """Record edits, cut the power behind every operation, and judge what is left."""
    project = projects.make(folder / "project")
    disk = make_disk(project)
    desk = Desk(project, disk)
    made = edits(pattern)
    answers = {edit.mark: make(desk, edit) for edit in made}
    found = power.states(disk, range(len(disk.events) + 1))
    return judge(found.items(), made, answers, folder)


@pytest.mark.parametrize("make_disk", [RecordingDisk, WithoutExchange])
@pytest.mark.parametrize(
    "pattern", ["r", "n", "rr", "rn", *(pytest.param(each, marks=pytest.mark.long) for each in ("rnr", "nrn"))]
)
def test_a_power_cut_at_any_point_loses_no_acknowledged_edit_and_makes_none_twice(
    fast_folder: Path,
    make_disk: MakeDisk,
    pattern: str,
) -> None:
    verdict = cut_everywhere(fast_folder, make_disk, pattern)
    print("power-cut states:", verdict.states)
    assert verdict.states > 10
    assert verdict.clean, verdict


@pytest.mark.parametrize("pattern", ["r", "n"])
def test_an_acknowledged_edit_of_what_another_program_did_not_sync_survives(fast_folder: Path, pattern: str) -> None:
    """What the edit displaced may be torn behind the power cut: it must not pass for another program's newest edit."""
    project = projects.make(fast_folder / "project")
    disk = RecordingDisk(project)
    raw = (project / projects.SEQUENCE).read_bytes().replace(b'"note": ""', b'"note": "theirs"')
    folder = disk.open_folder(str(project), "sequences")
    beside = disk.create(folder, "by-hand.tmp", 0o644)
    disk.write(beside, raw)
    disk.close(beside)
    disk.rename(folder, "by-hand.tmp", "sequence_001.json")
    disk.close(folder)
    desk = Desk(project, disk)
    made = edits(pattern)
    answers = {edit.mark: make(desk, edit) for edit in made}
    found = power.states(disk, range(len(disk.events) + 1))
    verdict = judge([(tree, told) for tree, told in found.items() if told], made, answers, fast_folder)
    assert verdict.states > 10
    assert verdict.clean, verdict


def test_a_rename_without_fsync_leaves_torn_files(fast_folder: Path) -> None:
    assert cut_everywhere(fast_folder, NeverSyncsFiles, "n").torn


def test_without_a_sync_of_the_folder_an_acknowledged_edit_can_vanish(fast_folder: Path) -> None:
    assert cut_everywhere(fast_folder, NeverSyncsFolders, "n").lost


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("make_disk", [RecordingDisk, WithoutExchange])
@pytest.mark.parametrize("heir", HEIRS)
@pytest.mark.parametrize("pattern", ["r", "rr"])
def test_what_is_answered_after_a_kill_survives_the_power_cut_that_follows(
    fast_folder: Path, make_disk: MakeDisk, pattern: str, heir: str, step: int
) -> None:
    """A server is killed behind any of its operations; the next one answers, and then the power goes."""
    kill_at = (HEIRS.index(heir) + len(pattern)) % step  # another part of the operations for each
    states = 0
    finished = False
    while not finished:
        project = projects.make(fast_folder / f"killed-{kill_at}" / "project")
        made = edits(pattern)
        disk = make_disk(project)
        disk.kill_at = kill_at
        answers: dict[str, Shot] = {}
        try:
            first = Desk(project, disk)
            for edit in made:
                answers[edit.mark] = make(first, edit)
            finished = True
        except Killed:
            disk.kill_at = None
        second = Desk(project, make_disk(project, disk))
        if "another" in heir:
            made.append(Counted("another", None))
            answers["another"] = make(second, made[-1])
        if "again" in heir:
            answers |= {edit.mark: make(second, edit) for edit in made if edit.once}
        if heir == "finds it there":
            look_for_what_is_there(second)
        told = {event.told for event in disk.events if event.what == "told"}
        if heir == "finds it there":
            told |= {edit.mark for edit in made if projects.times_made(project, "s1", edit.mark)}
        end = len(disk.events)
        found = {tree: frozenset(told) for tree in power.states(disk, range(end, end + 1))}
        verdict = judge(found.items(), made, answers, project.parent)
        assert verdict.clean, (kill_at, disk.events[kill_at - 1].what, verdict)
        states += verdict.states
        kill_at += step
    print("power-cut states:", states)
    assert states > 15
    assert kill_at > 15
