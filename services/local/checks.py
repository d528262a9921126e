"""What `shotline doctor` looks at. Each check gives findings; a finding that is no good says what to do.

Checks write into temporary folders of their own only, and remove them.
"""

import fcntl
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from services.local import data_folder
from services.local.ports import Ports, is_free
from services.local.projects import find_projects
from services.sequence_file.domain.identity import is_sequence_file
from services.sequence_file.storage.disk import Disk, ExchangeUnsupported
from services.sequence_file.storage.places import STATE_FOLDER

LEAST_FREE = 64 * 1024 * 1024  # bytes; below, writes are about to fail
LITTLE_FREE = 1024 * 1024 * 1024
SLOW_SYNC = 0.1  # seconds
MOST_CLOCK_SKEW = 2.0  # seconds between the system's clock and a file system's
_BUILT = datetime(2026, 1, 1, tzinfo=UTC)  # no correct clock is earlier

Level = Literal["ok", "note", "trouble"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found."""

    check: str
    level: Level  # a note does not keep Shotline from working
    message: str
    remedy: str = ""


def versions() -> Iterator[Finding]:
    """Whether the interpreter and the packages fit the generated code, which itself refuses what is too old."""
    found = f"Python {platform.python_version()}, grpcio {version('grpcio')}, protobuf {version('protobuf')}"
    try:
        import_module("shotline.sequence_file.v1.sequence_file_service_pb2_grpc")
        import_module("shotline.studio.v1.studio_service_pb2_grpc")
    except Exception as error:  # noqa: BLE001  # each package has its own exception for "too old"
        yield Finding(
            check="versions",
            level="trouble",
            message=f"{found}: do not fit the generated code: {str(error).splitlines()[0]}",
            remedy="install Shotline anew, which brings the versions it needs (`make install`)",
        )
    else:
        yield Finding(check="versions", level="ok", message=f"{found}: fit the generated code")


def clock() -> Iterator[Finding]:
    """Whether the system's clock can be right."""
    now = datetime.now(UTC)
    if now < _BUILT:
        yield Finding(
            check="clock",
            level="trouble",
            message=f"the clock says {now:%Y-%m-%d %H:%M} UTC, which is past",
            remedy="set the clock: modified_at of every edit comes from it",
        )
    else:
        yield Finding(check="clock", level="ok", message=f"{now:%Y-%m-%d %H:%M:%S} UTC")


def data(folder: Path) -> Iterator[Finding]:
    """Whether the data folder can be used, and who uses it."""
    check = f"data folder {folder}"
    if not folder.exists():
        parent = next(parent for parent in folder.parents if parent.exists())
        if os.access(parent, os.W_OK | os.X_OK) and parent.is_dir():
            yield Finding(check=check, level="ok", message="does not exist yet; `shotline up` makes it")
        else:
            remedy = f"make {parent} writable, or give another folder with --data"
            yield Finding(check=check, level="trouble", message=f"cannot be made in {parent}", remedy=remedy)
        return
    try:
        data_folder.refuse_shared(folder)
    except OSError as error:
        remedy = f"`chmod 700 {folder}` where it is yours, or give another folder with --data"
        yield Finding(check=check, level="trouble", message=str(error), remedy=remedy)
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(check=check, level="trouble", message="cannot be written", remedy=f"`chmod 700 {folder}`")
        return
    pid = data_folder.holder(folder)
    yield Finding(check=check, level="ok", message=f"Shotline runs on it as process {pid}" if pid else "ready for use")
    yield from free_space(folder)


def ports(wanted: Ports, folder: Path) -> Iterator[Finding]:
    """Whether somebody else listens where `shotline up` would."""
    pid = data_folder.holder(folder)
    for name, port in wanted.named():
        if not port:
            yield Finding(check="ports", level="ok", message=f"the start picks a free one for the {name}")
        elif is_free(port):
            yield Finding(check=f"port {port}", level="ok", message=f"free for the {name}")
        elif pid:
            message = f"in use; Shotline runs as process {pid}"
            yield Finding(check=f"port {port}", level="ok", message=message)
        else:
            yield Finding(
                check=f"port {port}",
                level="trouble",
                message=f"in use by another program, wanted for the {name}",
                remedy="end that program, or start with `--ports auto`",
            )


def root(folder: Path) -> Iterator[Finding]:
    """Whether project folders below can be read and written as the promises need it."""
    check = f"root {folder}"
    if not folder.is_dir():
        message = "is no folder" if folder.exists() else "does not exist"
        yield Finding(check=check, level="trouble", message=message, remedy="give an existing folder with --root")
        return
    try:
        trial = tempfile.mkdtemp(prefix=".shotline-doctor-", dir=folder)
    except OSError as error:
        yield Finding(
            check=check,
            level="trouble",
            message=f"cannot be written ({error.strerror}): projects directly in it can be read, but not changed",
            remedy="make it writable for the user who runs Shotline",
        )
    else:
        try:
            yield from _trial(Path(trial), check)
        finally:
            shutil.rmtree(trial)
    yield from free_space(folder)
    for project in find_projects(folder):
        yield from _project(project)


def free_space(folder: Path) -> Iterator[Finding]:
    """Whether there is room for edits."""
    free = shutil.disk_usage(folder).free
    message = f"{free / 1024**3:.1f} GiB free"
    level: Level = "ok" if free >= LITTLE_FREE else "note" if free >= LEAST_FREE else "trouble"
    remedy = "" if level == "ok" else "free some space: an edit needs room for a second copy of its file"
    yield Finding(check=f"disk of {folder}", level=level, message=message, remedy=remedy)


def _trial(trial: Path, check: str) -> Iterator[Finding]:
    """Do in a folder what an edit does."""
    disk = Disk()
    descriptor = disk.open_folder(str(trial))
    try:
        yield from _syncs(disk, descriptor, check)
        yield from _exchanges(disk, descriptor, check)
    finally:
        disk.close(descriptor)
    yield from _locks(trial, check)
    yield from _agrees_on_time(trial, check)


def _syncs(disk: Disk, folder: int, check: str) -> Iterator[Finding]:
    try:
        began = time.perf_counter()
        for name in ("one", "other"):
            file = disk.create(folder, name, 0o600)
            try:
                disk.write(file, name.encode())
                disk.sync(file)
            finally:
                disk.close(file)
        disk.sync_folder(folder)
        seconds = (time.perf_counter() - began) / 3
    except OSError as error:
        remedy = "use a disk on which fsync works: an edit that is not synced can vanish with the power"
        yield Finding(check=check, level="trouble", message=f"fsync fails: {error}", remedy=remedy)
        return
    message = f"files and folders can be synced, in {seconds * 1000:.1f} ms"
    level: Level = "ok" if seconds < SLOW_SYNC else "note"
    remedy = "" if level == "ok" else "edits wait for the disk; a faster one makes them faster"
    yield Finding(check=check, level=level, message=message, remedy=remedy)


def _exchanges(disk: Disk, folder: int, check: str) -> Iterator[Finding]:
    try:
        disk.exchange(folder, "one", "other")
    except ExchangeUnsupported:
        yield Finding(
            check=check,
            level="note",
            message="the file system cannot exchange two files in one step: plain rename is used instead",
            remedy="do not let another program write a file in the same millisecond, or use ext4, xfs, btrfs or tmpfs",
        )
    except OSError as error:
        yield Finding(
            check=check, level="trouble", message=f"files cannot be renamed: {error}", remedy="try another disk"
        )
    else:
        yield Finding(check=check, level="ok", message="swaps files by RENAME_EXCHANGE")


# What the second process does: try the lock once.
_TRY = """
import fcntl, os, sys
try:
    fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("refused")
else:
    print("taken")
"""


def _locks(trial: Path, check: str) -> Iterator[Finding]:
    path = trial / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        while_held = _try_from_elsewhere(path)
    except OSError as error:
        while_held = str(error)
    finally:
        os.close(descriptor)
    after = _try_from_elsewhere(path)
    if (while_held, after) == ("refused", "taken"):
        yield Finding(check=check, level="ok", message="locks keep two processes apart")
    else:
        yield Finding(
            check=check,
            level="trouble",
            message=f"locks do not work: a held one was {while_held}, a free one {after}",
            remedy="use a volume with POSIX locks (a local disk, NFSv4): without, two writers lose edits",
        )


def _try_from_elsewhere(path: Path) -> str:
    done = subprocess.run([sys.executable, "-I", "-S", "-c", _TRY, path], capture_output=True, text=True, timeout=30)
    return done.stdout.strip() or (done.stderr.strip().splitlines() or ["not tried"])[-1]


def _agrees_on_time(trial: Path, check: str) -> Iterator[Finding]:
    file = trial / "time"
    before = time.time()
    file.touch()
    skew = file.stat().st_mtime - before
    if abs(skew) > MOST_CLOCK_SKEW:
        message = f"the file system's clock is {skew:+.0f} s off the system's"
        remedy = "let both follow one time server: changes are recognised by time stamps"
        yield Finding(check=check, level="trouble", message=message, remedy=remedy)


def _project(folder: Path) -> Iterator[Finding]:
    """Whether the files of a project are such that edits reach them."""
    check = f"project {folder}"
    state = folder / STATE_FOLDER
    bad = list(_bad_files(folder))
    if os.path.lexists(state) and (state.is_symlink() or not state.is_dir()):
        bad.append((f"{STATE_FOLDER} is no folder", f"remove {state}"))
    elif not os.access(state if state.exists() else folder, os.W_OK | os.X_OK):
        bad.append(("can be read, but not changed", "make the folder writable for the user who runs Shotline"))
    for message, remedy in bad:
        yield Finding(check=check, level="trouble", message=message, remedy=remedy)
    if not bad:
        yield Finding(check=check, level="ok", message="can be read and changed")


def _bad_files(folder: Path) -> Iterator[tuple[str, str]]:
    files = [folder / "project.json"]
    sequences = folder / "sequences"
    try:
        files += sorted(path for path in sequences.glob("*.json") if is_sequence_file(path.name))
    except OSError as error:
        yield f"sequences cannot be listed: {error.strerror}", f"`chmod u+rwx {sequences}`"
    for file in files:
        name = file.relative_to(folder)
        try:
            mode = file.stat().st_mode
        except FileNotFoundError:
            if file.is_symlink():
                yield f"{name} is a link that leads nowhere", f"remove {file}, or put the file in its place"
            continue  # without project.json a folder is a project as well
        except OSError as error:
            yield f"{name}: {error.strerror}", f"`chmod u+rx {file.parent}`"
            continue
        if not stat.S_ISREG(mode):
            yield f"{name} is not a regular file", f"put a regular file in the place of {file}"
        elif not mode & 0o444 or not os.access(file, os.R_OK):
            yield f"{name} cannot be read (mode {stat.S_IMODE(mode):03o})", f"`chmod u+rw {file}`"
        elif not os.access(file, os.W_OK):
            yield f"{name} cannot be changed (mode {stat.S_IMODE(mode):03o})", f"`chmod u+w {file}`"
