"""The values of the asset graph."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a caller may see: the workspaces that its token holds, or all (None)."""

    workspaces: frozenset[str] | None

    def holds(self, workspace_id: str) -> bool:
        """Whether the workspace is among them."""
        return self.workspaces is None or workspace_id in self.workspaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a change, for the change log and the history of selections."""

    scope: Scope
    actor: str  # name of the principal
    client: str = ""  # what the client calls itself
    request_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One asset as it is stored."""

    id: UUID
    workspace_id: str
    type: str
    name: str
    url: str | None
    duration: float | None  # seconds
    generation_cost: Decimal | None  # in the workspace's currency
    metadata: str  # JSON text of one object
    etag: str  # 32 hexadecimal digits
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Relationship:
    """A directed, typed edge between two assets of one workspace."""

    id: UUID
    workspace_id: str
    parent: UUID
    child: UUID
    type: str
    sequence: int | None  # place among the siblings of one parent and type, from 1
    metadata: str  # JSON text of one object
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """An asset at the other end of a relationship."""

    asset: Asset
    relationship_id: UUID
    relationship_type: str
    sequence: int | None
    relationship_metadata: str  # JSON text of one object


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One attempt to generate a shot, with the video that it produced."""

    asset: Asset
    shot_id: UUID | None  # None for a take that has no shot yet
    attempt_number: int  # 0 where neither edge nor metadata names one
    selected: bool
    video: Asset | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which take of a shot is selected."""

    shot_id: UUID
    take: Take | None
