"""The one server interceptor: every handler behind the door, faults out as statuses.

Requests are parsed and answers serialised inside the door as well: outside, a request that is no
message, or a handler that returns none, would end as UNKNOWN with the exception's text.

A stream of answers to one request counts as a watch. Streams of requests (reflection) are calls
with a deadline, so that a client which keeps one open does not keep its place for ever.
Handlers are asynchronous: a coroutine, an async generator, or a function that returns either.
"""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from services.kernel.faults import Code, Fault
from services.runtime import status, wire
from services.runtime.admission import Door, hand_over

HEALTH = "grpc.health.v1.Health"

# The stubs know the handlers of synchronous servers only.
_Handler = Any
_Context = grpc.aio.ServicerContext[Any, Any]
_Behaviour = Callable[[Any, _Context], Any]


class DoorInterceptor(grpc.aio.ServerInterceptor):
    """Puts every method, unknown ones included, behind a Door; health checks pass untouched."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        handler = await continuation(handler_call_details)
        if handler is None:
            handler = _UNKNOWN_METHOD
        elif handler_call_details.method.startswith(f"/{HEALTH}/"):
            return handler
        return self._behind_door(handler, handler_call_details)

    def _behind_door(self, handler: _Handler, details: grpc.HandlerCallDetails) -> _Handler:
        read = _parser(handler.request_deserializer)
        if not handler.response_streaming:
            write = handler.response_serializer or _as_it_is
            if not handler.request_streaming:
                unary_unary: _Behaviour = handler.unary_unary

                async def answer_one(request: bytes, context: _Context) -> Any:
                    return _within_limit(write(await unary_unary(read(request), context)))

                return grpc.unary_unary_rpc_method_handler(self._guarded(answer_one, details))
            stream_unary: _Behaviour = handler.stream_unary

            async def answer_many(requests: Any, context: _Context) -> Any:
                return _within_limit(write(await stream_unary(requests, context)))

            return grpc.stream_unary_rpc_method_handler(self._guarded(answer_many, details), read)
        if not handler.request_streaming:
            unary_stream: _Behaviour = handler.unary_stream

            async def stream_one(request: bytes, context: _Context) -> None:
                await _streamed(unary_stream(read(request), context), context, self._door.limits.slow_watch)

            watch = self._guarded(stream_one, details, watch=True)
            return grpc.unary_stream_rpc_method_handler(watch, None, handler.response_serializer)
        stream_stream: _Behaviour = handler.stream_stream

        async def stream_many(requests: Any, context: _Context) -> None:
            await _streamed(stream_stream(requests, context), context, self._door.limits.slow_watch)

        return grpc.stream_stream_rpc_method_handler(
            self._guarded(stream_many, details), read, handler.response_serializer
        )

    def _guarded(self, behaviour: _Behaviour, details: grpc.HandlerCallDetails, watch: bool = False) -> _Behaviour:
        async def guarded(request: Any, context: _Context) -> Any:
            admission = self._door.admit(
                details.method,
                dict(details.invocation_metadata),  # type: ignore[arg-type]  # only `-bin` keys hold bytes
                timeout=context.time_remaining(),
                watch=watch,
                peer=context.peer(),
            )
            try:
                async with admission:
                    try:
                        return await behaviour(request, context)
                    except grpc.aio.AbortError as error:
                        # The handler has sent a status of its own, as forwarding does: it stands.
                        admission.answered(context.code().name)
                        aborted = error
            except Fault as fault:
                await status.abort(context, fault)
            raise aborted

        return guarded


async def _streamed(answers: Any, context: _Context, seconds: float) -> None:
    """Both styles of streaming handlers: those that yield, and those that write to the context. One that yields
    is ended when a message is not taken within so many seconds."""
    if not hasattr(answers, "__aiter__"):
        await answers
        return
    async with contextlib.aclosing(answers):
        async for answer in answers:
            await hand_over(context.write(answer), seconds)


def _parser(deserializer: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    if deserializer is None:
        return _as_it_is

    def parse(data: bytes) -> Any:
        try:
            return deserializer(data)
        except DecodeError:
            raise Fault(Code.INVALID_ARGUMENT, "INVALID_FIELD", "the request is not a message of this method") from None

    return parse


def _within_limit(answer: bytes) -> bytes:
    if len(answer) > wire.MAX_MESSAGE:
        # gRPC would refuse it, too, but without a reason and behind the access log.
        raise wire.too_large(len(answer))
    return answer


def _as_it_is(message: Any) -> Any:
    return message


async def _unknown_method(requests: Any, context: _Context) -> NoReturn:
    raise Fault(Code.UNIMPLEMENTED, "UNKNOWN_METHOD", "no such method here")


# Takes any number of requests, so it serves unknown methods of all kinds.
_UNKNOWN_METHOD: _Handler = grpc.stream_stream_rpc_method_handler(_unknown_method)
