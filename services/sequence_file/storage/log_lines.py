"""What a project's log says, line by line; `log_text` is how it is written."""

from dataclasses import dataclass

from services.sequence_file.domain.changes import Author, FileChange
from services.sequence_file.domain.ports import Outcome, Request, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A file that a batch writes: the evidence by which an unfinished batch is decided."""

    key: str  # of its place
    file: str  # relative to the project folder
    before: str | None  # etag of its bytes; None where there was none
    after: str | None  # etag of its bytes; None for one that is to be gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One caller's change. Without files nothing changed, and it is no revision."""

    author: Author | None  # None: another program
    request: Request | None
    outcome: Outcome | None  # its answer, without the revision
    summary: str
    files: tuple[FileChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Changes that happen together or not at all."""

    touched: tuple[Touched, ...]
    made: tuple[Made, ...]
    works: tuple[Work, ...] = ()  # of a change of several files: what is carried out again after a crash

    @property
    def revisions(self) -> int:
        """How many revisions it is."""
        return sum(1 for each in self.made if each.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """How a file was left by the last change that the log tells of."""

    revision: int  # 0: as it was found at first
    etag: str | None  # of its bytes; None: it is gone
    file: str  # relative to the project folder
    sequence_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a batch, or another program, made of a file: the log's part of a version."""

    revision: int  # the last one of the batch; 0: as the file was found at first
    at: float  # seconds since 1970
    author: Author | None
    request_id: str
    summary: str
    etag: str | None  # of the file's bytes; None: it is gone since


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a file."""

    copy: str  # random: a file is told from another one of the same log by it
    log_id: str
    base: int  # the revision before the first one that the file tells of
    surveyed: bool


@dataclass(frozen=True, slots=True)
class Begun:
    """A batch."""

    name: str
    at: float
    batch: Batch
    first: int | None  # its first revision where it is done in this line, 0 where nothing changed


@dataclass(frozen=True, slots=True)
class Marked:
    """What became of a batch."""

    name: str
    first: int | None  # its first revision, 0 where nothing changed; None: it did not happen


@dataclass(frozen=True, slots=True)
class Baseline:
    """A file as it was found at first."""

    key: str
    at: float
    known: Known


@dataclass(frozen=True, slots=True)
class Standing:
    """A file as it was left."""

    key: str
    known: Known


@dataclass(frozen=True, slots=True)
class Kept:
    """A version that older lines told of."""

    key: str
    written: Written


@dataclass(frozen=True, slots=True)
class Surveyed:
    """All files have been looked at."""

    at: float


Line = Header | Begun | Marked | Baseline | Standing | Kept | Surveyed
