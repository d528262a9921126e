"""Several watches as one stream: each source in its own order, none faster than the caller reads."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from shotline.asset_graph.v1 import asset_graph_service_pb2 as graph
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.studio.v1 import studio_service_pb2 as pb

from gateway.backends import AssetGraph, SequenceFiles
from services.kernel.faults import Fault, invalid_field
from services.runtime import call
from services.runtime.admission import stopping_fault

MOST_SOURCES = 100

Message = files.WatchProjectResponse | graph.WatchChangesResponse


@dataclass(frozen=True, slots=True)
class Source:
    """One thing to follow: what begins its watch, and what the request calls it."""

    messages: Callable[
        [], AsyncGenerator[files.WatchProjectResponse, None] | AsyncGenerator[graph.WatchChangesResponse, None]
    ]
    project_path: str = ""
    workspace_id: str = ""


async def watch(
    sequence_files: SequenceFiles, asset_graph: Callable[[], AssetGraph], request: pb.WatchRequest
) -> AsyncGenerator[pb.WatchResponse, None]:
    """What happens to the sources of a request, until the watch of one of them ends. `asset_graph` gives it, or raises
    where there is none. Raises Fault."""
    sources = [_source(sequence_files, asset_graph, request, index) for index in range(_count(request))]
    # Of one place: what the caller does not take is not taken from the services either.
    arrivals: asyncio.Queue[tuple[int, Message | Exception]] = asyncio.Queue(1)

    async def follow(index: int, source: Source) -> None:
        _part_of_the_call()
        try:
            async with aclosing(source.messages()) as messages:
                async for message in messages:
                    await arrivals.put((index, message))
            raise stopping_fault()
        except Exception as error:  # noqa: BLE001  # raised below, where the caller's watch ends
            await arrivals.put((index, error))

    tasks = [asyncio.create_task(follow(index, source)) for index, source in enumerate(sources)]
    sent: list[int | None] = [None] * len(sources)  # the last revision of each source
    try:
        while True:
            index, arrived = await arrivals.get()
            if isinstance(arrived, Fault):
                told = arrived.again()
                told.metadata |= {"source": str(index), **_farewell(sent)}
                raise told
            if isinstance(arrived, Exception):
                raise arrived
            sent[index] = arrived.change.revision or arrived.progress.revision
            if current := call.current():
                current.farewell.update(_farewell(sent))
            yield _response(index, sources[index], arrived)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _part_of_the_call() -> None:
    """Make the current call one of this task, whose farewell is not that of the whole."""
    if current := call.current():
        call.begin(replace(current, farewell={}))


def _farewell(sent: Sequence[int | None]) -> dict[str, str]:
    """What a watch that has begun tells its caller at its end: where to go on."""
    if not any(revision is not None for revision in sent):
        return {}
    return {"revisions": ",".join("" if revision is None else str(revision) for revision in sent)}


def _count(request: pb.WatchRequest) -> int:
    if not 1 <= len(request.sources) <= MOST_SOURCES:
        raise invalid_field("sources", f"must be 1 to {MOST_SOURCES}")
    return len(request.sources)


def _source(
    sequence_files: SequenceFiles, asset_graph: Callable[[], AssetGraph], request: pb.WatchRequest, index: int
) -> Source:
    """The watch of one source. Raises INVALID_FIELD."""
    match request.sources[index].WhichOneof("source"):
        case "project":
            project = request.sources[index].project
            of_project = files.WatchProjectRequest(
                project_path=project.project_path,
                after_revision=project.after_revision if project.HasField("after_revision") else None,
                log_id=project.log_id,
                progress_seconds=request.progress_seconds,
            )
            return Source(lambda: sequence_files.WatchProject(of_project), project_path=project.project_path)
        case "workspace":
            workspace = request.sources[index].workspace
            of_workspace = graph.WatchChangesRequest(
                workspace_id=workspace.workspace_id,
                after_revision=workspace.after_revision if workspace.HasField("after_revision") else None,
                progress_seconds=request.progress_seconds,
            )
            backend = asset_graph()
            return Source(lambda: backend.WatchChanges(of_workspace), workspace_id=workspace.workspace_id)
        case None:
            raise invalid_field(f"sources[{index}]", "must name a project or a workspace")


def _response(index: int, source: Source, message: Message) -> pb.WatchResponse:
    response = pb.WatchResponse(source=index, project_path=source.project_path, workspace_id=source.workspace_id)
    if message.WhichOneof("message") == "progress":
        response.progress.MergeFromString(message.progress.SerializeToString())
    elif isinstance(message, files.WatchProjectResponse):
        # Copied by wire; a test keeps the messages' fields equal.
        response.project_change.MergeFromString(message.change.SerializeToString())
    else:
        response.graph_change.CopyFrom(_graph_change(message.change))
    return response


def _graph_change(change: graph.GraphChange) -> pb.GraphChange:
    told = pb.GraphChange(revision=change.revision, create_time=change.create_time, truncated=change.truncated)
    told.origin.kind = pb.Origin.KIND_CLIENT
    told.origin.principal, told.origin.client, told.origin.request_id = change.actor, change.client, change.request_id
    # By wire again.
    told.assets.extend(pb.AssetChange.FromString(each.SerializeToString()) for each in change.assets)
    told.relationships.extend(
        pb.RelationshipChange.FromString(each.SerializeToString()) for each in change.relationships
    )
    told.selections.extend(pb.SelectionNotice.FromString(each.SerializeToString()) for each in change.selections)
    return told
