"""The same without await: each client runs an event loop in a thread of its own."""

import asyncio
import functools
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from shotline.client.changes import Changes
from shotline.client.connection import NAME, TIMEOUT
from shotline.client.errors import Cancelled
from shotline.client.service import AssetService
from shotline.client.shapes import GraphChange, Id
from shotline.client.watching import Watch

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")
Client = TypeVar("Client")

_AHEAD = 100  # items of a list that one way to the other thread brings


class Runner:
    """An event loop in a thread, started when it is first wanted."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._end: Callable[[], object] = lambda: None

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        """The result of `work`, from any thread. Raises Cancelled once it is closed."""
        try:
            loop = self._started()
        except BaseException:
            work.close()
            raise
        running = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return running.result()
        except futures.CancelledError:  # another thread has closed the client, and that was quicker than the call's end
            raise Cancelled("the client was closed while the call ran", reason="CLIENT_CLOSED") from None
        except BaseException:
            running.cancel()  # Ctrl-C ends the call, too; of work that has failed, nothing
            raise

    def iterate(self, items: AsyncGenerator[Value, None]) -> Iterator[Value]:
        """The items as a plain iterator; closing it closes them."""
        try:
            while some := self.run(_some(items)):
                yield from some
        finally:
            with suppress(Cancelled):
                self.run(_end(items))

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """End the loop and its thread, after `last` where there is a loop at all. Closing twice is no error."""
        with self._starting:
            loop, closed = self._loop, self._closed
            self._closed = True
        if loop is not None and not closed:
            asyncio.run_coroutine_threadsafe(last(), loop).result()
            self._end()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._closed:
                raise Cancelled("the client is closed", reason="CLIENT_CLOSED")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_run, args=(self._loop,), name="shotline", daemon=True)
                thread.start()
                # Also when the program ends without a word: a thread that is torn away may tear others along.
                self._end = weakref.finalize(self, _stop, self._loop, thread)
            return self._loop


class BlockingWatch(Generic[Value]):
    """The changes behind a revision, each once and in order: `for change in watch`. See `Watch`."""

    def __init__(self, runner: Runner, watch: Watch[Value]) -> None:
        self._runner = runner
        self._watch = watch

    @property
    def revision(self) -> int | None:
        """Everything up to this revision was given: a later watch can go on behind it."""
        return self._watch.revision

    def begin(self) -> int:
        """Wait until the server follows the workspace; the revision behind which the changes will come."""
        return self._runner.run(self._watch.begin())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Value:
        try:
            return self._runner.run(self._watch.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Stop following; an iteration that waits in another thread ends."""
        with suppress(Cancelled):
            self._runner.run(self._watch.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def blocking(
    method: Callable[Concatenate[AssetService, Arguments], Coroutine[Any, Any, Value]],
) -> Callable[Concatenate["BlockingAssetService", Arguments], Value]:
    """A method that waits for the one of AssetService."""

    def call(self: "BlockingAssetService", /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Value:
        return self._runner.run(method(self._service, *args, **kwargs))

    functools.update_wrapper(call, method)
    return call


def iterating(
    method: Callable[Concatenate[AssetService, Arguments], AsyncGenerator[Value, None]],
) -> Callable[Concatenate["BlockingAssetService", Arguments], Iterator[Value]]:
    """A method that iterates over what the one of AssetService does."""

    def iterate(self: "BlockingAssetService", /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Iterator[Value]:
        return self._runner.iterate(method(self._service, *args, **kwargs))

    functools.update_wrapper(iterate, method)
    return iterate


class BlockingAssetService:
    """AssetService without await, for scripts and threads: the same methods, arguments, answers and exceptions.

        with BlockingAssetService() as asset_service:
            shot_id = asset_service.create_shot(workspace_id="ws-123", name="Shot 1")

    One client may be used by many threads at once. Lists are plain iterators.
    """

    create_asset = blocking(AssetService.create_asset)
    get_asset = blocking(AssetService.get_asset)
    get_assets = blocking(AssetService.get_assets)
    list_assets = iterating(AssetService.list_assets)
    update_asset = blocking(AssetService.update_asset)
    delete_asset = blocking(AssetService.delete_asset)
    undelete_asset = blocking(AssetService.undelete_asset)
    list_deleted_assets = iterating(AssetService.list_deleted_assets)
    rules = blocking(AssetService.rules)

    create_relationship = blocking(AssetService.create_relationship)
    delete_relationship = blocking(AssetService.delete_relationship)
    move_relationship = blocking(AssetService.move_relationship)
    get_child_assets = blocking(AssetService.get_child_assets)
    get_parent_assets = blocking(AssetService.get_parent_assets)

    create_shot = blocking(AssetService.create_shot)
    link_shot_assets = blocking(AssetService.link_shot_assets)
    unlink_shot_assets = blocking(AssetService.unlink_shot_assets)
    create_shot_take = blocking(AssetService.create_shot_take)
    link_take_video = blocking(AssetService.link_take_video)
    get_shot_takes = blocking(AssetService.get_shot_takes)
    get_selected_take = blocking(AssetService.get_selected_take)
    select_take = blocking(AssetService.select_take)
    get_shot_structure = blocking(AssetService.get_shot_structure)
    get_shot_metrics = blocking(AssetService.get_shot_metrics)

    get_film_structure = blocking(AssetService.get_film_structure)
    list_film_shots = iterating(AssetService.list_film_shots)
    get_film_cost = blocking(AssetService.get_film_cost)

    apply_changes = blocking(AssetService.apply_changes)

    def __init__(
        self,
        db: str | None = None,
        *,
        address: str | None = None,
        token: str | None = None,
        timeout: float = TIMEOUT,
        client: str = NAME,
    ) -> None:
        """As AssetService."""
        self._service = AssetService(db, address=address, token=token, timeout=timeout, client=client)
        self._runner = Runner()

    @contextmanager
    def batch(
        self, workspace_id: str, *, request_id: Id | None = None, timeout: float | None = None
    ) -> Iterator[Changes]:
        """Collect changes, and make them at the end of the block, unless it raises or there are none."""
        changes = Changes(workspace_id)
        yield changes
        if len(changes):
            self.apply_changes(changes, request_id=request_id, timeout=timeout)

    def watch_changes(
        self, workspace_id: str, after_revision: int | None = None, *, progress_seconds: float = 15.0
    ) -> BlockingWatch[GraphChange]:
        """Follow the changes of a workspace: `for change in service.watch_changes(…)`. See AssetService."""
        watch = self._service.watch_changes(workspace_id, after_revision, progress_seconds=progress_seconds)
        return BlockingWatch(self._runner, watch)

    def close(self) -> None:
        """Let connection and thread go. Calls of other threads that still run raise Cancelled. Twice is no error."""
        self._runner.close(self._service.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def _some(items: AsyncGenerator[Value, None]) -> list[Value]:
    found: list[Value] = []
    async for item in items:
        found.append(item)
        if len(found) == _AHEAD:
            break
    return found


async def _end(items: AsyncGenerator[Value, None]) -> None:
    await items.aclose()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    async def cancel_all() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await loop.shutdown_asyncgens()

    if threading.current_thread() is thread:  # thrown away by its own work
        loop.stop()
        return
    asyncio.run_coroutine_threadsafe(cancel_all(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()
