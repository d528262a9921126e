"""What importing the runtime does, and what it needs."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
MODULES = sorted(path.stem for path in (REPOSITORY / "services" / "runtime").glob("[a-z]*.py"))

NOTHING_IS_MADE = """
import asyncio, importlib, os, socket, sys, threading

class Made(Exception): pass
def refuse(*args, **kwargs): raise Made
asyncio.new_event_loop = asyncio.Runner = threading.Thread.start = socket.socketpair = refuse
import grpc, grpc.aio
grpc.aio.server = grpc.aio.insecure_channel = grpc.aio.secure_channel = refuse
tasks, files = set(os.listdir("/proc/self/task")), set(os.listdir("/proc/self/fd"))
importlib.import_module("services.runtime." + sys.argv[1])
assert set(os.listdir("/proc/self/task")) == tasks, "a thread was started"
assert set(os.listdir("/proc/self/fd")) == files, "a file was left open"
"""

# What Windows has not; macOS has all of it but is no Linux either.
WITHOUT_LINUX = """
import importlib, os, sys
for name in ("fcntl", "grp", "pwd", "resource", "termios", "uvloop", "syslog"): sys.modules[name] = None
import asyncio, platformdirs, signal, socket  # these look at the system themselves
for name in ("geteuid", "getuid", "fchmod", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "mkfifo", "fork"):
    delattr(os, name)
importlib.import_module("services.runtime." + sys.argv[1])
"""


def run(program: str, module: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program, module]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30)


def test_there_are_modules_to_check() -> None:
    assert {"admission", "call", "channels", "server"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_importing_makes_nothing(module: str) -> None:
    ended = run(NOTHING_IS_MADE, module)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("module", ["local_address", "channels", "status", "tokens"])
def test_what_clients_need_imports_without_linux(module: str) -> None:
    ended = run(WITHOUT_LINUX, module)
    assert ended.returncode == 0, ended.stderr
