"""Brings a database to the newest schema: what `shotline migrate` does, with the operator's rights.

Safe to run twice, and by several at once: one waits for the other. Servers never do it; they only ask
`schema.check_head`.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import asyncpg
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.asset_graph.storage import schema
from services.asset_graph.storage.characters import adopt
from services.asset_graph.storage.migrations import MigrationError
from services.asset_graph.storage.roles import make_role, settle_rights
from services.asset_graph.storage.synchronise import synchronise

MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 0x53686F746C696E65  # "Shotline", the key of the advisory lock

T = TypeVar("T")


def migrate(operator_url: str) -> None:
    """Role, schema, rights, types and rules, and what an old `shot_characters` table holds.

    `operator_url` is one that asyncpg takes, of a role that owns the schema or may create it. Raises MigrationError
    with what the operator has to do; errors of the database itself pass through.
    """
    _apart(_migrate(operator_url))


def pending(url: str) -> str | None:
    """What `migrate` would have to add, in words; None when the database is ready. Any role may ask."""
    return _apart(_pending(url))


def script_directory() -> ScriptDirectory:
    """The steps as Alembic reads them. Everything that it needs to know is here; there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return ScriptDirectory.from_config(config)


def _apart(work: Coroutine[None, None, T]) -> T:
    """Runs to the end in a thread of its own, since the caller's may have an event loop already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _pending(url: str) -> str | None:
    connection = await asyncpg.connect(url)
    try:
        return await schema.lacking(connection)
    finally:
        await connection.close()


async def _migrate(url: str) -> None:
    connection = await _connected(url)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await make_role(connection)
        await _upgrade(url)
        async with connection.transaction():
            await synchronise(connection)
            await settle_rights(connection)
        async with connection.transaction():
            await adopt(connection)
    finally:
        await connection.close()  # and with it the lock


async def _connected(url: str) -> asyncpg.Connection:
    """A connection that acts for all workspaces: the policies hold an owner, too, that is no superuser."""
    connection = await asyncpg.connect(url)
    await connection.execute("SELECT set_config('shotline.workspaces', '*', false)")
    await connection.execute("SELECT set_config('shotline.actor', 'shotline migrate', false)")
    return connection


async def _upgrade(url: str) -> None:
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: _connected(url), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_run_steps)
    finally:
        await engine.dispose()


def _run_steps(connection: Connection) -> None:
    """All steps that are missing, in one transaction."""
    steps = script_directory()
    if (found := _revision(connection)) and found not in {step.revision for step in steps.walk_revisions()}:
        raise MigrationError(
            f"the schema is at {found!r}, which this version does not know: it is newer than the program"
        )
    with EnvironmentContext(
        Config(), steps, fn=lambda revision, _: steps._upgrade_revs("head", revision), destination_rev="head"
    ) as environment:
        environment.configure(connection=connection, version_table_schema="public")
        environment.run_migrations()


def _revision(connection: Connection) -> str | None:
    if connection.exec_driver_sql("SELECT to_regclass('public.alembic_version') IS NULL").scalar_one():
        return None
    found: str | None = connection.exec_driver_sql(
        "SELECT version_num FROM public.alembic_version"
    ).scalar_one_or_none()
    return found
