"""The way to PostgreSQL: connections, transactions that see their caller's workspaces only, errors as faults.

    async with database.read(scope, until) as connection:        # sees what the scope holds
        await connection.fetchrow(…)
    async with database.change(caller, until, workspace=…) as change:   # holds the workspace's lock
        await change.connection.fetch(…)
        await change.commit()

Every transaction says for whom it acts by settings of its own, with the statement that begins it, so nothing of it is
left on a connection that goes back to the pool. Besides, each statement is one round trip, and the end is one.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import TypeAlias, cast
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from services.asset_graph.domain import faults
from services.asset_graph.domain.model import Caller, Scope
from services.asset_graph.storage.schema import SchemaBehind, check_head
from services.asset_graph.storage.trouble import Busy, fault_of, is_away
from services.asset_graph.storage.turns import Turns
from services.kernel.faults import Fault

# These are generic in their stubs only.
Pooled: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

_CONNECT_TIMEOUT = 5.0  # seconds
_SETTINGS = {
    "application_name": "shotline asset_graph",
    "jit": "off",
    # Planned once for each connection. Arrays make PostgreSQL believe that a plan for each call were cheaper; but
    # making one takes longer than most statements here.
    "plan_cache_mode": "force_generic_plan",
    "timezone": "UTC",
    "search_path": "public",
    # For the case that a server of ours dies without saying so: a call's own deadline is cancelled by its task.
    "statement_timeout": "120s",
    "idle_in_transaction_session_timeout": "60s",
}

_ROLE = """
SELECT session_user AS role,
       (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user) AS superuser,
       (SELECT rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = session_user) AS bypasses,
       (SELECT rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = session_user) AS makes_roles,
       EXISTS (
           SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname = 'public' AND c.relkind IN ('r', 'v') AND pg_has_role(session_user, c.relowner, 'MEMBER')
       ) AS owner
"""

_TOO_MIGHTY = {
    "superuser": "is a superuser",
    "bypasses": "bypasses row-level security",
    "makes_roles": "may make roles",
    "owner": "owns the tables or is a member of their owner",
}


class Unfit(Exception):
    """A database that must not be used as it is. The message says what to do."""


class _Connection(asyncpg.Connection):
    """A connection on which nothing is left behind: a query to reset it would cost half of the pool's rate."""

    def get_reset_query(self) -> str:
        return ""


class Change:
    """One open transaction that changes one workspace."""

    __slots__ = ("connection",)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def commit(self, before: str = "") -> None:
        """Make it durable; `before` is SQL without parameters that goes with it."""
        await self.connection.execute(f"{before};COMMIT" if before else "COMMIT")


class Database:
    """The connections of one process to one database."""

    def __init__(self, url: str, *, most: int = 8) -> None:
        """url: postgresql://… of the role that servers have. most: connections at once."""
        self.url = url
        self._most = most
        self._turns = Turns(most)
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Be ready. Connects to nobody yet, so PostgreSQL may still be away."""
        self._pool = await asyncpg.create_pool(
            self.url,
            min_size=0,
            max_size=self._most,
            max_queries=0x7FFFFFFF,
            max_cached_statement_lifetime=0,  # kept for good, and so are connections
            max_inactive_connection_lifetime=0,
            connection_class=_Connection,
            timeout=_CONNECT_TIMEOUT,
            server_settings=_SETTINGS,
        )

    async def close(self) -> None:
        """Let all connections go. What is still under way is cut off after a moment."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            try:
                await asyncio.wait_for(pool.close(), _CONNECT_TIMEOUT)
            except TimeoutError:
                pool.terminate()

    async def check(self) -> None:
        """Raise Unfit for a role that row-level security does not hold, and for a schema that is behind.

        Raises DATABASE_UNAVAILABLE.
        """
        async with self._any() as connection:
            role = await connection.fetchrow(_ROLE)
            assert role is not None
            for column, why in _TOO_MIGHTY.items():
                if role[column]:
                    raise Unfit(
                        f"the role {role['role']!r} {why}, so row-level security would not keep workspaces apart; "
                        "connect as shotline_app"
                    )
            try:
                await check_head(cast("asyncpg.Connection[asyncpg.Record]", connection))
            except SchemaBehind as behind:
                raise Unfit(str(behind)) from None

    async def ping(self) -> None:
        """Whether PostgreSQL answers. Raises DATABASE_UNAVAILABLE."""
        async with self._any() as connection:
            await connection.execute("SELECT 1")

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection besides the pool, to listen on; the caller closes it. Raises DATABASE_UNAVAILABLE."""
        try:
            return await asyncpg.connect(self.url, timeout=_CONNECT_TIMEOUT, server_settings=_SETTINGS)
        except Exception as error:  # noqa: BLE001  # the table knows which
            raise fault_of(error) from None

    @contextlib.asynccontextmanager
    async def read(self, scope: Scope, until: float, *, snapshot: bool = False) -> AsyncGenerator[Connection]:
        """A transaction that sees the workspaces of the scope and changes nothing.

        until: monotonic time until when to wait for a connection. snapshot: all its statements see one moment.
        Raises DATABASE_UNAVAILABLE and whatever else errors of PostgreSQL mean.
        """
        isolation = " ISOLATION LEVEL REPEATABLE READ" if snapshot else ""
        begin = f"BEGIN{isolation} READ ONLY;SET LOCAL shotline.workspaces={literal(visible(scope))}"
        async with self._transaction(begin, until) as connection:
            yield connection
            await connection.execute("COMMIT")

    @contextlib.asynccontextmanager
    async def change(
        self, caller: Caller, until: float, *, workspace: str | None = None, asset: UUID | None = None
    ) -> AsyncGenerator[Change]:
        """A transaction that changes one workspace and holds its lock: the named one, else that of the asset.

        READ COMMITTED: each statement sees what was committed before the lock was had. Nothing stays that is not
        committed. A named workspace is made where it is new. Raises ASSET_NOT_FOUND for an asset that the scope does
        not hold, AnsweredBefore for a request id that the workspace knows, and as `read`.
        """
        try:
            async with asyncio.timeout(until - time.monotonic()):
                connection = await self._opened(caller, until, workspace, asset)
        except TimeoutError:
            raise faults.database_unavailable("others were changing the workspace all the time; try again") from None
        try:
            async with self._ending(connection):
                yield Change(connection)
        finally:
            self._turns.places.release()

    async def _opened(self, caller: Caller, until: float, workspace: str | None, asset: UUID | None) -> Pooled:
        """A connection in a change that has its lock. Takes one of the places for changes, unless it fails."""
        home = workspace
        if home is None:
            assert asset is not None
            met = self._turns.home(asset)
            # By whomever it was met: a caller who does not hold its workspace is not to learn that there is one.
            home = met if met is not None and caller.scope.holds(met) else None
        if home is None:
            assert asset is not None
            try:
                return await self._placed(_opening(caller, None, asset, wait=False), until)
            except Busy as busy:
                self._turns.met(asset, home := busy.workspace_id)
        async with self._turns.of(home):
            return await self._placed(_opening(caller, home, asset, wait=True), until)

    async def _placed(self, begin: str, until: float) -> Pooled:
        await self._turns.places.acquire()
        try:
            return await self._begun(begin, until)
        except BaseException:
            self._turns.places.release()
            raise

    @contextlib.asynccontextmanager
    async def _transaction(self, begin: str, until: float) -> AsyncGenerator[Connection]:
        connection = await self._begun(begin, until)
        async with self._ending(connection):
            yield connection

    @contextlib.asynccontextmanager
    async def _ending(self, connection: Pooled) -> AsyncGenerator[None]:
        """Errors in here are faults, and the connection goes back."""
        ended = False
        try:
            yield
            ended = not connection.is_in_transaction()
        except Exception as error:
            if (known := fault_of(error)) is error:
                raise
            raise known from error
        finally:
            await self._give_back(connection, ended=ended)

    async def _begun(self, begin: str, until: float) -> Pooled:
        """A connection in a transaction. One that had died unnoticed is replaced: nothing has happened yet."""
        for turn in range(self._most + 1):
            connection = await self._acquired(until)
            try:
                await connection.execute(begin)
            except BaseException as error:
                await self._give_back(connection, ended=False)
                if not isinstance(error, Exception):
                    raise
                if turn < self._most and is_away(error):
                    continue
                raise fault_of(error) from error
            return connection
        raise AssertionError

    async def _acquired(self, until: float) -> Pooled:
        if self._pool is None:
            raise faults.database_unavailable("this process is stopping")
        try:
            async with asyncio.timeout(until - time.monotonic()) as limit:
                return await self._pool.acquire()
        except Exception as error:
            if limit.expired():
                raise faults.database_unavailable("all connections to PostgreSQL are busy; try again") from None
            raise fault_of(error) from error

    async def _give_back(self, connection: Pooled, *, ended: bool) -> None:
        """Back to the pool, also while the task is being cancelled. ended: nothing of a transaction is left open."""
        pool = self._pool
        if pool is None:
            return
        if ended:
            await pool.release(connection)
        else:
            await asyncio.shield(_rolled_back(pool, connection))

    @contextlib.asynccontextmanager
    async def _any(self) -> AsyncGenerator[Connection]:
        connection = await self._acquired(time.monotonic() + _CONNECT_TIMEOUT)
        try:
            yield connection
        except (Unfit, Fault):
            raise
        except Exception as error:
            raise fault_of(error) from error
        finally:
            await self._give_back(connection, ended=True)


def visible(scope: Scope) -> str:
    """The scope as the setting `shotline.workspaces` has it."""
    if scope.workspaces is None:
        return "*"
    quoted = (each.replace("\\", "\\\\").replace('"', '\\"') for each in sorted(scope.workspaces))
    return "{" + ",".join(f'"{each}"' for each in quoted) + "}"


def literal(text: str) -> str:
    """A text as SQL has it. PostgreSQL cannot hold U+0000."""
    # Escaped as well for a server whose strings are not those of the standard.
    quoted = text.replace("\0", "").replace("'", "''")
    return f"'{quoted}'" if "\\" not in quoted else " E'" + quoted.replace("\\", "\\\\") + "'"


def _opening(caller: Caller, workspace: str | None, asset: UUID | None, *, wait: bool) -> str:
    """The statements that begin a change: in a workspace, else in that of an asset."""
    values = [
        "NULL" if each is None else literal(str(each))
        for each in (visible(caller.scope), workspace, asset, caller.actor, caller.client, caller.request_id)
    ]
    return f"BEGIN;SELECT public.shotline_begin({','.join(values)},{'true' if wait else 'false'})"


async def _rolled_back(pool: "asyncpg.Pool[asyncpg.Record]", connection: Pooled) -> None:
    """Roll back what may be open, and let go of the connection, whatever has become of it."""
    try:
        # Waits for a statement that was cancelled; only then is known whether it had begun a transaction.
        await connection.execute("ROLLBACK", timeout=_CONNECT_TIMEOUT)
    except Exception:  # noqa: BLE001  # nobody uses this connection again; the pool may know already
        with contextlib.suppress(asyncpg.InterfaceError):
            connection.terminate()
    with contextlib.suppress(Exception):
        await pool.release(connection)
