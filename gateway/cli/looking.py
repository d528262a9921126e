"""What the commands that look at a project do."""

import os
import shlex
from dataclasses import asdict
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files

from gateway.cli import connection, failures, render, terminal
from gateway.cli.client import PROJECT_FILE, Client
from gateway.cli.connection import Target
from gateway.cli.sample import FolderNotEmpty, write_sample
from gateway.cli.verify import Report, verify
from services.kernel.faults import Code


def new(path: Path, *, as_json: bool) -> None:
    """Write the sample project."""
    folder = Path(connection.absolute(path))
    try:
        sequences, shots = write_sample(folder)
    except (FolderNotEmpty, FileExistsError, NotADirectoryError) as error:
        reason = "FOLDER_NOT_EMPTY" if isinstance(error, FolderNotEmpty) else "NOT_A_FOLDER"
        failures.refuse(Code.ALREADY_EXISTS, reason, str(error), "name a folder that does not exist", as_json=as_json)
    except OSError as error:
        what_to_do = "check the path, its mode and the space left"
        failures.refuse(Code.FAILED_PRECONDITION, "CANNOT_WRITE", str(error), what_to_do, as_json=as_json)
    if as_json:
        render.print_json({"path": str(folder), "sequences": sequences, "shots": shots})
        return
    out = terminal.console()
    out.print(
        Text(f"✓ {folder}: {render.counted(sequences, 'sequence')}, {render.counted(shots, 'shot')}", style="green"),
        soft_wrap=True,
    )
    out.print(Text(f"  next: shotline up --root {shlex.quote(os.path.dirname(folder))}"), soft_wrap=True)


def show_list(target: Target, project: Path) -> None:
    """List the sequences; what cannot be reached makes the command fail."""
    found, unreachable = connection.call(target, lambda client: client.sequences(connection.absolute(project)))
    if target.as_json:
        render.print_json(
            {
                "sequences": [
                    {
                        "id": one.id,
                        "name": one.name,
                        "order": _order(one),
                        "file": one.file,
                        "shotCount": one.shot_count,
                    }
                    for one in found
                ],
                "unreachable": [
                    {
                        "file": bad.file,
                        "id": bad.id,
                        "reason": bad.reason,
                        "message": bad.message,
                        "line": bad.line,
                        "column": bad.column,
                    }
                    for bad in unreachable
                ],
            }
        )
    else:
        render.print_sequences(found, unreachable)
    if unreachable:
        failures.found_troubles()


def _order(sequence: files.Sequence) -> float | None:
    """The order as the file most likely has it: 1, not 1.0."""
    if not sequence.HasField("order"):
        return None
    return int(sequence.order) if sequence.order.is_integer() else sequence.order


def show(target: Target, project: Path, sequence_id: str, shot_id: str | None) -> None:
    """Show the document of a sequence or a shot."""
    path = connection.absolute(project)
    if shot_id is not None:
        shot = connection.call(target, lambda client: client.shot(path, sequence_id, shot_id), path, sequence_id)
        render.show_shot(shot, target)
        return
    if sequence_id == PROJECT_FILE:
        failures.wrong_usage("name a shot: `shotline project shots PROJECT -` lists those of project.json")
    sequence = connection.call(target, lambda client: client.sequence(path, sequence_id), path, sequence_id)
    if target.as_json:
        document = render.raw(sequence.document_json)
        render.print_json({"sequence": document, "etag": sequence.etag, "file": sequence.file})
    else:
        render.print_sequence(sequence)


def show_shots(target: Target, project: Path, sequence_id: str) -> None:
    """List the shots of a sequence, or the regular ones of project.json."""
    path = connection.absolute(project)
    shots, etag = connection.call(target, lambda client: client.shots(path, sequence_id), path, sequence_id)
    if target.as_json:
        render.print_json(
            {
                "shots": [render.raw(shot.document_json) for shot in shots],
                "etag": etag,
                "etags": {shot.id: shot.etag for shot in shots if shot.id},
            }
        )
    else:
        render.print_shots(shots)


def check(target: Target, project: Path) -> None:
    """Verify a project, with a progress bar on a terminal."""
    path = connection.absolute(project)
    columns = (TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), TextColumn("files"))
    errors = terminal.console(errors=True)
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("verify", total=None)

        async def work(client: Client) -> Report:
            return await verify(
                client, target.command, path, lambda done, steps: progress.update(task, completed=done, total=steps)
            )

        report = connection.call(target, work)
    if target.as_json:
        render.print_json({"ok": not report.troubles, **asdict(report)})
    else:
        render.print_report(report)
    if report.troubles:
        failures.found_troubles()
