"""Whether a project is sound: every file, every shot id, numbers, totals and copies, asked through the contract.

What is wrong is a trouble; what looks odd but may be meant, or mends itself, is a note. Each has a remedy.
"""

import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from itertools import pairwise
from math import isclose

from shotline.sequence_file.v1 import sequence_file_service_pb2 as files

from gateway.cli import failures, way_back
from gateway.cli.client import Client
from gateway.cli.way_back import Command
from services.kernel.faults import Fault

# Bytes of the longest file name to which the names of its lock and of what is written beside it can be made.
_LONGEST_NAME = 240
_PROJECT_JSON = "project.json"
_TEMPORARY = (".shotline-tmp", ".shotline-new")
_LONGEST_SHOWN = 60  # characters of a value in a message
_PREFIX = re.compile(r"sequence[ _-]?(?=[0-9]+$)", re.IGNORECASE)
_ABANDONED_AFTER = 60.0  # seconds; a write takes milliseconds
_DURATIONS = ("duration", "total_duration", "totalDuration")
_OWNERS = ("sequencePlanId", "sequence_id")  # members of a shot that name its sequence
# Members that can mean nothing but the number of the file's shots, and those that may be somebody's plan.
_COUNTS = ("shot_count", "shotCount", "shots_count")
_PLANS = ("total_shots", "totalShots")

Holders = defaultdict[str, list[str]]  # shot id → the files that hold it, each as often as it does


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or odd."""

    where: str  # file, relative to the project folder
    reason: str
    message: str
    remedy: str


@dataclass(slots=True)
class Report:
    """What was looked at, and what was found."""

    sequences: int = 0
    shots: int = 0
    troubles: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def trouble(self, where: str, reason: str, message: str, remedy: str = "") -> None:
        """Something is wrong."""
        self.troubles.append(_finding(where, reason, message, remedy))

    def note(self, where: str, reason: str, message: str, remedy: str) -> None:
        """Something is odd."""
        self.notes.append(_finding(where, reason, message, remedy))


async def verify(client: Client, command: Command, project: str, progress: Callable[[int, int], None]) -> Report:
    """Look at everything. `command` makes the lines of remedies; `progress` hears (files done, files in all).

    Raises Fault where the project itself cannot be opened, or Shotline cannot be reached.
    """
    report = Report()
    sequences, unreachable = await client.sequences(project)
    steps = len(sequences) + 1
    for bad in unreachable:
        report.trouble(bad.file, bad.reason, bad.message)
        _check_name(report, bad.file)
    holders: Holders = defaultdict(list)
    for done, listed in enumerate(sequences):
        progress(done, steps)
        _check_name(report, listed.file)
        try:
            sequence = await client.sequence(project, listed.id)
        except Fault as fault:
            _told_or_raised(report, listed.file, fault)
            continue
        report.sequences += 1
        _check_sequence(report, _Checked(listed, command, project), _read(sequence.document_json), holders)
    _check_ids(report, holders)
    _check_orders(report, sequences, command("reorder", project, *(each.id for each in sequences)))
    progress(len(sequences), steps)
    await _check_project_file(report, client, project)
    _check_leftovers(report, project)
    await _check_deleted(report, client, command, project)
    progress(steps, steps)
    return report


def _check_name(report: Report, file: str) -> None:
    name = os.path.basename(file)
    if (size := len(name.encode("utf-8", "surrogateescape"))) > _LONGEST_NAME:
        message = f"its name has {size} bytes, so that there is no room for a new one beside it: it cannot be changed"
        report.trouble(file, "NAME_TOO_LONG", message, f"give the file a name of at most {_LONGEST_NAME} bytes")


@dataclass(frozen=True, slots=True)
class _Checked:
    """The sequence that is looked at, and how to name it in a remedy."""

    listed: files.Sequence
    command: Command
    project: str

    @property
    def file(self) -> str:
        return self.listed.file

    def set(self, shot_id: str, path: str, value: object) -> str:
        """The command that gives a member of a shot (empty: of the sequence) another value."""
        words = (shot_id,) if shot_id else ()
        return f"`{self.command('update', self.project, self.listed.id, *words, '--set', f'{path}={value}')}`"


def _check_sequence(report: Report, where: _Checked, document: dict[str, object], holders: Holders) -> None:
    shots = [_members(shot) for shot in _list(document.get("shots"))]
    report.shots += len(shots)
    _check_shots(report, where.file, [_id(shot) for shot in shots], holders)
    _check_numbers(report, where, shots)
    _check_owners(report, where, shots)
    if shots:
        _check_totals(report, where, document, shots)


def _check_shots(report: Report, file: str, ids: Sequence[str], holders: Holders) -> None:
    for position, shot_id in enumerate(ids, 1):
        if shot_id:
            holders[shot_id].append(file)
        else:
            message = f"the shot at position {position} has no id, so that it cannot be changed"
            report.trouble(file, "SHOT_WITHOUT_ID", message, "give it an id in the file")


def _check_ids(report: Report, holders: Holders) -> None:
    for shot_id, places in holders.items():
        if len(places) > 1:
            names = ", ".join(dict.fromkeys(places))
            report.trouble(places[0], "DUPLICATE_ID", f"the shot id {shot_id!r} stands {len(places)} times: in {names}")


def _check_orders(report: Report, sequences: Sequence[files.Sequence], remedy: str) -> None:
    first: dict[float, files.Sequence] = {}
    for each in sequences:
        if each.HasField("order") and (other := first.setdefault(each.order, each)) is not each:
            message = f"its order is {each.order:g}, as that of {other.file}: of the two the file name decides"
            report.note(each.file, "ORDER_TWICE", message, f"`{remedy}` numbers them as they play now")


def _check_numbers(report: Report, where: _Checked, shots: Sequence[dict[str, object]]) -> None:
    numbers = [(number, _id(shot)) for shot in shots if isinstance(number := shot.get("number"), Decimal)]
    for position, shot in enumerate(shots, 1):
        number, shot_id = shot.get("number"), _id(shot)
        # Where none is a number they may be names, such as "12A".
        if numbers and shot_id and number is not None and not isinstance(number, Decimal):
            message = f"the number of {shot_id} is {_shown(number)}, which is none, so that it is not kept in order"
            report.note(where.file, "NUMBER_NOT_A_NUMBER", message, where.set(shot_id, "number", position))
    for (before, _), (following, shot_id) in pairwise(numbers):
        if following <= before:
            message = f"the shot numbers do not follow the order: {shot_id or 'a shot'} has {following} behind {before}"
            wrong = next(
                (
                    where.set(_id(shot), "number", position)
                    for position, shot in enumerate(shots, 1)
                    if _id(shot) and shot.get("number") != position
                ),
                "correct them in the file",
            )
            remedy = f"{wrong}, and so on; the next move, or new shot, numbers all of them"
            report.trouble(where.file, "NUMBERS_OUT_OF_ORDER", message, remedy)
            return


def _check_owners(report: Report, where: _Checked, shots: Sequence[dict[str, object]]) -> None:
    """Shots that name another sequence than the one that they stand in."""
    for name in _OWNERS:
        strays = [
            (_id(shot), stated)
            for shot in shots
            if isinstance(stated := shot.get(name), str | Decimal) and not _is_same(str(stated), where.listed.id)
        ]
        if strays:
            named = ", ".join(f"{shot_id or 'a shot'} {_shown(stated)}" for shot_id, stated in strays[:3])
            more = " …" if len(strays) > 3 else ""
            message = f"{name} is not {where.listed.id!r}, the sequence that the shots stand in: {named}{more}"
            remedy = "none needed: Shotline goes by the file; where another program goes by it, correct it in the file"
            report.note(where.file, "NAMES_ANOTHER_SEQUENCE", message, remedy)


def _check_totals(
    report: Report, where: _Checked, document: dict[str, object], shots: Sequence[dict[str, object]]
) -> None:
    countable = True
    for shot in shots:
        for member, duration in _durations(shot):
            if not isinstance(duration, Decimal) or duration < 0:
                countable = False
                what = "negative" if isinstance(duration, Decimal) else "not a number"
                message = f"{member} of {_id(shot) or 'a shot'} is {_shown(duration)}, which is {what}"
                remedy = f"give it its seconds, such as {where.set(_id(shot), member, 4)}"
                report.note(
                    where.file, "DURATION_NOT_SECONDS", message, remedy if _id(shot) else "correct it in the file"
                )
    with localcontext(Context(prec=60, traps=[])):  # a file may hold 1e999
        total = sum((_duration(shot) for shot in shots), Decimal(0))
    for prefix, members in (("", document), ("metadata.", _members(document.get("metadata")))):
        for name in _DURATIONS if countable else ():
            if isinstance(stated := members.get(name), Decimal) and not _equal(stated, total):
                message = f"{prefix}{name} is {stated}, the shots' durations add up to {total}"
                remedy = f"if it is meant as the total: {where.set('', prefix + name, total)}"
                report.note(where.file, "DURATION_NOT_THE_SUM", message, remedy)
        for name in (*_COUNTS, *_PLANS):
            if isinstance(stated := members.get(name), Decimal) and stated != len(shots):
                message = (
                    f"{prefix}{name} is {stated}, the file has {len(shots)} {'shot' if len(shots) == 1 else 'shots'}"
                )
                change = where.set("", prefix + name, len(shots))
                if name in _COUNTS:
                    report.trouble(where.file, "COUNT_NOT_TRUE", message, change)
                else:
                    report.note(where.file, "COUNT_NOT_TRUE", message, f"if it is meant as the count: {change}")


async def _check_deleted(report: Report, client: Client, command: Command, project: str) -> None:
    """Files that another program deleted. What a client deleted was meant."""
    await way_back.look(client, project)
    for gone in await client.trash(project):
        if gone.origin.kind == files.Origin.KIND_OUTSIDE:
            remedy = f"if that was not meant: `{way_back.of(gone, command, project)}`"
            report.note(gone.file, "DELETED", way_back.said(gone), remedy)


async def _check_project_file(report: Report, client: Client, project: str) -> None:
    try:
        listed = await client.project_shots(project)
    except Fault as fault:
        _told_or_raised(report, _PROJECT_JSON, fault)
        return
    holders: Holders = defaultdict(list)
    _check_shots(report, _PROJECT_JSON, [shot.id for shot in listed.shots], holders)
    _check_ids(report, holders)
    report.shots += len(listed.shots)
    if stale := [copy.id for copy in listed.copies if copy.stale]:
        named = ", ".join(stale[:3]) + (" …" if len(stale) > 3 else "")
        message = f"{len(stale)} of its {len(listed.copies)} copies of sequences' shots are out of date: {named}"
        remedy = "none needed: the sequence files are the truth, copies are neither read nor written"
        report.note(_PROJECT_JSON, "STALE_COPIES", message, remedy)


def _check_leftovers(report: Report, project: str) -> None:
    """Files of writers that were killed. The contract does not list them: they are looked for where the folder can
    be seen from here."""
    for folder in ("", "sequences"):
        try:
            with os.scandir(os.path.join(project, folder)) as entries:
                names = [entry.name for entry in entries if _is_abandoned(entry)]
        except OSError:  # the folder is on another machine, or not for us to look into
            continue
        for name in sorted(names):
            where = os.path.join(folder, name)
            remedy = "none needed: the file's next change puts it away"
            report.note(where, "LEFTOVER", "left by a write that was killed", remedy)
    try:
        kept = sorted(os.listdir(os.path.join(project, ".shotline", "leftovers")))
    except OSError:
        return  # there are none, or not for us to look into
    for name in kept:
        where = os.path.join(".shotline", "leftovers", name)
        message = "stood beside a sequence file after a power cut, and nothing tells what it was"
        report.note(where, "LEFTOVER", message, "look whether it holds an edit that is missing, then delete it")


def _is_abandoned(entry: "os.DirEntry[str]") -> bool:
    if not (entry.name.startswith(".") and entry.name.endswith(_TEMPORARY)):
        return False
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_ctime > _ABANDONED_AFTER
    except FileNotFoundError:  # its write ended just now
        return False


def _told_or_raised(report: Report, file: str, fault: Fault) -> None:
    """A file's own fault goes into the report; one of the way there ends the work."""
    if fault.reason in ("BACKEND_UNAVAILABLE", "TOKEN_INVALID"):
        raise fault
    report.trouble(fault.metadata.get("file", file), fault.reason, fault.message)


def _finding(where: str, reason: str, message: str, remedy: str) -> Finding:
    return Finding(where=where, reason=reason, message=message, remedy=remedy or failures.remedy(reason))


def _read(document_json: str) -> dict[str, object]:
    """A document with its numbers as exact decimals. The service has parsed it already."""
    return _members(json.loads(document_json, parse_int=Decimal, parse_float=Decimal))


def _id(shot: dict[str, object]) -> str:
    value = shot.get("id")
    return str(value) if isinstance(value, str | Decimal) else ""


def _durations(shot: dict[str, object]) -> list[tuple[str, object]]:
    """What the shot says of its duration, with the path of the member, the one that counts first."""
    stated = (("timing.duration", _members(shot.get("timing")).get("duration")), ("duration", shot.get("duration")))
    return [(path, value) for path, value in stated if value is not None]


def _duration(shot: dict[str, object]) -> Decimal:
    return next((value for _, value in _durations(shot) if isinstance(value, Decimal)), Decimal(0))


def _shown(value: object) -> str:
    """A value as a message quotes it."""
    text = str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def _is_same(stated: str, sequence_id: str) -> bool:
    """Whether two ids mean one sequence: 1, 001 and sequence-1 do."""
    one, other = (_PREFIX.sub("", each).lstrip("0") for each in (stated, sequence_id))
    return stated == sequence_id or (one == other and (not one or one.isdigit()))


def _equal(stated: Decimal, total: Decimal) -> bool:
    """But for what adding doubles makes of a sum."""
    return isclose(float(stated), float(total), rel_tol=1e-9, abs_tol=1e-9)


def _members(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
