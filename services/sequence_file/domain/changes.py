"""What happened to a project: revisions, and the versions of its files.

Every change of a project is one revision: a number without gaps, who made it, and what became of the files and
shots that it touched. A version is a file's whole content behind a revision, for as long as the history keeps it.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class What(Enum):
    """What became of a file or a shot."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    MOVED = "moved"  # a shot that has another place among its sequence's shots, and perhaps other content
    UNREADABLE = "unreadable"  # a file that another program left so that it cannot be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who made a change through Shotline."""

    principal: str  # whom the token names
    client: str = ""  # what the caller calls itself


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotChange:
    """One shot that is not as it was."""

    id: str
    what: What
    before: str | None  # etag; None for a new shot
    after: str | None  # etag; None for one that is gone
    # As it is now; None for one that is gone or has only another number, and where the change is too large.
    document: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """One file that is not as it was."""

    file: str  # relative to the project folder
    sequence_id: str  # "" for project.json
    what: What
    before: str | None  # etag of its bytes; None where there was none, or nobody knows
    after: str | None  # etag of its bytes; None for one that is gone
    shots: tuple[ShotChange, ...] = ()
    # Whether all shots that changed are named: not where nobody knows what was there, or very many got another number.
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One revision of a project."""

    revision: int
    at: datetime
    author: Author | None  # None: another program
    request_id: str  # "" where there was none
    summary: str  # one line for people
    files: tuple[FileChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The content of one file behind a revision."""

    revision: int  # 0: as Shotline first found the file
    at: datetime
    author: Author | None
    request_id: str
    summary: str
    etag: str  # of the bytes
    size: int  # bytes
    current: bool  # whether this is what the file holds now


@dataclass(frozen=True, slots=True, kw_only=True)
class Trashed:
    """A deleted sequence that can be brought back."""

    sequence_id: str
    name: str
    file: str  # where it stood
    revision: int  # of its deletion
    at: datetime
    author: Author | None
