"""Random changes, one by one and in batches, against a model in plain Python."""

import json
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.asset_graph.domain.rules import relationship_type
from services.kernel.faults import Fault
from tests.asset_graph.reads.serving import Client

pytestmark = pytest.mark.asyncio(loop_scope="module")

TYPES = ("film", "scene", "shot", "shot_take", "audio", "character_ref")
RELATIONSHIPS = ("contains_scene", "contains_shot", "uses_audio", "uses_character", "uses_asset", "generation_attempt")


class Refused(Exception):
    """What the model refuses, and why."""


@dataclass
class Model:
    """The graph as it should be: assets by the order in which they were made."""

    types: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    wishes: dict[int, int] = field(default_factory=dict)  # attempt numbers of takes
    edges: dict[tuple[int, int, str], int | None] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)  # attempt numbers of shots
    used: dict[tuple[int, int], int] = field(default_factory=dict)  # shot and number → take
    chosen: dict[int, int] = field(default_factory=dict)  # shot → take
    made: int = 0

    def new(self, kind: str, name: str) -> int:
        self.made += 1
        self.types[self.made], self.names[self.made] = kind, name
        return self.made

    def there(self, *ids: int) -> None:
        if any(each not in self.types for each in ids):
            raise Refused("ASSET_NOT_FOUND")

    def siblings(self, parent: int, kind: str) -> list[tuple[int, int]]:
        """Numbers and children, in order."""
        return sorted(
            (number, child)
            for (above, child, each), number in self.edges.items()
            if above == parent and each == kind and number is not None
        )

    def relate(self, parent: int, child: int, kind: str) -> None:
        self.there(parent, child)
        if parent == child:
            raise Refused("INVALID_FIELD")
        rule = relationship_type(kind)
        assert rule is not None
        if not rule.allows(self.types[parent], self.types[child]):
            raise Refused("RELATIONSHIP_TYPE_MISMATCH")
        if (parent, child, kind) in self.edges:
            raise Refused("RELATIONSHIP_EXISTS")
        if rule.max_parents and any(below == child and each == kind for _, below, each in self.edges):
            raise Refused("RELATIONSHIP_EXISTS")
        number = None
        if kind == "generation_attempt":
            number = self.wishes.get(child) or self.last.get(parent, 0) + 1
            if any(number == other for other, _ in self.siblings(parent, kind)):
                raise Refused("SEQUENCE_TAKEN")
            if self.used.get((parent, number), child) != child:
                raise Refused("ATTEMPT_EXISTS")
            self.attempt(parent, child, number)
        elif rule.ordered:
            number = max((number for number, _ in self.siblings(parent, kind)), default=0) + 1
        if rule.acyclic and self.leads(child, parent):
            raise Refused("CYCLE")
        self.edges[parent, child, kind] = number

    def leads(self, start: int, goal: int) -> bool:
        below = {child for parent, child, kind in self.edges if parent == start and kind.startswith("contains")}
        return start == goal or any(self.leads(each, goal) for each in below)

    def attempt(self, shot: int, take: int, number: int) -> None:
        self.last[shot] = max(number, self.last.get(shot, 0))
        self.used[shot, number] = take
        self.wishes[take] = number

    def take(self, shot: int, selected: bool) -> int:
        self.must_be_a_shot(shot)
        number = self.last.get(shot, 0) + 1
        take = self.new("shot_take", f"{self.names[shot]} - Take {number}")
        self.attempt(shot, take, number)
        self.edges[shot, take, "generation_attempt"] = number
        if selected:
            self.chosen[shot] = take
        return take

    def must_be_a_shot(self, shot: int) -> None:
        self.there(shot)
        if self.types[shot] != "shot":
            raise Refused("INVALID_FIELD")

    def select(self, shot: int, take: int | None) -> None:
        self.must_be_a_shot(shot)
        if take is None:
            self.chosen.pop(shot, None)
            return
        if (shot, take, "generation_attempt") not in self.edges:
            self.there(take)
            raise Refused("NOT_A_TAKE_OF_THE_SHOT")
        self.chosen[shot] = take

    def delete(self, asset: int) -> None:
        self.there(asset)
        takes = [take for _, take in self.siblings(asset, "generation_attempt")]
        for each in (asset, *takes):
            del self.types[each]
            self.edges = {key: number for key, number in self.edges.items() if each not in key[:2]}
            self.chosen = {shot: take for shot, take in self.chosen.items() if each not in (shot, take)}

    def end(self, parent: int, child: int, kind: str) -> None:
        if (parent, child, kind) not in self.edges:
            raise Refused("RELATIONSHIP_NOT_FOUND")
        del self.edges[parent, child, kind]
        if self.chosen.get(parent) == child:
            del self.chosen[parent]

    def move(self, parent: int, child: int, kind: str, place: int) -> None:
        rule = relationship_type(kind)
        assert rule is not None
        if not rule.ordered or kind == "generation_attempt":
            raise Refused("NOT_ORDERED")
        if (parent, child, kind) not in self.edges:
            raise Refused("RELATIONSHIP_NOT_FOUND")
        siblings = self.siblings(parent, kind)
        order = [each for _, each in siblings if each != child]
        order.insert(place - 1, child)
        for (number, _), each in zip(siblings, order, strict=True):
            self.edges[parent, each, kind] = number

    def rename(self, asset: int, name: str) -> None:
        self.there(asset)
        self.names[asset] = name


Step = tuple[Any, ...]
NUMBERS = st.integers(1, 14)
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("new"), st.sampled_from(TYPES), st.sampled_from("xyz")),
    st.tuples(st.just("take"), NUMBERS, st.booleans()),
    st.tuples(st.just("relate"), NUMBERS, NUMBERS, st.sampled_from(RELATIONSHIPS)),
    st.tuples(st.just("select"), NUMBERS, st.none() | NUMBERS),
    st.tuples(st.just("rename"), NUMBERS, st.sampled_from("xyz")),
    st.tuples(st.just("delete"), NUMBERS),
    st.tuples(st.just("end"), NUMBERS, NUMBERS, st.sampled_from(RELATIONSHIPS)),
    st.tuples(st.just("move"), NUMBERS, NUMBERS, st.sampled_from(RELATIONSHIPS), st.integers(1, 5)),
)
# What makes the others meaningful comes first: a film, shots, a scene, takes, something to use.
BEGINNING: tuple[Step, ...] = (
    ("new", "film", "f"),
    ("new", "scene", "c"),
    ("new", "shot", "s"),
    ("new", "shot", "t"),
    ("new", "audio", "a"),
    ("new", "shot_take", "u"),
    ("relate", 1, 2, "contains_scene"),
    ("take", 3, True),
    ("relate", 2, 3, "contains_shot"),
    ("relate", 2, 4, "contains_shot"),
)


def change(step: Step, ids: dict[int, str]) -> dict[str, Any]:
    """A step as ApplyChanges has it."""
    kind, *rest = step

    def named(number: int | None) -> str:
        return "" if number is None else ids.get(number, f"00000000-0000-7000-8000-{number:012}")

    def key(parent: int, child: int, relationship: str) -> dict[str, str]:
        return {
            "parent_asset_id": named(parent),
            "child_asset_id": named(child),
            "relationship_type": relationship,
        }

    match kind:
        case "new":
            return {"create_asset": {"type": rest[0], "name": rest[1]}}
        case "take":
            return {"create_shot_take": {"shot_id": named(rest[0]), "selected": rest[1]}}
        case "relate":
            return {"create_relationship": key(*rest)}
        case "select":
            return {"select_take": {"shot_id": named(rest[0]), "take_id": named(rest[1])}}
        case "rename":
            return {"update_asset": {"id": named(rest[0]), "name": rest[1]}}
        case "delete":
            return {"delete_asset": {"id": named(rest[0])}}
        case "end":
            return {"delete_relationship": {"key": key(*rest)}}
        case _:
            return {"move_relationship": {"key": key(*rest[:3]), "position": rest[3]}}


METHODS = {
    "create_asset": "CreateAsset",
    "create_shot_take": "CreateShotTake",
    "create_relationship": "CreateRelationship",
    "select_take": "SelectTake",
    "update_asset": "UpdateAsset",
    "delete_asset": "DeleteAsset",
    "delete_relationship": "DeleteRelationship",
    "move_relationship": "MoveRelationship",
}


def expected(model: Model, step: Step) -> str | None:
    """Make the step in the model; the reason for which it is refused."""
    try:
        getattr(model, step[0])(*step[1:])
    except Refused as refused:
        return str(refused)
    return None


async def one_by_one(client: Client, steps: list[Step], model: Model, ids: dict[int, str]) -> None:
    for step in steps:
        before = model.made
        reason = expected(model, step)
        ((kind, fields),) = change(step, ids).items()
        if kind == "create_asset":
            fields = {**fields, "workspace_id": client.workspace}
        if reason is not None:
            with pytest.raises(Fault) as caught:
                await getattr(client, METHODS[kind])(**fields)
            assert caught.value.reason == reason, step
            continue
        answer = await getattr(client, METHODS[kind])(**fields)
        if model.made > before:
            ids[model.made] = answer.asset.id if kind == "create_shot_take" else answer.id


async def at_once(client: Client, steps: list[Step], model: Model, ids: dict[int, str]) -> None:
    """All steps that the model takes as one batch; before that, the same with one that it refuses in between."""
    taken: list[dict[str, Any]] = []
    refusals: list[tuple[int, dict[str, Any], str]] = []
    known, names = dict(ids), {}
    for step in steps:
        before = model.made
        made = change(step, known)
        if reason := expected(model, step):
            refusals.append((len(taken), made, reason))
            continue
        if model.made > before:
            temp_id = f"${model.made}"
            known[model.made], names[len(taken)] = temp_id, model.made
            made = {"temp_id": temp_id, **made}
        taken.append(made)
    if refusals:
        index, bad, reason = refusals[len(refusals) // 2]
        with pytest.raises(Fault) as caught:
            await client.ApplyChanges(workspace_id=client.workspace, changes=[*taken[:index], bad, *taken[index:]])
        assert (caught.value.reason, caught.value.metadata["change_index"]) == (reason, str(index)), bad
    if not taken:
        return
    answer = await client.ApplyChanges(workspace_id=client.workspace, changes=taken)
    result_ids = {number: answer.results[place].id for place, number in names.items()}
    ids.update({number: text for number, text in result_ids.items() if text})


async def check(operator: asyncpg.Connection, workspace: str, model: Model, ids: dict[int, str]) -> None:
    """The database is as the model says."""
    rows = await operator.fetch("SELECT id, type, name, asset_metadata FROM assets WHERE workspace_id = $1", workspace)
    there = {str(row["id"]): row for row in rows}
    assert {text: (row["type"], row["name"]) for text, row in there.items()} == {
        ids[number]: (kind, model.names[number]) for number, kind in model.types.items()
    }
    edges = await operator.fetch(
        "SELECT parent_asset_id, child_asset_id, relationship_type, sequence FROM asset_relationships"
        " WHERE workspace_id = $1",
        workspace,
    )
    assert {(str(row[0]), str(row[1]), row[2]): row[3] for row in edges} == {
        (ids[parent], ids[child], kind): number for (parent, child, kind), number in model.edges.items()
    }
    pointers = await operator.fetch(
        "SELECT shot_id, selected_take_id FROM shot_state WHERE workspace_id = $1 AND selected_take_id IS NOT NULL",
        workspace,
    )
    chosen = {ids[shot]: ids[take] for shot, take in model.chosen.items()}
    assert {str(row[0]): str(row[1]) for row in pointers} == chosen
    flagged = {text for text, row in there.items() if json.loads(row["asset_metadata"]).get("selected") is True}
    placed = {ids[child] for _, child, kind in model.edges if kind == "generation_attempt"}
    assert flagged & placed == set(chosen.values())
    last, rows = await operator.fetchval("SELECT revision FROM workspaces WHERE id = $1", workspace), []
    rows = await operator.fetch(
        "SELECT DISTINCT revision FROM change_log WHERE workspace_id = $1 ORDER BY 1", workspace
    )
    assert [row[0] for row in rows] == list(range(1, last + 1))


_COUNT = iter(range(1_000_000))
LISTS = st.lists(STEPS, min_size=1, max_size=25)
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


async def _run(client: Client, operator: asyncpg.Connection, single: list[Step], batch: list[Step]) -> None:
    client.workspace = f"model-{next(_COUNT)}"
    model, ids = Model(), dict[int, str]()
    await at_once(client, list(BEGINNING), model, ids)
    await one_by_one(client, single, model, ids)
    await at_once(client, batch, model, ids)
    await check(operator, client.workspace, model, ids)


@settings(max_examples=25, deadline=None, suppress_health_check=QUIET, phases=[Phase.explicit, Phase.generate])
@given(single=LISTS, batch=LISTS)
async def test_changes_do_as_the_model(
    client: Client, operator: asyncpg.Connection, single: list[Step], batch: list[Step]
) -> None:
    await _run(client, operator, single, batch)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=1500, deadline=None, suppress_health_check=QUIET)
@given(single=LISTS, batch=LISTS)
async def test_many_changes_do_as_the_model(
    client: Client, operator: asyncpg.Connection, single: list[Step], batch: list[Step]
) -> None:
    await _run(client, operator, single, batch)
