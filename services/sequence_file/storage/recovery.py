"""What a server that was killed left behind, put right by the next holder of the lock.

A change that was begun and has no mark is decided by evidence: the etags that the file had before and should have
after. What still stands under the file's temporary name is the new file that never got its place, or what it
displaced: then it becomes a version, or, where it is another program's edit, gets its place back.
"""

import time

from services.kernel.faults import Fault
from services.sequence_file.domain.document import Document, bytes_etag
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.documents import Entry, parse
from services.sequence_file.storage.history import History
from services.sequence_file.storage.log import Batch, Log, Touched
from services.sequence_file.storage.places import STATE_FOLDER, Place
from services.sequence_file.storage.swap import content, kept_name, new_name, temporary_name

_LEFTOVERS = "leftovers"


class Unfinished(Exception):
    """A change of several files was cut off: it has to be finished first, with the locks of all of them."""

    def __init__(self, name: str, batch: Batch, log: Log) -> None:
        super().__init__(name)
        self.name = name
        self.batch = batch
        self.log = log  # in which it stands


class Settled(Exception):
    """The file was put right, and does not hold any more what was read."""


class Recovery:
    """Settles files whose lock is held and whose folder is open."""

    def __init__(self, disk: Disk, history: History) -> None:
        self._disk = disk
        self._history = history

    def settle(self, folder: int, place: Place, found: Entry | None, log: Log) -> None:
        """Decide what was begun and not marked. `found` is what the file holds, None where there is none.

        Raises Settled, Unfinished, OSError.
        """
        for name, batch in log.open_batches(place.key):
            if batch.works:
                raise Unfinished(name, batch, log)
            touched = next(each for each in batch.touched if each.key == place.key)
            self._decide(folder, place, found, log, name, batch, touched)

    def put_leftover_away(self, folder: int, place: Place) -> None:
        """Free the temporary name of what no open batch explains. Raises OSError.

        That is, after a power cut that took the record of it, a new file or an edit that it displaced: so it is kept if
        it looks whole, in `.shotline/leftovers`. What was never about to be put in place is thrown away.
        """
        self._disk.remove(folder, new_name(place))
        name = temporary_name(place)
        left = content(self._disk, folder, name)
        if left is None and not self._disk.exists(folder, name):
            return
        if left is not None and not left.rstrip().endswith(b"}"):
            self._disk.remove(folder, name)
            return
        # What is no file, a link for one, was put in the file's place by somebody.
        called = bytes_etag(left) if left is not None else str(time.time_ns())
        state = self._disk.open_folder(place.root, *place.owner, STATE_FOLDER)
        try:
            self._disk.make_folder(state, _LEFTOVERS)
        finally:
            self._disk.close(state)
        into = self._disk.open_folder(place.root, *place.owner, STATE_FOLDER, _LEFTOVERS)
        try:
            self._disk.move(folder, name, into, kept_name(place, called))
        finally:
            self._disk.close(into)

    def put_away(self, folder: int, place: Place, found: Entry | None, touched: Touched, log: Log) -> bool:
        """Free the temporary name of what an open batch left there; `found` is what the file holds.

        True where that was an edit of another program, displaced in the last instant: it has its place again.
        Raises OSError.
        """
        name = temporary_name(place)
        now = found.etag() if found else None
        came_back = False
        while (left := content(self._disk, folder, name)) is not None:
            behind = bytes_etag(left)
            if behind in (touched.after, now):
                self._disk.remove(folder, name)
            elif (revision := _revision_of(log, place, behind)) is not None:
                # Displaced by this batch or, where a power cut undid that it was put away, by an earlier one.
                self._history.take(folder, name, place, revision, behind)
            elif not came_back and now in (touched.before, touched.after) and found and _is_whole(left, place):
                self._disk.exchange(folder, name, place.name)
                self._disk.sync_folder(folder)
                came_back = True
                continue
            else:
                self.put_leftover_away(folder, place)
            break
        return came_back

    def _decide(
        self, folder: int, place: Place, found: Entry | None, log: Log, name: str, batch: Batch, touched: Touched
    ) -> None:
        now = found.etag() if found else None
        left = content(self._disk, folder, temporary_name(place))
        if now == touched.after:
            happened = True
        elif now == touched.before:
            happened = False
        else:
            # Another program changed it since. Ours was in place if what it displaced still shows, or its shots do.
            displaced = left is not None and bytes_etag(left) == touched.before
            happened = displaced or (found is not None and _shots_are_there(found.document, batch))
        if self.put_away(folder, place, found, touched, log):
            raise Settled
        if happened:
            self._disk.sync_folder(folder)  # whoever was cut off may not have come to this
            log.done(name)
        else:
            log.void(name)


def _revision_of(log: Log, place: Place, etag: str) -> int | None:
    """The revision that left a file with this etag; None where the log knows of none."""
    return next((each.revision for each in reversed(log.versions(place.key)) if each.etag == etag), None)


def _is_whole(raw: bytes, place: Place) -> bool:
    """Whether bytes are a document, and not what a power cut left of one."""
    try:
        parse(raw, place.file)
    except Fault:
        return False
    return True


def _shots_are_there(document: Document | None, batch: Batch) -> bool:
    """Whether every shot that the batch changed is as the batch was to leave it."""
    if document is None:
        return False
    left: dict[str, str | None] = {}
    for made in batch.made:
        for file in made.files:
            for shot in file.shots:
                left[shot.id] = shot.after
    return bool(left) and all(_etag(document, shot) == after for shot, after in left.items())


def _etag(document: Document, shot_id: str) -> str | None:
    try:
        index = document.find(shot_id)
    except Fault:
        return None  # it stands twice now: not what the batch left behind
    return None if index is None else document.shot_etag(index)
