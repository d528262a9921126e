"""The `shotline` command: the client's commands, and those that start something on this machine.

What a command does is imported when it runs, so that `shotline --help` answers at once.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.local.ports import Ports

Roots = Annotated[
    list[Path] | None,
    typer.Option(
        "--root", metavar="DIR", help="A folder that holds projects; several times for several. Default: this one."
    ),
]
DataFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Where token, address and logs are kept. Default: the user's data folder.",
        envvar="SHOTLINE_DATA",
    ),
]
PortsOption = Annotated[
    str,
    typer.Option(
        metavar="default|auto|NAME=N,…",
        help="default: grpc=50050,http=8080,asset_graph=50051,sequence_file=50052; auto: free ones; or some by name, "
        "0 for a free one.",
    ),
]


token = typer.Typer(help="Tokens for others.", no_args_is_help=True)
app.add_typer(token, name="token")


@app.command("up")
def up(
    roots: Roots = None,
    data: DataFolderOption = None,
    ports: PortsOption = "default",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print exactly one line, of JSON, when all is ready.")
    ] = False,
    processes: Annotated[
        bool, typer.Option("--processes", help="A process for each part; one that dies is started again.")
    ] = False,
    origins: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin", metavar="URL", help="Let pages of this origin call, such as http://localhost:5173."
        ),
    ] = None,
) -> None:
    """Start everything on this machine; Ctrl-C ends it."""
    from services.local.ports import PortBusy, chosen
    from services.local.up import CannotStart
    from services.local.up import up as run

    try:
        run(
            roots=roots or [],
            data=data,
            ports=_ports(ports, chosen),
            as_json=as_json,
            processes=processes,
            origins=origins or [],
        )
    except (CannotStart, PortBusy) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


@app.command("migrate")
def migrate(
    database_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The database, as its operator reaches it. Default: the one that `shotline up` brings.",
            envvar="SHOTLINE_DATABASE_URL",
        ),
    ] = None,
    data: DataFolderOption = None,
) -> None:
    """Bring the database to the newest schema; safe to run twice. `shotline up` does it at its start."""
    from services.local.migrating import CannotMigrate
    from services.local.migrating import migrate as run

    try:
        print(run(database_url or "", data))
    except CannotMigrate as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


@app.command("doctor")
def doctor(
    roots: Roots = None,
    data: DataFolderOption = None,
    ports: PortsOption = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")] = False,
) -> None:
    """Say what would keep `shotline up` with the same options from working, and what to do about it."""
    from services.local.doctor import examine, report, running
    from services.local.ports import wanted

    findings = examine(roots or [], data, ports=_ports(ports, wanted))
    if not report(findings, pid=running(data), as_json=as_json):
        raise typer.Exit(1)


@token.command("create")
def token_create(
    workspaces: Annotated[
        list[str] | None,
        typer.Option("--workspace", metavar="NAME", help="A workspace that it reaches; several times for several."),
    ] = None,
    all_workspaces: Annotated[
        bool, typer.Option("--all-workspaces", help="It reaches every workspace, and the project folders.")
    ] = False,
    name: Annotated[str, typer.Option(metavar="NAME", help="Whose it is: stands in logs and in histories.")] = "guest",
    expires: Annotated[
        str, typer.Option(metavar="DURATION|never", help="How long it is valid, such as 90m, 12h or 30d.")
    ] = "30d",
    data: DataFolderOption = None,
) -> None:
    """Print a token for the servers of the data folder. Only a new key, `token_key` there, ends it before its time."""
    from services.local.granting import CannotGrant, grant
    from services.runtime.settings import SettingsError

    if bool(workspaces) is all_workspaces:
        raise typer.BadParameter("name one or several, or give --all-workspaces", param_hint="--workspace")
    try:
        print(grant(workspaces=workspaces or [], name=name, expires=expires, data=data))
    except (CannotGrant, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def _ports(text: str, read: "Callable[[str], Ports]") -> "Ports":
    try:
        return read(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--ports") from None


def main() -> None:
    """Entry point of the console script."""
    app(prog_name="shotline")


if __name__ == "__main__":
    main()
