"""What keeping versions costs an update: the same storage with a history and with one that keeps nothing."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from services.kernel.strict_json import Json, parse_object
from services.sequence_file.domain.changes import Author
from services.sequence_file.domain.library import Library
from services.sequence_file.domain.ports import Caller
from services.sequence_file.domain.steps import Edit
from services.sequence_file.storage import files
from services.sequence_file.storage.files import FileSequences
from services.sequence_file.storage.history import Dated, History
from services.sequence_file.storage.places import Place
from tests.bench.figures import Row, compared
from tests.bench.projects import make_project

TARGET = 1.10


class Forgetful(History):
    """Removes what a swap displaced, as a storage without versions does."""

    def take(self, folder: int, name: str, place: Place, revision: int, etag: str) -> None:
        """See `History.take`."""
        self._discard(folder, name)

    def copy_soon(
        self, place: Place, revision: int, etag: str, raw: bytes, versions: Callable[[str], Iterable[Dated]]
    ) -> None:
        """See `History.copy_soon`."""


class Side:
    """The storage of one server on a project of its own."""

    def __init__(self, project: Path, shots: int) -> None:
        self._path = str(make_project(project, 1, shots))
        self._shot = f"shot-{shots // 2}"
        self._files = FileSequences([str(project.parent)])
        self._library = Library(self._files)
        self._edits = 0

    async def round(self, count: int) -> list[float]:
        """So many updates one after the other: their times in milliseconds."""
        times: list[float] = []
        for _ in range(count):
            self._edits += 1
            updates: dict[str, Json] = parse_object(f'{{"generation": {{"prompt": "take {self._edits} of a walk"}}}}')
            caller = Caller(author=Author(principal="bench"), request=None, deadline=time.monotonic() + 30)
            began = time.perf_counter()
            await self._library.update_shot(self._path, "001", Edit(shot_id=self._shot, updates=updates), caller)
            times.append((time.perf_counter() - began) * 1e3)
        # What is left to do behind the answers is not to be done in the other side's time.
        await asyncio.to_thread(self._files.flush)
        return times

    def versions(self) -> int:
        """How many versions are kept."""
        return sum(len(names) for _, _, names in os.walk(Path(self._path, ".shotline", "history")))

    def close(self) -> None:
        self._files.close()


@contextmanager
def _sides(folder: Path, shots: int) -> Iterator[tuple[Side, Side]]:
    """With a history and without one."""
    with_history = Side(folder / "with", shots)
    with patch.object(files, "History", Forgetful):
        without = Side(folder / "without", shots)
    try:
        yield with_history, without
    finally:
        with_history.close()
        without.close()


def history_cost(folder: Path, shots: int, *, rounds: int, count: int) -> Row:
    """An update with versions against the same update without."""

    async def measured() -> Row:
        ours: list[list[float]] = []
        theirs: list[list[float]] = []
        with _sides(folder / f"history{shots}", shots) as (with_history, without):
            for number in range(rounds + 1):
                # Who begins changes, so that a machine that becomes slower or faster favours none.
                turns = [(with_history, ours), (without, theirs)]
                for side, times in turns if number % 2 else reversed(turns):
                    took = await side.round(count)
                    if number:  # the first round warms both up
                        times.append(took)
            if not with_history.versions() or without.versions():
                raise SystemExit("the sides of the history's cost are not what they are called")
        label = f"history: update one of {shots:,} shots at the storage (opponent: the same without versions)"
        return compared(label, ours, theirs, TARGET)

    return asyncio.run(measured())
