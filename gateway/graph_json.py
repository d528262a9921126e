"""JSON texts of the asset graph: assets as the graph itself writes them, and parts of such texts, byte for byte."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp
from shotline.asset_graph.v1 import asset_graph_service_pb2 as graph

from services.kernel.strict_json import quote

# Finds where values end. What it decodes is thrown away: written anew, numbers would change.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
_SPACE = " \t\n\r"


def asset_json(asset: graph.Asset, **more: str) -> str:
    """The object that stands for an asset in `ShotStructure.document_json`; `more`: further members, as JSON text."""
    members = {
        "id": quote(asset.id),
        "workspace_id": quote(asset.workspace_id),
        "type": quote(asset.type),
        "name": quote(asset.name),
        "url": quote(asset.url) if asset.HasField("url") else "null",
        "duration": _number(asset.duration_seconds) if asset.HasField("duration_seconds") else "null",
        "generation_cost": quote(asset.generation_cost) if asset.HasField("generation_cost") else "null",
        "metadata": asset.metadata_json or "{}",
        "etag": quote(asset.etag),
        "create_time": quote(_time(asset.create_time)),
        "update_time": quote(_time(asset.update_time)),
        **more,
    }
    return object_json(members)


def object_json(members: Mapping[str, str]) -> str:
    """An object of members that are JSON text already."""
    return "{" + ", ".join(f"{quote(name)}: {text}" for name, text in members.items()) + "}"


def array_json(items: Iterable[str]) -> str:
    """An array of items that are JSON text already."""
    return "[" + ", ".join(items) + "]"


def members(text: str) -> dict[str, str]:
    """The members of an object, each value as the text that it has."""
    found: dict[str, str] = {}
    at = _skip(text, 1)
    while text[at] != "}":
        name, end = _DECODER.raw_decode(text, at)
        start = _skip(text, _skip(text, end) + 1)  # behind the colon
        _, end = _DECODER.raw_decode(text, start)
        found[name] = text[start:end]
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at
    return found


def items(text: str) -> Iterator[str]:
    """The items of an array, each as the text that it has."""
    at = _skip(text, 1)
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        yield text[at:end]
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


def _number(value: float) -> str:
    return repr(int(value)) if value.is_integer() else repr(value)


def _time(stamp: Timestamp) -> str:
    """As the database writes it: RFC 3339 in UTC, with as many decimals as it takes."""
    moment = stamp.ToDatetime(UTC)
    decimals = f".{moment.microsecond:06}".rstrip("0") if moment.microsecond else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{decimals}+00:00"
