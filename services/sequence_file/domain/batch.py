"""Many edits as one change: of shots anywhere in a project, each refused alone, or one with all others."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.kernel.faults import Fault
from services.sequence_file.domain import faults, identity
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.finding import find_holder, find_sequence
from services.sequence_file.domain.ports import PROJECT_FILE, Outcome, Plan, Planned, Project, Refusal, Work
from services.sequence_file.domain.steps import Edit


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotEdit:
    """An edit, and the sequence whose shot it is for."""

    sequence_id: str  # "": a regular shot of project.json
    edit: Edit


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Edits in the order in which they are applied."""

    edits: Sequence[ShotEdit]
    all_or_nothing: bool  # whether one that is refused refuses all

    def apply(self, draft: Draft, project: Project) -> Outcome:
        """Apply all edits to the one file that they are for.

        Where one refuses all, those before it are still in the draft: who called takes the whole turn back.
        """

        def draft_for(each: ShotEdit) -> Draft:
            if not each.sequence_id:
                refuse_copy(project, each.edit.shot_id)
            return draft

        return self._apply(draft_for)

    def plan(self, project_file: Document | Fault | None) -> Plan:
        """The change of several files. What is refused is found out on drafts that nobody writes.

        `project_file` is project.json as it was read, or why it could not be; None where no edit is for it.
        """

        def plan(project: Project) -> Planned:
            drafts = _Drafts(project, project_file)
            tried = self._apply(drafts.draft_for)
            refused = {each.index for each in tried.refusals}
            made = [each.edit for index, each in enumerate(self.edits) if index not in refused]
            steps: defaultdict[str, list[Edit]] = defaultdict(list)
            for edit, shot in zip(made, tried.shots, strict=True):
                steps[shot.file].append(edit)
            works = tuple(
                Work(file=file, sequence_id=drafts.by_file[file].sequence_id, steps=tuple(edits))
                for file, edits in steps.items()
            )

            def outcome(written: Sequence[Draft]) -> Outcome:
                by_file = {draft.base.file: draft for draft in written}
                shots = tuple(by_file[shot.file].shot(shot.id) for shot in tried.shots)
                return Outcome(shots=shots, refusals=tried.refusals)

            return Planned(works=works, outcome=outcome)

        return plan

    def _apply(self, draft_for: Callable[[ShotEdit], Draft]) -> Outcome:
        made: list[tuple[Draft, str]] = []
        refusals: list[Refusal] = []
        for index, each in enumerate(self.edits):
            try:
                identity.shot_id(each.edit.shot_id)
                draft = draft_for(each)
                draft.edit(each.edit)
            except Fault as fault:
                refusal = fault.again()
                if self.all_or_nothing:
                    refusal.metadata["edit_index"] = str(index)
                    raise refusal from None
                refusals.append(Refusal(index=index, fault=refusal))
            else:
                made.append((draft, each.edit.shot_id))
        # As all of them left the shots: two edits may be for one.
        return Outcome(shots=tuple(draft.shot(shot_id) for draft, shot_id in made), refusals=tuple(refusals))


class _Drafts:
    """A draft of each file that edits are for."""

    def __init__(self, project: Project, project_file: Document | Fault | None) -> None:
        self.by_file: dict[str, Draft] = {}
        self._project = project
        self._project_file = project_file
        self._known: dict[str, Draft | Fault] = {}  # by the sequences that the edits name

    def draft_for(self, each: ShotEdit) -> Draft:
        """Raises what keeps the sequence from being found."""
        if each.sequence_id not in self._known:
            try:
                self._known[each.sequence_id] = self._find(each.sequence_id)
            except Fault as fault:
                self._known[each.sequence_id] = fault
        if isinstance(known := self._known[each.sequence_id], Fault):
            raise known.again()
        if not each.sequence_id:
            refuse_copy(self._project, each.edit.shot_id)
        return known

    def _find(self, sequence_id: str) -> Draft:
        if not sequence_id:
            if isinstance(self._project_file, Fault):
                raise self._project_file.again()
            assert self._project_file
            return self._draft(self._project_file, "")
        found = find_sequence(self._project, identity.sequence_id(sequence_id))
        return self._draft(found.document, found.id)

    def _draft(self, document: Document, sequence_id: str) -> Draft:
        return self.by_file.setdefault(document.file, Draft(document, sequence_id))


def refuse_copy(project: Project, shot_id: str) -> None:
    """Raise where a shot of project.json is a copy of a sequence's shot, could be one, or cannot be there at all."""
    if holder := find_holder(project, shot_id):
        raise faults.shot_is_a_copy(shot_id, holder.id, holder.document.file)
    if not project.has_project_file:
        raise faults.shot_not_found(shot_id, f"the project, which has no {PROJECT_FILE}")
