"""The whole system, once for each module that asks for it, and a project for each test."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.services.system import Scene, System, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with running(tmp_path_factory.mktemp("system")) as system:
        yield system


@pytest_asyncio.fixture(loop_scope="module")
async def scene(system: System) -> AsyncIterator[Scene]:
    async with system.scene() as scene:
        yield scene
