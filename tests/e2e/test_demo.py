"""`make demo`, as a newcomer runs it."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DEMO = (sys.executable, "-m", "services.local.demo")


def tell(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.run(
        command or DEMO, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=90, check=False
    )


def test_the_demo_tells_a_story_keeps_every_promise_and_leaves_nothing_behind(tmp_path: Path) -> None:
    told = tell(tmp_path)
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
    assert list(tmp_path.iterdir()) == []


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
    told = tell(tmp_path, sys.executable, "-c", code)
    assert told.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_the_demo_works_in_any_folder(tmp_path: Path) -> None:
    """Nothing of the current folder is imported or written."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "json.py").write_text("raise SystemExit('imported from the current folder')")
    (tmp_path / "temporary").mkdir()
    told = subprocess.run(
        [sys.executable, "-P", *DEMO[1:]],
        cwd=tmp_path / "here",
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": os.pathsep.join(_paths())},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["json.py"]


def _paths() -> list[str]:
    return [str(REPOSITORY), str(REPOSITORY / "protos" / "gen" / "python"), str(REPOSITORY / "gateway" / "sdk")]
