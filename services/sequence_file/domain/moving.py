"""A shot that goes: to another place in its sequence, into another one, back to where a version had it, or away."""

from services.kernel.faults import Current
from services.sequence_file.domain import faults
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Draft, Shot
from services.sequence_file.domain.finding import find_sequence
from services.sequence_file.domain.ports import Outcome, Plan, Planned, Project, Work
from services.sequence_file.domain.steps import InsertRaw, Place, Remove, Reorder


def move(shot_id: str, source_id: str, target_id: str, place: Place, etag: str | None) -> Plan:
    """Move a shot from one sequence to another. It is put into its new place before it leaves the old one.

    Raises SHOT_NOT_FOUND, ETAG_MISMATCH; its steps raise SHOT_EXISTS where the target has such a shot.
    """

    def plan(project: Project) -> Planned:
        source, target = find_sequence(project, source_id), find_sequence(project, target_id)
        if source.document.file == target.document.file:
            step = Reorder(shot_id=shot_id, place=place, etag=etag)
            works: tuple[Work, ...] = (Work(file=source.document.file, sequence_id=source.id, steps=(step,)),)
        else:
            shot = Draft(source.document, source.id).shot(shot_id)
            refuse_stale(etag, shot)
            works = (
                Work(
                    file=target.document.file,
                    sequence_id=target.id,
                    steps=(InsertRaw(document=shot.document, place=place, source=source.id),),
                ),
                Work(file=source.document.file, sequence_id=source.id, steps=(Remove(shot_id=shot_id),)),
            )
        return Planned(works=works, outcome=lambda drafts: Outcome(shots=(drafts[0].shot(shot_id),)))

    return plan


def remove(sequence_id: str, step: Remove) -> Plan:
    """Take a shot out of its sequence. The step raises SHOT_NOT_FOUND, ETAG_MISMATCH."""

    def plan(project: Project) -> Planned:
        found = find_sequence(project, sequence_id)
        work = Work(file=found.document.file, sequence_id=found.id, steps=(step,))
        return Planned(works=(work,), outcome=lambda _: Outcome())

    return plan


def bring_back(draft: Draft, version: Document, index: int, etag: str | None) -> Shot:
    """Give a shot the content that a version has at `index`; one that is gone returns to the place that it had.

    Raises ETAG_MISMATCH.
    """
    shot_id, raw = str(version.shot_ids[index]), version.shot(index)
    there = draft.shot(shot_id) if draft.has(shot_id) else None
    if there is None:
        refuse_stale(etag, None)
        place = _former_place(draft, version, index)
        draft.apply(InsertRaw(document=raw, place=place, source=draft.sequence_id))
        return draft.shot(shot_id)
    back = draft.put_back(shot_id, raw)
    if back.etag != there.etag:
        refuse_stale(etag, there)
    return back


def refuse_stale(etag: str | None, there: Shot | None) -> None:
    """Raise ETAG_MISMATCH where a shot is not what the caller last saw; None: there is none."""
    if etag is not None and (there is None or etag != there.etag):
        current = Current(etag=there.etag, document_json=there.document.decode()) if there else None
        raise faults.etag_mismatch(current or Current(etag="", document_json=None))


def _former_place(draft: Draft, version: Document, index: int) -> Place:
    """Behind the nearest of the shots that stood before it and are still there."""
    for before in reversed(version.shot_ids[:index]):
        if before is not None and draft.has(before):
            return Place(after=before)
    return Place(index=0)
