"""PostgreSQL as a child process: its cluster is made when missing, and it ends when this process does.

    python -m services.local.child services.local.postgres LOGFILE

Whoever runs it holds the folder's lock, and PostgreSQL's processes inherit it: once it is free none of them is left,
whatever was killed, and what files say of a running server is out of date.
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from services.local.binaries import Binaries, Owner, owner_of, owner_of_new, run_as, usable
from services.local.cluster import PORT, ROLE, refuse_other_version
from services.local.data_folder import try_lock
from services.runtime.process import EXIT_SETTINGS
from services.runtime.settings import Environment, SettingsError

# Given on the command line, so that a file of the cluster cannot undo them. All are known since PostgreSQL 15.
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",  # no disk turns any more
    "jit": "off",  # compiling takes longer than our queries
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_error_statement": "panic",  # statements hold what users wrote
    "log_checkpoints": "off",
    "cluster_name": "shotline",
}
_KEEPER_PATIENCE = 2.0  # seconds for a process like this one to end
LEFTOVER_PATIENCE = 20.0  # seconds for the server of a start that was killed to end by itself
_FORCED_PATIENCE = 5.0  # and after it was told to end at once
_LOG_PATIENCE = 1.0  # for the last lines of its log
_PR_SET_PDEATHSIG = 1
_WORST = re.compile(rb" (?:FATAL|PANIC): +(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What this process reads from its environment."""

    folder: Path  # as in services.local.cluster
    socket: Path
    binaries: Path
    server: Mapping[str, str]  # settings of PostgreSQL besides ours

    @classmethod
    def read(cls, environment: Environment) -> "Settings":
        """From the environment. SettingsError names the variable and its rule."""
        listed = environment.listed("POSTGRES_SETTINGS")
        return cls(
            folder=environment.path("POSTGRES_FOLDER"),
            socket=environment.path("POSTGRES_SOCKET"),
            binaries=environment.path("POSTGRES_BINARIES"),
            server=dict(pair.split("=", 1) for pair in listed),
        )

    def variables(self) -> dict[str, str]:
        """The environment that is read so."""
        return {
            "SHOTLINE_POSTGRES_FOLDER": str(self.folder),
            "SHOTLINE_POSTGRES_SOCKET": str(self.socket),
            "SHOTLINE_POSTGRES_BINARIES": str(self.binaries),
            "SHOTLINE_POSTGRES_SETTINGS": ",".join(f"{name}={value}" for name, value in self.server.items()),
        }


def main() -> None:
    """Entry point of the process."""
    try:
        environment = Environment(os.environ)
        settings = Settings.read(environment)
        environment.refuse_unknown()
        raise SystemExit(_Server(settings).run())
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(EXIT_SETTINGS) from None


class _Stopped(Exception):
    """This process is to end, and PostgreSQL does not run."""


class _Server:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cluster = settings.folder / "cluster"
        self._process: subprocess.Popen[bytes] | None = None
        self._log: threading.Thread
        self._worst = ""  # what PostgreSQL said last of what made it end
        self._stopping = False

    def run(self) -> int:
        """Until PostgreSQL ends, which SIGTERM makes it do. Gives an exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            self._start()
        except _Stopped:
            return 0
        assert self._process is not None
        code = self._process.wait()
        if self._stopping and code == 0:
            return 0
        self._log.join(_LOG_PATIENCE)
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        why = f": {self._worst}" if code > 0 and self._worst else ""
        print(f"PostgreSQL (process {self._process.pid}) {how}{why}", file=sys.stderr)
        return 1

    def _stop(self, *_: object) -> None:
        self._stopping = True
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # ends connections, writes everything to disk

    def _start(self) -> None:
        self._keep_others_away()
        lock = self._open("lock")
        try:
            self._take(lock)
            binaries = self._binaries()
            if not self._cluster.exists():
                self._make(binaries, lock)
            refuse_other_version(self._cluster, binaries.major)
            self._clean_up(binaries.owner)
            self._process = self._launch(binaries, lock)
        finally:
            os.close(lock)  # PostgreSQL has it
        if self._stopping:  # between the last look and now
            self._stop()

    def _binaries(self) -> Binaries:
        owner = owner_of(self._cluster) if self._cluster.exists() else owner_of_new()
        return usable(self._settings.binaries, owner, self._settings.folder.parent)

    def _keep_others_away(self) -> None:
        """Hold what no other process inherits, to our end: whoever cannot have it must not touch what runs here."""
        mine = self._open("keeper")
        until = time.monotonic() + _KEEPER_PATIENCE
        while not try_lock(mine):
            if self._stopping or time.monotonic() > until:
                raise SettingsError(
                    f"another start runs the database in {self._settings.folder}: two data folders lead to it, one of "
                    "which is a copy"
                )
            time.sleep(0.02)

    def _open(self, name: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self._settings.folder / name, flags, 0o600)

    def _take(self, lock: int) -> None:
        """Wait for what a killed start left behind: it is about to end."""
        for order, patience in ((signal.SIGINT, LEFTOVER_PATIENCE), (signal.SIGQUIT, _FORCED_PATIENCE)):
            if try_lock(lock):
                return
            if pid := self._running():
                with suppress(ProcessLookupError):
                    os.kill(pid, order)
            until = time.monotonic() + patience
            while time.monotonic() < until:
                if self._stopping:
                    raise _Stopped
                if try_lock(lock):
                    return
                time.sleep(0.02)
        raise SettingsError(f"a PostgreSQL of an earlier start still runs in {self._settings.folder}; end it first")

    def _running(self) -> int | None:
        """The process that serves the cluster, as its file says and as is true."""
        try:
            pid = int((self._cluster / "postmaster.pid").read_text().splitlines()[0])
            line = _command_line(pid)
        except (OSError, ValueError, IndexError):
            return None
        return pid if str(self._cluster) in line else None

    def _make(self, binaries: Binaries, lock: int) -> None:
        """initdb, beside the place: an interrupted one leaves nothing that looks like a cluster."""
        trial = self._settings.folder / "cluster.new"
        shutil.rmtree(trial, ignore_errors=True)
        trial.mkdir(mode=0o700)
        password = (self._settings.folder / "password").read_text(encoding="ascii")
        with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=self._settings.folder) as file:
            file.write(password)
            file.flush()
            if binaries.owner:
                os.chown(trial, binaries.owner.uid, binaries.owner.gid)
                os.chown(file.name, binaries.owner.uid, binaries.owner.gid)
            self._initdb(binaries, trial, file.name, lock)
        os.rename(trial, self._cluster)
        folder = os.open(self._settings.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _initdb(self, binaries: Binaries, target: Path, password_file: str, lock: int) -> None:
        command = [
            str(binaries.folder / "initdb"),
            f"--pgdata={target}",
            f"--username={ROLE}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--data-checksums",
            "--no-instructions",
            # Byte order, which needs no library of the system and never changes with one.
            *(("--locale-provider=builtin", "--builtin-locale=C.UTF-8") if binaries.major >= 17 else ()),
            *(("--no-sync",) if self._settings.server.get("fsync") == "off" else ()),
        ]
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            pass_fds=(lock,),
            **run_as(binaries.owner),  # type: ignore[call-overload]
        ) as initdb:
            said, _ = initdb.communicate()
        if initdb.returncode:
            words = said.decode(errors="replace").strip()
            print(words, file=sys.stderr)
            error = next((line for line in words.splitlines() if "error:" in line), words)
            raise SettingsError(f"the database could not be made: {error}")
        if self._stopping:
            raise _Stopped

    def _clean_up(self, owner: Owner | None) -> None:
        """We hold the lock, so nothing runs: a pid in these files can only be that of a stranger by now."""
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        shutil.rmtree(self._settings.socket, ignore_errors=True)
        self._settings.socket.mkdir(mode=0o700)
        if owner:
            os.chown(self._settings.socket, owner.uid, owner.gid)

    def _launch(self, binaries: Binaries, lock: int) -> "subprocess.Popen[bytes]":
        quoted = str(self._settings.socket).replace('"', '""')
        wanted = {**_SETTINGS, "unix_socket_directories": f'"{quoted}"', **self._settings.server}
        command = [str(binaries.folder / "postgres"), "-D", str(self._cluster)]
        for name, value in wanted.items():
            command += ["-c", f"{name}={value}"]
        said, saying = os.pipe()
        try:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=saying,
                stderr=saying,
                cwd="/",
                pass_fds=(lock,),
                preexec_fn=_end_with(os.getpid()),
                **run_as(binaries.owner),  # type: ignore[call-overload]
            )
        finally:
            os.close(saying)
        self._log = threading.Thread(target=self._pass_on, args=(said,), name="postgres log", daemon=True)
        self._log.start()
        return process

    def _pass_on(self, said: int) -> None:
        """Its log goes through us, because a log file is rotated in the process that writes it."""
        # Not by a file object: a thread that still reads one, because a connection outlives its server, makes the
        # interpreter abort at its end.
        while some := os.read(said, 65_536):
            os.write(2, some)
            for found in _WORST.finditer(some):
                self._worst = found[1].decode(errors="replace")


def _end_with(parent: int) -> Callable[[], None] | None:
    """What the child does before it becomes PostgreSQL: ask for SIGINT when this process is killed. Elsewhere than on
    Linux the next start ends what is left."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != parent:  # killed before it could be asked for
            os._exit(1)

    return ask


def _command_line(pid: int) -> str:
    if Path("/proc/self").exists():
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    asked = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return asked.stdout


if __name__ == "__main__":
    main()
