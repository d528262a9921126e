"""Client channels: round robin over healthy servers, retries, and one deadline for the whole way.

A channel adds to each call what the service config cannot: the deadline (a `timeout` of the service
config fires a second or two early, and the server never sees it), and of the call that is being
answered, if any, its request id, its token, its client's name and what is left of its time.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from importlib import resources
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.kernel.faults import Code, Fault
from services.runtime import call
from services.runtime.call import DEFAULT_TIMEOUT
from services.runtime.wire import SIZE_OPTIONS

# Of the time that is left, what one hop keeps for its own answer: this share, and at least so many seconds.
SHAVED_SHARE = 0.05
SHAVED_LEAST = 0.010
HEALTH_RETRY = 0.25  # seconds between two tries to watch the health of a server that is away

_OPTIONS = (
    *SIZE_OPTIONS,
    # Our servers come back within seconds; the standard back-off grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Find out that the machine at the other end is gone, but only while calls wait for it.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # The services are on this machine or in this cluster, whatever http_proxy says.
    ("grpc.enable_http_proxy", 0),
)


def open_channel(
    address: str,
    *,
    service_configs: Sequence[str],
    token: str | None = None,
    client: str = "",
    timeout: float = DEFAULT_TIMEOUT,
) -> grpc.aio.Channel:
    """A channel to `address`; opened inside the event loop, closed by its owner.

    address: a gRPC target: 127.0.0.1:50052, dns:///studio:50050, or ipv4:10.0.0.1:50052,10.0.0.2:50052.
    service_configs: JSON texts; who may be retried, and how.
    token: sent where neither the call nor the call that is being answered brings one.
    client: what this program calls itself (`x-client`), sent likewise.
    timeout: seconds for calls that state none. Streams of answers have no end unless the caller gives one.
    """
    options = (*_OPTIONS, ("grpc.service_config", _merged(service_configs)))
    return _Channel(grpc.aio.insecure_channel(address, options), token, client, timeout)


def service_config(package: str) -> str:
    """The service config that stands beside the contract `package`, such as "shotline.studio.v1"."""
    return resources.files(package).joinpath("service_config.json").read_text(encoding="utf-8")


async def wait_until_serving(channel: grpc.aio.Channel, service: str, timeout: float) -> None:
    """Return once `service` ("" for the whole process) is SERVING. UNAVAILABLE after `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            async for serving in watch_health(channel, service):
                if serving:
                    return
    except TimeoutError:
        name = service or "the server"
        message = f"{name} was not serving after {timeout:g} seconds"
        raise Fault(Code.UNAVAILABLE, "BACKEND_UNAVAILABLE", message, retry_after=1.0) from None


async def watch_health(channel: grpc.aio.Channel, service: str) -> AsyncGenerator[bool, None]:
    """Whether `service` is SERVING: now, and at every change; a server that is away is not. Never ends by
    itself."""
    stub = health_pb2_grpc.HealthStub(channel)
    last: bool | None = None
    while True:
        # The first answer is wanted at once; after it there is time to wait for a server that can be called,
        # which one that says NOT_SERVING for "" cannot.
        answers = stub.Watch(health_pb2.HealthCheckRequest(service=service), wait_for_ready=last is not None)
        try:
            async for answer in answers:
                serving = answer.status == health_pb2.HealthCheckResponse.SERVING
                if serving != last:
                    yield (last := serving)
        except grpc.aio.AioRpcError:
            pass  # whatever the reason, it is not serving
        finally:
            answers.cancel()
        if last is not False:
            yield (last := False)
        await asyncio.sleep(HEALTH_RETRY)


def _merged(service_configs: Sequence[str]) -> str:
    methods = [entry for text in service_configs for entry in json.loads(text).get("methodConfig", ())]
    if any("timeout" in entry for entry in methods):
        raise ValueError("a service config must not hold a timeout: it fires early, and the server never sees it")
    return json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            # Health of the process as a whole: one that drains gets no new calls.
            "healthCheckConfig": {"serviceName": ""},
            "methodConfig": methods,
        }
    )


class _Channel(grpc.aio.Channel):
    """A channel whose calls carry deadline, token, client and request id.

    Not an interceptor of grpc.aio: those put each streaming call into another object and task.
    """

    def __init__(self, channel: grpc.aio.Channel, token: str | None, client: str, timeout: float) -> None:
        self._channel = channel
        self._client = client
        self._authorization = f"Bearer {token}" if token else ""
        self._timeout = timeout

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._completing(self._channel.unary_unary(*args, **kwargs), self._timeout)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._completing(self._channel.unary_stream(*args, **kwargs), None)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._completing(self._channel.stream_unary(*args, **kwargs), self._timeout)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._completing(self._channel.stream_stream(*args, **kwargs), None)

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _completing(self, method: Any, default_timeout: float | None) -> Any:
        def start(request: Any = None, *, timeout: float | None = None, metadata: Any = None, **kwargs: Any) -> Any:
            timeout = default_timeout if timeout is None else timeout
            return method(request, timeout=_shaved(timeout), metadata=self._completed(metadata), **kwargs)

        return start

    def _completed(self, metadata: Any) -> tuple[tuple[str, Any], ...]:
        """The headers of a call, with those that it should have and has not."""
        headers = tuple(metadata or ())
        keys = {key for key, _ in headers}
        answering = call.current()
        authorization = (answering and answering.authorization) or self._authorization
        if authorization and "authorization" not in keys:
            headers += (("authorization", authorization),)
        client = (answering and answering.client) or self._client
        if client and "x-client" not in keys:
            headers += (("x-client", client),)
        if answering and "x-request-id" not in keys:
            headers += (("x-request-id", answering.request_id),)
        return headers


def _shaved(timeout: float | None) -> float | None:
    """The time that a call may take, within what is left of the call that is being answered."""
    answering = call.current()
    if answering is None or (left := answering.remaining()) == float("inf"):
        return timeout
    left = max(0.0, left - max(SHAVED_LEAST, left * SHAVED_SHARE))
    return left if timeout is None else min(timeout, left)
