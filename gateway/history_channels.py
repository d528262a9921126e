"""Channels that look into the past of a project and bring it back."""

from collections.abc import Mapping

import orjson
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files

from gateway.arguments import Arguments
from gateway.channel import Channel, Payload, changed_sequence_payload, changed_shot_payload
from gateway.compose import Studio


async def _versions(studio: Studio, arguments: Arguments) -> Payload:
    options = arguments.options
    paged = options.has("pageSize") or options.has("pageToken")
    request = files.ListVersionsRequest(
        project_path=arguments.text("projectPath"),
        sequence_id=arguments.identifier("sequenceId"),
        shot_id=options.identifier("shotId", ""),
        page_size=options.integer("pageSize", 0),
        page_token=options.text("pageToken", ""),
    )
    versions: list[Payload] = []
    while True:
        page = await studio.sequence_files.ListVersions(request)
        versions += map(_version, page.versions)
        if paged:
            return {"versions": versions, "file": page.file, "nextPageToken": page.next_page_token}
        if not page.next_page_token:
            return {"versions": versions, "file": page.file}
        request.page_token = page.next_page_token


async def _get_version(studio: Studio, arguments: Arguments) -> Payload:
    request = files.GetVersionRequest(
        project_path=arguments.text("projectPath"),
        sequence_id=arguments.identifier("sequenceId"),
        revision=arguments.revision("revision"),
    )
    found = await studio.sequence_files.GetVersion(request)
    return {"version": _version(found.version), "document": orjson.Fragment(found.document_json)}


async def _differences(studio: Studio, arguments: Arguments) -> Payload:
    options = arguments.options
    request = files.DiffVersionsRequest(
        project_path=arguments.text("projectPath"),
        sequence_id=arguments.identifier("sequenceId"),
        from_revision=arguments.revision("fromRevision"),
        to_revision=options.revision("toRevision") if options.has("toRevision") else None,
        shot_id=options.identifier("shotId", ""),
    )
    answer = await studio.sequence_files.DiffVersions(request)
    return {"differences": [_difference(one) for one in answer.differences], "truncated": answer.truncated}


async def _restore(studio: Studio, arguments: Arguments) -> Payload:
    options = arguments.options
    request = files.RestoreVersionRequest(
        project_path=arguments.text("projectPath"),
        sequence_id=arguments.identifier("sequenceId"),
        revision=arguments.revision("revision"),
        shot_id=options.identifier("shotId", ""),
        etag=options.text("etag", ""),
        request_id=options.text("requestId", ""),
    )
    answer = await studio.sequence_files.RestoreVersion(request)
    return changed_shot_payload(answer.shot) if request.shot_id else changed_sequence_payload(answer.sequence)


async def _trash(studio: Studio, arguments: Arguments) -> Payload:
    request = files.ListTrashRequest(project_path=arguments.text("projectPath"))
    answer = await studio.sequence_files.ListTrash(request)
    return {"sequences": [_trashed(one) for one in answer.sequences]}


CHANNELS: Mapping[str, Channel] = {
    "sequence:versions": Channel(
        arguments=("projectPath", "sequenceId"), options=("shotId", "pageSize", "pageToken"), answer=_versions
    ),
    "sequence:version": Channel(arguments=("projectPath", "sequenceId", "revision"), answer=_get_version),
    "sequence:diff": Channel(
        arguments=("projectPath", "sequenceId", "fromRevision"),
        options=("toRevision", "shotId"),
        answer=_differences,
    ),
    "sequence:restore": Channel(
        arguments=("projectPath", "sequenceId", "revision"),
        options=("shotId", "etag", "requestId"),
        answer=_restore,
    ),
    "sequence:trash": Channel(arguments=("projectPath",), answer=_trash),
}


def _version(version: files.Version) -> Payload:
    return {
        "revision": version.revision,
        "createTime": version.create_time.ToJsonString(),
        "origin": _origin(version.origin),
        "summary": version.summary,
        "etag": version.etag,
        "sizeBytes": version.size_bytes,
        "current": version.current,
    }


def _difference(one: files.Difference) -> Payload:
    payload: Payload = {"shotId": one.shot_id, "pointer": one.pointer}
    if one.HasField("before_json"):
        payload["before"] = orjson.Fragment(one.before_json)
    if one.HasField("after_json"):
        payload["after"] = orjson.Fragment(one.after_json)
    if one.HasField("before_index"):
        payload["beforeIndex"] = one.before_index
    if one.HasField("after_index"):
        payload["afterIndex"] = one.after_index
    return payload


def _trashed(one: files.TrashedSequence) -> Payload:
    return {
        "sequenceId": one.sequence_id,
        "name": one.name,
        "file": one.file,
        "revision": one.revision,
        "deleteTime": one.delete_time.ToJsonString(),
        "origin": _origin(one.origin),
    }


def _origin(origin: files.Origin) -> Payload:
    return {
        "kind": files.Origin.Kind.Name(origin.kind).removeprefix("KIND_"),
        "principal": origin.principal,
        "client": origin.client,
        "requestId": origin.request_id,
    }
