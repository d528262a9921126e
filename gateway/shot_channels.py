"""Channels that read sequences and shots, and change one shot."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import orjson
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.studio.v1 import studio_service_pb2 as pb

from gateway.arguments import Arguments
from gateway.channel import MODES, Channel, Payload, changed_shot_payload, shot_payload
from gateway.compose import Studio
from services.kernel.faults import Fault
from services.runtime.wire import MAX_MESSAGE, too_large

# A list that another program changes while its pages are read is read anew this often.
_READINGS = 3
_LARGEST_PAGE = 10_000  # items; the services cap it, and cut at 3 MiB


async def _update_sequence_shot(studio: Studio, arguments: Arguments) -> Payload:
    target = pb.ShotTarget(
        sequence_shot=pb.SequenceShot(
            project_path=arguments.text("projectPath"),
            sequence_id=arguments.identifier("sequenceId"),
            shot_id=arguments.identifier("shotId"),
        )
    )
    return changed_shot_payload(await studio.update_shot(_update(target, arguments)))


async def _update_shot(studio: Studio, arguments: Arguments) -> Payload:
    return changed_shot_payload(await studio.update_shot(_update(_target(arguments), arguments)))


async def _get_shot(studio: Studio, arguments: Arguments) -> Payload:
    return shot_payload(await studio.get_shot(pb.GetShotRequest(target=_target(arguments))))


async def _get_shots(studio: Studio, arguments: Arguments) -> Payload:
    request = pb.GetShotsRequest(
        project_path=arguments.text("projectPath"), sequence_id=arguments.identifier("sequenceId")
    )

    async def read(size: int, token: str) -> files.GetShotsResponse:
        request.page_size, request.page_token = size, token
        return await studio.list_shots(request)

    pages, documents, rest = await _read(arguments, read, lambda page: page.shots)
    return {
        "shots": documents,
        "etag": pages[0].etag,
        "etags": {shot.id: shot.etag for page in pages for shot in page.shots if shot.id},
        **rest,
    }


async def _get_all_sequences(studio: Studio, arguments: Arguments) -> Payload:
    request = pb.GetAllSequencesRequest(project_path=arguments.text("projectPath"))

    async def read(size: int, token: str) -> files.ListSequencesResponse:
        request.page_size, request.page_token = size, token
        return await studio.list_sequences(request)

    pages, documents, rest = await _read(arguments, read, lambda page: page.sequences)
    return {
        "sequences": documents,
        "unreachable": [_unreachable(one) for page in pages for one in page.unreachable],
        **rest,
    }


_PAGE_OPTIONS = ("pageSize", "pageToken")
_CHANGE_OPTIONS = ("etag", "requestId", "mode")

CHANNELS: Mapping[str, Channel] = {
    "sequence:update-shot": Channel(
        arguments=("projectPath", "sequenceId", "shotId", "updates"),
        options=_CHANGE_OPTIONS,
        answer=_update_sequence_shot,
    ),
    "sequence:get-shots": Channel(arguments=("projectPath", "sequenceId"), options=_PAGE_OPTIONS, answer=_get_shots),
    "sequence:get-all": Channel(arguments=("projectPath",), options=_PAGE_OPTIONS, answer=_get_all_sequences),
    "shot:update": Channel(
        arguments=("target", "updates"),
        options=_CHANGE_OPTIONS,
        answer=_update_shot,
        levels=2,  # the metadata of a graph shot
    ),
    "shot:get": Channel(arguments=("target",), answer=_get_shot),
}


_KNOWN = ("projectPath", "shotId", "sequenceId", "graphShot")


def _target(arguments: Arguments) -> pb.ShotTarget:
    if arguments.within("target", required=(), optional=_KNOWN).has("graphShot"):
        target = arguments.within("target", required=("graphShot",), optional=())
        shot_id = target.within("graphShot", required=("shotId",), optional=()).text("shotId")
        return pb.ShotTarget(graph_shot=pb.GraphShot(shot_id=shot_id))
    target = arguments.within("target", required=("projectPath", "shotId"), optional=("sequenceId",))
    project_path, shot_id = target.text("projectPath"), target.identifier("shotId")
    if target.has("sequenceId"):
        sequence_id = target.identifier("sequenceId")
        return pb.ShotTarget(
            sequence_shot=pb.SequenceShot(project_path=project_path, sequence_id=sequence_id, shot_id=shot_id)
        )
    return pb.ShotTarget(project_shot=pb.ProjectShot(project_path=project_path, shot_id=shot_id))


def _update(target: pb.ShotTarget, arguments: Arguments) -> pb.UpdateShotRequest:
    options = arguments.options
    return pb.UpdateShotRequest(
        target=target,
        updates_json=arguments.object_json("updates"),
        mode=options.choice("mode", MODES, pb.UPDATE_MODE_UNSPECIFIED),
        etag=options.text("etag", ""),
        request_id=options.text("requestId", ""),
    )


def _unreachable(one: files.UnreachableSequence) -> Payload:
    return {
        "file": one.file,
        "id": one.id,
        "reason": one.reason,
        "message": one.message,
        "line": one.line,
        "column": one.column,
    }


class _Document(Protocol):
    document_json: str


class _Page(Protocol):
    next_page_token: str


Page = TypeVar("Page", bound=_Page)


async def _read(
    arguments: Arguments,
    read: Callable[[int, str], Awaitable[Page]],
    items: Callable[[Page], Sequence[_Document]],
) -> tuple[list[Page], list[orjson.Fragment], Payload]:
    """Pages of a list and their documents: all of them or, where the caller pages, one and its successor's token."""
    options = arguments.options
    if options.has("pageSize") or options.has("pageToken"):
        page = await read(options.integer("pageSize", 0), options.text("pageToken", ""))
        documents = [orjson.Fragment(item.document_json) for item in items(page)]
        return [page], documents, {"nextPageToken": page.next_page_token}
    for _ in range(_READINGS - 1):
        try:
            return *await _read_all(read, items), {}
        except Fault as fault:
            if fault.reason != "PAGE_TOKEN_STALE":
                raise
    return *await _read_all(read, items), {}


async def _read_all(
    read: Callable[[int, str], Awaitable[Page]], items: Callable[[Page], Sequence[_Document]]
) -> tuple[list[Page], list[orjson.Fragment]]:
    pages: list[Page] = []
    documents: list[orjson.Fragment] = []
    size, token = 0, ""
    while True:
        page = await read(_LARGEST_PAGE, token)
        pages.append(page)
        for item in items(page):
            text = item.document_json
            size += len(text)  # characters, so never more than the bytes that `call` counts in the end
            documents.append(orjson.Fragment(text))
        if size > MAX_MESSAGE:
            raise too_large(size, "read it in pages, by options.pageSize and options.pageToken")
        if not (token := page.next_page_token):
            return pages, documents
