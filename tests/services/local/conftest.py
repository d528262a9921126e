"""Servers that tests may break; whoever breaks one leaves it to the next to have it whole again."""

from collections.abc import Iterator

import pytest

from tests.postgres import HASTY, VERSIONS, Server, running


@pytest.fixture(scope="module", params=VERSIONS)
def durable(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param, shared_buffers="16MB") as server:
        yield server


@pytest.fixture(scope="module")
def quick() -> Iterator[Server]:
    with running("pg18", **HASTY) as server:
        yield server


@pytest.fixture
def server(durable: Server) -> Server:
    """A server that the test may break, of each version; it syncs, as a real one does."""
    return whole(durable)


@pytest.fixture
def hasty(quick: Server) -> Server:
    """One that the test may break, where the version does not matter."""
    return whole(quick)


def whole(server: Server) -> Server:
    """As it was before a test broke it."""
    if server.process.poll() is not None:
        server.launch()
    server.execute("postgres", "DROP TABLE IF EXISTS kept")
    return server
