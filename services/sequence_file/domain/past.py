"""What a file was: versions compared, and put back in the place of what is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from services.kernel.faults import Current
from services.sequence_file.domain import diff, faults, identity
from services.sequence_file.domain.diff import Difference
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.finding import refuse_sequence_of_others, refuse_shots_of_others
from services.sequence_file.domain.ports import PROJECT_FILE, Project

MOST_DIFFERENCES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """What is different between two versions, value by value."""

    listed: Sequence[Difference]  # at most MOST_DIFFERENCES, in the order of the later version
    truncated: bool  # whether there are more


def differences(before: Document, after: Document, shot_id: str) -> Differences:
    """What became of a document, or of one shot. Raises SHOT_NOT_FOUND where neither version has it."""
    if shot_id and before.find(shot_id) is None and after.find(shot_id) is None:
        raise faults.shot_not_found(shot_id, f"either version of {after.file}")
    found = list(islice(diff.differences(before, after, shot_id), MOST_DIFFERENCES + 1))
    return Differences(listed=found[:MOST_DIFFERENCES], truncated=len(found) > MOST_DIFFERENCES)


def changed(etags: Sequence[str | None]) -> list[bool]:
    """Which of a shot's states, oldest first, are not as the one before; None: it was not there."""
    return [etag != before for before, etag in zip((None, *etags), etags, strict=False)]


def put_back(draft: Draft, version: Document, etag: str | None) -> None:
    """Give a file the content of a version; `etag` is what the caller last saw. Raises ETAG_MISMATCH."""
    if draft.base.raw != version.raw and etag is not None and (draft.changed or etag != draft.base.etag):
        # Where others changed it in the same batch, it has an etag that nobody could have seen yet.
        raise faults.etag_mismatch(
            Current(etag="" if draft.changed else draft.base.etag, document_json=None), "sequence"
        )
    draft.replace(version.raw)


def refuse_doubles(project: Project, version: Document) -> None:
    """Raise where a version holds what has gone elsewhere since: SHOT_EXISTS for a shot, SEQUENCE_EXISTS for its id.

    Shot ids that both files had all along are left alone, and so is project.json, which may have copies.
    """
    if version.file == PROJECT_FILE:
        return
    there = next((each.document for each in project.sequences if each.document.file == version.file), None)
    gone = version.positions.keys() - (there.positions.keys() if there else set())
    refuse_sequence_of_others(project, identity.id_of(version.head.id, version.file), version.file)
    refuse_shots_of_others(project, sorted(gone), version.file)
