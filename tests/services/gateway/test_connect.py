"""Connect and gRPC-Web: the studio and the forwarded services, in JSON and in binary, with frames made by hand."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.rpc import error_details_pb2, status_pb2
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.studio.v1 import studio_service_pb2 as pb

from gateway.forward import CONTRACTS
from tests.services.gateway import probe, raw_http
from tests.services.gateway.conftest import OPENING, PAGE, PROJECT, SECOND, THIRD, TOKEN, Rig
from tests.services.gateway.probe import WITH_UNKNOWN, ProbeServer
from tests.services.gateway.raw_http import Answer

gateway_alone = pytest.mark.parametrize("wiring", ["in process"])

STUDIO = "/shotline.studio.v1.StudioService"
FILES = "/shotline.sequence_file.v1.SequenceFileService"
UPDATE = {
    "target": {"sequenceShot": {"projectPath": PROJECT, "sequenceId": "001", "shotId": "s1"}},
    "updatesJson": '{"generation":{"prompt":"dusk"}}',
}


async def connect(rig: Rig, path: str, message: object, **changes: str | None) -> Answer:
    return await rig.http("POST", path, json.dumps(message).encode(), **changes)


async def test_every_method_of_the_studio_answers_json(rig: Rig) -> None:
    updated = await connect(rig, f"{STUDIO}/UpdateShot", UPDATE)
    assert updated.status == 200
    assert json.loads(updated.json["documentJson"])["generation"]["prompt"] == "dusk"
    assert updated.json["storedIn"] == {"file": "sequences/sequence_001.json", "sequenceId": "001"}
    shot = await connect(rig, f"{STUDIO}/GetShot", {"target": UPDATE["target"]})
    assert shot.json["etag"] == updated.json["etag"]
    shots = await connect(rig, f"{STUDIO}/GetShots", {"projectPath": PROJECT, "sequenceId": "001"})
    assert [one["documentJson"] for one in shots.json["shots"]][1:] == [SECOND, THIRD]
    everything = await connect(rig, f"{STUDIO}/GetAllSequences", {"projectPath": PROJECT})
    assert [one["id"] for one in everything.json["sequences"]] == ["001", "6"]
    assert everything.json["unreachable"][0]["line"] == 3
    invoked = await connect(rig, f"{STUDIO}/Invoke", {"channel": "sequence:get-all", "argumentsJson": f'["{PROJECT}"]'})
    assert json.loads(invoked.json["envelopeJson"])["success"] is True


async def test_binary_answers_are_the_messages_of_grpc(rig: Rig) -> None:
    request = pb.GetShotsRequest(project_path=PROJECT, sequence_id="001")
    answer = await rig.http("POST", f"{STUDIO}/GetShots", request.SerializeToString(), content_type="application/proto")
    assert answer.headers["content-type"] == "application/proto"
    assert pb.GetShotsResponse.FromString(answer.body) == await rig.studio.GetShots(request)


@gateway_alone
async def test_a_read_can_be_a_get(rig: Rig) -> None:
    message = quote(json.dumps({"projectPath": PROJECT, "sequenceId": "001"}))
    query = f"?connect=v1&encoding=json&message={message}"
    assert (await rig.http("GET", f"{STUDIO}/GetShots{query}")).json["shots"][0]["documentJson"] == OPENING
    assert (await rig.http("GET", f"{STUDIO}/UpdateShot{query}")).status == 405
    assert (await rig.http("GET", f"{STUDIO}/GetShots?encoding=xml&message=x")).status == 415


async def test_a_stale_etag_carries_the_current_shot(rig: Rig) -> None:
    answer = await connect(rig, f"{STUDIO}/UpdateShot", {**UPDATE, "etag": "0" * 32})
    assert (answer.status, answer.json["code"]) == (409, "aborted")
    info = error_details_pb2.ErrorInfo.FromString(_details(answer)["google.rpc.ErrorInfo"])
    assert (info.reason, info.domain, info.metadata["current_json"]) == ("ETAG_MISMATCH", "shotline", OPENING)
    assert len(info.metadata["current_etag"]) == 32


@gateway_alone
@pytest.mark.parametrize(
    ("body", "changes", "status", "code", "reason"),
    [
        (b"{", {}, 400, "invalid_argument", "INVALID_FIELD"),
        (b'{"projectPath": "\\ud800"}', {}, 400, "invalid_argument", "INVALID_FIELD"),
        (b"\xff", {"content_type": "application/proto"}, 400, "invalid_argument", "INVALID_FIELD"),
        (b"{}", {"authorization": None}, 401, "unauthenticated", "TOKEN_INVALID"),
        (b"{}", {}, 404, "not_found", "PROJECT_NOT_FOUND"),
        (b"{}", {"content_encoding": "gzip"}, 501, "unimplemented", "UNKNOWN_METHOD"),
    ],
)
async def test_every_error_has_its_reason(
    rig: Rig, body: bytes, changes: dict[str, str | None], status: int, code: str, reason: str
) -> None:
    answer = await rig.http("POST", f"{STUDIO}/GetShots", body, **changes)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert error_details_pb2.ErrorInfo.FromString(_details(answer)["google.rpc.ErrorInfo"]).reason == reason
    assert [line["reason"] for line in rig.access_lines()] == [reason]


@gateway_alone
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/grpc"}, 415),
        ({"content_type": "application/connect+json"}, 415),
        ({"connect_timeout_ms": "-1"}, 400),
        ({"connect_timeout_ms": "1_0"}, 400),
        ({"grpc_timeout": "5"}, 400),
        ({"connect_protocol_version": "2"}, 400),
        ({"x_mine": "\xe9"}, 400),
    ],
)
async def test_what_is_no_rpc_is_refused_with_an_envelope(rig: Rig, changes: dict[str, str], status: int) -> None:
    answer = await connect(rig, f"{STUDIO}/GetShots", {}, **changes)
    assert (answer.status, answer.json["success"]) == (status, False)
    assert len(rig.access_lines()) == 1


@gateway_alone
async def test_the_time_given_is_kept(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def stuck(request: object, context: object = None) -> files.GetShotsResponse:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(rig.memory, "GetShots", stuck)
    answer = await connect(rig, f"{STUDIO}/GetShots", {}, connect_timeout_ms="50")
    assert (answer.status, answer.json["code"]) == (504, "deadline_exceeded")
    assert "google.rpc.ErrorInfo" in _details(answer)
    body = _frame(pb.GetShotsRequest().SerializeToString())
    answer = await rig.http(
        "POST", f"{STUDIO}/GetShots", body, content_type="application/grpc-web+proto", grpc_timeout="50m"
    )
    assert int(_web_trailers(answer)["grpc-status"]) == 4
    assert [line["code"] for line in rig.access_lines()] == ["DEADLINE_EXCEEDED"] * 2
    assert not caplog.records  # the HTTP server took neither for a crash


@gateway_alone
async def test_an_error_of_ours_is_told_by_its_id_only(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(request: object, context: object = None) -> files.GetShotsResponse:
        raise RuntimeError("postgresql://secret")

    monkeypatch.setattr(rig.memory, "GetShots", broken)
    answer = await connect(rig, f"{STUDIO}/GetShots", {})
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert b"secret" not in answer.body


async def test_grpc_web_answers_with_frames(rig: Rig) -> None:
    body = _frame(pb.GetShotsRequest(project_path=PROJECT, sequence_id="001").SerializeToString())
    answer = await rig.http("POST", f"{STUDIO}/GetShots", body, content_type="application/grpc-web+proto", origin=PAGE)
    assert answer.headers["access-control-allow-origin"] == PAGE
    (flag, message), _ = _frames(answer.body)
    assert flag == 0
    assert [shot.document_json for shot in pb.GetShotsResponse.FromString(message).shots] == [OPENING, SECOND, THIRD]
    assert _web_trailers(answer)["grpc-status"] == "0"


async def test_grpc_web_errors_carry_their_details(rig: Rig) -> None:
    request = pb.UpdateShotRequest(
        target=pb.ShotTarget(sequence_shot=pb.SequenceShot(project_path=PROJECT, sequence_id="001", shot_id="s1")),
        updates_json='{"n": 1}',
        etag="0" * 32,
    )
    body = _frame(request.SerializeToString())
    answer = await rig.http("POST", f"{STUDIO}/UpdateShot", body, content_type="application/grpc-web+proto")
    assert int(_web_trailers(answer)["grpc-status"]) == 10
    status = status_pb2.Status.FromString(_unpadded(_web_trailers(answer)["grpc-status-details-bin"]))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.metadata["current_json"] == OPENING
    refused = await rig.http(
        "POST", f"{STUDIO}/UpdateShot", body, content_type="application/grpc-web+proto", authorization=None
    )
    assert int(_web_trailers(refused)["grpc-status"]) == 16


class TestForwarded:
    pytestmark = gateway_alone

    @pytest.fixture
    async def server(self) -> AsyncIterator[ProbeServer]:
        server = ProbeServer()
        await server.start()
        yield server
        await server.stop()

    @pytest.fixture
    def contracts(self, server: ProbeServer) -> tuple[FileDescriptor, ...]:
        return (*CONTRACTS, probe.CONTRACT)

    @pytest.fixture
    def more_addresses(self, server: ProbeServer) -> dict[str, str]:
        return {probe.PACKAGE: f"127.0.0.1:{server.port}"}

    async def test_a_real_service_answers_json(self, rig: Rig) -> None:
        place = {"projectPath": PROJECT, "sequenceId": "001", "shotId": "s1"}
        answer = await connect(rig, f"{FILES}/GetShot", place)
        assert answer.json["documentJson"] == OPENING
        failed = await connect(rig, f"{FILES}/GetShot", {**place, "shotId": "nobody"})
        assert (failed.status, failed.json["code"]) == (404, "not_found")
        info = error_details_pb2.ErrorInfo.FromString(_details(failed)["google.rpc.ErrorInfo"])
        assert (info.reason, info.metadata["shot_id"]) == ("SHOT_NOT_FOUND", "nobody")

    async def test_metadata_and_unknown_fields_pass_both_ways(self, rig: Rig, server: ProbeServer) -> None:
        answer = await rig.http(
            "POST",
            f"/{probe.SERVICE}/One",
            WITH_UNKNOWN,
            content_type="application/proto",
            x_mine="a",
            x_mine_bin="AP8",
            cookie="secret",
            connect_timeout_ms="7000",
        )
        assert answer.body == WITH_UNKNOWN
        assert (server.metadata["x-mine"], server.metadata["x-mine-bin"]) == ("a", b"\0\xff")
        assert server.metadata["authorization"] == f"Bearer {TOKEN}"
        assert "cookie" not in server.metadata
        assert server.seconds is not None
        assert 5 < server.seconds < 7
        assert (answer.headers["x-first"], answer.headers["x-first-bin"]) == ("1", "Af4")
        assert (answer.headers["trailer-x-last"], answer.headers["trailer-x-last-bin"]) == ("2", "Av0")

    async def test_a_status_without_a_reason_gives_nothing_away(self, rig: Rig, server: ProbeServer) -> None:
        answer = await connect(rig, f"/{probe.SERVICE}/One", {"text": "fail"})
        assert (answer.status, answer.json["code"]) == (500, "internal")
        assert b"it is gone" not in answer.body

    async def test_a_stream_of_answers_passes(self, rig: Rig, server: ProbeServer) -> None:
        body = _frame(b'{"text": "hello"}')
        answer = await rig.http("POST", f"/{probe.SERVICE}/Many", body, content_type="application/connect+json")
        *messages, (end, trailers) = _frames(answer.body)
        assert [json.loads(message) for _, message in messages] == [{"text": "hello"}] * 3
        assert (end, json.loads(trailers)["metadata"]["x-last"]) == (2, ["2"])
        assert server.seconds is None
        body = _frame(WITH_UNKNOWN)
        answer = await rig.http("POST", f"/{probe.SERVICE}/Many", body, content_type="application/grpc-web+proto")
        *messages, (end, trailers) = _frames(answer.body)
        assert messages == [(0, WITH_UNKNOWN)] * 3
        assert b"x-last" in trailers

    async def test_a_stream_that_fails_ends_with_its_error(self, rig: Rig, server: ProbeServer) -> None:
        body = _frame(b'{"text": "fail"}')
        answer = await rig.http("POST", f"/{probe.SERVICE}/Many", body, content_type="application/connect+json")
        *messages, (_, end) = _frames(answer.body)
        assert len(messages) == 3
        assert json.loads(end)["error"]["code"] == "internal"

    async def test_a_client_that_leaves_ends_the_stream_there(self, rig: Rig, server: ProbeServer) -> None:
        _, writer = await self._watch(rig)
        await asyncio.wait_for(server.hanging.wait(), 5)
        writer.close()
        await asyncio.wait_for(server.cancelled.wait(), 5)

    async def test_a_drain_ends_a_watch_with_a_time_to_come_back(self, rig: Rig, server: ProbeServer) -> None:
        reader, writer = await self._watch(rig)
        await asyncio.wait_for(server.hanging.wait(), 5)
        await rig.gateway.drain()
        *messages, (flag, end) = _frames((await raw_http.read(reader)).body)
        assert (len(messages), flag, json.loads(end)["error"]["code"]) == (3, 2, "unavailable")
        writer.close()

    async def test_what_http_cannot_stream_is_not_there(self, rig: Rig, server: ProbeServer) -> None:
        for name in ("Gather", "Talk"):
            assert (await connect(rig, f"/{probe.SERVICE}/{name}", {})).status == 404

    async def _watch(self, rig: Rig) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        body = _frame(b'{"text": "hang"}')
        headers = {**rig.headers(content_type="application/connect+json"), "content-length": str(len(body))}
        writer.write(raw_http.head("POST", f"/{probe.SERVICE}/Many", headers) + body)
        return reader, writer


def _details(answer: Answer) -> dict[str, bytes]:
    details = answer.json["details"]
    assert isinstance(details, list)
    return {detail["type"]: _unpadded(detail["value"]) for detail in details}


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


def _frame(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


def _frames(body: bytes) -> list[tuple[int, bytes]]:
    def split() -> Iterator[tuple[int, bytes]]:
        at = 0
        while at < len(body):
            flag, size = struct.unpack_from(">BI", body, at)
            yield flag, body[at + 5 : at + 5 + size]
            at += 5 + size

    return list(split())


def _web_trailers(answer: Answer) -> dict[str, str]:
    assert answer.status == 200
    flag, trailers = _frames(answer.body)[-1]
    assert flag == 0x80
    return dict(line.replace(": ", ":").split(":", 1) for line in trailers.decode().strip().split("\r\n"))
