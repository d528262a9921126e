"""Bad input over every method: what it is answered, and that nothing of it is ever UNKNOWN or INTERNAL."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.kernel.faults import Code, Fault
from services.runtime.status import from_rpc_error
from tests.asset_graph.reads.films import film_of
from tests.asset_graph.reads.serving import METHODS, Client, Serving

NOWHERE = "00000000-0000-7000-8000-000000000000"
BAD_IDS = [
    "x",
    "",
    "0" * 36,
    NOWHERE + "\n",
    NOWHERE.replace("-", ""),
    "{" + NOWHERE + "}",
    "٠" * 8 + NOWHERE[8:],
    "x" * 5000,
]
BAD_WORKSPACES = ["", " ", "a b", "../a", "a/b", ".a", "-a", "é", "x" * 129, "a\0", "a'; DROP TABLE assets; --"]
BAD_JSON = [
    "", "x", "[]", "null", "1", '{"a": NaN}', '{"a": 1e999}', '{"a": 9007199254740993}', '{"a": 1, "a": 2}',
    '{"a": "\\ud800"}', '{"a": "\\u0000"}', '{"a":' * 70 + "1" + "}" * 70, '{"a": 1e-30000}', '{"a": 1e-400}',
]  # fmt: skip
TEXTS = [
    "", "x", "'; DROP TABLE assets; --", "%", "_", "\\", '"', "${jndi:ldap://x}", "<svg onload=x>", "\u202e", "a\0b",
    "\U0010ffff", NOWHERE, *BAD_JSON,
]  # fmt: skip
LONG = "x" * 1_100_000
NUMBERS = [0, -1, 1, 999, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]
REALS = [0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e308, -0.0]

# Method, fields, and what they are answered: a reason, and the field that it names.
TABLE: list[tuple[str, dict[str, Any], str, str]] = [
    *[("GetAsset", {"id": each}, "INVALID_FIELD", "id") for each in BAD_IDS],
    *[("ListAssets", {"workspace_id": each}, "INVALID_FIELD", "workspace_id") for each in BAD_WORKSPACES],
    *[("CreateAsset", {"workspace_id": each, "type": "film", "name": "x"}, "INVALID_FIELD", "workspace_id")
      for each in BAD_WORKSPACES],
    ("ListAssets", {"workspace_id": "a", "page_size": -1}, "INVALID_FIELD", "page_size"),
    ("ListAssets", {"workspace_id": "a", "page_token": "x"}, "INVALID_FIELD", "page_token"),
    ("ListAssets", {"workspace_id": "a", "order": 999}, "INVALID_FIELD", "order"),
    ("ListAssets", {"workspace_id": "a", "types": ["film", "Film"]}, "INVALID_FIELD", "types[1]"),
    ("ListAssets", {"workspace_id": "a", "types": ["film"] * 101}, "INVALID_FIELD", "types"),
    ("ListAssets", {"workspace_id": "a", "name_prefix": "a\0"}, "INVALID_FIELD", "name_prefix"),
    ("ListAssets", {"workspace_id": "a", "created_from": {"seconds": 2**60}}, "INVALID_FIELD", "created_from"),
    ("ListAssets", {"workspace_id": "a", "created_before": {"nanos": -5}}, "INVALID_FIELD", "created_before"),
    ("ListAssets", {"workspace_id": "a", "metadata_contains_json": "[]"}, "INVALID_JSON", ""),
    ("ListAssets", {"workspace_id": "a", "metadata_contains_json": '{"a": NaN}'}, "INVALID_JSON", ""),
    ("ListAssets", {"workspace_id": "a", "metadata_contains_json": '{"a": "\\u0000"}'}, "INVALID_JSON", ""),
    ("BatchGetAssets", {"ids": []}, "INVALID_FIELD", "ids"),
    ("BatchGetAssets", {"ids": [NOWHERE] * 1001}, "INVALID_FIELD", "ids"),
    ("BatchGetAssets", {"ids": [NOWHERE, "x"]}, "INVALID_FIELD", "ids[1]"),
    ("ListChildren", {"parent_asset_id": NOWHERE, "relationship_type": "has"}, "INVALID_FIELD", "relationship_type"),
    ("ListChildren", {"parent_asset_id": NOWHERE, "asset_type": "x"}, "INVALID_FIELD", "asset_type"),
    ("ListParents", {"child_asset_id": NOWHERE, "page_size": -(2**31)}, "INVALID_FIELD", "page_size"),
    ("GetFilmStructure", {"film_id": NOWHERE, "page_token": "e30"}, "INVALID_FIELD", "page_token"),
    ("CreateAsset", {"workspace_id": "a", "type": "movie", "name": "x"}, "INVALID_FIELD", "type"),
    ("CreateAsset", {"workspace_id": "a", "type": "film", "name": ""}, "INVALID_FIELD", "name"),
    ("CreateAsset", {"workspace_id": "a", "type": "film", "name": "x" * (1 << 20) + "x"}, "INVALID_FIELD", "name"),
    ("CreateAsset", {"workspace_id": "a", "type": "film", "name": "a\0"}, "INVALID_FIELD", "name"),
    *[("CreateAsset", {"workspace_id": "a", "type": "film", "name": "x", "duration_seconds": each}, "INVALID_FIELD",
       "duration_seconds") for each in (-1.0, float("nan"), float("inf"), 1e10)],
    *[("CreateAsset", {"workspace_id": "a", "type": "film", "name": "x", "generation_cost": each}, "INVALID_FIELD",
       "generation_cost") for each in ("NaN", "Infinity", "-1", "1e5", "1" * 16, "0." + "1" * 13, "٣", "0x1", " 1")],
    *[("CreateAsset", {"workspace_id": "a", "type": "film", "name": "x", "metadata_json": each}, "INVALID_JSON", "")
      for each in BAD_JSON[1:12]],
    ("CreateShotTake", {"shot_id": NOWHERE, "attempt_number": 0}, "INVALID_FIELD", "attempt_number"),
    ("CreateShotTake", {"shot_id": NOWHERE, "quality_score": float("nan")}, "INVALID_FIELD", "quality_score"),
    ("CreateShotTake", {"shot_id": NOWHERE, "request_id": "x"}, "INVALID_FIELD", "request_id"),
    ("UpdateAsset", {"id": NOWHERE, "mode": 999}, "INVALID_FIELD", "mode"),
    ("UpdateAsset", {"id": NOWHERE, "name": "x", "etag": "x"}, "INVALID_FIELD", "etag"),
    ("ApplyChanges", {"workspace_id": "a", "changes": []}, "INVALID_FIELD", "changes"),
    ("CreateRelationship", {"parent_asset_id": NOWHERE, "child_asset_id": NOWHERE, "relationship_type": "x"},
     "INVALID_FIELD", "relationship_type"),
    ("CreateRelationship", {"parent_asset_id": "x", "child_asset_id": NOWHERE, "relationship_type": "uses_asset"},
     "INVALID_FIELD", "parent_asset_id"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "fields", "reason", "field"),
    TABLE,
    ids=[f"{number}-{method}-{field or reason}" for number, (method, _, reason, field) in enumerate(TABLE)],
)
async def test_bad_input_is_refused_by_the_field(
    module_server: Any, method: str, fields: Mapping[str, Any], reason: str, field: str
) -> None:
    with pytest.raises(Fault) as caught:
        await getattr(module_server.client, method)(**fields)
    assert (caught.value.code, caught.value.reason) == (Code.INVALID_ARGUMENT, reason)
    if field:
        assert caught.value.fields.keys() == {field}
    else:
        assert "pointer" in caught.value.metadata


async def test_a_large_page_is_capped(server: Serving) -> None:
    columns = "INSERT INTO assets (workspace_id, type, name)"
    await server.sql(f"{columns} SELECT 'default', 'text', n::text FROM generate_series(1, 1005) n")
    for size in (1001, 10**9, 2**31 - 1):
        assert len((await server.client.ListAssets(workspace_id="default", page_size=size)).assets) == 1000


def values_of(field: FieldDescriptor, deep: bool) -> list[Any]:
    kinds = FieldDescriptor
    match field.cpp_type:
        case kinds.CPPTYPE_STRING:
            return TEXTS[::4] if deep else [*TEXTS, LONG]
        case kinds.CPPTYPE_INT32:
            return [each for each in NUMBERS if -(2**31) <= each < 2**31]
        case kinds.CPPTYPE_INT64:
            return NUMBERS
        case kinds.CPPTYPE_DOUBLE:
            return REALS
        case kinds.CPPTYPE_ENUM:
            return [0, 1, 2, 3, 999, -1]
        case kinds.CPPTYPE_BOOL:
            return [True]
    return []


def spoilt(message: Message, descriptor: Descriptor, depth: int = 0) -> Iterator[None]:
    """The message with each of its fields, those of messages in it too, set to each value in turn."""
    for field in descriptor.fields:
        if field.message_type:
            if depth < 2:
                inner = getattr(message, field.name)
                inner = inner.add() if field.is_repeated else inner
                yield from spoilt(inner, field.message_type, depth + 1)
                message.ClearField(field.name)
            continue
        had = list(getattr(message, field.name)) if field.is_repeated else getattr(message, field.name)
        present = bool(had) if field.is_repeated or not field.has_presence else message.HasField(field.name)
        for value in values_of(field, depth > 0):
            message.ClearField(field.name)
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
            yield
        message.ClearField(field.name)
        if present and field.is_repeated:
            getattr(message, field.name).extend(had)
        elif present:
            setattr(message, field.name, had)


def filled(method: str, ids: Mapping[str, str]) -> Message:
    """A request of the method that is good, as far as a name can tell."""
    known = {
        "workspace_id": "a", "id": ids["s"], "shot_id": ids["s"], "film_id": ids["film"], "take_id": ids["s-1"],
        "parent_asset_id": ids["film"], "child_asset_id": ids["s"], "relationship_type": "contains_shot",
        "type": "text", "name": "x", "url": "https://cdn/x",
    }  # fmt: skip
    message = GetMessageClass(METHODS[method].input_type)()
    for field in METHODS[method].input_type.fields:
        if field.name in known and not field.is_repeated:
            setattr(message, field.name, known[field.name])
        elif field.name == "ids":
            getattr(message, field.name).append(ids["s"])
    return message


async def refusal(client: Client, method: str, request: Message) -> grpc.aio.AioRpcError | None:
    try:
        if METHODS[method].server_streaming:
            stream = client.watch(**{field.name: value for field, value in request.ListFields()})
            await stream.read()
            stream.cancel()
        else:
            await client.raw(method, request.SerializeToString())
    except grpc.aio.AioRpcError as error:
        return error
    return None


@pytest.mark.parametrize("method", [name for name in METHODS if name != "ListRules"])
async def test_no_value_of_any_field_is_an_error_of_ours(client: Client, method: str) -> None:
    ids = await film_of(client, ["s"])
    request = filled(method, ids)
    refused = 0
    for _ in spoilt(request, METHODS[method].input_type):
        began = time.monotonic()
        error = await refusal(client, method, request)
        if error is not None:
            assert error.code() not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL), (request, error)
            assert from_rpc_error(error).reason, (request, error)
            refused += 1
        assert time.monotonic() - began < 10
    assert refused


FORGED: list[list[Any]] = [
    [1, 2], ["x", "y"], [None, None], ["2026-01-01", NOWHERE], ["2026-01-01T00:00:00Z", "x"], ["a\0", NOWHERE],
    ["9999-12-31T23:59:59-23:59", NOWHERE], [2**70, "x"], [[], 1], [1.5, 2], ["", 2**62, NOWHERE, 2**62],
    ["1.2", -1, NOWHERE, -5], ["1.x", 1, NOWHERE, 1], ["99999999999", 1, NOWHERE, 1], ["uses_asset", 2**63, NOWHERE],
]  # fmt: skip


@pytest.mark.parametrize("keys", FORGED, ids=map(str, range(len(FORGED))))
async def test_a_token_that_somebody_wrote_is_refused(client: Client, keys: list[Any]) -> None:
    """Whoever knows how tokens are made can make some: they lead nowhere, and break nothing."""
    ids = await film_of(client, ["s", "t"])
    lists: list[tuple[str, dict[str, Any]]] = [
        ("ListAssets", {"workspace_id": "a"}),
        ("ListAssets", {"workspace_id": "a", "order": 3}),
        ("ListDeletedAssets", {"workspace_id": "a"}),
        ("ListChildren", {"parent_asset_id": ids["film"]}),
        ("ListParents", {"child_asset_id": ids["s"]}),
        ("ListShotTakes", {"shot_id": ids["s"]}),
        ("GetFilmStructure", {"film_id": ids["film"]}),
    ]
    await client.DeleteAsset(id=ids["t-1"])
    await client.DeleteAsset(id=ids["t-2"])
    for method, fields in lists:
        token = (await getattr(client, method)(**fields, page_size=1)).next_page_token
        digest = json.loads(base64.urlsafe_b64decode(token + "==="))[0] if token else "0" * 16
        for content in (keys, [*keys, *keys], keys[:1], []):
            forged = base64.urlsafe_b64encode(json.dumps([digest, content]).encode()).decode()
            request = GetMessageClass(METHODS[method].input_type)(**fields, page_token=forged)
            if error := await refusal(client, method, request):
                fault = from_rpc_error(error)
                assert fault.fields.keys() == {"page_token"}, (method, content, fault)
