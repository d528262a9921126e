"""Between the messages of reads and the domain's values."""

from datetime import UTC, datetime
from typing import TypeAlias

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from services.asset_graph.convert import from_asset, from_id, from_money, from_related
from services.asset_graph.domain import faults, rules
from services.asset_graph.domain.metadata import parsed
from services.asset_graph.domain.reading import (
    Cut,
    DeletedAsset,
    EndFilter,
    FilmCost,
    FilmPage,
    Filter,
    GraphChange,
    Order,
    ShotMetrics,
    ShotStructure,
    What,
)
from services.kernel import strict_json
from services.kernel.faults import invalid_field
from services.kernel.paging import keyset_start, page_size

DEFAULT_PAGE, LARGEST_PAGE = 100, 1_000
MOST_TYPES = 100  # of one filter
DEFAULT_PROGRESS, LEAST_PROGRESS, LONGEST_PROGRESS = 15.0, 0.1, 60.0  # seconds

Listing: TypeAlias = (
    pb.ListAssetsRequest
    | pb.ListDeletedAssetsRequest
    | pb.ListChildrenRequest
    | pb.ListParentsRequest
    | pb.ListShotTakesRequest
    | pb.GetFilmStructureRequest
)

_ORDERS = {
    pb.ASSET_ORDER_UNSPECIFIED: Order.CREATED,
    pb.ASSET_ORDER_CREATE_TIME: Order.CREATED,
    pb.ASSET_ORDER_CREATE_TIME_DESCENDING: Order.CREATED_LAST_FIRST,
    pb.ASSET_ORDER_NAME: Order.NAME,
}
_KINDS = {
    What.CREATED: pb.CHANGE_KIND_CREATED,
    What.UPDATED: pb.CHANGE_KIND_UPDATED,
    What.DELETED: pb.CHANGE_KIND_DELETED,
}


def to_cut(request: Listing) -> tuple[str, Cut]:
    """The query that a request's pages belong to, and which of them is wanted. Raises INVALID_FIELD."""
    query: Message = type(request)()
    query.CopyFrom(request)
    query.ClearField("page_size")
    query.ClearField("page_token")
    text = f"{request.DESCRIPTOR.name}\0{query.SerializeToString(deterministic=True).hex()}"
    size = page_size(request.page_size, default=DEFAULT_PAGE, largest=LARGEST_PAGE)
    return text, Cut(size=size, behind=keyset_start(request.page_token, text))


def to_filter(request: pb.ListAssetsRequest) -> Filter:
    """What the listed assets have in common. Raises INVALID_FIELD, INVALID_JSON."""
    if len(request.types) > MOST_TYPES:
        raise invalid_field("types", f"must be at most {MOST_TYPES}")
    if "\0" in request.name_prefix:
        raise invalid_field("name_prefix", "must not hold U+0000")
    metadata = None
    if request.metadata_contains_json:
        metadata = strict_json.dumps(parsed(request.metadata_contains_json))
    return Filter(
        types=tuple(dict.fromkeys(to_type(each, f"types[{index}]") for index, each in enumerate(request.types))),
        name_prefix=request.name_prefix,
        metadata=metadata,
        created_from=_moment(request.created_from, "created_from") if request.HasField("created_from") else None,
        created_before=_moment(request.created_before, "created_before")
        if request.HasField("created_before")
        else None,
    )


def to_end_filter(request: pb.ListChildrenRequest | pb.ListParentsRequest) -> EndFilter:
    """What the listed relationships have in common. Raises INVALID_FIELD."""
    if (name := request.relationship_type) and rules.relationship_type(name) is None:
        raise faults.unknown_relationship_type("relationship_type")
    asset_type = to_type(request.asset_type, "asset_type") if request.asset_type else ""
    return EndFilter(relationship_type=name, asset_type=asset_type)


def to_type(name: str, field: str) -> str:
    """The stored type of a name or alias. Raises INVALID_FIELD."""
    if (stored := rules.stored_type(name)) is None:
        raise faults.unknown_type(field)
    return stored


def to_order(value: "pb.AssetOrder.ValueType") -> Order:
    """The order of a list. Raises INVALID_FIELD."""
    if value not in _ORDERS:
        raise invalid_field("order", "must be a value of AssetOrder")
    return _ORDERS[value]


def to_progress(seconds: float) -> float:
    """After how many seconds without a change a watch says where it is. Raises INVALID_FIELD."""
    if seconds and not LEAST_PROGRESS <= seconds <= LONGEST_PROGRESS:  # NaN is not between them either
        raise invalid_field("progress_seconds", f"must be 0, or {LEAST_PROGRESS:g} to {LONGEST_PROGRESS:g}")
    return seconds or DEFAULT_PROGRESS


def to_revision(request: pb.WatchChangesRequest) -> int | None:
    """Behind which revision a watch begins; None: from now on. Raises INVALID_FIELD."""
    if request.after_revision < 0:
        raise invalid_field("after_revision", "must not be negative")
    return request.after_revision if request.HasField("after_revision") else None


def from_deleted(deleted: DeletedAsset) -> pb.DeletedAsset:
    """A deleted asset."""
    message = pb.DeletedAsset(asset=from_asset(deleted.asset), revision=deleted.revision, deleted_by=deleted.deleted_by)
    message.delete_time.FromDatetime(deleted.deleted_at)
    return message


def from_structure(shot: ShotStructure) -> pb.ShotStructure:
    """A shot with all that belongs to it."""
    return pb.ShotStructure(
        shot_id=str(shot.shot_id),
        etag=shot.etag,
        document_json=shot.document,
        scene_ids=map(str, shot.scenes),
        position=shot.position,
    )


def from_film_page(page: FilmPage) -> pb.GetFilmStructureResponse:
    """Shots of a film; on the first page with the film."""
    response = pb.GetFilmStructureResponse(shots=map(from_structure, page.shots), shot_count=page.shot_count)
    if page.head:
        response.film.CopyFrom(from_asset(page.head.film))
        response.final_edits.extend(map(from_related, page.head.final_edits))
        for scene in page.head.scenes:
            response.scenes.add(
                asset=from_asset(scene.asset), scene_ids=map(str, scene.scenes), sequence=scene.sequence
            )
    return response


def from_cost(cost: FilmCost) -> pb.FilmCost:
    """What a film cost."""
    response = pb.FilmCost(
        film_id=str(cost.film_id),
        currency=cost.currency,
        total=from_money(cost.total),
        unselected=from_money(cost.unselected),
        deleted=from_money(cost.deleted),
    )
    for shot in cost.shots:
        response.shots.add(
            shot_id=from_id(shot.shot_id),
            name=shot.name,
            total=from_money(shot.total),
            attempts=shot.attempts,
            deleted=shot.deleted,
        )
    for each in cost.providers:
        response.providers.add(
            provider=each.provider, model=each.model, total=from_money(each.total), asset_count=each.assets
        )
    return response


def from_metrics(metrics: ShotMetrics) -> pb.ShotMetrics:
    """Production figures of a shot."""
    response = pb.ShotMetrics(
        shot_id=str(metrics.shot_id),
        attempts=metrics.attempts,
        mean_quality_score=metrics.mean_quality_score,
        total_cost=from_money(metrics.total_cost),
        currency=metrics.currency,
        selected_take_id=from_id(metrics.selected_take_id),
    )
    for each in metrics.selections:
        change = response.selection_history.add(
            take_id=from_id(each.take_id),
            previous_take_id=from_id(each.previous_take_id),
            actor=each.actor,
            revision=each.revision,
        )
        change.create_time.FromDatetime(each.created_at)
    return response


def from_change(change: GraphChange) -> pb.GraphChange:
    """One revision of a workspace."""
    message = pb.GraphChange(
        revision=change.revision,
        actor=change.actor,
        client=change.client,
        request_id=change.request_id,
        truncated=change.truncated,
    )
    message.create_time.FromDatetime(change.created_at)
    for asset in change.assets:
        message.assets.add(id=asset.id, kind=_KINDS[asset.what], type=asset.type, name=asset.name, etag=asset.etag)
    for edge in change.relationships:
        message.relationships.add(
            id=edge.id,
            kind=_KINDS[edge.what],
            parent_asset_id=edge.parent,
            child_asset_id=edge.child,
            relationship_type=edge.type,
            sequence=edge.sequence,
        )
    for selection in change.selections:
        message.selections.add(shot_id=selection.shot, take_id=selection.take, previous_take_id=selection.previous)
    return message


def _moment(timestamp: Timestamp, field: str) -> datetime:
    try:
        return timestamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise invalid_field(field, "must be a time from year 1 to 9999") from None
