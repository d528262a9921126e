"""A line of the table of bad input, and the calls that stand in it.

In texts `<project>`, `<root>` and `<outside>` stand for paths, and other `<words>` for what a
situation has noted. Texts that are too large to be kept are functions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as default

from tests.services.asking import Ask
from tests.services.doors import Door
from tests.services.situations import Situation

Text = str | Callable[[], str]
UUID = "0195a1c2-7e00-7000-8000-000000000000"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    asks: Sequence[Ask]
    code: str
    reason: str | Mapping[str, str]  # or by the kind of door, where one refuses the value earlier
    given: Situation | None = None
    field: str = ""  # the request field that the answer names
    pointer: str | None = None  # within `updates_json`; a channel says it within all of its arguments
    metadata: Mapping[str, str] = default(default_factory=dict)
    says: Sequence[str] = ()  # words of the message
    retry: bool = False  # whether the answer says when to try again
    kinds: Sequence[str] = ("grpc", "connect", "ipc")  # of the doors that can be asked

    def reason_at(self, door: Door) -> str:
        return self.reason if isinstance(self.reason, str) else self.reason[door.kind]


def update(updates: Text = '{"prompt": "night"}', **fields: object) -> Ask:
    place: dict[str, object] = {"project_path": "<project>", "sequence_id": "001", "shot_id": "s1"}
    return Ask(method="UpdateShot", fields={**place, "updates_json": updates, **fields})


def update_loose(updates: Text = '{"prompt": "night"}', **fields: object) -> Ask:
    place: dict[str, object] = {"project_path": "<project>", "shot_id": "loose"}
    return Ask(method="UpdateProjectShot", fields={**place, "updates_json": updates, **fields})


def shots(**fields: object) -> Ask:
    return Ask(method="GetShots", fields={"project_path": "<project>", "sequence_id": "001", **fields})


def shot(**fields: object) -> Ask:
    return Ask(method="GetShot", fields={"project_path": "<project>", "shot_id": "s1", **fields})


def sequence(**fields: object) -> Ask:
    return Ask(method="GetSequence", fields={"project_path": "<project>", "sequence_id": "001", **fields})


def sequences(**fields: object) -> Ask:
    return Ask(method="ListSequences", fields={"project_path": "<project>", **fields})


def project_shots(**fields: object) -> Ask:
    return Ask(method="ListProjectShots", fields={"project_path": "<project>", **fields})


def create_sequence(document: Text = '{"name": "Finale"}', **fields: object) -> Ask:
    return Ask(method="CreateSequence", fields={"project_path": "<project>", "document_json": document, **fields})


def update_sequence(updates: Text = '{"name": "The end"}', **fields: object) -> Ask:
    return Ask(method="UpdateSequence", fields={**_IN_001, "updates_json": updates, **fields})


def delete_sequence(**fields: object) -> Ask:
    return Ask(method="DeleteSequence", fields={**_IN_001, **fields})


def reorder(*sequence_ids: object, **fields: object) -> Ask:
    order = list(sequence_ids) or ["002", "001"]
    return Ask(method="ReorderSequences", fields={"project_path": "<project>", "sequence_ids": order, **fields})


def create_shot(document: Text = '{"prompt": "fog"}', **fields: object) -> Ask:
    return Ask(method="CreateShot", fields={**_IN_001, "document_json": document, **fields})


def delete_shot(**fields: object) -> Ask:
    return Ask(method="DeleteShot", fields={**_IN_001, "shot_id": "s1", **fields})


def move_shot(**fields: object) -> Ask:
    return Ask(method="MoveShot", fields={**_IN_001, "shot_id": "s1", **fields})


def batch(*edits: Mapping[str, object], **fields: object) -> Ask:
    return Ask(method="BatchUpdateShots", fields={"project_path": "<project>", "edits": [*edits], **fields})


def edit(updates: str = '{"prompt": "night"}', **fields: object) -> Mapping[str, object]:
    """One edit of a batch."""
    return {"sequence_id": "001", "shot_id": "s1", "updates_json": updates, **fields}


def versions(**fields: object) -> Ask:
    return Ask(method="ListVersions", fields={**_IN_001, **fields})


def version(**fields: object) -> Ask:
    return Ask(method="GetVersion", fields={**_IN_001, "revision": 1, **fields})


def diff(**fields: object) -> Ask:
    return Ask(method="DiffVersions", fields={**_IN_001, "from_revision": 1, **fields})


def restore(**fields: object) -> Ask:
    return Ask(method="RestoreVersion", fields={**_IN_001, "revision": 1, **fields})


def trash(**fields: object) -> Ask:
    return Ask(method="ListTrash", fields={"project_path": "<project>", **fields})


def watch(**fields: object) -> Ask:
    return Ask(method="WatchProject", fields={"project_path": "<project>", **fields})


def is_change(ask: Ask) -> bool:
    """Whether the call may change files."""
    return not ask.method.startswith(("Get", "List", "Diff", "Watch"))


_IN_001 = {"project_path": "<project>", "sequence_id": "001"}
