"""The studio's client: what an editor calls, whether a shot lives in a project's files or in the asset graph."""

import json
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, TypeAlias

from shotline.client import asking, reading, studio_reading
from shotline.client.arguments import checks_arguments
from shotline.client.asking import UNCHANGED, NotChanged
from shotline.client.connection import NAME, TIMEOUT, Connection, Patience
from shotline.client.shapes import Id, UpdateMode
from shotline.client.studio_shapes import Sequences, SequenceShots, StudioChange, StudioFilm, StudioShot
from shotline.client.watching import Following, stall
from shotline.studio.v1 import studio_service_pb2 as pb
from shotline.studio.v1.studio_service_pb2_grpc import StudioServiceStub

Folder: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the watch of one source is."""

    revision: int | None = None  # everything up to it was given; None before the watch has begun
    log_id: str = ""  # of a project: in which log revisions are counted; changes when `.shotline` was deleted


Places: TypeAlias = tuple[Place, ...]


class StudioWatch(Following[StudioChange, Places]):
    """The changes of several projects and workspaces: `async for change in watch`."""

    @property
    def places(self) -> Places:
        """Where each source is, projects first, each kind in the order given: a later watch can go on there."""
        return self._position

    async def begin(self) -> Places:
        """Wait until all sources are followed; where each is. What is read after this and what the watch gives together
        miss nothing."""
        await self._begin()
        return self._position


@checks_arguments
class Studio:
    """One address for an editor or a script: shots wherever they live, sequences, films, and what changes.

        studio = Studio()
        await studio.update_shot("shot-1", {"prompt": "dusk"}, project_path="/films/harbour", sequence_id="001")
        await studio.update_shot(shot_id, {"name": "Shot 1"})  # of the asset graph

    `project_path` is the folder on the server, absolute. With `sequence_id` the shot of that sequence is meant, without
    it the project's shot wherever it stands, and without `project_path` a shot of the asset graph. All else is as in
    AssetService: connection, request ids, timeouts, exceptions.
    """

    def __init__(
        self, address: str | None = None, *, token: str | None = None, timeout: float = TIMEOUT, client: str = NAME
    ) -> None:
        """
        address: host:port of Shotline's gateway. Default: SHOTLINE_ADDRESS, else where the local start runs.
        token: default: SHOTLINE_TOKEN, else the local start's. An empty one is a ValueError, never the default.
        timeout: seconds for a call with all its tries, where the call states none.
        client: what this program calls itself in histories; at most 64 printable ASCII characters, else a
            ValueError.
        """
        self._connection = Connection(
            "shotline.studio.v1", StudioServiceStub, address=address, token=token, timeout=timeout, client=client
        )

    async def get_shot(
        self,
        shot_id: Id,
        *,
        project_path: Folder | None = None,
        sequence_id: str | None = None,
        timeout: float | None = None,
    ) -> StudioShot:
        """A shot; of the asset graph with its links, takes and selected video. Raises NotFound, FailedPrecondition."""
        request = pb.GetShotRequest(target=_target(shot_id, project_path, sequence_id))
        return studio_reading.shot(await self._connection.call(lambda stub: stub.GetShot, request, timeout))

    async def update_shot(
        self,
        shot_id: Id,
        updates: Mapping[str, Any],
        *,
        project_path: Folder | None = None,
        sequence_id: str | None = None,
        mode: UpdateMode = "merge_patch",
        etag: str | None = None,
        request_id: Id | None = None,
        timeout: float | None = None,
    ) -> StudioShot:
        """Change a shot; the shot afterwards, and where it is stored.

        updates: of a file's shot any members but `id`; of the asset graph's `name`, `url`, `duration`,
            `generation_cost` (text) and `metadata`.
        mode, etag: as in AssetService.update_asset.
        Raises NotFound, InvalidArgument, FailedPrecondition, and Conflict with what is there now.
        """
        request = pb.UpdateShotRequest(
            target=_target(shot_id, project_path, sequence_id),
            updates_json=asking.json_text(updates),
            mode=asking.member(pb.UpdateMode, "UPDATE_MODE_", mode),
            etag=etag or "",
            request_id=asking.request_id(request_id),
        )
        return studio_reading.shot(await self._connection.call(lambda stub: stub.UpdateShot, request, timeout))

    async def get_shots(self, project_path: Folder, sequence_id: str, *, timeout: float | None = None) -> SequenceShots:
        """The shots of a sequence in order, all pages. Raises NotFound, FailedPrecondition (an unreadable file)."""
        request = pb.GetShotsRequest(project_path=os.fspath(project_path), sequence_id=sequence_id)
        found: SequenceShots = {"shots": [], "etag": ""}
        async for page in self._connection.pages(lambda stub: stub.GetShots, request, timeout):
            found["shots"].extend(map(studio_reading.shot, page.shots))
            found["etag"] = page.etag
        return found

    async def get_all_sequences(self, project_path: Folder, *, timeout: float | None = None) -> Sequences:
        """The sequences of a project in playing order, all pages, and the unreadable files. Raises NotFound."""
        request = pb.GetAllSequencesRequest(project_path=os.fspath(project_path))
        found: Sequences = {"sequences": [], "unreachable": []}
        async for page in self._connection.pages(lambda stub: stub.GetAllSequences, request, timeout):
            found["sequences"].extend(map(studio_reading.sequence, page.sequences))
            found["unreachable"].extend(map(studio_reading.unreachable, page.unreachable))
        return found

    async def get_film(self, film_id: Id, *, timeout: float | None = None) -> StudioFilm:
        """A film of the asset graph with its shots in playing order, each as `get_shot` gives it. Raises NotFound."""
        request = pb.GetFilmRequest(film_id=asking.id_text(film_id))
        found: StudioFilm | None = None
        async for page in self._connection.pages(lambda stub: stub.GetFilm, request, timeout):
            if found is None:
                found = {
                    "film": reading.asset_of_json(json.loads(page.document_json)),
                    "scenes": studio_reading.assets(page.scenes_json),
                    "final_edits": studio_reading.assets(page.final_edits_json),
                    "shots": [],
                    "shot_count": page.shot_count,
                }
            found["shots"].extend(map(studio_reading.film_shot, page.shots))
        assert found is not None  # a list has at least one page
        return found

    async def select_take(
        self,
        shot_id: Id,
        take_id: Id | None,
        *,
        expected_take_id: Id | NotChanged | None = UNCHANGED,
        request_id: Id | None = None,
        timeout: float | None = None,
    ) -> StudioShot:
        """Select a take of a graph shot, None for none; the shot with its takes. Raises what AssetService's raises."""
        asked = asking.select_take(shot_id, take_id, expected_take_id)
        request = pb.SelectTakeRequest(
            shot_id=asked.shot_id,
            take_id=asked.take_id,
            expected_take_id=asked.expected_take_id if asked.HasField("expected_take_id") else None,
            request_id=asking.request_id(request_id),
        )
        return studio_reading.shot(await self._connection.call(lambda stub: stub.SelectTake, request, timeout))

    def watch(
        self,
        *,
        projects: Iterable[Folder] = (),
        workspaces: Iterable[str] = (),
        places: Iterable[Place] = (),
        progress_seconds: float = 15.0,
    ) -> StudioWatch:
        """Follow projects and workspaces as one stream: `async for change in studio.watch(…)`.

        places: where an earlier watch of the same sources was (`StudioWatch.places`); without them, from now on.
        progress_seconds: how often the server says that it is there when nothing happens, 0.1 to 60.
        Lost connections are made anew without a gap. Raises OutOfRange, NotFound, PermissionDenied.
        """
        folders = [os.fspath(folder) for folder in projects]
        names = [*folders, *workspaces]
        start = tuple(places) or tuple(Place() for _ in names)
        if len(start) != len(names):
            raise ValueError("give as many places as there are projects and workspaces")

        async def messages(
            at: tuple[Place, ...],
        ) -> AsyncGenerator[tuple[tuple[Place, ...], StudioChange | None], None]:
            sources = [
                pb.WatchSource(
                    project=pb.ProjectSource(project_path=name, after_revision=place.revision, log_id=place.log_id)
                )
                if index < len(folders)
                else pb.WatchSource(workspace=pb.WorkspaceSource(workspace_id=name, after_revision=place.revision))
                for index, (name, place) in enumerate(zip(names, at, strict=True))
            ]
            request = pb.WatchRequest(sources=sources, progress_seconds=progress_seconds)
            stream = self._connection.stream(lambda stub: stub.Watch, request, stall(progress_seconds))
            async with aclosing(stream):
                async for message in stream:
                    place, change = _read(message, at[message.source], names[message.source])
                    at = (*at[: message.source], place, *at[message.source + 1 :])
                    yield at, change

        return StudioWatch(
            messages,
            lambda deadline: Patience(self._connection, deadline),
            start,
            lambda at: all(place.revision is not None for place in at),
        )

    async def close(self) -> None:
        """Let the connection go. Calls that still run raise Cancelled."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def _target(shot_id: Id, project_path: Folder | None, sequence_id: str | None) -> pb.ShotTarget:
    shot = asking.id_text(shot_id)
    if project_path is None:
        if sequence_id is not None:
            raise ValueError("a sequence_id needs its project_path")
        return pb.ShotTarget(graph_shot=pb.GraphShot(shot_id=shot))
    project = os.fspath(project_path)
    if sequence_id is None:
        return pb.ShotTarget(project_shot=pb.ProjectShot(project_path=project, shot_id=shot))
    return pb.ShotTarget(sequence_shot=pb.SequenceShot(project_path=project, sequence_id=sequence_id, shot_id=shot))


def _read(message: pb.WatchResponse, place: Place, name: str) -> tuple[Place, StudioChange | None]:
    """Where the source is after a message, and the change, unless it is mere progress."""
    if message.HasField("progress"):
        return Place(message.progress.revision, message.progress.log_id), None
    if message.HasField("project_change"):
        project = studio_reading.project_change(message.project_change)
        return replace(place, revision=project["revision"]), {"source": name, "project": project, "graph": None}
    graph = studio_reading.graph_change(message.graph_change)
    return replace(place, revision=graph["revision"]), {"source": name, "project": None, "graph": graph}
