"""`shotline migrate`: the schema, of a database that is named or of our own while nothing else runs on it."""

import asyncio
import os
import sys
from pathlib import Path

from services.local import cluster, data_folder, database
from services.local.data_folder import DataFolder, DataFolderInUse
from services.local.plan import POSTGRES
from services.local.supervise import ChildFailed, Children
from services.runtime import local_address
from services.runtime.settings import Environment, SettingsError


class CannotMigrate(Exception):
    """Why the schema is as it was, and what to do about it."""


def migrate(url: str, data: Path | None) -> str:
    """Migrate, and say which database is ready. Raises CannotMigrate."""
    try:
        if url:
            database.bring_up_to_date(url)
            return f"the schema of {database.place(url)} is the newest"
        folder = Path(os.path.abspath(data or local_address.default_folder()))
        with data_folder.held(folder) as held:
            is_there = cluster.existing(folder)
            asyncio.run(_own(held))
        return f"the {'schema of the' if is_there else 'new'} database of {folder} is the newest"
    except DataFolderInUse as error:
        raise CannotMigrate(f"{error}. A running Shotline has migrated its database already") from None
    except (SettingsError, ChildFailed) as error:
        raise CannotMigrate(str(error)) from None
    except OSError as error:
        raise CannotMigrate(f"the data folder cannot be used: {error}") from None


async def _own(data: DataFolder) -> None:
    choice = database.Choice.read(Environment(os.environ))
    with database.chosen(choice, data) as chosen:
        server = chosen.server
        assert server

        async with Children(data, lambda _: server.variables(), lambda said: print(said, file=sys.stderr)) as children:
            children.keep(POSTGRES)
            await children.during(database.prepare(chosen))
            await children.drain()
