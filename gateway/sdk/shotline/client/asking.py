"""Python values as the requests of the contract.

What cannot be sent at all is refused here, before anything is sent: TypeError for a value of another type, ValueError
for NaN, Infinity and text that is no number. Every other rule is the server's.
"""

import json
import math
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.client.shapes import AssetOrder, Id, Money, UpdateMode

_MAX_EXPONENT = 40  # digits that money may have on either side of the point before the server is asked at all


class Unchanged(Enum):
    """The one value that stands for "leave it as it is", where None means "take it away"."""

    UNCHANGED = "UNCHANGED"

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = Unchanged.UNCHANGED
NotChanged: TypeAlias = Literal[Unchanged.UNCHANGED]


def create_asset(
    asset_type: str,
    name: str,
    metadata: Mapping[str, Any] | None = None,
    url: str | None = None,
    duration: float | None = None,
    generation_cost: Money | None = None,
) -> pb.CreateAssetRequest:
    """An asset of any type."""
    return pb.CreateAssetRequest(
        type=asset_type,
        name=name,
        metadata_json=json_text(metadata),
        url=url,
        duration_seconds=seconds("duration", duration),
        generation_cost=money(generation_cost),
    )


def update_asset(
    asset_id: Id,
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    mode: UpdateMode = "merge_patch",
    url: str | NotChanged | None = UNCHANGED,
    duration: float | NotChanged | None = UNCHANGED,
    generation_cost: Money | NotChanged | None = UNCHANGED,
    etag: str | None = None,
) -> pb.UpdateAssetRequest:
    """Changes of an asset. None takes url, duration or cost away."""
    request = pb.UpdateAssetRequest(
        id=id_text(asset_id),
        name=name,
        metadata_json=json_text(metadata),
        mode=member(pb.UpdateMode, "UPDATE_MODE_", mode),
        etag=etag or "",
    )
    if url is not UNCHANGED:
        request.url = url or ""
    if duration is None:
        request.clear_duration = True
    elif duration is not UNCHANGED:
        request.duration_seconds = _finite("duration", duration)
    if generation_cost is not UNCHANGED:
        request.generation_cost = money(generation_cost) or ""
    return request


def delete_asset(asset_id: Id, etag: str | None = None) -> pb.DeleteAssetRequest:
    """The end of an asset."""
    return pb.DeleteAssetRequest(id=id_text(asset_id), etag=etag or "")


def list_assets(
    types: str | Iterable[str] = (),
    name_prefix: str = "",
    metadata_contains: Mapping[str, Any] | None = None,
    created_from: datetime | None = None,
    created_before: datetime | None = None,
    order: AssetOrder = "create_time",
    page_size: int = 0,
) -> pb.ListAssetsRequest:
    """Filters and order of a list of assets."""
    return pb.ListAssetsRequest(
        types=[types] if isinstance(types, str) else types,
        name_prefix=name_prefix,
        metadata_contains_json=json_text(metadata_contains),
        created_from=_time(created_from),
        created_before=_time(created_before),
        order=member(pb.AssetOrder, "ASSET_ORDER_", order),
        page_size=page_size,
    )


def create_relationship(
    parent_asset_id: Id,
    child_asset_id: Id,
    relationship_type: str,
    sequence: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> pb.CreateRelationshipRequest:
    """A relationship; without `sequence` at the end, where the type is ordered."""
    return pb.CreateRelationshipRequest(
        parent_asset_id=id_text(parent_asset_id),
        child_asset_id=id_text(child_asset_id),
        relationship_type=relationship_type,
        sequence=sequence,
        metadata_json=json_text(metadata),
    )


def delete_relationship(
    parent_asset_id: Id, child_asset_id: Id, relationship_type: str
) -> pb.DeleteRelationshipRequest:
    """The end of a relationship."""
    return pb.DeleteRelationshipRequest(key=_key(parent_asset_id, child_asset_id, relationship_type))


def move_relationship(
    parent_asset_id: Id,
    child_asset_id: Id,
    relationship_type: str,
    *,
    after: Id | None = None,
    before: Id | None = None,
    position: int | None = None,
) -> pb.MoveRelationshipRequest:
    """Another place for an ordered child. ValueError unless exactly one place is given."""
    if sum(place is not None for place in (after, before, position)) != 1:
        raise ValueError("give one of after, before and position")
    request = pb.MoveRelationshipRequest(key=_key(parent_asset_id, child_asset_id, relationship_type))
    if after is not None:
        request.after_child_asset_id = id_text(after)
    elif before is not None:
        request.before_child_asset_id = id_text(before)
    elif position is not None:
        request.position = position
    return request


def create_shot(
    name: str,
    *,
    description: str | None = None,
    shot_number: str | None = None,
    camera_angle: str | None = None,
    duration_target: float | None = None,
    prompt: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    parent_id: Id | None = None,
    characters: Iterable[Id] | None = None,
    audios: Iterable[Id] | None = None,
    scripts: Iterable[Id] | None = None,
    assets: Iterable[Id] | None = None,
) -> pb.CreateShotRequest:
    """A shot, with what is said about it."""
    return pb.CreateShotRequest(
        name=name,
        description=description,
        shot_number=shot_number,
        camera_angle=camera_angle,
        duration_target_seconds=seconds("duration_target", duration_target),
        prompt=prompt,
        metadata_json=json_text(metadata),
        parent_asset_id=_id_or_none(parent_id) or "",
        links=_links(characters, audios, scripts, assets),
    )


def link_shot_assets(
    shot_id: Id,
    characters: Iterable[Id] | None = None,
    audios: Iterable[Id] | None = None,
    scripts: Iterable[Id] | None = None,
    assets: Iterable[Id] | None = None,
) -> pb.LinkShotAssetsRequest:
    """Links of a shot, each kind in order."""
    return pb.LinkShotAssetsRequest(shot_id=id_text(shot_id), links=_links(characters, audios, scripts, assets))


def unlink_shot_assets(
    shot_id: Id,
    characters: Iterable[Id] | None = None,
    audios: Iterable[Id] | None = None,
    scripts: Iterable[Id] | None = None,
    assets: Iterable[Id] | None = None,
) -> pb.UnlinkShotAssetsRequest:
    """The end of links of a shot."""
    return pb.UnlinkShotAssetsRequest(shot_id=id_text(shot_id), links=_links(characters, audios, scripts, assets))


def create_shot_take(
    shot_id: Id,
    attempt_number: int | None = None,
    selected: bool = False,
    generation_params: Mapping[str, Any] | None = None,
    quality_score: float | None = None,
    director_notes: str | None = None,
    generation_cost: Money | None = None,
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> pb.CreateShotTakeRequest:
    """A take; without `attempt_number` the next one."""
    return pb.CreateShotTakeRequest(
        shot_id=id_text(shot_id),
        attempt_number=attempt_number,
        selected=selected,
        generation_params_json=json_text(generation_params),
        quality_score=seconds("quality_score", quality_score),
        director_notes=director_notes,
        generation_cost=money(generation_cost),
        name=name or "",
        metadata_json=json_text(metadata),
    )


def link_take_video(
    take_id: Id,
    video_url: str,
    duration: float | None = None,
    video_metadata: Mapping[str, Any] | None = None,
    name: str | None = None,
    generation_cost: Money | None = None,
) -> pb.LinkTakeVideoRequest:
    """The video that a take produced."""
    return pb.LinkTakeVideoRequest(
        take_id=id_text(take_id),
        url=video_url,
        duration_seconds=seconds("duration", duration),
        metadata_json=json_text(video_metadata),
        name=name or "",
        generation_cost=money(generation_cost),
    )


def select_take(
    shot_id: Id, take_id: Id | None, expected_take_id: Id | NotChanged | None = UNCHANGED
) -> pb.SelectTakeRequest:
    """The selection of a take; None leaves the shot without one."""
    request = pb.SelectTakeRequest(shot_id=id_text(shot_id), take_id=_id_or_none(take_id) or "")
    if expected_take_id is not UNCHANGED:
        request.expected_take_id = _id_or_none(expected_take_id) or ""
    return request


def request_id(given: Id | None) -> str:
    """The id of a change: the caller's, or a new one."""
    return str(uuid.uuid4()) if given is None else id_text(given)


def id_text(given: Id) -> str:
    """An id as it is sent."""
    if isinstance(given, UUID):
        return str(given)
    if not isinstance(given, str):
        raise TypeError(f"an id is a str or a UUID, not {type(given).__name__}")
    return given


def money(given: Money | None) -> str | None:
    """A generation_cost as decimal text. A float means what it prints: 0.1 is "0.1"."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (Decimal, str, int, float)):
        raise TypeError(f"generation_cost: an amount is a Decimal, str, int or float, not {type(given).__name__}")
    try:
        amount = given if isinstance(given, Decimal) else Decimal(repr(given) if isinstance(given, float) else given)
    except InvalidOperation:
        raise ValueError(f"generation_cost: {given!r} is not an amount") from None
    if not amount.is_finite() or amount.adjusted() > _MAX_EXPONENT or -int(amount.as_tuple().exponent) > _MAX_EXPONENT:
        raise ValueError(f"generation_cost: {given!r} is not an amount")
    return format(amount, "f")


def seconds(name: str, given: float | None) -> float | None:
    """A number that may be absent; `name` is the argument's."""
    return None if given is None else _finite(name, given)


def json_text(given: Mapping[str, Any] | None) -> str:
    """A JSON object; empty text for None. UUIDs become text, Decimals numbers with the digits they have."""
    if given is None:
        return ""
    if not isinstance(given, Mapping):
        raise TypeError(f"a mapping such as a dict is wanted, not {type(given).__name__}")
    try:
        return json.dumps(given, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    except _Exact:
        return _written(given)


class _Exact(Exception):
    """There is a value that the fast writer of the standard library cannot write."""


def _plain(value: object) -> object:
    if isinstance(value, UUID):
        return str(value)
    raise _Exact


def _written(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_name(name)}:{_written(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is not JSON")
        return str(value)
    if isinstance(value, UUID):
        return f'"{value}"'
    if value is None or isinstance(value, (str, bool, int, float)):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    raise TypeError(f"a value of type {type(value).__name__} is not JSON")


def _name(given: object) -> str:
    # As the standard library writes names: 1 is "1", True is "true".
    text = json.dumps({given: 0}, ensure_ascii=False, allow_nan=False)
    return text[1 : text.rindex(":")]


def _finite(name: str, given: float) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float, Decimal)):
        raise TypeError(f"{name}: a number is wanted, not {type(given).__name__}")
    if not math.isfinite(given):
        raise ValueError(f"{name}: {given} is not a number")
    return float(given)


def _time(given: datetime | None) -> Timestamp | None:
    if given is None:
        return None
    if given.tzinfo is None:
        raise ValueError("a time needs its time zone, such as datetime.now(UTC)")
    time = Timestamp()
    time.FromDatetime(given)
    return time


def _id_or_none(given: Id | None) -> str | None:
    return None if given is None else id_text(given)


def _ids(given: Iterable[Id] | None) -> list[str]:
    if isinstance(given, (str, UUID)):
        raise TypeError("a list of ids is wanted, not one id")
    return [id_text(each) for each in given or ()]


def _links(
    characters: Iterable[Id] | None,
    audios: Iterable[Id] | None,
    scripts: Iterable[Id] | None,
    assets: Iterable[Id] | None,
) -> pb.ShotLinks | None:
    if characters is audios is scripts is assets is None:
        return None
    return pb.ShotLinks(characters=_ids(characters), audios=_ids(audios), scripts=_ids(scripts), assets=_ids(assets))


def _key(parent_asset_id: Id, child_asset_id: Id, relationship_type: str) -> pb.RelationshipKey:
    return pb.RelationshipKey(
        parent_asset_id=id_text(parent_asset_id),
        child_asset_id=id_text(child_asset_id),
        relationship_type=relationship_type,
    )


def member(enum: Any, prefix: str, word: str) -> Any:
    """The value of an enum by its name without the prefix, in small letters. ValueError names those that there are."""
    try:
        return enum.Value(prefix + word.upper())
    except ValueError:
        words = ", ".join(name.removeprefix(prefix).lower() for name in enum.keys()[1:])
        raise ValueError(f"{word!r} is none of {words}") from None
