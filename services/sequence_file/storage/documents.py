"""Parsed documents, read again when their file changed.

A document is kept under its file's identity (device, inode, size, times). File times advance in
ticks, so a file that was written in the tick in which it was read may change once more without a
sign: such an entry is not trusted until its bytes were read in a later tick.
"""

import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from services.kernel.faults import Fault
from services.sequence_file.domain import faults
from services.sequence_file.domain.document import Document, bytes_etag, parse_project, parse_sequence
from services.sequence_file.domain.ports import PROJECT_FILE, SequenceFile
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.places import Place, refuse_unsafe
from services.sequence_file.storage.trouble import reading_failed

MAX_FILE_BYTES = 256 * 1024 * 1024
PATIENCE = 0.15  # seconds that a half-written file gets to become whole
_FRESH = 2.0  # seconds: an older file is not being written right now
_TICK = 20_000_000  # nanoseconds: the coarsest kernel clock ticks 100 times a second; twice that

Signature = tuple[int, int, int, int, int]


@dataclass(slots=True)
class Entry:
    """What reading a file gave: a document, or why there is none."""

    signature: Signature
    stat: os.stat_result
    read_at: int  # wall clock, nanoseconds
    raw: bytes
    document: Document | None
    fault: Fault | None
    sequence: SequenceFile | None = None  # what was made of the document, kept with it

    def etag(self) -> str:
        """Strong hash of the bytes."""
        return self.document.etag if self.document else bytes_etag(self.raw)

    def opened(self) -> Document:
        """The document. Raises what is wrong with the file."""
        if self.document is None:
            assert self.fault
            raise self.fault.again()
        return self.document

    def settled(self) -> bool:
        """Whether a later change must show in the signature."""
        return self.read_at - max(self.stat.st_mtime_ns, self.stat.st_ctime_ns) > _TICK


class Documents:
    """The cache of parsed documents, bounded by the bytes that they hold."""

    def __init__(self, disk: Disk, max_bytes: int) -> None:
        self._disk = disk
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[tuple[str, tuple[str, ...], str], Entry] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, folder: int, place: Place, found: os.stat_result, until: float, *, to_write: bool = False) -> Entry:
        """The entry of a file whose folder is open and whose stat was just taken.

        A file that cannot be parsed is read again until `until` (monotonic) before that counts. Who
        asks `to_write` gets an entry with the right signature at once, young or not: the swap
        compares the bytes.
        Raises UNSAFE_FILE, IO_ERROR, FileNotFoundError.
        """
        refuse_unsafe(place.file, found)
        known = self._known(place)
        if known and known.signature == signature(found) and (to_write or known.settled()):
            return known
        while True:
            entry = self._read(folder, place, known)
            fresh = abs(time.time() - entry.stat.st_mtime) < _FRESH
            if entry.fault is None or not fresh or time.monotonic() >= until:
                self.put(place, entry)
                return entry
            time.sleep(0.01)

    def now(self, folder: int, place: Place, *, to_write: bool = False) -> Entry:
        """The entry of a file as it is now, with a patience of its own. Raises as `get`."""
        found = self._disk.stat(folder, place.name)
        return self.get(folder, place, found, time.monotonic() + PATIENCE, to_write=to_write)

    def put(self, place: Place, entry: Entry) -> None:
        """Keep an entry, and let go of those that were not asked for longest."""
        key = (place.root, place.below, place.name)
        with self._guard:
            if old := self._entries.pop(key, None):
                self._bytes -= len(old.raw)
            self._entries[key] = entry
            self._bytes += len(entry.raw)
            while self._bytes > self._max_bytes and len(self._entries) > 1:
                _, gone = self._entries.popitem(last=False)
                self._bytes -= len(gone.raw)

    def _known(self, place: Place) -> Entry | None:
        key = (place.root, place.below, place.name)
        with self._guard:
            if entry := self._entries.get(key):
                self._entries.move_to_end(key)
            return entry

    def _read(self, folder: int, place: Place, known: Entry | None) -> Entry:
        try:
            descriptor = self._disk.open_to_read(folder, place.name)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise reading_failed(place.file, error) from error
        try:
            while True:
                before = self._disk.fstat(descriptor)
                refuse_unsafe(place.file, before)
                if before.st_size > MAX_FILE_BYTES:
                    raise faults.file_invalid(place.file, f"larger than {MAX_FILE_BYTES >> 20} MiB")
                read_at = time.time_ns()
                raw = self._disk.read(descriptor, before.st_size)
                if signature(self._disk.fstat(descriptor)) == signature(before):
                    break  # else it changed under our eyes
        except OSError as error:
            raise reading_failed(place.file, error) from error
        finally:
            self._disk.close(descriptor)
        if known and known.raw == raw:
            return Entry(signature(before), before, read_at, known.raw, known.document, known.fault)
        try:
            return Entry(signature(before), before, read_at, raw, parse(raw, place.file), None)
        except Fault as fault:
            return Entry(signature(before), before, read_at, raw, None, fault.again())  # without what it saw


def parse(raw: bytes, file: str) -> Document:
    """The document of a file by its name. Raises SEQUENCE_FILE_INVALID."""
    return (parse_project if file == PROJECT_FILE else parse_sequence)(raw, file)


def signature(found: os.stat_result) -> Signature:
    """What tells one state of a file from another."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
