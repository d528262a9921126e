"""Whether a project's files can be read and the shots of its sequences be addressed, asked through the contracts."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.cli import failures
from gateway.cli.connection import Client
from services.kernel.faults import Fault

# An id that no shot has: asking for it makes the service read project.json.
_NOBODY = "shotline-verify-0195a1c2-7e00-7000-8000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that is wrong."""

    where: str  # file, relative to the project folder
    reason: str
    message: str
    remedy: str


@dataclass(slots=True)
class Report:
    """What was looked at, and what is wrong."""

    sequences: int = 0
    shots: int = 0
    troubles: list[Trouble] = field(default_factory=list)


async def verify(client: Client, project: str, progress: Callable[[int, int], None]) -> Report:
    """Look at everything. `progress` hears (files done, files in all). Raises Fault where the project itself
    cannot be opened, or Shotline cannot be reached."""
    report = Report()
    sequences, unreachable = await client.sequences(project)
    steps = len(sequences) + 1
    for bad in unreachable:
        report.troubles.append(_trouble(bad.file, bad.reason, bad.message))
    holders: dict[str, list[str]] = {}
    for done, sequence in enumerate(sequences):
        progress(done, steps)
        try:
            shots, _ = await client.shots(project, sequence.id)
        except Fault as fault:
            if fault.reason in ("BACKEND_UNAVAILABLE", "TOKEN_INVALID"):
                raise
            report.troubles.append(_trouble(sequence.file, fault.reason, fault.message))
            continue
        report.sequences += 1
        report.shots += len(shots)
        for position, shot in enumerate(shots, 1):
            if not shot.id:
                message = f"the shot at position {position} has no id, so that it cannot be changed"
                report.troubles.append(_trouble(sequence.file, "SHOT_WITHOUT_ID", message, "give it an id in the file"))
        for shot_id, times in Counter(shot.id for shot in shots if shot.id).items():
            holders.setdefault(shot_id, []).extend([sequence.file] * times)
    report.troubles.extend(_duplicates(holders))
    progress(len(sequences), steps)
    if not unreachable:  # with one, the service cannot tell what stands in project.json only
        report.troubles.extend(await _project_file(client, project))
    progress(steps, steps)
    return report


def _duplicates(holders: dict[str, list[str]]) -> list[Trouble]:
    troubles = []
    for shot_id, places in holders.items():
        if len(places) > 1:
            names = ", ".join(dict.fromkeys(places))
            message = f"the shot id {shot_id!r} stands {len(places)} times: in {names}"
            troubles.append(_trouble(places[0], "DUPLICATE_ID", message))
    return troubles


async def _project_file(client: Client, project: str) -> list[Trouble]:
    try:
        await client.loose_shot(project, _NOBODY)
    except Fault as fault:
        if fault.reason in ("BACKEND_UNAVAILABLE", "TOKEN_INVALID"):
            raise
        # A shot id that stands twice in sequence files is told already.
        if fault.reason != "SHOT_NOT_FOUND":
            return [_trouble(fault.metadata.get("file", "project.json"), fault.reason, fault.message)]
    return []


def _trouble(where: str, reason: str, message: str, remedy: str = "") -> Trouble:
    return Trouble(where=where, reason=reason, message=message, remedy=remedy or failures.remedy(reason))
