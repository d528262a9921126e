"""What no change accepts, and that nothing is written for it; and texts that are kept as they are."""

import json
import struct
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.asset_graph.changes.graph import made, refused, shot_with_takes
from tests.asset_graph.reads.serving import Client, Serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1 << 20
NAN, INFINITY = float("nan"), float("inf")
Case = tuple[str, dict[str, Any], str, str]


def asset(**fields: Any) -> tuple[str, dict[str, Any]]:
    return "CreateAsset", {"type": "film", "name": "x", **fields}


IN_FILM = {"parent_asset_id": "<film>", "child_asset_id": "<shot>", "relationship_type": "contains_shot"}

CASES: list[Case] = [
    (*asset(type=""), "INVALID_FIELD", "type"),
    (*asset(type="Film"), "INVALID_FIELD", "type"),
    (*asset(workspace_id=""), "INVALID_FIELD", "workspace_id"),
    (*asset(workspace_id="a b"), "INVALID_FIELD", "workspace_id"),
    (*asset(name=""), "INVALID_FIELD", "name"),
    (*asset(name="x" * (MIB + 1)), "INVALID_FIELD", "name"),
    (*asset(name="é" * (MIB // 2 + 1)), "INVALID_FIELD", "name"),
    (*asset(name="a\0b"), "INVALID_FIELD", "name"),
    (*asset(url="a\0b"), "INVALID_FIELD", "url"),
    (*asset(url="x" * 65_537), "INVALID_FIELD", "url"),
    (*asset(request_id="x"), "INVALID_FIELD", "request_id"),
    *((*asset(duration_seconds=value), "INVALID_FIELD", "duration_seconds") for value in (-1, NAN, INFINITY, 1.1e9)),
    *(
        (*asset(generation_cost=value), "INVALID_FIELD", "generation_cost")
        for value in ("-1", "NaN", "Infinity", "1e5", "1.", ".5", "1,5", " 1", "٠", "1" * 16, "0." + "1" * 13)
    ),
    *(
        (*asset(metadata_json=text), "INVALID_JSON", pointer)
        for text, pointer in (
            ("[]", ""),
            ("null", ""),
            ("{", ""),
            ('{"a": NaN}', "/a"),
            ('{"a": 1e999}', "/a"),
            ('{"a": 1e-99999}', "/a"),
            ('{"a": {"b/c": [1e-401]}}', "/a/b~1c/0"),
            ('{"a": 9007199254740993}', "/a"),
            ('{"a": 1e20}', "/a"),
            ('{"a": [-1.5E+300]}', "/a/0"),
            ('{"a": "\\u0000"}', "/a"),
            ('{"a": "\\ud800"}', "/a"),
            ('{"a": 1, "a": 2}', "/a"),
            ('{"a": ' + "[" * 70 + "]" * 70 + "}", None),
            ("[" * 200_000, None),
        )
    ),
    *(
        (*asset(type=kind, metadata_json=json.dumps({name: value})), "INVALID_METADATA", f"/{name}")
        for kind, name, value in (
            ("film", "title", 5),
            ("film", "synopsis", []),
            ("film", "total_duration", "1"),
            ("film", "total_duration", -1),
            ("film", "status", True),
            ("scene", "scene_number", 0),
            ("scene", "scene_number", True),
            ("scene", "setting", {}),
            ("shot", "shot_number", 1.5),
            ("shot", "prompt", 1),
            ("shot", "camera_angle", False),
            ("shot", "duration_target", -0.5),
            ("shot_take", "attempt_number", 0),
            ("shot_take", "attempt_number", 1.5),
            ("shot_take", "attempt_number", 10**9 + 1),
            ("shot_take", "selected", "true"),
            ("shot_take", "selected", 1),
            ("shot_take", "generation_params", []),
            ("shot_take", "quality_score", "9"),
            ("shot_take", "quality_score", 1e10),
            ("shot_take", "director_notes", 1),
            ("video", "width", "1920"),
            ("video", "height", 10.5),
            ("video", "fps", 0),
            ("video", "codec", 1),
        )
    ),
    ("UpdateAsset", {"id": "<film>", "name": ""}, "INVALID_FIELD", "name"),
    ("UpdateAsset", {"id": "x"}, "INVALID_FIELD", "id"),
    ("UpdateAsset", {"id": "<film>", "mode": 999}, "INVALID_FIELD", "mode"),
    ("UpdateAsset", {"id": "<film>", "etag": "x"}, "INVALID_FIELD", "etag"),
    ("UpdateAsset", {"id": "<film>", "metadata_json": "[]"}, "INVALID_JSON", ""),
    ("UpdateAsset", {"id": "<film>", "metadata_json": '{"title": {"a": 1}}'}, "INVALID_METADATA", "/title"),
    ("UpdateAsset", {"id": "<film>", "duration_seconds": 1, "clear_duration": True}, "INVALID_FIELD", "clear_duration"),
    ("UpdateAsset", {"id": "<film>", "duration_seconds": NAN}, "INVALID_FIELD", "duration_seconds"),
    ("DeleteAsset", {"id": "<film>", "etag": "x"}, "INVALID_FIELD", "etag"),
    ("CreateRelationship", {**IN_FILM, "child_asset_id": "x"}, "INVALID_FIELD", "child_asset_id"),
    ("CreateRelationship", {**IN_FILM, "relationship_type": "contains"}, "INVALID_FIELD", "relationship_type"),
    *(("CreateRelationship", {**IN_FILM, "sequence": number}, "INVALID_FIELD", "sequence") for number in (0, -1)),
    (
        "CreateRelationship",
        {**IN_FILM, "parent_asset_id": "<shot>", "relationship_type": "uses_asset"},
        "INVALID_FIELD",
        "child_asset_id",
    ),
    ("CreateRelationship", {**IN_FILM, "metadata_json": "1"}, "INVALID_JSON", ""),
    ("MoveRelationship", {"key": IN_FILM}, "INVALID_FIELD", "place"),
    ("MoveRelationship", {"key": IN_FILM, "position": 0}, "INVALID_FIELD", "position"),
    ("CreateShot", {"name": "x", "duration_target_seconds": -1}, "INVALID_FIELD", "duration_target_seconds"),
    ("CreateShot", {"name": "x", "prompt": "a\0"}, "INVALID_FIELD", "prompt"),
    ("CreateShot", {"name": "x", "parent_asset_id": "x"}, "INVALID_FIELD", "parent_asset_id"),
    ("LinkShotAssets", {"shot_id": "<shot>"}, "INVALID_FIELD", "links"),
    ("LinkShotAssets", {"shot_id": "<film>", "links": {"assets": ["<shot>"]}}, "INVALID_FIELD", "shot_id"),
    ("LinkShotAssets", {"shot_id": "<shot>", "links": {"assets": ["<film>", "x"]}}, "INVALID_FIELD", "links.assets[1]"),
    ("UnlinkShotAssets", {"shot_id": "<film>", "links": {"assets": ["<shot>"]}}, "INVALID_FIELD", "shot_id"),
    ("CreateShotTake", {"shot_id": "<shot>", "attempt_number": 0}, "INVALID_FIELD", "attempt_number"),
    ("CreateShotTake", {"shot_id": "<shot>", "attempt_number": 2**31 - 1}, "INVALID_FIELD", "attempt_number"),
    ("CreateShotTake", {"shot_id": "<shot>", "quality_score": NAN}, "INVALID_FIELD", "quality_score"),
    ("CreateShotTake", {"shot_id": "<shot>", "quality_score": -1}, "INVALID_FIELD", "quality_score"),
    ("CreateShotTake", {"shot_id": "<shot>", "generation_params_json": "[]"}, "INVALID_JSON", ""),
    ("CreateShotTake", {"shot_id": "<film>"}, "INVALID_FIELD", "shot_id"),
    ("LinkTakeVideo", {"take_id": "<take>"}, "INVALID_FIELD", "url"),
    ("LinkTakeVideo", {"take_id": "<take>", "url": "u", "metadata_json": '{"fps": "24"}'}, "INVALID_METADATA", "/fps"),
    ("SelectTake", {"shot_id": "<shot>", "take_id": "x"}, "INVALID_FIELD", "take_id"),
    ("SelectTake", {"shot_id": "<shot>", "expected_take_id": "x"}, "INVALID_FIELD", "expected_take_id"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[2]}-{case[3]}")
async def test_what_is_refused_changes_nothing(
    server: Serving, case: Case, operator: asyncpg.Connection, subjects: dict[str, str]
) -> None:
    method, fields, reason, where = case
    client: Client = server.client
    if method in ("CreateAsset", "CreateShot"):
        fields = {"workspace_id": "bad", **fields}
    before = await operator.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
    fault = await refused(getattr(client, method)(**_filled(fields, subjects)), "INVALID_ARGUMENT", reason)
    if reason == "INVALID_FIELD":
        assert where in fault.fields
    elif where is not None:
        assert fault.metadata["pointer"] == where
    after = await operator.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
    assert int(after) - int(before) <= 1  # nothing but, perhaps, a transaction that was rolled back


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def subjects(server: Serving) -> dict[str, str]:
    """What the words in brackets mean."""
    client = server.client
    client.workspace = "bad"
    shot, (take,) = await shot_with_takes(client, 1)
    return {"film": await made(client, "film"), "shot": shot, "take": take}


def _filled(value: Any, subjects: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(item, subjects) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, subjects) for item in value]
    return subjects[value[1:-1]] if isinstance(value, str) and value[:1] == "<" else value


@pytest.mark.parametrize(
    "text",
    [
        'it\'s "quoted"',
        "100%_sure\\",
        "${jndi:ldap://x}",
        "<svg onload=alert(1)>",
        "\u202eevil\u202c",
        "'; DROP TABLE assets; --",
        "\x01\x7f\ufffe 🎬",
        "x" * MIB,
        "é" * (MIB // 2),
    ],
    ids=lambda text: ascii(text[:12]),
)
async def test_texts_are_kept_as_they_are(client: Client, text: str) -> None:
    created = await client.CreateAsset(
        workspace_id=client.workspace,
        type="shot",
        name=text,
        metadata_json=json.dumps({"prompt": text, text[:1000]: 1}),
        url=text[:1000],
    )
    read = await client.GetAsset(id=created.id)
    assert (read.name, read.url) == (text, text[:1000])
    assert json.loads(read.metadata_json) == {"prompt": text, text[:1000]: 1}
    take = await client.CreateShotTake(shot_id=created.id, director_notes=text)
    assert take.asset.name.endswith(" - Take 1")
    assert len(take.asset.name.encode()) <= MIB
    assert json.loads(take.asset.metadata_json)["director_notes"] == text


@pytest.mark.parametrize("text", ["0", "0.50", "999999999999999.123456789012", "007.10", "0.000000000001"])
async def test_amounts_are_exact(client: Client, operator: asyncpg.Connection, text: str) -> None:
    asset = await client.CreateAsset(workspace_id=client.workspace, type="film", name="x", generation_cost=text)
    stored = await operator.fetchval("SELECT generation_cost::text FROM assets WHERE id = $1", asset.id)
    assert asset.generation_cost == stored == text.removeprefix("00")


@pytest.mark.parametrize("seconds", [0.0, 0.1, 1e9, 5e-324, struct.unpack("d", struct.pack("Q", 1 << 52))[0]])
async def test_lengths_are_exact(client: Client, seconds: float) -> None:
    asset = await client.CreateAsset(workspace_id=client.workspace, type="video", name="x", duration_seconds=seconds)
    assert (await client.GetAsset(id=asset.id)).duration_seconds == seconds


@pytest.mark.parametrize("text", ["1.10", "1e5", "-2.50E-7", "9007199254740992", "9007199254740993.5", "1e-300"])
async def test_numbers_keep_their_value_and_can_be_sent_again(client: Client, text: str) -> None:
    fields = {"workspace_id": client.workspace, "type": "image", "name": "x"}
    first = await client.CreateAsset(**fields, metadata_json=f'{{"a": {text}}}')
    assert Decimal(json.loads(first.metadata_json, parse_int=str, parse_float=str)["a"]) == Decimal(text)
    again = await client.CreateAsset(**fields, metadata_json=first.metadata_json)
    assert again.etag == first.etag


async def test_members_without_a_rule_are_kept(client: Client) -> None:
    metadata = {"title": None, "width": "any", "selected": 5, "x": [1.5, {"y": None}]}
    film = await made(client, "film", metadata=metadata)
    assert json.loads((await client.GetAsset(id=film)).metadata_json) == metadata
