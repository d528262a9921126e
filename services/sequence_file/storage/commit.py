"""Carrying out what was decided for one file or several, as one: all of it or nothing.

Filled first, then written down, then put in place, made durable, and marked done. Where a step fails everything
is taken back; where that fails, too, the batch stays open and the next holder of the lock decides or finishes it.
"""

import errno
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from services.kernel.faults import Fault
from services.sequence_file.storage import trouble
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.documents import Documents
from services.sequence_file.storage.history import History
from services.sequence_file.storage.log import Batch, Log, Touched
from services.sequence_file.storage.recovery import Recovery
from services.sequence_file.storage.swap import Disturbed, Job

_TRIES = 2  # to mark what was made
_LARGE = 64 * 1024  # bytes, whose hash is worth a thread while the device is waited for


class Overtaken(Disturbed):
    """Several files are in place, and another program has changed one of them since.

    To take the others back would part them from what it was made of: the batch stays open, to be finished.
    """

    def __init__(self, name: str, batch: Batch) -> None:
        super().__init__(name)
        self.name = name
        self.batch = batch


class Commit:
    """Carries out jobs."""

    def __init__(self, disk: Disk, documents: Documents, history: History, recovery: Recovery) -> None:
        self._disk = disk
        self._documents = documents
        self._history = history
        self._recovery = recovery
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="hashing")

    def close(self) -> None:
        """Let go of the thread."""
        self._hashing.shutdown(wait=True)

    def run(
        self,
        log: Log,
        jobs: Sequence[Job],
        batch: Callable[[tuple[Touched, ...]], Batch],
        *,
        durably: bool,
        name: str = "",
    ) -> int:
        """Carry out the jobs; the first revision of the batch, 0 where the log could not be told.

        `durably`: whether the batch is on the device before the first name changes. `name`: of a batch that was
        written down before and is finished now. Raises Disturbed when another program changed a file, Fault, OSError.
        """
        begun = name
        try:
            self._fill(jobs)
            written = batch(tuple(map(_touched, jobs)))
            if not begun:
                if not durably:
                    for job in jobs:
                        log.secure_marks(job.place.key)  # what this does to the evidence must not outlive them
                begun = log.begin(written, durably=durably)
            try:
                self._put(jobs)
            except _Replaced:
                raise Overtaken(begun, written) from None
        except Overtaken:
            raise
        except BaseException as error:
            unknown = isinstance(error, Fault) and error.reason == "DURABILITY_UNKNOWN"
            if not unknown:
                for job in jobs:
                    job.abandon()
                if begun and not name and not _voided(log, begun) and written.works:
                    cause = error if isinstance(error, OSError) else OSError(errno.EIO, "the log")
                    raise trouble.made_later(jobs[0].place.file, cause) from error
            raise
        for job in jobs:
            job.keep(self._documents, self._history, log.revision_of(job.place.key))
        revision = _done(log, begun)
        for job in jobs:
            if (document := job.document) is not None:  # copied before another program can overwrite it
                at = log.revision_of(job.place.key)
                self._history.copy_soon(job.place, at, document.etag, document.raw, log.versions)
        return revision

    def _fill(self, jobs: Sequence[Job]) -> None:
        hashed = [
            self._hashing.submit(lambda document: document.etag, job.document)
            for job in jobs
            if job.document and len(job.document.raw) > _LARGE
        ]
        for job in jobs:
            try:
                job.fill()
            except FileExistsError:
                self._recovery.put_leftover_away(job.folders[-1], job.place)
                job.fill()
        for each in hashed:
            each.result()

    def _put(self, jobs: Sequence[Job]) -> None:
        done: list[Job] = []
        try:
            for job in jobs:
                done.append(job)
                job.put()
            for job in jobs:
                _check(job, alone=len(jobs) == 1)
            for folder in dict.fromkeys(folder for job in jobs for folder in job.folders):
                self._disk.sync_folder(folder)
        except (OSError, Disturbed, Fault) as error:
            unknown: Fault | None = error if isinstance(error, Fault) else None
            for job in reversed(done):
                try:
                    job.take_back(error)
                except Fault as fault:
                    unknown = fault
            raise unknown or error from None


class _Replaced(Exception):
    """One of several files that are in place is not ours any more."""


def _check(job: Job, *, alone: bool) -> None:
    try:
        job.check()
    except Disturbed:
        if alone:
            raise
        raise _Replaced from None


def _touched(job: Job) -> Touched:
    after = job.document.etag if job.document else None
    return Touched(key=job.place.key, file=job.place.file, before=job.before, after=after)


def _done(log: Log, name: str) -> int:
    """Mark a batch as made; its first revision, 0 where the log could not be told: then evidence decides."""
    for _ in range(_TRIES):
        try:
            return log.done(name)
        except (OSError, Fault):
            continue
    return 0


def _voided(log: Log, name: str) -> bool:
    """Mark a batch as not made; else the next holder of the lock decides by evidence."""
    try:
        log.void(name)
    except (OSError, Fault):
        return False
    return True
