"""What `shotline doctor` looks at of the database: that it can be run, or reached, and what its schema lacks.

Nothing is started, copied or changed.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from services.asset_graph.storage.roles import APP_ROLE
from services.local import binaries, cluster, data_folder
from services.local.checks import Finding, Level
from services.local.database import NAME, Choice, place
from services.runtime.settings import Environment, SettingsError

OLDEST = 150_000  # of PostgreSQL's versions, as it numbers them
_TIMEOUT = 10.0  # seconds

_OWN = "database of Shotline's own"


def database(folder: Path) -> Iterator[Finding]:
    """Whether the database that a start on this data folder would have is fit for it."""
    try:
        choice = Choice.read(Environment(os.environ))
    except SettingsError as error:
        remedy = "give it as postgresql://user:password@host/database, or leave it out for Shotline's own"
        yield Finding(check="database", level="trouble", message=str(error), remedy=remedy)
        return
    if choice.url:
        yield from _another(choice)
    else:
        yield from _own(choice, folder)


def _own(choice: Choice, folder: Path) -> Iterator[Finding]:
    place_of_it = folder / cluster.LINK
    try:
        found = cluster.existing(folder)
        owner = binaries.owner_of(found) if found else binaries.owner_of_new()
        programs = choice.binaries or binaries.embedded()
        major = binaries.major_version(programs, owner)
        if found:
            cluster.refuse_other_version(found, major)
    except PermissionError as error:
        if owner is None or programs != binaries.embedded():
            remedy = "make them executable for the user who runs PostgreSQL"
            yield Finding(check=_OWN, level="trouble", message=f"its programs cannot be run: {error}", remedy=remedy)
            return
        message = (
            f"{owner.name}, as whom PostgreSQL runs, cannot reach {programs}: the start copies it to {choice.home}"
        )
        yield Finding(check=_OWN, level="note", message=message, remedy="none is needed")
        return
    except SettingsError as error:
        remedy = "follow the message, or give a database by SHOTLINE_DATABASE_URL"
        yield Finding(check=_OWN, level="trouble", message=str(error), remedy=remedy)
        return
    where = f"in {place_of_it.resolve()}" if found else "the start makes it"
    level: Level = "ok"
    remedy = ""
    who = ""
    if owner:
        who = f", run as {owner.name}"
        if owner.name == "nobody":
            level = "note"
            remedy = "`useradd --system shotline` before the first start keeps it from other programs of nobody"
    message = f"PostgreSQL {major} can be run{who}; {where}"
    yield Finding(check=_OWN, level=level, message=message, remedy=remedy)
    if found and data_folder.holder(folder) and (url := cluster.existing_url(folder, NAME)):
        yield from asyncio.run(_look(_OWN, url))


def _another(choice: Choice) -> Iterator[Finding]:
    check = f"database, {place(choice.url)}"
    yield from asyncio.run(_look(check, choice.url))
    if choice.app_url:
        yield from asyncio.run(_look_in(check, choice.app_url))


async def _look(check: str, url: str) -> list[Finding]:
    from services.asset_graph.storage import schema

    try:
        connection = await asyncpg.connect(url, timeout=_TIMEOUT)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return [_unreachable(check, error, "SHOTLINE_DATABASE_URL")]
    try:
        number = int(await connection.fetchval("SHOW server_version_num"))
        lacking = await schema.lacking(connection)
    finally:
        await connection.close()
    version = f"PostgreSQL {number // 10_000}.{number % 10_000}"
    if number < OLDEST:
        remedy = f"use version {OLDEST // 10_000} or newer"
        return [Finding(check=check, level="trouble", message=f"{version} is too old", remedy=remedy)]
    if lacking:
        remedy = "`shotline migrate`, which `shotline up` also does at its start"
        return [Finding(check=check, level="note", message=f"{version} answers; {lacking}", remedy=remedy)]
    return [Finding(check=check, level="ok", message=f"{version} answers, and its schema is the newest")]


async def _look_in(check: str, app_url: str) -> list[Finding]:
    """Whether the servers get in, too."""
    try:
        connection = await asyncpg.connect(app_url, timeout=_TIMEOUT)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return [_unreachable(check, error, "SHOTLINE_APP_DATABASE_URL")]
    await connection.close()
    return [Finding(check=check, level="ok", message=f"lets the servers in ({APP_ROLE}, or who the URL names)")]


def _unreachable(check: str, error: BaseException, variable: str) -> Finding:
    message = f"cannot be reached: {error or 'no answer'}"
    return Finding(check=check, level="trouble", message=message, remedy=f"start it, or correct {variable}")
