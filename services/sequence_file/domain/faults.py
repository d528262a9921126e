"""What can go wrong with sequences and shots, each with the reason that the contract lists."""

from services.kernel.faults import Code, Current, Fault

_MOST_REFUSED = 2048  # characters of a refused value that travel with its error


def invalid_sequence_id() -> Fault:
    """The id is one that no file can have; it is not repeated, since it may be anything."""
    return Fault(
        Code.INVALID_ARGUMENT,
        "INVALID_SEQUENCE_ID",
        "sequence_id: must be 1 to 128 characters of A-Z a-z 0-9 space . _ -, begin with a letter or digit and "
        "have no two dots in a row",
        fields={"sequence_id": "not an id that a sequence can have"},
    )


def invalid_shot_id() -> Fault:
    """The shot id is empty or too long."""
    return Fault(
        Code.INVALID_ARGUMENT,
        "INVALID_SHOT_ID",
        "shot_id: must be 1 to 256 characters",
        fields={"shot_id": "must be 1 to 256 characters"},
    )


def invalid_project_path(rule: str) -> Fault:
    """The path breaks a rule that needs no look at the disk."""
    return Fault(Code.INVALID_ARGUMENT, "INVALID_PROJECT_PATH", f"project_path: {rule}", fields={"project_path": rule})


def project_not_allowed() -> Fault:
    """Outside the allowed roots; whether it exists is not told."""
    return Fault(
        Code.PERMISSION_DENIED,
        "PROJECT_NOT_ALLOWED",
        "the project folder is outside the folders that this server may open; start it with --root FOLDER, or set "
        "SHOTLINE_ROOTS",
    )


def project_not_of_a_workspace() -> Fault:
    """For a caller who holds some workspaces only."""
    return Fault(
        Code.PERMISSION_DENIED,
        "PROJECT_NOT_ALLOWED",
        "project folders belong to no workspace: a token that holds only some workspaces may not open them",
    )


def project_not_found(path: str) -> Fault:
    """No folder, or one that is not a project."""
    return Fault(
        Code.NOT_FOUND, "PROJECT_NOT_FOUND", f"{path} is not a project folder: it has no project.json and no sequences/"
    )


def sequence_not_found(sequence_id: str, hint: str = "") -> Fault:
    """No file has the id."""
    return Fault(Code.NOT_FOUND, "SEQUENCE_NOT_FOUND", f"no sequence has the id {sequence_id!r}{hint}")


def file_gone(file: str) -> Fault:
    """The file was removed between the look for it and the change."""
    return Fault(Code.NOT_FOUND, "SEQUENCE_NOT_FOUND", f"{file} was removed just now", metadata={"file": file})


def shot_not_found(shot_id: str, where: str) -> Fault:
    """No shot has the id where it was looked for."""
    return Fault(Code.NOT_FOUND, "SHOT_NOT_FOUND", f"no shot has the id {shot_id!r} in {where}")


def duplicate_id(what: str, first: str, second: str) -> Fault:
    """Two things have one id, so neither can be meant."""
    return Fault(
        Code.FAILED_PRECONDITION,
        "DUPLICATE_ID",
        f"{what} stands twice: in {first} and in {second}; give one of them another id",
        metadata={"first": first, "second": second},
    )


def file_invalid(file: str, message: str, line: int = 0, column: int = 0, *, stated_id: str = "") -> Fault:
    """The file is not what it should be, at a line and column counted from 1 (0: no place)."""
    place = f", line {line}, column {column}" if line else ""
    return Fault(
        Code.FAILED_PRECONDITION,
        "SEQUENCE_FILE_INVALID",
        f"{file}{place}: {message}",
        metadata={
            "file": file,
            **({"line": str(line), "column": str(column)} if line else {}),
            **({"stated_id": stated_id} if stated_id else {}),
        },
    )


def unsafe_file(file: str, message: str) -> Fault:
    """The file is not read, for safety."""
    return Fault(Code.FAILED_PRECONDITION, "UNSAFE_FILE", f"{file}: {message}", metadata={"file": file})


def shot_is_a_copy(shot_id: str, sequence_id: str, file: str) -> Fault:
    """project.json only mirrors this shot."""
    return Fault(
        Code.FAILED_PRECONDITION,
        "SHOT_IS_A_COPY",
        f"shot {shot_id!r} of project.json is a copy of the one in sequence {sequence_id!r} ({file}): change that one",
        metadata={"sequence_id": sequence_id, "file": file},
    )


def immutable_field(name: str) -> Fault:
    """A member that no update may change."""
    return Fault(
        Code.INVALID_ARGUMENT,
        "IMMUTABLE_FIELD",
        f"updates_json: {name} cannot be changed",
        metadata={"pointer": f"/{name}"},
        fields={"updates_json": f"{name} cannot be changed"},
    )


def etag_mismatch(current: Current, what: str = "shot") -> Fault:
    """Somebody else changed the shot, or sequence, since the caller saw it."""
    return Fault(
        Code.ABORTED,
        "ETAG_MISMATCH",
        f"the {what} was changed since you read it; look at the current value and decide again",
        current=current,
    )


def edit_conflict(shot_id: str, pointer: str, refused_json: str | None, current: Current) -> Fault:
    """Another program changed the same member in the same instant; its value is in the file.

    `pointer` (RFC 6901) is within the shot, or within the document where `shot_id` is "". `current` has their value
    as JSON text (None where there is none) and the etag of the shot, else of the file, as it is there now.
    """
    what = f"{pointer or 'all'} of {f'shot {shot_id!r}' if shot_id else 'the sequence'}"
    refused = {"refused_json": refused_json} if refused_json and len(refused_json) <= _MOST_REFUSED else {}
    return Fault(
        Code.ABORTED,
        "EDIT_CONFLICT",
        f"another program changed {what} in the same instant; look at its value and decide again",
        metadata={"shot_id": shot_id, "pointer": pointer, **refused},
        current=current,
    )


def sequence_exists(sequence_id: str, file: str) -> Fault:
    """A new sequence has the id, or would have the file, of one that is there."""
    return Fault(
        Code.ALREADY_EXISTS,
        "SEQUENCE_EXISTS",
        f"there is a sequence {sequence_id!r} already, in {file}",
        metadata={"sequence_id": sequence_id, "file": file},
    )


def shot_exists(shot_id: str, file: str) -> Fault:
    """A new shot has the id of one that is there."""
    return Fault(
        Code.ALREADY_EXISTS,
        "SHOT_EXISTS",
        f"there is a shot {shot_id!r} already, in {file}",
        metadata={"shot_id": shot_id, "file": file},
    )


def version_not_found(file: str, revision: int) -> Fault:
    """The file never had the version, or it is no longer kept."""
    return Fault(
        Code.NOT_FOUND,
        "VERSION_NOT_FOUND",
        f"{file} has no version {revision}, or it is no longer kept; ListVersions names those that are",
        metadata={"file": file, "revision": str(revision)},
    )


def revision_too_old(oldest: int, revision: int, log_id: str) -> Fault:
    """A watch cannot go on behind a revision: forgotten, of another log, or still to come."""
    return Fault(
        Code.OUT_OF_RANGE,
        "REVISION_TOO_OLD",
        "the changes behind this revision are not kept in this log; read the project anew and go on from its revision",
        metadata={"oldest_revision": str(oldest), "revision": str(revision), "log_id": log_id},
    )


def lock_timeout(file: str) -> Fault:
    """The file's lock was held past the deadline."""
    return Fault(
        Code.UNAVAILABLE,
        "LOCK_TIMEOUT",
        f"{file} is locked by another writer and did not become free in time",
        metadata={"file": file},
        retry_after=0.2,
    )


def page_token_stale(file: str) -> Fault:
    """The file changed between two pages, so positions mean something else now."""
    return Fault(Code.ABORTED, "PAGE_TOKEN_STALE", f"{file} changed between two pages; begin with the first page again")
