"""What is kept of a file and of deleted files: the log says what there was, the history has it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from services.kernel.faults import Fault
from services.sequence_file.domain import faults
from services.sequence_file.domain.changes import Trashed, Version
from services.sequence_file.domain.document import Document
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.documents import Documents, Entry, parse
from services.sequence_file.storage.history import History
from services.sequence_file.storage.log import Log
from services.sequence_file.storage.places import Place, ProjectFolder, Roots, place_of_key
from services.sequence_file.storage.trouble import reading_failed


class Versions:
    """Reads versions. Raises Fault, OSError."""

    def __init__(
        self, disk: Disk, roots: Roots, documents: Documents, history: History, log_of: Callable[[Place], Log]
    ) -> None:
        self._disk = disk
        self._roots = roots
        self._documents = documents
        self._history = history
        self._log_of = log_of

    def of(self, place: Place) -> Sequence[Version]:
        """The versions of a file that can be read, newest first. Of a file that nobody changed yet: what it holds."""
        return self._of(place, self._now(place))

    def _of(self, place: Place, now: Entry | None) -> Sequence[Version]:
        log = self._log_of(place)
        log.catch_up()
        kept = self._history.kept(place)
        metas = log.versions(place.key)
        if not metas and now:
            return (_as_it_is(now),)
        found: list[Version] = []
        for meta in metas:
            if meta.etag is None:
                continue
            current = meta is metas[-1] and now is not None and now.etag() == meta.etag
            etag, size = kept.get(meta.revision, ("", 0))
            if not current and etag != meta.etag:
                continue  # thinned out
            found.append(
                Version(
                    revision=meta.revision,
                    at=datetime.fromtimestamp(meta.at, UTC),
                    author=meta.author,
                    request_id=meta.request_id,
                    summary=meta.summary,
                    etag=meta.etag,
                    size=len(now.raw) if current and now else size,
                    current=current,
                )
            )
        return found[::-1]

    def document(self, place: Place, revision: int) -> Document:
        """A version's content; of a deletion's revision the last one before it."""
        now = self._now(place)
        wanted = next((each for each in self._of(place, now) if each.revision <= revision), None)
        gone = self._is_deletion(place, revision)
        if wanted is None or (wanted.revision != revision and not gone):
            raise faults.version_not_found(place.file, revision)
        if wanted.current and now:
            return now.opened()
        raw = self._history.read(place, wanted.revision, wanted.etag)
        if raw is None:
            raise faults.version_not_found(place.file, revision)
        return parse(raw, place.file)

    def trash(self, folder: ProjectFolder) -> Sequence[Trashed]:
        """Deleted sequences that can be brought back, newest deletion first."""
        where = self._roots.log_place(folder)
        log_of = where.root, where.owner
        log = self._log_of(where)
        log.catch_up()
        found: list[Trashed] = []
        for key, known in log.keys().items():
            if known.etag is not None:
                continue
            place = place_of_key(*log_of, key)
            last = next((each for each in self._of(place, None) if each.revision < known.revision), None)
            if last is None:
                continue
            deletion = log.versions(key)[-1]
            found.append(
                Trashed(
                    sequence_id=known.sequence_id,
                    name=self._name(place, last),
                    file=known.file,
                    revision=known.revision,
                    at=datetime.fromtimestamp(deletion.at, UTC),
                    author=deletion.author,
                )
            )
        return sorted(found, key=lambda each: each.revision, reverse=True)

    def _name(self, place: Place, version: Version) -> str:
        try:
            raw = self._history.read(place, version.revision, version.etag)
            return parse(raw, place.file).head.name if raw is not None else ""
        except (Fault, OSError):
            return ""  # it could not be read when it was deleted

    def _is_deletion(self, place: Place, revision: int) -> bool:
        return any(meta.revision == revision and meta.etag is None for meta in self._log_of(place).versions(place.key))

    def _now(self, place: Place) -> Entry | None:
        """What the file holds; None where there is none."""
        try:
            folder = self._disk.open_folder(place.root, *place.below)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise reading_failed(place.file, error) from error
        try:
            return self._documents.now(folder, place)
        except FileNotFoundError:
            return None
        finally:
            self._disk.close(folder)


def _as_it_is(now: Entry) -> Version:
    """The only version of a file that nobody changed yet."""
    return Version(
        revision=0,
        at=datetime.fromtimestamp(now.stat.st_mtime, UTC),
        author=None,
        request_id="",
        summary="as it is",
        etag=now.etag(),
        size=len(now.raw),
        current=True,
    )
