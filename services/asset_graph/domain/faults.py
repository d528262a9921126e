"""What can go wrong with the asset graph, each with the reason that the contract lists."""

from collections.abc import Iterable
from uuid import UUID

from services.asset_graph.domain.rules import ASSET_TYPES, RELATIONSHIP_TYPES, relationship_type
from services.kernel.faults import Code, Current, Fault, invalid_field

_LONGEST_PATH = 60  # ids


def workspace_not_allowed(workspace_id: str) -> Fault:
    """The token does not hold it; whether it exists is not told."""
    message = f"the token does not hold the workspace {workspace_id!r}"
    return Fault(Code.PERMISSION_DENIED, "WORKSPACE_NOT_ALLOWED", message)


def unknown_type(field: str) -> Fault:
    """A field that must name a type of assets."""
    return invalid_field(field, f"must be one of {', '.join(each.name for each in ASSET_TYPES)}")


def unknown_relationship_type(field: str) -> Fault:
    """A field that must name a type of relationships."""
    return invalid_field(field, f"must be one of {', '.join(each.name for each in RELATIONSHIP_TYPES)}")


def in_batch(fault: Fault, index: int) -> Fault:
    """The fault, saying which change of a batch it is about, counted from 0."""
    if "change_index" not in fault.metadata:
        fault.metadata["change_index"] = str(index)
        fault.message = f"changes[{index}]: {fault.message}"
        fault.fields = {f"changes[{index}].{field}": rule for field, rule in fault.fields.items()}
    return fault


def asset_not_found(asset_id: object) -> Fault:
    """No such asset in the workspaces that the token holds. The same words for one that is elsewhere."""
    return Fault(Code.NOT_FOUND, "ASSET_NOT_FOUND", f"no asset has the id {asset_id}", metadata={"id": str(asset_id)})


def revision_too_old(oldest: int, revision: int) -> Fault:
    """A watch cannot begin there. `oldest`: the first revision that is kept; `revision`: the last one that happened."""
    return Fault(
        Code.OUT_OF_RANGE,
        "REVISION_TOO_OLD",
        f"the changes behind this revision are not kept: read anew, and watch behind revision {revision}",
        metadata={"oldest_revision": str(oldest), "revision": str(revision)},
    )


def database_unavailable(message: str = "PostgreSQL is away; try again") -> Fault:
    """PostgreSQL cannot be reached, or ended the connection."""
    return Fault(Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", message, retry_after=0.5)


def transaction_aborted() -> Fault:
    """Others came in between, several times in a row. Nothing was changed."""
    message = "other changes came in between several times, and nothing was changed; try again"
    return Fault(Code.ABORTED, "TRANSACTION_ABORTED", message, retry_after=0.1)


def disk_full() -> Fault:
    """The database has no space left. Nothing was changed."""
    return Fault(Code.RESOURCE_EXHAUSTED, "DISK_FULL", "the database has no space left; nothing was changed")


def read_only() -> Fault:
    """The database takes no changes now, as a standby does not."""
    message = "the database takes no changes now, as a standby does not; nothing was changed"
    return Fault(Code.FAILED_PRECONDITION, "READ_ONLY", message)


def too_slow() -> Fault:
    """PostgreSQL was stopped in the middle, since the statement took too long."""
    return Fault(Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the work was not done in the time given")


def etag_mismatch(current: Current) -> Fault:
    """Somebody else changed the asset since the caller saw it."""
    return Fault(
        Code.ABORTED,
        "ETAG_MISMATCH",
        "the asset was changed since you read it; look at the current value and decide again",
        current=current,
    )


def immutable_field(field: str, rule: str, pointer: str = "") -> Fault:
    """What no change can change."""
    return Fault(
        Code.INVALID_ARGUMENT,
        "IMMUTABLE_FIELD",
        f"{field}: {rule}",
        metadata={"pointer": pointer} if pointer else {},
        fields={field: rule},
    )


def invalid_metadata(pointer: str, rule: str) -> Fault:
    """A known member of metadata (RFC 6901) that breaks its rule."""
    return Fault(
        Code.INVALID_ARGUMENT,
        "INVALID_METADATA",
        f"metadata_json{pointer} must be {rule}",
        metadata={"pointer": pointer},
        fields={"metadata_json": f"{pointer} must be {rule}"},
    )


def type_mismatch(relationship: str, parent_type: str, child_type: str) -> Fault:
    """A relationship that cannot join these types; says which it can."""
    message = f"{relationship} cannot join a {parent_type} to a {child_type}"
    if rule := relationship_type(relationship):
        same = " of the same type" if rule.same_type else ""
        message += f"; it joins {' or '.join(rule.parents)} to {' or '.join(rule.children)}{same}"
    return Fault(
        Code.INVALID_ARGUMENT,
        "RELATIONSHIP_TYPE_MISMATCH",
        message,
        metadata={"relationship_type": relationship, "parent_type": parent_type, "child_type": child_type},
    )


def relationship_exists(relationship: str, relationship_id: UUID | None, message: str = "") -> Fault:
    """The same edge is there, or one that its rule allows once; None where only the database knows which."""
    return Fault(
        Code.ALREADY_EXISTS,
        "RELATIONSHIP_EXISTS",
        message or f"there is a {relationship} between these two already",
        metadata={} if relationship_id is None else {"relationship_id": str(relationship_id)},
    )


def relationship_not_found(relationship: str, parent: object, child: object) -> Fault:
    """No such edge between the two."""
    return Fault(
        Code.NOT_FOUND,
        "RELATIONSHIP_NOT_FOUND",
        f"there is no {relationship} from {parent} to {child}",
        metadata={"parent_asset_id": str(parent), "child_asset_id": str(child), "relationship_type": relationship},
    )


def sequence_taken(relationship: str, sequence: int | None) -> Fault:
    """A sibling stands there; None where only the database knows where."""
    which = "this sequence" if sequence is None else f"the sequence {sequence}"
    return Fault(
        Code.ALREADY_EXISTS,
        "SEQUENCE_TAKEN",
        f"another {relationship} has {which}; leave it out to come behind the last one",
        metadata={} if sequence is None else {"sequence": str(sequence)},
    )


def attempt_exists(number: int, last: int) -> Fault:
    """The shot has, or had, a take of this number. `last`: the highest that was ever given."""
    return Fault(
        Code.ALREADY_EXISTS,
        "ATTEMPT_EXISTS",
        f"the shot has, or had, an attempt {number}; the next is {last + 1}",
        metadata={"attempt_number": str(number), "last_attempt_number": str(last)},
    )


def attempt_number_mismatch(sequence: object, said: object) -> Fault:
    """The sequence of a take's edge is not the take's own number."""
    return Fault(
        Code.INVALID_ARGUMENT,
        "ATTEMPT_NUMBER_MISMATCH",
        f"the take says that it is attempt {said}, the relationship that it is {sequence}",
        metadata={"sequence": str(sequence), "attempt_number": str(said)},
    )


def cycle(path: Iterable[object]) -> Fault:
    """The relationship would close a circle: the ids along it, back to the first."""
    ids = [str(each) for each in path]
    # What trailing metadata can carry.
    shown = ids if len(ids) <= _LONGEST_PATH else [*ids[: _LONGEST_PATH - 1], "…"]
    return Fault(
        Code.FAILED_PRECONDITION,
        "CYCLE",
        "the relationship would lead back to where it began; metadata path names the way",
        metadata={"path": ",".join(shown)},
    )


def not_ordered(relationship: str) -> Fault:
    """Its children have no place that could be changed."""
    why = "a take keeps its attempt number" if relationship == "generation_attempt" else "its children have no order"
    return Fault(Code.FAILED_PRECONDITION, "NOT_ORDERED", f"{relationship}: {why}")


def not_a_take_of_the_shot(take: object, shot: object) -> Fault:
    """The take belongs to another shot, or to none."""
    return Fault(
        Code.FAILED_PRECONDITION,
        "NOT_A_TAKE_OF_THE_SHOT",
        f"{take} is no take of the shot {shot}",
        metadata={"take_id": str(take), "shot_id": str(shot)},
    )


def selection_changed(current: object) -> Fault:
    """Another take is selected than the caller saw; "" where none is."""
    return Fault(
        Code.ABORTED,
        "SELECTION_CHANGED",
        "another take is selected than you saw; look at the selection and decide again",
        metadata={"current_take_id": str(current)},
    )


def several_selected(shot: object) -> Fault:
    """A shot has one selected take at most."""
    return Fault(
        Code.FAILED_PRECONDITION,
        "SEVERAL_SELECTED",
        f"several takes of the shot {shot} were to be selected at once",
        metadata={"shot_id": str(shot)},
    )


def not_deleted(asset_id: object) -> Fault:
    """There is nothing to bring back."""
    return Fault(Code.FAILED_PRECONDITION, "NOT_DELETED", f"{asset_id} was not deleted", metadata={"id": str(asset_id)})
