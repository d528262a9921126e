"""What goes in and what comes out: plain values and dicts, described for type checkers.

Ids come as text, times as aware datetimes in UTC, durations in seconds, money as Decimal in the workspace's currency.
Of an asset, `metadata` and `asset_metadata` are one and the same dict under the two names that its readers use.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias, TypedDict
from uuid import UUID

Id: TypeAlias = str | UUID
Metadata: TypeAlias = dict[str, Any]
# A float means what it prints: 0.1 is "0.1".
Money: TypeAlias = Decimal | str | int | float
# How metadata of an update is applied: JSON Merge Patch (RFC 7396: objects merge, None removes a member), or each
# top-level member replaced whole (None is stored).
UpdateMode: TypeAlias = Literal["merge_patch", "replace_top_level"]
AssetOrder: TypeAlias = Literal["create_time", "create_time_descending", "name"]
ChangeKind: TypeAlias = Literal["created", "updated", "deleted"]


class Asset(TypedDict):
    """An asset of any type."""

    id: str
    workspace_id: str
    type: str  # "shot", "shot_take" …: see `rules()`
    name: str  # display title
    url: str | None  # where its media is
    duration: float | None  # seconds
    generation_cost: Decimal | None
    metadata: Metadata
    asset_metadata: Metadata  # the same dict
    etag: str  # of the content; give it back to change only what you have seen
    create_time: datetime
    update_time: datetime


class ChangedAsset(Asset):
    """An asset after a change."""

    revision: int  # of the change, as watches count them; 0 where nothing changed


class RelatedAsset(Asset):
    """An asset at the other end of a relationship."""

    relationship_id: str
    relationship_type: str
    relationship_metadata: Metadata
    sequence: int | None  # place among its siblings, from 1; None where it has none


class Take(Asset):
    """An attempt to generate a shot."""

    shot_id: str | None  # None for a take that has no shot yet
    attempt_number: int  # from 1
    selected: bool
    video: Asset | None  # what it produced


class DeletedAsset(Asset):
    """An asset that was deleted, as it was."""

    delete_time: datetime
    deleted_by: str
    revision: int  # that deleted it


class Relationship(TypedDict):
    """A directed, typed edge between two assets."""

    id: str
    workspace_id: str
    parent_asset_id: str
    child_asset_id: str
    relationship_type: str
    sequence: int | None
    metadata: Metadata
    create_time: datetime
    revision: int  # of the change; 0 in reads, and where nothing changed


class Deleted(TypedDict):
    """What a delete took away."""

    deleted_asset_ids: list[str]  # the asset first, then the takes that went with a shot
    revision: int


class Linked(TypedDict):
    """The links of the assets that were named."""

    relationships: list[Relationship]  # in the order of the call, new or not
    created_count: int
    revision: int  # 0 where nothing changed


class Unlinked(TypedDict):
    """How many links were ended."""

    deleted_count: int
    revision: int  # 0 where nothing changed


class Selection(TypedDict):
    """Which take of a shot is selected."""

    shot_id: str
    take: Take | None
    revision: int  # 0 where nothing changed


class StructureAsset(Asset):
    """An asset within a shot."""

    sequence: int | None


class StructureTake(StructureAsset):
    """A take within a shot; its `sequence` is its attempt number."""

    video: Asset | None


class ShotStructure(TypedDict):
    """A shot with all that belongs to it."""

    shot: Asset
    links: dict[str, list[StructureAsset]]  # by relationship type, in order
    takes: list[StructureTake]  # by attempt number
    selected_take_id: str | None


class FilmShot(ShotStructure):
    """A shot within a film."""

    scene_ids: list[str]  # scenes that contain it, the outermost first
    position: int  # in playing order, from 1


class FilmScene(Asset):
    """A scene within a film."""

    scene_ids: list[str]  # scenes that contain it, the outermost first
    sequence: int | None


class FilmStructure(TypedDict):
    """A film with everything in playing order."""

    film: Asset
    scenes: list[FilmScene]
    shots: list[FilmShot]
    final_edits: list[RelatedAsset]
    shot_count: int


class ShotCost(TypedDict):
    """What a shot cost."""

    shot_id: str | None  # None: what belongs to several shots, or to none
    name: str
    total: Decimal
    attempts: int  # deleted ones included
    deleted: bool


class ProviderCost(TypedDict):
    """What was spent on a provider's model."""

    provider: str  # may be empty
    model: str  # may be empty
    total: Decimal
    asset_count: int


class FilmCost(TypedDict):
    """What a film cost, in one currency."""

    film_id: str
    currency: str  # ISO 4217
    total: Decimal
    unselected: Decimal  # of the total: takes that are not selected, and their videos
    deleted: Decimal  # of the total: what was deleted since
    shots: list[ShotCost]  # in playing order
    providers: list[ProviderCost]  # the largest amount first


class SelectionChange(TypedDict):
    """A change of a shot's selection."""

    take_id: str | None
    previous_take_id: str | None
    create_time: datetime
    actor: str
    revision: int


class ShotMetrics(TypedDict):
    """Production figures of a shot."""

    shot_id: str
    attempts: int
    mean_quality_score: float | None
    total_cost: Decimal
    currency: str
    selected_take_id: str | None
    selection_history: list[SelectionChange]  # the oldest first


class MetadataField(TypedDict):
    """A member of metadata that is checked."""

    name: str
    rule: str


class AssetType(TypedDict):
    """A type of assets."""

    type: str
    aliases: list[str]
    description: str
    metadata_fields: list[MetadataField]


class RelationshipRule(TypedDict):
    """What a type of relationships allows."""

    relationship_type: str
    parent_types: list[str]
    child_types: list[str]
    same_type: bool
    ordered: bool
    acyclic: bool
    max_parents: int | None  # None: any number
    max_children: int | None
    description: str


class Rules(TypedDict):
    """The rules that every change is checked against."""

    asset_types: list[AssetType]
    relationship_rules: list[RelationshipRule]


class Result(TypedDict):
    """What one change of a batch made or changed."""

    id: str | None  # None where it is gone
    etag: str | None  # None for anything but an asset


class AssetChange(TypedDict):
    """An asset that changed."""

    id: str
    kind: ChangeKind
    type: str
    name: str  # at most the first 200 characters
    etag: str | None  # None where it is gone


class RelationshipChange(TypedDict):
    """A relationship that changed."""

    id: str
    kind: ChangeKind  # a moved one is updated
    parent_asset_id: str
    child_asset_id: str
    relationship_type: str
    sequence: int | None


class SelectionNotice(TypedDict):
    """A shot whose selected take changed."""

    shot_id: str
    take_id: str | None
    previous_take_id: str | None


class GraphChange(TypedDict):
    """One revision of a workspace: what one transaction changed."""

    revision: int
    create_time: datetime
    actor: str
    client: str  # what the client calls itself; may be empty
    request_id: str | None
    assets: list[AssetChange]
    relationships: list[RelationshipChange]
    selections: list[SelectionNotice]
    truncated: bool  # more changed than is told (by direct SQL, which has no bounds): read anew what you keep
