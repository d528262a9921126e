"""`shotline doctor`: every check in order, and how its findings are said."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.text import Text

from services.local import checks, data_folder, database_checks
from services.local.checks import Finding
from services.local.ports import Ports
from services.runtime import local_address

_MARKS = {"ok": ("✓", "green"), "note": ("!", "yellow"), "trouble": ("✗", "bold red")}


def examine(roots: Sequence[Path], data: Path | None, *, ports: Ports) -> list[Finding]:
    """What `shotline up` with these options would meet. Leaves nothing behind."""
    folder = _folder(data)
    findings = [*checks.versions(), *checks.clock(), *checks.data(folder)]
    findings += checks.ports(ports, folder)
    findings += database_checks.database(folder)
    for root in roots or (Path.cwd(),):
        findings += checks.root(Path(os.path.abspath(root)))
    return findings


def running(data: Path | None) -> int | None:
    """The pid of the Shotline that runs on the data folder; None where none does."""
    return data_folder.holder(_folder(data))


def report(findings: Iterable[Finding], *, pid: int | None, as_json: bool) -> bool:
    """Print the findings, and the `pid` of the Shotline that runs already. Whether there is no trouble among them."""
    findings = list(findings)
    troubles = sum(finding.level == "trouble" for finding in findings)
    if as_json:
        print(json.dumps({"ok": not troubles, "findings": [asdict(finding) for finding in findings]}))
        return not troubles
    out = Console(highlight=False)
    for finding in findings:
        mark, style = _MARKS[finding.level]
        line = Text.assemble((f"{mark} ", style), (f"{finding.check}: ", "bold"), finding.message)
        out.print(line, soft_wrap=True)
        if finding.remedy:
            out.print(Text(f"  remedy: {finding.remedy}"), soft_wrap=True)
    if troubles:
        out.print(Text(f"{troubles} of {len(findings)} checks found trouble", style="bold red"))
    elif pid:
        out.print(Text(f"Shotline runs already, as process {pid}: a second one needs another --data", style="yellow"))
    else:
        out.print(Text("nothing is in the way of `shotline up`", style="green"))
    return not troubles


def _folder(data: Path | None) -> Path:
    return Path(os.path.abspath(data or local_address.default_folder()))
