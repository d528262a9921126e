"""Letting go of what is kept for a day: the log of changes, and the answers to changes that were made."""

import asyncio
import logging

from services.asset_graph.storage.database import Database

KEPT = "24 hours"  # as the contract says
EVERY = 600.0  # seconds

_log = logging.getLogger(__name__)


async def keep_tidy(database: Database, *, kept: str = KEPT, every: float = EVERY) -> None:
    """Prune now and then. Never ends. Several servers may do it at once."""
    while True:
        await asyncio.sleep(every)
        try:
            await tidy(database, kept)
        except Exception as error:  # noqa: BLE001  # the next time may be a better one, and nobody waits for it
            _log.warning("nothing was pruned: %s", error)


async def tidy(database: Database, kept: str = KEPT) -> None:
    """Prune what is older. Raises DATABASE_UNAVAILABLE."""
    connection = await database.connect()
    try:
        await connection.execute(f"SELECT public.shotline_prune('{kept}')")
    finally:
        await connection.close()
