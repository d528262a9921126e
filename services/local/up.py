"""`shotline up`: prepare the data folder, start every part, say that it is ready, drain in the end."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from gateway.settings import origin
from services.local import data_folder, database, log_files, supervise, together, welcome
from services.local.data_folder import DataFolderInUse
from services.local.plan import POSTGRES, Plan
from services.local.ports import PortBusy, Ports, refuse_busy
from services.local.supervise import ChildFailed, Children, Ready
from services.runtime import local_address, process
from services.runtime.local_address import LocalAddress
from services.runtime.settings import Environment, SettingsError
from services.runtime.tokens import make_key_file, new_token

_STARTUP_LOG = "shotline"


class CannotStart(Exception):
    """Why nothing runs, and what to do about it."""


def up(
    *,
    roots: Sequence[Path],
    data: Path | None,
    ports: Ports,
    as_json: bool,
    processes: bool,
    origins: Sequence[str],
) -> None:
    """Run until SIGTERM or Ctrl-C. Raises CannotStart."""
    folder = Path(os.path.abspath(data or local_address.default_folder()))
    token = new_token()
    with ExitStack() as stack:
        try:
            choice = database.Choice.read(Environment(os.environ))
            allowed = tuple(map(origin, origins))
            existing = _roots(roots)
            held = stack.enter_context(data_folder.held(folder))
            refuse_busy(ports)
            held.put_token(token)
            stack.callback(held.withdraw)
            make_key_file(data_folder.token_key_file(folder))
            plan = Plan(
                roots=existing,
                origins=allowed,
                ports=ports,
                data=held,
                database=stack.enter_context(database.chosen(choice, held)),
            )
        except (DataFolderInUse, PortBusy) as error:
            raise CannotStart(str(error)) from None
        except SettingsError as error:
            raise CannotStart(str(error).replace("SHOTLINE_ALLOWED_ORIGINS", "--allow-origin")) from None
        except OSError as error:
            raise CannotStart(f"the data folder {folder} cannot be used: {error}") from None
        _run(plan, token, as_json=as_json, processes=processes)


def _run(plan: Plan, token: str, *, as_json: bool, processes: bool) -> None:
    terminal_errors = log_files.take_over_standard_error(plan.data.log(_STARTUP_LOG))
    log_files.keep_small(plan.data.log(_STARTUP_LOG))
    failure: list[Exception] = []

    def say(message: str) -> None:
        os.write(terminal_errors, f"{message}\n".encode())

    async def ready(pids: Mapping[str, int]) -> None:
        plan.data.announce(LocalAddress(grpc=plan.grpc, http=plan.http, token=token, pid=os.getpid()))
        if as_json:
            text = welcome.json_line(plan, token, pids)
        else:
            text = welcome.text(plan, pids, await welcome.find_example(plan, token))
        try:
            print(text, flush=True)
        except BrokenPipeError:  # whoever was to read this has left; the start goes on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    async def serve(stopping: asyncio.Event) -> None:
        # Raised here, an error would be printed to the log: the terminal is to hear it.
        try:
            async with Children(plan.data, plan.environment, say) as children:
                if processes:
                    await _apart(plan, children, stopping, ready)
                else:
                    await _together(plan, children, stopping, ready)
                await children.drain()
        except (SettingsError, ChildFailed) as error:
            failure.append(error)

    try:
        process.run(serve)
    finally:
        sys.stderr.flush()
        os.dup2(terminal_errors, sys.stderr.fileno())
        os.close(terminal_errors)
    if failure:
        raise CannotStart(str(failure[0]))


async def _apart(plan: Plan, children: Children, stopping: asyncio.Event, ready: Ready) -> None:
    await children.during(supervise.serve(plan, children, ready), stopping.wait())
    await children.during(stopping.wait())


async def _together(plan: Plan, children: Children, stopping: asyncio.Event, ready: Ready) -> None:
    if plan.database.server:
        children.keep(POSTGRES)
    await children.during(database.prepare(plan.database), stopping.wait())
    if stopping.is_set():
        return

    async def all_ready(pids: Mapping[str, int]) -> None:
        await ready({**pids, **children.pids()})

    serving = asyncio.create_task(together.serve(plan, stopping, all_ready))
    try:
        await children.during(asyncio.wait([serving]))
    except asyncio.CancelledError:
        serving.cancel()  # in a hurry
        raise
    finally:
        stopping.set()
        await serving


def _roots(given: Sequence[Path]) -> tuple[Path, ...]:
    roots = tuple(Path(os.path.abspath(root)) for root in given or (Path.cwd(),))
    for root in roots:
        if not root.is_dir():
            raise CannotStart(f"--root {root} is no folder")
        if os.pathsep in str(root):
            raise CannotStart(f"--root {root}: a path with {os.pathsep!r} in it cannot be a root")
    return roots
