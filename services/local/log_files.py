"""Log files of a local start: standard error goes there, and they stay small.

What C libraries and the interpreter print lands there as well, so the terminal belongs to `shotline up`. A file is
rotated under the running process: its descriptor is pointed at the new file in one step, so no line is lost.
"""

import os
import threading
import time
from pathlib import Path

MAX_BYTES = 16 * 1024 * 1024
KEPT = 3  # older files, as name.log.1 …
_TAIL = 64 * 1024  # bytes in which last words are looked for
_PAUSE = 5.0  # seconds between two looks at the size

_STANDARD_ERROR = 2


def open_log_file(path: Path) -> int:
    """A descriptor that appends to the file, which only its owner can read."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def take_over_standard_error(path: Path) -> int:
    """Send standard error to the file from now on. Gives a descriptor of what it was before."""
    before = os.dup(_STANDARD_ERROR)
    _point(_STANDARD_ERROR, path)
    return before


def keep_small(path: Path, *, max_bytes: int = MAX_BYTES, pause: float = _PAUSE) -> None:
    """Rotate the file, to which standard error goes, whenever it is over `max_bytes`; in a thread, until the end."""

    def watch() -> None:
        while True:
            if os.fstat(_STANDARD_ERROR).st_size > max_bytes:
                _rotate(path)
            time.sleep(pause)

    threading.Thread(target=watch, name="log rotation", daemon=True).start()


def last_words(path: Path, offset: int) -> str:
    """The last line from `offset` on that is not a JSON log line: what a process said before it ended. May be ""."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(offset, size - _TAIL))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line and not line.startswith("{")), "")


def _rotate(path: Path) -> None:
    for number in range(KEPT, 0, -1):
        older = Path(f"{path}.{number - 1}") if number > 1 else path
        if older.exists():
            os.replace(older, f"{path}.{number}")
    _point(_STANDARD_ERROR, path)


def _point(descriptor: int, path: Path) -> None:
    fresh = open_log_file(path)
    os.dup2(fresh, descriptor)
    os.close(fresh)
