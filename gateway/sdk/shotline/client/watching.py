"""Following changes without losing one: a watch that comes back by itself."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, Self, TypeVar

from shotline.client.connection import Patience
from shotline.client.errors import Cancelled

from services.kernel.faults import Fault

Change = TypeVar("Change")
Position = TypeVar("Position")

LEAST_SILENCE = 10.0  # seconds, whatever the interval
_SILENCE = 4  # times the progress interval, after which a watch begins anew


class Following(Generic[Change, Position]):
    """The changes behind a position, each once and in order: `async for change in …`.

    A connection that breaks, and a server that stops, are waited for; it goes on behind the last change that was given.
    It ends with an error only: OutOfRange where the changes behind that position are no longer kept (24 hours), or
    whatever else trying again does not help against.
    """

    def __init__(
        self,
        messages: Callable[[Position], AsyncGenerator[tuple[Position, Change | None], None]],
        patience: Callable[[float], Patience],
        position: Position,
        has_begun: Callable[[Position], bool],
    ) -> None:
        """messages: the stream behind a position: pairs of where it is then and a change, or None for mere progress.
        patience: made of a deadline.
        has_begun: whether the server follows all that is asked for, by the position."""
        self._messages = messages
        self._patience = patience
        self._position = position
        self._has_begun = has_begun
        self._begun = False
        self._closed = False
        self._ahead: list[Change] = []
        self._stream: AsyncGenerator[Change | None, None] | None = None
        self._waiting: asyncio.Task[object] | None = None  # who waits for the next message

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while True:
            if self._ahead:
                return self._ahead.pop(0)
            if self._closed:
                raise StopAsyncIteration
            change = await self._message()
            if change is not None:
                return change

    async def aclose(self) -> None:
        """Stop following; who waits for the next change, in another task, gets the end."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()
        elif self._stream is not None:
            await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _begin(self) -> None:
        while not self._begun:
            if self._closed:
                raise Cancelled("the watch is closed", reason="CLIENT_CLOSED")
            change = await self._message()
            if change is not None:
                self._ahead.append(change)

    async def _message(self) -> Change | None:
        """The next change, or None for mere progress and at the end. Cut off in the middle, such as by a timeout of the
        caller, it goes on from there when it is called again."""
        if self._stream is None:
            self._stream = self._again_and_again()
        self._waiting = task = asyncio.current_task()
        try:
            return await anext(self._stream)
        except asyncio.CancelledError:
            self._stream = None
            if self._closed and task is not None and task.uncancel() <= 0:
                return None
            raise
        except BaseException:
            self._stream = None
            raise
        finally:
            self._waiting = None

    async def _again_and_again(self) -> AsyncGenerator[Change | None, None]:
        patience = self._patience(math.inf)
        while True:
            try:
                async with aclosing(self._messages(self._position)) as messages:
                    async for position, change in messages:
                        patience.begin_again()
                        self._position = position
                        self._begun = self._begun or self._has_begun(position)
                        yield change
            except Fault as fault:
                await patience.after(fault)
            await asyncio.sleep(0)


class Watch(Following[Change, int | None]):
    """The changes of a workspace: `async for change in watch`."""

    def __init__(
        self,
        messages: Callable[[int | None], AsyncGenerator[tuple[int | None, Change | None], None]],
        patience: Callable[[float], Patience],
        after_revision: int | None,
    ) -> None:
        super().__init__(messages, patience, after_revision, lambda revision: revision is not None)

    @property
    def revision(self) -> int | None:
        """Everything up to this revision was given: a later watch can go on behind it. None before it has begun."""
        return self._position

    async def begin(self) -> int:
        """Wait until the server follows the workspace; the revision behind which the changes will come.

        What is read after this and what the watch gives together miss nothing.
        """
        await self._begin()
        assert self._position is not None
        return self._position


def stall(progress_seconds: float) -> float:
    """Seconds of silence that no living server keeps, which sends its progress every `progress_seconds`."""
    return max(LEAST_SILENCE, _SILENCE * progress_seconds)
