"""Many changes as one transaction, and following the changes of a workspace."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.client import asking, reading
from shotline.client.arguments import checked, checks_arguments
from shotline.client.calls import Calls
from shotline.client.connection import Patience
from shotline.client.shapes import GraphChange, Id, Result
from shotline.client.watching import Watch, stall

Arguments = ParamSpec("Arguments")
Request = TypeVar("Request")

_MAKING = frozenset({"create_asset", "create_relationship", "create_shot", "create_shot_take", "link_take_video"})


def _adding(kind: str, ask: Callable[Arguments, Request]) -> Callable[Concatenate["Changes", Arguments], str]:
    ask = checked(ask)

    def add(self: "Changes", /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> str:
        return self._add(kind, ask(*args, **kwargs))

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    signature = inspect.Signature([own, *inspect.signature(ask).parameters.values()], return_annotation=str)
    vars(add)["__signature__"] = signature  # for help()
    add.__name__, add.__doc__ = kind, ask.__doc__
    return add


class Changes:
    """Changes of one workspace that are made together: all of them or none.

    Each method takes what the service's method of the same name takes, without workspace and request id, and gives a
    temporary id such as "$1", which stands for what the change makes wherever a later change wants an id:

        async with service.batch("ws-123") as batch:
            film = batch.create_asset("film", "Harbour")
            shot = batch.create_shot("Shot 1", parent_id=film)
            batch.create_shot_take(shot, generation_cost="0.50")
        film_id = batch.ids[film]
    """

    create_asset = _adding("create_asset", asking.create_asset)
    update_asset = _adding("update_asset", asking.update_asset)
    delete_asset = _adding("delete_asset", asking.delete_asset)
    create_relationship = _adding("create_relationship", asking.create_relationship)
    delete_relationship = _adding("delete_relationship", asking.delete_relationship)
    move_relationship = _adding("move_relationship", asking.move_relationship)
    create_shot = _adding("create_shot", asking.create_shot)
    link_shot_assets = _adding("link_shot_assets", asking.link_shot_assets)
    create_shot_take = _adding("create_shot_take", asking.create_shot_take)
    link_take_video = _adding("link_take_video", asking.link_take_video)
    select_take = _adding("select_take", asking.select_take)

    @checked
    def __init__(self, workspace_id: str) -> None:
        self.workspace_id = workspace_id
        self.results: dict[str, Result] = {}  # by temporary id, once the changes are made
        self.revision: int | None = None  # of all of them; 0 where nothing changed; None before they are made
        self._changes: list[pb.Change] = []

    @property
    def ids(self) -> dict[str, str]:
        """Ids by temporary id, once the changes are made; of what is there afterwards."""
        return {temporary: result["id"] for temporary, result in self.results.items() if result["id"] is not None}

    def __len__(self) -> int:
        return len(self._changes)

    def __bool__(self) -> bool:
        return True  # an empty batch is a batch

    def _add(self, kind: str, request: Any) -> str:
        temporary = f"${len(self._changes) + 1}"
        self._changes.append(pb.Change(temp_id=temporary if kind in _MAKING else "", **{kind: request}))
        return temporary

    def _request(self, request_id: Id | None) -> pb.ApplyChangesRequest:
        return pb.ApplyChangesRequest(
            workspace_id=self.workspace_id, changes=self._changes, request_id=asking.request_id(request_id)
        )

    def _made(self, answer: pb.ApplyChangesResponse) -> None:
        self.revision = answer.revision
        self.results = {
            f"${number}": {"id": each.id or None, "etag": each.etag or None}
            for number, each in enumerate(answer.results, 1)
        }


@checks_arguments
class ChangeCalls(Calls):
    """Calls about many changes."""

    async def apply_changes(
        self, changes: Changes, *, request_id: Id | None = None, timeout: float | None = None
    ) -> dict[str, Result]:
        """Make all changes or none, at most 20,000; what each made, by temporary id. See `batch` for the short form.

        Raises what the single calls raise, with `details["change_index"]`, counted from 0.
        """
        changes._made(await self._call(lambda stub: stub.ApplyChanges, changes._request(request_id), timeout))
        return changes.results

    @asynccontextmanager
    async def batch(
        self, workspace_id: str, *, request_id: Id | None = None, timeout: float | None = None
    ) -> AsyncIterator[Changes]:
        """Collect changes, and make them at the end of the block, unless it raises or there are none."""
        changes = Changes(workspace_id)
        yield changes
        if len(changes):
            await self.apply_changes(changes, request_id=request_id, timeout=timeout)

    def watch_changes(
        self, workspace_id: str, after_revision: int | None = None, *, progress_seconds: float = 15.0
    ) -> Watch[GraphChange]:
        """Follow the changes of a workspace, whoever makes them: `async for change in service.watch_changes(…)`.

        after_revision: the last revision that you have seen. None: from now on; 0: from the first that is kept (24
            hours).
        progress_seconds: how often the server says that it is there when nothing happens, 0.1 to 60.
        Lost connections are made anew without a gap. Raises OutOfRange where the changes behind the revision are no
        longer kept, PermissionDenied.
        """

        async def messages(revision: int | None) -> AsyncGenerator[tuple[int | None, GraphChange | None], None]:
            request = pb.WatchChangesRequest(
                workspace_id=workspace_id, after_revision=revision, progress_seconds=progress_seconds
            )
            stream = self._connection.stream(lambda stub: stub.WatchChanges, request, stall(progress_seconds))
            async with aclosing(stream):
                async for message in stream:
                    if message.HasField("change"):
                        yield message.change.revision, reading.graph_change(message.change)
                    elif message.HasField("progress"):
                        yield message.progress.revision, None

        return Watch(messages, lambda deadline: Patience(self._connection, deadline), after_revision)
