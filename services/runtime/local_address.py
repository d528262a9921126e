"""The file by which the local start tells clients on the same machine where it is and how to get in.

It holds a token, so it is for its owner only: a folder of mode 0700, a file of mode 0600. One that
others could have written, or can read, is refused rather than repaired. On Windows, which has no
such modes, the folder of the user profile protects it.
"""

import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

FILE_NAME = "connection.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalAddress:
    """Where the local start listens."""

    grpc: str  # host:port of the gateway
    http: str  # base URL of the gateway
    token: str
    pid: int  # of the process that `shotline up` is


def default_folder() -> Path:
    """Where the file is unless `--data` says otherwise: the user's own data folder."""
    return Path(platformdirs.user_data_dir("shotline", appauthor=False))


def write(folder: Path, address: LocalAddress) -> Path:
    """Put the file into `folder`, which is made when missing; readers see the old one or the new one.
    PermissionError when the folder is not ours alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_shared(folder, os.stat(folder), stat.S_IFDIR)
    descriptor, temporary = tempfile.mkstemp(prefix=".connection-", dir=folder)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(address), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / FILE_NAME)
    except BaseException:
        os.unlink(temporary)
        raise
    return folder / FILE_NAME


def read(folder: Path) -> LocalAddress:
    """What `write` put there. FileNotFoundError when nothing did, PermissionError when the folder or the
    file is not ours alone, ValueError when the file is not what `write` makes."""
    path = folder / FILE_NAME
    _refuse_shared(folder, os.stat(folder), stat.S_IFDIR)
    try:
        with open(path, encoding="utf-8", opener=_open_itself) as file:
            _refuse_shared(path, os.fstat(file.fileno()), stat.S_IFREG)
            text = file.read()
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:  # a link or a folder
        raise PermissionError(f"{path} is not a regular file: {error.strerror}") from None
    try:
        facts = json.loads(text)
        address = LocalAddress(**{name: facts[name] for name in LocalAddress.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is not a file of `shotline up`; start it again") from None
    return address


def remove(folder: Path) -> None:
    """Take the file away, if it is there."""
    (folder / FILE_NAME).unlink(missing_ok=True)


def _open_itself(path: str, flags: int) -> int:
    # Neither follow a link nor wait for a pipe, where the system knows such flags.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _refuse_shared(path: Path, found: os.stat_result, kind: int) -> None:
    if stat.S_IFMT(found.st_mode) != kind:
        raise PermissionError(f"{path} is not a {'folder' if kind == stat.S_IFDIR else 'regular file'}")
    if not hasattr(os, "geteuid"):  # Windows
        return
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to another user (uid {found.st_uid})")
    if mode := stat.S_IMODE(found.st_mode) & 0o077:
        wanted = "700" if kind == stat.S_IFDIR else "600"
        raise PermissionError(f"{path} is open to others (mode has {mode:03o}); run `chmod {wanted}` on it")
