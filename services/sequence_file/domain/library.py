"""What can be asked of projects, one method for each call: found by ids, changed through the port."""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.kernel.faults import Fault, invalid_field
from services.kernel.strict_json import Json, Number
from services.sequence_file.domain import copies, faults, identity, moving, past, sequence_plans
from services.sequence_file.domain.batch import Batch, refuse_copy
from services.sequence_file.domain.changes import Trashed, Version
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Draft, Shot
from services.sequence_file.domain.finding import find_holder, find_past, find_sequence, refuse_shots_of_others
from services.sequence_file.domain.ports import (
    PROJECT_FILE,
    Apply,
    Caller,
    Outcome,
    Plan,
    Project,
    SequenceFile,
    Sequences,
    Target,
    Unreachable,
    Watch,
)
from services.sequence_file.domain.steps import Edit, Insert, Place, Remove, Reorder, SetMembers

_TRIES = 2  # with copies of project.json, which another program may take out or break meanwhile
# Why a deletion may be refused because of project.json, which it is not to depend on. A file that another program
# changed in the same instant is not among them: whoever edits a copy means the shot.
_OF_PROJECT_FILE = {
    "SHOT_NOT_FOUND",
    "DUPLICATE_ID",
    "SEQUENCE_NOT_FOUND",
    "SEQUENCE_FILE_INVALID",
    "UNSAFE_FILE",
    "READ_ONLY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectShots:
    """The shots of project.json, and which of them are copies."""

    document: Document | None  # None where the project has no project.json
    copies: Sequence[copies.Copy]  # in the order of the file
    unreachable: Sequence[Unreachable]  # whose shots could have copies, too


class Library:
    """The projects of this service. Errors are those of `domain.faults` and of `Sequences`."""

    def __init__(
        self,
        sequences: Sequences,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._sequences = sequences
        self._clock = clock
        self._new_id = new_id

    async def project(self, path: str) -> Project:
        """All sequences of a project in playing order, and the files that cannot be reached."""
        return await self._sequences.project(path)

    async def sequence(self, path: str, sequence_id: str) -> SequenceFile:
        """One sequence."""
        identity.sequence_id(sequence_id)
        return find_sequence(await self._sequences.project(path), sequence_id)

    async def shot(self, path: str, sequence_id: str, shot_id: str) -> Shot:
        """One shot of a sequence; without a sequence id the sequence files are searched, then project.json."""
        identity.shot_id(shot_id)
        if sequence_id:
            found = await self.sequence(path, sequence_id)
            return Draft(found.document, found.id).shot(shot_id)
        project = await self._sequences.project(path)
        if holder := find_holder(project, shot_id):
            return Draft(holder.document, holder.id).shot(shot_id)
        if not project.has_project_file:
            raise faults.shot_not_found(shot_id, "the project")
        document = await self._sequences.project_file(path)
        if document.find(shot_id) is None:
            raise faults.shot_not_found(shot_id, f"any sequence, nor in {PROJECT_FILE}")
        return Draft(document, "").shot(shot_id)

    async def project_shots(self, path: str) -> ProjectShots:
        """The shots of project.json. Sequences that cannot be read, and ids that stand twice, are no errors here."""
        project = await self._sequences.project(path)
        if not project.has_project_file:
            return ProjectShots(document=None, copies=(), unreachable=project.unreachable)
        document = await self._sequences.project_file(path)
        found = copies.found(project, document)
        return ProjectShots(document=document, copies=found, unreachable=project.unreachable)

    async def update_shot(self, path: str, sequence_id: str, edit: Edit, caller: Caller) -> Outcome:
        """Change a shot of a named sequence; it never falls back to another place."""
        identity.shot_id(edit.shot_id)
        return await self._change(path, sequence_id, lambda draft: Outcome(shots=(draft.edit(edit),)), caller)

    async def update_project_shot(self, path: str, edit: Edit, caller: Caller) -> Outcome:
        """Change a shot that stands only in project.json."""
        identity.shot_id(edit.shot_id)

        def choose(project: Project) -> str:
            refuse_copy(project, edit.shot_id)
            return PROJECT_FILE

        target = Target(name=PROJECT_FILE, choose=choose)
        return await self._sequences.change(path, target, lambda draft: Outcome(shots=(draft.edit(edit),)), caller)

    async def update_shots(self, path: str, batch: Batch, caller: Caller) -> Outcome:
        """Change many shots with one write for each file. What is refused is named in the outcome, or refuses all."""
        named = {each.sequence_id for each in batch.edits}
        if len(named) == 1:
            seen: list[Project] = []

            def choose(project: Project) -> str:
                seen[:] = [project]
                if not sequence_id:
                    return PROJECT_FILE
                return find_sequence(project, identity.sequence_id(sequence_id)).document.file

            (sequence_id,) = named
            target = Target(name=_target_name(sequence_id), choose=choose)
            return await self._sequences.change(path, target, lambda draft: batch.apply(draft, seen[0]), caller)
        # A plan sees the sequences only. Were project.json to change behind this look, a refusal would refuse all.
        project_file = await self._project_file_or_fault(path) if "" in named else None
        return await self._sequences.change_many(path, batch.plan(project_file), caller)

    async def create_sequence(
        self, path: str, sequence_id: str, document: Mapping[str, Json], caller: Caller
    ) -> Outcome:
        """Make a sequence with these members; without an id it gets the next free number."""
        deleted = [each.sequence_id for each in await self._sequences.trash(path)]
        new = sequence_plans.new_sequence(sequence_id, document, self._clock(), deleted, iter(self._new_id, None))
        return await self._sequences.change_many(path, sequence_plans.create(new), caller)

    async def update_sequence(
        self, path: str, sequence_id: str, updates: Mapping[str, Json], etag: str | None, caller: Caller
    ) -> Outcome:
        """Change a sequence's own members, but neither its id nor its shots."""

        def apply(draft: Draft) -> Outcome:
            draft.apply(SetMembers(updates=updates, etag=etag))
            return Outcome(sequences=(sequence_plans.state(draft),))

        return await self._change(path, sequence_id, apply, caller)

    async def delete_sequence(self, path: str, sequence_id: str, etag: str | None, caller: Caller) -> Outcome:
        """Move a sequence's file to the trash, and take the copies of its shots out of project.json."""
        plan = sequence_plans.delete(identity.sequence_id(sequence_id), etag)
        return await self._delete(path, plan, caller, lambda: self._sequences.change_many(path, plan, caller))

    async def reorder_sequences(self, path: str, sequence_ids: Sequence[str], caller: Caller) -> Outcome:
        """Give the sequences another playing order."""
        plan = sequence_plans.reorder([identity.sequence_id(each) for each in sequence_ids])
        return await self._sequences.change_many(path, plan, caller)

    async def create_shot(
        self, path: str, sequence_id: str, document: Mapping[str, Json], place: Place, caller: Caller
    ) -> Outcome:
        """Put a new shot into a sequence; without an id it gets a new UUID."""
        own = document.get("id")
        if own is not None and (isinstance(own, Number) or not isinstance(own, str)):
            raise invalid_field("document_json", "id must be a text")
        shot_id = identity.shot_id(self._new_id() if own is None else own)
        whole = document if own is not None else {"id": shot_id, **{n: v for n, v in document.items() if n != "id"}}

        def apply(draft: Draft) -> Outcome:
            draft.apply(Insert(document=whole, place=place))
            return Outcome(shots=(draft.shot(shot_id),))

        return await self._change(path, sequence_id, apply, caller, adds=shot_id)

    async def delete_shot(self, path: str, sequence_id: str, shot_id: str, etag: str | None, caller: Caller) -> Outcome:
        """Take a shot out of its sequence, and its copy out of project.json."""
        step = Remove(shot_id=identity.shot_id(shot_id), etag=etag)
        plan = moving.remove(identity.sequence_id(sequence_id), step)

        def apply(draft: Draft) -> Outcome:
            draft.apply(step)
            return Outcome()

        def alone() -> Awaitable[Outcome]:
            return self._change(path, sequence_id, apply, caller, structural=True)

        return await self._delete(path, plan, caller, alone, shot_id)

    async def move_shot(
        self,
        path: str,
        sequence_id: str,
        shot_id: str,
        target_sequence_id: str,
        place: Place,
        etag: str | None,
        caller: Caller,
    ) -> Outcome:
        """Give a shot another place in its sequence, or in another one."""
        identity.shot_id(shot_id)
        if target_sequence_id in ("", sequence_id):
            step = Reorder(shot_id=shot_id, place=place, etag=etag)

            def apply(draft: Draft) -> Outcome:
                draft.apply(step)
                return Outcome(shots=(draft.shot(shot_id),))

            return await self._change(path, sequence_id, apply, caller)
        source, target = identity.sequence_id(sequence_id), identity.sequence_id(target_sequence_id)
        plan = moving.move(shot_id, source, target, place, etag)
        return await self._sequences.change_many(path, plan, caller)

    async def versions(self, path: str, sequence_id: str, shot_id: str = "") -> tuple[str, Sequence[Version]]:
        """The file and its versions, newest first; with a shot id those in which the shot is not as before."""
        file = await self._past(path, sequence_id)
        versions = await self._sequences.versions(path, file)
        if not shot_id:
            return file, versions
        identity.shot_id(shot_id)
        # Oldest first; what cannot be read of the past has no shots.
        etags = [await self._shot_etag(path, file, each, shot_id) for each in reversed(versions)]
        changed = past.changed(etags)
        return file, [each for each, differs in zip(versions, reversed(changed), strict=True) if differs]

    async def version(self, path: str, sequence_id: str, revision: int) -> tuple[Version, Document]:
        """A version with its content."""
        file = await self._past(path, sequence_id)
        document = await self._sequences.version(path, file, revision)
        versions = await self._sequences.versions(path, file)
        # The revision of a deletion means the last version before it.
        if found := next((each for each in versions if each.revision <= revision), None):
            return found, document
        raise faults.version_not_found(file, revision)

    async def differences(
        self, path: str, sequence_id: str, earlier: int, later: int | None, shot_id: str = ""
    ) -> past.Differences:
        """What is different between two versions of a file, or between one and what the file holds now."""
        if shot_id:
            identity.shot_id(shot_id)
        file = await self._past(path, sequence_id)
        before = await self._sequences.version(path, file, earlier)
        if later is not None:
            after = await self._sequences.version(path, file, later)
        elif not sequence_id:
            after = await self._sequences.project_file(path)
        else:
            after = (await self.sequence(path, sequence_id)).document
        return past.differences(before, after, shot_id)

    async def restore(
        self, path: str, sequence_id: str, revision: int, shot_id: str, etag: str | None, caller: Caller
    ) -> Outcome:
        """Bring back a version of a file, one shot of it, or a deleted sequence."""
        # The version may be gone by the time that its request is sent again.
        if caller.request and (known := await self._sequences.answered(path, caller.request)):
            return known
        file = await self._past(path, sequence_id)
        version = await self._sequences.version(path, file, revision)
        if shot_id:
            return await self._restore_shot(path, sequence_id, version, revision, shot_id, etag, caller)
        if not await self._is_good(path, file):
            return await self._sequences.change_many(path, sequence_plans.bring_back(version, etag), caller)

        def choose(project: Project) -> str:
            past.refuse_doubles(project, version)
            return file

        def apply(draft: Draft) -> Outcome:
            past.put_back(draft, version, etag)
            return Outcome(sequences=(sequence_plans.state(draft),))

        target = Target(name=_target_name(sequence_id), choose=choose, structural=True)
        return await self._sequences.change(path, target, apply, caller)

    async def trash(self, path: str) -> Sequence[Trashed]:
        """Deleted sequences that can be brought back, newest first."""
        return await self._sequences.trash(path)

    async def watch(self, path: str, after: int | None, log_id: str = "") -> Watch:
        """Follow the changes of a project behind a revision."""
        return await self._sequences.watch(path, after, log_id)

    async def _change(
        self,
        path: str,
        sequence_id: str,
        apply: Apply,
        caller: Caller,
        *,
        structural: bool = False,
        adds: str = "",  # a shot that no other sequence may hold
    ) -> Outcome:
        identity.sequence_id(sequence_id)
        chosen: list[SequenceFile] = []

        def choose(project: Project) -> str:
            chosen[:] = [find_sequence(project, sequence_id)]
            if adds:
                refuse_shots_of_others(project, [adds], chosen[0].document.file)
            return chosen[0].document.file

        def checked(draft: Draft) -> Outcome:
            if draft.sequence_id != chosen[0].id:  # another program renumbered the file just now
                raise faults.sequence_not_found(sequence_id)
            return apply(draft)

        target = Target(name=_target_name(sequence_id), choose=choose, structural=structural or bool(adds))
        return await self._sequences.change(path, target, checked, caller)

    async def _delete(
        self,
        path: str,
        plan: Plan,
        caller: Caller,
        alone: Callable[[], Awaitable[Outcome]],
        shot_id: str = "",  # the only one that goes
    ) -> Outcome:
        """Carry out a deletion together with the copies in project.json; alone where they cannot be taken out."""
        for _ in range(_TRIES):
            found = await self._project_file_or_fault(path)
            if isinstance(found, Fault) or (shot_id and shot_id not in found.positions):
                break
            try:
                return await self._sequences.change_many(path, copies.taken_along(plan, found), caller)
            except Fault as fault:
                if fault.reason not in _OF_PROJECT_FILE:
                    raise
        return await alone()

    async def _restore_shot(
        self,
        path: str,
        sequence_id: str,
        version: Document,
        revision: int,
        shot_id: str,
        etag: str | None,
        caller: Caller,
    ) -> Outcome:
        index = version.find(identity.shot_id(shot_id))
        if index is None:
            raise faults.shot_not_found(shot_id, f"revision {revision} of {version.file}")

        def choose(project: Project) -> str:
            if not sequence_id:
                refuse_copy(project, shot_id)
                return PROJECT_FILE
            file = find_sequence(project, sequence_id).document.file
            refuse_shots_of_others(project, [shot_id], file)
            return file

        def apply(draft: Draft) -> Outcome:
            shot = moving.bring_back(draft, version, index, etag)
            return Outcome(shots=(shot,), sequences=(sequence_plans.state(draft),))

        target = Target(name=_target_name(sequence_id), choose=choose, structural=True)
        return await self._sequences.change(path, target, apply, caller)

    async def _past(self, path: str, sequence_id: str) -> str:
        """The file whose versions are meant; an empty id means project.json."""
        if sequence_id:
            identity.sequence_id(sequence_id)
        project = await self._sequences.project(path)
        return find_past(project, await self._sequences.trash(path), sequence_id)

    async def _is_good(self, path: str, file: str) -> bool:
        """Whether a file is there and can be read."""
        if file != PROJECT_FILE:
            project = await self._sequences.project(path)
            return any(each.document.file == file for each in project.sequences)
        found = await self._project_file_or_fault(path)
        if isinstance(found, Fault) and found.reason not in ("SEQUENCE_FILE_INVALID", "PROJECT_NOT_FOUND"):
            raise found
        return isinstance(found, Document)

    async def _project_file_or_fault(self, path: str) -> Document | Fault:
        try:
            return await self._sequences.project_file(path)
        except Fault as fault:
            return fault.again()

    async def _shot_etag(self, path: str, file: str, version: Version, shot_id: str) -> str | None:
        """The etag that a shot has in a version; None where it is not there, or the version cannot be read."""
        try:
            document = await self._sequences.version(path, file, version.revision)
            index = document.find(shot_id)
        except Fault as fault:
            if fault.reason not in ("VERSION_NOT_FOUND", "SEQUENCE_FILE_INVALID", "DUPLICATE_ID"):
                raise
            return None
        return None if index is None else document.shot_etag(index)


def _target_name(sequence_id: str) -> str:
    return f"sequence {sequence_id!r}" if sequence_id else PROJECT_FILE
