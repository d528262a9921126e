"""The HTTP door's own checks: Host, Origin, method, type, size, token, and clients that go away."""

import asyncio
import json
import socket
from collections.abc import Callable

import pytest
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files

from gateway.listener import Listener
from services.runtime.settings import Limits, SettingsError
from tests.services.gateway import raw_http
from tests.services.gateway.conftest import PAGE, PROJECT, TOKEN, Rig

pytestmark = pytest.mark.parametrize("wiring", ["in process"])

UPDATE = json.dumps([PROJECT, "001", "s1", {"n": 1}]).encode()
CONNECT = "/shotline.studio.v1.StudioService/GetShots"
MEBIBYTE = b" " * 2**20


@pytest.mark.parametrize("path", ["/ipc/sequence:get-all", CONNECT, "/nothing"])
@pytest.mark.parametrize("host", ["evil.com", "localhost.evil.com", "127.0.0.1", "127.0.0.1:1", "", None])
async def test_a_host_that_is_not_ours_is_misdirected(rig: Rig, path: str, host: str | None) -> None:
    answer = await rig.http("POST", path, b"{}", host=host)
    assert (answer.status, answer.json["reason"]) == (421, "HOST_NOT_ALLOWED")


async def test_two_hosts_are_misdirected(rig: Rig) -> None:
    head = raw_http.head("POST", "/ipc/sequence:get-all", {"Host": "evil.com", **rig.headers(), "content-length": "0"})
    assert (await raw_http.send(rig.port, head)).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "localhost:{}", "LOCALHOST:{}", "[::1]:{}", "studio.example:8443"])
async def test_every_name_of_ours_is_served(rig: Rig, host: str) -> None:
    assert (await rig.ipc("sequence:get-all", [PROJECT], host=host.format(rig.port))).status == 200


@pytest.mark.parametrize("path", ["/ipc/sequence:get-all", CONNECT])
@pytest.mark.parametrize(
    "origin", ["null", "http://localhost.attacker.com", "http://127.0.0.1:1", "https://studio.example.evil", "", "*"]
)
async def test_a_page_from_elsewhere_is_forbidden(rig: Rig, path: str, origin: str) -> None:
    answer = await rig.http("POST", path, b"{}", origin=origin)
    assert (answer.status, answer.json["reason"]) == (403, "ORIGIN_NOT_ALLOWED")
    assert "access-control-allow-origin" not in answer.headers


async def test_a_listed_page_may_read_the_answer_and_its_own_host_needs_no_list(rig: Rig) -> None:
    answer = await rig.ipc("sequence:get-all", [PROJECT], origin=PAGE)
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["vary"] == "Origin"
    failed = await rig.ipc("sequence:get-all", [PROJECT], origin=PAGE, authorization=None)
    assert (failed.status, failed.headers["access-control-allow-origin"]) == (401, PAGE)
    assert (await rig.ipc("sequence:get-all", [PROJECT], origin=f"http://localhost:{rig.port}")).status == 403
    assert (await rig.ipc("sequence:get-all", [PROJECT], origin=f"http://127.0.0.1:{rig.port}")).status == 200


async def test_only_listed_pages_pass_the_preflight(rig: Rig) -> None:
    asked = {"access_control_request_method": "POST", "authorization": None, "content_type": None}
    answer = await rig.http("OPTIONS", "/ipc/sequence:get-all", origin=PAGE, **asked)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == PAGE
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "x-client", "x-request-id"} <= set(allowed)
    assert (await rig.http("OPTIONS", "/ipc/sequence:get-all", origin="https://evil.com", **asked)).status == 403
    assert (await rig.http("OPTIONS", "/ipc/sequence:get-all", origin=None)).status == 405


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
async def test_a_channel_is_called_by_post_only(rig: Rig, method: str) -> None:
    head = raw_http.head(method, "/ipc/sequence:update-shot", rig.headers())
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(head)
    answer = (await reader.readuntil(b"\r\n\r\n")).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 405 ")
    assert "\r\nallow: POST\r\n" in answer


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", None])
async def test_a_body_that_is_not_json_is_an_unsupported_type(rig: Rig, kind: str | None) -> None:
    answer = await rig.http("POST", "/ipc/sequence:update-shot", UPDATE, content_type=kind)
    assert (answer.status, answer.json["reason"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert rig.memory.seen == []


async def test_a_charset_is_fine_and_compression_is_not(rig: Rig) -> None:
    path = "/ipc/sequence:update-shot"
    assert (await rig.http("POST", path, UPDATE, content_type="Application/JSON; charset=utf-8")).status == 200
    assert (await rig.http("POST", path, UPDATE, content_encoding="gzip")).status == 415


@pytest.mark.parametrize("authorization", [None, "", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
async def test_without_a_valid_token_nothing_is_answered(rig: Rig, authorization: str | None) -> None:
    answer = await rig.ipc("sequence:get-all", [PROJECT], authorization=authorization)
    assert (answer.status, answer.json["code"]) == (401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert rig.memory.seen == []


async def test_liveness_needs_no_token_and_no_name(rig: Rig) -> None:
    answer = await rig.http("GET", "/healthz", host="10.0.0.7:8080", authorization=None)
    assert (answer.status, answer.body) == (200, b'{"status":"ok"}')


async def test_an_unknown_path_is_not_found(rig: Rig) -> None:
    for path in ("/", "/ipc", "/shotline.studio.v1.StudioService/Nothing"):
        answer = await rig.http("POST", path, b"{}")
        assert (answer.status, answer.json["success"]) == (404, False)


async def test_an_encoded_channel_name_is_the_same_channel(rig: Rig) -> None:
    assert (await rig.ipc("sequence%3Aget-all", [PROJECT])).status == 200


async def test_a_body_said_to_be_over_the_limit_is_refused_before_it_comes(rig: Rig) -> None:
    headers = {**rig.headers(), "content-length": str(2**25 + 1), "expect": "100-continue"}
    answer = await raw_http.send(rig.port, raw_http.head("POST", "/ipc/sequence:update-shot", headers))
    assert (answer.status, answer.json["reason"]) == (429, "TOO_LARGE")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("path", ["/ipc/sequence:update-shot", CONNECT])
async def test_a_chunked_body_is_counted_and_the_client_hears_why(rig: Rig, path: str) -> None:
    headers = {**rig.headers(), "transfer-encoding": "chunked"}
    chunk = b"100000\r\n" + MEBIBYTE + b"\r\n"
    answer = await raw_http.send(rig.port, raw_http.head("POST", path, headers), *[chunk] * 33, b"0\r\n\r\n")
    assert answer.status == 429
    assert (answer.json["code"], answer.headers["connection"]) in (
        ("RESOURCE_EXHAUSTED", "close"),
        ("resource_exhausted", "close"),
    )


async def test_a_client_that_reads_only_when_it_has_sent_everything_hears_why(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    headers = {**rig.headers(), "content-length": str(2**25 + 2**23)}
    writer.write(raw_http.head("POST", "/ipc/sequence:update-shot", headers))
    for _ in range(40):
        writer.write(MEBIBYTE)
        await writer.drain()  # raises where the server has closed the connection already
    assert (await raw_http.read(reader)).status == 429
    writer.close()


async def test_a_client_that_sends_without_end_is_cut_off(rig: Rig) -> None:
    headers = {**rig.headers(), "transfer-encoding": "chunked"}
    _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(raw_http.head("POST", "/ipc/sequence:update-shot", headers))

    async def pour() -> None:
        while True:
            writer.write(b"100000\r\n" + MEBIBYTE + b"\r\n")
            await writer.drain()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(pour(), 10)
    writer.close()


async def test_a_body_just_under_the_limit_is_read(rig: Rig) -> None:
    answer = await rig.http("POST", "/ipc/sequence:update-shot", UPDATE + MEBIBYTE * 31)
    assert answer.status == 200


@pytest.mark.parametrize("path", ["/ipc/sequence:update-shot", CONNECT])
async def test_a_head_over_the_limit_is_refused(rig: Rig, path: str) -> None:
    answer = await rig.http("POST", path, UPDATE, x_padding="x" * 20_000)
    assert (answer.status, answer.json["reason"]) == (429, "TOO_LARGE")


async def test_a_head_without_end_is_refused(rig: Rig) -> None:
    start = raw_http.head("POST", "/ipc/sequence:update-shot", rig.headers())[:-2]
    answer = await raw_http.send(rig.port, start + b"x-padding: ", *[b"x" * 10_000] * 20)
    assert (answer.status, answer.json["reason"]) == (429, "TOO_LARGE")


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"POST /\xff HTTP/1.1\r\n\r\n"]
)
async def test_what_is_no_http_gets_an_answer_and_no_more(rig: Rig, junk: bytes) -> None:
    answer = await raw_http.send(rig.port, junk)
    assert (answer.status, answer.json["code"]) == (400, "INVALID_ARGUMENT")
    assert (await rig.ipc("sequence:get-all", [PROJECT])).status == 200


async def test_a_client_that_leaves_in_its_body_harms_nobody(rig: Rig) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    head = raw_http.head("POST", "/ipc/sequence:update-shot", {**rig.headers(), "content-length": "1000"})
    writer.write(head + b"[")
    await writer.drain()
    writer.close()
    await _until(lambda: [line["code"] for line in rig.access_lines()] == ["CANCELLED"])


async def test_a_client_that_leaves_during_a_change_does_not_undo_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, update_shot = asyncio.Event(), rig.memory.UpdateShot

    async def slow(request: files.UpdateShotRequest, context: object = None) -> files.Shot:
        begun.set()
        await asyncio.sleep(0.1)
        return await update_shot(request)

    monkeypatch.setattr(rig.memory, "UpdateShot", slow)
    _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    headers = {**rig.headers(), "content-length": str(len(UPDATE))}
    writer.write(raw_http.head("POST", "/ipc/sequence:update-shot", headers) + UPDATE)
    await begun.wait()
    writer.close()
    await _until(lambda: [line["code"] for line in rig.access_lines()] == ["OK"])
    assert '"n":1' in rig.memory.projects[PROJECT].sequences[0].shots[0]


async def test_the_time_given_is_kept(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stuck(request: object, context: object = None) -> files.ListSequencesResponse:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(rig.memory, "ListSequences", stuck)
    answer = await rig.ipc("sequence:get-all", [PROJECT], x_timeout_ms="50")
    assert (answer.status, answer.json["code"]) == (504, "DEADLINE_EXCEEDED")
    for nonsense in ("-1", "1.5", "x", "9" * 11, "²"):
        assert (
            await rig.ipc("sequence:get-all", [PROJECT], x_timeout_ms=nonsense.encode().decode("latin-1"))
        ).status == 400


class TestOneCallAtATime:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(calls=1)

    async def test_one_call_over_the_limit_is_told_when_to_come_back(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, go_on, list_sequences = asyncio.Event(), asyncio.Event(), rig.memory.ListSequences

        async def slow(request: files.ListSequencesRequest, context: object = None) -> files.ListSequencesResponse:
            begun.set()
            await go_on.wait()
            return await list_sequences(request)

        monkeypatch.setattr(rig.memory, "ListSequences", slow)
        first = asyncio.create_task(rig.ipc("sequence:get-all", [PROJECT]))
        await begun.wait()
        second = await rig.ipc("sequence:get-all", [PROJECT])
        assert (second.status, second.json["reason"]) == (429, "TOO_MANY_CALLS")
        assert int(second.headers["retry-after"]) >= 1
        go_on.set()
        assert (await first).status == 200


async def test_one_connection_serves_many_requests(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    for _ in range(3):
        for path, status in (("/ipc/sequence:update-shot", 200), ("/ipc/none", 404)):
            headers = {**rig.headers(), "content-length": str(len(UPDATE))}
            writer.write(raw_http.head("POST", path, headers) + UPDATE)
            assert (await raw_http.read(reader)).status == status
    writer.close()


async def test_refusals_before_the_token_are_logged_too(rig: Rig) -> None:
    await rig.http("POST", "/ipc/sequence:get-all", b"{}", host="evil.com")
    assert [(line["reason"], line["transport"]) for line in rig.access_lines()] == [("HOST_NOT_ALLOWED", "http")]


async def test_a_drain_finishes_what_has_begun_and_takes_no_more(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, list_sequences = asyncio.Event(), rig.memory.ListSequences

    async def slow(request: files.ListSequencesRequest, context: object = None) -> files.ListSequencesResponse:
        begun.set()
        await asyncio.sleep(0.2)
        return await list_sequences(request)

    monkeypatch.setattr(rig.memory, "ListSequences", slow)
    call = asyncio.create_task(rig.ipc("sequence:get-all", [PROJECT]))
    await begun.wait()
    await rig.gateway.drain()
    assert (await call).status == 200
    with pytest.raises(ConnectionRefusedError):
        await rig.ipc("sequence:get-all", [PROJECT])


async def test_a_port_that_is_taken_is_named(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SettingsError, match=address):
            Listener(address)


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.01)
