"""A million assets: what PostgreSQL really does for a read, as the role that row-level security holds."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.asset_graph.domain.model import Scope
from services.asset_graph.domain.reading import Cut, EndFilter, Filter, Order
from services.asset_graph.storage.database import Database
from services.asset_graph.storage.reads import PostgresReads
from tests import postgres
from tests.bench.graph_data import Films, fill, made_at

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

FILMS = Films(workspace="million", films=1_000)
CALLS = 7  # of each read: after five of them PostgreSQL plans for any arguments
MOST_ROWS = 1_200  # that one node of a plan may see; the reads give 100 at most
MOST_BLOCKS = 1_500  # of 8 KiB that a read may look at, and one of a whole film
MOST_BLOCKS_OF_A_FILM = 15_000
GRAPH = {"assets", "asset_relationships", "shot_state"}
EXPLAINED = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_format": "json",
}

Read = Callable[[PostgresReads, Scope, float], Awaitable[object]]

FILM = 618
FIRST = Cut(size=100, behind=())
LATER = datetime.fromtimestamp(made_at(FILMS.shot_number(FILM, 0)), UTC)
READS: dict[str, Read] = {
    "get": lambda reads, scope, until: reads.asset(scope, until, FILMS.take(FILM, 40, 1)),
    "children": lambda reads, scope, until: reads.children(scope, until, FILMS.shot(FILM, 40), EndFilter(), FIRST),
    "children of a type": lambda reads, scope, until: reads.children(
        scope, until, FILMS.shot(FILM, 40), EndFilter(relationship_type="uses_character"), FIRST
    ),
    "parents": lambda reads, scope, until: reads.parents(scope, until, FILMS.character(FILM, 3), EndFilter(), FIRST),
    "takes": lambda reads, scope, until: reads.takes(scope, until, FILMS.shot(FILM, 40), FIRST),
    "by type and time": lambda reads, scope, until: reads.list_assets(
        scope, until, FILMS.workspace, Filter(types=("shot",), created_from=LATER), Order.CREATED, FIRST
    ),
    "by two types and time": lambda reads, scope, until: reads.list_assets(
        scope,
        until,
        FILMS.workspace,
        Filter(types=("film", "audio"), created_from=LATER),
        Order.CREATED_LAST_FIRST,
        FIRST,
    ),
    "by name prefix": lambda reads, scope, until: reads.list_assets(
        scope, until, FILMS.workspace, Filter(name_prefix=f"{FILMS.name(FILM)} shot 0004"), Order.NAME, FIRST
    ),
    "by type and name prefix": lambda reads, scope, until: reads.list_assets(
        scope,
        until,
        FILMS.workspace,
        Filter(types=("shot",), name_prefix=f"{FILMS.name(FILM)} shot"),
        Order.NAME,
        FIRST,
    ),
    "selected take": lambda reads, scope, until: reads.selection(scope, until, FILMS.shot(FILM, 40)),
    "structure of a shot": lambda reads, scope, until: reads.shot_structure(scope, until, FILMS.shot(FILM, 40)),
    "structure of a film": lambda reads, scope, until: reads.film_structure(scope, until, FILMS.film(FILM), FIRST),
}


@pytest.fixture(scope="module")
def million() -> Iterator[tuple[postgres.Server, postgres.Database]]:
    """A server whose log has the plan of every statement of the app's role."""
    with (
        postgres.running("pg18", **postgres.HASTY, max_wal_size="8GB") as server,
        server.database(server.asset_graph_template()) as database,
    ):
        asyncio.run(fill(database.operator_url, FILMS))
        server.execute(
            "postgres", *(f"ALTER ROLE {postgres.APP} SET {name} = '{value}'" for name, value in EXPLAINED.items())
        )
        yield server, database


@pytest_asyncio.fixture
async def reads(million: tuple[postgres.Server, postgres.Database]) -> AsyncIterator[PostgresReads]:
    database = Database(million[1].app_url, most=1)
    await database.open()
    yield PostgresReads(database)
    await database.close()


@pytest.mark.parametrize(
    "scope", [Scope(workspaces=frozenset({"million", "other"})), Scope(workspaces=None)], ids=["two", "all"]
)
@pytest.mark.parametrize("name", READS)
async def test_a_read_of_a_million_assets_sees_no_more_than_it_gives(
    name: str, scope: Scope, reads: PostgresReads, million: tuple[postgres.Server, postgres.Database]
) -> None:
    (log,) = million[0].cluster.folder.parent.rglob("postgres.log")
    before = log.stat().st_size
    for _ in range(CALLS):
        await READS[name](reads, scope, time.monotonic() + 60)
    plans = await told(log, before)
    assert len(plans) == CALLS
    nodes = [node for plan in plans for node in walked(plan["Plan"])]
    assert not [node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"]
    assert max(map(seen, nodes)) <= MOST_ROWS
    blocks = [plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] for plan in plans]
    assert max(blocks) <= (MOST_BLOCKS_OF_A_FILM if name == "structure of a film" else MOST_BLOCKS)


async def told(log: Path, begin: int) -> list[Any]:
    """The plans that stand in the log behind a place, those of statements that read the graph."""
    found: list[Any] = []
    until = time.monotonic() + 10
    while len(found) < CALLS and time.monotonic() < until:
        await asyncio.sleep(0.1)
        with open(log, encoding="utf-8") as file:
            file.seek(begin)
            texts = re.findall(r"plan:\n((?:\t.*\n)+)", file.read())
        plans = [json.loads(re.sub(r"^\t", "", text, flags=re.M)) for text in texts]
        found = [plan for plan in plans if any(node.get("Relation Name") in GRAPH for node in walked(plan["Plan"]))]
    return found


def walked(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node of a plan and all below it."""
    yield node
    for each in node.get("Plans", []):
        yield from walked(each)


def seen(node: dict[str, Any]) -> float:
    """How many rows a node looked at, those included that it did not want."""
    wanted: float = (
        node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    )
    loops: float = node["Actual Loops"]
    return wanted * loops
