"""What a log is rewritten to when most of it can be forgotten."""

from collections.abc import Callable, Collection, Iterator

from services.sequence_file.storage.log_index import Index, Lasting
from services.sequence_file.storage.log_lines import Begun, Header, Kept, Marked, Standing
from services.sequence_file.storage.log_text import decode, encode


def rewritten(
    index: Index,
    lasting: Lasting,
    header: Header,
    read: Callable[[int, int], bytes],
    keep: Callable[[str], Collection[int]],
) -> bytes:
    """The text of the new file. `keep`: the revisions of a file, by key, whose versions are still there."""
    return b"".join(_lines(index, lasting, header, read, keep))


def _lines(
    index: Index,
    lasting: Lasting,
    header: Header,
    read: Callable[[int, int], bytes],
    keep: Callable[[str], Collection[int]],
) -> Iterator[bytes]:
    yield encode(header)
    for key, versions in index.versions.items():
        kept = keep(key)
        for each in versions:
            # The last one stays in any case: it says how the file came to be as it is, or to be gone.
            if each.revision <= lasting.base and (each.revision in kept or each is versions[-1]):
                yield encode(Kept(key, each))
    for start, size, first in lasting.decided:
        text = read(start, size)
        line = decode(text)
        if isinstance(line, Begun):
            yield text
            if line.first is None:
                yield encode(Marked(line.name, first))
    for start, size in lasting.undecided:
        yield read(start, size)
    for key, known in index.known.items():
        yield encode(Standing(key, known))
