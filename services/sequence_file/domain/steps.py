"""What can be done to one file: the steps of which every change consists.

Steps are values, so that an intent can be written down before it is carried out and carried out again after a crash.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import cast

from services.kernel.strict_json import Json, Number, dumps

_DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number)


class Mode(Enum):
    """How updates are applied to an object."""

    MERGE_PATCH = "merge patch"  # RFC 7396
    REPLACE_TOP_LEVEL = "replace top level"  # Object.assign


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place among the shots of a sequence: behind a shot, or at an index from 0; neither: at the end."""

    after: str | None = None
    index: int | None = None  # beyond the end means the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Change one shot."""

    shot_id: str
    updates: Mapping[str, Json]
    mode: Mode = Mode.MERGE_PATCH
    etag: str | None = None  # what the caller last saw; None: whatever is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert:
    """A new shot."""

    document: Mapping[str, Json]  # with its id
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertRaw:
    """A shot from elsewhere, byte for byte but for the sequence that it names."""

    document: bytes
    place: Place
    source: str = ""  # id of the sequence that it comes from


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """A shot goes away."""

    shot_id: str
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorder:
    """A shot gets another place in its sequence."""

    shot_id: str
    place: Place
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMembers:
    """Change top-level members of the document; not `id` and not its shots."""

    updates: Mapping[str, Json]  # JSON Merge Patch
    etag: str | None = None  # of the whole file


Step = Edit | Insert | InsertRaw | Remove | Reorder | SetMembers


def to_json(step: Step) -> dict[str, object]:
    """A step as plain JSON values. Documents travel as JSON text, so that their numbers keep theirs."""
    match step:
        case Edit():
            what: dict[str, object] = {"shot": step.shot_id, "mode": step.mode.name}
        case Insert():
            what = {"document": dumps(dict(step.document))}
        case InsertRaw():
            what = {"document": step.document.decode("utf-8"), "source": step.source}
        case Remove() | Reorder():
            what = {"shot": step.shot_id}
        case SetMembers():
            what = {}
    if isinstance(step, Edit | SetMembers):
        what["updates"] = dumps(dict(step.updates))
    if isinstance(step, Insert | InsertRaw | Reorder):
        what |= {"after": step.place.after, "index": step.place.index}
    if isinstance(step, Edit | Remove | Reorder | SetMembers):
        what["etag"] = step.etag
    return {"step": type(step).__name__, **what}


def from_json(value: Mapping[str, object]) -> Step:
    """The step that `to_json` made this of. Raises KeyError, TypeError, ValueError for anything else."""
    match value["step"]:
        case "Edit":
            return Edit(
                shot_id=_text(value, "shot"),
                updates=_object(value, "updates"),
                mode=Mode[_text(value, "mode")],
                etag=_etag(value),
            )
        case "Insert":
            return Insert(document=_object(value, "document"), place=_place(value))
        case "InsertRaw":
            document = _text(value, "document").encode("utf-8")
            return InsertRaw(document=document, place=_place(value), source=_text(value, "source"))
        case "Remove":
            return Remove(shot_id=_text(value, "shot"), etag=_etag(value))
        case "Reorder":
            return Reorder(shot_id=_text(value, "shot"), place=_place(value), etag=_etag(value))
        case "SetMembers":
            return SetMembers(updates=_object(value, "updates"), etag=_etag(value))
    raise ValueError(f"not a step: {value['step']!r}")


def _text(value: Mapping[str, object], name: str) -> str:
    found = value[name]
    if not isinstance(found, str):
        raise TypeError(f"{name} is not text")
    return found


def _object(value: Mapping[str, object], name: str) -> dict[str, Json]:
    # The strict parser let it in when a caller sent it; here it only has to come back as it was.
    return cast(dict[str, Json], _DECODER.decode(_text(value, name)))


def _etag(value: Mapping[str, object]) -> str | None:
    return None if value["etag"] is None else _text(value, "etag")


def _place(value: Mapping[str, object]) -> Place:
    after, index = value["after"], value["index"]
    if not (after is None or isinstance(after, str)) or not (index is None or isinstance(index, int)):
        raise TypeError("not a place")
    return Place(after=after, index=index)
