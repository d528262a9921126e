"""What `shotline project watch` and `shotline film watch` do: one line for each change, over restarts of the server."""

import asyncio
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import orjson
from rich.text import Text

from gateway.cli import connection, failures, render_film, render_history, terminal
from gateway.cli.connection import Target
from services.kernel.faults import Code, Fault

_PAUSE = 0.3  # seconds between two tries to reach a server that is away
_NOT_AWAY = ("WATCH_TOO_SLOW", "REVISION_TOO_OLD")
# Seconds for which a token may be refused: a server that was killed leaves the file of its token until its
# successor has written another.
_TOKEN_PATIENCE = 10.0


def watch(target: Target, project: Path, start: int | None) -> None:
    """Print the changes of a project until Ctrl-C, or until nobody reads them."""
    _run(_ProjectWatch(target, connection.absolute(project), start))


def watch_workspace(target: Target, workspace: str, start: int | None) -> None:
    """Print the changes of a workspace likewise."""
    _run(_WorkspaceWatch(target, workspace, start))


def _run(watch: "_Watch") -> None:
    try:
        asyncio.run(watch.run())
    except KeyboardInterrupt:
        return  # how a watch ends
    except BrokenPipeError:
        # `… | head` has what it wanted. What Python would still flush at its end has nowhere to go either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Fault as fault:
        failures.leave(fault, as_json=watch.target.as_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """What a watch tells: a change, or (without facts) only where it is."""

    revision: int
    facts: dict[str, object] | None = None
    line: Text | None = None


@dataclass
class _Watch(ABC):
    """Where the watch is: behind which revision."""

    target: Target
    source: str  # what is watched
    start: int | None  # the first revision wanted; None: the next one
    begun: bool = False  # whether it has had an answer
    revision: int | None = None  # the last one told
    refused_since: float | None = None  # when the token was refused for the first time in a row
    away: bool = False

    def __post_init__(self) -> None:
        if self.start is not None:
            self.revision = max(0, self.start - 1)

    @abstractmethod
    def messages(self) -> AsyncGenerator[_Heard, None]:
        """What happens behind the revision, from the Shotline that is there now."""

    def begin_anew(self, fault: Fault) -> None:
        """The revision is too old: go on with the first that is kept."""
        self.revision = max(0, int(fault.metadata["oldest_revision"]) - 1)

    async def run(self) -> None:
        """Watch, and watch again from there whenever the server went away. Raises what waiting cannot mend."""
        while True:
            try:
                await self._once()
            except Fault as fault:
                if not self._can_wait(fault):
                    raise
                if not self.away and fault.reason not in _NOT_AWAY:
                    self._remark("Shotline is away; waiting for it")
                    self.away = True
                await asyncio.sleep(fault.retry_after or _PAUSE)

    async def _once(self) -> None:
        async with aclosing(self.messages()) as messages:
            async for heard in messages:
                self.refused_since = None
                if heard.facts is not None and heard.line is not None:
                    self._tell(heard.facts, heard.line)
                    self.revision = heard.revision
                else:
                    self._progress(heard.revision)
        raise Fault(Code.UNAVAILABLE, "BACKEND_UNAVAILABLE", "the watch ended without a reason")

    def _progress(self, revision: int) -> None:
        if not self.begun:
            self._remark(f"watching {self.source} behind revision {revision}; Ctrl-C ends it")
        elif self.away:
            self._remark(f"Shotline is back; going on behind revision {revision}")
        self.begun, self.revision, self.away = True, revision, False

    def _can_wait(self, fault: Fault) -> bool:
        """Whether to try again, from where it should go on. Before the first answer only the usual failures count."""
        if not self.begun:
            return False
        if fault.reason == "REVISION_TOO_OLD":
            self._remark("the log was begun anew, or this watch was away for too long: changes may be missing here")
            self.begin_anew(fault)
            return True
        if fault.reason == "TOKEN_INVALID" and not self.target.token:
            now = asyncio.get_running_loop().time()
            self.refused_since = self.refused_since or now
            return now - self.refused_since < _TOKEN_PATIENCE
        return fault.code is Code.UNAVAILABLE or fault.code is Code.RESOURCE_EXHAUSTED

    def _tell(self, facts: dict[str, object], line: Text) -> None:
        if self.target.as_json:
            sys.stdout.buffer.write(orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE))
        else:
            out = terminal.console()
            with out.capture() as capture:  # rich itself would end the process when nobody reads
                out.print(line, soft_wrap=True)
            sys.stdout.write(capture.get())
        sys.stdout.flush()

    def _remark(self, said: str) -> None:
        """What is not a change goes to standard error."""
        terminal.console(errors=True).print(Text(terminal.printable(said), style="dim"), soft_wrap=True)


@dataclass
class _ProjectWatch(_Watch):
    """Of a project folder, whose revisions are counted in a log that can be begun anew."""

    log_id: str = ""  # empty before the first answer

    async def messages(self) -> AsyncGenerator[_Heard, None]:
        async with connection.opened(self.target) as client:
            async for message in client.watch(self.source, self.revision, self.log_id):
                if message.HasField("change"):
                    change = message.change
                    facts, line = render_history.change_facts(change), render_history.change_line(change)
                    yield _Heard(revision=change.revision, facts=facts, line=line)
                else:
                    self.log_id = message.progress.log_id
                    yield _Heard(revision=message.progress.revision)

    def begin_anew(self, fault: Fault) -> None:
        super().begin_anew(fault)
        self.log_id = fault.metadata["log_id"]


@dataclass
class _WorkspaceWatch(_Watch):
    """Of a workspace of the asset graph."""

    async def messages(self) -> AsyncGenerator[_Heard, None]:
        async with connection.opened_graph(self.target) as graph:
            async for message in graph.changes(self.source, self.revision):
                if message.HasField("change"):
                    change = message.change
                    facts, line = render_film.change_facts(change), render_film.change_line(change)
                    yield _Heard(revision=change.revision, facts=facts, line=line)
                else:
                    yield _Heard(revision=message.progress.revision)
