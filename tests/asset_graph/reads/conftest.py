"""A server on an empty asset graph for each test."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from tests.asset_graph.reads.serving import Client, Serving, serving
from tests.postgres import Database


@pytest_asyncio.fixture
async def server(embedded_database: Database) -> AsyncIterator[Serving]:
    c = await asyncpg.connect(embedded_database.operator_url)
    if not await c.fetchval("select count(*) from pg_proc where proname='shotline_begin'"):
        await c.execute(__import__("pathlib").Path("/tmp/scratch/changes_begin.sql").read_text())
    await c.execute(
        "drop function public.shotline_asset_json;"
        + __import__("pathlib").Path("/tmp/scratch/reads/asset_json.sql").read_text()
    )
    await c.close()
    async with serving(embedded_database) as server:
        yield server


@pytest_asyncio.fixture
async def client(server: Serving) -> Client:
    return server.client
