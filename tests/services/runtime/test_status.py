"""Faults on the wire, and back."""

import logging
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.faults import Code, Current, Fault
from services.runtime import status

# google/rpc/code.proto, copied by hand.
CODES = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
etags = st.text("0123456789abcdef", min_size=32, max_size=32)


@st.composite
def faults(draw: st.DrawFn, texts: st.SearchStrategy[str] = texts) -> Fault:
    document = st.none() | texts
    return Fault(
        draw(st.sampled_from(Code)),
        draw(st.from_regex(r"[A-Z][A-Z_]{2,30}", fullmatch=True)),
        draw(texts),
        metadata=draw(st.dictionaries(st.sampled_from(["file", "line", "pointer", "error_id"]), texts)),
        fields=draw(st.dictionaries(texts, texts, max_size=3)),
        retry_after=draw(st.none() | st.integers(0, 10**6).map(lambda milliseconds: milliseconds / 1000)),
        current=draw(st.none() | st.builds(lambda e, d: Current(etag=e, document_json=d), etags, document)),
    )


def sent(fault: Fault) -> grpc.aio.AioRpcError:
    """The error that a client gets for `fault`."""
    message = status.to_status(fault)
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", message.SerializeToString()))
    return grpc.aio.AioRpcError(status.grpc_code(fault.code), grpc.aio.Metadata(), trailers, message.message)


def parts(fault: Fault) -> tuple[object, ...]:
    return (
        fault.code,
        fault.reason,
        fault.message,
        fault.metadata,
        fault.fields,
        fault.retry_after,
        fault.current,
    )


@settings(max_examples=200, deadline=None)
@given(faults())
def test_a_fault_comes_back_as_it_went(fault: Fault) -> None:
    assert parts(status.from_rpc_error(sent(fault))) == parts(fault)


@settings(max_examples=50, deadline=None)
@given(faults(st.text(max_size=100).map(lambda text: text * 40)))
def test_a_fault_of_any_size_fits_into_the_trailers_of_stock_clients(fault: Fault) -> None:
    message = status.to_status(fault)
    assert len(message.SerializeToString()) * 4 / 3 + len(message.message.encode()) < 8 * 1024
    arrived = status.from_rpc_error(sent(fault))
    assert (arrived.code, arrived.reason, arrived.retry_after) == (fault.code, fault.reason, fault.retry_after)
    assert bool(arrived.current) == bool(fault.current)


async def test_the_largest_fault_reaches_a_stock_client(tiny: Any, serve: Any, stock: Any) -> None:
    large = Fault(
        Code.FAILED_PRECONDITION,
        "SEQUENCE_FILE_INVALID",
        "é" * 5_000,
        metadata={"file": "/ü" * 2_000},
        fields={f"field {number}": "rule " * 50 for number in range(100)},
    )

    async def fails(request: bytes, context: Any) -> bytes:
        raise large

    running = await serve(Do=fails)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (await stock(running.address)).unary_unary(tiny.path("Do"))(b"", metadata=tiny.authorization)
    arrived = status.from_rpc_error(caught.value)
    assert (arrived.code, arrived.reason) == (large.code, large.reason)
    assert arrived.message.startswith("ééé")
    assert arrived.message.endswith("…")


def test_a_current_value_travels_up_to_4096_bytes() -> None:
    for size, travels in ((4096, True), (4097, False)):
        current = Current(etag="0" * 32, document_json="x" * size)
        arrived = status.from_rpc_error(sent(Fault(Code.ABORTED, "ETAG_MISMATCH", "stale", current=current)))
        assert arrived.current
        assert arrived.current.etag == current.etag
        assert (arrived.current.document_json is not None) == travels


def test_a_file_name_that_is_not_utf_8_can_be_named() -> None:
    fault = Fault(Code.NOT_FOUND, "PROJECT_NOT_FOUND", "no folder /films/\udcff", metadata={"file": "\udcff"})
    assert status.from_rpc_error(sent(fault)).metadata == {"file": r"\udcff"}


def test_the_table_is_the_one_of_google_rpc_code() -> None:
    assert {code.name for code in Code} == set(CODES)
    for code in Code:
        assert status.grpc_code(code).name == code.name
        assert status.grpc_code(code).value[0] == code.value
        assert status.http_status(Fault(code, "ANY", "")) == CODES[code.name]


@pytest.mark.parametrize(
    ("reason", "http"), [("HOST_NOT_ALLOWED", 421), ("UNSUPPORTED_MEDIA_TYPE", 415), ("METHOD_NOT_ALLOWED", 405)]
)
def test_refusals_of_the_http_door_have_the_finer_status(reason: str, http: int) -> None:
    assert status.http_status(Fault(Code.INVALID_ARGUMENT, reason, "")) == http


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("UNAVAILABLE", "BACKEND_UNAVAILABLE"),
        ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
        ("UNIMPLEMENTED", "UNKNOWN_METHOD"),
        ("RESOURCE_EXHAUSTED", "TOO_LARGE"),
        ("UNAUTHENTICATED", "TOKEN_INVALID"),
    ],
)
def test_a_status_without_details_gets_the_reason_of_its_code(code: str, reason: str) -> None:
    fault = status.from_rpc_error(bare(grpc.StatusCode[code], "ipv4:10.0.0.7:50052: refused"))
    assert (fault.code.name, fault.reason) == (code, reason)
    assert "10.0.0.7" not in fault.message
    assert bool(fault.retry_after) == (code == "UNAVAILABLE")


def test_a_call_that_a_stopping_server_dropped_may_be_made_again() -> None:
    fault = status.from_rpc_error(bare(grpc.StatusCode.CANCELLED, "CANCELLED"))
    assert (fault.code, fault.reason) == (Code.UNAVAILABLE, "BACKEND_UNAVAILABLE")
    assert fault.retry_after


@pytest.mark.parametrize("code", ["UNKNOWN", "INTERNAL", "DATA_LOSS", "NOT_FOUND"])
def test_text_of_a_strangers_error_stays_in_the_log(code: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    fault = status.from_rpc_error(bare(grpc.StatusCode[code], "password hunter2"))
    assert (fault.code, fault.reason) == (Code.INTERNAL, "INTERNAL")
    assert "hunter2" not in fault.message + str(fault.metadata)
    assert fault.metadata["error_id"] in caplog.text
    assert "hunter2" in caplog.text


def test_details_of_another_domain_or_none_at_all_are_not_ours() -> None:
    strange = status.to_status(Fault(Code.NOT_FOUND, "THEIRS", "theirs"))
    info = error_details_pb2.ErrorInfo(reason="THEIRS", domain="example.com")
    strange.details[0].Pack(info)
    for details in (strange.SerializeToString(), b"\xff\xff"):
        trailers = grpc.aio.Metadata(("grpc-status-details-bin", details))
        error = grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), trailers, "theirs")
        assert status.from_rpc_error(error).reason == "INTERNAL"


def bare(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)
