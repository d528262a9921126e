"""The commands of `shotline` that are clients. `services.local.command` adds those that start something.

What a command does is imported when it runs, so that `shotline --help` answers at once.
"""

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from gateway.cli.connection import Target

app = typer.Typer(
    name="shotline",
    help="The backend of an AI-film studio, on your machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
project_app = typer.Typer(
    help="Project folders: make, look at, change and check them.\n\n"
    "Exit codes: 0 done, 1 the call failed or troubles were found, 2 wrong usage, 3 Shotline cannot be reached.",
    no_args_is_help=True,
)
app.add_typer(project_app, name="project")

Project = Annotated[Path, typer.Argument(metavar="PROJECT", help="The project folder.", show_default=False)]
SequenceId = Annotated[
    str, typer.Argument(metavar="SEQUENCE", help="The sequence's id: 001, 1 and sequence-1 are the same.")
]
ShotId = Annotated[str, typer.Argument(metavar="SHOT", help="The shot's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
Address = Annotated[
    str | None,
    typer.Option(help="host:port of the gateway. Default: where the local start runs.", envvar="SHOTLINE_ADDRESS"),
]
TokenOption = Annotated[
    str | None,
    typer.Option(help="The token. Default: the local start's.", envvar="SHOTLINE_TOKEN", show_envvar=True),
]
Data = Annotated[Path | None, typer.Option(metavar="DIR", help="Data folder of the local start, if not the usual.")]


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


@project_app.command("new")
def new(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder that does not exist yet, or is empty.")],
    as_json: AsJson = False,
) -> None:
    """Write a small sample project."""
    from gateway.cli import project

    project.new(path, as_json=as_json)


@project_app.command("list")
def list_sequences(
    project_path: Project,
    as_json: AsJson = False,
    address: Address = None,
    token: TokenOption = None,
    data: Data = None,
) -> None:
    """List the sequences in playing order, and the files that cannot be reached."""
    from gateway.cli import project

    project.show_list(project_path, _target(address, token, data, as_json))


@project_app.command("show")
def show(
    project_path: Project,
    sequence: SequenceId,
    shot: Annotated[str | None, typer.Argument(metavar="[SHOT]", help="The shot's id.")] = None,
    as_json: AsJson = False,
    address: Address = None,
    token: TokenOption = None,
    data: Data = None,
) -> None:
    """Show a sequence, or one shot of it, as the file has it."""
    from gateway.cli import project

    project.show(project_path, sequence, shot, _target(address, token, data, as_json))


@project_app.command("shots")
def shots(
    project_path: Project,
    sequence: SequenceId,
    as_json: AsJson = False,
    address: Address = None,
    token: TokenOption = None,
    data: Data = None,
) -> None:
    """List the shots of a sequence."""
    from gateway.cli import project

    project.show_shots(project_path, sequence, _target(address, token, data, as_json))


@project_app.command("update")
def update(
    project_path: Project,
    sequence: SequenceId,
    shot: ShotId,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="A member and its new value, such as generation.prompt='Dawn at sea' or "
            "generation.parameters.steps=25. What is JSON is taken as JSON (null removes the member), the rest as "
            "text. Can be given several times.",
        ),
    ] = None,
    json_patch: Annotated[
        str | None, typer.Option(metavar="JSON", help="A JSON object of changes; --set comes on top.")
    ] = None,
    etag: Annotated[str, typer.Option(help="Change the shot only if it still has this etag.")] = "",
    mode: Annotated[
        Literal["merge", "replace"],
        typer.Option(help="merge: objects merge member by member; replace: top-level members are replaced whole."),
    ] = "merge",
    as_json: AsJson = False,
    address: Address = None,
    token: TokenOption = None,
    data: Data = None,
) -> None:
    """Change a shot. What the change does not name stays as it is."""
    from gateway.cli import project

    project.update(
        project_path,
        sequence,
        shot,
        _target(address, token, data, as_json),
        assignments=assignments or [],
        json_patch=json_patch,
        etag=etag,
        replace=mode == "replace",
    )


@project_app.command("verify")
def verify(
    project_path: Project,
    as_json: AsJson = False,
    address: Address = None,
    token: TokenOption = None,
    data: Data = None,
) -> None:
    """Check every file, and every shot id of the sequences, and name each trouble with its remedy."""
    from gateway.cli import project

    project.check(project_path, _target(address, token, data, as_json))


def _target(address: str | None, token: str | None, data: Path | None, as_json: bool) -> "Target":
    from gateway.cli.connection import Target

    return Target(address=address, token=token, data=data, as_json=as_json)
