"""What can be done to the graph: values that name every id, new ones included. Those of which a batch has thousands are
tuples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias
from uuid import UUID

from services.asset_graph.domain.metadata import Mode
from services.asset_graph.domain.ports import Destination, EdgeKey, NewAsset
from services.kernel.strict_json import Json

ATTEMPT, VIDEO = "generation_attempt", "generated_video"


class MakeAsset(NamedTuple):
    """Make an asset; `members` are those of its metadata."""

    asset: NewAsset
    members: Mapping[str, Json]


class Relate(NamedTuple):
    """Make a relationship."""

    id: UUID
    key: EdgeKey
    sequence: int | None = None  # None: by itself, where the type is ordered
    metadata: str = "{}"
    again: bool = False  # one that is there already is no error and stays as it is
    shot_field: str = ""  # the request field that names the parent, which then must be a shot


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeTake:
    """Make a take of a shot."""

    id: UUID
    edge_id: UUID
    shot: UUID
    attempt: int | None  # None: the next one
    selected: bool
    name: str  # empty: after the shot
    members: Mapping[str, Json]  # of its metadata, without number and selection
    generation_cost: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeVideo:
    """Make the video that a take produced."""

    edge_id: UUID
    take: UUID
    video: NewAsset  # an empty name: after the take


@dataclass(frozen=True, slots=True, kw_only=True)
class Alter:
    """Change an asset; None leaves a thing as it is."""

    id: UUID
    etag: str | None = None
    name: str | None = None
    members: Mapping[str, Json] | None = None
    mode: Mode = Mode.MERGE_PATCH
    url: str | None = None  # empty: none any more
    duration: float | Literal["none"] | None = None
    generation_cost: Decimal | Literal["none"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Delete an asset with what belongs to it."""

    id: UUID
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """End a relationship."""

    key: EdgeKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Give an ordered child another place among its siblings."""

    key: EdgeKey
    to: Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """Select a take of a shot, or none."""

    shot: UUID
    take: UUID | None
    expected: UUID | Literal["none"] | None = None  # the take that was selected; None: whichever


Addition: TypeAlias = MakeAsset | Relate | MakeTake | MakeVideo
Operation: TypeAlias = Addition | Alter | Remove | End | Move | Select


class Step(NamedTuple):
    """One change of the contract: what it does, and what its result is called."""

    operations: Sequence[Operation]
    subject: UUID | None  # the asset or relationship that it made or changed; None where it is gone
    change_index: int | None = None  # which one of a batch, from 0
