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
from shotline.studio.v1 import studio_service_pb2 as studio

from gateway.cli.terminal import console, printable
from gateway.cli.verify import Report


def print_json(document: object) -> None:
    """One JSON document on standard output; documents of files go out as `raw` wraps them."""
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def raw(document_json: str) -> orjson.Fragment:
    """JSON text that goes out as it is."""
    return orjson.Fragment(document_json)


def shot_facts(shot: studio.Shot) -> dict[str, object]:
    """A shot as the IPC channels answer it."""
    stored_in = {"file": shot.stored_in.file}
    if shot.stored_in.sequence_id:
        stored_in["sequenceId"] = shot.stored_in.sequence_id
    return {"shot": raw(shot.document_json), "etag": shot.etag, "storedIn": stored_in}


def print_sequences(found: Sequence[files.Sequence], unreachable: Sequence[files.UnreachableSequence]) -> None:
    """The table of a project's sequences; what cannot be reached stands below it, loudly."""
    out = console()
    table = _table(out, "id", "name", "order", "shots", "file", cut="name", right=("order", "shots"))
    for one in found:
        order = f"{one.order:g}" if one.HasField("order") else "–"
        table.add_row(*map(_cell, (one.id, one.name, order, str(one.shot_count), one.file)))
    out.print(table)
    if unreachable:
        out.print(Text(f"{len(unreachable)} cannot be reached:", style="bold red"))
        for bad in unreachable:
            out.print(Text(f"  ✗ {printable(bad.file)}  {bad.reason}", style="red"), soft_wrap=True)
            out.print(Text(f"    {printable(bad.message)}"), soft_wrap=True)


def print_shots(shots: Sequence[studio.Shot]) -> None:
    """The table of a sequence's shots."""
    out = console()
    table = _table(out, "id", "type", "seconds", "model", "prompt", cut="prompt", right=("seconds",))
    for shot in shots:
        facts = _members(orjson.loads(shot.document_json))
        generation, timing = _members(facts.get("generation")), _members(facts.get("timing"))
        seconds = timing.get("duration", facts.get("duration"))
        texts = (facts.get("type"), seconds, generation.get("model"), generation.get("prompt"))
        table.add_row(_cell(shot.id) if shot.id else Text("no id", style="red"), *map(_cell, texts))
    out.print(table)


def print_sequence(sequence: files.Sequence) -> None:
    """A sequence's document under a line that says where it is."""
    _print_document(f"{sequence.file}   etag {sequence.etag}", sequence.document_json)


def print_shot(shot: studio.Shot) -> None:
    """A shot's document under a line that says where it is."""
    _print_document(f"{shot.stored_in.file}   etag {shot.etag}", shot.document_json)


def print_report(report: Report) -> None:
    """What `verify` found."""
    out = console()
    for trouble in report.troubles:
        out.print(Text(f"✗ {printable(trouble.where)}  {trouble.reason}", style="bold red"), soft_wrap=True)
        out.print(Text(f"  {printable(trouble.message)}"), soft_wrap=True)
        if trouble.remedy:
            out.print(Text(f"  remedy: {trouble.remedy}"), soft_wrap=True)
    checked = f"{report.sequences} sequences, {report.shots} shots"
    if report.troubles:
        count = len(report.troubles)
        out.print(Text(f"{checked}: {count} trouble{'s' if count > 1 else ''}", style="bold red"))
    else:
        out.print(Text(f"✓ {checked}: all readable, every shot of a sequence can be addressed", style="green"))


def _print_document(head: str, document_json: str) -> None:
    out = console()
    out.print(Text(printable(head), style="dim"), soft_wrap=True)
    out.print(JSONHighlighter()(Text(printable(_outdented(document_json)))), soft_wrap=True)


def _outdented(document_json: str) -> str:
    """A slice of a file without the indentation that it had there. JSON strings hold no line ends."""
    first, *rest = document_json.split("\n")
    if not rest:
        return document_json
    margin = rest[-1][: len(rest[-1]) - len(rest[-1].lstrip())]
    return "\n".join((first, *(line.removeprefix(margin) for line in rest)))


def _table(out: Console, *names: str, cut: str, right: Sequence[str]) -> Table:
    """A table whose column `cut` gets the width that the others leave."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=out.is_terminal)
    for name in names:
        table.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if name == cut and out.is_terminal else None,
        )
    return table


def _cell(value: object) -> Text:
    return Text("–" if value is None or value == "" else printable(str(value)).replace("\n", " "))


def _members(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
