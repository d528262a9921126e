"""What the commands of `shotline project` share: their arguments and options, and how one is declared."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

Project = Annotated[Path, typer.Argument(metavar="PROJECT", help="The project folder.", show_default=False)]
SequenceId = Annotated[
    str, typer.Argument(metavar="SEQUENCE", help="The sequence's id, or - for the shots of project.json.")
]
SequenceOnly = Annotated[str, typer.Argument(metavar="SEQUENCE", help="The sequence's id.")]
ShotId = Annotated[str, typer.Argument(metavar="SHOT", help="The shot's id.")]
Etag = Annotated[
    str, typer.Option(help="Only if the shot or sequence still has this etag.", metavar="ETAG", show_default=False)
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="A member and its new value, such as generation.prompt='Dawn at sea' or "
        "generation.parameters.steps=25. What is JSON is taken as JSON (null removes the member), the rest as "
        "text. Can be given several times.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
_Address = Annotated[
    str | None,
    typer.Option(help="host:port of the gateway. Default: where the local start runs.", envvar="SHOTLINE_ADDRESS"),
]
_Token = Annotated[
    str | None,
    typer.Option(help="The token. Default: the local start's.", envvar="SHOTLINE_TOKEN", show_envvar=True),
]
_Data = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Data folder of the local start, if not the usual.", envvar="SHOTLINE_DATA"),
]

_SHARED = (("as_json", AsJson, False), ("address", _Address, None), ("token", _Token, None), ("data", _Data, None))


def asks(group: typer.Typer, name: str, panel: str) -> Callable[[Callable[..., None]], None]:
    """Declare the command `name` of `group` under the heading `panel` of --help.

    The function's first parameter gets the Target that --json, --address, --token and --data say; the others are
    the command's own.
    """

    def declare(command: Callable[..., None]) -> None:
        def typed(as_json: bool, address: str | None, token: str | None, data: Path | None, **own: object) -> None:
            from gateway.cli.connection import Target

            command(Target(address=address, token=token, data=data, as_json=as_json), **own)

        _, *parameters = inspect.signature(command).parameters.values()
        for option, annotation, default in _SHARED:
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter(option, kind, default=default, annotation=annotation))
        typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        typed.__doc__ = command.__doc__
        group.command(name, rich_help_panel=panel)(typed)

    return declare
