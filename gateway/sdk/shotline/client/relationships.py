"""Relationships: relate, order, end, and look along them in both directions."""

from collections.abc import Mapping
from typing import Any

from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.client import asking, reading
from shotline.client.arguments import checks_arguments
from shotline.client.calls import Calls
from shotline.client.shapes import Id, RelatedAsset, Relationship


@checks_arguments
class RelationshipCalls(Calls):
    """Calls about typed edges between assets."""

    async def create_relationship(
        self,
        parent_asset_id: Id,
        child_asset_id: Id,
        relationship_type: str,
        sequence: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        request_id: Id | None = None,
        timeout: float | None = None,
    ) -> str:
        """Relate two assets of one workspace; the relationship's id.

        relationship_type: such as "contains_scene" for a scene of a film; `rules()` lists them with what they join.
        sequence: place among the parent's children of this type, from 1; without it, the end where the type is ordered.
        Of a "generation_attempt" it is the attempt number.
        Raises NotFound, AlreadyExists (the edge, or the place), InvalidArgument (types that the rules do not allow),
        FailedPrecondition (it would close a circle; `details["path"]`).
        """
        request = asking.create_relationship(parent_asset_id, child_asset_id, relationship_type, sequence, metadata)
        request.request_id = asking.request_id(request_id)
        return (await self._call(lambda stub: stub.CreateRelationship, request, timeout)).id

    async def delete_relationship(
        self,
        parent_asset_id: Id,
        child_asset_id: Id,
        relationship_type: str,
        *,
        request_id: Id | None = None,
        timeout: float | None = None,
    ) -> int:
        """End a relationship; the change's revision. The assets stay. Raises NotFound."""
        request = asking.delete_relationship(parent_asset_id, child_asset_id, relationship_type)
        request.request_id = asking.request_id(request_id)
        return (await self._call(lambda stub: stub.DeleteRelationship, request, timeout)).revision

    async def move_relationship(
        self,
        parent_asset_id: Id,
        child_asset_id: Id,
        relationship_type: str,
        *,
        after: Id | None = None,
        before: Id | None = None,
        position: int | None = None,
        request_id: Id | None = None,
        timeout: float | None = None,
    ) -> Relationship:
        """Give an ordered child another place; the relationship with its new `sequence`.

        after, before: a sibling, by the id of its asset. position: from 1; beyond the last one: to the end.
        Raises NotFound, FailedPrecondition (not ordered, or a take), ValueError unless one place is given.
        """
        request = asking.move_relationship(
            parent_asset_id, child_asset_id, relationship_type, after=after, before=before, position=position
        )
        request.request_id = asking.request_id(request_id)
        return reading.relationship(await self._call(lambda stub: stub.MoveRelationship, request, timeout))

    async def get_child_assets(
        self,
        parent_asset_id: Id,
        relationship_type: str | None = None,
        asset_type: str | None = None,
        *,
        timeout: float | None = None,
    ) -> list[RelatedAsset]:
        """What an asset is related to, all pages, in order of `sequence`; those without one last, as they were made.

        relationship_type: only these; without it all, ordered by type first. asset_type: only children of this type.
        timeout: seconds for each page.
        Raises NotFound.
        """
        request = pb.ListChildrenRequest(
            parent_asset_id=asking.id_text(parent_asset_id),
            relationship_type=relationship_type or "",
            asset_type=asset_type or "",
            page_size=1_000,
        )
        pages = self._pages(lambda stub: stub.ListChildren, request, timeout)
        return [reading.related(each) async for page in pages for each in page.children]

    async def get_parent_assets(
        self,
        child_asset_id: Id,
        relationship_type: str | None = None,
        asset_type: str | None = None,
        *,
        timeout: float | None = None,
    ) -> list[RelatedAsset]:
        """What is related to an asset ("which shots use this character"), all pages, as the relationships were made.

        relationship_type: only these; without it all, ordered by type first. asset_type: only parents of this type.
        timeout: seconds for each page.
        Raises NotFound.
        """
        request = pb.ListParentsRequest(
            child_asset_id=asking.id_text(child_asset_id),
            relationship_type=relationship_type or "",
            asset_type=asset_type or "",
            page_size=1_000,
        )
        pages = self._pages(lambda stub: stub.ListParents, request, timeout)
        return [reading.related(each) async for page in pages for each in page.parents]
