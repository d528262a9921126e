"""Changes, versions and differences as commands print them, for people and for programs."""

from collections.abc import Sequence
from datetime import datetime

import orjson
from google.protobuf.timestamp_pb2 import Timestamp
from rich.text import Text
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files

from gateway.cli.render import cell, outdented, raw, table
from gateway.cli.terminal import console, printable

_WIDE = 100  # characters of a value that stays on one line


def change_facts(change: files.ProjectChange) -> dict[str, object]:
    """A change as one JSON object on one line."""
    return {
        "revision": change.revision,
        "createTime": change.create_time.ToJsonString(),
        "origin": _origin_facts(change.origin),
        "summary": change.summary,
        "files": [
            {
                "file": file.file,
                "sequenceId": file.sequence_id,
                "kind": _kind(file.kind),
                "etag": file.etag,
                "complete": file.complete,
                "shots": [
                    {
                        "id": shot.id,
                        "kind": _kind(shot.kind),
                        "etag": shot.etag,
                        "shot": raw(_on_one_line(shot.document_json)) if shot.document_json else None,
                    }
                    for shot in file.shots
                ],
            }
            for file in change.files
        ],
    }


def version_facts(version: files.Version) -> dict[str, object]:
    """A version as one JSON object."""
    return {
        "revision": version.revision,
        "createTime": version.create_time.ToJsonString(),
        "origin": _origin_facts(version.origin),
        "summary": version.summary,
        "etag": version.etag,
        "sizeBytes": version.size_bytes,
        "current": version.current,
    }


def trashed_facts(trashed: files.TrashedSequence) -> dict[str, object]:
    """A deleted sequence as one JSON object."""
    return {
        "sequenceId": trashed.sequence_id,
        "name": trashed.name,
        "file": trashed.file,
        "revision": trashed.revision,
        "deleteTime": trashed.delete_time.ToJsonString(),
        "origin": _origin_facts(trashed.origin),
    }


def difference_facts(difference: files.Difference) -> dict[str, object]:
    """A difference as one JSON object; `before` and `after` are left out where there is no such value."""
    facts: dict[str, object] = {"shotId": difference.shot_id, "pointer": difference.pointer}
    if difference.HasField("before_json"):
        facts["before"] = raw(difference.before_json)
    if difference.HasField("after_json"):
        facts["after"] = raw(difference.after_json)
    if difference.HasField("before_index"):
        facts["beforeIndex"] = difference.before_index
    if difference.HasField("after_index"):
        facts["afterIndex"] = difference.after_index
    return facts


def change_line(change: files.ProjectChange, *, dated: bool = False) -> Text:
    """A change in one line: revision, when (`dated`: which day, too), who, where, what."""
    where = " ".join(dict.fromkeys(file.sequence_id or file.file for file in change.files))
    return Text.assemble(
        (f"{change.revision:>6}", "bold"),
        f"  {_date(change.create_time) if dated else _clock(change.create_time)}  ",
        (f"{_who(change.origin):<20}", "magenta" if _is_outside(change.origin) else "cyan"),
        f"  {printable(where):<12}  {printable(change.summary)}".replace("\n", " "),
    )


def print_versions(file: str, versions: Sequence[files.Version]) -> None:
    """The table of a file's versions; the one that the file holds now has a star."""
    out = console()
    out.print(Text(printable(file), style="dim"), soft_wrap=True)
    rows = table(out, "revision", "when", "who", "bytes", "what", cut="what", right=("revision", "bytes"))
    for version in versions:
        revision = f"{'* ' if version.current else ''}{version.revision}"
        what = version.summary or ("as it was first found" if version.revision == 0 else "")
        who = _who(version.origin) if version.revision else "–"
        rows.add_row(*map(cell, (revision, _date(version.create_time), who, version.size_bytes, what)))
    out.print(rows)


def print_trash(trashed: Sequence[files.TrashedSequence]) -> None:
    """The table of deleted sequences."""
    out = console()
    rows = table(out, "id", "name", "revision", "deleted", "who", "file", cut="name", right=("revision",))
    for each in trashed:
        facts = (each.sequence_id, each.name, each.revision, _date(each.delete_time), _who(each.origin), each.file)
        rows.add_row(*map(cell, facts))
    out.print(rows)


def print_differences(answer: files.DiffVersionsResponse) -> None:
    """Shot by shot: where, what was, what is."""
    out = console()
    shown: str | None = None
    for each in answer.differences:
        if each.shot_id != shown:
            shown = each.shot_id
            out.print(Text(printable(shown) if shown else "(the sequence)", style="bold"), soft_wrap=True)
        if each.HasField("before_index") and each.HasField("after_index"):
            out.print(Text(f"  moved from place {each.before_index + 1} to {each.after_index + 1}", style="cyan"))
        if each.HasField("before_json") or each.HasField("after_json"):
            out.print(Text(f"  {printable(_path(each))}"), soft_wrap=True)
        if each.HasField("before_json"):
            _print_value("-", each.before_json, "red")
        if each.HasField("after_json"):
            _print_value("+", each.after_json, "green")
    if answer.truncated:
        out.print(Text(f"… and more than these {len(answer.differences)}: ask for one shot", style="yellow"))


def _kind(value: "files.ChangeKind.ValueType") -> str:
    """A ChangeKind as a word: CREATED, UPDATED, DELETED, MOVED, UNREADABLE."""
    return files.ChangeKind.Name(value).removeprefix("CHANGE_KIND_")


def _print_value(mark: str, value_json: str, style: str) -> None:
    if "\n" in value_json:
        text = outdented(value_json)
    else:
        text = value_json if len(value_json) <= _WIDE else _laid_out(value_json)
    for line in text.splitlines():
        console().print(Text(f"  {mark} {printable(line)}", style=style), soft_wrap=True)


def _laid_out(value_json: str) -> str:
    """A long object or array of one line, a member a line; numbers may be written otherwise than in the file."""
    if value_json[:1] not in "{[":
        return value_json
    return orjson.dumps(orjson.loads(value_json), option=orjson.OPT_INDENT_2).decode()


def _on_one_line(document_json: str) -> str:
    """A slice of a file without its line ends, which JSON has between tokens only."""
    return "".join(line.strip(" \t\r") for line in document_json.split("\n"))


def _path(difference: files.Difference) -> str:
    """The pointer as --set names members, where that is possible."""
    if not difference.pointer:
        if not difference.shot_id:
            return "the whole document"
        if not difference.HasField("before_json"):
            return (
                f"new shot, at place {difference.after_index + 1}" if difference.HasField("after_index") else "new shot"
            )
        return "deleted shot" if not difference.HasField("after_json") else "the whole shot"
    names = [name.replace("~1", "/").replace("~0", "~") for name in difference.pointer[1:].split("/")]
    return difference.pointer if any("." in name or not name for name in names) else ".".join(names)


def _who(origin: files.Origin) -> str:
    if _is_outside(origin):
        return "another program"
    return f"{origin.principal} ({origin.client})" if origin.client else origin.principal


def _is_outside(origin: files.Origin) -> bool:
    return origin.kind == files.Origin.KIND_OUTSIDE


def _origin_facts(origin: files.Origin) -> dict[str, str]:
    kind = "OUTSIDE" if _is_outside(origin) else "CLIENT"
    return {"kind": kind, "principal": origin.principal, "client": origin.client, "requestId": origin.request_id}


def _local(stamp: Timestamp) -> datetime:
    return datetime.fromtimestamp(stamp.ToMicroseconds() / 1_000_000).astimezone()


def _clock(stamp: Timestamp) -> str:
    return f"{_local(stamp):%H:%M:%S}"


def _date(stamp: Timestamp) -> str:
    return f"{_local(stamp):%Y-%m-%d %H:%M:%S}"
