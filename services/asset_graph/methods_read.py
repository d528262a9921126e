"""The contract's methods that change nothing."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from services.asset_graph import convert, convert_read, rules_answer
from services.asset_graph.caller import scope, until, workspace
from services.asset_graph.domain.reading import Reads, Watches
from services.kernel.faults import Code, Fault
from services.kernel.paging import Key, keyset_token
from services.runtime import call, wire

Page = TypeVar(
    "Page",
    pb.ListAssetsResponse,
    pb.ListDeletedAssetsResponse,
    pb.ListChildrenResponse,
    pb.ListParentsResponse,
    pb.ListShotTakesResponse,
    pb.GetFilmStructureResponse,
)


class ReadMethods:
    """The reads of `shotline.asset_graph.v1.AssetGraphService`, and its watch."""

    def __init__(self, reads: Reads, watches: Watches) -> None:
        self._reads = reads
        self._watches = watches

    async def ListRules(self, request: pb.ListRulesRequest, context: object = None) -> pb.ListRulesResponse:
        return rules_answer.RULES

    async def GetAsset(self, request: pb.GetAssetRequest, context: object = None) -> pb.Asset:
        asset_id = convert.to_id(request.id, "id")
        return convert.from_asset(await self._reads.asset(scope(), until(), asset_id))

    async def BatchGetAssets(
        self, request: pb.BatchGetAssetsRequest, context: object = None
    ) -> pb.BatchGetAssetsResponse:
        wanted = list(dict.fromkeys(convert.to_ids(request.ids, "ids")))
        page = await self._reads.assets(scope(), until(), wanted)
        if page.following:
            raise wire.too_large(wire.MAX_MESSAGE, "ask for fewer assets at a time")
        found = {asset.id: asset for asset in page.items}
        return pb.BatchGetAssetsResponse(
            assets=[convert.from_asset(found[each]) for each in wanted if each in found],
            missing_ids=[str(each) for each in wanted if each not in found],
        )

    async def ListAssets(self, request: pb.ListAssetsRequest, context: object = None) -> pb.ListAssetsResponse:
        workspace_id = workspace(request.workspace_id)
        wanted, order = convert_read.to_filter(request), convert_read.to_order(request.order)
        query, cut = convert_read.to_cut(request)
        page = await self._reads.list_assets(scope(), until(), workspace_id, wanted, order, cut)
        response = pb.ListAssetsResponse(assets=map(convert.from_asset, page.items))
        return _paged(response, query, page.following)

    async def ListDeletedAssets(
        self, request: pb.ListDeletedAssetsRequest, context: object = None
    ) -> pb.ListDeletedAssetsResponse:
        workspace_id = workspace(request.workspace_id)
        query, cut = convert_read.to_cut(request)
        page = await self._reads.list_deleted(scope(), until(), workspace_id, cut)
        response = pb.ListDeletedAssetsResponse(assets=map(convert_read.from_deleted, page.items))
        return _paged(response, query, page.following)

    async def ListChildren(self, request: pb.ListChildrenRequest, context: object = None) -> pb.ListChildrenResponse:
        parent, wanted = convert.to_id(request.parent_asset_id, "parent_asset_id"), convert_read.to_end_filter(request)
        query, cut = convert_read.to_cut(request)
        page = await self._reads.children(scope(), until(), parent, wanted, cut)
        response = pb.ListChildrenResponse(children=map(convert.from_related, page.items))
        return _paged(response, query, page.following)

    async def ListParents(self, request: pb.ListParentsRequest, context: object = None) -> pb.ListParentsResponse:
        child, wanted = convert.to_id(request.child_asset_id, "child_asset_id"), convert_read.to_end_filter(request)
        query, cut = convert_read.to_cut(request)
        page = await self._reads.parents(scope(), until(), child, wanted, cut)
        response = pb.ListParentsResponse(parents=map(convert.from_related, page.items))
        return _paged(response, query, page.following)

    async def ListShotTakes(self, request: pb.ListShotTakesRequest, context: object = None) -> pb.ListShotTakesResponse:
        shot_id = convert.to_id(request.shot_id, "shot_id")
        query, cut = convert_read.to_cut(request)
        page = await self._reads.takes(scope(), until(), shot_id, cut)
        response = pb.ListShotTakesResponse(takes=map(convert.from_take, page.items))
        return _paged(response, query, page.following)

    async def GetSelectedTake(self, request: pb.GetSelectedTakeRequest, context: object = None) -> pb.Selection:
        shot_id = convert.to_id(request.shot_id, "shot_id")
        return convert.from_selection(await self._reads.selection(scope(), until(), shot_id))

    async def GetShotStructure(self, request: pb.GetShotStructureRequest, context: object = None) -> pb.ShotStructure:
        shot_id = convert.to_id(request.shot_id, "shot_id")
        return convert_read.from_structure(await self._reads.shot_structure(scope(), until(), shot_id))

    async def GetFilmStructure(
        self, request: pb.GetFilmStructureRequest, context: object = None
    ) -> pb.GetFilmStructureResponse:
        film_id = convert.to_id(request.film_id, "film_id")
        query, cut = convert_read.to_cut(request)
        page = await self._reads.film_structure(scope(), until(), film_id, cut)
        response = convert_read.from_film_page(page)
        return _paged(response, query, page.following)

    async def GetFilmCost(self, request: pb.GetFilmCostRequest, context: object = None) -> pb.FilmCost:
        film_id = convert.to_id(request.film_id, "film_id")
        return convert_read.from_cost(await self._reads.film_cost(scope(), until(), film_id))

    async def GetShotMetrics(self, request: pb.GetShotMetricsRequest, context: object = None) -> pb.ShotMetrics:
        shot_id = convert.to_id(request.shot_id, "shot_id")
        return convert_read.from_metrics(await self._reads.shot_metrics(scope(), until(), shot_id))

    async def WatchChanges(
        self, request: pb.WatchChangesRequest, context: object = None
    ) -> AsyncGenerator[pb.WatchChangesResponse, None]:
        workspace_id = workspace(request.workspace_id)
        seconds, behind = convert_read.to_progress(request.progress_seconds), convert_read.to_revision(request)
        with contextlib.closing(await self._watches.watch(workspace_id, behind)) as watch:
            sent = watch.revision
            try:
                while True:
                    _bid_farewell(sent)
                    yield pb.WatchChangesResponse(progress=pb.WatchProgress(revision=sent))
                    while changes := await watch.next(seconds):
                        for change in changes:
                            _bid_farewell(sent := change.revision)
                            yield pb.WatchChangesResponse(change=convert_read.from_change(change))
            except Fault as fault:
                if fault.code is Code.UNAVAILABLE:
                    fault.metadata["revision"] = str(sent)
                raise


def _paged(response: Page, query: str, following: Sequence[Key] | None) -> Page:
    """The answer with the token of the next page, where there is one."""
    if following:
        response.next_page_token = keyset_token(query, following)
    return response


def _bid_farewell(revision: int) -> None:
    """Note what a watch says when it is ended from outside: what goes out now will have arrived before that."""
    if current := call.current():
        current.farewell["revision"] = str(revision)
