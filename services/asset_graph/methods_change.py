"""The methods that change the graph: convert, carry out once, convert."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.message import Message
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from services.asset_graph import caller, convert, convert_change
from services.asset_graph.convert_change import Mutation, Reader
from services.asset_graph.domain import faults
from services.asset_graph.domain.batch import Batch, unlinked
from services.asset_graph.domain.changing import MakeTake, Relate, Step
from services.asset_graph.domain.ports import Changes, EdgeKey, Graph, Where
from services.kernel.faults import Fault
from services.kernel.uuid7 import Uuid7

Answer = TypeVar("Answer", bound=Message)
Work = Callable[[Graph], Awaitable[Answer]]


class ChangeMethods:
    """The methods of AssetGraphService that change something."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._reader = Reader(changes.make_id, Uuid7(changes.make_id))

    async def CreateAsset(self, request: pb.CreateAssetRequest, context: object = None) -> pb.Asset:
        where, step = _in(request.workspace_id), self._reader.create_asset(request)
        return await self._asset(request, where, step)

    async def UpdateAsset(self, request: pb.UpdateAssetRequest, context: object = None) -> pb.Asset:
        step = self._reader.update_asset(request)
        return await self._asset(request, Where(asset_id=step.subject), step)

    async def DeleteAsset(self, request: pb.DeleteAssetRequest, context: object = None) -> pb.DeleteAssetResponse:
        step = self._reader.delete_asset(request)

        async def work(graph: Graph) -> pb.DeleteAssetResponse:
            batch = await _carried_out(graph, step)
            return pb.DeleteAssetResponse(
                revision=await graph.revision(), deleted_asset_ids=[str(each) for each in batch.removed]
            )

        where = Where(asset_id=convert.to_id(request.id, "id"))
        return await self._once(request, where, pb.DeleteAssetResponse, work)

    async def UndeleteAsset(self, request: pb.UndeleteAssetRequest, context: object = None) -> pb.Asset:
        asset_id = convert.to_id(request.id, "id")

        async def work(graph: Graph) -> pb.Asset:
            if not await graph.restore(asset_id):
                raise faults.not_deleted(asset_id)
            known = await graph.known([asset_id])
            return convert.from_asset(known[asset_id].asset, await graph.revision())

        return await self._once(request, Where(asset_id=asset_id), pb.Asset, work)

    async def CreateRelationship(
        self, request: pb.CreateRelationshipRequest, context: object = None
    ) -> pb.Relationship:
        step = self._reader.create_relationship(request)
        key = _key(step)

        async def work(graph: Graph) -> pb.Relationship:
            batch = await _carried_out(graph, step)
            return convert.from_relationship(batch.relationships[key], await graph.revision())

        return await self._once(request, Where(asset_id=key.parent), pb.Relationship, work)

    async def DeleteRelationship(
        self, request: pb.DeleteRelationshipRequest, context: object = None
    ) -> pb.DeleteRelationshipResponse:
        step = self._reader.delete_relationship(request)

        async def work(graph: Graph) -> pb.DeleteRelationshipResponse:
            await _carried_out(graph, step)
            return pb.DeleteRelationshipResponse(revision=await graph.revision())

        return await self._at(request, _key(step), pb.DeleteRelationshipResponse, work)

    async def MoveRelationship(self, request: pb.MoveRelationshipRequest, context: object = None) -> pb.Relationship:
        step = self._reader.move_relationship(request)
        key = _key(step)

        async def work(graph: Graph) -> pb.Relationship:
            batch = await _carried_out(graph, step)
            return convert.from_relationship(batch.relationships[key], await graph.revision())

        return await self._at(request, key, pb.Relationship, work)

    async def CreateShot(self, request: pb.CreateShotRequest, context: object = None) -> pb.Asset:
        where, step = _in(request.workspace_id), self._reader.create_shot(request)
        return await self._asset(request, where, step)

    async def LinkShotAssets(
        self, request: pb.LinkShotAssetsRequest, context: object = None
    ) -> pb.LinkShotAssetsResponse:
        step = self._reader.link_shot_assets(request)

        async def work(graph: Graph) -> pb.LinkShotAssetsResponse:
            batch = await _carried_out(graph, step)
            links = [batch.relationships[each.key] for each in step.operations if isinstance(each, Relate)]
            return convert_change.from_links(links, len(batch.made), await graph.revision())

        return await self._once(request, Where(asset_id=step.subject), pb.LinkShotAssetsResponse, work)

    async def UnlinkShotAssets(
        self, request: pb.UnlinkShotAssetsRequest, context: object = None
    ) -> pb.UnlinkShotAssetsResponse:
        step = self._reader.link_shot_assets(request)
        assert step.subject is not None
        shot = step.subject

        async def work(graph: Graph) -> pb.UnlinkShotAssetsResponse:
            ended = await unlinked(graph, shot, [each.key for each in step.operations if isinstance(each, Relate)])
            return pb.UnlinkShotAssetsResponse(deleted_count=ended, revision=await graph.revision())

        return await self._once(request, Where(asset_id=shot), pb.UnlinkShotAssetsResponse, work)

    async def CreateShotTake(self, request: pb.CreateShotTakeRequest, context: object = None) -> pb.Take:
        step = self._reader.create_shot_take(request)
        (make,) = step.operations
        assert isinstance(make, MakeTake)

        async def work(graph: Graph) -> pb.Take:
            batch = await _carried_out(graph, step)
            return convert_change.from_take(convert_change.taken(batch.assets[make.id], make), await graph.revision())

        return await self._once(request, Where(asset_id=make.shot), pb.Take, work)

    async def LinkTakeVideo(self, request: pb.LinkTakeVideoRequest, context: object = None) -> pb.Asset:
        step = self._reader.link_take_video(request)
        return await self._asset(request, Where(asset_id=convert.to_id(request.take_id, "take_id")), step)

    async def SelectTake(self, request: pb.SelectTakeRequest, context: object = None) -> pb.Selection:
        step = self._reader.select_take(request)
        shot = convert.to_id(request.shot_id, "shot_id")

        async def work(graph: Graph) -> pb.Selection:
            await _carried_out(graph, step)
            return convert.from_selection(await graph.selection(shot), await graph.revision())

        return await self._once(request, Where(asset_id=shot), pb.Selection, work)

    async def ApplyChanges(self, request: pb.ApplyChangesRequest, context: object = None) -> pb.ApplyChangesResponse:
        where, steps = _in(request.workspace_id), await convert_change.to_steps(request, self._reader)

        async def work(graph: Graph) -> pb.ApplyChangesResponse:
            batch = Batch(graph, whole=False)
            await batch.carry_out(steps)
            return convert_change.from_results(await batch.results(steps), await graph.revision())

        return await self._once(request, where, pb.ApplyChangesResponse, work)

    async def _asset(self, request: Mutation, where: Where, step: Step) -> pb.Asset:
        """A change that is answered with the asset that it made or changed."""
        assert step.subject is not None
        subject = step.subject

        async def work(graph: Graph) -> pb.Asset:
            batch = await _carried_out(graph, step)
            return convert.from_asset(batch.assets[subject], await graph.revision())

        return await self._once(request, where, pb.Asset, work)

    async def _at(self, request: Mutation, key: EdgeKey, answer_type: type[Answer], work: Work[Answer]) -> Answer:
        """A change of a relationship that has to be there: without its parent it is not."""
        try:
            return await self._once(request, Where(asset_id=key.parent), answer_type, work)
        except Fault as fault:
            if fault.reason == "ASSET_NOT_FOUND":
                raise faults.relationship_not_found(key.type, key.parent, key.child) from None
            raise

    async def _once(self, request: Mutation, where: Where, answer_type: type[Answer], work: Work[Answer]) -> Answer:
        """Carry out a change, or answer as the same request was answered before."""
        who = caller.caller(request.request_id)
        answers: dict[bytes, Answer] = {}

        async def carried_out(graph: Graph) -> bytes:
            answer = await work(graph)
            answers.clear()
            answers[data := answer.SerializeToString()] = answer
            return data

        data = await self._changes.once(who, convert_change.digest(request), caller.until(), where, carried_out)
        return answers[data] if data in answers else answer_type.FromString(data)


async def _carried_out(graph: Graph, step: Step) -> Batch:
    batch = Batch(graph)
    await batch.carry_out([step])
    return batch


def _in(workspace_id: str) -> Where:
    """The workspace that a request names. Raises INVALID_FIELD, WORKSPACE_NOT_ALLOWED."""
    return Where(workspace_id=caller.workspace(workspace_id))


def _key(step: Step) -> EdgeKey:
    """The relationship that a step is for."""
    (operation,) = step.operations
    key = getattr(operation, "key", None)
    assert isinstance(key, EdgeKey)
    return key
