"""What the commands that look back do: history, diff, restore, trash."""

from pathlib import Path

from rich.text import Text
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files

from gateway.cli import connection, render, render_history, terminal
from gateway.cli.client import Client
from gateway.cli.connection import Target

_SETTLED = 0.1  # seconds without a change after which a watch says that it has told everything


def history(target: Target, project: Path, sequence_id: str, shot_id: str) -> None:
    """List the versions of a file, newest first; without a sequence, the project's changes."""
    path = connection.absolute(project)
    if not sequence_id:
        changes = connection.call(target, lambda client: _changes(client, path, shot_id))
        if target.as_json:
            render.print_json({"changes": [render_history.change_facts(change) for change in changes]})
        for change in () if target.as_json else changes:
            terminal.console().print(render_history.change_line(change, dated=True), soft_wrap=True)
        return
    versions, file = connection.call(target, lambda client: client.versions(path, sequence_id, shot_id))
    if target.as_json:
        render.print_json({"file": file, "versions": [render_history.version_facts(version) for version in versions]})
    else:
        render_history.print_versions(file, versions)


def diff(target: Target, project: Path, sequence_id: str, earlier: int, later: int | None, shot_id: str) -> None:
    """Tell what is different."""
    path = connection.absolute(project)
    answer = connection.call(target, lambda client: client.differences(path, sequence_id, earlier, later, shot_id))
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
    answer = connection.call(target, lambda client: client.restore(path, sequence_id, revision, shot_id, etag))
    facts: dict[str, object] = {"file": answer.sequence.file, "etag": answer.sequence.etag, "revision": answer.revision}
    if shot_id:
        facts |= render.shot_facts(answer.shot)
    what = f"{shot_id} in {answer.sequence.file}" if shot_id else answer.sequence.file
    render.print_done(target, f"{what} is as in revision {revision}", answer.revision, facts)


def trash(target: Target, project: Path) -> None:
    """List deleted sequences."""
    path = connection.absolute(project)
    trashed = connection.call(target, lambda client: client.trash(path))
    if target.as_json:
        render.print_json({"sequences": [render_history.trashed_facts(each) for each in trashed]})
        return
    if not trashed:
        terminal.console().print(Text("the trash is empty", style="dim"))
        return
    render_history.print_trash(trashed)
    newest = trashed[0]
    render.print_way_back("restore", project, newest.sequence_id, newest.revision)


async def _changes(client: Client, project: str, shot_id: str) -> list[files.ProjectChange]:
    """All changes that are kept, newest first; of one shot, those that name it, or not all that they changed."""
    found: list[files.ProjectChange] = []
    begun = False
    async for message in client.watch(project, 0, progress_seconds=_SETTLED):
        if message.HasField("change"):
            found.append(message.change)
        elif begun:
            break
        begun = True
    return [change for change in reversed(found) if not shot_id or _concerns(change, shot_id)]


def _concerns(change: files.ProjectChange, shot_id: str) -> bool:
    return any(not file.complete or any(shot.id == shot_id for shot in file.shots) for file in change.files)
