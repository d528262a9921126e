"""The commands of `shotline` that are clients. `services.local.command` adds those that start something."""

from importlib import metadata
from typing import Annotated

import typer

from gateway.cli import commands_change, commands_film, commands_history, commands_look

app = typer.Typer(
    name="shotline",
    help="The backend of an AI-film studio, on your machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
project_app = typer.Typer(
    help="Project folders: look at them, change them, follow them, undo.\n\n"
    "SEQUENCE is an id (001, 1 and sequence-1 are the same), or - for project.json and its regular shots.\n\n"
    "Exit codes: 0 done, 1 the call failed or troubles were found, 2 wrong usage, 3 Shotline cannot be reached.",
    no_args_is_help=True,
)
app.add_typer(project_app, name="project")
for commands in (commands_look.commands, commands_change.commands, commands_history.commands):
    project_app.add_typer(commands)

film_app = typer.Typer(
    help="Films of the asset graph: look at them, add up what they cost, select takes, import and export.\n\n"
    "Exit codes: 0 done, 1 the call failed, 2 wrong usage, 3 Shotline cannot be reached.",
    no_args_is_help=True,
)
app.add_typer(film_app, name="film")
film_app.add_typer(commands_film.commands)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            version = metadata.version("shotline")
        except metadata.PackageNotFoundError:  # run from the sources, not installed
            version = "(not installed)"
        typer.echo(f"shotline {version}")
        raise typer.Exit


@app.callback()
def shotline(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The backend of an AI-film studio, on your machine."""
