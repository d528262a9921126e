"""What the commands that change shots and sequences do."""

from collections.abc import Callable
from pathlib import Path

from shotline.sequence_file.v1 import sequence_file_service_pb2 as files

from gateway.cli import connection, failures, patches, render
from gateway.cli.client import PROJECT_FILE, Client
from gateway.cli.connection import Target
from services.kernel.faults import Code, Fault


def update(
    target: Target,
    project: Path,
    sequence_id: str,
    shot_id: str | None,
    assignments: list[str],
    json_patch: str | None,
    *,
    etag: str,
    replace: bool,
) -> None:
    """Change a shot, or without one the sequence itself, and show it as it is afterwards."""
    updates = _typed(patches.updates_json, assignments, json_patch)
    path = connection.absolute(project)
    if shot_id is not None:
        shot = connection.call(
            target,
            lambda client: client.update(path, sequence_id, shot_id, updates, replace=replace, etag=etag),
            path,
            sequence_id,
        )
        render.show_shot(shot, target, changed=True)
        return
    if sequence_id == PROJECT_FILE or replace:
        failures.wrong_usage(
            "name a shot: of a sequence its members can be merged, of project.json only shots be changed"
        )
    sequence = connection.call(
        target, lambda client: client.update_sequence(path, sequence_id, updates, etag), path, sequence_id
    )
    render.print_done(target, f"{sequence.file}: changed", sequence.revision, _facts(sequence))


def place(after: str, index: int | None, *, first: bool) -> files.ShotPlace | None:
    """The place that the options name; None for the end."""
    if (after != "") + (index is not None) + first > 1:
        failures.wrong_usage("give one of --after, --index and --first")
    if after:
        return files.ShotPlace(after_shot_id=after)
    if first:
        return files.ShotPlace(index=0)
    return None if index is None else files.ShotPlace(index=index)


def new_shot(
    target: Target,
    project: Path,
    sequence_id: str,
    assignments: list[str],
    document: str | None,
    where: files.ShotPlace | None,
) -> None:
    """Make a shot and show it."""
    text = _typed(patches.document_json, assignments, document)
    path = connection.absolute(project)
    shot = connection.call(target, lambda client: client.create_shot(path, sequence_id, text, where), path, sequence_id)
    render.show_shot(shot, target, changed=True)


def move(
    target: Target,
    project: Path,
    sequence_id: str,
    shot_id: str,
    to: str,
    where: files.ShotPlace | None,
    *,
    etag: str,
) -> None:
    """Move a shot and say where it is."""
    path = connection.absolute(project)
    shot = connection.call(
        target, lambda client: client.move_shot(path, sequence_id, shot_id, to, where, etag), path, sequence_id
    )
    said = f"{shot.id} is in {shot.stored_in.file}"
    render.print_done(target, said, shot.revision, render.shot_facts(shot, changed=True))


def delete_shot(target: Target, project: Path, sequence_id: str, shot_id: str, *, etag: str) -> None:
    """Take a shot out and say how to bring it back."""
    path = connection.absolute(project)

    async def work(client: Client) -> tuple[int, int | None]:
        revision = await client.delete_shot(path, sequence_id, shot_id, etag)
        versions, _ = await client.versions(path, sequence_id, "")
        return revision, next((each.revision for each in versions if each.revision < revision), None)

    revision, before = connection.call(target, work, path, sequence_id)
    render.print_done(target, f"{shot_id} is deleted", revision, {"revision": revision, "revisionBefore": before})
    if before is not None and not target.as_json:
        render.print_way_back(target, "restore", project, sequence_id, before, "--shot", shot_id)


def new_sequence(target: Target, project: Path, sequence_id: str, assignments: list[str], document: str | None) -> None:
    """Make a sequence and say where it is."""
    text = _typed(patches.document_json, assignments, document)
    path = connection.absolute(project)
    sequence = connection.call(target, lambda client: client.create_sequence(path, sequence_id, text))
    render.print_done(target, f"sequence {sequence.id} is in {sequence.file}", sequence.revision, _facts(sequence))


def reorder(target: Target, project: Path, sequence_ids: list[str]) -> None:
    """Give another playing order and list it."""
    path = connection.absolute(project)

    async def work(client: Client) -> files.ReorderSequencesResponse | list[str]:
        try:
            return await client.reorder(path, sequence_ids)
        except Fault as fault:
            if fault.reason != "INVALID_FIELD":
                raise
            return [sequence.id for sequence in (await client.sequences(path))[0]]

    answer = connection.call(target, work)
    if isinstance(answer, list):
        line = target.command("reorder", project, *answer)
        said = f"every sequence must be named once, these are {len(sequence_ids)} names for {len(answer)}"
        what_to_do = f"as they stand now it is `{line}`"
        failures.refuse(Code.INVALID_ARGUMENT, "INVALID_FIELD", said, what_to_do, as_json=target.as_json)
    order = [sequence.id for sequence in answer.sequences]
    facts: dict[str, object] = {"sequences": order, "revision": answer.revision}
    render.print_done(target, f"order {', '.join(order)}", answer.revision, facts)


def delete_sequence(target: Target, project: Path, sequence_id: str, *, etag: str) -> None:
    """Move a sequence to the trash and say how to bring it back."""
    path = connection.absolute(project)
    revision = connection.call(
        target, lambda client: client.delete_sequence(path, sequence_id, etag), path, sequence_id
    )
    render.print_done(target, f"sequence {sequence_id} is in the trash", revision, {"revision": revision})
    if not target.as_json:
        render.print_way_back(target, "restore", project, sequence_id, revision)


def _typed(read: Callable[[list[str], str | None], str], assignments: list[str], document: str | None) -> str:
    try:
        return read(assignments, document)
    except patches.WrongPatch as error:
        failures.wrong_usage(str(error))


def _facts(sequence: files.Sequence) -> dict[str, object]:
    return {"id": sequence.id, "file": sequence.file, "etag": sequence.etag, "revision": sequence.revision}
