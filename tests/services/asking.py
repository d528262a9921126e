"""One call, named as the sequence-file service names it, and how it is written for each kind of door."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from google.protobuf.message import Message
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.studio.v1 import studio_service_pb2 as studio

TOKEN = "a-token-for-tests"
FILES = files.DESCRIPTOR.services_by_name["SequenceFileService"].full_name
STUDIO = studio.DESCRIPTOR.services_by_name["StudioService"].full_name


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One call of the sequence-file service, by the names of its contract."""

    method: str
    fields: Mapping[str, object]
    timeout: float = 10.0  # seconds
    headers: Mapping[str, str] = field(default_factory=lambda: {"authorization": f"Bearer {TOKEN}"})

    def but(self, **fields: object) -> "Ask":
        return replace(self, fields={**self.fields, **fields})


STUDIO_METHODS = {
    "UpdateShot": "UpdateShot",
    "UpdateProjectShot": "UpdateShot",
    "GetShots": "GetShots",
    "GetShot": "GetShot",
    "ListSequences": "GetAllSequences",
}
CHANNELS = {
    "UpdateShot": "sequence:update-shot",
    "UpdateProjectShot": "shot:update",
    "GetShots": "sequence:get-shots",
    "GetShot": "shot:get",
    "ListSequences": "sequence:get-all",
    "CreateSequence": "sequence:create",
    "UpdateSequence": "sequence:update",
    "DeleteSequence": "sequence:delete",
    "ReorderSequences": "sequence:reorder",
    "CreateShot": "shot:create",
    "DeleteShot": "shot:delete",
    "MoveShot": "shot:move",
    "BatchUpdateShots": "shot:update-many",
    "ListVersions": "sequence:versions",
    "GetVersion": "sequence:version",
    "DiffVersions": "sequence:diff",
    "RestoreVersion": "sequence:restore",
    "ListTrash": "sequence:trash",
}
_OPTIONS = ("etag", "request_id", "page_size", "page_token", "all_or_nothing", "to_revision")
# Fields that are options of one channel, and arguments of others.
_MORE_OPTIONS: Mapping[str, Sequence[str]] = {
    "CreateSequence": ("sequence_id",),
    "CreateShot": ("after_shot_id", "index"),
    "ListVersions": ("shot_id",),
    "DiffVersions": ("shot_id",),
    "RestoreVersion": ("shot_id",),
}
_DOCUMENTS = {"CreateSequence": "document", "CreateShot": "shot"}
_HAVE_TARGETS = frozenset({"UpdateProjectShot", "GetShot", "DeleteShot", "MoveShot"})
# Bits of integers, and the types of what is neither integer nor text.
_NUMBERS = {
    **dict.fromkeys(("mode", "view", "page_size"), 32),
    **dict.fromkeys(("revision", "from_revision", "to_revision", "after_revision"), 64),
}
_OTHERS: Mapping[str, tuple[type, ...]] = {
    "all_or_nothing": (bool,),
    "progress_seconds": (int, float),
    "place": (Mapping,),
    "edits": (list,),
    "sequence_ids": (list,),
}
_JSON = ("updates_json", "document_json")
_TARGET = ("project_path", "sequence_id", "shot_id")
_MODES = {1: "MERGE_PATCH", 2: "REPLACE_TOP_LEVEL"}


def arguments_json(ask: Ask) -> str:
    """A call as the arguments of its channel; documents stand in it as they were given, JSON or not."""
    fields = dict(ask.fields)
    documents = {_DOCUMENTS.get(ask.method, "updates"): fields.pop(name) for name in _JSON if name in fields}
    if ask.method == "CreateShot":
        fields |= cast("Mapping[str, object]", fields.pop("place", {}))
    if ask.method == "MoveShot":
        place = dict(cast("Mapping[str, object]", fields.pop("place", {})))
        if "target_sequence_id" in fields:
            place["sequence_id"] = fields.pop("target_sequence_id")
    names = (*_OPTIONS, *_MORE_OPTIONS.get(ask.method, ()))
    options = {name: fields.pop(name) for name in names if name in fields}
    if "mode" in fields:
        options["mode"] = _mode(fields.pop("mode"))
    if "edits" in fields:
        documents["edits"] = (
            f"[{', '.join(map(_edit_json, cast('Sequence[Mapping[str, object]]', fields.pop('edits'))))}]"
        )
    arguments: dict[str, object] = fields
    if ask.method in _HAVE_TARGETS:
        arguments = {"target": fields}
    if ask.method == "MoveShot":
        arguments["place"] = place
    if options:
        arguments["options"] = options
    return _with_texts(arguments, documents)


def _edit_json(edit: Mapping[str, object]) -> str:
    fields = dict(edit)
    updates = fields.pop("updates_json")
    if "mode" in fields:
        fields["mode"] = _mode(fields["mode"])
    return _with_texts(fields, {"updates": updates})


def _mode(mode: object) -> object:
    return _MODES.get(mode, mode) if type(mode) is int else mode


def _with_texts(members: Mapping[str, object], texts: Mapping[str, object]) -> str:
    """A JSON object of which some values are texts already."""
    pieces = [json.dumps(in_camel_case(members))[1:-1]] if members else []
    return f"{{{', '.join((*pieces, *(f'{json.dumps(name)}: {text}' for name, text in texts.items())))}}}"


def message_of(ask: Ask) -> Message:
    """The service's request."""
    return _filled(cast("type[Message]", getattr(files, f"{ask.method}Request")), ask.fields)


def studio_message_of(ask: Ask) -> Message:
    """The studio's request."""
    kind = cast("type[Message]", getattr(studio, f"{STUDIO_METHODS[ask.method]}Request"))
    if ask.method not in ("UpdateShot", "UpdateProjectShot", "GetShot"):
        return _filled(kind, ask.fields)
    place = {name: ask.fields[name] for name in _TARGET if name in ask.fields}
    request = cast("studio.UpdateShotRequest | studio.GetShotRequest", _filled(kind, without(ask.fields, *_TARGET)))
    if "sequence_id" in place:
        request.target.sequence_shot.MergeFrom(cast(studio.SequenceShot, _filled(studio.SequenceShot, place)))
    else:
        request.target.project_shot.MergeFrom(cast(studio.ProjectShot, _filled(studio.ProjectShot, place)))
    return request


def studio_fields(ask: Ask) -> Mapping[str, object]:
    """The fields of the studio's request."""
    if ask.method not in ("UpdateShot", "UpdateProjectShot", "GetShot"):
        return ask.fields
    place = {name: ask.fields[name] for name in _TARGET if name in ask.fields}
    target = {"sequence_shot" if "sequence_id" in place else "project_shot": place}
    return {"target": target, **without(ask.fields, *_TARGET)}


def _filled(kind: type[Message], fields: Mapping[str, object]) -> Message:
    message = kind()
    _fill(message, fields)
    return message


def _fill(message: Message, fields: Mapping[str, object]) -> None:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            getattr(message, name).SetInParent()
            _fill(getattr(message, name), value)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, Mapping):
                    _fill(getattr(message, name).add(), item)
                else:
                    getattr(message, name).append(item)
        else:
            setattr(message, name, _stand_in(value) if isinstance(value, str) and not _is_unicode(value) else value)


def encoded(message: Message, ask: Ask) -> bytes:
    """The message's bytes; text that is no Unicode, which no library writes, is put in by hand."""
    raw = message.SerializeToString()
    for value in ask.fields.values():
        if isinstance(value, str) and not _is_unicode(value):
            raw = raw.replace(_stand_in(value).encode(), value.encode("utf-8", "surrogatepass"))
    return raw


def _stand_in(text: str) -> str:
    return "\x02" * len(text.encode("utf-8", "surrogatepass"))


def _is_unicode(text: str) -> bool:
    return not re.search("[\ud800-\udfff]", text)


def fits_messages(ask: Ask) -> bool:
    """Whether messages can hold its values."""
    for name, value in ask.fields.items():
        if bits := _NUMBERS.get(name):
            if type(value) is not int or not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
                return False
        elif kinds := _OTHERS.get(name):
            if not isinstance(value, kinds):
                return False
        elif not (isinstance(value, str) or callable(value)):
            return False
    return True


def without(fields: Mapping[str, object], *names: str) -> dict[str, object]:
    """The other fields."""
    return {name: value for name, value in fields.items() if name not in names}


def in_camel_case(value: object) -> object:
    """The value with its names as JSON has them."""
    if isinstance(value, list):
        return [in_camel_case(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {re.sub("_([a-z])", lambda found: found[1].upper(), name): in_camel_case(v) for name, v in value.items()}
