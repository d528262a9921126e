"""What `shotline project watch` does: one line for each change, over restarts of the server."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import orjson
from rich.text import Text
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files

from gateway.cli import connection, failures, render_history, terminal
from gateway.cli.connection import Target
from services.kernel.faults import Code, Fault

_PAUSE = 0.3  # seconds between two tries to reach a server that is away
_NOT_AWAY = ("WATCH_TOO_SLOW", "REVISION_TOO_OLD")
# Seconds for which a token may be refused: a server that was killed leaves the file of its token until its
# successor has written another.
_TOKEN_PATIENCE = 10.0


def watch(target: Target, project: Path, start: int | None) -> None:
    """Print changes until Ctrl-C, or until nobody reads them."""
    try:
        asyncio.run(_Watch(target, connection.absolute(project), start).run())
    except KeyboardInterrupt:
        return  # how a watch ends
    except BrokenPipeError:
        # `… | head` has what it wanted. What Python would still flush at its end has nowhere to go either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Fault as fault:
        failures.leave(fault, as_json=target.as_json)


@dataclass(slots=True)
class _Watch:
    """Where the watch is: behind which revision of which log."""

    target: Target
    project: str
    start: int | None  # the first revision wanted; None: the next one
    log_id: str = ""  # empty before the first answer
    revision: int | None = None  # the last one told
    refused_since: float | None = None  # when the token was refused for the first time in a row
    away: bool = False

    def __post_init__(self) -> None:
        if self.start is not None:
            self.revision = max(0, self.start - 1)

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
        async with connection.opened(self.target) as client:
            async for message in client.watch(self.project, self.revision, self.log_id):
                self.refused_since = None
                if message.HasField("change"):
                    self._tell(message.change)
                    self.revision = message.change.revision
                else:
                    self._progress(message.progress)
        raise Fault(Code.UNAVAILABLE, "BACKEND_UNAVAILABLE", "the watch ended without a reason")

    def _progress(self, progress: files.WatchProgress) -> None:
        if not self.log_id:
            self._remark(f"watching {self.project} behind revision {progress.revision}; Ctrl-C ends it")
        elif self.away:
            self._remark(f"Shotline is back; going on behind revision {progress.revision}")
        self.log_id, self.revision, self.away = progress.log_id, progress.revision, False

    def _can_wait(self, fault: Fault) -> bool:
        """Whether to try again, from where it should go on. Before the first answer only the usual failures count."""
        if not self.log_id:
            return False
        if fault.reason == "REVISION_TOO_OLD":
            self._remark("the log was begun anew, or this watch was away for too long: changes may be missing here")
            self.revision = max(0, int(fault.metadata["oldest_revision"]) - 1)
            self.log_id = fault.metadata["log_id"]
            return True
        if fault.reason == "TOKEN_INVALID" and not self.target.token:
            now = asyncio.get_running_loop().time()
            self.refused_since = self.refused_since or now
            return now - self.refused_since < _TOKEN_PATIENCE
        return fault.code is Code.UNAVAILABLE or fault.code is Code.RESOURCE_EXHAUSTED

    def _tell(self, change: files.ProjectChange) -> None:
        if self.target.as_json:
            facts = render_history.change_facts(change)
            sys.stdout.buffer.write(orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE))
        else:
            out = terminal.console()
            with out.capture() as capture:  # rich itself would end the process when nobody reads
                out.print(render_history.change_line(change), soft_wrap=True)
            sys.stdout.write(capture.get())
        sys.stdout.flush()

    def _remark(self, said: str) -> None:
        """What is not a change goes to standard error."""
        terminal.console(errors=True).print(Text(terminal.printable(said), style="dim"), soft_wrap=True)
