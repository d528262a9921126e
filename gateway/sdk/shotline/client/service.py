"""The asset graph's client."""

from types import TracebackType
from typing import Self

from shotline.asset_graph.v1.asset_graph_service_pb2_grpc import AssetGraphServiceStub
from shotline.client.assets import AssetCalls
from shotline.client.changes import ChangeCalls
from shotline.client.connection import NAME, TIMEOUT, Connection
from shotline.client.films import FilmCalls
from shotline.client.relationships import RelationshipCalls
from shotline.client.shots import ShotCalls


class AssetService(AssetCalls, RelationshipCalls, ShotCalls, FilmCalls, ChangeCalls):
    """Films, scenes, shots, takes, videos, audio, images, characters and texts.

        asset_service = AssetService()
        shot_id = await asset_service.create_shot(workspace_id="ws-123", name="Shot 1")

    The types of assets and of relationships, with what may be related to what, are what `rules()` gives. A film
    contains scenes and shots, a scene shots and scenes: `create_shot(…, parent_id=scene_id)` for a shot, and for a
    scene

        scene_id = await asset_service.create_asset("ws-123", "scene", "Morning")
        await asset_service.create_relationship(film_id, scene_id, "contains_scene")

    `list_assets`, `list_deleted_assets` and `list_film_shots` come page by page and want `async for`, `watch_changes`
    too; all other lists are awaited and whole.

    Nothing happens before the first await, which opens the connection. Every change carries a request id, made once
    per call, so that a call that is tried again is made once; give `request_id` to carry it over a crash of your own.
    Ids are taken as str or UUID and given as str. Failures are the exceptions of `shotline.client.errors`.
    """

    def __init__(
        self,
        db: str | None = None,
        *,
        address: str | None = None,
        token: str | None = None,
        timeout: float = TIMEOUT,
        client: str = NAME,
    ) -> None:
        """
        db: what the first examples call the database: nothing, or the address. Sessions and connections of a database
            are a TypeError: the service owns its database.
        address: host:port of Shotline's gateway, or of the asset graph itself. Default: SHOTLINE_ADDRESS, else where
            the local start runs.
        token: default: SHOTLINE_TOKEN, else the local start's. An empty one is a ValueError, never the default.
        timeout: seconds for a call with all its tries, where the call states none.
        client: what this program calls itself in the change log; at most 64 printable ASCII characters, else a
            ValueError.
        """
        if db is not None and not isinstance(db, str):
            raise TypeError(
                f"AssetService talks to Shotline, not to a database: a {type(db).__name__} cannot be used. "
                "Give nothing, or the address of Shotline such as 127.0.0.1:50050"
            )
        super().__init__(
            Connection(
                "shotline.asset_graph.v1",
                AssetGraphServiceStub,
                address=address or db,
                token=token,
                timeout=timeout,
                client=client,
            )
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
