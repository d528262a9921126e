"""From the domain's values to the contract's messages, and the fields that several requests have in common."""

from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from services.asset_graph.domain.model import Asset, Related, Relationship, Selection, Take
from services.kernel import ids
from services.kernel.faults import invalid_field

MOST_IDS = 1_000  # of one request


def to_id(text: str, field: str) -> UUID:
    """The id that a field names. Raises INVALID_FIELD."""
    return ids.uuid(text, field)


def to_ids(texts: Sequence[str], field: str) -> list[UUID]:
    """The ids that a field names, at least one. Raises INVALID_FIELD."""
    if not 1 <= len(texts) <= MOST_IDS:
        raise invalid_field(field, f"must be 1 to {MOST_IDS} ids")
    return [ids.uuid(text, f"{field}[{index}]") for index, text in enumerate(texts)]


def from_asset(asset: Asset, revision: int = 0) -> pb.Asset:
    """An asset as the contract has it; in the answer to a change with its revision."""
    message = pb.Asset(
        id=str(asset.id),
        workspace_id=asset.workspace_id,
        type=asset.type,
        name=asset.name,
        metadata_json=asset.metadata,
        etag=asset.etag,
        url=asset.url,
        duration_seconds=asset.duration,
        generation_cost=None if asset.generation_cost is None else from_money(asset.generation_cost),
        revision=revision,
    )
    message.create_time.FromDatetime(asset.created_at)
    message.update_time.FromDatetime(asset.updated_at)
    return message


def from_relationship(relationship: Relationship, revision: int = 0) -> pb.Relationship:
    """A relationship as the contract has it; in the answer to a change with its revision."""
    message = pb.Relationship(
        id=str(relationship.id),
        workspace_id=relationship.workspace_id,
        parent_asset_id=str(relationship.parent),
        child_asset_id=str(relationship.child),
        relationship_type=relationship.type,
        sequence=relationship.sequence,
        metadata_json=relationship.metadata,
        revision=revision,
    )
    message.create_time.FromDatetime(relationship.created_at)
    return message


def from_related(related: Related) -> pb.RelatedAsset:
    """The asset at the other end of a relationship."""
    return pb.RelatedAsset(
        asset=from_asset(related.asset),
        relationship_id=str(related.relationship_id),
        relationship_type=related.relationship_type,
        sequence=related.sequence,
        relationship_metadata_json=related.relationship_metadata,
    )


def from_take(take: Take, revision: int = 0) -> pb.Take:
    """A take with its video; in the answer to a change with its revision, which stands in the asset."""
    return pb.Take(
        asset=from_asset(take.asset, revision),
        shot_id=from_id(take.shot_id),
        attempt_number=take.attempt_number,
        selected=take.selected,
        video=None if take.video is None else from_asset(take.video),
    )


def from_selection(selection: Selection, revision: int = 0) -> pb.Selection:
    """The selected take of a shot; in the answer to a change with its revision."""
    return pb.Selection(
        shot_id=str(selection.shot_id),
        take=None if selection.take is None else from_take(selection.take),
        revision=revision,
    )


def from_id(value: UUID | None) -> str:
    """An id that may be absent, which is the empty text."""
    return "" if value is None else str(value)


def from_money(amount: Decimal) -> str:
    """A decimal number as it was given: `0.50` keeps its zero, and none gets an exponent."""
    return format(amount, "f")
