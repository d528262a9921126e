"""The commands that look at a project: new, list, show, shots, verify.

What a command does is imported when it runs, so that `shotline --help` answers at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import AsJson, Project, SequenceId, asks

if TYPE_CHECKING:
    from gateway.cli.connection import Target

commands = typer.Typer()
_PANEL = "Make and look"


@commands.command("new", rich_help_panel=_PANEL)
def new(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder that does not exist yet, or is empty.")],
    as_json: AsJson = False,
) -> None:
    """Write a small sample project."""
    from gateway.cli import looking

    looking.new(path, as_json=as_json)


@asks(commands, "list", _PANEL)
def list_sequences(target: "Target", project: Project) -> None:
    """List the sequences in playing order, and the files that cannot be reached."""
    from gateway.cli import looking

    looking.show_list(target, project)


@asks(commands, "show", _PANEL)
def show(
    target: "Target",
    project: Project,
    sequence: SequenceId,
    shot: Annotated[str | None, typer.Argument(metavar="SHOT", help="The shot's id.")] = None,
) -> None:
    """Show a sequence, or one shot of it, as the file has it."""
    from gateway.cli import looking

    looking.show(target, project, sequence, shot)


@asks(commands, "shots", _PANEL)
def shots(target: "Target", project: Project, sequence: SequenceId) -> None:
    """List the shots of a sequence, or the regular shots of project.json."""
    from gateway.cli import looking

    looking.show_shots(target, project, sequence)


@asks(commands, "verify", _PANEL)
def verify(target: "Target", project: Project) -> None:
    """Check the whole project and name each trouble with its remedy."""
    from gateway.cli import looking

    looking.check(target, project)
