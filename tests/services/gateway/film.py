"""The whole sequence-file service over memory, for what a gateway only passes on."""

from services.sequence_file.domain.library import Library
from services.sequence_file.servicer import SequenceFileServicer
from services.sequence_file.storage.memory import MemorySequences

FILM = "/films/storm"
FIRST = "sequences/sequence_001.json"
SECOND = "sequences/sequence_002.json"

FILES = {
    FIRST: b"""\
{
  "id": "001",
  "name": "Arrival",
  "order": 1,
  "duration": 5.5,
  "shots": [
    { "id": "a1", "number": 1, "duration": 2.50, "prompt": "a boat" },
    { "id": "a2", "number": 2, "duration": 3, "prompt": "the pier" }
  ]
}
""",
    SECOND: b'{"id": "002", "order": 2, "shots": [{"id": "b1", "prompt": "rain"}]}\n',
    "project.json": b'{"shots": [{"id": "a1", "prompt": "stale"}, {"id": "loose", "prompt": "sky"}]}\n',
}


def whole_service() -> tuple[SequenceFileServicer, MemorySequences]:
    """The service, and its projects, which a test may change as another program would."""
    sequences = MemorySequences({FILM: FILES})
    return SequenceFileServicer(Library(sequences)), sequences
