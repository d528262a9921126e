"""What commands print: one JSON document for programs, tables and text for people.

Text that comes from files is shown, never obeyed: neither markup nor control characters act on the terminal.
"""

import sys
from collections.abc import Sequence

import orjson
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files

from gateway.cli.connection import Target
from gateway.cli.terminal import console, printable
from gateway.cli.verify import Report


def print_json(document: object) -> None:
    """One JSON document on standard output; documents of files go out as `raw` wraps them."""
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def raw(document_json: str) -> orjson.Fragment:
    """JSON text that goes out as it is."""
    return orjson.Fragment(document_json)


def shot_facts(shot: files.Shot, *, changed: bool = False) -> dict[str, object]:
    """A shot as the IPC channels answer it; of a change, with its revision (0: nothing changed)."""
    stored_in = {"file": shot.stored_in.file}
    if shot.stored_in.sequence_id:
        stored_in["sequenceId"] = shot.stored_in.sequence_id
    facts: dict[str, object] = {"shot": raw(shot.document_json), "etag": shot.etag, "storedIn": stored_in}
    return {**facts, "revision": shot.revision} if changed else facts


def print_done(target: Target, said: str, revision: int, facts: dict[str, object]) -> None:
    """What a change did, and its revision (0: nothing had to be changed); programs get `facts`."""
    if target.as_json:
        print_json(facts)
        return
    console().print(Text(f"✓ {printable(said)}  {_behind(revision)}", style="green"), soft_wrap=True)


def print_way_back(target: Target, *words: object) -> None:
    """The `shotline project` command that undoes what was just done."""
    console().print(Text(f"  bring it back: {printable(target.command(*words))}"), soft_wrap=True)


def counted(number: int, thing: str) -> str:
    """`1 shot`, `2 shots`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def print_sequences(found: Sequence[files.Sequence], unreachable: Sequence[files.UnreachableSequence]) -> None:
    """The table of a project's sequences; what cannot be reached stands below it, loudly."""
    out = console()
    rows = table(out, "id", "name", "order", "shots", "file", cut="name", right=("order", "shots"))
    for one in found:
        order = f"{one.order:g}" if one.HasField("order") else "–"
        rows.add_row(*map(cell, (one.id, one.name, order, str(one.shot_count), one.file)))
    out.print(rows)
    if unreachable:
        out.print(Text(f"{len(unreachable)} cannot be reached:", style="bold red"))
        for bad in unreachable:
            out.print(Text(f"  ✗ {printable(bad.file)}  {bad.reason}", style="red"), soft_wrap=True)
            out.print(Text(f"    {printable(bad.message)}"), soft_wrap=True)


def print_shots(shots: Sequence[files.Shot]) -> None:
    """The table of a sequence's shots."""
    out = console()
    rows = table(out, "id", "type", "seconds", "model", "prompt", cut="prompt", right=("seconds",))
    for shot in shots:
        facts = _members(orjson.loads(shot.document_json))
        generation, timing = _members(facts.get("generation")), _members(facts.get("timing"))
        seconds = timing.get("duration", facts.get("duration"))
        texts = (facts.get("type"), seconds, generation.get("model"), generation.get("prompt"))
        rows.add_row(cell(shot.id) if shot.id else Text("no id", style="red"), *map(cell, texts))
    out.print(rows)


def print_sequence(sequence: files.Sequence) -> None:
    """A sequence's document under a line that says where it is."""
    _print_document(f"{sequence.file}   etag {sequence.etag}", sequence.document_json)


def show_shot(shot: files.Shot, target: Target, *, changed: bool = False) -> None:
    """A shot's document under a line that says where it is."""
    if target.as_json:
        print_json(shot_facts(shot, changed=changed))
    else:
        revision = f"   {_behind(shot.revision)}" if changed else ""
        _print_document(f"{shot.stored_in.file}   etag {shot.etag}{revision}", shot.document_json)


def print_report(report: Report) -> None:
    """What `verify` found."""
    out = console()
    for mark, style, findings in (("·", "yellow", report.notes), ("✗", "bold red", report.troubles)):
        for each in findings:
            out.print(Text(f"{mark} {printable(each.where)}  {each.reason}", style=style), soft_wrap=True)
            out.print(Text(f"  {printable(each.message)}"), soft_wrap=True)
            out.print(Text(f"  remedy: {printable(each.remedy)}"), soft_wrap=True)
    checked = f"{counted(report.sequences, 'sequence')}, {counted(report.shots, 'shot')}"
    if report.troubles:
        out.print(Text(f"{checked}: {counted(len(report.troubles), 'trouble')}", style="bold red"))
    else:
        noted = f" ({counted(len(report.notes), 'note')})" if report.notes else ""
        out.print(Text(f"✓ {checked}: all readable, every shot can be addressed{noted}", style="green"))


def _print_document(head: str, document_json: str) -> None:
    out = console()
    out.print(Text(printable(head), style="dim"), soft_wrap=True)
    out.print(JSONHighlighter()(Text(printable(outdented(document_json)))), soft_wrap=True)


def _behind(revision: int) -> str:
    return f"(revision {revision})" if revision else "(it was so already)"


def outdented(document_json: str) -> str:
    """A slice of a file without the indentation that it had there. JSON strings hold no line ends."""
    first, *rest = document_json.split("\n")
    if not rest:
        return document_json
    margin = rest[-1][: len(rest[-1]) - len(rest[-1].lstrip())]
    return "\n".join((first, *(line.removeprefix(margin) for line in rest)))


def table(out: Console, *names: str, cut: str, right: Sequence[str]) -> Table:
    """A table whose column `cut` gets the width that the others leave."""
    rows = Table(box=None, pad_edge=False, header_style="bold", expand=out.is_terminal)
    for name in names:
        rows.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if name == cut and out.is_terminal else None,
        )
    return rows


def cell(value: object) -> Text:
    """A value as one line of a table."""
    return Text("–" if value is None or value == "" else printable(str(value)).replace("\n", " "))


def _members(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
