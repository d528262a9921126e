"""Shots of project.json that mirror those of sequences.

A copy goes when its shot does: left behind, it would count as a shot of project.json from then on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.sequence_file.domain.document import Document
from services.sequence_file.domain.ports import PROJECT_FILE, Plan, Planned, Project, SequenceFile, Work
from services.sequence_file.domain.steps import Remove


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A shot of project.json that mirrors one of a sequence."""

    index: int  # among the shots of project.json
    id: str
    sequence_id: str  # of the first sequence that holds it
    stale: bool  # whether the sequence has another content


def found(project: Project, project_file: Document) -> Sequence[Copy]:
    """The copies in project.json, in the order of the file."""
    holders: dict[str, SequenceFile] = {}
    for sequence in reversed(project.sequences):  # the first one counts
        holders |= dict.fromkeys(sequence.document.positions, sequence)
    copies: list[Copy] = []
    for index, shot_id in enumerate(project_file.shot_ids):
        if shot_id is not None and (holder := holders.get(shot_id)):
            etag = holder.document.shot_etag(holder.document.positions[shot_id])
            stale = etag != project_file.shot_etag(index)
            copies.append(Copy(index=index, id=shot_id, sequence_id=holder.id, stale=stale))
    return copies


def taken_along(deletion: Plan, project_file: Document) -> Plan:
    """The deletion of shots or sequences, with the copies that project.json had of them when it was read.

    What another sequence holds, too, still has a copy; ids that stand twice in project.json cannot be meant.
    """

    def plan(project: Project) -> Planned:
        planned = deletion(project)
        if not project.has_project_file:
            return planned
        changed = {work.file for work in planned.works}
        others = [each.document for each in project.sequences if each.document.file not in changed]
        steps = tuple(
            Remove(shot_id=shot_id)
            for shot_id in dict.fromkeys(_gone(project, planned))
            if shot_id in project_file.positions
            and shot_id not in project_file.duplicates
            and not any(shot_id in other.positions for other in others)
        )
        if not steps:
            return planned
        work = Work(file=PROJECT_FILE, sequence_id="", steps=steps)
        # Nobody asked for the copies, so nothing of them is answered.
        return Planned(works=(*planned.works, work), outcome=lambda drafts: planned.outcome(drafts[:-1]))

    return plan


def _gone(project: Project, planned: Planned) -> Iterator[str]:
    """Ids of the shots that a plan takes out of the project."""
    by_file = {each.document.file: each.document for each in project.sequences}
    for work in planned.works:
        if work.delete:
            yield from by_file[work.file].positions
        yield from (step.shot_id for step in work.steps if isinstance(step, Remove))
