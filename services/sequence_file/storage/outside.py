"""What other programs did to a file, found out by comparing it with what the log knows of it."""

from services.kernel.faults import Fault
from services.sequence_file.domain import diff, identity, summary
from services.sequence_file.domain.changes import FileChange, What
from services.sequence_file.domain.document import Document
from services.sequence_file.domain.ports import PROJECT_FILE
from services.sequence_file.storage.documents import Entry, parse
from services.sequence_file.storage.history import History
from services.sequence_file.storage.log import Batch, Known, Log, Made, Touched
from services.sequence_file.storage.places import Place


class Outside:
    """Writes down changes of other programs, each once."""

    def __init__(self, history: History) -> None:
        self._history = history

    def record(self, place: Place, found: Entry | None, log: Log) -> None:
        """Bring the log up to what the file holds (None: it is not there). The file's lock is held. Raises OSError."""
        known = log.known(place.key)
        etag = found.etag() if found else None
        if (known.etag if known else None) == etag:
            return
        if known is None and not log.surveyed and found and etag:
            log.baseline(place.key, place.file, sequence_id(place, found.document), etag)
            self._history.copy_soon(place, 0, etag, found.raw, log.versions)
            return
        # What was there before may stand nowhere else any more: its copy must not be given up for that of the new one.
        self._history.flush(place)
        before = self._kept(place, known)
        change = _change(place, found, known, before)
        made = Made(author=None, request=None, outcome=None, summary=_summary(change, found, before), files=(change,))
        touched = Touched(key=place.key, file=place.file, before=change.before, after=etag)
        revision = log.record(Batch(touched=(touched,), made=(made,)))
        if found and etag:
            self._history.copy_soon(place, revision, etag, found.raw, log.versions)

    def _kept(self, place: Place, known: Known | None) -> Document | None:
        if known is None or known.etag is None:
            return None
        raw = self._history.read(place, known.revision, known.etag)
        if raw is None:
            return None
        try:
            return parse(raw, place.file)
        except Fault:
            return None  # it could not be read before either: what changed cannot be told


def sequence_id(place: Place, document: Document | None) -> str:
    """The id under which a file's sequence is known; "" for project.json, and where none can be found out."""
    if place.file == PROJECT_FILE:
        return ""
    own = document.head.id if document else None
    return own or identity.id_from_name(place.file) or ""


def _change(place: Place, found: Entry | None, known: Known | None, before: Document | None) -> FileChange:
    known_etag = known.etag if known else None
    after = found.document if found else None
    complete = after is not None and (before is not None or known_etag is None) and diff.nameable(before, after)
    if found is None:
        what = What.DELETED
    elif after is None:
        what = What.UNREADABLE
    else:
        what = What.CREATED if known_etag is None else What.UPDATED
    return FileChange(
        file=place.file,
        sequence_id=sequence_id(place, after) if after or not known else known.sequence_id,
        what=what,
        before=known_etag,
        after=after.etag if after else None,
        shots=diff.shots(before, after) if after and complete else (),
        complete=complete or found is None,
    )


def _summary(change: FileChange, found: Entry | None, before: Document | None) -> str:
    if change.what is What.UPDATED and change.complete and before and found and found.document:
        return summary.of_shots(change.shots, before, found.document)
    words = {
        What.CREATED: "added",
        What.DELETED: "deleted",
        What.UNREADABLE: "cannot be read",
        What.UPDATED: "changed",
    }
    return f"{change.file} {words[change.what]}"
