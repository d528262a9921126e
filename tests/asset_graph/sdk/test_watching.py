"""A watch gives each revision once, in order and whole, whatever happens to the connection."""

import asyncio
import random

import asyncpg
import pytest
from shotline.client import AssetService, OutOfRange, PermissionDenied, Watch
from shotline.client.shapes import GraphChange

from tests.asset_graph.sdk.graphs import NARROW, TOKEN, Graph, Wire

WS = "watched"


async def gather(watch: Watch[GraphChange], until: int) -> list[GraphChange]:
    found: list[GraphChange] = []
    async for change in watch:
        found.append(change)
        if change["revision"] >= until:
            break
    return found


async def test_changes_tell_what_became_of_what(service: AssetService) -> None:
    film = await service.create_asset(WS, "film", "Film")
    async with service.watch_changes(WS) as watch:
        assert await watch.begin() == watch.revision == 1
        shot = await service.create_shot(WS, "Shot", parent_id=film)
        take = await service.create_shot_take(shot, selected=True)
        await service.delete_asset(film)
        made, taken, deleted = await asyncio.wait_for(gather(watch, 4), 10)
    assert [change["revision"] for change in (made, taken, deleted)] == [2, 3, 4]
    assert [(each["id"], each["kind"], each["type"]) for each in made["assets"]] == [(shot, "created", "shot")]
    (edge,) = made["relationships"]
    assert (edge["parent_asset_id"], edge["child_asset_id"], edge["kind"], edge["sequence"]) == (
        film,
        shot,
        "created",
        1,
    )
    assert (made["actor"], made["client"]) == ("director", "shotline-sdk")
    assert made["request_id"]
    assert taken["selections"] == [{"shot_id": shot, "take_id": take, "previous_take_id": None}]
    assert [(each["id"], each["kind"], each["etag"]) for each in deleted["assets"]] == [(film, "deleted", None)]


async def test_a_watch_begins_where_it_is_told_to(service: AssetService) -> None:
    for n in range(5):
        await service.create_asset(WS, "film", f"Film {n}")
    for after in (0, 3):
        async with service.watch_changes(WS, after) as watch:
            found = await asyncio.wait_for(gather(watch, 5), 10)
        assert [change["revision"] for change in found] == list(range(after + 1, 6))
        assert watch.revision == 5


async def test_a_watch_that_is_cut_off_again_and_again_misses_nothing(
    graph: Graph, service: AssetService, rows: asyncpg.Connection
) -> None:
    ordinary = random.Random(4)
    async with Wire(graph.address) as wire, AssetService(wire.address, token=TOKEN) as watcher:
        watch = watcher.watch_changes(WS, 0, progress_seconds=0.1)
        watching = asyncio.create_task(gather(watch, 60))
        for n in range(60):
            await service.create_asset(WS, "film", f"Film {n}")
            if n % 6 == 0:
                await asyncio.sleep(ordinary.random() * 0.05)
                await wire.cut()
        found = await asyncio.wait_for(watching, 30)
        await watch.aclose()
        assert wire.connections > 2
    assert [change["revision"] for change in found] == list(range(1, 61))
    logged = await rows.fetch("SELECT DISTINCT revision FROM change_log WHERE workspace_id = $1 ORDER BY 1", WS)
    assert [row["revision"] for row in logged] == list(range(1, 61))


async def test_a_watch_goes_on_when_the_server_was_away(graph: Graph) -> None:
    async with AssetService(graph.address, token=TOKEN) as service, service.watch_changes(WS) as watch:
        start = await watch.begin()
        await service.create_asset(WS, "film", "Before")
        waiting = asyncio.create_task(gather(watch, start + 2))
        await graph.stop()
        await asyncio.sleep(0.3)
        await graph.start()
        await service.create_asset(WS, "film", "After")
        found = await asyncio.wait_for(waiting, 15)
    assert [change["assets"][0]["name"] for change in found] == ["Before", "After"]


async def test_waiting_with_a_timeout_loses_nothing(service: AssetService) -> None:
    async with service.watch_changes(WS, 0) as watch:
        for n in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watch), 0.05)
            await service.create_asset(WS, "film", f"Film {n}")
            assert (await asyncio.wait_for(anext(watch), 10))["revision"] == n + 1


async def test_closing_a_watch_ends_whoever_waits_for_it(service: AssetService) -> None:
    watch = service.watch_changes(WS)
    await watch.begin()

    async def all_of_it() -> list[GraphChange]:
        return [change async for change in watch]

    waiting = asyncio.create_task(all_of_it())
    await asyncio.sleep(0.05)
    await watch.aclose()
    assert await asyncio.wait_for(waiting, 5) == []
    assert not waiting.cancelling()
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_a_watch_too_far_back_says_so(service: AssetService) -> None:
    await service.create_asset(WS, "film", "Film")
    async with service.watch_changes(WS, 1_000) as watch:
        with pytest.raises(OutOfRange) as caught:
            await anext(watch)
    assert caught.value.reason == "REVISION_TOO_OLD"
    assert caught.value.details["revision"] == "1"


async def test_a_watch_of_another_workspace_is_denied(graph: Graph) -> None:
    async with AssetService(graph.address, token=NARROW) as trainee, trainee.watch_changes(WS) as watch:
        with pytest.raises(PermissionDenied):
            await watch.begin()


async def test_a_silent_connection_is_made_anew(
    graph: Graph, service: AssetService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shotline.client.watching.LEAST_SILENCE", 0.5)
    async with (
        Wire(graph.address) as wire,
        AssetService(wire.address, token=TOKEN) as watcher,
        watcher.watch_changes(WS, progress_seconds=0.1) as watch,
    ):
        await watch.begin()
        wire.mute()
        await service.create_asset(WS, "film", "Film")
        waiting = asyncio.create_task(anext(watch))
        await wire.swallowed()
        await asyncio.sleep(0.3)
        await wire.cut()
        assert (await asyncio.wait_for(waiting, 10))["revision"] == 1


async def test_closing_the_client_ends_its_watches(graph: Graph) -> None:
    service = AssetService(graph.address, token=TOKEN)
    watch = service.watch_changes(WS)
    await watch.begin()
    waiting = asyncio.create_task(anext(watch))
    await asyncio.sleep(0.05)
    await service.close()
    with pytest.raises(Exception, match="CLIENT_CLOSED"):
        await asyncio.wait_for(waiting, 5)
