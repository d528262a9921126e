"""From the asset graph to a film's document: everything that the film leads to, read as of one moment."""

from contextlib import aclosing

import orjson
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from gateway.cli.film_document import FilmAsset, FilmDocument, FilmEdge
from gateway.cli.graph import Graph
from services.kernel.faults import Code, Fault

_READINGS = 5


class FilmChanging(Exception):
    """The film never stood still while it was read."""


async def read(graph: Graph, film_id: str) -> FilmDocument:
    """The film. Raises Fault, and FilmChanging."""
    film = await graph.asset(film_id)
    if film is None:
        raise Fault(Code.NOT_FOUND, "ASSET_NOT_FOUND", f"no asset has the id {film_id}")
    if film.type != "film":
        raise Fault(Code.INVALID_ARGUMENT, "INVALID_FIELD", f"film_id: must be a film, and this is a {film.type}")
    for _ in range(_READINGS):
        behind = await revision(graph, film.workspace_id)
        document = await _once(graph, film)
        if not await _touched(graph, film.workspace_id, behind, {asset.id for asset in document.assets}):
            return document
        film = await graph.asset(film_id) or film
    raise FilmChanging(f"the film was changed each of {_READINGS} times that it was read")


def facts(cost: pb.FilmCost) -> dict[str, object]:
    """What a film cost, as JSON."""
    return {
        "currency": cost.currency,
        "total": cost.total,
        "unselected": cost.unselected,
        "deleted": cost.deleted,
        "shots": [
            {
                "shot": shot.shot_id or None,
                "name": shot.name,
                "total": shot.total,
                "attempts": shot.attempts,
                "deleted": shot.deleted,
            }
            for shot in cost.shots
        ],
        "providers": [
            {"provider": each.provider, "model": each.model, "total": each.total, "assets": each.asset_count}
            for each in cost.providers
        ],
    }


async def _once(graph: Graph, film: pb.Asset) -> FilmDocument:
    assets = {film.id: _asset(film)}
    edges: list[FilmEdge] = []
    outermost = [film.id]
    while outermost:
        led_to: list[str] = []
        for parent, children in zip(outermost, await graph.children(outermost), strict=True):
            for child in children:
                edges.append(_edge(parent, child))
                if child.asset.id not in assets:
                    assets[child.asset.id] = _asset(child.asset)
                    led_to.append(child.asset.id)
        outermost = led_to
    cost = await graph.cost(film.id)
    return FilmDocument(
        film=film.id,
        assets=list(assets.values()),
        edges=edges,
        selections=[
            (edge.parent, edge.child)
            for edge in edges
            if edge.type == "generation_attempt" and assets[edge.child].is_selected
        ],
        costs=orjson.dumps(facts(cost), option=orjson.OPT_INDENT_2).decode().replace("\n", "\n  "),
    )


def _asset(asset: pb.Asset) -> FilmAsset:
    return FilmAsset(
        id=asset.id,
        type=asset.type,
        name=asset.name,
        url=asset.url if asset.HasField("url") else None,
        duration=asset.duration_seconds if asset.HasField("duration_seconds") else None,
        generation_cost=asset.generation_cost if asset.HasField("generation_cost") else None,
        metadata=asset.metadata_json or "{}",
    )


def _edge(parent: str, child: pb.RelatedAsset) -> FilmEdge:
    return FilmEdge(
        parent=parent,
        child=child.asset.id,
        type=child.relationship_type,
        sequence=child.sequence if child.HasField("sequence") else None,
        metadata=child.relationship_metadata_json or "{}",
    )


async def revision(graph: Graph, workspace_id: str) -> int:
    """The last revision of a workspace."""
    async with aclosing(graph.changes(workspace_id)) as messages:
        async for message in messages:
            return message.progress.revision
    return 0


async def _touched(graph: Graph, workspace_id: str, behind: int, assets: set[str]) -> bool:
    """Whether one of the assets, or a relationship of one, has changed behind a revision."""
    if (until := await revision(graph, workspace_id)) == behind:
        return False
    async with aclosing(graph.changes(workspace_id, behind)) as messages:
        async for message in messages:
            change = message.change
            named = {one.id for one in change.assets} | {one.parent_asset_id for one in change.relationships}
            if named & assets or change.truncated:
                return True
            if change.revision >= until:
                return False
    return True
