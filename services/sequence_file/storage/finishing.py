"""Changes of several files that were cut off, finished by the next one who needs any of the files.

The steps of the intent are made again on whatever the files hold by now: those that were made are found made, and
what another program did meanwhile stays. Where a file is gone into which something was to be brought, nothing
is taken away elsewhere, and the change counts as not made.
"""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from services.kernel.faults import Fault
from services.sequence_file.domain.changes import FileChange, What
from services.sequence_file.domain.document import content_etag
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.ports import Work
from services.sequence_file.domain.steps import Insert, InsertRaw, Remove, Step
from services.sequence_file.storage import trouble
from services.sequence_file.storage.commit import Commit
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.documents import Entry, parse
from services.sequence_file.storage.history import History
from services.sequence_file.storage.holding import Held, Holding
from services.sequence_file.storage.log import Batch, Log, Made, Touched
from services.sequence_file.storage.outside import Outside
from services.sequence_file.storage.places import ProjectFolder, place_of_key
from services.sequence_file.storage.recovery import Recovery, Settled, Unfinished
from services.sequence_file.storage.swap import ATTEMPTS, Disturbed, Job, content, keep_raw, kept_name


class Finishing:
    """Finishes what a killed server left open."""

    def __init__(
        self,
        disk: Disk,
        commit: Commit,
        recovery: Recovery,
        outside: Outside,
        history: History,
        hold: Callable[[ProjectFolder, threading.Event], Holding],
    ) -> None:
        self._disk = disk
        self._commit = commit
        self._recovery = recovery
        self._outside = outside
        self._history = history
        self._hold = hold

    def finish(self, folder: ProjectFolder, unfinished: Unfinished, given_up: threading.Event) -> int:
        """Finish a change; its revision, 0 where it could not be made or somebody else was faster.

        Raises LOCK_TIMEOUT, Fault, OSError.
        """
        log = unfinished.log
        known = {
            each.file: replace(place_of_key(log.root, log.owner, each.key), file=each.file)
            for each in unfinished.batch.touched
        }
        for _ in range(ATTEMPTS):
            with self._hold(folder, given_up) as holding:
                held = holding.take_what_is_there(unfinished.batch.works, known)
                log.catch_up()
                open_ones = log.open_batches(unfinished.batch.touched[0].key)
                if all(name != unfinished.name for name, _ in open_ones):
                    return 0
                try:
                    return self._finish(holding, held, log, unfinished)
                except (Disturbed, Settled):
                    continue
        raise trouble.file_busy("the project")

    def _finish(self, holding: Holding, held: Sequence[Held], log: Log, unfinished: Unfinished) -> int:
        touched = {each.key: each for each in unfinished.batch.touched}
        found = [self._found(holding, each, touched.get(each.place.key), log) for each in held]
        pairs = list(zip(held, found, strict=True))
        now = datetime.now(UTC)
        edited = _edited_since(pairs)
        there = {each.work.file for each in held}
        possible = all(_can_bring(each.work, base, touched.get(each.place.key)) for each, base in pairs) and not any(
            _brings(work) or work.delete or work.content is not None
            for work in unfinished.batch.works
            if work.file not in there
        )
        jobs: list[Job] = []
        for each, base in pairs:
            if not possible and _takes_away(each.work):
                continue
            if job := self._job(holding, each, base, touched.get(each.place.key), edited, now):
                jobs.append(job)
        for each in held:
            self._disk.sync_folder(each.folder)  # whoever was cut off may not have come to this
        if not possible:
            log.void(unfinished.name)
            return 0
        if jobs:
            revision = self._commit.run(log, jobs, lambda _: unfinished.batch, durably=True, name=unfinished.name)
        else:
            revision = log.done(unfinished.name)
        self._tell_what_became(log, held, holding, unfinished.batch)
        return revision

    def _found(self, holding: Holding, each: Held, touched: Touched | None, log: Log) -> Entry | None:
        """What a file holds, once what stands beside it is put away and what others did is written down."""
        base = _read(holding, each)
        if touched:
            if self._recovery.put_away(each.folder, each.place, base, touched, log):
                base = _read(holding, each)
        else:
            self._recovery.put_leftover_away(each.folder, each.place)
        etag = base.etag() if base else None
        if touched is None or etag not in (touched.before, touched.after):
            self._outside.record(each.place, base, log)
        if each.work.delete and base is None and touched and touched.before:
            trashed = content(self._disk, holding.trash(each.place), kept_name(each.place, touched.before))
            if trashed is not None:
                keep_raw(self._history, each.place, log.revision_of(each.place.key), touched.before, trashed)
        return base

    def _job(
        self,
        holding: Holding,
        each: Held,
        base: Entry | None,
        touched: Touched | None,
        edited: Mapping[str, bytes],
        now: datetime,
    ) -> Job | None:
        work = each.work
        if work.delete:
            return holding.deleted(each, base) if base else None
        if work.content is not None:
            at_first = touched is not None and (base.etag() if base else None) == touched.before
            return holding.put(each, base, parse(work.content, each.place.file)) if at_first else None
        if base is None or base.document is None:
            return None
        draft = Draft(base.document, work.sequence_id)
        for step in work.steps:
            if isinstance(step, InsertRaw) and (document := edited.get(_id(step))):
                if draft.has(_id(step)):
                    draft.put_back(_id(step), document)  # it was brought before the cut
                else:
                    draft.apply(replace(step, document=document), again=True)
            else:
                draft.apply(step, again=True)
        return holding.swapped(each, base, draft, now)

    def _tell_what_became(self, log: Log, held: Sequence[Held], holding: Holding, batch: Batch) -> None:
        """A file that another program changed is not as the batch was to leave it: that is a revision, too."""
        made = batch.made[-1]
        for each in held:
            known = log.known(each.place.key)
            base = _read(holding, each)
            etag = base.etag() if base else None
            if known is None or known.etag == etag:
                continue
            change = FileChange(
                file=each.place.file,
                sequence_id=each.work.sequence_id,
                what=What.UPDATED if base else What.DELETED,
                before=known.etag,
                after=etag,
                complete=False,
            )
            told = Made(
                author=made.author, request=None, outcome=None, summary=f"{made.summary} (finished)", files=(change,)
            )
            touched = Touched(key=each.place.key, file=each.place.file, before=known.etag, after=etag)
            revision = log.record(Batch(touched=(touched,), made=(told,)))
            if base:
                self._history.copy_soon(each.place, revision, base.etag(), base.raw, log.versions)


def _edited_since(pairs: Sequence[tuple[Held, Entry | None]]) -> dict[str, bytes]:
    """Shots that were to be brought elsewhere and that another program has edited since, where they still stand."""
    intended = {
        _id(step): step.document for each, _ in pairs for step in each.work.steps if isinstance(step, InsertRaw)
    }
    edited: dict[str, bytes] = {}
    for each, base in pairs:
        if not (base and base.document and any(isinstance(step, Remove) for step in each.work.steps)):
            continue
        source = Draft(base.document, each.work.sequence_id)
        for shot_id, document in intended.items():
            if source.has(shot_id) and source.shot(shot_id).etag != content_etag(document):
                edited[shot_id] = source.shot(shot_id).document
    return edited


def _read(holding: Holding, each: Held) -> Entry | None:
    try:
        return holding.read(each)
    except Fault:
        return None  # something that is no file stands there now: nothing can be done to it


def _can_bring(work: Work, base: Entry | None, touched: Touched | None) -> bool:
    """Whether a work's part can be done or is done, as far as something would be lost if it were not."""
    etag = base.etag() if base else None
    if touched is not None and etag == touched.after:
        return True
    if work.delete or work.content is not None:
        return touched is not None and etag == touched.before  # else another program has its own there
    brought = [_id(step) for step in work.steps if isinstance(step, Insert | InsertRaw)]
    if not brought:
        return True
    if base is None or base.document is None:
        return False
    draft = Draft(base.document, work.sequence_id)
    for step in work.steps:
        draft.apply(step, again=True)
    return all(draft.has(shot_id) for shot_id in brought)


def _brings(work: Work) -> bool:
    return any(isinstance(step, Insert | InsertRaw) for step in work.steps)


def _takes_away(work: Work) -> bool:
    return work.delete or any(isinstance(step, Remove) for step in work.steps)


def _id(step: Step) -> str:
    if isinstance(step, Insert):
        return str(step.document["id"])
    assert isinstance(step, InsertRaw)
    return str(json.loads(step.document, parse_int=str, parse_float=str)["id"])
