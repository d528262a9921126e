"""Shots, their linked assets, their takes, and which of these is selected."""

from collections.abc import Iterable, Mapping
from typing import Any

from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.client import asking, reading
from shotline.client.arguments import checks_arguments
from shotline.client.asking import UNCHANGED, NotChanged
from shotline.client.calls import Calls
from shotline.client.shapes import Id, Linked, Money, Selection, ShotMetrics, ShotStructure, Take, Unlinked


@checks_arguments
class ShotCalls(Calls):
    """Calls about shots and takes."""

    async def create_shot(
        self,
        workspace_id: str,
        name: str,
        description: str | None = None,
        shot_number: str | None = None,
        camera_angle: str | None = None,
        duration_target: float | None = None,
        prompt: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        parent_id: Id | None = None,
        characters: Iterable[Id] | None = None,
        audios: Iterable[Id] | None = None,
        scripts: Iterable[Id] | None = None,
        assets: Iterable[Id] | None = None,
        request_id: Id | None = None,
        timeout: float | None = None,
    ) -> str:
        """Make a shot; its id. What is said about it is kept in its metadata, under the same names.

        shot_number: as in the script, such as "03A". duration_target: seconds.
        parent_id: film or scene to put it into, at the end. characters, audios, scripts, assets: to link at once.
        Raises InvalidArgument, PermissionDenied, NotFound.
        """
        request = asking.create_shot(
            name,
            description=description,
            shot_number=shot_number,
            camera_angle=camera_angle,
            duration_target=duration_target,
            prompt=prompt,
            metadata=metadata,
            parent_id=parent_id,
            characters=characters,
            audios=audios,
            scripts=scripts,
            assets=assets,
        )
        request.workspace_id = workspace_id
        request.request_id = asking.request_id(request_id)
        return (await self._call(lambda stub: stub.CreateShot, request, timeout)).id

    async def link_shot_assets(
        self,
        shot_id: Id,
        characters: Iterable[Id] | None = None,
        audios: Iterable[Id] | None = None,
        scripts: Iterable[Id] | None = None,
        assets: Iterable[Id] | None = None,
        *,
        request_id: Id | None = None,
        timeout: float | None = None,
    ) -> Linked:
        """Link assets to a shot in the order given, behind those that are linked already, which stay as they are.

        audios: the bottom layer first. One link that fails leaves none of the call.
        Raises NotFound, InvalidArgument (an asset of another type, or nothing to link).
        """
        request = asking.link_shot_assets(shot_id, characters, audios, scripts, assets)
        request.request_id = asking.request_id(request_id)
        return reading.linked(await self._call(lambda stub: stub.LinkShotAssets, request, timeout))

    async def unlink_shot_assets(
        self,
        shot_id: Id,
        characters: Iterable[Id] | None = None,
        audios: Iterable[Id] | None = None,
        scripts: Iterable[Id] | None = None,
        assets: Iterable[Id] | None = None,
        *,
        request_id: Id | None = None,
        timeout: float | None = None,
    ) -> Unlinked:
        """End such links; one that is not there is no error. Raises NotFound for the shot."""
        request = asking.unlink_shot_assets(shot_id, characters, audios, scripts, assets)
        request.request_id = asking.request_id(request_id)
        answer = await self._call(lambda stub: stub.UnlinkShotAssets, request, timeout)
        return {"deleted_count": answer.deleted_count, "revision": answer.revision}

    async def create_shot_take(
        self,
        shot_id: Id,
        attempt_number: int | None = None,
        selected: bool = False,
        generation_params: Mapping[str, Any] | None = None,
        quality_score: float | None = None,
        director_notes: str | None = None,
        generation_cost: Money | None = None,
        *,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        request_id: Id | None = None,
        timeout: float | None = None,
    ) -> str:
        """Make a take, one attempt to generate a shot; its id.

        attempt_number: from 1; without it the next one. Numbers of deleted takes are not given again.
        selected: whether it becomes the selected take; the one before no longer is.
        generation_params: such as provider, model and seed; `get_film_cost` breaks down by the first two.
        name: without it "<name of the shot> - Take <number>".
        Raises NotFound, AlreadyExists (the attempt number), InvalidArgument.
        """
        request = asking.create_shot_take(
            shot_id,
            attempt_number,
            selected,
            generation_params,
            quality_score,
            director_notes,
            generation_cost,
            name,
            metadata,
        )
        request.request_id = asking.request_id(request_id)
        return (await self._call(lambda stub: stub.CreateShotTake, request, timeout)).asset.id

    async def link_take_video(
        self,
        take_id: Id,
        video_url: str,
        duration: float | None = None,
        video_metadata: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        generation_cost: Money | None = None,
        request_id: Id | None = None,
        timeout: float | None = None,
    ) -> str:
        """Make the video that a take produced, and link it; the video's id.

        duration: seconds. video_metadata: such as width, height and fps. generation_cost: besides the take's.
        Raises NotFound, AlreadyExists (the take has a video), InvalidArgument.
        """
        request = asking.link_take_video(take_id, video_url, duration, video_metadata, name, generation_cost)
        request.request_id = asking.request_id(request_id)
        return (await self._call(lambda stub: stub.LinkTakeVideo, request, timeout)).id

    async def get_shot_takes(self, shot_id: Id, *, timeout: float | None = None) -> list[Take]:
        """The takes of a shot by attempt number, all pages, each with its video. Raises NotFound."""
        request = pb.ListShotTakesRequest(shot_id=asking.id_text(shot_id), page_size=1_000)
        pages = self._pages(lambda stub: stub.ListShotTakes, request, timeout)
        return [reading.take(each) async for page in pages for each in page.takes]

    async def get_selected_take(self, shot_id: Id, *, timeout: float | None = None) -> Take | None:
        """The selected take of a shot with its video; None where none is selected. Raises NotFound."""
        request = pb.GetSelectedTakeRequest(shot_id=asking.id_text(shot_id))
        return reading.selection(await self._call(lambda stub: stub.GetSelectedTake, request, timeout))["take"]

    async def select_take(
        self,
        shot_id: Id,
        take_id: Id | None,
        *,
        expected_take_id: Id | NotChanged | None = UNCHANGED,
        request_id: Id | None = None,
        timeout: float | None = None,
    ) -> Selection:
        """Select a take of a shot; None leaves the shot without one.

        expected_take_id: the take that you saw selected, or None; left out, whatever is selected is replaced.
        Raises NotFound, FailedPrecondition (a take of another shot), and Conflict where another take is selected than
        expected (`details["current_take_id"]`).
        """
        request = asking.select_take(shot_id, take_id, expected_take_id)
        request.request_id = asking.request_id(request_id)
        return reading.selection(await self._call(lambda stub: stub.SelectTake, request, timeout))

    async def get_shot_structure(self, shot_id: Id, *, timeout: float | None = None) -> ShotStructure:
        """A shot with its linked assets, its takes with their videos, and the selection. Raises NotFound."""
        request = pb.GetShotStructureRequest(shot_id=asking.id_text(shot_id))
        return reading.shot_structure(await self._call(lambda stub: stub.GetShotStructure, request, timeout))

    async def get_shot_metrics(self, shot_id: Id, *, timeout: float | None = None) -> ShotMetrics:
        """Attempts, mean score, cost, and who selected what when. Raises NotFound."""
        request = pb.GetShotMetricsRequest(shot_id=asking.id_text(shot_id))
        return reading.shot_metrics(await self._call(lambda stub: stub.GetShotMetrics, request, timeout))
