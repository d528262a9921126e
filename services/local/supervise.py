"""Each part as a process of its own: started, started again when it dies, ended with its parent."""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from services.local import log_files
from services.local.plan import GRACE, MAINS, Plan
from services.runtime.channels import open_channel, service_config, wait_until_serving
from services.runtime.logs import open_log
from services.runtime.process import EXIT_SETTINGS

QUICK = 10.0  # seconds; a process that lives shorter died quickly
MOST_QUICK_DEATHS = 3  # in a row
_PAUSE = 0.3  # seconds before a process that died quickly is started again
_READY_TIMEOUT = 30.0
# What the gateway answers for as long as its backend serves.
_WHOLE_WAY = ("", "shotline.sequence_file.v1.SequenceFileService")

Ready = Callable[[Mapping[str, int]], Awaitable[None]]

_log = logging.getLogger(__name__)


class ChildFailed(Exception):
    """A part that cannot be kept running; the message says what happened and where its log is."""


async def serve(plan: Plan, stopping: asyncio.Event, ready: Ready, say: Callable[[str], None]) -> None:
    """Keep all parts running until `stopping` is set, then drain them. `ready` hears the pid of each once all
    serve; `say` hears of deaths. ChildFailed when a part died three times quickly, or is set up wrongly."""
    open_log()
    leash, parent_end = os.pipe()
    children = [_Child(part, plan, leash, say) for part in MAINS]
    keepers = [asyncio.create_task(child.keep_running()) for child in children]
    try:
        await _first_of(_announce(plan, children, ready), *keepers, _until(stopping))
        await _first_of(*keepers, _until(stopping))
        for keeper in keepers:
            keeper.cancel()
        for child in children:  # callers before callees, so that no call in flight loses its backend
            await child.drain()
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        os.close(parent_end)  # whoever still lives ends now
        os.close(leash)
        await asyncio.gather(*(child.gone() for child in children))


class _Child:
    def __init__(self, part: str, plan: Plan, leash: int, say: Callable[[str], None]) -> None:
        self.part = part
        self._plan = plan
        self._leash = leash
        self._say = say
        self._log_file = plan.data.log(part)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    async def keep_running(self) -> None:
        quick_deaths = 0
        while True:
            began, offset = time.monotonic(), await self._start()
            assert self._process is not None
            code = await self._process.wait()
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
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(GRACE + 3.0):
                await self._process.wait()
        except TimeoutError:
            _log.warning("%s did not drain in time and is killed", self.part)
            self._process.kill()

    async def gone(self) -> None:
        """Wait until the process has ended; its parent's end of the leash is closed."""
        if self._process is None:
            return
        try:
            async with asyncio.timeout(GRACE + 3.0):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):  # it ended just now
                self._process.kill()
            await self._process.wait()

    async def _start(self) -> int:
        """Start the process. Gives the size of its log until then."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("SHOTLINE_")}
        log = log_files.open_log_file(self._log_file)
        try:
            offset = os.fstat(log).st_size
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # what lies in the current folder is a film, not a module
                "-m",
                "services.local.child",
                MAINS[self.part],
                str(self._log_file),
                stdin=self._leash,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                env=ours | self._plan.environment(self.part),
                pass_fds=(self._plan.data.lock,),  # the folder is held until the last of us is gone
                start_new_session=True,  # Ctrl-C is for the parent, which drains in order
            )
        finally:
            os.close(log)
        _log.info("%s is process %d", self.part, self._process.pid)
        return offset


async def _announce(plan: Plan, children: list[_Child], ready: Ready) -> None:
    async with open_channel(plan.grpc, service_configs=(service_config("shotline.studio.v1"),)) as channel:
        for service in _WHOLE_WAY:
            await wait_until_serving(channel, service, _READY_TIMEOUT)
    await ready({child.part: child.pid for child in children})


async def _until(stopping: asyncio.Event) -> None:
    await stopping.wait()


async def _first_of(*works: Awaitable[None]) -> None:
    """Return when the first is done, and raise what it raises. Those made here are cancelled, tasks go on."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task, work in zip(tasks, works, strict=True):
            if task is not work:
                task.cancel()


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
