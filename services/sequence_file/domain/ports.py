"""What the context needs of a place where sequences are kept."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.kernel.faults import Fault
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Draft, Shot

PROJECT_FILE = "project.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceFile:
    """A readable sequence file."""

    document: Document
    id: str  # the document's own, else the one that its file name gives
    modified: datetime  # by the file system's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """A sequence file that cannot be read or meant, and why."""

    file: str
    id: str  # "" where it could not be found out
    fault: Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project folder as it is at one moment."""

    path: str  # real and absolute
    sequences: tuple[SequenceFile, ...]  # in playing order
    unreachable: tuple[Unreachable, ...]  # by file name
    has_project_file: bool

    @property
    def version(self) -> str:
        """Changes when a sequence comes, goes or moves, which is when positions in the list mean something else."""
        listed = "\0".join(f"{each.id}\0{each.document.file}" for each in self.sequences)
        return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A mutation that may be sent twice."""

    id: str  # UUID of the caller
    fingerprint: str  # hash of everything that the caller asked for


class Sequences(Protocol):
    """The projects that this service may open.

    Every method raises INVALID_PROJECT_PATH, PROJECT_NOT_ALLOWED, PROJECT_NOT_FOUND and UNSAFE_FILE.
    """

    async def project(self, path: str) -> Project:
        """All sequences of a project, good and unreachable."""

    async def project_file(self, path: str) -> Document:
        """project.json. Raises SEQUENCE_FILE_INVALID; PROJECT_NOT_FOUND where the project has none."""

    async def change(
        self, path: str, target: "Target", apply: "Apply", request: Request | None, deadline: float
    ) -> Shot:
        """Change a file of the project: read, apply, write durably, as one critical section.

        The target says which file when the lock is not held yet; `apply` runs on its newest content with the lock
        held, again when another program changed the file meanwhile, and raises to refuse. `deadline` is
        monotonic seconds. The same request again is answered again without a second change.
        Raises LOCK_TIMEOUT, DISK_FULL, READ_ONLY, IO_ERROR, DURABILITY_UNKNOWN, FILE_BUSY,
        REQUEST_ID_REUSED.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The file that a change is for."""

    name: str  # what people call it; changes of one project with one name are for one file
    choose: Callable[[Project], str]  # the file, relative to the project folder; raises where there is none


Apply = Callable[[Draft], Shot]
