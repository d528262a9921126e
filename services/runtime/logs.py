"""Logs as JSON lines, to standard error or a file: what the process says, and one line per call."""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson

from services.runtime import call

_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


class Log:
    """Where the lines go. One write per line, so that lines of several writers do not mix."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, facts: dict[str, object]) -> None:
        """One line: the time, then `facts`, which JSON must be able to hold."""
        line: dict[str, object] = {"time": datetime.now(UTC), **facts}
        try:
            data = orjson.dumps(line, option=_OPTIONS)
        except TypeError:  # a lone surrogate, of a file name that is not UTF-8
            data = json.dumps(line, default=str).encode() + b"\n"
        try:
            os.write(self._descriptor, data)
        except OSError:
            pass  # a full disk, or a reader that went away, must not fail the calls that are logged


class _JsonLines(logging.Handler):
    """What Python's own logging has to say, in the same form."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        facts: dict[str, object] = {
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if answering := call.current():
            facts["request_id"] = answering.request_id
        if record.exc_info:
            facts["traceback"] = logging.Formatter().formatException(record.exc_info)
        self._log.write(facts)


def open_log(level: str = "INFO", destination: Path | None = None) -> Log:
    """Send everything that is logged from `level` on to `destination` (None: standard error), and give
    the log for access lines. Called once, by a main. A file is made with mode 0600 and appended to."""
    if destination is None:
        descriptor = sys.stderr.fileno()
    else:
        descriptor = os.open(destination, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    log = Log(descriptor)
    root = logging.getLogger()
    root.handlers[:] = [_JsonLines(log)]
    root.setLevel(level)
    return log
