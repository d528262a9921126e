"""How to get back what a failed command did not find: the exact command, looked for when the command has failed."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files

from gateway.cli.client import PROJECT_FILE, Client
from services.kernel.faults import Fault

Command = Callable[..., str]  # from the words of a `shotline project` command to the line to paste


async def remedy(client: Client, command: Command, fault: Fault, project: str, sequence_id: str) -> str:
    """What to do about a failure that is about a sequence; empty where nothing better is known than in general."""
    with suppress(Fault):  # the failure itself is told, with its usual remedy
        match fault.reason:
            case "SEQUENCE_NOT_FOUND":
                await look(client, project)
                if gone := await client.deleted(project, sequence_id):
                    return f"{said(gone)}; bring it back: `{of(gone, command, project)}`"
            case "SEQUENCE_FILE_INVALID":
                versions, file = await client.versions(project, sequence_id, "")
                if file != fault.metadata.get("file"):
                    return ""  # another file is broken than the one that was named
                before = next((each.revision for each in versions if not each.current), None)
                if before is None:
                    return "repair the file in an editor: no version from before is kept"
                return f"repair it in an editor, or bring it back: `{command('restore', project, sequence_id, before)}`"
            case "SHOT_EXISTS" if shot_id := fault.metadata.get("shot_id"):
                listed, _ = await client.sequences(project)
                if holder := next((each.id for each in listed if each.file == fault.metadata.get("file")), None):
                    line = command("move", project, holder, shot_id, "--to", sequence_id)
                    return f"to have that one here: `{line}`; for a new one choose another id"
    return ""


async def look(client: Client, project: str) -> None:
    """Have noticed what other programs deleted while nobody looked. Where that cannot be noted down (a project that
    is read-only, too many watches), nothing: whatever is asked next says what is really wrong."""
    with suppress(Fault):
        await client.changes(project, after=None)


def of(gone: files.TrashedSequence, command: Command, project: str) -> str:
    """The command that brings a deleted file back."""
    return command("restore", project, gone.sequence_id or PROJECT_FILE, gone.revision)


def said(gone: files.TrashedSequence) -> str:
    """Who deleted a file, and when."""
    who = "another program" if gone.origin.kind == files.Origin.KIND_OUTSIDE else gone.origin.principal
    return f"{who} deleted {gone.file} at {_clock(gone.delete_time)} (revision {gone.revision})"


def _clock(stamp: Timestamp) -> str:
    return f"{stamp.ToDatetime(UTC).astimezone():%Y-%m-%d %H:%M:%S}"
