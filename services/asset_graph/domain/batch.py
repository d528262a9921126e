"""Changes of one transaction, in their order, with as few statements as that order allows.

What is of one kind and follows one another is carried out together: new assets and relationships (`additions.py`),
changes of several assets, deletions, selections.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TypeVar, cast
from uuid import UUID

from services.asset_graph.domain import faults, metadata
from services.asset_graph.domain.additions import Additions, Indexed, Outcome, about_ends, must_be, name_change, rule_of
from services.asset_graph.domain.changing import (
    ATTEMPT,
    Addition,
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
from services.asset_graph.domain.model import Asset
from services.asset_graph.domain.ports import EdgeKey, Graph, NewAsset
from services.kernel.faults import Current, Fault, invalid_field
from services.kernel.strict_json import Number

MOST_SEQUENCE = 10**9  # that callers may give: there is always a next one in 32 bits

T = TypeVar("T")

_GONE = (None, "")

# Operations of one kind that follow one another are carried out together.
_KINDS = {
    MakeAsset: Addition,
    Relate: Addition,
    MakeTake: Addition,
    MakeVideo: Addition,
    Alter: Alter,
    Remove: Remove,
    End: End,
    Move: Move,
    Select: Select,
}


class Batch(Outcome):
    """Carries out steps on one graph, and knows afterwards what became of them."""

    def __init__(self, graph: Graph, *, whole: bool = True) -> None:
        """whole: answers need everything of what was made, not only its etag."""
        super().__init__()
        self._graph = graph
        self._whole = whole
        self.ended: set[EdgeKey] = set()
        self.removed: list[UUID] = []  # each asset followed by what went with it

    async def carry_out(self, steps: Iterable[Step]) -> None:
        """Carry out all steps. Faults name the step that they come from in metadata `change_index`."""
        indexed = ((step.change_index, operation) for step in steps for operation in step.operations)
        for kind, run in groupby(indexed, key=lambda each: _KINDS[type(each[1])]):
            operations = list(run)
            if kind is Addition:
                additions = Additions(self, self._graph, whole=self._whole)
                await additions.carry_out(cast(list[Indexed[Addition]], operations))
                continue
            self.lasting = False
            if kind is Alter:
                for alters in _apart([(at, each) for at, each in operations if isinstance(each, Alter)], _altered):
                    await self._alter(alters)
            elif kind is Remove:
                await self._remove([(at, each) for at, each in operations if isinstance(each, Remove)])
            elif kind is End:
                await self._end([(at, each) for at, each in operations if isinstance(each, End)])
            elif kind is Select:
                selects = [(at, each) for at, each in operations if isinstance(each, Select)]
                for group in _apart(selects, lambda wish: wish.shot):
                    await self._select(group)
            else:
                for at, each in operations:
                    assert isinstance(each, Move)
                    with _of(at):
                        await self._move(each)

    async def results(self, steps: Sequence[Step]) -> list[tuple[UUID | None, str]]:
        """What each step made or changed, as it is now: its id, None where it is gone, and the etag of an asset."""
        subjects: list[UUID | None] = []
        edges, assets = set[UUID](), set[UUID]()
        for step in steps:
            subject, operation = step.subject, step.operations[0]
            if isinstance(operation, Relate) and operation.id == subject:
                edges.add(subject)
            elif isinstance(operation, Move):
                edges.add(subject := self.relationships[operation.key].id)
            elif subject is not None and not (self.lasting and subject in self.etags):
                assets.add(subject)
            subjects.append(subject)
        etags, there = self.etags if self.lasting else {}, edges
        if assets:
            etags = {**etags, **await self._graph.etags(assets)}
        if edges and not self.lasting:
            there = set(await self._graph.relationships(edges))
        return [
            (subject, etags.get(subject, ""))
            if subject is not None and (subject in etags or subject in there)
            else _GONE
            for subject in subjects
        ]

    async def _alter(self, operations: Sequence[Indexed[Alter]]) -> None:
        known = await self._graph.known({operation.id for _, operation in operations})
        contents: list[NewAsset] = []
        for index, wish in operations:
            with _of(index):
                if (there := known.get(wish.id)) is None:
                    raise faults.asset_not_found(wish.id)
                if wish.etag and wish.etag != there.asset.etag:
                    document = await self._graph.document(wish.id)
                    raise faults.etag_mismatch(Current(etag=there.asset.etag, document_json=document))
                contents.append(_content(there.asset, there.attempt, wish))
                self.assets[wish.id] = there.asset
        written = await self._graph.update(contents)
        self.assets.update(written)

    async def _remove(self, operations: Sequence[Indexed[Remove]]) -> None:
        known = await self._graph.known({operation.id for _, operation in operations})
        gone: dict[UUID, None] = {}
        for index, wish in operations:
            with _of(index):
                there = known.get(wish.id)
                if there is None or wish.id in gone:
                    raise faults.asset_not_found(wish.id)
                if wish.etag and wish.etag != there.asset.etag:
                    document = await self._graph.document(wish.id)
                    raise faults.etag_mismatch(Current(etag=there.asset.etag, document_json=document))
                gone[wish.id] = None
                gone.update(dict.fromkeys(there.takes))
        await self._graph.remove([operation.id for _, operation in operations])
        self.removed += gone

    async def _end(self, operations: Sequence[Indexed[End]]) -> None:
        there = set(await self._graph.end({operation.key for _, operation in operations}))
        self.ended |= there
        for index, wish in operations:
            with _of(index):
                if wish.key not in there:
                    raise faults.relationship_not_found(wish.key.type, wish.key.parent, wish.key.child)
                there.remove(wish.key)

    async def _move(self, wish: Move) -> None:
        key, to = wish.key, wish.to
        if key.child in (to.after, to.before):
            raise invalid_field("place", "must be another sibling")
        moved = await self._graph.move(key, to)
        if moved.relationship is None:
            raise faults.relationship_not_found(key.type, key.parent, key.child)
        if not moved.sibling_found:
            raise faults.relationship_not_found(key.type, key.parent, to.after or to.before)
        self.relationships[key] = moved.relationship

    async def _select(self, operations: Sequence[Indexed[Select]]) -> None:
        pairs = [(operation.shot, operation.take) for _, operation in operations]
        ends = (await self._graph.ask(about_ends(shot for shot, _ in pairs))).ends
        shots, takes = await self._graph.shots(pairs)
        wanted: list[tuple[UUID, UUID | None]] = []
        for index, wish in operations:
            with _of(index):
                must_be(ends, wish.shot, "shot", "shot_id")
                selected = shots.get(wish.shot)
                if wish.expected is not None and wish.expected != (selected or "none"):
                    raise faults.selection_changed(selected or "")
                if wish.take and wish.take not in takes:
                    if not (await self._graph.ask(about_ends([wish.take]))).ends:
                        raise faults.asset_not_found(wish.take)
                    raise faults.not_a_take_of_the_shot(wish.take, wish.shot)
                if wish.take != selected:
                    wanted.append((wish.shot, wish.take))
        if wanted:
            await self._graph.select(wanted)


def must_be_movable(key: EdgeKey) -> None:
    """Raise NOT_ORDERED where children of this type have no place that could be changed."""
    if not rule_of(key.type).ordered or key.type == ATTEMPT:
        raise faults.not_ordered(key.type)


async def unlinked(graph: Graph, shot: UUID, keys: Sequence[EdgeKey]) -> int:
    """End links of a shot, as far as they are there, and say how many were."""
    must_be((await graph.ask(about_ends([shot]))).ends, shot, "shot", "shot_id")
    return len(await graph.end(keys))


def _altered(wish: Alter) -> object:
    """What two changes of assets that are written together must not have in common; None: stands alone."""
    # What is selected changes other takes.
    return None if wish.members and "selected" in wish.members else wish.id


def _apart(wishes: Iterable[Indexed[T]], by: Callable[[T], object]) -> Iterator[Sequence[Indexed[T]]]:
    """The wishes in order, in groups in which nothing comes twice."""
    group: list[Indexed[T]] = []
    seen: set[object] = set()
    for each in wishes:
        key = by(each[1])
        if key is None or key in seen or None in seen:
            if group:
                yield group
            group, seen = [], set()
        group.append(each)
        seen.add(key)
    if group:
        yield group


def _content(asset: Asset, attempt: int | None, wish: Alter) -> NewAsset:
    """An asset as it is to be."""
    document = asset.metadata
    if wish.members is not None:
        metadata.check(asset.type, wish.members)
        said = wish.members.get("attempt_number", attempt)
        if attempt is not None and not (isinstance(said, int | Number) and float(said) == attempt):
            rule = f"the attempt_number of a take that has a shot cannot be changed: it is {attempt}"
            raise faults.immutable_field("metadata_json", rule, "/attempt_number")
        document = metadata.changed(document, wish.members, wish.mode) if wish.members else document
    duration, cost = wish.duration, wish.generation_cost
    return NewAsset(
        id=asset.id,
        type=asset.type,
        name=asset.name if wish.name is None else wish.name,
        metadata=document,
        url=asset.url if wish.url is None else wish.url or None,
        duration=asset.duration if duration is None else None if duration == "none" else duration,
        generation_cost=asset.generation_cost if cost is None else None if cost == "none" else cost,
    )


@contextmanager
def _of(index: int | None) -> Iterator[None]:
    """Faults in here are those of one change of a batch."""
    try:
        yield
    except Fault as fault:
        name_change(fault, index)
        raise
