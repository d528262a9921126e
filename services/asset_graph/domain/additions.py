"""New assets and relationships that follow one another: decided one after the other from one look at what is there, and
written together. What is decided is what would be, were each made for itself.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

from services.asset_graph.domain import faults
from services.asset_graph.domain.changing import ATTEMPT, VIDEO, Addition, MakeAsset, MakeTake, MakeVideo, Relate
from services.asset_graph.domain.model import Asset, Relationship
from services.asset_graph.domain.ports import (
    EdgeKey,
    EdgeRefused,
    Graph,
    Knowledge,
    KnownEnd,
    Made,
    NewAsset,
    NewEdge,
    ParentsOf,
    Place,
    Question,
    Siblings,
)
from services.asset_graph.domain.rules import RelationshipType, relationship_type
from services.kernel.faults import Fault, invalid_field
from services.kernel.strict_json import Json, Number, dumps

MOST_NAME = 1 << 20  # bytes
_HIGHEST = 2**31 - 1  # number that the database can hold
_PAUSE = 500  # operations that are decided before others get their turn
_MANY = 100  # new assets with which the database is busy for long enough

T = TypeVar("T")
Indexed = tuple[int | None, T]  # with the index of the change of a batch, from 0


class Outcome:
    """What became of the changes of a batch."""

    def __init__(self) -> None:
        self.assets: dict[UUID, Asset] = {}  # what was made or changed, where answers need it whole
        self.etags: dict[UUID, str] = {}  # as they were when the asset was written
        self.relationships: dict[EdgeKey, Relationship] = {}  # made or met, where answers need them whole
        self.made: list[EdgeKey] = []  # relationships that are new, where answers need them whole
        self.lasting = True  # whether `etags` are those of the end


class Additions:
    """New assets and relationships that follow one another."""

    def __init__(self, outcome: Outcome, graph: Graph, *, whole: bool) -> None:
        self._outcome = outcome
        self._graph = graph
        self._whole = whole
        self._known = Knowledge.empty()
        self._assets: list[NewAsset] = []
        self._edges: list[Indexed[NewEdge]] = []
        self._new: dict[EdgeKey, UUID] = {}  # relationships that were decided here
        self._selecting: set[UUID] = set()  # shots of which a take gets selected by what is to be written
        self._early: asyncio.Future[tuple[Mapping[UUID, Made], Mapping[UUID, Relationship]]] | None = None
        self._sent: set[UUID] = set()  # assets that are being made already

    async def carry_out(self, operations: Sequence[Indexed[Addition]]) -> None:
        """Decide about each, then write all."""
        question = _question(operation for _, operation in operations)
        if question:
            self._known = await self._graph.ask(question)
            takes = any(each.type == ATTEMPT for each in question.siblings)
            if takes and (places := _wished_places(operations, self._known) - question.places):
                more = await self._graph.ask(replace(Question.empty(), places=places))
                self._known.places.update(more.places)
                self._known.former.update(more.former)
        await self._begin_early(operations)
        index = None
        try:
            for place, (index, operation) in enumerate(operations):
                if place % _PAUSE == _PAUSE - 1:
                    await asyncio.sleep(0)
                if isinstance(operation, MakeAsset):
                    self._make(operation.asset, operation.members)
                elif isinstance(operation, Relate):
                    await self._relate(index, operation)
                elif isinstance(operation, MakeTake):
                    await self._make_take(index, operation)
                else:
                    self._make_video(index, operation)
            await self._write()
        except Fault as fault:
            name_change(fault, index)
            raise
        finally:
            if self._early:  # not needed any more, and a transaction cannot be ended in the middle of a statement
                self._early.cancel()
                await asyncio.gather(self._early, return_exceptions=True)

    async def _begin_early(self, operations: Sequence[Indexed[Addition]]) -> None:
        """Let the database work on many new assets, which are no matter of decision, while the rest is decided."""
        assets = [each.asset for _, each in operations if isinstance(each, MakeAsset)]
        if len(assets) >= _MANY:
            self._early = asyncio.ensure_future(self._graph.add(assets, [], whole=self._whole))
            self._sent.update(asset.id for asset in assets)
            await asyncio.sleep(0)

    def _make(self, asset: NewAsset, members: Mapping[str, Json]) -> None:
        take: Mapping[str, Json] = members if asset.type == "shot_take" else {}
        number = take.get("attempt_number")
        if asset.id not in self._sent:
            self._assets.append(asset)
        self._known.ends[asset.id] = KnownEnd(
            type=asset.type,
            name=asset.name,
            wished_attempt=int(float(number)) if isinstance(number, Number) else None,
            wished_selected=take.get("selected") is True,
        )

    async def _relate(self, index: int | None, wish: Relate) -> None:
        key, rule, known = wish.key, rule_of(wish.key.type), self._known
        if wish.shot_field:
            must_be(known.ends, key.parent, "shot", wish.shot_field)
        for end in (key.parent, key.child):
            if end not in known.ends:
                raise faults.asset_not_found(end)
        parent, child = known.ends[key.parent], known.ends[key.child]
        if key.parent == key.child:
            raise invalid_field("child_asset_id", "must not be the parent")
        if not rule.allows(parent.type, child.type):
            raise faults.type_mismatch(key.type, parent.type, child.type)
        if there := known.edges.get(key):
            if not wish.again:
                raise faults.relationship_exists(key.type, there.id)
            self._outcome.relationships[key] = there
            return
        if new := self._new.get(key):
            if not wish.again:
                raise faults.relationship_exists(key.type, new)
            return
        if rule.max_parents or rule.max_children:
            self._check_counts(key, rule)
        if key.type == ATTEMPT:
            sequence: int | None = self._attempt(key, wish.sequence, child.wished_attempt)
            if child.wished_selected:
                await self._selects(key.parent)
        elif wish.sequence is None and not rule.ordered:
            sequence = None
        else:
            sequence = self._place(key, wish.sequence)
        self._add_edge(index, NewEdge(wish.id, key, sequence, wish.metadata), rule)

    async def _make_take(self, index: int | None, wish: MakeTake) -> None:
        shot = must_be(self._known.ends, wish.shot, "shot", "shot_id")
        siblings = Siblings(wish.shot, ATTEMPT)
        last = self._known.last.get(siblings, 0)
        number = last + 1 if wish.attempt is None else wish.attempt
        place = Place(wish.shot, ATTEMPT, number)
        if number > _HIGHEST:
            raise invalid_field("attempt_number", "the highest number is taken: give one that is free")
        if place in self._known.places or place in self._known.former:
            raise faults.attempt_exists(number, last)
        members: dict[str, Json] = {**wish.members, "attempt_number": Number(number)}
        if wish.selected:
            members["selected"] = True
            await self._selects(wish.shot)
        elif members.get("selected"):
            members["selected"] = False
        asset = NewAsset(
            id=wish.id,
            type="shot_take",
            name=wish.name or _named(shot.name, f" - Take {number}"),
            metadata=dumps(members),
            generation_cost=wish.generation_cost,
        )
        self._make(asset, members)
        self._add_edge(index, NewEdge(wish.edge_id, EdgeKey(wish.shot, wish.id, ATTEMPT), number), rule_of(ATTEMPT))

    def _make_video(self, index: int | None, wish: MakeVideo) -> None:
        take = must_be(self._known.ends, wish.take, "shot_take", "take_id")
        if there := self._known.children.get(Siblings(wish.take, VIDEO)):
            raise faults.relationship_exists(VIDEO, there, "the take has a video already")
        video = wish.video if wish.video.name else wish.video._replace(name=_named(take.name, " Video"))
        self._make(video, {})
        self._add_edge(index, NewEdge(wish.edge_id, EdgeKey(wish.take, video.id, VIDEO), None), rule_of(VIDEO))

    def _check_counts(self, key: EdgeKey, rule: RelationshipType) -> None:
        if rule.max_parents and (there := self._known.parents.get(ParentsOf(key.child, key.type))):
            raise faults.relationship_exists(key.type, there, f"the child has a parent by {key.type} already")
        if rule.max_children and (there := self._known.children.get(Siblings(key.parent, key.type))):
            raise faults.relationship_exists(key.type, there, f"the parent has a child by {key.type} already")

    def _attempt(self, key: EdgeKey, asked: int | None, said: int | None) -> int:
        """The attempt number of a take that gets its shot."""
        if asked is not None and said is not None and asked != said:
            raise faults.attempt_number_mismatch(asked, said)
        number = self._place(key, said if asked is None else asked)
        # A take that comes back to its shot has its own number.
        if self._known.former.get(Place(key.parent, key.type, number), key.child) != key.child:
            raise faults.attempt_exists(number, self._known.last.get(Siblings(key.parent, key.type), 0))
        return number

    def _place(self, key: EdgeKey, asked: int | None) -> int:
        if asked is None:
            asked = self._known.last.get(Siblings(key.parent, key.type), 0) + 1
            if asked > _HIGHEST:
                raise invalid_field("sequence", "the highest number is taken: give one that is free")
        if Place(key.parent, key.type, asked) in self._known.places:
            raise faults.sequence_taken(key.type, asked)
        return asked

    async def _selects(self, shot: UUID) -> None:
        """A take of the shot is going to be selected: one at a time, as it would be one after the other."""
        if shot in self._selecting:
            await self._write()
        self._selecting.add(shot)

    def _add_edge(self, index: int | None, edge: NewEdge, rule: RelationshipType) -> None:
        key, known = edge.key, self._known
        self._edges.append((index, edge))
        self._new[key] = edge.id
        siblings = Siblings(key.parent, key.type)
        if edge.sequence is not None:
            known.places[Place(key.parent, key.type, edge.sequence)] = key.child
            known.last[siblings] = max(edge.sequence, known.last.get(siblings, 0))
        if rule.max_parents:
            known.parents[ParentsOf(key.child, key.type)] = edge.id
        if rule.max_children:
            known.children[siblings] = edge.id

    async def _write(self) -> None:
        if self._early:
            early, self._early = self._early, None
            made, _ = await early
            self._note(made)
        assets, edges = self._assets, self._edges
        self._assets, self._edges, self._selecting = [], [], set()
        if not assets and not edges:
            return
        try:
            made, related = await self._graph.add(assets, [edge for _, edge in edges], whole=self._whole)
        except EdgeRefused as refused:
            name_change(refused.fault, edges[refused.position][0])
            raise refused.fault from None
        if any(edge.key.type == ATTEMPT for _, edge in edges):
            self._outcome.lasting = False
        self._note(made)
        for _, edge in edges if self._whole else ():
            self._outcome.relationships[edge.key] = related[edge.id]
            self._outcome.made.append(edge.key)

    def _note(self, made: Mapping[UUID, Made]) -> None:
        self._outcome.etags.update((asset_id, each.etag) for asset_id, each in made.items())
        if self._whole:
            self._outcome.assets.update((asset_id, each.asset) for asset_id, each in made.items() if each.asset)


def _question(operations: Iterable[Addition]) -> Question:
    """What has to be known of what was there before."""
    asked, new = Question.empty(), set[UUID]()
    for operation in operations:
        if isinstance(operation, MakeAsset):
            new.add(operation.asset.id)
        elif isinstance(operation, MakeTake):
            new.add(operation.id)
            if operation.shot not in new:
                asked.ends.add(operation.shot)
                if not operation.name:
                    asked.named.add(operation.shot)
                asked.siblings.add(Siblings(operation.shot, ATTEMPT))
                if operation.attempt is not None:
                    asked.places.add(Place(operation.shot, ATTEMPT, operation.attempt))
        elif isinstance(operation, MakeVideo):
            new.add(operation.video.id)
            if operation.take not in new:
                asked.ends.add(operation.take)
                if not operation.video.name:
                    asked.named.add(operation.take)
                asked.children.add(Siblings(operation.take, VIDEO))
        else:
            _ask_about(operation, new, asked)
    return asked


def _ask_about(wish: Relate, new: set[UUID], asked: Question) -> None:
    key, rule = wish.key, rule_of(wish.key.type)
    parent_is_new = key.parent in new
    if key.child not in new:
        asked.ends.add(key.child)
        if not parent_is_new:
            asked.edges.add(key)
        if rule.max_parents:
            asked.parents.add(ParentsOf(key.child, key.type))
    if not parent_is_new:
        asked.ends.add(key.parent)
        siblings = Siblings(key.parent, key.type)
        if rule.ordered and (wish.sequence is None or key.type == ATTEMPT):
            asked.siblings.add(siblings)
        if rule.max_children:
            asked.children.add(siblings)
        if wish.sequence is not None:
            asked.places.add(Place(key.parent, key.type, wish.sequence))


def _wished_places(operations: Iterable[Indexed[Addition]], known: Knowledge) -> set[Place]:
    """Attempt numbers that takes bring along to shots that were there before."""
    places = set[Place]()
    wished = dict[UUID, int]()
    for _, each in operations:
        if isinstance(each, MakeAsset):
            if each.asset.type == "shot_take" and isinstance(number := each.members.get("attempt_number"), Number):
                wished[each.asset.id] = int(float(number))
        elif isinstance(each, Relate) and each.key.type == ATTEMPT and each.sequence is None:
            end = known.ends.get(each.key.child)
            said = wished.get(each.key.child) or (end.wished_attempt if end else None)
            if said is not None and each.key.parent in known.ends:
                places.add(Place(each.key.parent, ATTEMPT, said))
    return places


def about_ends(ids: Iterable[UUID]) -> Question:
    return replace(Question.empty(), ends=set(ids))


def must_be(ends: dict[UUID, KnownEnd], asset_id: UUID, wanted: str, field: str) -> KnownEnd:
    """What is known of an asset that a field names, which must be of a type."""
    if (end := ends.get(asset_id)) is None:
        raise faults.asset_not_found(asset_id)
    if end.type != wanted:
        raise invalid_field(field, f"must be a {wanted}, and this is a {end.type}")
    return end


def rule_of(name: str) -> RelationshipType:
    if (rule := relationship_type(name)) is None:
        raise faults.unknown_relationship_type("relationship_type")
    return rule


def _named(of: str, suffix: str) -> str:
    """A name made of another one, which may be as long as a name can be."""
    if len(of) * 4 + len(suffix) > MOST_NAME:
        of = of.encode()[: MOST_NAME - len(suffix)].decode(errors="ignore")
    return of + suffix


def name_change(fault: Fault, index: int | None) -> None:
    if index is not None:
        faults.in_batch(fault, index)
