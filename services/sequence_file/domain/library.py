"""What can be asked of projects: find a sequence or a shot by its id, and change a shot."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from services.kernel.faults import Fault
from services.sequence_file.domain import faults, identity
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Draft, Edit, Shot
from services.sequence_file.domain.ports import (
    PROJECT_FILE,
    Project,
    Request,
    SequenceFile,
    Sequences,
    Target,
    Unreachable,
)


class Library:
    """The projects of this service. Errors are those of `domain.faults` and of `Sequences`."""

    def __init__(self, sequences: Sequences) -> None:
        self._sequences = sequences

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

    async def update_shot(
        self, path: str, sequence_id: str, edit: Edit, request: Request | None, deadline: float
    ) -> Shot:
        """Change a shot of a named sequence; it never falls back to another place."""
        identity.sequence_id(sequence_id)
        identity.shot_id(edit.shot_id)
        chosen: list[SequenceFile] = []

        def choose(project: Project) -> str:
            chosen[:] = [find_sequence(project, sequence_id)]
            return chosen[0].document.file

        def apply(draft: Draft) -> Shot:
            if draft.sequence_id != chosen[0].id:  # another program renumbered the file just now
                raise faults.sequence_not_found(sequence_id)
            return draft.edit(edit)

        target = Target(name=f"sequence {sequence_id!r}", choose=choose)
        return await self._sequences.change(path, target, apply, request, deadline)

    async def update_project_shot(self, path: str, edit: Edit, request: Request | None, deadline: float) -> Shot:
        """Change a shot that stands only in project.json."""
        identity.shot_id(edit.shot_id)

        def choose(project: Project) -> str:
            if holder := find_holder(project, edit.shot_id):
                raise faults.shot_is_a_copy(edit.shot_id, holder.id, holder.document.file)
            if not project.has_project_file:
                raise faults.shot_not_found(edit.shot_id, "the project, which has no project.json")
            return PROJECT_FILE

        target = Target(name=PROJECT_FILE, choose=choose)
        return await self._sequences.change(path, target, lambda draft: draft.edit(edit), request, deadline)


def arranged(path: str, good: Iterable[SequenceFile], bad: Iterable[Unreachable], has_project_file: bool) -> Project:
    """A project in playing order: `order` ascending, missing last, then file name. Two files with one id are bad."""
    by_id: defaultdict[str, list[SequenceFile]] = defaultdict(list)
    for each in sorted(good, key=_playing_order):
        by_id[each.id].append(each)
    cannot_be_meant = list(bad)
    for sequence_id, files in by_id.items():
        if len(files) > 1:
            first, second = files[0].document.file, files[1].document.file
            fault = faults.duplicate_id(f"the sequence id {sequence_id!r}", first, second)
            cannot_be_meant += [Unreachable(file=each.document.file, id=sequence_id, fault=fault) for each in files]
    return Project(
        path=path,
        sequences=tuple(files[0] for files in by_id.values() if len(files) == 1),
        unreachable=tuple(sorted(cannot_be_meant, key=lambda each: each.file)),
        has_project_file=has_project_file,
    )


def unreachable(file: str, fault: Fault) -> Unreachable:
    """A file that cannot be read, with the id that it states before it breaks, else the one of its name."""
    return Unreachable(file=file, id=fault.metadata.get("stated_id") or identity.id_from_name(file) or "", fault=fault)


def find_sequence(project: Project, sequence_id: str) -> SequenceFile:
    """The sequence with this id: exactly, else the only one that means the same number."""
    for matches in (lambda known: known == sequence_id, lambda known: _means(known, sequence_id)):
        good = [each for each in project.sequences if matches(each.id)]
        bad = [each for each in project.unreachable if matches(each.id)]
        if bad and not good:
            raise bad[0].fault.again()
        if len(good) == 1 and not bad:
            return good[0]
        if good:
            names = [each.document.file for each in good] + [each.file for each in bad]
            raise faults.sequence_not_found(sequence_id, f": it could mean any of {', '.join(names)}")
    raise faults.sequence_not_found(sequence_id, _hint(project.unreachable))


def find_holder(project: Project, shot_id: str) -> SequenceFile | None:
    """The sequence that holds a shot. Raises when two do, or when an unreadable file might."""
    holders = [each for each in project.sequences if _holds(each.document, shot_id)]
    if len(holders) > 1:
        first, second = (each.document.file for each in holders[:2])
        raise faults.duplicate_id(f"the shot id {shot_id!r}", first, second)
    if holders:
        return holders[0]
    if project.unreachable:
        # The shot may stand in there; to answer with its copy in project.json would be to guess.
        raise project.unreachable[0].fault.again()
    return None


def _holds(document: Document, shot_id: str) -> bool:
    return document.find(shot_id) is not None


def _means(known: str, asked: str) -> bool:
    return bool(known) and identity.normal(known) == identity.normal(asked)


def _playing_order(each: SequenceFile) -> tuple[bool, float, str]:
    order = each.document.head.order
    return order is None, order or 0.0, each.document.file


def _hint(unreachable: Sequence[Unreachable]) -> str:
    if not unreachable:
        return ""
    first: Fault = unreachable[0].fault
    return f"; {len(unreachable)} file(s) of the project cannot be read: {first.message}"
