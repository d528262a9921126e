"""Every read finds its rows by index, as the role that row-level security holds, however many assets there are."""

import contextlib
import json
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any
from uuid import UUID

import pytest

from services.asset_graph.domain.model import Scope
from services.asset_graph.domain.reading import Cut, EndFilter, Filter, Order
from services.asset_graph.storage.database import Connection, Database
from services.asset_graph.storage.reads import PostgresReads
from tests.asset_graph.reads.large import FILM, HERO, SHOT, fill, made_id
from tests.postgres import Database as Databases

LARGE = {"assets", "asset_relationships", "shot_state"}


class Explained:
    """A connection that notes the plan of every query before it is carried out."""

    def __init__(self, connection: Connection, plans: list[Any]) -> None:
        self._connection = connection
        self._plans = plans

    async def fetch(self, sql: str, *arguments: object) -> Any:
        await self._explain(sql, *arguments)
        return await self._connection.fetch(sql, *arguments)

    async def fetchrow(self, sql: str, *arguments: object) -> Any:
        await self._explain(sql, *arguments)
        return await self._connection.fetchrow(sql, *arguments)

    async def _explain(self, sql: str, *arguments: object) -> None:
        text = await self._connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *arguments)
        self._plans.append(json.loads(text)[0]["Plan"])


class Explaining(Database):
    """A database whose reads are explained."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.plans: list[Any] = []

    @contextlib.asynccontextmanager
    async def read(self, scope: Scope, until: float, *, snapshot: bool = False) -> AsyncGenerator[Connection]:
        async with super().read(scope, until, snapshot=snapshot) as connection:
            yield Explained(connection, self.plans)  # type: ignore[misc]


def nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


# Each read, and how many rows of the large tables it may touch at most.
READS: dict[str, tuple[Any, int]] = {
    "get": (lambda r, s, u: r.asset(s, u, UUID(made_id(SHOT, 5))), 1),
    "many": (lambda r, s, u: r.assets(s, u, [UUID(made_id(SHOT, n)) for n in range(50)]), 50),
    "children": (lambda r, s, u: r.children(s, u, UUID(made_id(SHOT, 5)), EndFilter(), Cut(size=100)), 20),
    "children of a film": (lambda r, s, u: r.children(s, u, UUID(made_id(FILM, 0)), EndFilter(), Cut(size=20)), 4_000),
    "parents": (lambda r, s, u: r.parents(s, u, UUID(made_id(HERO, 0)), EndFilter(), Cut(size=100)), 40),
    "takes": (lambda r, s, u: r.takes(s, u, UUID(made_id(SHOT, 5)), Cut(size=100)), 30),
    "selected": (lambda r, s, u: r.selection(s, u, UUID(made_id(SHOT, 5))), 10),
    "structure": (lambda r, s, u: r.shot_structure(s, u, UUID(made_id(SHOT, 5))), 40),
    "film": (lambda r, s, u: r.film_structure(s, u, UUID(made_id(FILM, 0)), Cut(size=20)), 3_000),
    "cost": (lambda r, s, u: r.film_cost(s, u, UUID(made_id(FILM, 0))), 40_000),
    "metrics": (lambda r, s, u: r.shot_metrics(s, u, UUID(made_id(SHOT, 5))), 40),
    "newest": (
        lambda r, s, u: r.list_assets(s, u, "large", Filter(), Order.CREATED_LAST_FIRST, Cut(size=50)), 60,
    ),
    "films": (lambda r, s, u: r.list_assets(s, u, "large", Filter(types=("film",)), Order.CREATED, Cut(size=50)), 200),
    "rare types": (
        lambda r, s, u: r.list_assets(s, u, "large", Filter(types=("film", "scene")), Order.CREATED, Cut(size=50)), 200,
    ),
    "by name": (lambda r, s, u: r.list_assets(s, u, "large", Filter(types=("shot",)), Order.NAME, Cut(size=50)), 60),
    "prefix": (
        lambda r, s, u: r.list_assets(s, u, "large", Filter(name_prefix="Shot 0000012"), Order.NAME, Cut(size=50)), 60,
    ),
    "prefix by time": (
        lambda r, s, u: r.list_assets(s, u, "large", Filter(name_prefix="Shot 0000012"), Order.CREATED, Cut(size=9)), 60
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "assets", [20_000, pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])]
)
async def test_every_read_is_by_index(embedded_database: Databases, assets: int) -> None:
    await fill(embedded_database, assets)
    database = Explaining(embedded_database.app_url)
    await database.open()
    reads, scope = PostgresReads(database), Scope(workspaces=frozenset({"large", "other"}))
    try:
        for name, (read, most) in READS.items():
            database.plans.clear()
            await read(reads, scope, time.monotonic() + 60)
            touched = 0
            for node in (node for plan in database.plans for node in nodes(plan)):
                if node.get("Relation Name") in LARGE:
                    # One that was never begun, or over a handful of rows, says nothing.
                    assert node["Node Type"] != "Seq Scan" or not node["Actual Loops"], (name, node)
                    rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
                    touched += round(rows * node["Actual Loops"])
            assert 0 < touched <= most, (name, touched)
    finally:
        await database.close()
