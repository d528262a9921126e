"""Changes of several files as one, and of which files there are.

The plan is made from a look at the project, the locks of all its files are taken in one order, and the plan is made
again: if it still means the same files, and they hold what it saw, it is carried out. What is to be done is written
down first, so that the next holder of one of the locks finishes what was cut off (`finishing`).
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from services.kernel.faults import Current
from services.sequence_file.domain import diff, faults, summary
from services.sequence_file.domain.changes import FileChange, ShotChange, What
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.ports import Caller, Outcome, Plan, Planned, Project, Work
from services.sequence_file.storage import trouble
from services.sequence_file.storage.commit import Commit, Overtaken
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.documents import Entry, parse
from services.sequence_file.storage.finishing import Finishing
from services.sequence_file.storage.holding import Held, Holding
from services.sequence_file.storage.locks import Lock
from services.sequence_file.storage.log import Batch, Log, Made, Touched
from services.sequence_file.storage.outside import Outside
from services.sequence_file.storage.places import Place, ProjectFolder
from services.sequence_file.storage.recovery import Recovery, Settled, Unfinished
from services.sequence_file.storage.swap import ATTEMPTS, Disturbed, Job

_STRUCTURE = ".structure"  # the lock of who changes which files and shots a project has


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drafted:
    """One file of a plan with its steps made."""

    held: Held
    base: Entry | None
    draft: Draft  # of a new content: nothing but that


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What a caller wants done."""

    folder: ProjectFolder
    look: Callable[[], Project]
    plan: Plan
    caller: Caller
    given_up: threading.Event
    seen: dict[str, Document]  # what the files held when another program disturbed the first try
    found: dict[str, bytes | None]  # the same of files that get a new content, which may be broken or not there

    def forget(self) -> None:
        """It was a server of ours that had left the files so."""
        self.seen.clear()
        self.found.clear()


class _ToBeFinished(Exception):
    """Everything was put in place, and another program changed a part of it at once."""

    def __init__(self, outcome: Outcome, unfinished: Unfinished) -> None:
        super().__init__()
        self.outcome = outcome
        self.unfinished = unfinished


class Transactions:
    """Carries out plans, one at a time for each project."""

    def __init__(
        self,
        disk: Disk,
        commit: Commit,
        recovery: Recovery,
        outside: Outside,
        finishing: Finishing,
        log_of: Callable[[Place], Log],
        log_place: Callable[[ProjectFolder], Place],
        hold: Callable[[ProjectFolder, threading.Event], Holding],
    ) -> None:
        self._disk = disk
        self._commit = commit
        self._recovery = recovery
        self._outside = outside
        self._log_place = log_place
        self._finishing = finishing
        self._log_of = log_of
        self._hold = hold

    def structure_lock(self, folder: ProjectFolder) -> Lock:
        """The lock of who changes which shots and files a project has."""
        return Lock(self._disk, folder.root, folder.below, _STRUCTURE)

    def run(
        self,
        folder: ProjectFolder,
        look: Callable[[], Project],
        plan: Plan,
        caller: Caller,
        given_up: threading.Event,
    ) -> Outcome:
        """Carry out a plan. `given_up` ends the waiting for locks with LOCK_TIMEOUT. Raises Fault, OSError."""
        order = _Order(folder=folder, look=look, plan=plan, caller=caller, given_up=given_up, seen={}, found={})
        log = self._log_of(self._log_place(folder))  # first, since nothing is made in a folder that is no project
        structure = self.structure_lock(folder)
        try:
            if not structure.acquire(lambda: not given_up.is_set()):
                raise faults.lock_timeout("the project")
            log.catch_up()
            for name, batch in log.unfinished():  # cut off, since nobody else is in here
                self._finishing.finish(folder, Unfinished(name, batch, log), given_up)
            if caller.request and (known := log.answer(caller.request)):
                return known  # before the plan: what was asked for may be impossible now that it is done
            for _ in range(ATTEMPTS):
                try:
                    return self._run(order)
                except Disturbed:
                    continue
                except _ToBeFinished as placed:
                    revision = self._finishing.finish(folder, placed.unfinished, given_up)
                    return replace(placed.outcome, revision=revision)
                except Settled:
                    order.forget()
                except Unfinished as unfinished:
                    order.forget()
                    self._finishing.finish(folder, unfinished, given_up)
            raise trouble.file_busy("the project")
        finally:
            structure.release()

    def _run(self, order: _Order) -> Outcome:
        planned = order.plan(order.look())
        if not planned.works:
            return _noted(self._log_of(self._log_place(order.folder)), order.caller, planned.outcome(()))
        with self._hold(order.folder, order.given_up) as holding:
            held = holding.take(planned.works)
            project = order.look()
            planned = order.plan(project)
            if [_aim(each.work) for each in held] != [_aim(work) for work in planned.works]:
                raise Disturbed
            log = self._log_of(held[0].place)
            log.catch_up()
            looked_at = {each.document.file: each.document for each in project.sequences}
            drafted = [
                self._draft(holding, replace(each, work=work), log, order, looked_at.get(work.file))
                for each, work in zip(held, planned.works, strict=True)
            ]
            return self._carry_out(holding, drafted, planned, order.caller, log)

    def _draft(self, holding: Holding, held: Held, log: Log, order: _Order, looked_at: Document | None) -> _Drafted:
        """Make a file's steps on what it holds; settle and write down first what happened to it."""
        work, place = held.work, held.place
        base = holding.read(held)
        self._recovery.settle(held.folder, place, base, log)
        if base or log.known(place.key):
            self._outside.record(place, base, log)
        if base and looked_at and base.raw != looked_at.raw:
            raise Disturbed  # the plan was made of something else
        if base and not self._disk.may_write(held.folder, place.name):
            raise trouble.read_only(place.file, "its mode forbids writing")
        if work.content is not None:
            if base and not work.over:
                raise Disturbed  # the plan saw no such file
            if order.found.setdefault(place.file, base.raw if base else None) != (base.raw if base else None):
                etag = base.etag() if base else ""
                raise faults.edit_conflict("", "", None, Current(etag=etag, document_json=None))
            return _Drafted(held=held, base=base, draft=Draft(parse(work.content, place.file), work.sequence_id))
        if base is None:
            raise faults.file_gone(place.file)
        before = base.opened()
        draft = Draft(before, work.sequence_id, seen=order.seen.get(place.file))
        order.seen.setdefault(place.file, before)
        for step in work.steps:
            draft.apply(step)
        return _Drafted(held=held, base=base, draft=draft)

    def _carry_out(
        self, holding: Holding, drafted: list[_Drafted], planned: Planned, caller: Caller, log: Log
    ) -> Outcome:
        now = datetime.now(UTC)
        etags = {each.held.place.file: each.base.etag() for each in drafted if each.base}
        jobs: list[Job] = []
        changes: list[FileChange] = []
        for each in drafted:
            if job := _job(holding, each, now):
                jobs.append(job)
                changes.append(_change(each, job))
                etags[job.place.file] = job.document.etag if job.document else ""
        outcome = _with_etags(planned.outcome([each.draft for each in drafted]), etags)
        if not jobs:
            return _noted(log, caller, outcome)
        made = Made(
            author=caller.author,
            request=caller.request,
            outcome=outcome,
            summary=summary.of_files(changes),
            files=tuple(changes),
        )

        def written_down(touched: tuple[Touched, ...]) -> Batch:
            return Batch(touched=touched, made=(made,), works=tuple(each.held.work for each in drafted))

        try:
            return replace(outcome, revision=self._commit.run(log, jobs, written_down, durably=True))
        except Overtaken as overtaken:
            raise _ToBeFinished(outcome, Unfinished(overtaken.name, overtaken.batch, log)) from None


def _noted(log: Log, caller: Caller, outcome: Outcome) -> Outcome:
    """An answer to what changed nothing, written down so that it is given again."""
    if caller.request:
        nothing = Made(author=caller.author, request=caller.request, outcome=outcome, summary="", files=())
        log.done(log.begin(Batch(touched=(), made=(nothing,)), durably=True))
    return outcome


def _job(holding: Holding, each: _Drafted, now: datetime) -> Job | None:
    """What is to be done to the file itself; None where nothing is."""
    if each.held.work.content is not None:
        return holding.put(each.held, each.base, each.draft.base)
    assert each.base
    if each.held.work.delete:
        return holding.deleted(each.held, each.base)
    return holding.swapped(each.held, each.base, each.draft, now)


def _with_etags(outcome: Outcome, etags: Mapping[str, str]) -> Outcome:
    """An outcome with the etags of the files that hold its sequences."""
    sequences = tuple(replace(each, etag=etags.get(each.file, each.etag)) for each in outcome.sequences)
    return replace(outcome, sequences=sequences)


def _aim(work: Work) -> tuple[str, bool, bool]:
    return work.file, work.content is not None, work.delete


def _change(each: _Drafted, job: Job) -> FileChange:
    work, after = each.held.work, job.document
    shots: tuple[ShotChange, ...] = ()
    complete = True
    if after is None:
        what = What.DELETED
    elif work.content is None:
        taken = each.draft.take()
        what, shots, complete = What.UPDATED, taken.shots, taken.complete
    else:
        before = each.base.document if each.base else None
        what = What.UPDATED if each.base else What.CREATED
        shots, complete = diff.shots(before, after), diff.nameable(before, after)
    return FileChange(
        file=each.held.place.file,
        sequence_id=work.sequence_id,
        what=what,
        before=job.before,
        after=after.etag if after else None,
        shots=shots,
        complete=complete,
    )
