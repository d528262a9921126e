"""Changes as transactions: the workspace's lock, the work, its answer kept under the request id, all or nothing."""

import asyncio
import random
from uuid import UUID

from asyncpg.pgproto import pgproto

from services.asset_graph.domain import faults
from services.asset_graph.domain.model import Caller, Scope
from services.asset_graph.domain.ports import Where, Work
from services.asset_graph.storage.change_graph import PostgresGraph
from services.asset_graph.storage.database import Database
from services.asset_graph.storage.trouble import AnsweredBefore
from services.kernel.faults import Fault, request_id_reused

MOST_TRIES = 5
_LONGEST_PAUSE = 0.05  # seconds before the second try; twice as long before each further one
# An answer of more bytes is sent as it is, not within the statement that ends the transaction.
_LARGE = 1 << 16

_ANSWER = "SELECT digest, answer FROM request_log WHERE workspace_id = $1 AND request_id = $2"
_KEEP = (
    "INSERT INTO request_log (workspace_id, request_id, digest, answer)"
    " VALUES (current_setting('shotline.workspace'), $1, $2, $3)"
)


class PostgresChanges:
    """The graph in PostgreSQL as it is changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def make_id(self, data: bytes) -> UUID:
        """As the port says: asyncpg's own kind is made, hashed and written in C."""
        return pgproto.UUID(data)

    async def once(self, caller: Caller, digest: bytes, until: float, where: Where, work: Work) -> bytes:
        """As the port says."""
        pause = _LONGEST_PAUSE
        for turn in range(1, MOST_TRIES + 1):
            try:
                return await self._made(caller, digest, until, where, work)
            except AnsweredBefore as before:
                if (answer := await self._answered(before.workspace_id, caller.request_id, digest, until)) is not None:
                    return answer
            except Fault as fault:
                if fault.reason != "TRANSACTION_ABORTED" or turn == MOST_TRIES:
                    raise
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311  # spreads writers, guards nothing
                pause *= 2
        raise faults.transaction_aborted()

    async def _made(self, caller: Caller, digest: bytes, until: float, where: Where, work: Work) -> bytes:
        change = self._database.change(caller, until, workspace=where.workspace_id, asset=where.asset_id)
        async with change as open_change:
            answer = await work(PostgresGraph(open_change.connection))
            if caller.request_id is None:
                await open_change.commit()
            elif len(answer) > _LARGE:
                await open_change.connection.execute(_KEEP, caller.request_id, digest, answer)
                await open_change.commit()
            else:
                await open_change.commit(_kept(caller.request_id, digest, answer))
            return answer

    async def _answered(self, workspace_id: str, request_id: UUID | None, digest: bytes, until: float) -> bytes | None:
        """What the same request was answered with; None where it was forgotten in this moment."""
        async with self._database.read(Scope(workspaces=frozenset((workspace_id,))), until) as connection:
            row = await connection.fetchrow(_ANSWER, workspace_id, request_id)
        if row is None:
            return None
        if row["digest"] != digest:
            raise request_id_reused()
        answer: bytes = row["answer"]
        return answer


def _kept(request_id: UUID, digest: bytes, answer: bytes) -> str:
    """The statement that keeps an answer, without parameters, so that it travels with the end of the transaction."""
    return (
        "INSERT INTO public.request_log (workspace_id, request_id, digest, answer)"  # hexadecimal
        f" VALUES (current_setting('shotline.workspace'), '{request_id}', decode('{digest.hex()}', 'hex'),"
        f" decode('{answer.hex()}', 'hex'))"
    )
