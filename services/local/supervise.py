"""Parts as processes of their own: started, started again when they die, ended with their parent."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from services.local import log_files
from services.local.data_folder import DataFolder
from services.local.database import prepare
from services.local.plan import ASSET_GRAPH, GATEWAY, GRACE, MAINS, POSTGRES, SEQUENCE_FILE, Plan
from services.runtime.channels import open_channel, service_config, wait_until_serving
from services.runtime.logs import open_log
from services.runtime.process import EXIT_SETTINGS

QUICK = 10.0  # seconds; a process that lives shorter died quickly
MOST_QUICK_DEATHS = 3  # in a row
_PAUSE = 0.3  # seconds before a process that died quickly is started again
_READY_TIMEOUT = 30.0
# What the gateway answers for as long as its backends serve.
_WHOLE_WAY = ("", "shotline.sequence_file.v1.SequenceFileService", "shotline.asset_graph.v1.AssetGraphService")

Environments = Callable[[str], Mapping[str, str]]
Ready = Callable[[Mapping[str, int]], Awaitable[None]]
Say = Callable[[str], None]

_log = logging.getLogger(__name__)


class ChildFailed(Exception):
    """A part that cannot be kept running; the message says what happened and where its log is."""


async def serve(plan: Plan, children: "Children", ready: Ready) -> None:
    """Start all parts, the asset graph once the database is prepared, and return when all serve; from then on
    `children` keeps them. `ready` hears the pid of each."""
    open_log()
    if plan.database.server:
        children.keep(POSTGRES)
    for part in (GATEWAY, SEQUENCE_FILE):
        children.keep(part)
    await prepare(plan.database)
    children.keep(ASSET_GRAPH)
    async with open_channel(plan.grpc, service_configs=(service_config("shotline.studio.v1"),)) as channel:
        for service in _WHOLE_WAY:
            await wait_until_serving(channel, service, _READY_TIMEOUT)
    await ready(children.pids())


class Children:
    """The processes of one start. However the block is left, none of them lives after it."""

    def __init__(self, data: DataFolder, environments: Environments, say: Say) -> None:
        """environments: the variables of each part; say: hears of deaths."""
        self._data = data
        self._environments = environments
        self._say = say
        self._children: dict[str, _Child] = {}
        self._keepers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Children":
        self._leash, self._parent_end = os.pipe()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._failed.cancel()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        os.close(self._parent_end)  # whoever still lives ends now
        os.close(self._leash)
        await asyncio.gather(*(child.gone() for child in self._children.values()))

    def keep(self, part: str) -> None:
        """Start a part, and start it again whenever it dies."""
        child = _Child(part, self._data, self._environments(part), self._leash, self._say)
        self._children[part] = child
        self._keepers.append(asyncio.create_task(self._keep(child)))

    def pids(self) -> dict[str, int]:
        """The process of each part, as it is now."""
        return {part: child.pid for part, child in self._children.items()}

    async def during(self, *works: Awaitable[object]) -> None:
        """Return when the first of the works is done, and raise what it raises; the others are cancelled. ChildFailed
        when a part died three times quickly meanwhile, or is set up wrongly."""
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(work) for work in works]
        try:
            done, _ = await asyncio.wait([*tasks, self._failed], return_when=asyncio.FIRST_COMPLETED)
            if self._failed in done:  # which is why a work may have failed, too
                self._failed.result()
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, child: "_Child") -> None:
        try:
            await child.keep_running()
        except Exception as error:  # noqa: BLE001  # whoever waits in `during` raises it
            if not self._failed.done():
                self._failed.set_exception(error)

    async def drain(self) -> None:
        """End all parts as SIGTERM does: callers before callees, so that no call in flight loses its backend."""
        for keeper in self._keepers:
            keeper.cancel()
        for part in MAINS:
            if part in self._children:
                await self._children[part].drain()


class _Child:
    def __init__(self, part: str, data: DataFolder, variables: Mapping[str, str], leash: int, say: Say) -> None:
        self.part = part
        self._lock = data.lock
        self._variables = variables
        self._leash = leash
        self._say = say
        self._log_file = data.log(part)
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = asyncio.Event()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    async def keep_running(self) -> None:
        quick_deaths = 0
        while True:
            began, offset = time.monotonic(), self._start()
            await self._ended.wait()
            assert self._process is not None
            code = self._process.returncode
            how = f"{self.part} (process {self._process.pid}) {_ending(code)}"
            quick_deaths = quick_deaths + 1 if time.monotonic() - began < QUICK else 0
            words = log_files.last_words(self._log_file, offset)
            _log.warning("%s: %s", how, words)
            if code == EXIT_SETTINGS or quick_deaths >= MOST_QUICK_DEATHS:
                times = "" if code == EXIT_SETTINGS else f", {quick_deaths} times within seconds of its start"
                said = f": {words.removeprefix('error: ')}" if words else ""
                raise ChildFailed(f"{how}{times}{said}. Its log is {self._log_file}")
            self._say(f"{how}; it is started again")
            if quick_deaths > 1:
                await asyncio.sleep(_PAUSE)

    async def drain(self) -> None:
        """End it as SIGTERM does; kill it where it takes longer than it may."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(GRACE + 3.0):
                await self._ended.wait()
        except TimeoutError:
            _log.warning("%s did not drain in time and is killed", self.part)
            self._process.kill()

    async def gone(self) -> None:
        """Wait until the process has ended; its parent's end of the leash is closed."""
        if self._process is None:
            return
        try:
            async with asyncio.timeout(GRACE + 3.0):
                await self._ended.wait()
        except TimeoutError:
            self._process.kill()
            await self._ended.wait()

    def _start(self) -> int:
        """Start the process. Gives the size of its log until then."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("SHOTLINE_")}
        log = log_files.open_log_file(self._log_file)
        try:
            offset = os.fstat(log).st_size
            # Not by asyncio, whose fork runs handlers: those of gRPC, which works in this process, abort the child.
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",  # what lies in the current folder is a film, not a module
                    "-m",
                    "services.local.child",
                    MAINS[self.part],
                    str(self._log_file),
                ],
                stdin=self._leash,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**ours, **self._variables},
                pass_fds=(self._lock,),  # the folder is held until the last of us is gone
                start_new_session=True,  # Ctrl-C is for the parent, which drains in order
            )
        finally:
            os.close(log)
        self._ended.clear()
        waiting = (self._process, asyncio.get_running_loop())
        threading.Thread(target=self._wait, args=waiting, name=f"end of {self.part}", daemon=True).start()
        _log.info("%s is process %d", self.part, self._process.pid)
        return offset

    def _wait(self, process: "subprocess.Popen[bytes]", loop: asyncio.AbstractEventLoop) -> None:
        process.wait()
        with suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(self._ended.set)


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
