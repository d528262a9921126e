"""A film as one JSON document: what `shotline film export` writes and `shotline film import` reads.

    {"format": "shotline-film", "version": 1,
     "film": ID,                      of the film among the assets
     "assets": [{"id", "type", "name", "url", "duration", "generation_cost", "metadata"}, …],
     "relationships": [{"parent", "child", "type", "sequence", "metadata"}, …],
     "selections": [{"shot", "take"}, …],
     "costs": {"currency", "total", "unselected", "deleted", "shots": […], "providers": […]}}

Assets are those that the film leads to along its relationships, each once: the film, then what it leads to, then what
that leads to, in the order of the relationships; these stand by parent in the order of the assets, then by type and
place. So one film always gives the same text, and two equal films differ in nothing but ids. What is absent is null.
Costs are for people: an import makes them anew of the assets. Deleted assets are in `costs` only.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from services.kernel.strict_json import Json, Number, dumps, quote

FORMAT = "shotline-film"
VERSION = 1

Members: TypeAlias = dict[str, Json]


class WrongFile(Exception):
    """A file that is no film; the message says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmAsset:
    """One asset of a film."""

    id: str
    type: str
    name: str
    url: str | None = None
    duration: float | None = None  # seconds
    generation_cost: str | None = None
    metadata: str = "{}"  # JSON text of one object

    @property
    def is_selected(self) -> bool:
        """Of a take: whether its metadata say that it is its shot's selected one, as the graph keeps them."""
        return json.loads(self.metadata).get("selected") in (True, "true")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmEdge:
    """One relationship between two assets of the film."""

    parent: str
    child: str
    type: str
    sequence: int | None = None
    metadata: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmDocument:
    """A film with all that it leads to."""

    film: str
    assets: Sequence[FilmAsset]
    edges: Sequence[FilmEdge]
    selections: Sequence[tuple[str, str]] = ()  # shot and take
    costs: str = "null"  # JSON text

    @property
    def title(self) -> str:
        """The film's name."""
        return next(asset.name for asset in self.assets if asset.id == self.film)

    def count(self, kind: str) -> int:
        """How many assets of a type there are."""
        return sum(asset.type == kind for asset in self.assets)


def with_ids(document: FilmDocument, ids: Mapping[str, str]) -> FilmDocument:
    """The same film with other ids; its costs, which name some, are left out."""
    return FilmDocument(
        film=ids[document.film],
        assets=[replace(asset, id=ids[asset.id]) for asset in document.assets],
        edges=[replace(edge, parent=ids[edge.parent], child=ids[edge.child]) for edge in document.edges],
        selections=[(ids[shot], ids[take]) for shot, take in document.selections],
    )


def is_equal(one: FilmDocument, other: FilmDocument) -> bool:
    """Whether two films differ in nothing but ids."""
    return _numbered(one) == _numbered(other)


def _numbered(document: FilmDocument) -> FilmDocument:
    numbered = with_ids(document, {asset.id: str(index) for index, asset in enumerate(document.assets)})
    return replace(
        numbered,
        assets=[replace(asset, metadata=_sorted(asset.metadata)) for asset in numbered.assets],
        edges=[replace(edge, metadata=_sorted(edge.metadata)) for edge in numbered.edges],
    )


def _sorted(metadata: str) -> str:
    """An object by the names of its members, however it was laid out."""
    return dumps(
        json.loads(metadata, object_pairs_hook=lambda pairs: dict(sorted(pairs)), parse_int=Number, parse_float=Number)
    )


def to_text(document: FilmDocument) -> str:
    """The document as text, an asset or relationship a line."""
    assets = [
        _line(
            id=quote(asset.id),
            type=quote(asset.type),
            name=quote(asset.name),
            url=_quoted(asset.url),
            duration="null" if asset.duration is None else number(asset.duration),
            generation_cost=_quoted(asset.generation_cost),
            metadata=asset.metadata,
        )
        for asset in document.assets
    ]
    edges = [
        _line(
            parent=quote(edge.parent),
            child=quote(edge.child),
            type=quote(edge.type),
            sequence="null" if edge.sequence is None else str(edge.sequence),
            metadata=edge.metadata,
        )
        for edge in document.edges
    ]
    selections = [_line(shot=quote(shot), take=quote(take)) for shot, take in document.selections]
    parts = {
        "format": quote(FORMAT),
        "version": str(VERSION),
        "film": quote(document.film),
        "assets": _lines(assets),
        "relationships": _lines(edges),
        "selections": _lines(selections),
        "costs": document.costs,
    }
    return "{\n" + ",\n".join(f"  {quote(name)}: {text}" for name, text in parts.items()) + "\n}\n"


def number(value: float) -> str:
    """A number as JSON text: 5, not 5.0."""
    return str(int(value)) if value.is_integer() else repr(value)


def parse(text: str) -> Members:
    """The object that a file holds, numbers as they are written. Raises WrongFile."""
    try:
        value = json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_refuse)
        text.encode()
    except json.JSONDecodeError as error:
        raise WrongFile(f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise WrongFile("nested too deeply") from None
    if not isinstance(value, dict):
        raise WrongFile("must be a JSON object")
    return value


def from_members(members: Members) -> FilmDocument:
    """The film that an export holds. Raises WrongFile."""
    if members.get("version") != str(VERSION):
        raise WrongFile(f"/version: this Shotline reads version {VERSION} of {FORMAT}, and nothing else")
    assets = [_asset(item, f"/assets/{index}") for index, item in enumerate(_list(members, "assets"))]
    known = {asset.id for asset in assets}
    if len(known) < len(assets):
        raise WrongFile("/assets: two have the same id")
    edges = [_edge(item, f"/relationships/{index}") for index, item in enumerate(_list(members, "relationships"))]
    selections = [_selection(item, f"/selections/{i}") for i, item in enumerate(_list(members, "selections"))]
    film = text_of(members, "film", "")
    named = {film, *(end for edge in edges for end in (edge.parent, edge.child)), *(e for s in selections for e in s)}
    if missing := named - known:
        raise WrongFile(f"/assets: none has the id {min(missing)!r}, which is named elsewhere")
    return FilmDocument(film=film, assets=assets, edges=edges, selections=selections)


def object_of(value: Json, place: str) -> Members:
    """An object. Raises WrongFile."""
    if not isinstance(value, dict):
        raise WrongFile(f"{place or '/'}: must be a JSON object")
    return value


def text_of(members: Members, name: str, place: str) -> str:
    """A string that must be there. Raises WrongFile."""
    value = members.get(name)
    if type(value) is not str:  # not isinstance: a Number is its text
        raise WrongFile(f"{place}/{name}: must be a string")
    return value


def metadata_of(members: Members) -> str:
    """Members as JSON text. Raises WrongFile for what cannot be sent."""
    text = dumps(members)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise WrongFile("a string has half of a surrogate pair") from None
    return text


def _refuse(constant: str) -> None:
    raise WrongFile(f"{constant} is not JSON")


def _list(members: Members, name: str) -> list[Json]:
    value = members.get(name)
    if not isinstance(value, list):
        raise WrongFile(f"/{name}: must be a list")
    return value


def _asset(value: Json, place: str) -> FilmAsset:
    members = object_of(value, place)
    duration = members.get("duration")
    if duration is not None and (not isinstance(duration, Number) or not math.isfinite(float(duration))):
        raise WrongFile(f"{place}/duration: must be a number or null")
    return FilmAsset(
        id=text_of(members, "id", place),
        type=text_of(members, "type", place),
        name=text_of(members, "name", place),
        url=_text_or_none(members, "url", place),
        duration=None if duration is None else float(str(duration)),
        generation_cost=_text_or_none(members, "generation_cost", place),
        metadata=metadata_of(object_of(members.get("metadata"), f"{place}/metadata")),
    )


def _edge(value: Json, place: str) -> FilmEdge:
    members = object_of(value, place)
    sequence = members.get("sequence")
    if sequence is not None and not (isinstance(sequence, Number) and sequence.isdecimal() and len(sequence) < 10):
        raise WrongFile(f"{place}/sequence: must be a whole number from 1, or null")
    return FilmEdge(
        parent=text_of(members, "parent", place),
        child=text_of(members, "child", place),
        type=text_of(members, "type", place),
        sequence=None if sequence is None else int(str(sequence)),
        metadata=metadata_of(object_of(members.get("metadata"), f"{place}/metadata")),
    )


def _selection(value: Json, place: str) -> tuple[str, str]:
    members = object_of(value, place)
    return text_of(members, "shot", place), text_of(members, "take", place)


def _text_or_none(members: Members, name: str, place: str) -> str | None:
    return None if members.get(name) is None else text_of(members, name, place)


def _quoted(text: str | None) -> str:
    return "null" if text is None else quote(text)


def _line(**members: str) -> str:
    return "{" + ", ".join(f"{quote(name)}: {text}" for name, text in members.items()) + "}"


def _lines(items: Sequence[str]) -> str:
    return "[\n    " + ",\n    ".join(items) + "\n  ]" if items else "[]"
