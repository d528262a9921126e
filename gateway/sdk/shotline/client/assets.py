"""Assets of any type: make, read, change, delete, bring back."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, cast

from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.client import asking, reading
from shotline.client.arguments import checks_arguments
from shotline.client.asking import UNCHANGED, NotChanged
from shotline.client.calls import Calls
from shotline.client.errors import Conflict, ShotlineError
from shotline.client.shapes import (
    Asset,
    AssetOrder,
    ChangedAsset,
    Deleted,
    DeletedAsset,
    Id,
    Money,
    Rules,
    UpdateMode,
)

_BATCH = 1_000  # ids that one call takes


@checks_arguments
class AssetCalls(Calls):
    """Calls about assets of any type."""

    async def create_asset(
        self,
        workspace_id: str,
        asset_type: str,
        name: str,
        metadata: Mapping[str, Any] | None = None,
        url: str | None = None,
        duration: float | None = None,
        generation_cost: Money | None = None,
        *,
        request_id: Id | None = None,
        timeout: float | None = None,
    ) -> str:
        """Make an asset; its id. The workspace comes to be when something is first made in it.

        asset_type: such as "character_ref"; `rules()` lists them. "script" is another name of "text". A scene comes
            into its film by `create_relationship(film_id, scene_id, "contains_scene")`.
        duration: seconds.
        generation_cost: in the workspace's currency.
        Raises InvalidArgument, PermissionDenied.
        """
        request = asking.create_asset(asset_type, name, metadata, url, duration, generation_cost)
        request.workspace_id = workspace_id
        request.request_id = asking.request_id(request_id)
        return (await self._call(lambda stub: stub.CreateAsset, request, timeout)).id

    async def get_asset(self, asset_id: Id, *, timeout: float | None = None) -> Asset:
        """One asset. Raises NotFound."""
        request = pb.GetAssetRequest(id=asking.id_text(asset_id))
        return reading.asset(await self._call(lambda stub: stub.GetAsset, request, timeout))

    async def get_assets(self, asset_ids: Iterable[Id], *, timeout: float | None = None) -> list[Asset]:
        """Many assets in the order of their ids; those that are not there are left out."""
        ids = [asking.id_text(each) for each in asset_ids]
        found: list[Asset] = []
        for start in range(0, len(ids), _BATCH):
            request = pb.BatchGetAssetsRequest(ids=ids[start : start + _BATCH])
            answer = await self._call(lambda stub: stub.BatchGetAssets, request, timeout)
            found.extend(map(reading.asset, answer.assets))
        return found

    async def list_assets(
        self,
        workspace_id: str,
        types: str | Iterable[str] = (),
        *,
        name_prefix: str = "",
        metadata_contains: Mapping[str, Any] | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        order: AssetOrder = "create_time",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncGenerator[Asset, None]:
        """The assets of a workspace that pass all filters, page by page: `async for asset in service.list_assets(…)`.

        types: one type or several; none: all.
        name_prefix: what the name begins with, upper and lower case told apart.
        metadata_contains: members that the metadata must have (PostgreSQL's `@>`).
        created_from, created_before: aware times.
        page_size: assets to ask for at a time; 0: 100, at most 1,000.
        timeout: seconds for each page.
        Raises InvalidArgument, PermissionDenied.
        """
        request = asking.list_assets(
            types, name_prefix, metadata_contains, created_from, created_before, order, page_size
        )
        request.workspace_id = workspace_id
        async for page in self._pages(lambda stub: stub.ListAssets, request, timeout):
            for each in page.assets:
                yield reading.asset(each)

    async def update_asset(
        self,
        asset_id: Id,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        mode: UpdateMode = "merge_patch",
        url: str | NotChanged | None = UNCHANGED,
        duration: float | NotChanged | None = UNCHANGED,
        generation_cost: Money | NotChanged | None = UNCHANGED,
        etag: str | None = None,
        request_id: Id | None = None,
        timeout: float | None = None,
    ) -> ChangedAsset:
        """Change what is named; the asset afterwards, and the change's revision.

        metadata: a patch. `{"selected": True}` on a take selects it, and its shot's other takes lose it.
        mode: "merge_patch" merges objects and lets None remove a member; "replace_top_level" replaces
            each member whole.
        url, duration, generation_cost: None takes it away.
        etag: of what you have seen; without it, whatever is there is changed.
        Raises NotFound, InvalidArgument, and Conflict with what is there now when the etag is stale.
        """
        request = asking.update_asset(asset_id, name, metadata, mode, url, duration, generation_cost, etag)
        request.request_id = asking.request_id(request_id)
        try:
            return reading.changed_asset(await self._call(lambda stub: stub.UpdateAsset, request, timeout))
        except Conflict as conflict:
            await self._show_current(conflict, asset_id, timeout)
            raise

    async def delete_asset(
        self, asset_id: Id, *, etag: str | None = None, request_id: Id | None = None, timeout: float | None = None
    ) -> Deleted:
        """Delete an asset with its relationships, and with a shot its takes. What it cost stays in the film's cost.

        Raises NotFound, and Conflict when the etag is stale.
        """
        request = asking.delete_asset(asset_id, etag)
        request.request_id = asking.request_id(request_id)
        try:
            answer = await self._call(lambda stub: stub.DeleteAsset, request, timeout)
        except Conflict as conflict:
            await self._show_current(conflict, asset_id, timeout)
            raise
        return {"deleted_asset_ids": list(answer.deleted_asset_ids), "revision": answer.revision}

    async def undelete_asset(
        self, asset_id: Id, *, request_id: Id | None = None, timeout: float | None = None
    ) -> ChangedAsset:
        """Bring back a deleted asset and what was deleted with it. Raises NotFound, FailedPrecondition."""
        request = pb.UndeleteAssetRequest(id=asking.id_text(asset_id), request_id=asking.request_id(request_id))
        return reading.changed_asset(await self._call(lambda stub: stub.UndeleteAsset, request, timeout))

    async def list_deleted_assets(
        self, workspace_id: str, *, page_size: int = 0, timeout: float | None = None
    ) -> AsyncGenerator[DeletedAsset, None]:
        """The deleted assets of a workspace, the last deleted first, page by page. Raises PermissionDenied."""
        request = pb.ListDeletedAssetsRequest(workspace_id=workspace_id, page_size=page_size)
        async for page in self._pages(lambda stub: stub.ListDeletedAssets, request, timeout):
            for each in page.assets:
                yield reading.deleted_asset(each)

    async def rules(self, *, timeout: float | None = None) -> Rules:
        """The types of assets, and which relationships they may have."""
        return reading.rules(await self._call(lambda stub: stub.ListRules, pb.ListRulesRequest(), timeout))

    async def _show_current(self, conflict: Conflict, asset_id: Id, timeout: float | None) -> None:
        """Get the current value of a conflict where it was too large to travel with the error."""
        if conflict.reason == "ETAG_MISMATCH" and conflict.current is None:
            with suppress(ShotlineError):
                current = await self.get_asset(asset_id, timeout=timeout)
                conflict.current, conflict.current_etag = cast("dict[str, Any]", current), current["etag"]
