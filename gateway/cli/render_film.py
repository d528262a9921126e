"""Films as commands print them: a tree, tables of amounts, and the same for programs.

Text that comes from the asset graph is shown, never obeyed.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import TypedDict

import orjson
from rich.text import Text
from rich.tree import Tree
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.studio.v1 import studio_service_pb2 as studio

from gateway.cli.film_document import FilmDocument
from gateway.cli.film_writing import Imported
from gateway.cli.render import cell, counted, raw, table
from gateway.cli.terminal import console, printable

_PLACES = 2  # decimals of an amount, at least
_TOLD = 4  # things of a change that are told in its line
_SCORE_PLACES = 4  # decimals of a score, at most

# What people call a type of assets where it is another word, and what a type of relationships joins to something.
_WORDS = {"shot_take": "take", "character_ref": "character"}
_JOINED = {
    "contains_scene": "scene",
    "contains_shot": "shot",
    "uses_character": "character",
    "uses_audio": "audio file",
    "uses_script": "script",
    "uses_asset": "asset",
    "generation_attempt": "take",
    "generated_video": "video",
    "final_edit": "final edit",
    "derived_from": "source",
    "variant_of": "variant",
}
_JOINING = {"CREATED": "linked", "UPDATED": "relinked", "DELETED": "unlinked"}


class AssetDocument(TypedDict):
    """An asset in the documents of the studio, as far as it is shown."""

    id: str
    name: str
    url: str | None
    generation_cost: str | None
    metadata: dict[str, object]


class SceneDocument(AssetDocument):
    """A scene of a film."""

    scene_ids: list[str]


class TakeDocument(AssetDocument):
    """A take with its video."""

    sequence: int | None
    video: AssetDocument | None


class Structure(TypedDict):
    """What belongs to a shot."""

    links: dict[str, list[AssetDocument]]
    takes: list[TakeDocument]
    selected_take_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What is told of a selection."""

    said: str
    revision: int
    facts: dict[str, object]


def film_facts(film: pb.Asset) -> dict[str, object]:
    """A film of a list, as JSON."""
    return {
        "id": film.id,
        "name": film.name,
        "metadata": raw(film.metadata_json),
        "etag": film.etag,
        "createTime": film.create_time.ToJsonString(),
        "updateTime": film.update_time.ToJsonString(),
    }


def print_films(films: Sequence[pb.Asset], workspace: str) -> None:
    """The table of a workspace's films."""
    out = console()
    if not films:
        said = f"no film in the workspace {workspace}; --workspace names another one"
        out.print(Text(printable(said), style="dim"), soft_wrap=True)
        return
    rows = table(out, "id", "name", "made", cut="name", right=())
    for film in films:
        made = f"{film.create_time.ToDatetime(UTC).astimezone():%Y-%m-%d %H:%M:%S}"
        rows.add_row(cell(film.id), cell(film.name), cell(made))
    out.print(rows)


def structure_facts(film: studio.Film) -> dict[str, object]:
    """A film as the channel film:get answers it."""
    return {
        "film": raw(film.document_json),
        "scenes": raw(film.scenes_json),
        "finalEdits": raw(film.final_edits_json),
        "shots": [
            {
                "shot": raw(one.shot.document_json),
                "etag": one.shot.etag,
                "structure": raw(one.shot.structure_json),
                "sceneIds": list(one.scene_ids),
                "position": one.position,
            }
            for one in film.shots
        ],
        "shotCount": film.shot_count,
    }


def print_film(film: studio.Film) -> None:
    """The tree of a film: of each scene its shots, then its scenes."""
    scenes: list[SceneDocument] = orjson.loads(film.scenes_json)
    structures: list[Structure] = [orjson.loads(one.shot.structure_json) for one in film.shots]
    shots: dict[str, list[tuple[studio.FilmShot, Structure]]] = {}
    for one, structure in zip(film.shots, structures, strict=True):
        shots.setdefault(one.scene_ids[-1] if one.scene_ids else film.id, []).append((one, structure))
    inner: dict[str, list[SceneDocument]] = {}
    for scene in scenes:
        inner.setdefault(scene["scene_ids"][-1] if scene["scene_ids"] else film.id, []).append(scene)

    document: AssetDocument = orjson.loads(film.document_json)
    tree = Tree(_head(document, style="bold"))

    def grow(branch: Tree, scene_id: str) -> None:
        for one, structure in shots.get(scene_id, ()):
            _add_shot(branch, orjson.loads(one.shot.document_json), structure)
        for scene in inner.get(scene_id, ()):
            grow(branch.add(_head(scene, style="bold")), scene["id"])

    grow(tree, film.id)
    final_edits: list[AssetDocument] = orjson.loads(film.final_edits_json)
    for edit in final_edits:
        tree.add(_line("final edit", _name(edit), edit["url"]))
    out = console()
    out.print(tree, soft_wrap=True)
    takes = [take for structure in structures for take in structure["takes"]]
    chosen = sum(structure["selected_take_id"] is not None for structure in structures)
    summary = ", ".join((counted(len(scenes), "scene"), counted(len(film.shots), "shot"), counted(len(takes), "take")))
    out.print(Text(f"{summary}, {chosen} selected", style="dim"), soft_wrap=True)


def print_cost(cost: pb.FilmCost) -> None:
    """The tables of what a film cost. Amounts are exact and stand with their points below each other."""
    texts = [cost.total, cost.unselected, cost.deleted]
    texts += [shot.total for shot in cost.shots] + [each.total for each in cost.providers]
    places = max(_PLACES, *(-int(Decimal(text).as_tuple().exponent) for text in texts))

    def amount(text: str) -> Text:
        return Text(f"{Decimal(text):.{places}f}")

    out = console()
    rows = table(out, "shot", "attempts", cost.currency, cut="shot", right=("attempts", cost.currency))
    for shot in cost.shots:
        name = shot.name if shot.shot_id else "(no single shot)"
        attempts = str(shot.attempts) if shot.shot_id else ""
        rows.add_row(cell(f"{name} (deleted)" if shot.deleted else name), cell(attempts), amount(shot.total))
    out.print(rows)
    if cost.providers:
        out.print()
        rows = table(out, "provider", "model", "assets", cost.currency, cut="model", right=("assets", cost.currency))
        for each in cost.providers:
            rows.add_row(cell(each.provider), cell(each.model), cell(each.asset_count), amount(each.total))
        out.print(rows)
    out.print()
    rows = table(out, "", cost.currency, cut="", right=(cost.currency,))
    rows.add_row(Text("total", style="bold"), amount(cost.total))
    rows.add_row(Text("of it unselected"), amount(cost.unselected))
    rows.add_row(Text("of it deleted"), amount(cost.deleted))
    out.print(rows)


def selected(shot: studio.Shot) -> Selected:
    """What is told of a selection."""
    document: AssetDocument = orjson.loads(shot.document_json)
    structure: Structure = orjson.loads(shot.structure_json)
    take_id = structure["selected_take_id"]
    take = next((each for each in structure["takes"] if each["id"] == take_id), None)
    said = f"{_name(document)}: " + (f"{_name(take)} is selected" if take else "no take is selected")
    facts: dict[str, object] = {"shot": shot.id, "selectedTakeId": take_id, "revision": shot.revision}
    return Selected(said=said, revision=shot.revision, facts=facts)


def change_facts(change: pb.GraphChange) -> dict[str, object]:
    """A revision of a workspace as one JSON object."""
    return {
        "revision": change.revision,
        "createTime": change.create_time.ToJsonString(),
        "actor": change.actor,
        "client": change.client,
        "requestId": change.request_id,
        "assets": [
            {"id": one.id, "kind": _kind(one.kind), "type": one.type, "name": one.name, "etag": one.etag}
            for one in change.assets
        ],
        "relationships": [
            {
                "id": one.id,
                "kind": _kind(one.kind),
                "parent": one.parent_asset_id,
                "child": one.child_asset_id,
                "type": one.relationship_type,
                "sequence": one.sequence if one.HasField("sequence") else None,
            }
            for one in change.relationships
        ],
        "selections": [
            {"shot": one.shot_id, "take": one.take_id or None, "previous": one.previous_take_id or None}
            for one in change.selections
        ],
        "truncated": change.truncated,
    }


def change_line(change: pb.GraphChange) -> Text:
    """A revision of a workspace in one line: its number, when, who, what."""
    names = {one.id: one.name for one in change.assets}
    told = [
        f"{names.get(one.take_id, one.take_id)} selected" if one.take_id else f"no take of {one.shot_id} selected"
        for one in change.selections
    ]
    # A selection changes the two takes, which says nothing more.
    chosen = {take_id for one in change.selections for take_id in (one.take_id, one.previous_take_id)}
    told += [
        f"{_WORDS.get(one.type, one.type)} {one.name} {_kind(one.kind).lower()}"
        for one in change.assets
        if one.id not in chosen or one.kind != pb.CHANGE_KIND_UPDATED
    ]
    kinds = Counter((one.relationship_type, _kind(one.kind)) for one in change.relationships)
    told += [
        f"{counted(number, _JOINED.get(name, name))} {_JOINING.get(kind, kind.lower())}"
        for (name, kind), number in kinds.items()
    ]
    more = f" and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    more += " and more than is told" if change.truncated else ""
    who = f"{change.actor} ({change.client})" if change.client else change.actor
    when = change.create_time.ToDatetime(UTC).astimezone()
    return Text.assemble(
        (f"{change.revision:>6}", "bold"),
        f"  {when:%H:%M:%S}  ",
        (f"{printable(who):<20}", "cyan"),
        f"  {printable(', '.join(told[:_TOLD]) + more)}".replace("\n", " "),
    )


def imported_facts(path: Path, document: FilmDocument, imported: Imported) -> dict[str, object]:
    """What became of a file, as JSON."""
    return {
        "file": str(path),
        "film": imported.film_id,
        "name": document.title,
        "created": imported.is_new,
        "scenes": document.count("scene"),
        "shots": document.count("shot"),
        "characters": document.count("character_ref"),
        "takes": document.count("shot_take"),
        "revision": imported.revision,
    }


def print_imported(path: Path, document: FilmDocument, imported: Imported) -> None:
    """What became of a file."""
    out = console()
    if not imported.is_new:
        said = f"· {path}: {document.title} is there already, as {imported.film_id}"
        out.print(Text(printable(said), style="yellow"), soft_wrap=True)
        return
    counts = ", ".join(_counts(document))
    out.print(Text(printable(f"✓ {path}: {document.title} ({counts})"), style="green"), soft_wrap=True)
    out.print(Text(f"  {imported.film_id}"), soft_wrap=True)


def print_exported(output: Path, document: FilmDocument) -> None:
    """Where a film was written to."""
    said = f"✓ {output}: {document.title} ({', '.join(_counts(document))})"
    console().print(Text(printable(said), style="green"), soft_wrap=True)


def _kind(value: "pb.ChangeKind.ValueType") -> str:
    """A ChangeKind as a word: CREATED, UPDATED, DELETED."""
    return pb.ChangeKind.Name(value).removeprefix("CHANGE_KIND_")


def _counts(document: FilmDocument) -> Iterable[str]:
    kinds = (("scene", "scene"), ("shot", "shot"), ("character_ref", "character"), ("shot_take", "take"))
    for kind, thing in kinds:
        if number := document.count(kind):
            yield counted(number, thing)


def _add_shot(branch: Tree, shot: AssetDocument, structure: Structure) -> None:
    cast = ", ".join(_name(one) for one in structure["links"].get("uses_character", ()))
    node = branch.add(_head(shot, more=f"with {cast}" if cast else ""))
    for take in structure["takes"]:
        node.add(_take(take, is_selected=take["id"] == structure["selected_take_id"]))


def _take(take: TakeDocument, *, is_selected: bool) -> Text:
    metadata, video = take["metadata"], take["video"]
    score = metadata.get("quality_score")
    costs = [Decimal(one["generation_cost"]) for one in (take, video) if one and one["generation_cost"] is not None]
    words = (
        f"take {take['sequence']}" if take["sequence"] is not None else "take",
        None if score is None else f"score {round(score, _SCORE_PLACES) if isinstance(score, float) else score}",
        f"cost {sum(costs)}" if costs else None,
        video["url"] if video else None,
    )
    line = _line(f"{'✓' if is_selected else ' '} {words[0]}", *words[1:])
    line.append(f"  {take['id']}", style="dim")
    if is_selected:
        line.stylize("green")
    return line


def _head(asset: AssetDocument, style: str = "", more: str = "") -> Text:
    line = Text(_name(asset), style=style)
    if more:
        line.append(f"  {printable(more)}", style="not bold italic")
    line.append(f"  {asset['id']}", style="not bold dim")
    return line


def _line(*words: object) -> Text:
    return Text("  ".join(printable(str(word)).replace("\n", " ") for word in words if word is not None))


def _name(asset: AssetDocument) -> str:
    return printable(str(asset["name"])).replace("\n", " ")
