"""Logs are JSON lines."""

import json
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.admission import Door
from services.runtime.logs import Log, open_log


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


async def test_what_python_logs_and_what_calls_log_are_lines_of_one_file(tmp_path: Path, door: Door) -> None:
    path = tmp_path / "process.log"
    log = open_log("INFO", path)
    logger = logging.getLogger("tests.logs")
    logger.debug("not this")
    logger.info("two\nlines, %s", "ünicode")
    log.write({"method": "/m"})
    headers = {"authorization": "Bearer right-token", "x-request-id": "edit-4"}
    async with door.admit("/m", headers, timeout=5):
        try:
            raise ValueError("broken")
        except ValueError:
            logger.exception("it failed")
    said, called, failed = [json.loads(line) for line in path.read_text().splitlines()]
    assert (said["level"], said["logger"], said["message"]) == ("INFO", "tests.logs", "two\nlines, ünicode")
    assert called["method"] == "/m"
    assert failed["request_id"] == "edit-4"
    assert "ValueError: broken" in failed["traceback"]
    assert all(line["time"].endswith("Z") for line in (said, called, failed))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_name_that_is_not_utf_8_can_be_logged(tmp_path: Path) -> None:
    open_log("INFO", tmp_path / "process.log")
    logging.getLogger("tests.logs").warning("no folder %s", "\udcff")
    assert json.loads((tmp_path / "process.log").read_text())["message"] == "no folder \udcff"


def test_a_log_that_nobody_takes_does_not_fail_the_call() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    Log(writer).write({"method": "/m"})
    os.close(writer)
