"""Where the client goes, how it gets in, and how it tries again: always as one and the same change."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from shotline.client import AssetService, Cancelled, DeadlineExceeded, InvalidArgument, ShotlineError, Unavailable

from services.runtime import local_address
from tests.asset_graph.sdk.graphs import TOKEN, Graph, Wire
from tests.postgres import Database

WS = "reach"


def announce(folder: Path, address: str, token: str) -> None:
    """What `shotline up` leaves for clients."""
    local_address.write(
        folder, local_address.LocalAddress(grpc=address, http="http://127.0.0.1:1", token=token, pid=os.getpid())
    )


async def count(rows: asyncpg.Connection) -> int:
    found = await rows.fetchval("SELECT count(*) FROM assets")
    assert isinstance(found, int)
    return found


async def test_nothing_is_known_of_any_shotline() -> None:
    began = time.monotonic()
    async with AssetService() as service:
        with pytest.raises(Unavailable, match="shotline up"):
            await service.rules()
    assert time.monotonic() - began < 1  # nobody is waited for who was never there


async def test_nobody_answers_at_the_address(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shotline.client.connection.FIRST_PATIENCE", 0.3)
    began = time.monotonic()
    async with AssetService(f"127.0.0.1:{unused_tcp_port}", token="x") as service:
        with pytest.raises(Unavailable, match=f"nobody answers at 127.0.0.1:{unused_tcp_port}") as caught:
            await service.create_asset(WS, "film", "Film")
    assert caught.value.request_id  # sent again with it, it is made once
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("address", ["http://127.0.0.1:8080", "https://studio.example"])
async def test_an_http_address_is_refused_by_name(address: str) -> None:
    async with AssetService(address) as service:
        with pytest.raises(ValueError, match="not a gRPC address"):
            await service.rules()


async def test_a_token_of_the_environment_that_cannot_be_sent_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOTLINE_TOKEN", "secrät")
    async with AssetService("127.0.0.1:1") as service:
        with pytest.raises(ValueError, match=r"^SHOTLINE_TOKEN: "):
            await service.rules()


async def test_address_and_token_from_the_environment(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    service = AssetService(None)  # nothing is read, and nothing opened, before the first await
    monkeypatch.setenv("SHOTLINE_ADDRESS", graph.address)
    monkeypatch.setenv("SHOTLINE_TOKEN", TOKEN)
    assert (await service.rules())["asset_types"]
    await service.close()


async def test_address_and_token_from_the_local_start(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOTLINE_DATA", str(tmp_path / "data"))
    announce(tmp_path / "data", graph.address, TOKEN)
    for service in (AssetService(), AssetService(graph.address)):
        async with service:
            assert (await service.rules())["asset_types"]


async def test_the_local_token_goes_to_the_local_address_only(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOTLINE_DATA", str(tmp_path / "data"))
    announce(tmp_path / "data", "127.0.0.1:1", TOKEN)
    async with AssetService(graph.address) as service:
        with pytest.raises(ShotlineError) as caught:
            await service.rules()
    assert caught.value.code == "UNAUTHENTICATED"


async def test_a_local_start_at_another_port_is_found_again(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOTLINE_DATA", str(tmp_path / "data"))
    async with Wire(graph.address) as wire, AssetService() as service:
        announce(tmp_path / "data", wire.address, TOKEN)
        await service.create_asset(WS, "film", "Before")
        async with Wire(graph.address) as other:
            await wire.__aexit__()
            announce(tmp_path / "data", other.address, TOKEN)
            await service.create_asset(WS, "film", "After")
            assert other.connections
        assert [each["name"] async for each in AssetService(graph.address, token=TOKEN).list_assets(WS)] == [
            "Before",
            "After",
        ]


async def test_a_change_whose_answer_was_lost_is_made_once(graph: Graph, rows: asyncpg.Connection) -> None:
    async with Wire(graph.address) as wire, AssetService(wire.address, token=TOKEN) as service:
        await service.create_asset(WS, "film", "First")
        wire.mute()
        changing = asyncio.create_task(service.create_asset(WS, "film", "Second"))
        while await count(rows) < 2:  # it is made, and nobody has heard of it
            await asyncio.sleep(0.01)
        await wire.swallowed()
        assert not changing.done()
        await wire.cut()
        second = await changing
        assert wire.connections == 2
        assert await count(rows) == 2
        assert (await service.get_asset(second))["name"] == "Second"
        assert await rows.fetchval("SELECT revision FROM workspaces WHERE id = $1", WS) == 2


async def test_the_naive_client_makes_it_twice(graph: Graph, rows: asyncpg.Connection) -> None:
    """The opponent: the same story, with a request id made for each try."""
    async with Wire(graph.address) as wire, AssetService(wire.address, token=TOKEN) as service:
        await service.create_asset(WS, "film", "First")
        wire.mute()
        changing = asyncio.create_task(service.create_asset(WS, "film", "Second"))
        while await count(rows) < 2:
            await asyncio.sleep(0.01)
        changing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await changing
        await wire.cut()
        await service.create_asset(WS, "film", "Second")
        assert await count(rows) == 3


async def test_a_server_that_comes_back_is_waited_for(graph: Graph, rows: asyncpg.Connection) -> None:
    async with AssetService(graph.address, token=TOKEN) as service:
        film = await service.create_asset(WS, "film", "Film")
        await graph.stop()
        calls = [asyncio.create_task(service.create_shot(WS, f"Shot {n}", parent_id=film)) for n in range(8)]
        await asyncio.sleep(0.7)
        assert not any(call.done() for call in calls)
        await graph.start()
        assert len(set(await asyncio.gather(*calls))) == 8
        assert await count(rows) == 9


async def test_changes_under_way_when_the_server_is_killed_are_made_once(
    embedded_database: Database, tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shotline.client.connection.FIRST_PATIENCE", 60.0)  # the process may take its time to start
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    settings = {
        "SHOTLINE_GRPC_ADDRESS": f"127.0.0.1:{unused_tcp_port}",
        "SHOTLINE_TOKEN_FILE": str(tmp_path / "token"),
        "SHOTLINE_DATABASE_URL": embedded_database.app_url,
        "SHOTLINE_LOG_FILE": str(tmp_path / "server.log"),
    }

    def server() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "services.asset_graph.main"], env=os.environ | settings)

    running = server()
    try:
        async with AssetService(settings["SHOTLINE_GRPC_ADDRESS"], token=TOKEN, timeout=60) as service:
            film = await service.create_asset(WS, "film", "Film")
            enough = asyncio.Event()
            ids: list[str] = []

            async def make() -> None:
                while not enough.is_set():
                    ids.append(await service.create_shot(WS, f"Shot {len(ids)}", parent_id=film))

            making = [asyncio.create_task(make()) for _ in range(8)]
            for wanted in (20, 40):
                while len(ids) < wanted:
                    await asyncio.sleep(0.01)
                running.kill()
                running.wait()
                running = server()
            await service.get_asset(film)
            enough.set()
            await asyncio.gather(*making)
            children = await service.get_child_assets(film)
    finally:
        running.kill()
        running.wait()
    assert sorted(ids) == sorted(child["id"] for child in children)
    assert [child["sequence"] for child in children] == list(range(1, len(ids) + 1))


async def test_trying_again_ends_at_the_timeout(graph: Graph) -> None:
    async with AssetService(graph.address, token=TOKEN) as service:
        await service.rules()
        await graph.stop()
        began = time.monotonic()
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await service.create_asset(WS, "film", "Film", timeout=0.5)
        assert time.monotonic() - began < 1.5


async def test_what_trying_again_does_not_help_fails_at_once(graph: Graph) -> None:
    async with AssetService(graph.address, token=TOKEN) as service:
        began = time.monotonic()
        with pytest.raises(InvalidArgument):
            await service.create_asset(WS, "film", "Film", generation_cost="-1")
        assert time.monotonic() - began < 0.5


async def test_a_request_id_of_the_callers_own(service: AssetService, rows: asyncpg.Connection) -> None:
    request_id = uuid4()
    first = await service.create_asset(WS, "film", "Film", request_id=request_id)
    assert await service.create_asset(WS, "film", "Film", request_id=str(request_id)) == first
    assert await count(rows) == 1
    with pytest.raises(InvalidArgument) as reused:
        await service.create_asset(WS, "film", "Another", request_id=request_id)
    assert reused.value.reason == "REQUEST_ID_REUSED"


async def test_closing_ends_the_calls_that_run(graph: Graph) -> None:
    async with Wire(graph.address) as wire:
        service = AssetService(wire.address, token=TOKEN)
        await service.rules()
        wire.mute()
        running = asyncio.create_task(service.rules())
        await wire.swallowed()
        await service.close()
        with pytest.raises(Cancelled):
            await running
        with pytest.raises(Cancelled):
            await service.rules()
        await service.close()


async def test_cancelling_a_task_cancels_its_call(graph: Graph) -> None:
    async with Wire(graph.address) as wire, AssetService(wire.address, token=TOKEN) as service:
        await service.rules()
        wire.mute()
        running = asyncio.create_task(service.rules())
        await wire.swallowed()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_one_client_in_one_event_loop_after_another(graph: Graph) -> None:
    service = AssetService(graph.address, token=TOKEN)

    def work() -> None:
        for _ in range(2):
            assert asyncio.run(service.rules())["asset_types"]

    await asyncio.to_thread(work)


async def test_a_client_stays_in_its_event_loop(service: AssetService) -> None:
    await service.rules()

    def elsewhere() -> None:
        asyncio.run(service.rules())  # type: ignore[arg-type]

    with pytest.raises(RuntimeError, match="event loop of its first call"):
        await asyncio.to_thread(elsewhere)
