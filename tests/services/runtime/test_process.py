"""How a process ends."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


def run(body: str) -> subprocess.CompletedProcess[str]:
    program = f"""
import asyncio, os, signal, sys
from services.runtime.process import run
from services.runtime.settings import SettingsError

async def main(stopping):
{body}

run(main)
"""
    return subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=30)


def test_a_main_that_returns_exits_with_0() -> None:
    assert run("    pass").returncode == 0


def test_a_settings_error_is_one_line_and_exits_with_2() -> None:
    ended = run("    raise SettingsError('SHOTLINE_GRACE: must be seconds')")
    assert (ended.returncode, ended.stderr) == (2, "error: SHOTLINE_GRACE: must be seconds\n")


def test_any_other_error_is_a_traceback_and_exits_with_1() -> None:
    ended = run("    raise RuntimeError('broken')")
    assert ended.returncode == 1
    assert "RuntimeError: broken" in ended.stderr


def test_each_signal_asks_main_to_stop() -> None:
    for name in ("SIGTERM", "SIGINT"):
        ended = run(f"    os.kill(os.getpid(), signal.{name}); await stopping.wait(); print('drained')")
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "drained\n", "")


def test_uvloop_is_the_loop_where_it_is_installed() -> None:
    assert "uvloop" in run("    print(type(asyncio.get_running_loop()).__module__)").stdout
    without = "    print(type(asyncio.get_running_loop()).__module__)\n\nsys.modules['uvloop'] = None"
    assert "asyncio" in run(without).stdout
