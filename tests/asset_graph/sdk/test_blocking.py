"""The client without await: from plain functions, from many threads, and until the end of a program."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from shotline.client import BlockingAssetService, Cancelled, Conflict, NotFound
from shotline.client.shapes import GraphChange

from tests.asset_graph.sdk.graphs import TOKEN, Graph

WS = "blocking"
SCRIPT = """
import sys
from shotline.client import BlockingAssetService

service = BlockingAssetService(sys.argv[1], token=sys.argv[2])
film = service.create_asset("blocking", "film", "Film")
watch = service.watch_changes("blocking")
print(watch.begin(), [each["id"] == film for each in service.list_assets("blocking")])
"""


async def aside(work: Callable[[], None]) -> None:
    """Run plain code in a thread: the server is in this one."""
    await asyncio.to_thread(work)


async def test_the_same_calls_without_await(graph: Graph) -> None:
    def work() -> None:
        with BlockingAssetService(graph.address, token=TOKEN) as service:
            film = service.create_asset(workspace_id=WS, asset_type="film", name="Film")
            shot = service.create_shot(WS, "Shot", prompt="dusk", parent_id=film)
            take = service.create_shot_take(shot, selected=True, generation_cost="0.50")
            selected = service.get_selected_take(shot)
            assert selected is not None
            assert selected["id"] == take
            assert [each["sequence"] for each in service.get_child_assets(film, "contains_shot")] == [1]
            with service.batch(WS) as batch:
                images = [batch.create_asset("image", f"image {n:03}") for n in range(250)]
            listed = service.list_assets(WS, "image", page_size=100)
            assert next(listed)["id"] == batch.ids[images[0]]
            assert [each["id"] for each in listed] == [batch.ids[image] for image in images[1:]]
            begun = service.list_assets(WS, "image")
            next(begun)
            del begun
            etag = service.get_asset(film)["etag"]
            service.update_asset(film, "Other", etag=etag)
            with pytest.raises(Conflict) as conflict:
                service.update_asset(film, "Third", etag=etag)
            assert conflict.value.current is not None
            assert conflict.value.current["name"] == "Other"
            with pytest.raises(NotFound):
                service.get_asset("0195a1c2-7e00-7000-8000-000000000000")
        with pytest.raises((Cancelled, RuntimeError)):
            service.get_asset(film)
        service.close()

    await aside(work)


async def test_many_threads_use_one_client(graph: Graph) -> None:
    def work() -> None:
        with BlockingAssetService(graph.address, token=TOKEN) as service:
            shot = service.create_shot(WS, "Shot")
            with ThreadPoolExecutor(16) as threads:
                takes = list(threads.map(lambda _: service.create_shot_take(shot), range(48)))
            found = service.get_shot_takes(shot)
            assert sorted(takes) == sorted(take["id"] for take in found)
            assert [take["attempt_number"] for take in found] == list(range(1, 49))

    await aside(work)


async def test_a_watch_is_a_plain_iterator(graph: Graph) -> None:
    def work() -> None:
        with BlockingAssetService(graph.address, token=TOKEN) as service:
            found: list[GraphChange] = []
            with service.watch_changes(WS) as watch:
                assert watch.begin() == 0

                def read() -> None:
                    for change in watch:
                        found.append(change)
                        if len(found) == 3:
                            return

                reader = threading.Thread(target=read)
                reader.start()
                for n in range(3):
                    service.create_asset(WS, "film", f"Film {n}")
                reader.join(10)
            assert [change["revision"] for change in found] == [1, 2, 3]
            assert watch.revision == 3

    await aside(work)


async def test_a_watch_is_closed_while_another_thread_waits(graph: Graph) -> None:
    def work() -> None:
        with BlockingAssetService(graph.address, token=TOKEN) as service:
            watch = service.watch_changes(WS)
            watch.begin()
            with ThreadPoolExecutor(1) as threads:
                reading = threads.submit(lambda: list(watch))
                watch.close()
                assert reading.result(10) == []

    await aside(work)


async def test_closing_ends_a_watch_that_waits_in_another_thread(graph: Graph) -> None:
    def once() -> None:
        service = BlockingAssetService(graph.address, token=TOKEN)
        watch = service.watch_changes(WS)
        watch.begin()
        with ThreadPoolExecutor(1) as threads:
            reading = threads.submit(next, watch)
            service.close()
            with pytest.raises(Cancelled):
                reading.result(10)

    for _ in range(10):  # the end of the call and that of its loop run a race
        await aside(once)


async def test_a_client_that_was_never_used_is_closed() -> None:
    before = threading.active_count()
    with BlockingAssetService("127.0.0.1:1", token="x"):
        pass
    assert threading.active_count() == before


async def test_a_script_that_closes_nothing_ends_well(graph: Graph, tmp_path: Path) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-c", SCRIPT, graph.address, TOKEN],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 [True]\n", "")
