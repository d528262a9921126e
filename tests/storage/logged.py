"""A project's log, and changes to write into it."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from services.sequence_file.domain.changes import Author, Change, FileChange, ShotChange, What
from services.sequence_file.domain.draft import Shot
from services.sequence_file.domain.ports import Outcome, Request
from services.sequence_file.storage import log as log_module
from services.sequence_file.storage.log import Batch, Log, Made, Touched
from tests.storage.projects import UnsyncedDisk

OpenLog = Callable[..., Log]

ANN = Author(principal="ann", client="editor")


def etag(number: int) -> str:
    """Of some content."""
    return f"{number:032x}"


def request() -> Request:
    """A fresh request id."""
    return Request(id=str(uuid.uuid4()), fingerprint="the same change")


def edit(
    number: int, *, of: Sequence[str] = ("a",), once: Request | None = None, document: bytes = b"{}", before: int = 0
) -> Made:
    """A change of a shot in each of some files."""
    shots = [Shot(id="s1", document=document, etag=etag(number), file=f"{file}.json", sequence_id=file) for file in of]
    return Made(
        author=ANN,
        request=once,
        outcome=Outcome(shots=tuple(shots)),
        summary=f"edit {number}",
        files=tuple(
            FileChange(
                file=f"{file}.json",
                sequence_id=file,
                what=What.UPDATED,
                before=etag(before),
                after=etag(number),
                shots=(ShotChange(id="s1", what=What.UPDATED, before=etag(1), after=etag(number), document=document),),
            )
            for file in of
        ),
    )


def nothing(once: Request) -> Made:
    """A change that finds everything as it was to be."""
    return Made(author=ANN, request=once, outcome=Outcome(), summary="", files=())


def batch(*made: Made, number: int = 0) -> Batch:
    """Changes written together; every file that they touch is left with the content `number`, else the last one's."""
    after = {file.file: file for each in made for file in each.files}
    return Batch(
        touched=tuple(
            Touched(
                key=name.removesuffix(".json"),
                file=name,
                before=file.before,
                after=etag(number) if number else file.after,
            )
            for name, file in after.items()
        ),
        made=made,
    )


def edits(number: int, *, once: Request | None = None, document: bytes = b"{}") -> Batch:
    """One change of one file."""
    return batch(edit(number, once=once, document=document))


def file_of(folder: Path) -> Path:
    """The log of a project folder."""
    return folder / ".shotline" / "changes.jsonl"


def all_of(log: Log) -> list[Change]:
    """Every change that a log still tells of."""
    log.catch_up()
    return log.changes(log.oldest - 1, 1 << 20)


def told(log: Log) -> list[tuple[int, str]]:
    """Revisions and what they were."""
    return [(change.revision, change.summary) for change in all_of(log)]


def happens(log: Log, what: Batch) -> int:
    """Begin a batch and mark it done; its first revision."""
    return log.done(log.begin(what))


class Day:
    """A clock, and logs that are rewritten as soon as they may be."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000.0
        patch.setattr(log_module, "_REWRITE_BYTES", 3000)
        patch.setattr(log_module, "_REWRITE_PAUSE", 0.0)

    def clock(self) -> float:
        return self.now


class CountingDisk(UnsyncedDisk):
    """Counts what is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[str] = []

    def sync(self, descriptor: int) -> None:
        self.waited.append("file")

    def sync_folder(self, folder: int) -> None:
        self.waited.append("folder")

    def taken(self) -> list[str]:
        """What was waited for since the last look."""
        waited, self.waited = self.waited, []
        return waited


def write_until_killed(tell: Connection, folder: str, name: str) -> None:
    """Another process: writes changes and tells their revisions."""
    log = Log(UnsyncedDisk(), folder, ())
    for number in count():
        made = replace(edit(1, document=b"x" * 3000), summary=f"{name} {number}")
        tell.send((made.summary, happens(log, batch(made))))
