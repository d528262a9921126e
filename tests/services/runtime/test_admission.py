"""The door by itself, as a transport other than gRPC uses it."""

import asyncio
import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from services.kernel.faults import Code, Fault
from services.runtime import call
from services.runtime.admission import Door, hand_over
from services.runtime.call import Principal
from services.runtime.logs import Log
from services.runtime.settings import Limits

HEADERS = {"authorization": "Bearer right-token"}


def lines(log_file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_file.read_text().splitlines()]


async def test_inside_the_call_is_current_and_outside_it_is_not(door: Door) -> None:
    async with door.admit("/ipc/a", HEADERS, timeout=5) as outer:
        assert call.current() is outer
        async with door.admit("/ipc/b", HEADERS, timeout=5) as inner:
            assert call.current() is inner
        assert call.current() is outer
    assert call.current() is None


@pytest.mark.parametrize("sent", ["", "a\nb", "ünicode", "x" * 129, "\x1b[31m"])
async def test_a_request_id_that_is_unfit_for_a_log_line_is_replaced(door: Door, sent: str) -> None:
    async with door.admit("/m", HEADERS | {"x-request-id": sent}, timeout=5) as admitted:
        assert admitted.request_id != sent
        assert len(admitted.request_id) == 32


async def test_a_fit_request_id_is_kept(door: Door) -> None:
    async with door.admit("/m", HEADERS | {"x-request-id": "edit 4/" + "x" * 121}, timeout=5) as admitted:
        assert admitted.request_id.startswith("edit 4/")


@pytest.mark.parametrize("sent", ["a\nb", "ünicode", "x" * 65, "\x1b[31m"])
async def test_a_clients_name_that_is_unfit_to_be_shown_is_ignored(door: Door, sent: str) -> None:
    async with door.admit("/m", HEADERS | {"x-client": sent}, timeout=5) as admitted:
        assert admitted.client == ""


async def test_a_client_says_what_it_is(door: Door) -> None:
    name = "editor 2.1 (" + "x" * 52
    async with door.admit("/m", HEADERS | {"x-client": name}, timeout=5) as admitted:
        assert admitted.client == name
    async with door.admit("/m", HEADERS, timeout=5) as admitted:
        assert admitted.client == ""


@pytest.mark.parametrize(
    ("timeout", "watch", "seconds"),
    [(None, False, 30), (5, False, 5), (9_999, False, 300), (None, True, math.inf), (9_999, True, 9_999)],
)
async def test_the_deadline_is_the_callers_within_bounds(
    door: Door, timeout: float | None, watch: bool, seconds: float
) -> None:
    async with door.admit("/m", HEADERS, timeout=timeout, watch=watch) as admitted:
        assert admitted.remaining() == pytest.approx(seconds, abs=0.5)


async def test_work_past_its_deadline_is_ended(door: Door, log_file: Path) -> None:
    with pytest.raises(Fault) as caught:
        async with door.admit("/m", HEADERS, timeout=0.02):
            await asyncio.sleep(30)
    assert (caught.value.code, caught.value.reason) == (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    task = asyncio.current_task()
    assert task
    assert task.cancelling() == 0  # or a TaskGroup around it would take it for cancelled
    assert lines(log_file)[0]["code"] == "DEADLINE_EXCEEDED"


async def test_cancellation_from_outside_passes_untouched(door: Door, log_file: Path) -> None:
    async def work() -> None:
        async with door.admit("/m", HEADERS, timeout=5):
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lines(log_file)[0]["code"] == "CANCELLED"
    assert door.calls == 0


async def test_a_timeout_of_the_works_own_is_not_the_callers_deadline(door: Door) -> None:
    with pytest.raises(Fault) as caught:
        async with door.admit("/m", HEADERS, timeout=5):
            raise TimeoutError("the disk's, not the caller's")
    assert caught.value.code is Code.INTERNAL


async def test_what_is_unexpected_leaves_with_an_error_id_only(
    door: Door, log_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Fault) as caught:
        async with door.admit("/m", HEADERS, timeout=5):
            raise KeyError("postgresql://owner:hunter2@db")
    assert "hunter2" not in str(caught.value)
    assert caught.value.metadata["error_id"] in caplog.text
    assert "hunter2" in caplog.text
    assert "hunter2" not in log_file.read_text()
    assert lines(log_file)[0]["reason"] == "INTERNAL"


async def test_refused_calls_are_logged_too(door: Door, log_file: Path) -> None:
    with pytest.raises(Fault):
        async with door.admit("/m", {}, timeout=5, peer="127.0.0.1", transport="http"):
            pytest.fail("let in")
    [line] = lines(log_file)
    assert (line["reason"], line["principal"], line["transport"]) == ("TOKEN_INVALID", "", "http")
    assert door.calls == 0


async def test_a_broken_authenticator_lets_nobody_in(log_descriptor: int) -> None:
    class Broken:
        def authenticate(self, authorization: str) -> Principal:
            raise OSError("key server http://keys:hunter2@keys")

    with pytest.raises(Fault) as caught:
        async with Door(Broken(), Limits(), Log(log_descriptor)).admit("/m", HEADERS, timeout=5):
            pytest.fail("let in")
    assert caught.value.code is Code.INTERNAL
    assert "hunter2" not in str(caught.value)


async def test_watches_are_told_and_those_that_do_not_listen_are_ended(door: Door) -> None:
    reasons = []

    async def listens() -> None:
        async with door.admit("/listens", HEADERS, timeout=None, watch=True):
            await door.stopping.wait()
            raise Fault(Code.UNAVAILABLE, "BACKEND_UNAVAILABLE", "bye", metadata={"revision": "7"})

    async def sleeps() -> None:
        async with door.admit("/sleeps", HEADERS, timeout=None, watch=True):
            await asyncio.sleep(30)

    watches = [asyncio.create_task(listens()), asyncio.create_task(sleeps())]
    await asyncio.sleep(0.01)
    await door.end_watches(patience=0.05)
    for ended in await asyncio.gather(*watches, return_exceptions=True):
        assert isinstance(ended, Fault)
        reasons.append((ended.reason, ended.metadata))
    assert reasons == [("BACKEND_UNAVAILABLE", {"revision": "7"}), ("BACKEND_UNAVAILABLE", {})]
    with pytest.raises(Fault) as caught:
        await sleeps()
    assert caught.value.reason == "BACKEND_UNAVAILABLE"
    assert caught.value.retry_after


async def test_a_watch_with_a_farewell_is_ended_at_once_and_says_it(door: Door) -> None:
    async def watches() -> None:
        async with door.admit("/watches", HEADERS, timeout=None, watch=True) as admitted:
            admitted.farewell["revision"] = "7"
            await asyncio.sleep(30)

    watch = asyncio.create_task(watches())
    await asyncio.sleep(0.01)
    began = asyncio.get_running_loop().time()
    await door.end_watches(patience=5)
    assert asyncio.get_running_loop().time() - began < 1
    with pytest.raises(Fault) as caught:
        await watch
    assert (caught.value.reason, caught.value.metadata) == ("BACKEND_UNAVAILABLE", {"revision": "7"})


async def test_a_message_that_is_not_taken_in_time_ends_its_watch_with_its_farewell(door: Door) -> None:
    with pytest.raises(Fault) as caught:
        async with door.admit("/watches", HEADERS, timeout=None, watch=True) as admitted:
            admitted.farewell["revision"] = "7"
            await hand_over(asyncio.sleep(0), 0.02)
            await hand_over(asyncio.sleep(30), 0.02)
    fault = caught.value
    assert (fault.code, fault.reason) == (Code.RESOURCE_EXHAUSTED, "WATCH_TOO_SLOW")
    assert fault.metadata == {"revision": "7"}
    assert fault.retry_after
    assert door.watches == 0


async def test_the_token_is_not_in_what_a_call_prints(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with door.admit("/m", HEADERS, timeout=5) as admitted:
        assert "right-token" not in repr(admitted)
