"""Fixtures for tests of every kind."""

import os
from contextlib import ExitStack

import pytest

from services.local.cluster import temporary_home
from tests.postgres import (
    HOME,
    bare_database,
    database,
    embedded_database,
    embedded_postgres,
    postgres,
    postgres_servers,
)

_stack = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    os.environ[HOME] = str(_stack.enter_context(temporary_home()))


def pytest_unconfigure(config: pytest.Config) -> None:
    _stack.close()


__all__ = ["bare_database", "database", "embedded_database", "embedded_postgres", "postgres", "postgres_servers"]
