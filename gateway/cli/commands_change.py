"""The commands that change shots and sequences. Every change can be undone: see `commands_history`.

What a command does is imported when it runs, so that `shotline --help` answers at once.
"""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.options import Assignments, Etag, Project, SequenceId, SequenceOnly, ShotId, asks

if TYPE_CHECKING:
    from gateway.cli.connection import Target

commands = typer.Typer()
_SHOTS = "Change shots"
_SEQUENCES = "Change sequences"

After = Annotated[str, typer.Option(metavar="SHOT", help="Behind this shot.", show_default=False)]
Index = Annotated[int | None, typer.Option(metavar="N", min=0, help="At this place, counted from 0.")]
First = Annotated[bool, typer.Option("--first", help="Before all other shots.")]
Members = Annotated[
    str | None, typer.Option("--document", metavar="JSON", help="A JSON object of members; --set comes on top.")
]


@asks(commands, "update", _SHOTS)
def update(
    target: "Target",
    project: Project,
    sequence: SequenceId,
    shot: Annotated[
        str | None, typer.Argument(metavar="SHOT", help="The shot's id. Without it the sequence itself is changed.")
    ] = None,
    assignments: Assignments = None,
    json_patch: Annotated[
        str | None, typer.Option(metavar="JSON", help="A JSON object of changes; --set comes on top.")
    ] = None,
    etag: Etag = "",
    mode: Annotated[
        Literal["merge", "replace"],
        typer.Option(help="merge: objects merge member by member; replace: top-level members are replaced whole."),
    ] = "merge",
) -> None:
    """Change a shot, or a sequence's own members. What the change does not name stays as it is."""
    from gateway.cli import changing

    replace = mode == "replace"
    changing.update(target, project, sequence, shot, assignments or [], json_patch, etag=etag, replace=replace)


@asks(commands, "new-shot", _SHOTS)
def new_shot(
    target: "Target",
    project: Project,
    sequence: SequenceOnly,
    assignments: Assignments = None,
    document: Members = None,
    after: After = "",
    index: Index = None,
    first: First = False,
) -> None:
    """Put a new shot into a sequence, at the end if no place is given."""
    from gateway.cli import changing

    place = changing.place(after, index, first=first)
    changing.new_shot(target, project, sequence, assignments or [], document, place)


@asks(commands, "move", _SHOTS)
def move(
    target: "Target",
    project: Project,
    sequence: SequenceOnly,
    shot: ShotId,
    to: Annotated[
        str, typer.Option(metavar="SEQUENCE", help="Into this sequence. Default: the same.", show_default=False)
    ] = "",
    after: After = "",
    index: Index = None,
    first: First = False,
    etag: Etag = "",
) -> None:
    """Move a shot within its sequence or into another, to the end if no place is given."""
    from gateway.cli import changing

    place = changing.place(after, index, first=first)
    changing.move(target, project, sequence, shot, to, place, etag=etag)


@asks(commands, "delete-shot", _SHOTS)
def delete_shot(target: "Target", project: Project, sequence: SequenceOnly, shot: ShotId, etag: Etag = "") -> None:
    """Take a shot out of its sequence."""
    from gateway.cli import changing

    changing.delete_shot(target, project, sequence, shot, etag=etag)


@asks(commands, "new-sequence", _SEQUENCES)
def new_sequence(
    target: "Target",
    project: Project,
    sequence: Annotated[
        str, typer.Argument(metavar="SEQUENCE", help="Its id. Default: the next free number.", show_default=False)
    ] = "",
    assignments: Assignments = None,
    document: Members = None,
) -> None:
    """Make a new sequence, at the end of the playing order unless `order` is set."""
    from gateway.cli import changing

    changing.new_sequence(target, project, sequence, assignments or [], document)


@asks(commands, "reorder", _SEQUENCES)
def reorder(
    target: "Target",
    project: Project,
    sequences: Annotated[
        list[str], typer.Argument(metavar="SEQUENCE", help="Every sequence of the project, in the new order.")
    ],
) -> None:
    """Give the sequences another playing order."""
    from gateway.cli import changing

    changing.reorder(target, project, sequences)


@asks(commands, "delete-sequence", _SEQUENCES)
def delete_sequence(target: "Target", project: Project, sequence: SequenceOnly, etag: Etag = "") -> None:
    """Move a sequence to the project's trash."""
    from gateway.cli import changing

    changing.delete_sequence(target, project, sequence, etag=etag)
