"""The commands that follow a project and bring back what was: watch, history, diff, restore, trash.

What a command does is imported when it runs, so that `shotline --help` answers at once.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import Etag, Project, SequenceId, asks

if TYPE_CHECKING:
    from gateway.cli.connection import Target

commands = typer.Typer()
_PANEL = "Follow and undo"

OnlyShot = Annotated[str, typer.Option("--shot", metavar="ID", help="Only this shot.", show_default=False)]


@asks(commands, "watch", _PANEL)
def watch(
    target: "Target",
    project: Project,
    start: Annotated[
        int | None,
        typer.Option("--from", metavar="REVISION", min=0, help="The first revision to show. Default: the next one."),
    ] = None,
) -> None:
    """Show every change as it happens, also those of other programs; Ctrl-C ends it.

    A server that goes away is waited for, and nothing is missed meanwhile. --json prints one line for each change.
    """
    from gateway.cli import watching

    watching.watch(target, project, start)


@asks(commands, "history", _PANEL)
def history(
    target: "Target",
    project: Project,
    sequence: Annotated[
        str,
        typer.Argument(metavar="SEQUENCE", help="The sequence's id, also one in the trash, or - for project.json."),
    ] = "",
    shot: OnlyShot = "",
) -> None:
    """List the versions of a file that can be brought back; without SEQUENCE, the project's changes of 24 hours."""
    from gateway.cli import versions

    versions.history(target, project, sequence, shot)


@asks(commands, "diff", _PANEL)
def diff(
    target: "Target",
    project: Project,
    sequence: SequenceId,
    earlier: Annotated[int, typer.Argument(metavar="FROM", min=0, help="Revision of the earlier version.")],
    later: Annotated[
        int | None, typer.Argument(metavar="TO", min=0, help="Revision of the later one. Default: the file as it is.")
    ] = None,
    shot: OnlyShot = "",
) -> None:
    """Tell what is different between two versions, value by value."""
    from gateway.cli import versions

    versions.diff(target, project, sequence, earlier, later, shot)


@asks(commands, "restore", _PANEL)
def restore(
    target: "Target",
    project: Project,
    sequence: SequenceId,
    revision: Annotated[int, typer.Argument(metavar="REVISION", min=0, help="The version's revision.")],
    shot: OnlyShot = "",
    etag: Etag = "",
) -> None:
    """Bring back a version of a file, of one shot, or a sequence from the trash. This can be undone, too."""
    from gateway.cli import versions

    versions.restore(target, project, sequence, revision, shot, etag=etag)


@asks(commands, "trash", _PANEL)
def trash(target: "Target", project: Project) -> None:
    """List deleted sequences and how to bring them back."""
    from gateway.cli import versions

    versions.trash(target, project)
