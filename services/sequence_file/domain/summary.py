"""One line for people on what a change did."""

from collections.abc import Iterable, Sequence

from services.sequence_file.domain import diff, stamps, totals
from services.sequence_file.domain.changes import FileChange, ShotChange, What
from services.sequence_file.domain.document import Document

_NAMES = 3  # that are spelled out; the others are counted
_LONGEST = 60  # characters of one name
_COMPARED = 100  # shots that are compared member by member for the sake of a summary
_FIGURES = {"number", "position"}
_DONE = {What.CREATED: "added", What.DELETED: "removed", What.MOVED: "moved", What.UPDATED: "changed"}


def of_edit(shot_id: str, paths: Iterable[str]) -> str:
    """One shot with other members: `arrival-1: generation.prompt`."""
    return f"{_name(shot_id)}: {_some(list(paths))}"


def of_steps(members: Sequence[str], shots: Sequence[tuple[str, What, Sequence[str]]]) -> str:
    """Members of the document, and shots with what became of them and of which of their members; "": nothing."""
    said = [_some(members)] if members else []
    for what in (What.CREATED, What.DELETED, What.MOVED, What.UPDATED):
        these = [(shot_id, paths) for shot_id, kind, paths in shots if kind is what]
        if len(these) == 1:
            said.append(_one(what, *these[0]))
        elif these:
            verb = "" if what is What.UPDATED else f" {_DONE[what]}"
            said.append(f"{len(these)} shots{verb}: {_some([shot_id for shot_id, _ in these])}")
    return "; ".join(said)


def of_shots(changes: Sequence[ShotChange], before: Document, after: Document) -> str:
    """What became of a document: `name, order; arrival-1: generation.prompt`. Never empty where bytes are different."""
    rearranged = any(each.what is not What.UPDATED for each in changes)
    shots: list[tuple[str, What, Sequence[str]]] = []
    for each in changes:
        paths = _paths(each, before, after) if len(changes) <= _COMPARED else []
        # Shots behind a place where one came or went only have other numbers.
        if not (rearranged and each.what is What.UPDATED and (len(changes) > _COMPARED or _FIGURES.issuperset(paths))):
            shots.append((each.id, each.what, paths))
    known = {*stamps.PATHS, *(_follows() if changes else ())}
    members = [path for each in diff.members(before, after) if (path := diff.path_of(each.pointer)) not in known]
    if said := of_steps(members, shots):
        return said
    return "" if before.raw == after.raw else "formatting" if diff.nameable(before, after) else "shots without an id"


def of_files(changes: Sequence[FileChange]) -> str:
    """What became of several files, or of one as a whole: `sequence 004 added`, `arrival-1 moved to sequence 002`."""
    left = {shot.id for each in changes for shot in each.shots if shot.what is What.DELETED}
    changes = [each for each in changes if not _only_copies_went(each, changes)]
    for each in changes:
        for shot in each.shots:
            if shot.what is What.CREATED and shot.id in left:
                return f"{_name(shot.id)} moved to {_file(each)}"
    if len(changes) == 1 or any(each.what is not What.UPDATED for each in changes):
        return "; ".join(_whole(each) for each in changes if each.what is not What.UPDATED or len(changes) == 1)
    return f"{len(changes)} files: {_some([_file(each) for each in changes])}"


def _one(what: What, shot_id: str, paths: Sequence[str]) -> str:
    if what is What.UPDATED:
        return of_edit(shot_id, paths)
    also = [path for path in paths if path not in _FIGURES]
    return f"{_name(shot_id)} {_DONE[what]}{f' ({_some(also)})' if also else ''}"


def _paths(change: ShotChange, before: Document, after: Document) -> Sequence[str]:
    if change.what not in (What.UPDATED, What.MOVED):
        return []
    old, new = before.positions[change.id], after.positions[change.id]
    return diff.changed_paths(before.shot(old), after.shot(new)) or ["order of members"]


def _follows() -> Iterable[str]:
    """Members that follow from the shots."""
    for name in (*totals.LENGTHS, *totals.COUNTS):
        yield name
        yield f"metadata.{name}"


def _whole(change: FileChange) -> str:
    if change.what is What.UPDATED and change.shots:
        # Where a shot came or went, the others only have other numbers.
        rearranged = [shot for shot in change.shots if shot.what is not What.UPDATED]
        return of_steps([], [(shot.id, shot.what, []) for shot in rearranged or change.shots])
    return f"{_file(change)} {_DONE.get(change.what, 'cannot be read')}"


def _only_copies_went(change: FileChange, changes: Sequence[FileChange]) -> bool:
    """Whether project.json only lost shots that another file lost, too."""
    elsewhere = {shot.id for each in changes if each.sequence_id for shot in each.shots if shot.what is What.DELETED}
    went = {shot.id for shot in change.shots if shot.what is What.DELETED}
    return not change.sequence_id and 0 < len(change.shots) == len(went & elsewhere)


def _file(change: FileChange) -> str:
    return f"sequence {change.sequence_id}" if change.sequence_id else change.file


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(_name(each) for each in names[:_NAMES])
    return f"{shown} and {len(names) - _NAMES} more" if len(names) > _NAMES else shown or "other members"


def _name(text: str) -> str:
    clean = text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)
    return clean if len(clean) <= _LONGEST else f"{clean[: _LONGEST - 1]}…"
