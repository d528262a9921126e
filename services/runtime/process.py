"""How a process begins and ends: event loop, signals, exit codes. Each main calls `run`, once."""

import asyncio
import ctypes
import gc
import signal
import sys
from collections.abc import Awaitable, Callable

from services.runtime.settings import SettingsError

EXIT_HURRIED = 1  # a second signal cut the drain short
EXIT_SETTINGS = 2
_SWITCH_INTERVAL = 0.0005  # seconds
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `main(stopping)` to its end. SIGTERM and SIGINT set `stopping`; a second signal ends `main` at
    once. A SettingsError is printed and exits with 2."""
    _keep_large_blocks()
    _allow_many_files()
    # A thread that works on a large document gives way to the event loop after this, not after Python's 5 ms.
    sys.setswitchinterval(_SWITCH_INTERVAL)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_stopped(main))
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(EXIT_SETTINGS) from None


def warmed_up() -> None:
    """Leave what exists now out of garbage collections: it stays until the end, and walking it stops the
    process for tens of milliseconds. Called once everything is loaded."""
    gc.collect()
    gc.freeze()


def _keep_large_blocks() -> None:
    """Have glibc keep freed memory up to a bound. Documents of megabytes go through a process in several
    copies, and by default each is mapped anew and zeroed by the kernel: that took 12 of the 17 ms of a
    list of 6 MB. Elsewhere (musl, macOS, Windows) there is nothing to set."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)


def _allow_many_files() -> None:
    """Raise the limit of open files to what the operator allows: shells hand on 1,024, of which a change of many
    sequences, each with its lock, would leave little to everybody else."""
    if sys.platform == "win32":
        return
    import resource  # not there on Windows

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _until_stopped(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def stop() -> None:
        if stopping.is_set():
            task.cancel()
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows' loop has no signal handlers
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
    try:
        await main(stopping)
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise
        raise SystemExit(EXIT_HURRIED) from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows: asyncio's own loop
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
