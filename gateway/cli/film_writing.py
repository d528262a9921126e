"""From a film's document to the asset graph: one transaction, made once however often it is asked for.

What is in a document decides its request id, so the same import again, within the 24 hours for which the graph
remembers, gets the same answer. Before that, the workspace is looked through for the film itself: one that was made of
the same story says so in its metadata, and one that equals the document in all but ids is it.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from gateway.cli.film_document import FilmAsset, FilmDocument, is_equal
from gateway.cli.film_reading import FilmChanging, read, revision
from gateway.cli.graph import Graph
from services.kernel.faults import Code, Fault
from services.kernel.strict_json import quote

STORY_DIGEST = "story_digest"  # member of the metadata of a film that was made of a story
MOST_CHANGES = 20_000  # of one transaction
_MOST_COPIES = 1_000

_REQUESTS = uuid.UUID("5c1fd6a3-33c5-5d0c-9a63-6f3c2b1f7c11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of a document."""

    film_id: str
    is_new: bool  # False: it was there already
    revision: int
    ids: Mapping[str, str]  # of the document's assets: the ids that they have in the workspace; empty where not known


async def write(
    graph: Graph, document: FilmDocument, workspace_id: str, shared: Mapping[FilmAsset, str], story_digest: str = ""
) -> Imported:
    """Make the film in a workspace, unless it is there. Raises Fault.

    shared: assets of other documents that are there already, with the ids that they have there.
    """
    if there := await _already(graph, document, workspace_id, story_digest):
        return there
    known = {asset.id: shared[asset] for asset in document.assets if asset in shared}
    request = _request(document, workspace_id, known)
    if len(request.changes) > MOST_CHANGES:
        message = f"the film takes {len(request.changes)} changes, and {MOST_CHANGES} can be made as one"
        raise Fault(Code.INVALID_ARGUMENT, "TOO_LARGE", message)
    before = await revision(graph, workspace_id)
    digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
    for copy in range(_MOST_COPIES):
        request.request_id = str(uuid.uuid5(_REQUESTS, f"{digest} {copy}"))
        try:
            answer = await graph.apply(request)
        except Fault as fault:
            raise _told(fault, document, request) from None
        made = [result.id for change, result in zip(request.changes, answer.results, strict=True) if change.temp_id]
        new = [asset.id for asset in document.assets if asset.id not in known]
        ids = {**known, **dict(zip(new, made, strict=True))}
        # An answer can be that to the same request of before, whose film was deleted since.
        if await graph.asset(ids[document.film]) is not None:
            is_new = answer.revision > before
            return Imported(film_id=ids[document.film], is_new=is_new, revision=answer.revision, ids=ids)
    raise AssertionError(f"the film was imported and deleted {_MOST_COPIES} times in a day")


async def _already(graph: Graph, document: FilmDocument, workspace_id: str, story_digest: str) -> Imported | None:
    if story_digest:
        for film in await graph.films(workspace_id, contains=f'{{"{STORY_DIGEST}": {quote(story_digest)}}}'):
            return Imported(film_id=film.id, is_new=False, revision=0, ids={})
        return None
    for film in await graph.films(workspace_id, name=document.title):
        try:
            there = await read(graph, film.id)
        except (Fault, FilmChanging):
            continue  # it is being worked on, or was deleted: not what is to be imported
        if is_equal(there, document):
            ids = {ours.id: theirs.id for ours, theirs in zip(document.assets, there.assets, strict=True)}
            return Imported(film_id=film.id, is_new=False, revision=0, ids=ids)
    return None


def _request(document: FilmDocument, workspace_id: str, known: Mapping[str, str]) -> pb.ApplyChangesRequest:
    """All of the document as changes: what `known` has is referred to."""
    names = dict(known)
    request = pb.ApplyChangesRequest(workspace_id=workspace_id)
    for index, asset in enumerate(document.assets):
        if asset.id not in known:
            names[asset.id] = f"$a{index}"
            request.changes.add(temp_id=names[asset.id], create_asset=_creation(asset))
    for edge in document.edges:
        if not (edge.parent in known and edge.child in known):
            request.changes.add(
                create_relationship=pb.CreateRelationshipRequest(
                    parent_asset_id=names[edge.parent],
                    child_asset_id=names[edge.child],
                    relationship_type=edge.type,
                    sequence=edge.sequence,
                    metadata_json=edge.metadata,
                )
            )
    takes = {asset.id: asset for asset in document.assets}
    for shot, take in document.selections:
        if shot not in known and not takes[take].is_selected:  # one that says so is selected when its edge is made
            request.changes.add(select_take=pb.SelectTakeRequest(shot_id=names[shot], take_id=names[take]))
    return request


def _creation(asset: FilmAsset) -> pb.CreateAssetRequest:
    return pb.CreateAssetRequest(
        type=asset.type,
        name=asset.name,
        metadata_json=asset.metadata,
        url=asset.url,
        duration_seconds=asset.duration,
        generation_cost=asset.generation_cost,
    )


def _told(fault: Fault, document: FilmDocument, request: pb.ApplyChangesRequest) -> Fault:
    """The fault with what the change was about, for a person who sees the file and not the request."""
    index = fault.metadata.get("change_index", "")
    if not index.isdecimal() or int(index) >= len(request.changes):
        return fault
    change = request.changes[int(index)]
    told = fault.again()
    said = fault.message.removeprefix(f"changes[{index}]: ")  # a number in the request, not in the file
    if change.WhichOneof("change") == "create_asset":
        asset = change.create_asset
        told.message = f"{asset.type} {asset.name[:60]!r}: {said}"
    else:
        names = {f"$a{number}": asset.name for number, asset in enumerate(document.assets)}
        edge = change.create_relationship
        ends = [names.get(end, end)[:60] for end in (edge.parent_asset_id, edge.child_asset_id)]
        told.message = f"{edge.relationship_type or 'selection'} of {ends[0]!r} and {ends[1]!r}: {said}"
    return told
