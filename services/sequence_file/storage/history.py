"""The versions of a file, each a file of its own: `.shotline/history/<key>/<revision>-<etag>.json`.

The file that a swap displaces becomes its version by a rename, which costs the update nothing. What the file holds
now is copied a moment after the last write, by a thread that nobody waits for: if another program overwrites the file
in place, what was there before can still be brought back. The same thread thins the versions (`domain.thinning`).

A version is worth less than an edit: when the disk refuses one, the edit stands and the version is missing.
"""

import logging
import re
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from services.kernel.faults import Fault
from services.sequence_file.domain import thinning
from services.sequence_file.domain.document import bytes_etag
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.places import STATE_FOLDER, Place

_log = logging.getLogger(__name__)

_FOLDER = "history"
_NAME = re.compile(r"(\d{1,18})-([0-9a-f]{32})\.json")
_LARGE = 256 * 1024  # bytes of a file whose blocks take longer to free than an update should wait
_UNTHINNED = 25  # versions that may come before the thread thins while writes go on
_STRAY = 3600.0  # seconds after which a file that no version names, or half a copy, is removed
_PLACES = 256  # files whose versions' times are remembered


class Dated(Protocol):
    """A version as the log knows it."""

    @property
    def revision(self) -> int:
        """Its number."""

    @property
    def etag(self) -> str | None:
        """Of its bytes; None where the file was gone."""

    @property
    def at(self) -> float:
        """When it came to be, in seconds since 1970."""


_Key = tuple[int, str]  # revision and etag


class _Blob(NamedTuple):
    revision: int
    etag: str
    size: int
    changed: float  # st_ctime: when it came into this folder

    @property
    def key(self) -> "_Key":
        return self.revision, self.etag


@dataclass(slots=True)
class _Pending:
    """What the thread is to do for one file."""

    revision: int
    etag: str
    raw: bytes
    versions: Callable[[str], Iterable[Dated]]
    due: float  # monotonic seconds
    unthinned: int  # versions since it was thinned


class History:
    """Keeps versions for one process; several processes may keep those of one file."""

    def __init__(self, disk: Disk, clock: Callable[[], float] = time.time, pause: float = 0.25) -> None:
        self._disk = disk
        self._clock = clock
        self._pause = pause
        self._wake = threading.Condition()
        self._pending: dict[Place, _Pending] = {}
        self._freeing: list[int] = []  # descriptors of removed files
        self._busy = False
        self._place: Place | None = None  # that the thread is busy with
        self._closing = False
        self._thread: threading.Thread | None = None
        self._times: dict[Place, dict[_Key, float]] = {}  # when versions came to be

    def take(self, folder: int, name: str, place: Place, revision: int, etag: str) -> None:
        """The file `name` of an open folder, which a swap displaced, becomes a version and leaves the folder.

        Called with the lock of `place` held. Where the version is there already, or cannot be kept, the file is
        removed. Raises nothing: what the caller's caller asked for is done by now.
        """
        try:
            with self._open(place, make=True) as into:
                # What has its name is whole: it was written and synced under another one.
                if not self._disk.exists(into, _name(revision, etag)):
                    self._disk.move(folder, name, into, _name(revision, etag))
                    return
        except OSError:
            pass  # no version of it, then
        self._discard(folder, name)

    def copy(self, place: Place, revision: int, etag: str, raw: bytes) -> None:
        """Keep a version that no displaced file can become. Raises OSError."""
        with self._open(place, make=True) as into:
            if self._disk.exists(into, _name(revision, etag)):
                return
            temporary = f".{uuid.uuid4().hex}.copy"  # nobody else's: copies are made without a lock
            try:
                descriptor = self._disk.create(into, temporary, 0o600)
                try:
                    self._disk.write(descriptor, raw)
                    self._disk.sync(descriptor)  # else a power cut could leave half of it under its name
                finally:
                    self._disk.close(descriptor)
                self._disk.rename(into, temporary, _name(revision, etag))
            except OSError:
                self._disk.remove(into, temporary)
                raise

    def copy_soon(
        self, place: Place, revision: int, etag: str, raw: bytes, versions: Callable[[str], Iterable[Dated]]
    ) -> None:
        """Keep what the file holds now, when no other version of it came for a moment; then thin.

        `versions` tells by the file's key when its versions came to be; it is asked rarely, and by another thread.
        """
        with self._wake:
            if place not in self._times and len(self._times) >= _PLACES:
                self._times.clear()
            self._times.setdefault(place, {})[revision, etag] = self._clock()
            earlier = self._pending.get(place)
            unthinned = earlier.unthinned + 1 if earlier else 1
            due = time.monotonic() + self._pause
            self._pending[place] = _Pending(revision, etag, raw, versions, due, unthinned)
            self._start()
            if earlier is None or unthinned >= _UNTHINNED:
                self._wake.notify_all()

    def read(self, place: Place, revision: int, etag: str) -> bytes | None:
        """A version's bytes; None where it is not kept, or damaged. Raises OSError."""
        try:
            with self._open(place) as folder:
                descriptor = self._disk.open_to_read(folder, _name(revision, etag))
                try:
                    raw = self._disk.read(descriptor, self._disk.fstat(descriptor).st_size)
                finally:
                    self._disk.close(descriptor)
        except FileNotFoundError:
            return None
        return raw if bytes_etag(raw) == etag else None

    def kept(self, place: Place) -> dict[int, tuple[str, int]]:
        """Etag and size in bytes of the versions that are kept, by revision. Raises OSError."""
        try:
            with self._open(place) as folder:
                found = [each for each in self._blobs(folder) if isinstance(each, _Blob)]
        except FileNotFoundError:
            return {}
        # Two of one revision: its number was given again when the log was deleted. The later one counts.
        return {each.revision: (each.etag, each.size) for each in sorted(found, key=lambda each: each.changed)}

    def flush(self, place: Place | None = None) -> None:
        """Do now what would be done in a moment, of one file or of all, and wait until it is done."""

        def is_done() -> bool:
            if place is not None:
                return place not in self._pending and self._place != place
            return not self._pending and not self._freeing and not self._busy

        with self._wake:
            for each, pending in self._pending.items():
                if place in (None, each):
                    pending.due = 0.0
            self._wake.notify_all()
            self._wake.wait_for(is_done)

    def close(self) -> None:
        """Flush, and end the thread."""
        self.flush()
        with self._wake:
            self._closing = True
            self._wake.notify_all()
            thread, self._thread = self._thread, None
        if thread:
            thread.join()

    @contextmanager
    def _open(self, place: Place, *, make: bool = False) -> Iterator[int]:
        below = (*place.owner, STATE_FOLDER, _FOLDER, place.key)
        try:
            folder = self._disk.open_folder(place.root, *below)
        except FileNotFoundError:
            if not make:
                raise
            for depth in range(len(below) - 3, len(below)):
                outer = self._disk.open_folder(place.root, *below[:depth])
                try:
                    self._disk.make_folder(outer, below[depth])
                finally:
                    self._disk.close(outer)
            folder = self._disk.open_folder(place.root, *below)
        try:
            yield folder
        finally:
            self._disk.close(folder)

    def _blobs(self, folder: int) -> Iterator[_Blob | tuple[str, float]]:
        """The versions in a folder; of other files, such as half a copy, the name and st_ctime."""
        for name, found in self._disk.entries(folder):
            if not stat.S_ISREG(found.st_mode):
                continue
            if match := _NAME.fullmatch(name):
                yield _Blob(int(match[1]), match[2], found.st_size, found.st_ctime)
            else:
                yield name, found.st_ctime

    def _discard(self, folder: int, name: str) -> None:
        """Remove a file. The name goes at once; the blocks of a large one are freed when its last descriptor is
        closed, which takes longer than all else and is left to the thread."""
        try:
            descriptor = None
            if self._disk.stat(folder, name).st_size > _LARGE:
                descriptor = self._disk.open_to_read(folder, name)
            try:
                self._disk.remove(folder, name)
            finally:
                if descriptor is not None:
                    with self._wake:
                        self._freeing.append(descriptor)
                        self._start()
                        self._wake.notify_all()
        except OSError:
            return  # the next holder of the file's lock finds it and removes it

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._closing = False
            self._thread = threading.Thread(target=self._work, name="history", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            descriptors, place, pending, copy = job
            try:
                for descriptor in descriptors:
                    self._disk.close(descriptor)
                if place and pending:
                    if copy:
                        self.copy(place, pending.revision, pending.etag, pending.raw)
                    self._thin(place, pending.versions)
            except (OSError, Fault):
                pass  # a version less, or some more than there should be, until the next write
            except Exception:  # noqa: BLE001  # a bug must not end the thread, for which others wait
                _log.exception("the history of %s", place.file if place else "a file")
            finally:
                with self._wake:
                    self._busy, self._place = False, None
                    self._wake.notify_all()

    def _next(self) -> tuple[list[int], Place | None, _Pending | None, bool] | None:
        """Wait for something to do: descriptors to close, a file to thin, and whether to copy it before."""
        with self._wake:
            while True:
                now = time.monotonic()
                ripe = next((place for place, each in self._pending.items() if each.due <= now), None)
                full = next((place for place, each in self._pending.items() if each.unthinned >= _UNTHINNED), None)
                if self._freeing or ripe or full:
                    break
                if self._closing:
                    return None
                earliest = min((each.due for each in self._pending.values()), default=None)
                self._wake.wait(None if earliest is None else earliest - now)
            descriptors, self._freeing = self._freeing, []
            self._busy, self._place = True, ripe or full
            if ripe:
                return descriptors, ripe, self._pending.pop(ripe), True
            if full:
                self._pending[full].unthinned = 0
                return descriptors, full, self._pending[full], False
            return descriptors, None, None, False

    def _thin(self, place: Place, versions: Callable[[str], Iterable[Dated]]) -> None:
        with self._open(place) as folder:
            found = list(self._blobs(folder))
            blobs = [each for each in found if isinstance(each, _Blob)]
            times = self._times_of(place, blobs, versions)
            known = [each for each in blobs if each.key in times]
            stay = thinning.kept(
                [thinning.Candidate(each.revision, times[each.key], each.size) for each in known], self._clock()
            )
            gone = [_name(*each.key) for each in known if each.revision not in stay]
            # What the log does not name may be newer than what was read of the log.
            stray = [(_name(*each.key), each.changed) for each in blobs if each.key not in times]
            stray += [each for each in found if not isinstance(each, _Blob)]
            gone += [name for name, changed in stray if self._clock() - changed > _STRAY]
            for name in gone:
                self._disk.remove(folder, name)

    def _times_of(
        self, place: Place, blobs: Sequence[_Blob], versions: Callable[[str], Iterable[Dated]]
    ) -> dict[_Key, float]:
        """When the versions came to be; those that the log does not name are left out."""
        keys = {each.key for each in blobs}
        newest = max(keys, default=(0, ""))
        with self._wake:
            remembered = dict(self._times.get(place, {}))
        if not keys <= remembered.keys():
            remembered |= {(each.revision, each.etag or ""): each.at for each in versions(place.key)}
        with self._wake:
            # The newest may have no file yet.
            remembered |= self._times.get(place, {})
            self._times[place] = {key: at for key, at in remembered.items() if key in keys or key > newest}
        return {key: at for key, at in remembered.items() if key in keys}


def _name(revision: int, etag: str) -> str:
    return f"{revision}-{etag}.json"
