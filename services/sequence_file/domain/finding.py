"""Which file a caller means: sequences and shots found by their ids in a project."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from services.kernel.faults import Fault
from services.sequence_file.domain import faults, identity
from services.sequence_file.domain.changes import Trashed
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.ports import PROJECT_FILE, Project, SequenceFile, Unreachable


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
    for matches in _ways_to_mean(sequence_id):
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


def find_past(project: Project, trash: Sequence[Trashed], sequence_id: str) -> str:
    """The file whose versions are meant: of a sequence that is there, that cannot be read, or that was deleted.

    An empty id means project.json.
    """
    if not sequence_id:
        return PROJECT_FILE
    for matches in _ways_to_mean(sequence_id):
        there = {file for file, known in files_of(project) if matches(known)}
        if len(there) > 1:
            break
        if there:
            return there.pop()
        if deleted := next((each for each in trash if matches(each.sequence_id)), None):
            return deleted.file
    return find_sequence(project, sequence_id).document.file  # which says why not


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


def refuse_shots_of_others(project: Project, shot_ids: Iterable[str], file: str) -> None:
    """Raise SHOT_EXISTS where a sequence other than that of `file` holds one of the shots.

    Files that cannot be read do not count: one broken file must not stop the work in all others.
    """
    others = [each for each in project.sequences if each.document.file != file]
    for shot_id in shot_ids:
        if holder := next((each for each in others if shot_id in each.document.positions), None):
            raise faults.shot_exists(shot_id, holder.document.file)


def refuse_sequence_of_others(project: Project, sequence_id: str, file: str) -> None:
    """Raise SEQUENCE_EXISTS where a sequence of another file has the id, or one that means the same."""
    for other, known in files_of(project):
        if other != file and means(known, sequence_id):
            raise faults.sequence_exists(sequence_id, other)


def files_of(project: Project) -> Iterator[tuple[str, str]]:
    """The sequence files of a project with their ids, good and unreachable ones."""
    for good in project.sequences:
        yield good.document.file, good.id
    for bad in project.unreachable:
        yield bad.file, bad.id


def means(known: str, asked: str) -> bool:
    """Whether an id means a sequence, `known` being the sequence's own."""
    return bool(known) and identity.normal(known) == identity.normal(asked)


def _ways_to_mean(sequence_id: str) -> tuple[Callable[[str], bool], ...]:
    return (lambda known: known == sequence_id), (lambda known: means(known, sequence_id))


def _holds(document: Document, shot_id: str) -> bool:
    return document.find(shot_id) is not None


def _playing_order(each: SequenceFile) -> tuple[bool, float, str]:
    order = each.document.head.order
    return order is None, order or 0.0, each.document.file


def _hint(unreachable: Sequence[Unreachable]) -> str:
    if not unreachable:
        return ""
    first: Fault = unreachable[0].fault
    return f"; {len(unreachable)} file(s) of the project cannot be read: {first.message}"
