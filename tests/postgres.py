"""PostgreSQL for tests: a server of each version for the whole run, and a database of its own for each test.

`database` is the asset graph's, empty and migrated, on every version that is there; `embedded_database` only on the one
that Shotline brings. Both are clones of a template, and gone after the test.
"""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

from services.local.binaries import embedded
from services.local.cluster import Cluster, prepared, temporary_home
from services.local.postgres import Settings

REPOSITORY = Path(__file__).parents[1]
DEBIAN = Path("/usr/lib/postgresql/15/bin")
VERSIONS = ["pg18", "pg15"]
HOME = "SHOTLINE_POSTGRES_HOME"  # set for the whole run: nothing is left in root's usual place
APP = "shotline_app"
APP_PASSWORD = "the app's password"
# A crash of the machine loses these databases, which nobody needs after the run.
HASTY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"}
_START_TIMEOUT = 30.0

Result = TypeVar("Result")


@dataclass(frozen=True)
class Database:
    """A database of one test."""

    operator_url: str
    app_url: str

    def settings(self) -> dict[str, str]:
        """The variables by which `shotline up` takes it."""
        return {"SHOTLINE_DATABASE_URL": self.operator_url, "SHOTLINE_APP_DATABASE_URL": self.app_url}


class Server:
    """One running PostgreSQL, started as `shotline up` starts it."""

    def __init__(self, home: Path, binaries: Path, settings: Mapping[str, str], data: Path | None = None) -> None:
        """home: a folder that every user can pass through; data: the data folder, in the home unless it is given."""
        self.data = data or home / "data"
        self.data.mkdir(mode=0o700, exist_ok=True)
        self.log = self.data / "postgres.log"
        self._home = home
        self._binaries = binaries
        self._settings = settings
        self._stack = ExitStack()
        self.process: subprocess.Popen[bytes] = None  # type: ignore[assignment]
        self._templates = 0
        self.cluster: Cluster

    def start(self) -> None:
        """Return when it takes connections."""
        self.cluster = self._stack.enter_context(prepared(self.data, self._home))
        self.launch()

    def launch(self) -> None:
        """Start the process, again where it has ended."""
        self._let_go()
        self.process = self.spawn()
        until = time.monotonic() + _START_TIMEOUT
        while not self.answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)

    def spawn(self) -> "subprocess.Popen[bytes]":
        """The process, just started."""
        settings = Settings(
            folder=self.cluster.folder, socket=self.cluster.socket, binaries=self._binaries, server=self._settings
        )
        with open(self.log, "ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "services.local.child", "services.local.postgres", str(self.log)],
                cwd=REPOSITORY,
                env=without_settings() | settings.variables(),
                stdin=subprocess.PIPE,  # it ends when we do
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def answers(self) -> bool:
        try:
            self.execute("postgres", "SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(30) == 0

    def close(self) -> None:
        """Whatever it does now, it ends."""
        if self.process and self.process.poll() is None:
            self.stop()
        self._let_go()
        self._stack.close()

    def _let_go(self) -> None:
        """Close our end of its pipe."""
        if self.process and self.process.stdin:
            self.process.stdin.close()

    def execute(self, database: str, *statements: str) -> None:
        """Run statements as the operator, each on its own."""

        async def run() -> None:
            connection = await asyncpg.connect(self.cluster.url(database), timeout=10)
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

        apart(run)

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[Database]:
        """A new database, a clone of `template` or without anything in it."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(
            "postgres",
            f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}",
            f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC",  # rights of a database are not cloned
        )
        yield Database(self.cluster.url(name), self.cluster.url(name, role=APP, password=APP_PASSWORD))
        self.execute("postgres", f"DROP DATABASE {name} WITH (FORCE)")

    def asset_graph_template(self) -> str:
        """The name of a migrated database that has no connections; made once."""
        name = "asset_graph_template"
        if not self._templates:
            from services.asset_graph.storage.migrate import migrate

            self.execute(
                "postgres",
                f"CREATE ROLE {APP} LOGIN PASSWORD '{APP_PASSWORD.replace(chr(39), chr(39) * 2)}'",
                f"CREATE DATABASE {name} TEMPLATE template0",
            )
            migrate(self.cluster.url(name))
            self.execute("postgres", f"ALTER DATABASE {name} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")
            self._templates += 1
        return name


def without_settings() -> dict[str, str]:
    """The environment for a Shotline under test: a developer's own settings are not for it."""
    return {name: value for name, value in os.environ.items() if name == HOME or not name.startswith("SHOTLINE_")}


def apart(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """The result of a coroutine, run in an event loop of its own: the test may be in one."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(lambda: asyncio.run(work())).result()


def value(url: str, query: str) -> object:
    """The one value that a query gives."""

    async def ask() -> object:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return apart(ask)


def shotline_command(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `shotline …` to its end, with these variables and none of the developer's own."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "services.local.command", *map(str, words)],
        cwd=REPOSITORY,
        env={**without_settings(), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def running(version: str, **settings: str) -> Iterator[Server]:
    """A server for as long as the block lasts: a test that kills it needs one for itself."""
    if version == "pg15" and not DEBIAN.is_dir():
        pytest.skip(f"PostgreSQL 15 is not installed in {DEBIAN}")
    with temporary_home() as folder:
        server = Server(folder, DEBIAN if version == "pg15" else embedded(), settings)
        server.start()
        try:
            yield server
        finally:
            server.close()


@pytest.fixture(scope="session")
def postgres_servers() -> Iterator[Callable[[str], Server]]:
    """Gives the server of a version, which is started when it is asked for first."""
    started: dict[str, Server] = {}
    with ExitStack() as stack:

        def server(version: str) -> Server:
            if version not in started:
                started[version] = stack.enter_context(running(version, **HASTY))
            return started[version]

        yield server


@pytest.fixture(params=VERSIONS, scope="session")
def postgres(request: pytest.FixtureRequest, postgres_servers: Callable[[str], Server]) -> Server:
    """A running server, of each version in turn."""
    return postgres_servers(request.param)


@pytest.fixture(scope="session")
def embedded_postgres(postgres_servers: Callable[[str], Server]) -> Server:
    """The running server of the version that Shotline brings."""
    return postgres_servers("pg18")


@pytest.fixture
def database(postgres: Server) -> Iterator[Database]:
    """An empty asset graph, on each version in turn."""
    with postgres.database(postgres.asset_graph_template()) as database:
        yield database


@pytest.fixture
def embedded_database(embedded_postgres: Server) -> Iterator[Database]:
    """An empty asset graph on the version that Shotline brings."""
    with embedded_postgres.database(embedded_postgres.asset_graph_template()) as database:
        yield database


@pytest.fixture
def bare_database(postgres: Server) -> Iterator[Database]:
    """A database that nobody has migrated, on each version in turn."""
    postgres.asset_graph_template()  # makes the app's role
    with postgres.database() as database:
        yield database
