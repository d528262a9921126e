"""The table of IPC channels, and the one dispatcher that Invoke and `POST /ipc/<channel>` share.

Arguments come as a JSON object of named ones or a JSON array of positional ones, `options` last and
optional. Documents go out as the raw JSON text that the file has: never decoded, never written anew.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import orjson
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.studio.v1 import studio_service_pb2 as pb

from gateway.arguments import Arguments, bind
from gateway.compose import Studio
from services.kernel.faults import Code, Fault
from services.runtime.wire import MAX_MESSAGE, too_large

# A list that another program changes while its pages are read is read anew this often.
_READINGS = 3
_LARGEST_PAGE = 10_000  # items; the services cap it, and cut at 3 MiB

Payload = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel: the names of its arguments in order, of its options, and what answers it."""

    arguments: tuple[str, ...]
    options: tuple[str, ...] = ()
    answer: Callable[[Studio, Arguments], Awaitable[Payload]]


class Channels:
    """Answers channels by name."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def call(self, name: str, arguments_json: str) -> bytes:
        """The envelope of a call that succeeded. Raises Fault."""
        if (channel := CHANNELS.get(name)) is None:
            raise Fault(
                Code.NOT_FOUND, "UNKNOWN_CHANNEL", f"no channel {name[:100]!r}; there are {', '.join(CHANNELS)}"
            )
        arguments = bind(arguments_json, channel.arguments, channel.options)
        try:
            payload = await channel.answer(self._studio, arguments)
        except Fault as fault:
            raise _in_words_of_the_caller(fault) from None
        envelope = orjson.dumps({"success": True, **payload})
        if len(envelope) > MAX_MESSAGE:
            raise too_large(len(envelope))
        return envelope

    async def invoke(self, name: str, arguments_json: str) -> bytes:
        """The envelope of a call, failed or not."""
        try:
            return await self.call(name, arguments_json)
        except Fault as fault:
            return failed(fault)


def _in_words_of_the_caller(fault: Fault) -> Fault:
    """A fault of a service, its request fields called as the channels call them."""
    told = fault.again()
    told.fields = {_WORDS.get(field, field): rule for field, rule in fault.fields.items()}
    for field in fault.fields:
        told.message = told.message.replace(f"{field}: ", f"{_WORDS.get(field, field)}: ", 1)
    return told


_WORDS = {
    "project_path": "projectPath",
    "sequence_id": "sequenceId",
    "shot_id": "shotId",
    "updates_json": "updates",
    "request_id": "requestId",
    "page_size": "pageSize",
    "page_token": "pageToken",
}


def failed(fault: Fault) -> bytes:
    """The envelope of a call that failed."""
    details: Payload = {key: _utf8(value) for key, value in fault.metadata.items()}
    if fault.fields:
        details["fields"] = {_utf8(field): _utf8(rule) for field, rule in fault.fields.items()}
    if fault.current is not None:
        details["currentEtag"] = fault.current.etag
        if fault.current.document_json is not None:
            details["current"] = orjson.Fragment(fault.current.document_json)
    if fault.retry_after is not None:
        details["retryAfterSeconds"] = fault.retry_after
    return orjson.dumps(
        {
            "success": False,
            "error": _utf8(fault.message),
            "code": fault.code.name,
            "reason": fault.reason,
            "details": details,
        }
    )


def _utf8(text: str) -> str:
    # A file name that is not UTF-8 reaches Python as lone surrogates, which JSON for the wire cannot hold.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


async def _update_sequence_shot(studio: Studio, arguments: Arguments) -> Payload:
    target = pb.ShotTarget(
        sequence_shot=pb.SequenceShot(
            project_path=arguments.text("projectPath"),
            sequence_id=arguments.identifier("sequenceId"),
            shot_id=arguments.identifier("shotId"),
        )
    )
    return _shot(await studio.update_shot(_update(target, arguments)))


async def _update_shot(studio: Studio, arguments: Arguments) -> Payload:
    return _shot(await studio.update_shot(_update(_target(arguments), arguments)))


async def _get_shot(studio: Studio, arguments: Arguments) -> Payload:
    return _shot(await studio.get_shot(pb.GetShotRequest(target=_target(arguments))))


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
    "shot:update": Channel(arguments=("target", "updates"), options=_CHANGE_OPTIONS, answer=_update_shot),
    "shot:get": Channel(arguments=("target",), answer=_get_shot),
}


def _target(arguments: Arguments) -> pb.ShotTarget:
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
        mode=options.choice("mode", _MODES, pb.UPDATE_MODE_UNSPECIFIED),
        etag=options.text("etag", ""),
        request_id=options.text("requestId", ""),
    )


_MODES = {
    "MERGE_PATCH": pb.UPDATE_MODE_MERGE_PATCH,
    "REPLACE_TOP_LEVEL": pb.UPDATE_MODE_REPLACE_TOP_LEVEL,
}


def _shot(shot: pb.Shot) -> Payload:
    stored_in = {"file": shot.stored_in.file}
    if shot.stored_in.sequence_id:
        stored_in["sequenceId"] = shot.stored_in.sequence_id
    return {"shot": orjson.Fragment(shot.document_json), "etag": shot.etag, "storedIn": stored_in}


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
