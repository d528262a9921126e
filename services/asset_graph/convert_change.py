"""From requests for changes to the domain's operations, and from what became of them to answers.

Ids of what a request makes are given here, so that operations name every id. In a batch an id may be the `temp_id` of
an earlier change.
"""

import asyncio
import hashlib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias
from uuid import UUID

from google.protobuf.message import Message
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from services.asset_graph.convert import from_asset, from_relationship
from services.asset_graph.domain import faults, metadata
from services.asset_graph.domain.additions import MOST_NAME
from services.asset_graph.domain.batch import MOST_SEQUENCE, must_be_movable
from services.asset_graph.domain.changing import (
    Alter,
    End,
    MakeAsset,
    MakeTake,
    MakeVideo,
    Move,
    Relate,
    Remove,
    Select,
    Step,
)
from services.asset_graph.domain.metadata import MOST_AMOUNT, Mode
from services.asset_graph.domain.model import Asset, Relationship, Take
from services.asset_graph.domain.ports import Destination, EdgeKey, NewAsset
from services.asset_graph.domain.rules import relationship_type, stored_type
from services.kernel import ids
from services.kernel.faults import Fault, invalid_field
from services.kernel.strict_json import Json, Number, dumps

MOST_CHANGES = 20_000  # of one batch
MOST_LINKS = 10_000  # of one call
MOST_OPERATIONS = 50_000  # of one batch: new assets, relationships and links, so that a watch can tell of them
_PAUSE = 500  # changes that are read before others get their turn
MOST_URL = 1 << 16  # bytes

Mutation: TypeAlias = (
    pb.CreateAssetRequest
    | pb.UpdateAssetRequest
    | pb.DeleteAssetRequest
    | pb.UndeleteAssetRequest
    | pb.CreateRelationshipRequest
    | pb.DeleteRelationshipRequest
    | pb.MoveRelationshipRequest
    | pb.CreateShotRequest
    | pb.LinkShotAssetsRequest
    | pb.UnlinkShotAssetsRequest
    | pb.CreateShotTakeRequest
    | pb.LinkTakeVideoRequest
    | pb.SelectTakeRequest
    | pb.ApplyChangesRequest
)

_COST = re.compile(r"[0-9]{1,15}(\.[0-9]{1,12})?")
_TEMP_ID = re.compile(r"\$[A-Za-z0-9._-]{1,127}")
_MODES = {
    pb.UPDATE_MODE_UNSPECIFIED: Mode.MERGE_PATCH,
    pb.UPDATE_MODE_MERGE_PATCH: Mode.MERGE_PATCH,
    pb.UPDATE_MODE_REPLACE_TOP_LEVEL: Mode.REPLACE_TOP_LEVEL,
}
_LINKS = (
    ("characters", "uses_character"),
    ("audios", "uses_audio"),
    ("scripts", "uses_script"),
    ("assets", "uses_asset"),
)


def digest(request: Mutation) -> bytes:
    """Hash of all that a request asks for; empty for one that is not protected against being made twice."""
    if not request.request_id:
        return b""
    body: Message = type(request)()
    body.CopyFrom(request)
    body.ClearField("request_id")
    name = request.DESCRIPTOR.full_name.encode()
    return hashlib.sha256(name + b"\0" + body.SerializeToString(deterministic=True)).digest()


@dataclass(slots=True)
class Reader:
    """Reads requests. Raises INVALID_FIELD, INVALID_JSON, INVALID_METADATA."""

    make_id: Callable[[bytes], UUID]  # a UUID of its 16 bytes
    new_id: Callable[[], UUID]
    temp_ids: dict[str, UUID] | None = None  # of a batch
    index: int | None = None  # of the change that is read

    def create_asset(self, request: pb.CreateAssetRequest) -> Step:
        """Make an asset."""
        if (kind := stored_type(request.type)) is None:
            raise faults.unknown_type("type")
        members = metadata.parsed(request.metadata_json)
        metadata.check(kind, members)
        asset = NewAsset(
            id=self.new_id(),
            type=kind,
            name=_name(request.name),
            metadata=request.metadata_json or "{}",
            url=_url(request.url) or None if request.HasField("url") else None,
            duration=_duration(request),
            generation_cost=_cost(request),
        )
        return Step((MakeAsset(asset, members),), asset.id, self.index)

    def update_asset(self, request: pb.UpdateAssetRequest) -> Step:
        """Change an asset."""
        if request.mode not in _MODES:
            raise invalid_field("mode", "must be a value of UpdateMode")
        duration: float | Literal["none"] | None = _duration(request)
        if request.clear_duration:
            if duration is not None:
                raise invalid_field("clear_duration", "must not be set together with duration_seconds")
            duration = "none"
        cost: Decimal | Literal["none"] | None = _cost(request)
        if request.HasField("generation_cost") and not request.generation_cost:
            cost = "none"
        asset_id = self.id(request.id, "id")
        alter = Alter(
            id=asset_id,
            etag=ids.etag(request.etag),
            name=_name(request.name) if request.HasField("name") else None,
            members=metadata.parsed(request.metadata_json) if request.metadata_json else None,
            mode=_MODES[request.mode],
            url=_url(request.url) if request.HasField("url") else None,
            duration=duration,
            generation_cost=cost,
        )
        return Step((alter,), asset_id, self.index)

    def delete_asset(self, request: pb.DeleteAssetRequest) -> Step:
        """Delete an asset."""
        return Step((Remove(id=self.id(request.id, "id"), etag=ids.etag(request.etag)),), None, self.index)

    def create_relationship(self, request: pb.CreateRelationshipRequest) -> Step:
        """Make a relationship."""
        sequence = request.sequence if request.HasField("sequence") else None
        if sequence is not None and not 1 <= sequence <= MOST_SEQUENCE:
            raise invalid_field("sequence", "must be 1 to 10^9")
        metadata.parsed(request.metadata_json)
        relate = Relate(
            id=self.new_id(), key=self._key(request), sequence=sequence, metadata=request.metadata_json or "{}"
        )
        return Step((relate,), relate.id, self.index)

    def delete_relationship(self, request: pb.DeleteRelationshipRequest) -> Step:
        """End a relationship."""
        return Step((End(key=self._named_key(request)),), None, self.index)

    def move_relationship(self, request: pb.MoveRelationshipRequest) -> Step:
        """Move a child. Raises NOT_ORDERED, too."""
        key = self._named_key(request)
        must_be_movable(key)
        match request.WhichOneof("place"):
            case "after_child_asset_id":
                to = Destination(after=self.id(request.after_child_asset_id, "after_child_asset_id"))
            case "before_child_asset_id":
                to = Destination(before=self.id(request.before_child_asset_id, "before_child_asset_id"))
            case "position":
                if request.position < 1:
                    raise invalid_field("position", "must be 1 or more")
                to = Destination(position=request.position)
            case None:
                raise invalid_field("place", "must say where to")
        return Step((Move(key=key, to=to),), None, self.index)

    def create_shot(self, request: pb.CreateShotRequest) -> Step:
        """Make a shot, put it into its film or scene, and link its assets."""
        members: dict[str, Json] = metadata.parsed(request.metadata_json)
        for name in ("description", "shot_number", "camera_angle", "prompt"):
            if request.HasField(name):
                members[name] = _text(getattr(request, name), name)
        if request.HasField("duration_target_seconds"):
            target = _amount(request.duration_target_seconds, "duration_target_seconds")
            members["duration_target"] = _number(target)
        metadata.check("shot", members)
        shot = NewAsset(id=self.new_id(), type="shot", name=_name(request.name), metadata=dumps(members))
        relates = self._links(shot.id, request.links, "links") if request.HasField("links") else []
        if request.parent_asset_id:
            key = EdgeKey(self.id(request.parent_asset_id, "parent_asset_id"), shot.id, "contains_shot")
            relates.insert(0, Relate(id=self.new_id(), key=key))
        return Step((MakeAsset(shot, members), *relates), shot.id, self.index)

    def link_shot_assets(self, request: pb.LinkShotAssetsRequest | pb.UnlinkShotAssetsRequest) -> Step:
        """Link assets to a shot. The keys are those to end where that is asked."""
        shot = self.id(request.shot_id, "shot_id")
        links = self._links(shot, request.links, "links")
        if not links:
            raise invalid_field("links", "must name at least one asset")
        return Step(links, shot, self.index)

    def create_shot_take(self, request: pb.CreateShotTakeRequest) -> Step:
        """Make a take."""
        attempt = request.attempt_number if request.HasField("attempt_number") else None
        if attempt is not None and not 1 <= attempt <= MOST_SEQUENCE:
            raise invalid_field("attempt_number", "must be 1 to 10^9")
        members: dict[str, Json] = metadata.parsed(request.metadata_json)
        if request.generation_params_json:
            members["generation_params"] = metadata.parsed(request.generation_params_json)
        if request.HasField("quality_score"):
            members["quality_score"] = _number(_amount(request.quality_score, "quality_score"))
        if request.HasField("director_notes"):
            members["director_notes"] = _text(request.director_notes, "director_notes")
        members.pop("attempt_number", None)
        metadata.check("shot_take", members)
        take = MakeTake(
            id=self.new_id(),
            edge_id=self.new_id(),
            shot=self.id(request.shot_id, "shot_id"),
            attempt=attempt,
            selected=request.selected,
            name=_name(request.name) if request.name else "",
            members=members,
            generation_cost=_cost(request),
        )
        return Step((take,), take.id, self.index)

    def link_take_video(self, request: pb.LinkTakeVideoRequest) -> Step:
        """Make the video of a take."""
        if not request.url:
            raise invalid_field("url", "must not be empty")
        metadata.check("video", metadata.parsed(request.metadata_json))
        video = NewAsset(
            id=self.new_id(),
            type="video",
            name=_name(request.name) if request.name else "",
            metadata=request.metadata_json or "{}",
            url=_url(request.url),
            duration=_duration(request),
            generation_cost=_cost(request),
        )
        make = MakeVideo(edge_id=self.new_id(), take=self.id(request.take_id, "take_id"), video=video)
        return Step((make,), video.id, self.index)

    def select_take(self, request: pb.SelectTakeRequest) -> Step:
        """Select a take, or none."""
        shot = self.id(request.shot_id, "shot_id")
        take = self.id(request.take_id, "take_id") if request.take_id else None
        expected: UUID | Literal["none"] | None = None
        if request.HasField("expected_take_id"):
            text = request.expected_take_id
            expected = self.id(text, "expected_take_id") if text else "none"
        return Step((Select(shot=shot, take=take, expected=expected),), take or shot, self.index)

    def id(self, text: str, field: str) -> UUID:
        """The asset that a field names, by its id or, in a batch, by the temporary one of an earlier change."""
        if self.temp_ids is None:
            return ids.uuid(text, field)
        if named := self.temp_ids.get(text):
            return named
        if text.startswith("$"):
            raise invalid_field(field, "must be the temp_id of an earlier change that makes an asset")
        # Kept among the others: many changes of a batch name the same film.
        self.temp_ids[text] = self.make_id(ids.uuid(text, field).bytes)
        return self.temp_ids[text]

    def _key(self, request: pb.CreateRelationshipRequest | pb.RelationshipKey, prefix: str = "") -> EdgeKey:
        if relationship_type(request.relationship_type) is None:
            raise faults.unknown_relationship_type(f"{prefix}relationship_type")
        return EdgeKey(
            self.id(request.parent_asset_id, f"{prefix}parent_asset_id"),
            self.id(request.child_asset_id, f"{prefix}child_asset_id"),
            request.relationship_type,
        )

    def _named_key(self, request: pb.DeleteRelationshipRequest | pb.MoveRelationshipRequest) -> EdgeKey:
        return self._key(request.key, "key.")

    def _links(self, shot: UUID, links: pb.ShotLinks, field: str) -> list[Relate]:
        """Each link once, in the order of the request."""
        keys: dict[EdgeKey, None] = {}
        for member, kind in _LINKS:
            for place, text in enumerate(getattr(links, member)):
                keys[EdgeKey(shot, self.id(text, f"{field}.{member}[{place}]"), kind)] = None
        if len(keys) > MOST_LINKS:
            raise invalid_field(field, f"must be at most {MOST_LINKS} assets")
        return [Relate(id=self.new_id(), key=key, again=True, shot_field="shot_id") for key in keys]


async def to_steps(request: pb.ApplyChangesRequest, single: Reader) -> list[Step]:
    """The changes of a batch. Raises INVALID_FIELD, INVALID_JSON, INVALID_METADATA, which name the change."""
    if not 1 <= len(request.changes) <= MOST_CHANGES:
        raise invalid_field("changes", f"must be 1 to {MOST_CHANGES}")
    temp_ids: dict[str, UUID] = {}
    seen: set[str] = set()
    reader = Reader(single.make_id, single.new_id, temp_ids)
    steps: list[Step] = []
    operations = 0
    for index, change in enumerate(request.changes):
        if index % _PAUSE == _PAUSE - 1:
            await asyncio.sleep(0)
        kind = change.WhichOneof("change")
        try:
            if kind is None:
                raise invalid_field("change", "must say what is to be done")
            inner, temp_id = getattr(change, kind), change.temp_id
            if inner.request_id:
                raise invalid_field(f"{kind}.request_id", "must be empty in a batch")
            if kind in _IN_A_WORKSPACE and inner.workspace_id:
                raise invalid_field(f"{kind}.workspace_id", "must be empty in a batch")
            if temp_id and (not _TEMP_ID.fullmatch(temp_id) or temp_id in seen):
                raise invalid_field("temp_id", "must be $ and 1 to 127 letters, digits, '.', '_' or '-', each once")
            reader.index = index
            step: Step = getattr(reader, kind)(inner)
            operations += len(step.operations)
            if operations > MOST_OPERATIONS:
                raise invalid_field(kind, f"must not be more than {MOST_OPERATIONS} assets and relationships in all")
            if temp_id:
                seen.add(temp_id)
                if kind not in _MAKING:
                    raise invalid_field("temp_id", "must be empty: this change makes nothing")
                if kind != "create_relationship":
                    assert step.subject is not None
                    temp_ids[temp_id] = step.subject
        except Fault as fault:
            faults.in_batch(fault, index)
            raise
        steps.append(step)
    return steps


def from_take(take: Take, revision: int) -> pb.Take:
    """A take that was just made."""
    return pb.Take(
        asset=from_asset(take.asset, revision),
        shot_id=str(take.shot_id),
        attempt_number=take.attempt_number,
        selected=take.selected,
    )


def from_links(relationships: Iterable[Relationship], created: int, revision: int) -> pb.LinkShotAssetsResponse:
    """The links that were asked for."""
    return pb.LinkShotAssetsResponse(
        relationships=map(from_relationship, relationships), created_count=created, revision=revision
    )


def from_results(results: Iterable[tuple[UUID | None, str]], revision: int) -> pb.ApplyChangesResponse:
    """What became of a batch."""
    result = pb.ChangeResult
    return pb.ApplyChangesResponse(
        results=[result(id="" if subject is None else str(subject), etag=etag) for subject, etag in results],
        revision=revision,
    )


_IN_A_WORKSPACE = {"create_asset", "create_shot"}
_MAKING = {"create_asset", "create_relationship", "create_shot", "create_shot_take", "link_take_video"}


def _text(text: str, field: str) -> str:
    if "\0" in text:
        raise invalid_field(field, "must not hold U+0000")
    return text


def _name(text: str) -> str:
    if not text or len(text) > MOST_NAME or len(text.encode()) > MOST_NAME:
        raise invalid_field("name", "must have 1 byte to 1 MiB")
    return _text(text, "name")


def _url(text: str) -> str:
    if len(text) > MOST_URL or len(text.encode()) > MOST_URL:
        raise invalid_field("url", "must have at most 64 KiB")
    return _text(text, "url")


def _amount(value: float, field: str) -> float:
    if not (math.isfinite(value) and 0 <= value <= MOST_AMOUNT):
        raise invalid_field(field, "must be 0 to 10^9")
    return value


def _number(value: float) -> Number:
    """A double as JSON has it; a whole one without its `.0`, as JavaScript writes it."""
    return Number(int(value) if value.is_integer() else value)


def _duration(
    request: pb.CreateAssetRequest | pb.UpdateAssetRequest | pb.LinkTakeVideoRequest,
) -> float | None:
    if not request.HasField("duration_seconds"):
        return None
    return _amount(request.duration_seconds, "duration_seconds")


def _cost(
    request: pb.CreateAssetRequest | pb.UpdateAssetRequest | pb.CreateShotTakeRequest | pb.LinkTakeVideoRequest,
) -> Decimal | None:
    """An amount; None where there is none, or an empty text."""
    if not request.generation_cost:
        return None
    if not _COST.fullmatch(request.generation_cost):
        raise invalid_field("generation_cost", "must be such as 0.50: at most 15 digits before and 12 behind the point")
    return Decimal(request.generation_cost)


def taken(asset: Asset, take: MakeTake) -> Take:
    """A take that was just made, from its asset."""
    members = metadata.parsed(asset.metadata)
    number = members["attempt_number"]
    return Take(
        asset=asset,
        shot_id=take.shot,
        attempt_number=int(float(str(number))),
        selected=take.selected,
        video=None,
    )
