"""Changes of several files: all of it or nothing, whatever fails and whenever the process or the power goes.

Behind a crash the next one who needs any of the files finishes the change or undoes it.
"""

import errno
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count, cycle, islice
from pathlib import Path

import pytest

from services.kernel.faults import Code, Fault
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.ports import Outcome, Request
from services.sequence_file.domain.steps import Edit
from services.sequence_file.storage import transactions
from services.sequence_file.storage.log import Batch
from tests.storage import plans, power, projects
from tests.storage.desk import Desk, shots_on_disk
from tests.storage.failing import SHORT_WRITE, FailingDisk
from tests.storage.interrupted import InterruptedDisk
from tests.storage.plans import FIRST, MANY, SECOND, Many
from tests.storage.power import Killed, RecordingDisk
from tests.storage.projects import NoExchange, UnsyncedDisk

every_change = pytest.mark.parametrize("many", MANY, ids=lambda many: many.name)


class KilledWithoutExchange(NoExchange, InterruptedDisk):
    """A file system that cannot exchange two names."""


def killed_everywhere(
    folder: Path,
    many: Many,
    who: Iterable[str],
    make_disk: Callable[..., InterruptedDisk] = InterruptedDisk,
    *,
    step: int = 1,
) -> int:
    """Kill the process at each operation, let somebody else come, and send the request again."""
    before, after = plans.states_of(many, folder / "model")
    made = 0
    for kill_at, heir in zip(count(1, step), who, strict=False):
        project = many.prepared(folder / str(kill_at), warm=kill_at % 2 == 0)
        disk, once = make_disk(kill_at=kill_at), projects.request()
        told: Outcome | None = None
        try:
            told = many.make(Desk(project, disk), once)
        except Killed:
            pass
        where = (many.name, kill_at, disk.calls[-1], heir)
        plans.heir(Desk(project, UnsyncedDisk()), heir, many, once)
        found = plans.state(project)
        assert found in (before, after), where
        assert (told is None and heir != "sends it again") or found == after, where
        made += found == after
        plans.check_the_past(project, where)
        fresh = Desk(project, UnsyncedDisk())
        answer = many.make(fresh, once)
        assert told is None or answer == told, where
        assert plans.state(project) == after, where
        assert many.make(Desk(project, UnsyncedDisk()), once) == answer, where
        assert fresh.answered(once) == answer, where
        plans.check_the_past(project, where)
        shutil.rmtree(project)
        if not disk.killed:
            assert made > 1, where
            return kill_at
    raise AssertionError("never came to its end")


@every_change
def test_a_change_of_several_files_cut_off_anywhere_is_whole_for_whoever_comes_next(
    fast_folder: Path, many: Many
) -> None:
    assert killed_everywhere(fast_folder, many, cycle(plans.heirs(many)), step=3) > 60


@pytest.mark.long
@pytest.mark.parametrize("make_disk", [InterruptedDisk, KilledWithoutExchange])
@every_change
def test_a_change_of_several_files_cut_off_anywhere_is_whole_for_each_who_may_come(
    fast_folder: Path, many: Many, make_disk: Callable[..., InterruptedDisk]
) -> None:
    for heir in plans.heirs(many):
        assert killed_everywhere(fast_folder / heir.replace("/", "-"), many, cycle([heir]), make_disk) > 60


def test_without_an_intent_a_shot_is_lost_or_stands_twice(fast_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_works(**parts: object) -> Batch:
        return Batch(**{**parts, "works": ()})  # type: ignore[arg-type]

    monkeypatch.setattr(transactions, "Batch", without_works)
    with pytest.raises(AssertionError):
        killed_everywhere(fast_folder, plans.BY_NAME["move"], cycle(plans.heirs(plans.BY_NAME["move"])))


# Errors of the device


def same(first: Outcome, again: Outcome) -> bool:
    """Whether a request is answered the same again. Who could not be told the revision may be told it later."""
    return again == first or (first.revision == 0 and replace(again, revision=0) == first)


@every_change
@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", [errno.EIO, SHORT_WRITE])
def test_whatever_operation_fails_all_files_are_old_or_all_new(
    fast_folder: Path, many: Many, kind: int, step: int
) -> None:
    before, after = plans.states_of(many, fast_folder / "model")
    for for_good in (False, True):
        # Another part of the operations for each kind of change and of failure.
        for number in count(1 + (MANY.index(many) + for_good * 4 + (kind > 0) * 2) % step, step):
            project = many.prepared(fast_folder / f"{for_good}-{number}", warm=number % 2 == 0)
            disk, once = FailingDisk(), projects.request()
            desk = Desk(project, disk)
            disk.fail(number, kind, for_good=for_good)
            outcome: Outcome | Fault | OSError
            try:
                outcome = many.make(desk, once)
            except (Fault, OSError) as error:
                outcome = error
            failed = disk.failed
            disk.heal()
            where = (many.name, number, failed[:2], kind, for_good, outcome)
            assert not disk.retried, where
            if isinstance(outcome, Outcome):
                assert plans.state(project) == after, where
            elif not (isinstance(outcome, Fault) and outcome.reason == "DURABILITY_UNKNOWN"):
                assert plans.state(project) == before, where
            else:
                assert for_good, where
            plans.heir(desk, f"edits {many.files[0]}", many)
            found = plans.state(project)
            assert found in (before, after), where
            answer = many.make(desk, once)
            assert not isinstance(outcome, Outcome) or same(outcome, answer), where
            assert plans.state(project) == after, where
            plans.check_the_past(project, where)
            shutil.rmtree(project)
            if not failed:
                assert number > 60
                break


async def test_errors_of_the_device_are_told_as_such(fast_folder: Path) -> None:
    """Also those of the lock under which shots come and go, and of the log in which a request is looked up."""
    for number in count(1):
        project = plans.film(fast_folder / str(number))
        disk = FailingDisk()
        server = projects.Server(project, disk)
        calls = (
            lambda server=server, path=str(project): server.library.delete_shot(
                path, "001", "s1", None, projects.caller(projects.request())
            ),
            lambda server=server, path=str(project): server.library.delete_sequence(
                path, "002", None, projects.caller(projects.request())
            ),
            lambda server=server, path=str(project): server.library.delete_shot(
                path, "009", "s1", None, projects.caller(projects.request())
            ),
        )
        failed = False
        for call in calls:
            disk.fail(number, errno.EIO)
            try:
                await call()
            except Fault as fault:
                where = (number, disk.failed, fault)
                assert fault.reason == "SEQUENCE_NOT_FOUND" or fault.code is Code.UNAVAILABLE, where  # noqa: PT017
            failed |= bool(disk.failed)
            disk.heal()
        server.close()
        if not failed:
            break
    assert number > 60


async def test_a_deleted_file_that_nobody_could_read_stops_nothing(fast_folder: Path) -> None:
    project = plans.film(fast_folder)
    server = projects.Server(project)
    await server.update("s1", {"note": "new"})
    await server.files.versions(server.path, SECOND)
    (project / SECOND).write_bytes(b'{"shots": [')
    await server.files.versions(server.path, SECOND)
    (project / SECOND).unlink()
    await server.files.versions(server.path, SECOND)
    assert [each.sequence_id for each in await server.library.trash(server.path)] == ["002"]
    await server.library.create_sequence(server.path, "", {}, projects.caller())
    server.close()


def test_edits_that_come_to_nothing_together_write_nothing(fast_folder: Path) -> None:
    project = plans.film(fast_folder)
    desk = Desk(project, UnsyncedDisk())
    before = (project / FIRST).read_bytes()

    def there_and_back(draft: Draft) -> Outcome:
        for note in ("new", ""):
            draft.edit(Edit(shot_id="s1", updates={"note": note}))
        return Outcome(shots=(draft.shot("s1"),))

    assert desk.change(there_and_back, projects.request()).revision == 0
    assert (project / FIRST).read_bytes() == before
    assert desk.log.head == 0


# Power cuts


def cut_everywhere(
    folder: Path, many: Many, make_disk: Callable[[Path], RecordingDisk], *, step: int = 1
) -> tuple[int, int]:
    """States that a power cut may leave, and in how many of them the change is half or an acknowledged one is lost."""
    before, after = plans.states_of(many, folder / "model")
    project = many.prepared(folder, warm=False)
    disk, once = make_disk(project), projects.request()
    answer = many.make(Desk(project, disk), once, told="it")
    found = power.states(disk, range(len(disk.events) + 1))
    bad = 0
    left = folder / "after" / "project"
    for number, (tree, told) in islice(enumerate(found.items()), 0, None, step):
        power.materialise(tree, left)
        heirs = plans.heirs(many)
        try:
            plans.heir(Desk(left, UnsyncedDisk()), heirs[number % len(heirs)], many, once)
            now = plans.state(left)
            bad += now not in (before, after) or (bool(told) and now != after)
            again = many.make(Desk(left, UnsyncedDisk()), once)
            bad += plans.state(left) != after or (bool(told) and again != answer)
            plans.check_the_past(left, sorted(path for path, _ in tree))
        except (Fault, ValueError):
            bad += 1
        shutil.rmtree(left)
    return len(found), bad


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.long)])
@every_change
def test_a_power_cut_at_any_point_leaves_no_change_of_several_files_half(
    fast_folder: Path, many: Many, step: int
) -> None:
    states, bad = cut_everywhere(fast_folder, many, RecordingDisk, step=step)
    print("power-cut states:", states)
    assert states > 10
    assert not bad


class NeverSyncs(RecordingDisk):
    """Naive: no fsync."""

    def sync(self, descriptor: int) -> None: ...

    def sync_folder(self, folder: int) -> None: ...


def test_without_fsync_a_power_cut_leaves_half_a_change(fast_folder: Path) -> None:
    _, bad = cut_everywhere(fast_folder, plans.BY_NAME["delete"], NeverSyncs, step=7)
    assert bad


# Other programs


def put(path: Path, raw: bytes) -> None:
    beside = path.with_name("by-hand.tmp")
    beside.write_bytes(raw)
    beside.rename(path)


def mark(project: Path, file: str, shot: str) -> list[bytes]:
    """Another program marks a shot, or the last one where that is not there; what it wrote."""
    if not (project / file).exists():
        return []
    document = json.loads((project / file).read_bytes())
    found = next((each for each in document["shots"] if each["id"] == shot), document["shots"][-1])
    found["theirs"] = 1
    raw = json.dumps(document, indent=2).encode()
    put(project / file, raw)
    return [raw]


def marked(project: Path) -> set[tuple[str, str]]:
    """Files and shots that another program marked."""
    return {
        (file, shot)
        for file in plans.FILES
        for shot, document in shots_on_disk(project, file).items()
        if "theirs" in document
    }


sampled = pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.long)])


@sampled
@pytest.mark.parametrize("file", [FIRST, SECOND])
@pytest.mark.parametrize("shot", ["s1", "s3", "t2"])
@pytest.mark.parametrize("name", ["move", "edits", "reorder"])
def test_what_another_program_edits_between_crash_and_recovery_is_kept(
    fast_folder: Path, name: str, file: str, shot: str, step: int
) -> None:
    many = plans.BY_NAME[name]
    _, after = plans.states_of(many, fast_folder / "model")
    first = 1 + plans.FILES.index(file) + len(shot) + ord(shot[-1]) % step
    for kill_at, heir in zip(count(first if step > 1 else 1, step), cycle(plans.heirs(many)), strict=False):
        project = many.prepared(fast_folder / str(kill_at), warm=False)
        disk, once = InterruptedDisk(kill_at=kill_at), projects.request()
        try:
            many.make(Desk(project, disk), once)
        except Killed:
            pass
        mark(project, file, shot)
        theirs = (project / file).read_bytes()
        shots = {each for _, each in marked(project)}
        where = (name, kill_at, disk.calls[-1], heir, shots)
        plans.heir(Desk(project, UnsyncedDisk()), heir, many, once)
        for every in ("s1", "s2", "s3", "t1", "t2"):
            assert len(plans.where_is(project, every)) == 1, (every, where)
        assert {each for _, each in marked(project)} == shots, where
        many_again(project, many, once)
        assert plans.state(project) == after, where
        assert {each for _, each in marked(project)} == shots, where
        plans.check_the_past(project, where)
        versions = Desk(project, UnsyncedDisk()).contents(file)
        assert theirs in {each.raw for each in versions.values()}, where
        shutil.rmtree(project)
        if not disk.killed:
            break


def many_again(project: Path, many: Many, once: Request) -> None:
    """The request is sent again until it is made."""
    many.make(Desk(project, UnsyncedDisk()), once)


@sampled
@pytest.mark.parametrize("how", ["deleted", "broken"])
@pytest.mark.parametrize("file", [FIRST, SECOND])
def test_no_shot_is_lost_when_another_program_takes_a_file_away_between_crash_and_recovery(
    fast_folder: Path, file: str, how: str, step: int
) -> None:
    many = plans.BY_NAME["move"]
    for kill_at, heir in zip(count(1, step), cycle(plans.heirs(many)), strict=False):
        project = many.prepared(fast_folder / str(kill_at), warm=False)
        disk, once = InterruptedDisk(kill_at=kill_at), projects.request()
        try:
            many.make(Desk(project, disk), once)
        except Killed:
            pass
        where = (file, how, kill_at, disk.calls[-1], heir)
        had = plans.where_is(project, "s1")
        if how == "deleted":
            (project / file).unlink()
        else:
            (project / file).write_bytes(b'{"shots": [')
        other = SECOND if file == FIRST else FIRST
        try:
            plans.heir(Desk(project, UnsyncedDisk()), heir.replace(file, other), many, once)
        except (Fault, ValueError):
            plans.heir(Desk(project, UnsyncedDisk()), f"notices {other}", many)
        there = plans.where_is(project, "s1") if how == "deleted" else [other] * ("s1" in shots_on_disk(project, other))
        assert there or had == [file], where  # it went with the file, if that alone had it
        if how == "deleted":
            assert not (project / file).exists(), where
        else:
            assert (project / file).read_bytes() == b'{"shots": [', where
        shutil.rmtree(project)
        if not disk.killed:
            break


@sampled
@pytest.mark.parametrize("name", ["move", "edits", "reorder", "delete", "create", "restore"])
@pytest.mark.parametrize("shot", ["s1", "t1", "t2"])
def test_whenever_another_program_writes_during_the_change_nothing_is_lost(
    fast_folder: Path, name: str, shot: str, step: int
) -> None:
    many = plans.BY_NAME[name]
    _, after = plans.states_of(many, fast_folder / "model")
    file = SECOND if shot.startswith("t") else FIRST
    for number in count(1 + ord(shot[-1]) % step, step):
        project = many.prepared(fast_folder / str(number), warm=False)
        wrote: list[bytes] = []

        def meanwhile(project: Path = project, wrote: list[bytes] = wrote) -> None:
            wrote += mark(project, file, shot)

        disk = InterruptedDisk(number, meanwhile)
        refused = ""
        try:
            many.make(Desk(project, disk), projects.request())
        except Fault as fault:
            refused = fault.reason
        where = (name, number, disk.calls[min(number, len(disk.calls)) - 1], refused)
        if not disk.interrupted:
            break
        if wrote and (project / file).exists():
            assert marked(project), where
        assert not refused or refused == "EDIT_CONFLICT", where
        if not refused:
            assert plans.state(project) == after, where
        plans.check_the_past(project, where)
        versions = Desk(project, UnsyncedDisk()).contents(file)
        assert {*wrote} <= {each.raw for each in versions.values()}, where
        shutil.rmtree(project)
    assert number > 60


def test_the_same_member_changed_by_another_program_in_the_last_instant_refuses_the_batch(fast_folder: Path) -> None:
    many = plans.BY_NAME["edits"]
    told = set()
    for number in count(1):
        project = many.prepared(fast_folder / str(number), warm=False)

        def meanwhile(project: Path = project) -> None:
            document = json.loads((project / SECOND).read_bytes())
            document["shots"][0]["note"] = "theirs"
            put(project / SECOND, json.dumps(document, indent=2).encode())

        disk = InterruptedDisk(number, meanwhile)
        refused = ""
        try:
            many.make(Desk(project, disk), projects.request())
        except Fault as fault:
            refused = fault.reason
        if not disk.interrupted:
            break
        where = (number, disk.calls[number - 1], refused)
        note = shots_on_disk(project, SECOND)["t1"]["note"]
        told.add((refused, note))
        if refused:
            assert (refused, note) == ("EDIT_CONFLICT", "theirs"), where
            assert shots_on_disk(project, FIRST)["s1"]["note"] == "", where
        plans.check_the_past(project, where)
        versions = Desk(project, UnsyncedDisk()).contents(SECOND).values()
        assert any(b'"theirs"' in each.raw for each in versions), where
        shutil.rmtree(project)
    assert told == {("", "new"), ("", "theirs"), ("EDIT_CONFLICT", "theirs")}
