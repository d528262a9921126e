"""One server's storage without threads of its own: what it does is the same every time, operation for operation."""

import json
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from services.kernel.faults import Fault
from services.kernel.strict_json import Json, parse_object
from services.sequence_file.domain.changes import Trashed, Version
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Draft, Shot
from services.sequence_file.domain.ports import Apply, Caller, Outcome, Plan, Project, Request, Target, Watch
from services.sequence_file.domain.steps import Edit
from services.sequence_file.storage.answers import Change
from services.sequence_file.storage.commit import Commit
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.documents import Documents
from services.sequence_file.storage.finishing import Finishing
from services.sequence_file.storage.folders import Folders
from services.sequence_file.storage.history import Dated, History
from services.sequence_file.storage.holding import Holding
from services.sequence_file.storage.locks import Lock
from services.sequence_file.storage.log import Log
from services.sequence_file.storage.outside import Outside
from services.sequence_file.storage.places import Place, ProjectFolder, Roots
from services.sequence_file.storage.recovery import Recovery, Unfinished
from services.sequence_file.storage.transactions import Transactions
from services.sequence_file.storage.versions import Versions
from services.sequence_file.storage.writer import Writer
from tests.storage import projects

SEQUENCE = projects.SEQUENCE

T = TypeVar("T")


class PatientHistory(History):
    """Copies what is current only when it is told to, which may be never: as a thread that was killed before."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk)
        self._waiting: dict[Place, tuple[int, str, bytes]] = {}

    def copy_soon(
        self, place: Place, revision: int, etag: str, raw: bytes, versions: Callable[[str], Iterable[Dated]]
    ) -> None:
        self._waiting[place] = revision, etag, raw

    def flush(self, place: Place | None = None) -> None:
        for each in [each for each in self._waiting if place in (None, each)]:
            try:
                self.copy(each, *self._waiting.pop(each))
            except OSError:
                continue


class Desk:
    """The storage of a server as `FileSequences` puts it together, whose callers come one after the other."""

    def __init__(self, project: Path, disk: Disk) -> None:
        self.project = project
        self.disk = disk
        self.history = PatientHistory(disk)
        self._roots = Roots([str(project.parent)])
        self._folder = self._roots.project(str(project))
        documents = Documents(disk, 1 << 20)
        self._folders = Folders(disk, self._roots, documents)
        recovery, outside = Recovery(disk, self.history), Outside(self.history)
        commit = Commit(disk, documents, self.history, recovery)
        self.log = Log(disk, self._folder.root, self._folder.below)

        def hold(folder: ProjectFolder, given_up: Event) -> Holding:
            return Holding(disk, documents, self._roots.entry, folder, given_up)

        finishing = Finishing(disk, commit, recovery, outside, self.history, hold)
        self._finishing = finishing
        self._transactions = Transactions(
            disk, commit, recovery, outside, finishing, lambda _: self.log, self._roots.log_place, hold
        )
        self._writer = Writer(disk, documents, commit, recovery, outside, lambda _: self.log, self._finish)
        self._versions = Versions(disk, self._roots, documents, self.history, lambda _: self.log)

    def _finish(self, place: Place, unfinished: Unfinished) -> None:
        self._finishing.finish(ProjectFolder(place.root, place.owner), unfinished, Event())

    def place(self, file: str = SEQUENCE) -> Place:
        return self._roots.entry(self._folder, file)

    def change(self, apply: Apply, once: Request | None = None, *, file: str = SEQUENCE, told: str = "") -> Outcome:
        """Make a change of one file; a recording says when its caller is told."""
        change = Change(apply, projects.caller(once))
        change.future.add_done_callback(lambda done: None if done.exception() else self._tell(told))
        return self.submit(file, change)

    def change_many(
        self, plan: Plan, once: Request | None = None, *, told: str = "", caller: Caller | None = None
    ) -> Outcome:
        """Make a change of several files."""
        outcome = self._transactions.run(self._folder, self.look, plan, caller or projects.caller(once), Event())
        self._tell(told)
        return outcome

    def answered(self, once: Request) -> Outcome | None:
        """What a request was answered with before."""
        self.log.catch_up()
        return self.log.answer(once)

    def update(
        self,
        shot: str,
        updates: Mapping[str, object],
        once: Request | None = None,
        *,
        etag: str | None = None,
        file: str = SEQUENCE,
        told: str = "",
    ) -> Shot:
        """Change one shot."""
        edit = Edit(shot_id=shot, updates=_parsed(updates), etag=etag)
        return projects.shot_of(
            self.change(lambda draft: Outcome(shots=(draft.edit(edit),)), once, file=file, told=told)
        )

    def count(self, shot: str, mark: str, once: Request | None = None, *, told: str = "") -> Shot:
        """Make the edit that counts how often it was made."""

        def apply(draft: Draft) -> Outcome:
            return Outcome(shots=(projects.made_once_more(draft, shot, mark),))

        return projects.shot_of(self.change(apply, once, told=told))

    def look(self) -> Project:
        """The project as it is now."""
        return self._folders.look(self._folder, to_write=True)

    def structure_lock(self) -> Lock:
        """The lock of who changes which shots and files there are."""
        return self._transactions.structure_lock(self._folder)

    def submit(self, file: str, change: Change) -> Outcome:
        """Make a change as a caller left it."""
        self._writer.submit(self.place(file), [change])
        return change.future.result(0)

    def notice(self, file: str = SEQUENCE) -> None:
        """Look what other programs did to a file."""
        self._writer.notice(self.place(file), 5.0)

    def flush(self) -> None:
        """Copy what is current into the history."""
        self.history.flush()

    def contents(self, file: str = SEQUENCE) -> dict[int, Document]:
        """Every version that can be asked for, by revision; each is read. What a file holds now is the newest one."""
        self.log.catch_up()
        found = self._versions.of(self.place(file))
        documents = {each.revision: self._versions.document(self.place(file), each.revision) for each in found}
        assert {revision: each.etag for revision, each in documents.items()} == {
            each.revision: each.etag for each in found
        }
        return documents

    def versions(self, file: str) -> Sequence[Version]:
        """What is kept of a file, newest first."""
        self.notice(file)
        return self._versions.of(self.place(file))

    def trash(self) -> dict[str, int]:
        """The deleted sequences that can be brought back, with the revisions of their deletion."""
        return {each.sequence_id: each.revision for each in self.trashed()}

    def trashed(self) -> Sequence[Trashed]:
        """The same with all that is known of them."""
        return self._versions.trash(self._folder)

    def project_file(self) -> Document:
        """project.json."""
        return self._folders.project_file(str(self.project))

    def version(self, file: str, revision: int) -> Document:
        """One version."""
        return self._versions.document(self.place(file), revision)

    def _tell(self, told: str) -> None:
        tell = getattr(self.disk, "tell", None)
        if told and tell:
            tell(told)


class DeskSequences:
    """Fills `domain.ports.Sequences` with a desk, so that a library can be put on it; nothing ever waits."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def project(self, path: str) -> Project:
        return self._desk.look()

    async def project_file(self, path: str) -> Document:
        return self._desk.project_file()

    async def change(self, path: str, target: Target, apply: Apply, caller: Caller) -> Outcome:
        lock = self._desk.structure_lock()
        try:
            assert not target.structural or lock.acquire(lambda: False)
            try:
                file = target.choose(self._desk.look())
            except Fault:
                if caller.request and (known := self._desk.answered(caller.request)):
                    return known
                raise
            return self._desk.submit(file, Change(apply, caller))
        finally:
            lock.release()

    async def change_many(self, path: str, plan: Plan, caller: Caller) -> Outcome:
        return self._desk.change_many(plan, caller=caller)

    async def answered(self, path: str, request: Request) -> Outcome | None:
        return self._desk.answered(request)

    async def versions(self, path: str, file: str) -> Sequence[Version]:
        return self._desk.versions(file)

    async def version(self, path: str, file: str, revision: int) -> Document:
        self._desk.notice(file)
        return self._desk.version(file, revision)

    async def trash(self, path: str) -> Sequence[Trashed]:
        return self._desk.trashed()

    async def watch(self, path: str, after: int | None, log_id: str) -> Watch:
        raise NotImplementedError


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What comes of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waits")


def on_disk(project: Path, file: str = SEQUENCE) -> Any:
    """What any other program finds in a file; None where there is none."""
    path = project / file
    return json.loads(path.read_bytes()) if path.exists() else None


def shots_on_disk(project: Path, file: str = SEQUENCE) -> dict[str, dict[str, Any]]:
    """A file's shots by id, in their order; none where there is no file."""
    document = on_disk(project, file)
    return {shot["id"]: shot for shot in document["shots"]} if document else {}


def _parsed(updates: Mapping[str, object]) -> dict[str, Json]:
    return parse_object(json.dumps(updates))
