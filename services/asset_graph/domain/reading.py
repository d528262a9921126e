"""What can be asked of the graph, and what a place where it is kept must be able to answer.

Reads     answers now
Watches   tells what happens from now on
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Generic, Protocol, TypeAlias, TypeVar
from uuid import UUID

from services.asset_graph.domain.model import Asset, Related, Scope, Selection, Take
from services.kernel.paging import Key

T = TypeVar("T", covariant=True)

Position: TypeAlias = tuple[Key, ...]
"""Where in its order a page ended: the values that its last item is ordered by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Which part of a list is wanted."""

    size: int  # items at most; fewer where they get too large together
    behind: Position = ()  # of the page before; empty for the first page


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A part of a list."""

    items: Sequence[T]
    following: Position | None = None  # what the next page begins behind; None on the last one


class Order(Enum):
    """Of a list of assets. Equal ones stand by id."""

    CREATED = "created"
    CREATED_LAST_FIRST = "created, the last one first"
    NAME = "name"  # by its first 200 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What the assets of a list have in common."""

    types: tuple[str, ...] = ()  # stored types; empty: all
    name_prefix: str = ""
    metadata: str | None = None  # JSON text of an object that theirs contains
    created_from: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndFilter:
    """What the relationships of a list, and the assets at their other ends, have in common."""

    relationship_type: str = ""  # empty: all
    asset_type: str = ""  # a stored type; empty: all


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedAsset:
    """An asset as it was, and when and by whom it was deleted."""

    asset: Asset
    deleted_at: datetime
    revision: int
    deleted_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotStructure:
    """A shot with all that belongs to it, as text that goes to the caller as it is."""

    shot_id: UUID
    etag: str
    document: str  # JSON text
    scenes: Sequence[UUID] = ()  # that contain it in the film, the outermost first
    position: int = 0  # in the film, from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmScene:
    """A scene of a film."""

    asset: Asset
    scenes: Sequence[UUID]  # that contain it, the outermost first
    sequence: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmHead:
    """What a film is besides its shots."""

    film: Asset
    scenes: Sequence[FilmScene]  # in playing order
    final_edits: Sequence[Related]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmPage:
    """Some shots of a film in playing order."""

    head: FilmHead | None  # on the first page
    shots: Sequence[ShotStructure]
    shot_count: int  # of the whole film
    following: Position | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotCost:
    """What a shot cost, or (without shot) what belongs to no single one."""

    shot_id: UUID | None
    name: str
    total: Decimal
    attempts: int
    deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCost:
    """What was spent on a provider's model; both empty for what names none."""

    provider: str
    model: str
    total: Decimal
    assets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmCost:
    """What a film cost, each asset once."""

    film_id: UUID
    currency: str
    total: Decimal
    unselected: Decimal
    deleted: Decimal
    shots: Sequence[ShotCost]
    providers: Sequence[ProviderCost]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionChange:
    """A change of a shot's selection."""

    take_id: UUID | None
    previous_take_id: UUID | None
    created_at: datetime
    actor: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotMetrics:
    """Production figures of a shot."""

    shot_id: UUID
    attempts: int
    mean_quality_score: float | None
    total_cost: Decimal
    currency: str
    selected_take_id: UUID | None
    selections: Sequence[SelectionChange]  # the oldest first


class What(Enum):
    """What became of something within one revision."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetNotice:
    """An asset that a revision changed, as it was at its end."""

    id: str
    what: What
    type: str
    name: str  # at most 200 characters
    etag: str  # empty where it is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationshipNotice:
    """A relationship that a revision changed, as it was at its end."""

    id: str
    what: What
    parent: str
    child: str
    type: str
    sequence: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionNotice:
    """A shot whose selection a revision changed; an empty id stands for none."""

    shot: str
    take: str
    previous: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphChange:
    """One revision of a workspace."""

    revision: int
    created_at: datetime
    actor: str
    client: str
    request_id: str
    assets: Sequence[AssetNotice]
    relationships: Sequence[RelationshipNotice]
    selections: Sequence[SelectionNotice]
    truncated: bool = False  # more changed than one message can tell


class Watch(Protocol):
    """Follows one workspace. Belongs to one task."""

    @property
    def revision(self) -> int:
        """Up to here everything was given."""

    async def next(self, seconds: float) -> Sequence[GraphChange]:
        """The next changes in order; none when there were none for so many seconds.

        Raises REVISION_TOO_OLD where they are no longer kept, DATABASE_UNAVAILABLE.
        """

    def close(self) -> None:
        """End it."""


class Watches(Protocol):
    """Tells what happens."""

    async def watch(self, workspace_id: str, after: int | None) -> Watch:
        """Follow a workspace from behind a revision on; None: from now on; 0: from the first that is kept.

        Raises REVISION_TOO_OLD for one whose changes are not kept, or that has not happened.
        """


class Reads(Protocol):
    """Answers what is asked of the graph, within what a caller may see.

    `until`: the monotonic time until which PostgreSQL may be waited for. Every method raises ASSET_NOT_FOUND for an
    asset that the scope does not hold, and DATABASE_UNAVAILABLE. Lists give pages that fit into an answer.
    """

    async def asset(self, scope: Scope, until: float, asset_id: UUID) -> Asset:
        """One asset."""

    async def assets(self, scope: Scope, until: float, asset_ids: Sequence[UUID]) -> Page[Asset]:
        """Those that there are, in any order; with a following page where they are too large for one answer."""

    async def list_assets(
        self, scope: Scope, until: float, workspace_id: str, wanted: Filter, order: Order, cut: Cut
    ) -> Page[Asset]:
        """The assets of a workspace that pass all filters."""

    async def list_deleted(self, scope: Scope, until: float, workspace_id: str, cut: Cut) -> Page[DeletedAsset]:
        """The deleted assets of a workspace, the last deleted first."""

    async def children(self, scope: Scope, until: float, parent: UUID, wanted: EndFilter, cut: Cut) -> Page[Related]:
        """What the asset is related to: by type, by sequence, those without one last and as they were made."""

    async def parents(self, scope: Scope, until: float, child: UUID, wanted: EndFilter, cut: Cut) -> Page[Related]:
        """What is related to the asset: by type and as the relationships were made."""

    async def takes(self, scope: Scope, until: float, shot: UUID, cut: Cut) -> Page[Take]:
        """The takes of a shot by attempt number."""

    async def selection(self, scope: Scope, until: float, shot: UUID) -> Selection:
        """The selected take of a shot."""

    async def shot_structure(self, scope: Scope, until: float, shot: UUID) -> ShotStructure:
        """The shot with all that belongs to it."""

    async def film_structure(self, scope: Scope, until: float, film: UUID, cut: Cut) -> FilmPage:
        """Shots of a film or scene in playing order."""

    async def film_cost(self, scope: Scope, until: float, film: UUID) -> FilmCost:
        """What a film, scene or shot cost."""

    async def shot_metrics(self, scope: Scope, until: float, shot: UUID) -> ShotMetrics:
        """Production figures of a shot."""
