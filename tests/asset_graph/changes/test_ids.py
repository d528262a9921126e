"""Ids that we give."""

import time
from uuid import UUID

import pytest

from services.asset_graph.storage.changes import PostgresChanges
from services.asset_graph.storage.database import Database
from services.kernel import uuid7
from services.kernel.uuid7 import Uuid7


@pytest.mark.parametrize("make", [Uuid7(), Uuid7(PostgresChanges(Database("")).make_id)])
def test_ids_are_of_version_7_and_rise(make: Uuid7) -> None:
    before = time.time_ns() // 1_000_000
    ids = [make() for _ in range(20_000)]
    assert ids == sorted(set(ids))
    assert [str(each) for each in ids] == sorted(str(each) for each in ids)
    assert all(isinstance(each, UUID) and each.version == 7 and each.variant.startswith("specified") for each in ids)
    assert before <= ids[0].int >> 80 <= time.time_ns() // 1_000_000


def test_ids_rise_while_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    make = Uuid7()
    first = make()
    monkeypatch.setattr(uuid7.time, "time_ns", lambda: 1_000_000_000)
    ids = [make() for _ in range(10_000)]
    assert [first, *ids] == sorted([first, *ids])
