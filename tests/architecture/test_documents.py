"""What the documents say is so: every variable, channel, command and file that they name."""

import re
import subprocess
from pathlib import Path

import pytest

from gateway.channels import CHANNELS
from gateway.settings import GatewaySettings
from services.asset_graph.settings import Settings as GraphSettings
from services.runtime.settings import Environment
from services.sequence_file.settings import Settings as FileSettings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted(path.name for path in ROOT.glob("*.md"))


def asked_for() -> set[str]:
    """The variables that the processes read."""
    required = {
        "SHOTLINE_TOKEN_FILE": "/token",
        "SHOTLINE_ROOTS": "/",
        "SHOTLINE_LOG_FILE": "/log",
        "SHOTLINE_DATABASE_URL": "postgresql://host/graph",
    }
    environments = [Environment(required) for _ in range(3)]
    GatewaySettings.read(environments[0])
    FileSettings.read(environments[1])
    GraphSettings.read(environments[2])
    return {name for each in environments for name in each._known}


def test_every_variable_is_documented_and_every_documented_one_is_read() -> None:
    table = README.partition("## Settings")[2].partition("## More")[0]
    rows = "\n".join(line for line in table.splitlines() if line.startswith("|"))
    assert set(re.findall(r"SHOTLINE_[A-Z_]+", rows)) == asked_for()


def test_every_channel_is_documented_with_its_arguments() -> None:
    rows = re.findall(r"^\| `([a-z:-]+)` \| ([^|]+) \|", README, re.MULTILINE)
    documented = {name: re.sub(r"\{[^}]*\}", "", arguments).replace(" ", "").split(",") for name, arguments in rows}
    assert documented == {name: list(channel.arguments) for name, channel in CHANNELS.items()}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_named_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    links = re.findall(r"\]\(([^)#]+)\)", text)
    paths = re.findall(r"`((?:services|gateway|protos|tests|deploy)/[\w./-]*)`", text)
    for name in links + paths:
        if not name.startswith("http"):
            assert (ROOT / name).exists(), name


def test_every_make_target_that_is_named_exists_and_has_help() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for document in DOCUMENTS:
        for target in re.findall(r"`?make ([a-z-]+)`", (ROOT / document).read_text()):
            assert re.search(rf"\b{target}\b", told), f"{document}: make {target}"


def test_nothing_of_a_machine_or_a_registry_is_in_the_project() -> None:
    """Paths of a developer's machine, and addresses of package registries."""
    forbidden = [r"/ho" r"me/[a-z]+/(?!films)", r"/roo" r"t/", r"regi" r"stry\.npmjs", r"files\.python" r"hosted"]
    found = subprocess.run(
        ["git", "grep", "-nP", "|".join(forbidden)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 1, found.stdout + found.stderr  # 1: nothing was found
