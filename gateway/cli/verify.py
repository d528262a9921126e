"""Whether a project is sound: every file, every shot id, numbers, totals and copies, asked through the contract.

What is wrong is a trouble; what looks odd but may be meant, or mends itself, is a note. Each has a remedy.
"""

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from itertools import pairwise
from math import isclose

from gateway.cli import failures
from gateway.cli.client import Client
from services.kernel.faults import Fault

# Bytes of a file name from which on there is no room for the name under which a new content is written beside it.
_LONGEST_NAME = 241
_PROJECT_JSON = "project.json"
_TEMPORARY = ".shotline-tmp"
_ABANDONED_AFTER = 60.0  # seconds; a write takes milliseconds
_DURATIONS = ("duration", "total_duration", "totalDuration")
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


async def verify(client: Client, project: str, progress: Callable[[int, int], None]) -> Report:
    """Look at everything. `progress` hears (files done, files in all). Raises Fault where the project itself
    cannot be opened, or Shotline cannot be reached."""
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
        _check_sequence(report, listed.file, _read(sequence.document_json), holders)
    _check_ids(report, holders)
    progress(len(sequences), steps)
    await _check_project_file(report, client, project)
    _check_leftovers(report, project)
    progress(steps, steps)
    return report


def _check_name(report: Report, file: str) -> None:
    name = os.path.basename(file)
    if (size := len(name.encode("utf-8", "surrogateescape"))) > _LONGEST_NAME:
        message = f"its name has {size} bytes, so that there is no room for a new one beside it: it cannot be changed"
        report.trouble(file, "NAME_TOO_LONG", message, f"give the file a name of at most {_LONGEST_NAME} bytes")


def _check_sequence(report: Report, file: str, document: dict[str, object], holders: Holders) -> None:
    shots = [_members(shot) for shot in _list(document.get("shots"))]
    report.shots += len(shots)
    _check_shots(report, file, [_id(shot) for shot in shots], holders)
    _check_numbers(report, file, shots)
    if shots:
        _check_totals(report, file, document, shots)


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


def _check_numbers(report: Report, file: str, shots: Sequence[dict[str, object]]) -> None:
    numbers = [(number, _id(shot)) for shot in shots if isinstance(number := shot.get("number"), Decimal)]
    for (before, _), (number, shot_id) in pairwise(numbers):
        if number <= before:
            message = f"the shot numbers do not follow the order: {shot_id or 'a shot'} has {number} behind {before}"
            remedy = "set them with `shotline project update … --set number=N`; the next move or new shot does it, too"
            report.trouble(file, "NUMBERS_OUT_OF_ORDER", message, remedy)
            return


def _check_totals(report: Report, file: str, document: dict[str, object], shots: Sequence[dict[str, object]]) -> None:
    with localcontext(Context(prec=60, traps=[])):  # a file may hold 1e999
        total = sum((_duration(shot) for shot in shots), Decimal(0))
    for where, members in (("", document), ("metadata.", _members(document.get("metadata")))):
        for name in _DURATIONS:
            if isinstance(stated := members.get(name), Decimal) and not _equal(stated, total):
                message = f"{where}{name} is {stated}, the shots' durations add up to {total}"
                remedy = f"if it is meant as the total: `shotline project update … --set {where}{name}={total}`"
                report.note(file, "DURATION_NOT_THE_SUM", message, remedy)
        for name in (*_COUNTS, *_PLANS):
            if isinstance(stated := members.get(name), Decimal) and stated != len(shots):
                message = f"{where}{name} is {stated}, the file has {len(shots)} shots"
                change = f"`shotline project update … --set {where}{name}={len(shots)}`"
                if name in _COUNTS:
                    report.trouble(file, "COUNT_NOT_TRUE", message, change)
                else:
                    report.note(file, "COUNT_NOT_TRUE", message, f"if it is meant as the count: {change}")


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
            remedy = "none needed: the file's next change removes it"
            report.note(where, "LEFTOVER", "left by a write that was killed", remedy)


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


def _duration(shot: dict[str, object]) -> Decimal:
    for value in (_members(shot.get("timing")).get("duration"), shot.get("duration")):
        if isinstance(value, Decimal):
            return value
    return Decimal(0)


def _equal(stated: Decimal, total: Decimal) -> bool:
    """But for what adding doubles makes of a sum."""
    return isclose(float(stated), float(total), rel_tol=1e-9, abs_tol=1e-9)


def _members(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
