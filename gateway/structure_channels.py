"""Channels that change which sequences and shots there are, their order, and many shots at once."""

from collections.abc import Mapping

from shotline.sequence_file.v1 import sequence_file_service_pb2 as files

from gateway.arguments import Arguments
from gateway.channel import (
    MODES,
    Channel,
    Payload,
    changed_sequence_payload,
    changed_shot_payload,
    failure,
    sequence_payload,
    shot_payload,
)
from gateway.compose import Studio
from services.kernel.faults import Code, Current, Fault, invalid_field


async def _create_sequence(studio: Studio, arguments: Arguments) -> Payload:
    request = files.CreateSequenceRequest(
        project_path=arguments.text("projectPath"),
        sequence_id=arguments.options.identifier("sequenceId", ""),
        document_json=arguments.object_json("document"),
        request_id=arguments.options.text("requestId", ""),
    )
    return changed_sequence_payload(await studio.sequence_files.CreateSequence(request))


async def _update_sequence(studio: Studio, arguments: Arguments) -> Payload:
    request = files.UpdateSequenceRequest(
        project_path=arguments.text("projectPath"),
        sequence_id=arguments.identifier("sequenceId"),
        updates_json=arguments.object_json("updates"),
        etag=arguments.options.text("etag", ""),
        request_id=arguments.options.text("requestId", ""),
    )
    return changed_sequence_payload(await studio.sequence_files.UpdateSequence(request))


async def _delete_sequence(studio: Studio, arguments: Arguments) -> Payload:
    request = files.DeleteSequenceRequest(
        project_path=arguments.text("projectPath"),
        sequence_id=arguments.identifier("sequenceId"),
        etag=arguments.options.text("etag", ""),
        request_id=arguments.options.text("requestId", ""),
    )
    return {"revision": (await studio.sequence_files.DeleteSequence(request)).revision}


async def _reorder_sequences(studio: Studio, arguments: Arguments) -> Payload:
    request = files.ReorderSequencesRequest(
        project_path=arguments.text("projectPath"),
        sequence_ids=arguments.identifiers("sequenceIds"),
        request_id=arguments.options.text("requestId", ""),
    )
    answer = await studio.sequence_files.ReorderSequences(request)
    sequences = [{**sequence_payload(one), "etag": one.etag} for one in answer.sequences]
    return {"sequences": sequences, "revision": answer.revision}


async def _create_shot(studio: Studio, arguments: Arguments) -> Payload:
    request = files.CreateShotRequest(
        project_path=arguments.text("projectPath"),
        sequence_id=arguments.identifier("sequenceId"),
        document_json=arguments.object_json("shot"),
        place=_place(arguments.options, "options"),
        request_id=arguments.options.text("requestId", ""),
    )
    return changed_shot_payload(await studio.sequence_files.CreateShot(request))


async def _delete_shot(studio: Studio, arguments: Arguments) -> Payload:
    target = _target(arguments)
    request = files.DeleteShotRequest(
        project_path=target.text("projectPath"),
        sequence_id=target.identifier("sequenceId"),
        shot_id=target.identifier("shotId"),
        etag=arguments.options.text("etag", ""),
        request_id=arguments.options.text("requestId", ""),
    )
    return {"revision": (await studio.sequence_files.DeleteShot(request)).revision}


async def _move_shot(studio: Studio, arguments: Arguments) -> Payload:
    target = _target(arguments)
    place = arguments.within("place", required=(), optional=("sequenceId", *_PLACE))
    request = files.MoveShotRequest(
        project_path=target.text("projectPath"),
        sequence_id=target.identifier("sequenceId"),
        shot_id=target.identifier("shotId"),
        target_sequence_id=place.identifier("sequenceId", ""),
        place=_place(place, "place"),
        etag=arguments.options.text("etag", ""),
        request_id=arguments.options.text("requestId", ""),
    )
    return changed_shot_payload(await studio.sequence_files.MoveShot(request))


async def _update_shots(studio: Studio, arguments: Arguments) -> Payload:
    edits = arguments.each("edits", required=("shotId", "updates"), optional=("sequenceId", "mode", "etag"))
    request = files.BatchUpdateShotsRequest(
        project_path=arguments.text("projectPath"),
        edits=map(_edit, edits),
        all_or_nothing=arguments.options.flag("allOrNothing"),
        request_id=arguments.options.text("requestId", ""),
    )
    answer = await studio.sequence_files.BatchUpdateShots(request)
    return {"results": [_result(one) for one in answer.results], "revision": answer.revision}


_PLACE = ("afterShotId", "index")
_CHANGE_OPTIONS = ("etag", "requestId")

CHANNELS: Mapping[str, Channel] = {
    "sequence:create": Channel(
        arguments=("projectPath", "document"), options=("sequenceId", "requestId"), answer=_create_sequence
    ),
    "sequence:update": Channel(
        arguments=("projectPath", "sequenceId", "updates"), options=_CHANGE_OPTIONS, answer=_update_sequence
    ),
    "sequence:delete": Channel(
        arguments=("projectPath", "sequenceId"), options=_CHANGE_OPTIONS, answer=_delete_sequence
    ),
    "sequence:reorder": Channel(
        arguments=("projectPath", "sequenceIds"), options=("requestId",), answer=_reorder_sequences
    ),
    "shot:create": Channel(
        arguments=("projectPath", "sequenceId", "shot"),
        options=(*_PLACE, "requestId"),
        answer=_create_shot,
        words={"document_json": "shot", "place.after_shot_id": "afterShotId", "place.index": "index"},
    ),
    "shot:delete": Channel(arguments=("target",), options=_CHANGE_OPTIONS, answer=_delete_shot),
    "shot:move": Channel(arguments=("target", "place"), options=_CHANGE_OPTIONS, answer=_move_shot),
    "shot:update-many": Channel(
        arguments=("projectPath", "edits"), options=("allOrNothing", "requestId"), answer=_update_shots, levels=3
    ),
}


def _target(arguments: Arguments) -> Arguments:
    # A change that is sent twice must not search anew: the shot may be elsewhere, or gone, by the first one.
    return arguments.within("target", required=("projectPath", "sequenceId", "shotId"), optional=())


def _place(given: Arguments, name: str) -> files.ShotPlace | None:
    if given.has("afterShotId") and given.has("index"):
        raise invalid_field(name, "must not have both afterShotId and index")
    if given.has("afterShotId"):
        return files.ShotPlace(after_shot_id=given.identifier("afterShotId"))
    if given.has("index"):
        return files.ShotPlace(index=given.integer("index", 0))
    return None


def _edit(edit: Arguments) -> files.ShotEdit:
    return files.ShotEdit(
        sequence_id=edit.identifier("sequenceId", ""),
        shot_id=edit.identifier("shotId"),
        updates_json=edit.object_json("updates"),
        mode=files.UpdateMode.ValueType(edit.choice("mode", MODES, 0)),
        etag=edit.text("etag", ""),
    )


def _result(result: files.ShotEditResult) -> Payload:
    """What became of one edit, as a channel of its own would tell it."""
    if result.WhichOneof("result") == "shot":
        payload = shot_payload(result.shot)
        # The documents of a large batch are left out, and are to be got again.
        return {"success": True, **payload} if result.shot.document_json else {"success": True, **payload, "shot": None}
    error = result.error
    metadata = dict(error.metadata)
    etag, document_json = metadata.pop("current_etag", None), metadata.pop("current_json", None)
    current = None if etag is None else Current(etag=etag, document_json=document_json)
    return failure(Fault(Code[error.code], error.reason, error.message, metadata=metadata, current=current))
