"""The commands of `shotline film`.

What a command does is imported when it runs, so that `shotline --help` answers at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import asks

if TYPE_CHECKING:
    from gateway.cli.connection import Target

commands = typer.Typer()
_LOOK = "Look"
_CHANGE = "Change"
_FILES = "Files"

Film = Annotated[str, typer.Argument(metavar="FILM", help="The film's id.")]
Workspace = Annotated[str, typer.Option(metavar="NAME", help="The workspace.")]


@asks(commands, "list", _LOOK)
def list_films(target: "Target", workspace: Workspace = "default") -> None:
    """List the films of a workspace as they were made."""
    from gateway.cli import filming

    filming.show_list(target, workspace)


@asks(commands, "show", _LOOK)
def show(
    target: "Target",
    film: Annotated[str, typer.Argument(metavar="FILM", help="The id of a film, or of a scene.")],
) -> None:
    """Draw a film: scenes, shots in playing order, who is in them, takes with the selected one marked ✓."""
    from gateway.cli import filming

    filming.show(target, film)


@asks(commands, "cost", _LOOK)
def cost(
    target: "Target",
    film: Annotated[str, typer.Argument(metavar="FILM", help="The id of a film, scene or shot.")],
) -> None:
    """Add up what a film cost: by shot, by provider and model, every attempt and what was deleted included."""
    from gateway.cli import filming

    filming.show_cost(target, film)


@asks(commands, "watch", _LOOK)
def watch(
    target: "Target",
    workspace: Workspace = "default",
    start: Annotated[
        int | None,
        typer.Option("--from", metavar="REVISION", min=0, help="The first revision to tell of. Default: the next one."),
    ] = None,
) -> None:
    """Follow the changes of a workspace, one line each, whoever makes them. Ctrl-C ends it."""
    from gateway.cli import watching

    watching.watch_workspace(target, workspace, start)


@asks(commands, "select", _CHANGE)
def select(
    target: "Target",
    shot: Annotated[str, typer.Argument(metavar="SHOT", help="The shot's id.")],
    take: Annotated[str, typer.Argument(metavar="TAKE", help="The take's id or its number; - for none.")],
) -> None:
    """Select a take of a shot; the one that was selected before no longer is."""
    from gateway.cli import filming

    filming.select(target, shot, take)


@asks(commands, "import", _FILES)
def import_films(
    target: "Target",
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="A story, or what `shotline film export` wrote.", show_default=False),
    ],
    workspace: Workspace = "default",
) -> None:
    """Make a film of each file: its scenes, shots, characters and prompts, all of it or nothing.

    One that is there already is not made again. Films that are imported together share the assets that they shared.
    """
    from gateway.cli import filming

    filming.import_files(target, files, workspace)


@asks(commands, "export", _FILES)
def export(
    target: "Target",
    film: Film,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to. Default: standard output.")
    ] = None,
) -> None:
    """Write a film as one JSON document: assets, relationships, selected takes and costs."""
    from gateway.cli import filming

    filming.export(target, film, output)
