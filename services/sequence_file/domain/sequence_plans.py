"""What becomes of whole sequences: made, deleted, brought back, put into another order.

A plan is a function of the project alone, because it runs again when the locks are held.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor

from services.kernel.faults import Current, invalid_field
from services.kernel.strict_json import Json, Number
from services.sequence_file.domain import faults, identity, patch
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.finding import (
    files_of,
    find_sequence,
    refuse_sequence_of_others,
    refuse_shots_of_others,
)
from services.sequence_file.domain.ports import (
    PROJECT_FILE,
    Outcome,
    Plan,
    Planned,
    Project,
    SequenceFile,
    SequenceState,
    Work,
)
from services.sequence_file.domain.steps import SetMembers

_LIKE_STRINGIFY = patch.Style("\n", "  ", ": ", ", ")  # JSON.stringify(…, null, 2)
# Ids of more digits are moments in time, and the next number is not counted on from those.
_DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSequence:
    """A sequence that is to be made."""

    id: str  # "": the next free number
    members: Mapping[str, Json]  # without `id`
    at: datetime
    deleted: tuple[str, ...]  # ids in the trash, which could be brought back: no number is given out twice


def new_sequence(
    sequence_id: str, document: Mapping[str, Json], at: datetime, deleted: Iterable[str], shot_ids: Iterable[str]
) -> NewSequence:
    """What a caller asked for. Shots that have no id are given the next one of `shot_ids`.

    Raises INVALID_SEQUENCE_ID, INVALID_FIELD.
    """
    members = dict(document)
    own = members.pop("id", None)
    if own is not None and not isinstance(own, str):
        raise invalid_field("document_json", "id must be a text or a number")
    if own and sequence_id and str(own) != sequence_id:
        raise invalid_field("document_json", "id is not that of sequence_id")
    if chosen := sequence_id or own or "":
        identity.sequence_id(str(chosen))
    if "shots" in members:
        members["shots"] = _shots(members["shots"], shot_ids)
    if not isinstance(members.get("metadata", {}), dict):
        raise invalid_field("document_json", "metadata must be an object")
    return NewSequence(id=str(chosen), members=members, at=at, deleted=tuple(deleted))


def create(new: NewSequence) -> Plan:
    """Make a sequence in a file of its own. Raises SEQUENCE_EXISTS, SHOT_EXISTS."""

    def plan(project: Project) -> Planned:
        sequence_id = new.id or _next_number(project, new.deleted)
        file = _file_name(sequence_id)
        if any(other == file for other, _ in files_of(project)):
            raise faults.sequence_exists(sequence_id, file)
        refuse_sequence_of_others(project, sequence_id, file)
        refuse_shots_of_others(project, _shot_ids(new.members.get("shots")), file)
        work = Work(file=file, sequence_id=sequence_id, content=_written(project, sequence_id, new))
        return Planned(works=(work,), outcome=lambda drafts: Outcome(sequences=(state(drafts[0]),)))

    return plan


def delete(sequence_id: str, etag: str | None) -> Plan:
    """Move a sequence's file to the trash. Raises ETAG_MISMATCH."""

    def plan(project: Project) -> Planned:
        found = find_sequence(project, sequence_id)
        refuse_stale(etag, found.document)
        work = Work(file=found.document.file, sequence_id=found.id, delete=True)
        return Planned(works=(work,), outcome=lambda drafts: Outcome(sequences=(state(drafts[0]),)))

    return plan


def reorder(sequence_ids: Sequence[str]) -> Plan:
    """Give the sequences the orders 1, 2, 3 …, in the files that have another one.

    Raises INVALID_FIELD where not each is named once, and what keeps one from being read.
    """

    def plan(project: Project) -> Planned:
        if project.unreachable:
            raise project.unreachable[0].fault.again()
        each_once = "must name each sequence of the project once"
        if len(sequence_ids) != len(project.sequences):
            raise invalid_field("sequence_ids", each_once)
        wanted = [find_sequence(project, each) for each in sequence_ids]
        if len({each.id for each in wanted}) != len(wanted):
            raise invalid_field("sequence_ids", each_once)
        works = tuple(
            Work(
                file=each.document.file,
                sequence_id=each.id,
                steps=(SetMembers(updates={"order": Number(str(order))}),),
            )
            for order, each in enumerate(wanted, 1)
            if each.document.head.order != order
        )

        def outcome(drafts: Sequence[Draft]) -> Outcome:
            changed = {draft.sequence_id: state(draft) for draft in drafts}
            return Outcome(sequences=tuple(changed.get(each.id) or state_as_read(each) for each in wanted))

        return Planned(works=works, outcome=outcome)

    return plan


def bring_back(version: Document, etag: str | None) -> Plan:
    """Put a version where its file is gone or cannot be read. Raises SEQUENCE_EXISTS, ETAG_MISMATCH.

    Shots that stand elsewhere now are no obstacle: whatever was lost can be brought back.
    """
    file = version.file
    is_project = file == PROJECT_FILE
    sequence_id = "" if is_project else identity.id_of(version.head.id, file)

    def plan(project: Project) -> Planned:
        there = project.has_project_file if is_project else any(other == file for other, _ in files_of(project))
        if not is_project:
            refuse_sequence_of_others(project, sequence_id, file)
        good = next((each.document for each in project.sequences if each.document.file == file), None)
        refuse_stale(etag, good)
        work = Work(file=file, sequence_id=sequence_id, content=version.raw, over=there)
        return Planned(works=(work,), outcome=lambda drafts: Outcome(sequences=(state(drafts[0]),)))

    return plan


def refuse_stale(etag: str | None, there: Document | None) -> None:
    """Raise ETAG_MISMATCH where the file is not what the caller last saw; None: nothing that can be read."""
    now = there.etag if there else ""
    if etag is not None and etag != now:
        raise faults.etag_mismatch(Current(etag=now, document_json=None), "sequence")


def state(draft: Draft) -> SequenceState:
    """A sequence as a draft leaves it; the etag is filled in by whoever writes it."""
    head = draft.head
    return SequenceState(
        id=draft.sequence_id,
        name=head.name,
        order=head.order,
        file=draft.base.file,
        shot_count=draft.shot_count,
        etag="",
    )


def state_as_read(found: SequenceFile) -> SequenceState:
    """A sequence as it is."""
    document = found.document
    return SequenceState(
        id=found.id,
        name=document.head.name,
        order=document.head.order,
        file=document.file,
        shot_count=len(document.starts),
        etag=document.etag,
    )


def _file_name(sequence_id: str) -> str:
    return f"sequences/sequence_{sequence_id}.json"


def _next_number(project: Project, deleted: Iterable[str]) -> str:
    """The number behind the highest one, in three digits; gaps are not filled, they may be somebody's memory."""
    files = dict(files_of(project))
    numbers = {identity.normal(known) for known in (*files.values(), *deleted)}
    numbers |= {identity.normal(named) for file in files if (named := identity.id_from_name(file))}
    counted = [int(each) for each in numbers if each.isdigit() and len(each) <= _DIGITS]
    return f"{max(counted, default=0) + 1:03}"


def _written(project: Project, sequence_id: str, new: NewSequence) -> bytes:
    """The file's first content: what the caller gave, and what was missing behind it."""
    document: dict[str, Json] = {"id": sequence_id, **new.members}
    orders = [each.document.head.order for each in project.sequences]
    # Without an order a sequence plays after all that have one, so beside such ones the end is to have none, too.
    if "order" not in document and None not in orders:
        document["order"] = Number(str(floor(max((each for each in orders if each is not None), default=0)) + 1))
    document.setdefault("shots", [])
    metadata = document.pop("metadata", None)
    time = new.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    times: dict[str, Json] = {name: time for name in ("created_at", "modified_at") if name not in document}
    if metadata is not None or times:
        document["metadata"] = times | (metadata if isinstance(metadata, dict) else {})
    return patch.rendered(document, _LIKE_STRINGIFY, "")


def _shots(shots: Json, shot_ids: Iterable[str]) -> list[Json]:
    if not isinstance(shots, list):
        raise invalid_field("document_json", "shots must be a list of objects")
    fresh = iter(shot_ids)
    out: list[Json] = []
    for each in shots:
        if not isinstance(each, dict):
            raise invalid_field("document_json", "shots must be a list of objects")
        out.append(each if "id" in each else {"id": next(fresh), **each})
    known = [identity.shot_id(each) for each in _shot_ids(out)]
    if len(known) != len(out):
        raise invalid_field("document_json", "the id of a shot must be a text or a number")
    if len(set(known)) != len(known):
        raise invalid_field("document_json", "two shots have one id")
    return out


def _shot_ids(shots: Json) -> list[str]:
    found = [each.get("id") for each in shots if isinstance(each, dict)] if isinstance(shots, list) else []
    return [str(each) for each in found if isinstance(each, str)]
