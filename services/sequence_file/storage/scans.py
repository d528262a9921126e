"""Looking through a project once for all who ask at the same time.

Whoever asks gets a scan that began after the question: those that come while a scan runs wait for
the next one and share it. So a scan is never older than its question, and a crowd costs two scans.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from services.kernel.faults import Fault
from services.sequence_file.domain.ports import Project
from services.sequence_file.storage.places import ProjectFolder


class Scans:
    """Shares the scans that `look` makes."""

    def __init__(self, look: Callable[[ProjectFolder], Project]) -> None:
        self._look = look
        self._guard = threading.Lock()
        self._running: dict[ProjectFolder, Future[Project]] = {}
        self._next: dict[ProjectFolder, Future[Project]] = {}

    def get(self, folder: ProjectFolder) -> Project:
        """The project as it is now. Raises what `look` raises."""
        with self._guard:
            shared = self._next.get(folder)
            mine = shared or self._next.setdefault(folder, Future())
            before = self._running.get(folder)
        if shared:
            if isinstance(fault := shared.exception(), Fault):
                raise fault.again()
            return shared.result()
        if before:
            before.exception()  # wait until it is over, whatever came of it
        with self._guard:
            self._running[folder] = self._next.pop(folder)
        try:
            mine.set_result(self._look(folder))
        except Exception as error:  # noqa: BLE001  # everybody who shares the scan shares what came of it
            mine.set_exception(error)
        with self._guard:
            if self._running.get(folder) is mine:
                del self._running[folder]
        return mine.result()
