"""How a command ends when it fails: one message on standard error, and an exit code.

0  done
1  the call failed, or troubles were found
2  wrong usage
3  Shotline cannot be reached
"""

import sys
from typing import NoReturn

import orjson
import typer

from gateway.cli.terminal import printable
from services.kernel.faults import Code, Fault

FAILED = 1
WRONG_USAGE = 2
UNREACHABLE = 3

START = (
    "start it with `shotline up`; one that was started with --data is found with the same --data, or SHOTLINE_DATA; "
    "one elsewhere with --address and --token"
)

_REMEDIES = {
    "TOKEN_INVALID": "a token holds for one `shotline up`, one of `shotline token create` until it expires: make "
    "another, or leave out --token and SHOTLINE_TOKEN to use that of the local start",
    "PROJECT_NOT_ALLOWED": "start Shotline with `shotline up --root FOLDER`, a folder above the project",
    "PROJECT_NOT_FOUND": "check the path, or make a sample with `shotline project new PATH`",
    "INVALID_PROJECT_PATH": "give the path of the project folder",
    "SEQUENCE_NOT_FOUND": "`shotline project list PROJECT` shows the sequences there are, `… trash PROJECT` those gone",
    "INVALID_SEQUENCE_ID": "`shotline project list PROJECT` shows the sequences there are",
    "SEQUENCE_EXISTS": "give another id, or none for the next free number",
    "SHOT_EXISTS": "give another id, or none for a new one",
    "SHOT_IS_A_COPY": "name the sequence in the place of -",
    "VERSION_NOT_FOUND": "`shotline project history PROJECT SEQUENCE` shows the versions there are",
    "REVISION_TOO_OLD": "changes are kept for 24 hours; leave out --from to go on from now",
    "SHOT_NOT_FOUND": "`shotline project shots PROJECT SEQUENCE` shows the shots there are",
    "DUPLICATE_ID": "open the files and give one of the two another id",
    "SEQUENCE_FILE_INVALID": "repair the file in an editor, or restore a version that `shotline project history` lists",
    "UNSAFE_FILE": "put a regular, readable file inside the project there",
    "EDIT_CONFLICT": "look at both values, then make your change again",
    "ETAG_MISMATCH": "read the shot again with `shotline project show`, then repeat with its etag",
    "IMMUTABLE_FIELD": "leave id and sequencePlanId out of the change",
    "INVALID_JSON": "correct the JSON at the place named",
    "LOCK_TIMEOUT": "another program writes this file; try again",
    "FILE_BUSY": "another program writes this file; try again",
    "DISK_FULL": "free some space and try again",
    "READ_ONLY": "make the file and its folder writable for the user who runs Shotline",
    "IO_ERROR": "`shotline doctor` looks at the disk",
    "DURABILITY_UNKNOWN": "`shotline doctor` looks at the disk",
    "WORKSPACE_NOT_ALLOWED": "`shotline token create --workspace WORKSPACE` makes a token that holds it",
    "DATABASE_UNAVAILABLE": "try again; `shotline doctor` looks at the database",
    "TRANSACTION_ABORTED": "try again",
    "UNKNOWN_METHOD": "this Shotline has no asset graph: `shotline up` of this version starts one",
    "TOO_LARGE": "move some of the sequence's shots into another one",
    "DEADLINE_EXCEEDED": "try again; `shotline doctor` looks at the disk",
    "BACKEND_UNAVAILABLE": START,
    "INTERNAL": "the log has the rest, by default in `logs` of the data folder",
}


# What else, or else, is to be done about the failure of a `film` command.
_FILM_REMEDIES = {
    "ASSET_NOT_FOUND": "`shotline film list --workspace NAME` shows the films there are, `… show FILM` what is in one",
    "NOT_A_TAKE_OF_THE_SHOT": "`shotline film show FILM` shows the takes of each shot",
    "INVALID_METADATA": "correct the member that is named in the file",
    "INVALID_JSON": "correct the JSON at the place named",
    "DISK_FULL": "make room for the database and try again",
    "READ_ONLY": "the database takes no changes now; connect Shotline to the one that does",
    "TOO_LARGE": "import it in parts, as several films",
}


# Names of the contract in the beginning of a message, and what a person typed instead.
_TYPED = {
    "project_path": "PROJECT",
    "sequence_id": "SEQUENCE",
    "sequence_ids": "SEQUENCE …",
    "shot_id": "SHOT",
    "target_sequence_id": "--to",
    "after_revision": "--from",
    "from_revision": "FROM",
    "to_revision": "TO",
    "updates_json": "the change",
    "document_json": "the new members",
    "film_id": "FILM",
    "take_id": "TAKE",
    "workspace_id": "--workspace",
}


# Of a token of some workspaces on project folders: no --root helps.
_ALL_WORKSPACES = "use a token of `shotline token create --all-workspaces`, or of the local start"


def remedy(reason: str) -> str:
    """What to do about a reason; empty where the message says it all."""
    return _REMEDIES.get(reason, "")


def film_remedy(reason: str) -> str:
    """The same for a `film` command; empty where it is the same."""
    return _FILM_REMEDIES.get(reason, "")


def leave(fault: Fault, *, as_json: bool, what_to_do: str = "") -> NoReturn:
    """End the command with the fault's message and exit code; `what_to_do`: a better remedy than that of the reason."""
    details = dict(fault.metadata)
    if fault.current:
        details["current_etag"] = fault.current.etag
        if fault.current.document_json is not None:
            details["current_json"] = fault.current.document_json
    away = fault.code is Code.UNAVAILABLE and fault.reason == "BACKEND_UNAVAILABLE"
    _say(fault.code.name, fault.reason, _as_typed(fault), what_to_do or _remedy_of(fault), details, as_json)
    raise typer.Exit(UNREACHABLE if away else FAILED)


def _remedy_of(fault: Fault) -> str:
    if fault.reason == "PROJECT_NOT_ALLOWED" and "workspace" in fault.message:  # two faults have this reason
        return _ALL_WORKSPACES
    return remedy(fault.reason)


def _as_typed(fault: Fault) -> str:
    """A fault's message in the words of the command line."""
    if fault.reason == "VERSION_NOT_FOUND":
        return fault.message.partition("; ListVersions")[0]
    name, colon, rest = fault.message.partition(": ")
    return f"{_TYPED[name]}: {rest}" if colon and name in _TYPED else fault.message


def refuse(code: Code, reason: str, message: str, what_to_do: str, *, as_json: bool) -> NoReturn:
    """End the command with a failure of its own."""
    _say(code.name, reason, message, what_to_do, {}, as_json)
    raise typer.Exit(FAILED)


def found_troubles() -> NoReturn:
    """End a command that did its work and found something wrong; what, it has printed."""
    raise typer.Exit(FAILED)


def wrong_usage(message: str) -> NoReturn:
    """End the command because of what was typed."""
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(WRONG_USAGE)


def _say(code: str, reason: str, message: str, what_to_do: str, details: dict[str, str], as_json: bool) -> None:
    if as_json:
        said = {"code": code, "reason": reason, "message": message, "remedy": what_to_do, "details": details}
        text = orjson.dumps(said).decode()
    else:
        text = f"error: {code} {reason}\n  {message}"
        if reason == "EDIT_CONFLICT":
            text += f"\n  in the file now: {details.get('current_json', '(nothing)')}"
            text += f"\n  yours, refused:  {details.get('refused_json', '(nothing)')}"
        if etag := details.get("current_etag"):
            text += f"\n  its etag now: {etag}"
        if what_to_do:
            text += f"\n  remedy: {what_to_do}"
        text = printable(text)  # a message may hold the name of a file
    print(text, file=sys.stderr)
