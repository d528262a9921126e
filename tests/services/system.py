"""The real thing in one process, as the local start wires it: files, service, gateway, all doors.

Each test gets a scene: a project folder of its own, and the means to break it.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import stat
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import grpc.aio

import services
from gateway.backends import Backends
from gateway.main import Gateway
from gateway.settings import GatewaySettings
from services.runtime.admission import Door as RuntimeDoor
from services.runtime.call import Principal
from services.runtime.logs import Log
from services.runtime.settings import Limits, ServerSettings
from services.runtime.tokens import StaticTokens
from services.sequence_file.domain.library import Library
from services.sequence_file.main import server
from services.sequence_file.servicer import SequenceFileServicer
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.files import FileSequences
from tests.services.answers import Answer
from tests.services.asking import TOKEN, Ask
from tests.services.doors import Door

PACKAGE = "shotline.sequence_file.v1"
SECRET = "told-to-nobody"  # stands in files outside the root

OPENING = """\
{
  "id": "001",
  "name": "Opening",
  "order": 1,
  "shots": [
    {
      "id": "s1",
      "prompt": "caf\u00e9 at dawn",
      "generation": { "model": "flux-dev", "parameters": { "steps": 20, "cfgScale": 7.50 } },
      "unknown": [1, 1.10, 1E2]
    },
    { "id": "s2", "prompt": "the harbour" },
    { "id": "s3", "prompt": "the boat" }
  ]
}
"""
CHASE = '{"id":"002","order":2,"shots":[{"id":"c1","prompt":"run"},{"id":"c2","prompt":"jump"}]}'
PROJECT = """\
{
  "name": "Harbour",
  "storyboard": [
    { "id": "s1", "prompt": "a stale copy" },
    { "id": "loose", "prompt": "regular" }
  ]
}
"""
STRANGER = '{"id":"001","shots":[{"id":"s1","prompt":"told-to-nobody"}]}'

_CHANNEL = (
    # A client without limits of its own: what is refused is refused by the server.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_metadata_size", 1 << 20),
    ("grpc.absolute_max_metadata_size", 1 << 20),
    ("grpc.enable_retries", 0),
)
_EXCEPTION = re.compile(r"\b(?!RetryInfo\b)[A-Z]\w+(?:Error|Exception|Warning)\b")
# Where our code, the interpreter and its packages lie: no caller may learn it.
_OURS = (str(Path(services.__file__).parents[1]), sys.prefix, sys.base_prefix + "/lib", "site-packages")


class TroubledDisk(Disk):
    """The real disk, on which a test can make one operation below one folder fail."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: dict[tuple[str, Path], Callable[[], None]] = {}

    def entries(self, folder: int) -> Iterator[tuple[str, os.stat_result]]:
        self._meet("list", folder)
        return super().entries(folder)

    def create(self, folder: int, name: str, mode: int) -> int:
        self._meet("create", folder)
        return super().create(folder, name, mode)

    def write(self, descriptor: int, data: bytes) -> None:
        self._meet("write", descriptor)
        super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._meet("sync", descriptor)
        super().sync(descriptor)

    def _meet(self, operation: str, descriptor: int) -> None:
        if not self.trouble:
            return
        where = os.readlink(f"/proc/self/fd/{descriptor}")
        for (name, folder), act in tuple(self.trouble.items()):
            if name == operation and where.startswith(str(folder)):
                act()


@dataclass(kw_only=True)
class System:
    """Everything that runs, and channels to it."""

    root: Path
    outside: Path
    disk: TroubledDisk
    service_door: RuntimeDoor
    gateway_door: RuntimeDoor
    service: grpc.aio.Channel
    gateway: grpc.aio.Channel
    http_port: int

    @contextlib.asynccontextmanager
    async def scene(self) -> AsyncIterator["Scene"]:
        """A project folder of its own, put back and thrown away afterwards."""
        project = new_project(self.root)
        async with contextlib.AsyncExitStack() as undo:
            yield Scene(system=self, project=project, undo=undo)


@dataclass(kw_only=True)
class Scene:
    """One project of one test."""

    system: System
    project: Path
    undo: contextlib.AsyncExitStack
    words: dict[str, str] = field(default_factory=dict)

    @property
    def sequence(self) -> Path:
        return self.project / "sequences" / "sequence_001.json"

    def filled(self, ask: Ask) -> Ask:
        """The call with its `<words>` replaced, and texts made that are too large to be kept in a table."""
        words = {
            "<project>": str(self.project),
            "<root>": str(self.system.root),
            "<outside>": str(self.system.outside),
            **self.words,
        }

        def replaced(value: object) -> object:
            value = value() if callable(value) else value
            if isinstance(value, str) and len(value) < 1000:
                for word, meant in words.items():
                    value = value.replace(word, meant)
            return value

        return replace(ask, fields={name: replaced(value) for name, value in ask.fields.items()})

    async def ask(self, door: Door, ask: Ask) -> Answer:
        """The answer to a call, which came in a second and says nothing that it should not."""
        meant = self.filled(ask)
        return await self.told(meant, lambda: door.answer(self.system, meant))

    async def told(self, ask: Ask, answering: Callable[[], Awaitable[Answer]]) -> Answer:
        """As `ask`, for a call that is made in another way."""
        # Another program may have had the machine; three times is not bad luck.
        for _ in range(3):
            began = time.monotonic()
            answer = await answering()
            if (seconds := time.monotonic() - began) < 1:
                break
        assert seconds < 1, f"{seconds:.1f} s"
        check_manners(answer, ask, self.system)
        return answer

    def state(self) -> Mapping[str, object]:
        """All that there is in the project but for `.shotline`, and all that there is outside the root."""
        return {**_state(self.project), **_state(self.system.outside)}

    async def settled(self) -> None:
        """Wait for what an answered edit has still to throw away."""
        until = time.monotonic() + 5
        while any(self.project.glob("sequences/.*")) or any(self.project.glob(".project*")):
            assert time.monotonic() < until
            await asyncio.sleep(0.001)

    def fail(self, operation: str, folder: Path, what: int | Exception) -> None:
        """Let an operation of the disk fail below a folder, with an errno or an exception."""

        def act() -> None:
            raise OSError(what, os.strerror(what)) if isinstance(what, int) else what

        self.meet(operation, folder, act)

    def meet(self, operation: str, folder: Path, act: Callable[[], None]) -> None:
        """Let something happen before an operation of the disk below a folder."""
        self.system.disk.trouble[operation, folder] = act
        self.undo.callback(self.system.disk.trouble.pop, (operation, folder))


def check_manners(answer: Answer, ask: Ask | None, system: System) -> None:
    """What no answer may be, whatever was asked."""
    assert answer.code != "UNKNOWN", answer.message
    text = answer.everything
    if ask:  # what the caller said itself is no news to it
        for value in ask.fields.values():
            if isinstance(value, str) and len(value) > 1:
                text = text.replace(value, "")
    if answer.code == "OK":
        assert SECRET not in text, "a file outside the root was read"
        return
    for leak in ("Traceback", 'File "', SECRET, str(system.outside), *_OURS):
        assert leak not in text, f"{leak} in {text}"
    assert not _EXCEPTION.search(text), text


def new_project(root: Path) -> Path:
    """A project folder with two sequences and a shot that stands only in project.json."""
    project = root / uuid.uuid4().hex
    sequences = project / "sequences"
    sequences.mkdir(parents=True)
    (project / "project.json").write_text(PROJECT)
    (sequences / "sequence_001.json").write_text(OPENING)
    (sequences / "sequence_002.json").write_text(CHASE)
    (sequences / "notes.txt").write_text("not a sequence")
    long_ago = time.time() - 3600
    for file in (project / "project.json", *sequences.iterdir()):
        os.utime(file, (long_ago, long_ago))
    return project


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[System]:
    """Start everything on free ports; `folder` holds the root and what lies beside it."""
    root, outside = folder / "films", folder / "films-evil"
    root.mkdir()
    (new_project(folder)).rename(outside)
    for file in outside.glob("sequences/*.json"):
        file.write_text(STRANGER)
    (outside / "project.json").write_text(f'{{"shots": [{{"id": "loose", "prompt": "{SECRET}"}}]}}')
    descriptor = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log, tokens = Log(descriptor), StaticTokens({TOKEN: Principal(name="tester")})
    service_door, gateway_door = (RuntimeDoor(tokens, Limits(), log) for _ in range(2))
    disk = TroubledDisk()
    sequences = FileSequences([str(root)], disk=disk)
    servicer = SequenceFileServicer(Library(sequences))
    service = server("127.0.0.1:0", service_door, servicer)
    address = f"127.0.0.1:{await service.start()}"
    settings = GatewaySettings(
        server=ServerSettings(address="127.0.0.1:0", token_file=folder / "token", settle=0.0, grace=1.0),
        http_address="127.0.0.1:0",
        addresses={PACKAGE: address},
    )
    gateway = Gateway(settings, Backends(sequence_files=servicer, addresses={PACKAGE: address}), gateway_door)
    await gateway.start()
    async with (
        grpc.aio.insecure_channel(address, _CHANNEL) as to_service,
        grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}", _CHANNEL) as to_gateway,
    ):
        yield System(
            root=root,
            outside=outside,
            disk=disk,
            service_door=service_door,
            gateway_door=gateway_door,
            service=to_service,
            gateway=to_gateway,
            http_port=gateway.http_port,
        )
    await asyncio.wait_for(gateway.drain(), 10)
    await asyncio.wait_for(service.drain(0, 1), 10)
    sequences.close()
    os.close(descriptor)


def _state(folder: Path) -> Mapping[str, object]:
    found: dict[str, object] = {}
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != ".shotline"]
        for name in (*folders, *names):
            entry = os.path.join(path, name)
            seen = os.lstat(entry)
            found[entry] = (seen.st_mode, *_content(entry, seen))
    return found


def _content(entry: str, seen: os.stat_result) -> tuple[object, ...]:
    if stat.S_ISLNK(seen.st_mode):
        return (os.readlink(entry),)
    if not stat.S_ISREG(seen.st_mode):
        return ()
    try:
        with open(entry, "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
    except PermissionError:
        content = "unreadable"  # mode 000, and we are not root
    return (seen.st_ino, seen.st_mtime_ns, content)
