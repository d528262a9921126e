"""Several watches as one stream: each source in its own order, none faster than the caller reads."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.studio.v1 import studio_service_pb2 as pb

from gateway.backends import SequenceFiles
from services.kernel.faults import Fault, invalid_field
from services.runtime import call
from services.runtime.admission import stopping_fault

MOST_SOURCES = 100


async def watch(backend: SequenceFiles, request: pb.WatchRequest) -> AsyncGenerator[pb.WatchResponse, None]:
    """What happens to the sources of a request, until the watch of one of them ends. Raises Fault."""
    sources = _sources(request)
    # Of one place: what the caller does not take is not taken from the services either.
    arrivals: asyncio.Queue[tuple[int, files.WatchProjectResponse | Exception]] = asyncio.Queue(1)

    async def follow(index: int, source: files.WatchProjectRequest) -> None:
        _part_of_the_call()
        try:
            async with aclosing(backend.WatchProject(source)) as messages:
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


def _sources(request: pb.WatchRequest) -> Sequence[files.WatchProjectRequest]:
    """The watches that make up the one that is asked for. Raises INVALID_FIELD."""
    if not 1 <= len(request.sources) <= MOST_SOURCES:
        raise invalid_field("sources", f"must be 1 to {MOST_SOURCES}")
    asked: list[files.WatchProjectRequest] = []
    for index, source in enumerate(request.sources):
        if source.WhichOneof("source") is None:
            raise invalid_field(f"sources[{index}].project", "must name a project")
        project = source.project
        asked.append(
            files.WatchProjectRequest(
                project_path=project.project_path,
                after_revision=project.after_revision if project.HasField("after_revision") else None,
                log_id=project.log_id,
                progress_seconds=request.progress_seconds,
            )
        )
    return asked


def _response(index: int, source: files.WatchProjectRequest, message: files.WatchProjectResponse) -> pb.WatchResponse:
    response = pb.WatchResponse(source=index, project_path=source.project_path)
    # Copied by wire; a test keeps the messages' fields equal.
    if message.WhichOneof("message") == "change":
        response.project_change.MergeFromString(message.change.SerializeToString())
    else:
        response.progress.MergeFromString(message.progress.SerializeToString())
    return response
