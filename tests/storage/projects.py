"""A small project on disk, and one server's storage that changes it."""

import asyncio
import hashlib
import json
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.kernel.strict_json import Json, Number, parse_object
from services.sequence_file.domain.changes import Author
from services.sequence_file.domain.draft import Draft, Shot
from services.sequence_file.domain.finding import find_sequence
from services.sequence_file.domain.library import Library
from services.sequence_file.domain.ports import Caller, Outcome, Request, Target
from services.sequence_file.domain.steps import Edit
from services.sequence_file.storage.disk import Disk, ExchangeUnsupported
from services.sequence_file.storage.files import FileSequences

SEQUENCE = "sequences/sequence_001.json"


def sequence(*, shots: int = 3, sequence_id: str = "001", padding: int = 0) -> bytes:
    """A document as JSON.stringify(…, null, 2) writes it, with shots s1, s2, …"""
    document = {
        "id": sequence_id,
        "shots": [{"id": f"s{number}", "note": "·" * padding} for number in range(1, shots + 1)],
        "metadata": {"modified_at": "2020-01-01T00:00:00.000Z"},
    }
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def make(folder: Path, *, shots: int = 3, padding: int = 0) -> Path:
    """A project folder with one sequence."""
    (folder / "sequences").mkdir(parents=True)
    (folder / SEQUENCE).write_bytes(sequence(shots=shots, padding=padding))
    return folder


def shot_on_disk(project: Path, shot: str) -> dict[str, Any]:
    """What any other program finds in the file."""
    found: dict[str, Any] = next(
        each for each in json.loads((project / SEQUENCE).read_bytes())["shots"] if each["id"] == shot
    )
    return found


def times_made(project: Path, shot: str, mark: str) -> int:
    """How often the edit `mark` was made, by the file."""
    return int(shot_on_disk(project, shot).get("made", {}).get(mark, 0))


def shot_of(outcome: Outcome) -> Shot:
    """The one shot of an answer."""
    (shot,) = outcome.shots
    return shot


def litter(project: Path) -> set[str]:
    """Entries of the sequences folder that no user put there."""
    return {name for name in os.listdir(project / "sequences") if name.startswith(".")}


def request() -> Request:
    """A fresh request id."""
    return Request(id=str(uuid.uuid4()), fingerprint="the same change")


def made_once_more(draft: Draft, shot: str, mark: str) -> Shot:
    """An edit that shows when it is made twice: it counts itself."""
    count = json.loads(draft.shot(shot).document).get("made", {}).get(mark, 0)
    return draft.edit(Edit(shot_id=shot, updates={"made": {mark: Number(str(count + 1))}}))


def caller(once: Request | None = None, *, seconds: float = 20.0, name: str = "test") -> Caller:
    """Who asks in these tests."""
    return Caller(author=Author(principal=name), request=once, deadline=time.monotonic() + seconds)


class Server:
    """The storage of one server, as its servicer uses it."""

    def __init__(self, project: Path, disk: Disk | None = None) -> None:
        self.path = str(project)
        self.files = FileSequences([str(project.parent)], disk=disk)
        self.library = Library(self.files)

    async def update(
        self,
        shot: str,
        updates: Mapping[str, object],
        *,
        etag: str | None = None,
        once: Request | None = None,
        seconds: float = 20.0,
    ) -> Shot:
        """Change a shot as the contract's UpdateShot does."""
        edit = Edit(shot_id=shot, updates=_parsed(updates), etag=etag)
        return shot_of(await self.library.update_shot(self.path, "001", edit, caller(once, seconds=seconds)))

    async def count(self, shot: str, mark: str, once: Request | None = None, *, seconds: float = 20.0) -> Shot:
        """Make the edit that counts how often it was made."""
        outcome = await self.files.change(
            self.path,
            Target(name="sequence '001'", choose=lambda project: find_sequence(project, "001").document.file),
            lambda draft: Outcome(shots=(made_once_more(draft, shot, mark),)),
            caller(once, seconds=seconds),
        )
        return shot_of(outcome)

    async def shot(self, shot: str) -> Shot:
        """Read a shot."""
        return await self.library.shot(self.path, "001", shot)

    async def idle(self) -> None:
        """Wait until the last write has tidied up behind its answer."""
        while not self.files.idle():
            await asyncio.sleep(0.0002)
        await asyncio.to_thread(self.files.flush)

    def close(self) -> None:
        """Wait for what has begun."""
        self.files.close()


class UnsyncedDisk(Disk):
    """Does not wait for the device: for checks in which nothing depends on that."""

    def sync(self, descriptor: int) -> None: ...

    def sync_folder(self, folder: int) -> None: ...


class NoExchange:
    """Mixed into a disk: a file system that cannot exchange two names."""

    def exchange(self, folder: int, one: str, other: str) -> None:
        raise ExchangeUnsupported


def digest(raw: bytes) -> str:
    """A file's content in a few characters."""
    return hashlib.sha256(raw).hexdigest()


def _parsed(updates: Mapping[str, object]) -> dict[str, Json]:
    return parse_object(json.dumps(updates))
