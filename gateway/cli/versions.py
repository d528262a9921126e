"""What the commands that look back do: history, diff, restore, trash."""

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files

from gateway.cli import connection, render, render_history, terminal, way_back
from gateway.cli.client import PROJECT_FILE, Client
from gateway.cli.connection import Target
from services.kernel.faults import Fault


def history(target: Target, project: Path, sequence_id: str, shot_id: str) -> None:
    """List the versions of a file, newest first; without a sequence, the project's changes."""
    path = connection.absolute(project)
    if not sequence_id:
        found = connection.call(target, lambda client: client.changes(path))
        changes = [change for change in reversed(found) if not shot_id or _concerns(change, shot_id)]
        if target.as_json:
            render.print_json({"changes": [render_history.change_facts(change) for change in changes]})
        for change in () if target.as_json else changes:
            terminal.console().print(render_history.change_line(change, dated=True), soft_wrap=True)
        if not changes and not target.as_json:
            terminal.console().print(Text("no change in the last 24 hours", style="dim"))
        return
    versions, file, gone = connection.call(
        target, lambda client: _versions(client, path, sequence_id, shot_id), path, sequence_id
    )
    if target.as_json:
        deleted = render_history.trashed_facts(gone) if gone else None
        listed = [render_history.version_facts(version) for version in versions]
        render.print_json({"file": file, "versions": listed, "deleted": deleted})
        return
    render_history.print_versions(file, versions)
    if gone:
        terminal.console().print(Text(terminal.printable(way_back.said(gone)), style="yellow"), soft_wrap=True)
        render.print_way_back(target, "restore", project, sequence_id, gone.revision)


def diff(target: Target, project: Path, sequence_id: str, earlier: int, later: int | None, shot_id: str) -> None:
    """Tell what is different."""
    path = connection.absolute(project)
    answer = connection.call(
        target, lambda client: client.differences(path, sequence_id, earlier, later, shot_id), path, sequence_id
    )
    if target.as_json:
        differences = [render_history.difference_facts(each) for each in answer.differences]
        render.print_json({"differences": differences, "truncated": answer.truncated})
    elif answer.differences:
        render_history.print_differences(answer)
    else:
        terminal.console().print(Text("no difference", style="dim"))


def restore(target: Target, project: Path, sequence_id: str, revision: int, shot_id: str, *, etag: str) -> None:
    """Bring back a version of a file or a shot."""
    path = connection.absolute(project)
    answer = connection.call(
        target, lambda client: client.restore(path, sequence_id, revision, shot_id, etag), path, sequence_id
    )
    facts: dict[str, object] = {"file": answer.sequence.file, "etag": answer.sequence.etag, "revision": answer.revision}
    if shot_id:
        facts |= render.shot_facts(answer.shot)
    what = f"{shot_id} in {answer.sequence.file}" if shot_id else answer.sequence.file
    render.print_done(target, f"{what} is as in revision {revision}", answer.revision, facts)


def trash(target: Target, project: Path) -> None:
    """List deleted sequences."""
    path = connection.absolute(project)
    trashed = connection.call(target, lambda client: _trash(client, path))
    if target.as_json:
        render.print_json({"sequences": [render_history.trashed_facts(each) for each in trashed]})
        return
    if not trashed:
        terminal.console().print(Text("the trash is empty", style="dim"))
        return
    render_history.print_trash(trashed)
    newest = trashed[0]
    render.print_way_back(target, "restore", project, newest.sequence_id or PROJECT_FILE, newest.revision)


async def _versions(
    client: Client, project: str, sequence_id: str, shot_id: str
) -> tuple[list[files.Version], str, files.TrashedSequence | None]:
    """The versions of a file, its path, and that it is deleted, if so."""
    try:
        versions, file = await client.versions(project, sequence_id, shot_id)
    except Fault as fault:
        if fault.reason != "SEQUENCE_NOT_FOUND":
            raise
        await way_back.look(client, project)
        versions, file = await client.versions(project, sequence_id, shot_id)
    return versions, file, await client.deleted(project, sequence_id)


async def _trash(client: Client, project: str) -> Sequence[files.TrashedSequence]:
    await way_back.look(client, project)
    return await client.trash(project)


def _concerns(change: files.ProjectChange, shot_id: str) -> bool:
    return any(not file.complete or any(shot.id == shot_id for shot in file.shots) for file in change.files)
