"""C1: a film's cost is the sum over everything that it contains or uses, each asset once, in exact decimals."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from tests.asset_graph.reads.films import Draft
from tests.asset_graph.reads.serving import Client, Serving

SEED_QUERY = """
SELECT SUM(a.generation_cost) as total_cost
FROM assets_v2 a
JOIN asset_relationships r ON r.child_asset_id = a.id
WHERE r.parent_asset_id = $1
  AND a.generation_cost IS NOT NULL;
"""
MODELS = [("minimax", "video-01"), ("minimax", "video-02"), ("runway", "gen-4"), ("", "")]


@dataclass
class Model:
    """A film in Python: what it is made of, and its cost by the plainest possible walk."""

    kinds: dict[str, str] = field(default_factory=lambda: {"film": "film"})
    costs: dict[str, Decimal] = field(default_factory=dict)
    params: dict[str, tuple[str, str]] = field(default_factory=dict)  # of takes
    edges: list[tuple[str, str, str]] = field(default_factory=list)
    selected: dict[str, str] = field(default_factory=dict)  # take by shot
    deleted: set[str] = field(default_factory=set)

    def children(self, parents: Iterable[str], *types: str) -> set[str]:
        wanted = set(parents)
        return {child for parent, kind, child in self.edges if parent in wanted and kind in types}

    def walk(self, top: str) -> set[str]:
        found = {top}
        while more := self.children(found, "contains_scene", "contains_shot") - found:
            found |= more
        return found

    def cost(self, top: str) -> dict[str, Any]:
        parts = self.walk(top)
        shots = {each for each in parts if self.kinds[each] == "shot"}
        owners: dict[str, set[str]] = defaultdict(set)
        made_by = {}
        for shot in shots:
            owners[shot] = {shot}
            for take in self.children([shot], "generation_attempt"):
                for each in {take} | self.children([take], "generated_video"):
                    owners[each] = {shot}
                    made_by[each] = take
        for shot in shots:
            for used in self.children([shot], "uses_character", "uses_audio", "uses_asset", "uses_script"):
                if used not in made_by and used not in parts:
                    owners[used].add(shot)
        everything = parts | owners.keys() | self.children([top], "final_edit")
        priced = {each: self.costs[each] for each in everything if each in self.costs}
        chosen = set(self.selected.values()) - self.deleted
        by_shot: dict[str, Decimal] = dict.fromkeys(shots, Decimal(0))
        by_model: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
        for each, amount in priced.items():
            (owner,) = owners[each] if len(owners[each]) == 1 else ("",)
            by_shot[owner] = by_shot.get(owner, Decimal(0)) + amount
            by_model[self.params.get(made_by.get(each, ""), ("", ""))].append(amount)
        unselected = [amount for each, amount in priced.items() if made_by.get(each, "") not in chosen | {""}]
        return {
            "total": sum(priced.values(), Decimal(0)),
            "unselected": sum(unselected, Decimal(0)),
            "deleted": sum((amount for each, amount in priced.items() if each in self.deleted), Decimal(0)),
            "shots": by_shot,
            "models": {key: (sum(amounts), len(amounts)) for key, amounts in by_model.items()},
            "attempts": {shot: len(self.children([shot], "generation_attempt")) for shot in shots},
        }


amounts = (
    st.none() | st.decimals("0", "999999999999999", places=12) | st.sampled_from([Decimal("0.1"), Decimal("0.50")])
)


@st.composite
def films(draw: st.DrawFn) -> Model:
    model = Model()

    def add(name: str, kind: str) -> str:
        model.kinds[name] = kind
        if (amount := draw(amounts)) is not None:
            model.costs[name] = amount
        return name

    scenes = [add(f"scene{number}", "scene") for number in range(draw(st.integers(0, 3)))]
    for number, scene in enumerate(scenes):
        for parent in draw(st.sets(st.sampled_from(["film", *scenes[:number]]), max_size=2)):
            model.edges.append((parent, "contains_scene", scene))
    used = [add(f"hero{number}", "character_ref") for number in range(2)] + [
        add("music", "audio"),
        add("still", "image"),
    ]
    for number in range(draw(st.integers(0, 4))):
        shot = add(f"shot{number}", "shot")
        for parent in draw(st.sets(st.sampled_from(["film", *scenes]), max_size=2)):
            model.edges.append((parent, "contains_shot", shot))
        for each in draw(st.sets(st.sampled_from(used))):
            model.edges.append((shot, "uses_asset", each))
        for attempt in range(draw(st.integers(0, 3))):
            take = add(f"{shot}take{attempt}", "shot_take")
            model.params[take] = draw(st.sampled_from(MODELS))
            model.edges.append((shot, "generation_attempt", take))
            if draw(st.booleans()):
                model.edges.append((take, "generated_video", add(f"{take}video", "video")))
        takes = sorted(model.children([shot], "generation_attempt"))
        if takes and draw(st.booleans()):
            model.selected[shot] = draw(st.sampled_from(takes))
    if draw(st.booleans()):
        model.edges.append(("film", "final_edit", add("edit", "video")))
    # A shot may use what another one made.
    for shot in [name for name, kind in model.kinds.items() if kind == "shot"]:
        others = [name for name, kind in model.kinds.items() if kind in ("video", "shot", "scene") and name != shot]
        if others and draw(st.integers(0, 4)) == 0:
            model.edges.append((shot, "uses_asset", draw(st.sampled_from(sorted(others)))))
    names = sorted(model.kinds.keys() - {"film"})
    if names:
        for name in draw(st.lists(st.sampled_from(names), unique=True, max_size=4)):
            model.deleted.add(name)
            if model.kinds[name] == "shot":
                model.deleted |= model.children([name], "generation_attempt")
    return model


async def build(client: Client, model: Model, order: list[str]) -> dict[str, str]:
    """The film of the model, and then deleted in this order what is deleted in it."""
    draft = Draft()
    for name, kind in model.kinds.items():
        fields: dict[str, Any] = {"generation_cost": format(model.costs[name], "f")} if name in model.costs else {}
        if name in model.params and any(model.params[name]):
            provider, model_name = model.params[name]
            params = f'{{"provider": "{provider}", "model": "{model_name}"}}'
            fields["metadata_json"] = f'{{"generation_params": {params}}}'
        draft.asset(name, kind, **fields)
    for edge in model.edges:
        draft.edge(*edge)
    for shot, take in model.selected.items():
        change = pb.Change()
        change.select_take.shot_id, change.select_take.take_id = f"${shot}", f"${take}"
        draft.changes.append(change)
    ids = await draft.make(client)
    gone: set[str] = set()
    for name in order:
        if ids[name] not in gone:
            gone |= set((await client.DeleteAsset(id=ids[name])).deleted_asset_ids)
    return ids


def told(cost: pb.FilmCost, ids: dict[str, str]) -> dict[str, Any]:
    """An answer in the terms of the model."""
    names = {value: key for key, value in ids.items()}
    return {
        "total": Decimal(cost.total),
        "unselected": Decimal(cost.unselected),
        "deleted": Decimal(cost.deleted),
        "shots": {names.get(shot.shot_id, ""): Decimal(shot.total) for shot in cost.shots},
        "models": {(each.provider, each.model): (Decimal(each.total), each.asset_count) for each in cost.providers},
        "attempts": {names[shot.shot_id]: shot.attempts for shot in cost.shots if shot.shot_id},
    }


@pytest.mark.parametrize("examples", [25, pytest.param(500, marks=pytest.mark.long)])
async def test_the_cost_is_that_of_the_model(server: Serving, examples: int) -> None:
    loop = asyncio.get_running_loop()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=examples < 100)
    @given(films(), st.integers(0, 1000))
    def check(model: Model, seed: int) -> None:
        async def compare() -> None:
            order = sorted(model.deleted)
            random.Random(seed).shuffle(order)
            ids = await build(server.client, model, order)
            for top in ("film", *(name for name in model.kinds if model.kinds[name] in ("scene", "shot"))):
                if top not in model.deleted:
                    found = told(await server.client.GetFilmCost(film_id=ids[top]), ids)
                    assert found == model.cost(top), top

        asyncio.run_coroutine_threadsafe(compare(), loop).result(60)

    await asyncio.to_thread(check)


async def test_the_seeds_own_query_misses_what_is_not_directly_in_the_film(server: Serving) -> None:
    """The naive form: it joins the film's direct children only, so it sees none of what was spent."""
    draft = Draft()
    draft.asset("film", "film")
    draft.asset("shot", "shot")
    draft.edge("film", "contains_shot", "shot")
    draft.take("shot", "one", generation_cost="0.50")
    draft.take("shot", "two", generation_cost="0.50", selected=True)
    ids = await draft.make(server.client)
    connection = await asyncpg.connect(server.database.operator_url)
    assert await connection.fetchval(SEED_QUERY, ids["film"]) is None
    await connection.close()
    assert (await server.client.GetFilmCost(film_id=ids["film"])).total == "1.00"


async def test_lines_stand_in_playing_order_deleted_shots_last_and_what_is_shared_behind_them(client: Client) -> None:
    draft = Draft()
    draft.asset("film", "film")
    draft.asset("hero", "character_ref", generation_cost="2.5")
    for name in ("s3", "s1", "s2"):
        draft.asset(name, "shot", generation_cost="1")
        draft.edge("film", "contains_shot", name)
        draft.edge(name, "uses_character", "hero")
        draft.take(name, f"{name}-1", metadata_json='{"generation_params": {"provider": "p", "model": "m"}}')
    ids = await draft.make(client)
    await client.DeleteAsset(id=ids["s3"])
    cost = await client.GetFilmCost(film_id=ids["film"])
    assert [(shot.name, shot.total, shot.attempts, shot.deleted) for shot in cost.shots] == [
        ("s1", "1", 1, False),
        ("s2", "1", 1, False),
        ("s3", "1", 1, True),
        ("", "2.5", 0, False),
    ]
    assert (cost.total, cost.deleted, cost.currency) == ("5.5", "1", "USD")
    assert [(each.provider, each.model, each.total, each.asset_count) for each in cost.providers] == [
        ("", "", "5.5", 4)
    ]


async def test_what_was_unlinked_no_longer_counts_and_what_comes_back_counts_once(client: Client) -> None:
    draft = Draft()
    draft.asset("film", "film")
    draft.asset("shot", "shot", generation_cost="1")
    draft.edge("film", "contains_shot", "shot")
    ids = await draft.make(client)
    key = {"parent_asset_id": ids["film"], "child_asset_id": ids["shot"], "relationship_type": "contains_shot"}
    await client.DeleteAsset(id=ids["shot"])
    assert (await client.GetFilmCost(film_id=ids["film"])).total == "1"
    await client.UndeleteAsset(id=ids["shot"])
    cost = await client.GetFilmCost(film_id=ids["film"])
    assert (cost.total, cost.deleted) == ("1", "0")
    await client.DeleteRelationship(key=key)
    assert (await client.GetFilmCost(film_id=ids["film"])).total == "0"


async def test_a_hundred_thousand_cents_are_exact(server: Serving) -> None:
    rows = await server.sql(
        "INSERT INTO assets (workspace_id, type, name) VALUES ('default', 'film', 'f')",
        "INSERT INTO assets (workspace_id, type, name, generation_cost) "
        "SELECT 'default', 'shot', n::text, 0.01 FROM generate_series(1, 3000) n",
        "INSERT INTO asset_relationships (workspace_id, parent_asset_id, child_asset_id, relationship_type, sequence) "
        "SELECT 'default', f.id, s.id, 'contains_shot', s.name::int FROM assets f, assets s "
        "WHERE f.type = 'film' AND s.type = 'shot'",
        "SELECT id::text FROM assets WHERE type = 'film'",
    )
    assert (await server.client.GetFilmCost(film_id=rows[0]["id"])).total == "30.00"


async def test_a_take_that_came_back_without_its_shot_counts_for_the_one_that_has_it_now(client: Client) -> None:
    first, second = [await client.CreateShot(workspace_id="a", name=name) for name in ("first", "second")]
    take = (await client.CreateShotTake(shot_id=first.id, generation_cost="5")).asset
    await client.DeleteAsset(id=first.id)
    await client.UndeleteAsset(id=take.id)
    await client.CreateRelationship(
        parent_asset_id=second.id, child_asset_id=take.id, relationship_type="generation_attempt"
    )
    await client.UndeleteAsset(id=first.id)
    figures = [await client.GetShotMetrics(shot_id=shot.id) for shot in (first, second)]
    assert [(each.attempts, each.total_cost) for each in figures] == [(0, "0"), (1, "5")]
    assert [(await client.GetFilmCost(film_id=shot.id)).total for shot in (first, second)] == ["0", "5"]
