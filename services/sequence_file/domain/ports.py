"""What the context needs of a place where sequences are kept."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.kernel.faults import Fault
from services.sequence_file.domain.changes import Author, Change, Trashed, Version
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.draft import Draft, Shot
from services.sequence_file.domain.steps import Step

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks for a change, under which request id, and until when (monotonic seconds)."""

    author: Author
    request: Request | None
    deadline: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceState:
    """What a change of a sequence left behind."""

    id: str
    name: str
    order: float | None
    file: str
    shot_count: int
    etag: str  # of the file's bytes; "" for a sequence that is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One edit of several that was not made."""

    index: int  # which one, from 0
    fault: Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a change is answered with; the same again for the same request."""

    shots: tuple[Shot, ...] = ()  # as they are now, in the order of what was asked
    sequences: tuple[SequenceState, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    revision: int = 0  # of the change; 0 where nothing changed


class Sequences(Protocol):
    """The projects that this service may open.

    Every method raises INVALID_PROJECT_PATH, PROJECT_NOT_ALLOWED, PROJECT_NOT_FOUND and UNSAFE_FILE.
    """

    async def project(self, path: str) -> Project:
        """All sequences of a project, good and unreachable."""

    async def project_file(self, path: str) -> Document:
        """project.json. Raises SEQUENCE_FILE_INVALID; PROJECT_NOT_FOUND where the project has none."""

    async def change(self, path: str, target: "Target", apply: "Apply", caller: Caller) -> Outcome:
        """Change a file of the project: read, apply, write durably, as one critical section.

        The target says which file when the lock is not held yet; `apply` runs on its newest content with the lock
        held, again when another program changed the file meanwhile, and raises to refuse. The same request again is
        answered again without a second change.
        Raises LOCK_TIMEOUT, DISK_FULL, READ_ONLY, IO_ERROR, DURABILITY_UNKNOWN, FILE_BUSY,
        REQUEST_ID_REUSED, and EDIT_CONFLICT where another program changed the same members in the same instant.
        """

    async def change_many(self, path: str, plan: "Plan", caller: Caller) -> Outcome:
        """Change several files as one: all or, where it cannot be finished now, all by whoever comes next.

        `plan` says from a look at the project what is to be done; it runs again with the locks held. The etags of the
        outcome's sequences are filled in behind it, here as in `change`.
        Raises as `change`.
        """

    async def answered(self, path: str, request: Request) -> Outcome | None:
        """What a request was answered with before. Raises REQUEST_ID_REUSED."""

    async def versions(self, path: str, file: str) -> Sequence[Version]:
        """The versions of a file that are kept, newest first; of a deleted one, too."""

    async def version(self, path: str, file: str, revision: int) -> Document:
        """A version's content. Raises VERSION_NOT_FOUND, SEQUENCE_FILE_INVALID."""

    async def trash(self, path: str) -> Sequence[Trashed]:
        """Deleted sequences that can be brought back, newest first."""

    async def watch(self, path: str, after: int | None, log_id: str) -> "Watch":
        """Follow the changes of a project behind a revision; None: from now on.

        A log_id other than "" must be the one that the revision was counted in. Raises REVISION_TOO_OLD, READ_ONLY.
        """


class Watch(Protocol):
    """The changes of a project, one after the other. Must be closed."""

    @property
    def log_id(self) -> str:
        """In which revisions are counted: another one when the project's `.shotline` was deleted."""

    @property
    def revision(self) -> int:
        """The last revision that was given out, or that there was when the watch began."""

    async def next(self, seconds: float) -> Sequence[Change]:
        """What changed since, in order, nothing left out; nothing after so many seconds without a change.

        Raises REVISION_TOO_OLD when more has been forgotten than was given out.
        """

    def close(self) -> None:
        """Stop following."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The file that a change is for."""

    name: str  # what people call it; changes of one project with one name are for one file
    choose: Callable[[Project], str]  # the file, relative to the project folder; raises where there is none
    structural: bool = False  # whether it changes which shots there are, so that no other such change may come between


Apply = Callable[[Draft], Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a plan does to one file. Exactly one of `steps`, `content` and `delete`."""

    file: str  # relative to the project folder
    sequence_id: str
    steps: tuple[Step, ...] = ()  # changes of the file that is there
    content: bytes | None = None  # of a new file
    over: bool = False  # content may take the place of a file that is there, also of one that cannot be read
    delete: bool = False  # into the trash


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What is to be done to which files, and what to answer when it is."""

    works: tuple[Work, ...]
    outcome: Callable[[Sequence[Draft]], Outcome]  # from the drafts of the works, in order; of a deleted file its last


Plan = Callable[[Project], Planned]
