"""A sequence as plain lists and dicts, with the same steps: what the documents of the domain must come to."""

import copy
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from services.kernel import strict_json
from services.sequence_file.domain.document import parse_sequence
from services.sequence_file.domain.steps import Edit, Insert, InsertRaw, Mode, Place, Remove, Reorder, SetMembers, Step

LENGTHS = ("duration", "total_duration", "totalDuration")
COUNTS = ("shot_count", "shotCount", "shots_count", "total_shots", "totalShots")
PLANS = ("sequencePlanId", "sequence_id")

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=6)
NAMES = st.sampled_from(["a", "prompt", "é", 'q"uote', "\\", "shots", "numb\\u0065r"]) | TEXT
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9, width=32) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2), max_leaves=5
)
SECONDS = st.sampled_from([0, 1, 2, 15, 2.5, 4.25, 0.1, 0.2, 15.0])
RESERVED = {*PLANS, *LENGTHS, *COUNTS, "id", "number", "position", "timing", "metadata", "modified_at", "updated_at"}
FREE = st.dictionaries(NAMES.filter(lambda name: name not in RESERVED), VALUES, max_size=3)
# How files look: JSON.stringify with an indent, minified, Python's default, tabs.
LAYOUTS = st.sampled_from([{"indent": 2}, {"indent": 4}, {"indent": "\t"}, {"separators": (",", ":")}, {}])
STAMP = "2026-11-21T09:30:00.123Z"


class Refused(Exception):
    """The model's word for a fault."""


def write(document: Any, layout: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, **layout).encode()


def strict(value: Mapping[str, Any]) -> dict[str, strict_json.Json]:
    return strict_json.parse_object(json.dumps(value, ensure_ascii=False))


def loose(value: Mapping[str, Any]) -> dict[str, Any]:
    return dict(json.loads(strict_json.dumps(dict(value))))  # type: ignore[arg-type]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2, word for word in Python; but a value that is there already stays as it is written."""
    if not isinstance(patch, dict):
        return kept(target, patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def kept(old: Any, new: Any) -> Any:
    """The value that a file holds after it was given a new one: 15 where 15.0 was to be written over it."""
    return old if plain(old) == plain(new) else new


def same_json(left: Any, right: Any) -> bool:
    """Equality that tells true from 1; order does not count."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def plain(value: Any) -> str:
    """JSON text that is equal for equal values: 2, 2.0 and 2e0 are one, true and 1 are not."""

    def even(each: Any) -> Any:
        if isinstance(each, dict):
            return {name: even(item) for name, item in each.items()}
        if isinstance(each, list):
            return [even(item) for item in each]
        return float(each) + 0.0 if is_number(each) else each  # -0.0 is 0

    return json.dumps(even(value), sort_keys=True)


@st.composite
def messy(draw: st.DrawFn, value: Any) -> str:
    """A value as no program but many hands would write it."""
    space = st.sampled_from(["", "", " ", "\n  ", "\r\n\t"])
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else (("", item) for item in value)
        parts = []
        for name, item in items:
            lead = f"{draw(messy(name))}{draw(space)}:{draw(space)}" if isinstance(value, dict) else ""
            parts.append(f"{draw(space)}{lead}{draw(messy(item))}{draw(space)}")
        inner = ",".join(parts)
        return f"{{{inner}}}" if isinstance(value, dict) else f"[{inner}]"
    if is_number(value) and value == int(value) and abs(value) < 1000:
        return draw(st.sampled_from([f"{int(value)}", f"{int(value)}.0", f"{int(value)}e0", f"{int(value)}.00"]))
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=draw(st.booleans())).replace("/", "\\/")
    if value in ({}, []):
        return draw(space).join(json.dumps(value))
    return json.dumps(value)


class Model:
    """One sequence. `content` is the document as it would be loaded."""

    def __init__(self, content: dict[str, Any], sequence_id: str) -> None:
        self.content = copy.deepcopy(content)
        self.sequence_id = sequence_id
        self._told = self._sums()

    @property
    def shots(self) -> list[dict[str, Any]]:
        shots: list[dict[str, Any]] = self.content["shots"]
        return shots

    def ids(self) -> list[str]:
        return [shot["id"] for shot in self.shots]

    def apply(self, step: Step) -> None:
        match step:
            case Edit():
                self._edit(step)
            case Insert():
                self._insert(loose(step.document), step.place, "", complete=True)
            case InsertRaw():
                self._insert(json.loads(step.document), step.place, step.source, complete=False)
            case Remove():
                index = self._index(step.shot_id)
                self._rearrange([shot for at, shot in enumerate(self.shots) if at != index])
            case Reorder():
                self._reorder(step)
            case SetMembers():
                self._set_members(loose(step.updates))

    def settle(self) -> None:
        """Let totals that were true be true."""
        before, after = self._told, self._sums()
        for holder in (self.content, self.content.get("metadata")):
            for names, then, now in zip((LENGTHS, COUNTS), before, after, strict=True):
                for name in names if isinstance(holder, dict) else ():
                    assert holder is not None
                    if is_number(old := holder.get(name)) and Decimal(str(old)) == then and then != now:
                        whole = now == now.to_integral_value() and not isinstance(old, float)
                        holder[name] = int(now) if whole else float(now)
        self._told = after

    def finished(self) -> dict[str, Any]:
        """The document as it will be written; every one that is tried has its time of change in `metadata`."""
        self.settle()
        self.content["metadata"]["modified_at"] = STAMP
        return self.content

    def _sums(self) -> tuple[Decimal, Decimal]:
        lengths = []
        for shot in self.shots:
            timing = shot.get("timing")
            inner = timing.get("duration") if isinstance(timing, dict) else None
            lengths += [Decimal(str(each)) for each in (inner, shot.get("duration")) if is_number(each)][:1]
        return sum(lengths, Decimal(0)), Decimal(len(self.shots))

    def _index(self, shot_id: str) -> int:
        if shot_id not in self.ids():
            raise Refused("SHOT_NOT_FOUND")
        return self.ids().index(shot_id)

    def _edit(self, step: Edit) -> None:
        index = self._index(step.shot_id)
        updates = loose(step.updates)
        if step.mode is Mode.MERGE_PATCH:
            self.shots[index] = merged(self.shots[index], updates)
        else:
            shot = self.shots[index]
            shot |= {name: kept(shot[name], value) if name in shot else value for name, value in updates.items()}

    def _insert(self, shot: dict[str, Any], place: Place, source: str, *, complete: bool) -> None:
        if shot["id"] in self.ids():
            raise Refused("SHOT_EXISTS")
        index = self._target(place, self.ids())
        for name in PLANS:
            if isinstance(shot.get(name), str | int) and not isinstance(shot[name], bool):
                shot[name] = self.sequence_id
        metadata = shot.get("metadata")
        if isinstance(metadata, dict) and source and metadata.get("sequence_id") == source:
            metadata["sequence_id"] = self.sequence_id
        others = self.shots
        if others and "sequencePlanId" not in shot and all(isinstance(each.get(PLANS[0]), str) for each in others):
            shot["sequencePlanId"] = self.sequence_id
        if others and "number" not in shot and all(is_number(each.get("number")) for each in others):
            shot["number"] = index + 1
        if self._counted() and "position" not in shot:
            shot["position"] = index + 1
        self._rearrange([*others[:index], shot, *others[index:]])

    def _reorder(self, step: Reorder) -> None:
        index = self._index(step.shot_id)
        others = [shot for at, shot in enumerate(self.shots) if at != index]
        if step.place.after == step.shot_id:
            return
        to = self._target(step.place, [shot["id"] for shot in others])
        if to != index:
            self._rearrange([*others[:to], self.shots[index], *others[to:]])

    def _set_members(self, updates: dict[str, Any]) -> None:
        if updates.keys() & {"shots", "storyboard"} or updates.get("id", self.content["id"]) != self.content["id"]:
            raise Refused("IMMUTABLE_FIELD")
        self.settle()
        self.content = merged(self.content, updates)

    def _target(self, place: Place, others: list[str]) -> int:
        if place.after is not None:
            if place.after not in others:
                raise Refused("SHOT_NOT_FOUND")
            return others.index(place.after) + 1
        return len(others) if place.index is None else min(place.index, len(others))

    def _counted(self) -> bool:
        places = [shot.get("position") for shot in self.shots]
        return bool(places) and all(is_number(each) and each == at for at, each in enumerate(places, 1))

    def _rearrange(self, shots: list[dict[str, Any]]) -> None:
        names = ("number", "position") if self._counted() else ("number",)
        self.content["shots"] = shots
        for place, shot in enumerate(shots, 1):
            for name in names:
                if is_number(shot.get(name)) and shot[name] != place:
                    shot[name] = place


@st.composite
def shots(draw: st.DrawFn, shot_id: str, place: int, habits: Mapping[str, bool]) -> dict[str, Any]:
    """One shot of a file with habits: which members its shots have."""
    shot: dict[str, Any] = {"id": shot_id}
    if habits["number"]:
        shot["number"] = place if draw(st.integers(0, 4)) else draw(st.sampled_from([7, 1.0, None, "1"]))
    if habits["plan"]:
        shot["sequencePlanId"] = "001"
    shot |= draw(FREE)
    if habits["position"]:
        shot["position"] = place
    if habits["length"]:
        shot["duration"] = draw(SECONDS)
    if habits["timing"]:
        shot["timing"] = draw(st.sampled_from([{"duration": 2}, {"start": 1}, {"duration": "2"}, None]))
    return shot


@st.composite
def contents(draw: st.DrawFn, most: int = 5) -> dict[str, Any]:
    """A sequence document with a time of change; its totals are true, or not, or not there."""
    habits = {name: draw(st.booleans()) for name in ("number", "plan", "position", "length", "timing")}
    listed = [draw(shots(f"s{at}", at + 1, habits)) for at in range(draw(st.integers(0, most)))]
    content: dict[str, Any] = {"id": "001", **draw(FREE), "shots": []}
    content["shots"] = listed
    content.pop("storyboard", None)
    content["metadata"] = {**draw(FREE), "modified_at": "2020-01-01T00:00:00.000Z"}
    length, count = Model(content, "001")._sums()
    for name in draw(st.lists(st.sampled_from([*LENGTHS, *COUNTS]), max_size=3, unique=True)):
        holder = content if draw(st.booleans()) else content["metadata"]
        true = count if name in COUNTS else length
        whole = true == true.to_integral_value() and draw(st.booleans())
        holder[name] = draw(st.sampled_from([int(true) if whole else float(true), 99]))
    return content


@st.composite
def edits(draw: st.DrawFn, shot_id: str) -> Edit:
    updates = draw(FREE)
    if draw(st.booleans()):
        updates["duration"] = draw(SECONDS | st.none())
    if draw(st.integers(0, 3)) == 0:
        updates["timing"] = draw(st.sampled_from([{"duration": 1}, {"duration": None}, {"x": 1}]))
    return Edit(shot_id=shot_id, updates=strict(updates), mode=draw(st.sampled_from(Mode)))


@st.composite
def steps(draw: st.DrawFn, model: Model, new: str, layout: Mapping[str, Any]) -> Step:
    """Something to do to a sequence, sometimes what cannot be done; `new` is an id that nobody has yet."""
    known = st.sampled_from([*model.ids(), "nobody"])
    places = (
        st.just(Place())
        | st.integers(0, 6).map(lambda index: Place(index=index))
        | known.map(lambda shot_id: Place(after=shot_id))
    )
    kind = draw(st.sampled_from([Edit, Insert, InsertRaw, Remove, Reorder, SetMembers]))
    if kind is Edit:
        return draw(edits(draw(known)))
    if kind is Remove:
        return Remove(shot_id=draw(known))
    if kind is Reorder:
        return Reorder(shot_id=draw(known), place=draw(places))
    if kind is SetMembers:
        updates = draw(FREE)
        if draw(st.integers(0, 2)) == 0:
            updates[draw(st.sampled_from(["duration", "shot_count", "metadata", "id"]))] = draw(
                st.sampled_from([3, {"duration": 3, "x": {}}, "001"])
            )
        if updates.get("metadata") == 3 or updates.get("metadata") == "001":
            del updates["metadata"]
        return SetMembers(updates=strict(updates))
    shot = {"id": draw(st.sampled_from([new, new, new, *model.ids()])), **draw(FREE)}
    for name, values in (
        ("number", st.sampled_from([7, None, "x"])),
        ("sequencePlanId", st.sampled_from(["002", 2])),
        ("duration", SECONDS),
        ("metadata", st.sampled_from([{"sequence_id": "002"}, {"sequence_id": "003"}, {}])),
    ):
        if draw(st.booleans()):
            shot[name] = draw(values)
    if kind is Insert:
        return Insert(document=strict(shot), place=draw(places))
    elsewhere = parse_sequence(write({"id": "002", "shots": [shot]}, layout), "g")
    return InsertRaw(document=elsewhere.shot(0), place=draw(places), source="002")
