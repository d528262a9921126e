"""`make demo`, as a newcomer runs it."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DEMO = (sys.executable, "-P", "-m", "services.local.demo")


def tell(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run in a folder of the user's; nothing of it is imported or written."""
    here, temporary = folder / "here", folder / "temporary"
    here.mkdir()
    temporary.mkdir()
    (here / "json.py").write_text("raise SystemExit('imported from the current folder')")
    told = subprocess.run(
        command,
        cwd=here,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(_paths())},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert [path.name for path in here.iterdir()] == ["json.py"]
    assert list(temporary.iterdir()) == []
    return told


def test_the_demo_tells_a_story_keeps_every_promise_and_leaves_nothing_behind(tmp_path: Path) -> None:
    told = tell(tmp_path, *DEMO)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stderr == ""
    assert "promises kept" in told.stdout
    assert "✗" not in told.stdout
    for chapter in (
        "changes a prompt",
        "lists all sequences",
        "not there",
        "Two people",
        "by hand",
        "history",
        "brings a shot back",
        "workers generate",
        "Who decides",
        "What did it cost",
        "killed",
    ):
        assert chapter in told.stdout


def test_the_demo_fails_when_a_promise_is_broken(tmp_path: Path) -> None:
    """The same story against a merge that throws away what stands beside the prompt."""
    code = """
import sys
from services.local import demo
invoke = demo.Editor.invoke
def shallow(self, channel, *arguments):
    if channel == "sequence:update-shot":
        arguments += ({"mode": "REPLACE_TOP_LEVEL"},)
    return invoke(self, channel, *arguments)
demo.Editor.invoke = shallow
sys.exit(demo.main())
"""
    told = tell(tmp_path, sys.executable, "-P", "-c", code)
    assert "Not as promised" in told.stdout, told.stdout + told.stderr
    assert told.returncode != 0


def _paths() -> list[str]:
    return [str(REPOSITORY), str(REPOSITORY / "protos" / "gen" / "python"), str(REPOSITORY / "gateway" / "sdk")]
