"""The --data folder of a local start: who holds it, its token, its logs, where it can be reached.

    up.lock          locked while a start, or a process that it left behind, lives; holds its pid
    token            the token of this start alone, mode 0600
    token_key        what `shotline token create` signs with, mode 0600; stays, as does what is signed
    postgres/        the database (`local.cluster`), or where it is
    app_password     of the role that the servers have in a database, mode 0600
    connection.json  address, token and pid (`runtime.local_address`), mode 0600
    logs/            one file per process

The folder is its owner's alone (mode 0700); one that others can enter is refused.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.runtime import local_address
from services.runtime.local_address import LocalAddress

_LOCK, _TOKEN, _TOKEN_KEY, _APP_PASSWORD, _LOGS = "up.lock", "token", "token_key", "app_password", "logs"
# How long processes that a killed start left behind may take to notice and to end.
LEFTOVER_PATIENCE = 8.0


class DataFolderInUse(Exception):
    """Another start holds the folder; the message names its pid."""


class DataFolder:
    """A folder that this process holds."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.lock = lock  # descriptor; a child that inherits it keeps the folder held

    @property
    def token_file(self) -> Path:
        """File that holds the token and nothing else."""
        return self.path / _TOKEN

    @property
    def app_password_file(self) -> Path:
        """File that holds the password of the servers' role."""
        return self.path / _APP_PASSWORD

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self.path / _LOGS / f"{name}.log"

    def put_token(self, token: str) -> None:
        """Replace the token file."""
        put_secret(self.token_file, token)

    def announce(self, address: LocalAddress) -> None:
        """Let clients on this machine find the start."""
        local_address.write(self.path, address)

    def withdraw(self) -> None:
        """Take back what `announce` and `put_token` wrote: it leads nowhere any more."""
        local_address.remove(self.path)
        self.token_file.unlink(missing_ok=True)


@contextmanager
def held(path: Path) -> Iterator[DataFolder]:
    """Make the folder when missing and hold it. DataFolderInUse; PermissionError where it is not ours alone."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    refuse_shared(path)
    (path / _LOGS).mkdir(mode=0o700, exist_ok=True)
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _take(lock, path)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield DataFolder(path, lock)
    finally:
        os.close(lock)


def put_secret(path: Path, secret: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def token_key_file(path: Path) -> Path:
    """Where the key of signed tokens is, of a folder that need not be held."""
    return path / _TOKEN_KEY


def holder(path: Path) -> int | None:
    """The pid of the start that holds the folder; None where nobody does."""
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None  # no folder, no lock file: nobody
    try:
        return None if try_lock(lock) else _pid(lock)
    finally:
        os.close(lock)


def refuse_shared(path: Path) -> None:
    """PermissionError, with its remedy, where the folder or the connection file is open to others."""
    try:
        local_address.read(path)
    except (FileNotFoundError, ValueError):
        pass  # nothing there, or not what we write: the next start replaces it


def is_alive(pid: int) -> bool:
    """Whether a process with this pid runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _take(lock: int, path: Path) -> None:
    patience_ends = time.monotonic() + LEFTOVER_PATIENCE
    while not try_lock(lock):
        pid = _pid(lock)
        if pid is not None and is_alive(pid):
            raise DataFolderInUse(
                f"Shotline already runs on {path} as process {pid}; end it with `kill {pid}`, or give this start "
                "another --data folder"
            )
        # Its start was killed, and its children are about to end; or it has just begun and not yet said its pid.
        if time.monotonic() > patience_ends:
            raise DataFolderInUse(f"processes of an earlier start (process {pid}) still hold {path}; end them first")
        time.sleep(0.05)


def try_lock(lock: int) -> bool:
    """Lock an open file unless somebody else holds it. Whether it is ours now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid(lock: int) -> int | None:
    text = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else None
