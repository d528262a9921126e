"""Projects in memory: fills `domain.ports.Sequences` for tests that need no disk.

Passes the same conformance suite as the files. What has no meaning here (links, locks between
processes, durability, forgetting) is left out. A test that writes to `projects` is another program.
"""

import asyncio
import hashlib
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from services.kernel.faults import Fault, request_id_reused
from services.sequence_file.domain import diff, faults, identity, summary
from services.sequence_file.domain.changes import Change, FileChange, Trashed, Version, What
from services.sequence_file.domain.document import Document, parse_project, parse_sequence
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.finding import arranged, unreachable
from services.sequence_file.domain.ports import (
    PROJECT_FILE,
    Apply,
    Caller,
    Outcome,
    Plan,
    Project,
    Request,
    SequenceFile,
    Target,
    Unreachable,
    Watch,
    Work,
)


@dataclass(slots=True)
class _Past:
    """What was in one file, oldest first: the change that made it, and its bytes; None: the file was gone."""

    states: list[tuple[Change, bytes | None]] = field(default_factory=list)

    @property
    def last(self) -> bytes | None:
        return self.states[-1][1] if self.states else None

    def before(self, revision: int) -> bytes | None:
        """The content that a revision left; of a deletion's the one before it."""
        for index, (change, raw) in enumerate(self.states):
            if change.revision == revision:
                return raw if raw is not None or not index else self.states[index - 1][1]
        return None


@dataclass(slots=True)
class _Log:
    """What happened to one project."""

    log_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    changes: list[Change] = field(default_factory=list)  # revision 1 first
    past: dict[str, _Past] = field(default_factory=dict)  # by file
    answers: dict[str, tuple[Request, Outcome]] = field(default_factory=dict)

    def add(self, caller: Caller | None, said: str, files: Sequence[FileChange], now: Mapping[str, bytes]) -> int:
        """Write down one revision; None: by another program."""
        change = Change(
            revision=len(self.changes) + 1,
            at=datetime.now(UTC),
            author=caller.author if caller else None,
            request_id=caller.request.id if caller and caller.request else "",
            summary=said,
            files=tuple(files),
        )
        self.changes.append(change)
        for each in files:
            self.past.setdefault(each.file, _Past()).states.append((change, now.get(each.file)))
        return change.revision


class MemorySequences:
    """Projects by path, their files by relative path."""

    def __init__(self, projects: Mapping[str, Mapping[str, bytes]]) -> None:
        self.projects = {path: dict(files) for path, files in projects.items()}
        self._lock = asyncio.Lock()
        self._logs: dict[str, _Log] = {}

    async def project(self, path: str) -> Project:
        """See `Sequences.project`."""
        return self._project(path)

    async def project_file(self, path: str) -> Document:
        """See `Sequences.project_file`."""
        files = self._files(path)
        if PROJECT_FILE not in files:
            raise faults.project_not_found(path)
        return parse_project(files[PROJECT_FILE], PROJECT_FILE)

    async def change(self, path: str, target: Target, apply: Apply, caller: Caller) -> Outcome:
        """See `Sequences.change`."""
        async with self._lock:
            files, log = self._files(path), self._log(path)
            if known := _answered(log, caller.request):
                return known
            file = target.choose(self._project(path))
            if file not in files:
                raise faults.file_gone(file)
            before = _parsed(files[file], file)
            draft = Draft(before, _sequence_id(file, before))
            outcome = apply(draft)
            taken = draft.take()
            if not taken.changed:
                return _noted(log, caller.request, _with_etags(outcome, {file: before.etag}))
            after = draft.finish(datetime.now(UTC))
            files[file] = after.raw
            change = FileChange(
                file=file,
                sequence_id=draft.sequence_id,
                what=What.UPDATED,
                before=before.etag,
                after=after.etag,
                shots=taken.shots,
                complete=taken.complete,
            )
            revision = log.add(caller, taken.summary, [change], files)
            outcome = _with_etags(outcome, {file: after.etag})
            return _noted(log, caller.request, replace(outcome, revision=revision))

    async def change_many(self, path: str, plan: Plan, caller: Caller) -> Outcome:
        """See `Sequences.change_many`."""
        async with self._lock:
            files, log = self._files(path), self._log(path)
            if known := _answered(log, caller.request):
                return known
            planned = plan(self._project(path))
            drafts = [_drafted(work, files) for work in planned.works]
            changes: list[FileChange] = []
            now = dict(files)
            for work, draft in zip(planned.works, drafts, strict=True):
                after = None if work.delete else draft.base if work.content is not None else _finished(draft)
                if after is None:
                    del now[work.file]
                else:
                    now[work.file] = after.raw
                if now.get(work.file) != files.get(work.file):
                    changes.append(_file_change(work.file, work.sequence_id, files.get(work.file), after))
            outcome = _with_etags(
                planned.outcome(drafts), {work.file: _etag(now.get(work.file)) or "" for work in planned.works}
            )
            if changes:
                files.clear()
                files.update(now)
                outcome = replace(outcome, revision=log.add(caller, summary.of_files(changes), changes, files))
            return _noted(log, caller.request, outcome)

    async def answered(self, path: str, request: Request) -> Outcome | None:
        """See `Sequences.answered`."""
        return _answered(self._log(path), request)

    async def versions(self, path: str, file: str) -> Sequence[Version]:
        """See `Sequences.versions`."""
        files, past = self._files(path), self._log(path).past.get(file, _Past())
        found = [
            Version(
                revision=change.revision,
                at=change.at,
                author=change.author,
                request_id=change.request_id,
                summary=change.summary,
                etag=_etag(raw) or "",
                size=len(raw),
                current=index == len(past.states) - 1 and files.get(file) == raw,
            )
            for index, (change, raw) in enumerate(past.states)
            if raw is not None
        ]
        return found[::-1]

    async def version(self, path: str, file: str, revision: int) -> Document:
        """See `Sequences.version`."""
        raw = self._log(path).past.get(file, _Past()).before(revision)
        if raw is None:
            raise faults.version_not_found(file, revision)
        return _parsed(raw, file)

    async def trash(self, path: str) -> Sequence[Trashed]:
        """See `Sequences.trash`."""
        found: list[Trashed] = []
        for file, past in self._log(path).past.items():
            change, raw = past.states[-1]
            if raw is None and file != PROJECT_FILE and (last := past.before(change.revision)) is not None:
                document = _readable(last, file)
                found.append(
                    Trashed(
                        sequence_id=next(each.sequence_id for each in change.files if each.file == file),
                        name=document.head.name if document else "",
                        file=file,
                        revision=change.revision,
                        at=change.at,
                        author=change.author,
                    )
                )
        return sorted(found, key=lambda each: each.revision, reverse=True)

    async def watch(self, path: str, after: int | None, log_id: str) -> Watch:
        """See `Sequences.watch`."""
        log = self._log(path)
        head = len(log.changes)
        if log_id not in ("", log.log_id) or not 0 <= (head if after is None else after) <= head:
            raise faults.revision_too_old(0, head, log.log_id)
        return _Watch(self, path, head if after is None else after)

    def changes(self, path: str, after: int) -> Sequence[Change]:
        """What happened to a project behind a revision."""
        return self._log(path).changes[after:]

    def log_id(self, path: str) -> str:
        """In which a project's revisions are counted."""
        return self._log(path).log_id

    def _files(self, path: str) -> dict[str, bytes]:
        if path not in self.projects:
            raise faults.project_not_found(path)
        return self.projects[path]

    def _log(self, path: str) -> _Log:
        """A project's log, brought up to what the test has done to the files since."""
        files = self._files(path)
        if path not in self._logs:
            log = self._logs[path] = _Log()
            found = Change(revision=0, at=datetime.now(UTC), author=None, request_id="", summary="", files=())
            log.past = {file: _Past([(found, raw)]) for file, raw in files.items()}
            return log
        log = self._logs[path]
        for file in sorted(files.keys() | log.past.keys()):
            before, after = log.past.get(file, _Past()).last, files.get(file)
            if before != after:
                document = _readable(after, file) if after is not None else None
                was = _readable(before, file) if before is not None else None
                change = _file_change(file, _sequence_id(file, document or was), before, document)
                if after is not None and document is None:
                    change = replace(change, what=What.UNREADABLE, complete=False)
                log.add(None, f"{file} {change.what.value}", [change], files)
        return log

    def _project(self, path: str) -> Project:
        files = self._files(path)
        good: list[SequenceFile] = []
        bad: list[Unreachable] = []
        for file, raw in files.items():
            if file == PROJECT_FILE:
                continue
            try:
                document = parse_sequence(raw, file)
                sequence_id = identity.id_of(document.head.id, file)
                good.append(SequenceFile(document=document, id=sequence_id, modified=datetime.now(UTC)))
            except Fault as fault:
                bad.append(unreachable(file, fault))
        return arranged(path, good, bad, PROJECT_FILE in files)


class _Watch:
    """Fills `domain.ports.Watch`."""

    def __init__(self, sequences: MemorySequences, path: str, after: int) -> None:
        self._sequences = sequences
        self._path = path
        self.log_id = sequences.log_id(path)
        self.revision = after

    async def next(self, seconds: float) -> Sequence[Change]:
        """See `Watch.next`."""
        until = time.monotonic() + seconds
        # What a test writes to `projects` wakes nobody.
        while not (changes := self._sequences.changes(self._path, self.revision)) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        self.revision += len(changes)
        return changes

    def close(self) -> None:
        """See `Watch.close`."""


def _answered(log: _Log, request: Request | None) -> Outcome | None:
    if request is None or request.id not in log.answers:
        return None
    before, outcome = log.answers[request.id]
    if before.fingerprint != request.fingerprint:
        raise request_id_reused()
    return outcome


def _noted(log: _Log, request: Request | None, outcome: Outcome) -> Outcome:
    if request:
        log.answers[request.id] = (request, outcome)
    return outcome


def _drafted(work: Work, files: Mapping[str, bytes]) -> Draft:
    if work.content is not None:
        return Draft(_parsed(work.content, work.file), work.sequence_id)
    draft = Draft(_parsed(files[work.file], work.file), work.sequence_id)
    for step in work.steps:
        draft.apply(step)
    return draft


def _finished(draft: Draft) -> Document:
    return draft.finish(datetime.now(UTC)) if draft.changed else draft.base


def _file_change(file: str, sequence_id: str, before: bytes | None, after: Document | None) -> FileChange:
    was = _readable(before, file) if before is not None else None
    complete = after is not None and (was is not None or before is None) and diff.nameable(was, after)
    return FileChange(
        file=file,
        sequence_id=sequence_id,
        what=What.DELETED if after is None else What.CREATED if before is None else What.UPDATED,
        before=_etag(before),
        after=after.etag if after else None,
        shots=diff.shots(was, after) if after and complete else (),
        complete=complete or after is None,
    )


def _with_etags(outcome: Outcome, etags: Mapping[str, str]) -> Outcome:
    sequences = tuple(replace(each, etag=etags.get(each.file, each.etag)) for each in outcome.sequences)
    return replace(outcome, sequences=sequences)


def _parsed(raw: bytes, file: str) -> Document:
    return parse_project(raw, file) if file == PROJECT_FILE else parse_sequence(raw, file)


def _readable(raw: bytes, file: str) -> Document | None:
    try:
        return _parsed(raw, file)
    except Fault:
        return None


def _etag(raw: bytes | None) -> str | None:
    return None if raw is None else hashlib.sha256(raw).hexdigest()[:32]


def _sequence_id(file: str, document: Document | None) -> str:
    if file == PROJECT_FILE:
        return ""
    return (document.head.id if document else None) or identity.id_from_name(file) or ""
