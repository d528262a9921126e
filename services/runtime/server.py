"""The one builder of gRPC servers: health, reflection, interceptor, sizes, keepalive, drain."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from services.runtime import status
from services.runtime.admission import Door, stopping_fault
from services.runtime.interceptors import HEALTH, DoorInterceptor
from services.runtime.settings import SettingsError
from services.runtime.wire import SIZE_OPTIONS

WATCH_FAREWELL = 1.0  # seconds that watches have to end, those that are passed on by themselves

_OPTIONS = (
    *SIZE_OPTIONS,
    # A second server on the port is an error, not half of the calls.
    ("grpc.so_reuseport", 0),
    # Find out that the machine at the other end of a watch is gone.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
# Reflection of both names: the messages are the same, newer clients ask for v1 only.
_REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"

_log = logging.getLogger(__name__)


class Server:
    """One gRPC server; made cold, started inside the event loop."""

    def __init__(
        self,
        name: str,
        address: str,
        door: Door,
        register: Callable[[grpc.aio.Server], Sequence[str]],
        *,
        generic_handlers: Sequence[grpc.GenericRpcHandler] = (),
        reflection_names: Sequence[str] = (),
    ) -> None:
        """
        name: what log lines call it.
        address: host:port, port 0 picks one; or unix:/path.
        register: adds servicers to the gRPC server and gives the full names of their services.
        generic_handlers: asked for the methods that no servicer has, as forwarding is.
        reflection_names: services that reflection lists besides the registered ones.
        """
        self._name = name
        self._address = address
        self._door = door
        self._register = register
        self._generic_handlers = generic_handlers
        self._reflection_names = reflection_names
        self._health = _Health()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> int:
        """Listen, and say SERVING for "" and each registered name. Gives the port. SettingsError when the
        address cannot be had."""
        # Made here and not before: a server belongs to the running event loop.
        server = grpc.aio.server(interceptors=[DoorInterceptor(self._door)], options=_OPTIONS)
        names = self._register(server)
        server.add_generic_rpc_handlers(tuple(self._generic_handlers))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        _add_reflection(server, (*names, *self._reflection_names, HEALTH))
        for name in names:
            await self.set_serving(name, True)
        try:
            port = server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise SettingsError(f"{self._name} cannot listen on {self._address}: {error}") from None
        await server.start()
        self._server = server
        _log.info("%s serves on %s, port %d", self._name, self._address, port)
        return port

    async def set_serving(self, name: str, serving: bool) -> None:
        """Change the health of one service ("" for the whole process). Without effect once it drains."""
        kinds = health_pb2.HealthCheckResponse
        await self._health.set(name, kinds.SERVING if serving else kinds.NOT_SERVING)

    async def end_watches(self) -> None:
        """Let no watch in any more, and end those inside with their last revision. `drain` does it in its turn."""
        await self._door.end_watches(WATCH_FAREWELL)

    async def drain(self, settle: float, grace: float) -> None:
        """Stop without failing anybody: NOT_SERVING, `settle` seconds for clients to notice, watches end with
        UNAVAILABLE, then up to `grace` seconds for calls in flight. Nothing to do when not started."""
        if self._server is None:
            return
        _log.info("%s drains", self._name)
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(settle)
        await self.end_watches()
        self._health.end_watches()
        await self._server.stop(grace)
        _log.info("%s stopped", self._name)


class _Health(health.HealthServicer):  # type: ignore[misc]  # the package has no annotations
    """The stock servicer, except that its watches can be ended: each would hold up the drain for all of its
    grace."""

    def __init__(self) -> None:
        super().__init__()
        self._watches: set[asyncio.Task[object]] = set()
        self._ending = False

    async def Watch(  # noqa: N802  # the contract's name
        self, request: health_pb2.HealthCheckRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        try:
            await super().Watch(request, context)
        except asyncio.CancelledError:
            if not self._ending:
                raise
            task.uncancel()
            await status.abort(context, stopping_fault())
        finally:
            self._watches.discard(task)

    def end_watches(self) -> None:
        self._ending = True
        for task in self._watches:
            task.cancel()


def _add_reflection(server: grpc.aio.Server, names: Sequence[str]) -> None:
    servicer = reflection.aio.ReflectionServicer((*names, reflection.SERVICE_NAME))
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_registered_method_handlers(_REFLECTION_V1, {"ServerReflectionInfo": handler})
