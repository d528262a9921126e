"""What changes need of the place where the graph is kept."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, Protocol
from uuid import UUID

from services.asset_graph.domain.model import Asset, Caller, Relationship, Selection
from services.kernel.faults import Fault


class NewAsset(NamedTuple):
    """An asset to be made. A tuple, since there may be thousands, which are made in half the time."""

    id: UUID
    type: str
    name: str
    metadata: str = "{}"  # JSON text of one object
    url: str | None = None
    duration: float | None = None
    generation_cost: Decimal | None = None


class EdgeKey(NamedTuple):
    """Names one relationship by what it is."""

    parent: UUID
    child: UUID
    type: str


class NewEdge(NamedTuple):
    """A relationship to be made. All that its rule asks for is given."""

    id: UUID
    key: EdgeKey
    sequence: int | None
    metadata: str = "{}"


class Siblings(NamedTuple):
    """The relationships of one type that a parent has."""

    parent: UUID
    type: str


class Place(NamedTuple):
    """One place among siblings."""

    parent: UUID
    type: str
    sequence: int


class ParentsOf(NamedTuple):
    """The relationships of one type by which a child has parents."""

    child: UUID
    type: str


class KnownEnd(NamedTuple):
    """What is known of an asset that a new relationship is for."""

    type: str
    name: str  # only where asked for
    wished_attempt: int | None = None  # the attempt number that its metadata names
    wished_selected: bool = False  # its metadata says `selected`


@dataclass(slots=True, kw_only=True)
class Question:
    """What has to be known before relationships are made. Everything once."""

    ends: set[UUID]
    named: set[UUID]  # of the ends, those whose name is needed
    edges: set[EdgeKey]  # are they there?
    siblings: set[Siblings]  # what is the highest number?
    places: set[Place]  # are they taken?
    parents: set[ParentsOf]  # has the child one?
    children: set[Siblings]  # has the parent one?

    @classmethod
    def empty(cls) -> "Question":
        """Nothing is asked yet."""
        return cls(ends=set(), named=set(), edges=set(), siblings=set(), places=set(), parents=set(), children=set())

    def __bool__(self) -> bool:
        return bool(self.ends or self.edges or self.siblings or self.places or self.parents or self.children)


@dataclass(slots=True, kw_only=True)
class Knowledge:
    """The answer to a question; what is not there has no entry."""

    ends: dict[UUID, KnownEnd]
    edges: dict[EdgeKey, Relationship]
    last: dict[Siblings, int]  # of generation_attempt the highest that was ever given
    places: dict[Place, UUID]  # who stands there: the child
    former: dict[Place, UUID]  # attempt numbers that were given and are free: the take that had it
    parents: dict[ParentsOf, UUID]  # the relationship
    children: dict[Siblings, UUID]  # the relationship

    @classmethod
    def empty(cls) -> "Knowledge":
        """Nothing is there."""
        return cls(ends={}, edges={}, last={}, places={}, former={}, parents={}, children={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An asset that is there, and what decides about its change."""

    asset: Asset
    attempt: int | None  # number of its attempt, of a take that has a shot
    takes: Sequence[UUID]  # of a shot: they go with it


class Made(NamedTuple):
    """What the database made of a new asset."""

    etag: str
    asset: Asset | None  # where all of it was asked for


class EdgeRefused(Exception):
    """A relationship that the database refuses: which of those given, from 0, and why."""

    def __init__(self, position: int, fault: Fault) -> None:
        super().__init__(position, fault)
        self.position = position
        self.fault = fault


class Graph(Protocol):
    """One workspace while it is changed, whose lock is held. Statements of many rows, none of them twice."""

    async def ask(self, question: Question) -> Knowledge:
        """What is there."""

    async def add(
        self, assets: Sequence[NewAsset], edges: Sequence[NewEdge], *, whole: bool
    ) -> tuple[Mapping[UUID, Made], Mapping[UUID, Relationship]]:
        """Make assets and relationships, by id. `whole`: all of them, not only etags.

        Raises EdgeRefused where it would close a cycle.
        """

    async def known(self, ids: Collection[UUID]) -> Mapping[UUID, Known]:
        """Those of the assets that are there."""

    async def document(self, asset_id: UUID) -> str:
        """An asset as callers get it in a conflict: JSON text."""

    async def update(self, assets: Sequence[NewAsset]) -> Mapping[UUID, Asset]:
        """Give assets this content; answers those whose content is another one than before."""

    async def remove(self, ids: Collection[UUID]) -> None:
        """Delete assets, with what belongs to them."""

    async def restore(self, asset_id: UUID) -> bool:
        """Bring a deleted asset back with what went with it; False where none was deleted."""

    async def end(self, keys: Collection[EdgeKey]) -> Collection[EdgeKey]:
        """End relationships; answers those that were there."""

    async def move(self, key: EdgeKey, to: "Destination") -> "Moved":
        """Give a relationship another place among its siblings."""

    async def shots(
        self, pairs: Sequence[tuple[UUID, UUID | None]]
    ) -> tuple[Mapping[UUID, UUID | None], Collection[UUID]]:
        """Of pairs of shots and takes: what is selected in each shot, and the takes that are takes of their shot."""

    async def select(self, pairs: Sequence[tuple[UUID, UUID | None]]) -> None:
        """Select takes of shots, or none."""

    async def selection(self, shot_id: UUID) -> Selection:
        """The selected take of a shot as it is now."""

    async def etags(self, ids: Collection[UUID]) -> Mapping[UUID, str]:
        """Of those assets that are there."""

    async def relationships(self, ids: Collection[UUID]) -> Collection[UUID]:
        """Those of the relationships that are there."""

    async def revision(self) -> int:
        """The revision of this change; 0 as long as nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a child is to stand. Exactly one of these."""

    after: UUID | None = None  # the sibling's child
    before: UUID | None = None
    position: int | None = None  # from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What became of a move."""

    relationship: Relationship | None  # None where there is none
    sibling_found: bool  # whether the one to stand beside is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The workspace of a change: the one named, else that of an asset."""

    workspace_id: str | None = None
    asset_id: UUID | None = None


Work = Callable[[Graph], Awaitable[bytes]]


class Changes(Protocol):
    """The graph as it is changed: one transaction and one revision for each change."""

    def make_id(self, data: bytes) -> UUID:
        """A UUID of its 16 bytes, of the kind that is handled fastest: a batch has thousands."""

    async def once(self, caller: Caller, digest: bytes, until: float, where: Where, work: Work) -> bytes:
        """Carry out a change and keep its answer under the caller's request id; the same again is answered from there.

        `work` may run several times, each on a graph of its own; only the last one stays. until: monotonic time.
        Raises ASSET_NOT_FOUND for a place that the scope does not hold, REQUEST_ID_REUSED, TRANSACTION_ABORTED,
        DATABASE_UNAVAILABLE, DISK_FULL, READ_ONLY, and what the work raises.
        """
