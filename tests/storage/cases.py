"""Both places where projects can be kept, with the same project in them: what the conformance suite runs on."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from services.kernel.strict_json import parse_object
from services.sequence_file.domain.draft import Shot
from services.sequence_file.domain.library import Library
from services.sequence_file.domain.ports import Caller, Sequences
from services.sequence_file.domain.steps import Edit
from services.sequence_file.storage.files import FileSequences
from services.sequence_file.storage.memory import MemorySequences
from tests.storage.projects import caller, shot_of

KINDS = ("files", "memory")
NOW = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)

Files = Mapping[str, bytes]


def stringified(document: Mapping[str, object]) -> bytes:
    """A document as JSON.stringify(…, null, 2) writes it."""
    return json.dumps(document, indent=2, ensure_ascii=False).encode()


ONE, TWO, TEN, LOOSE = (
    "sequences/sequence_001.json",
    "sequences/sequence_002.json",
    "sequences/sequence_010.json",
    "project.json",
)
FILES = {
    LOOSE: stringified({"shots": [{"id": "a1", "copy": True}, {"id": "loose"}]}),
    ONE: stringified(
        {
            "id": "001",
            "name": "Arrival",
            "order": 1,
            "duration": 9,
            "shots": [
                {"id": "a1", "sequencePlanId": "001", "number": 1, "duration": 4, "generation": {"prompt": "dawn"}},
                {"id": "a2", "sequencePlanId": "001", "number": 2, "duration": 5},
            ],
            "metadata": {"modified_at": "2020-01-01T00:00:00.000Z"},
        }
    ),
    TWO: stringified({"id": "002", "order": 2, "shots": [{"id": "b1", "sequencePlanId": "002", "number": 1}]}),
    TEN: stringified({"id": "010", "order": 5, "shots": []}),
}


class Case:
    """One implementation with a project in it, and another program that reads and writes its files."""

    def __init__(self, sequences: Sequences, path: str) -> None:
        ids = count(1)
        self.sequences = sequences
        self.library = Library(sequences, clock=lambda: NOW, new_id=lambda: f"new-{next(ids)}")
        self.path = path

    def files(self) -> set[str]:
        """The project's files, without Shotline's own."""
        if isinstance(self.sequences, MemorySequences):
            return set(self.sequences.projects[self.path])
        sequences = Path(self.path, "sequences")
        names = {f"sequences/{name}" for name in os.listdir(sequences)} if sequences.exists() else set()
        return names | ({"project.json"} if Path(self.path, "project.json").exists() else set())

    def read(self, file: str) -> bytes:
        if isinstance(self.sequences, MemorySequences):
            return self.sequences.projects[self.path][file]
        return Path(self.path, file).read_bytes()

    def write(self, file: str, raw: bytes) -> None:
        if isinstance(self.sequences, MemorySequences):
            self.sequences.projects[self.path][file] = raw
            return
        beside = Path(self.path, f"{file}.by-hand")
        beside.write_bytes(raw)
        beside.rename(Path(self.path, file))

    def remove(self, file: str) -> None:
        if isinstance(self.sequences, MemorySequences):
            del self.sequences.projects[self.path][file]
            return
        Path(self.path, file).unlink()

    def forget_versions(self) -> None:
        """As if they had been thinned out."""
        if isinstance(self.sequences, MemorySequences):
            for past in self.sequences._logs[self.path].past.values():
                del past.states[:-1]
            return
        shutil.rmtree(Path(self.path, ".shotline", "history"))

    def document(self, file: str) -> Any:
        return json.loads(self.read(file))

    def shot_ids(self, file: str) -> list[str]:
        return [shot["id"] for shot in self.document(file)["shots"]]

    async def update(
        self, updates: str, *, sequence: str = "001", shot: str = "s1", by: Caller | None = None, **edit: Any
    ) -> Shot:
        change = Edit(shot_id=shot, updates=parse_object(updates), **edit)
        return shot_of(await self.library.update_shot(self.path, sequence, change, by or caller()))

    async def etag(self, sequence: str, shot: str = "") -> str:
        """Of a sequence, or of one of its shots."""
        if shot:
            return (await self.library.shot(self.path, sequence, shot)).etag
        return (await self.library.sequence(self.path, sequence)).document.etag


def cases(kind: str, folder: Path, files: Files) -> Iterator[Case]:
    """The case of one kind."""
    if kind == "memory":
        yield Case(MemorySequences({"/p": files}), "/p")
        return
    project = folder / "p"
    for file, raw in files.items():
        (project / file).parent.mkdir(parents=True, exist_ok=True)
        (project / file).write_bytes(raw)
    sequences = FileSequences([str(folder)])
    yield Case(sequences, str(project))
    sequences.close()
