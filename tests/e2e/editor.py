"""A client that makes many edits and does not give up: the same request id until it is acknowledged.

As a thread of a test, or as a process of its own:

    python -m tests.e2e.editor URL TOKEN PROJECT NAME COUNT    prints how many edits were acknowledged
"""

import http.client
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from tests.e2e.ipc import Envelope, Ipc

SEQUENCE = "001"
SHOTS = 4  # an editor goes round over this many shots: `shot-1`, `shot-2`, …

# What a client hears while a process is away or was started anew with another token.
_TRY_AGAIN = {"UNAVAILABLE", "UNAUTHENTICATED"}
_PAUSE = 0.05
_PATIENCE = 40.0  # seconds for one edit, restarts included


@dataclass(frozen=True)
class Edit:
    """One edit that was acknowledged: what was sent, and the answer."""

    arguments: list[object]
    answer: Envelope


class Editor(threading.Thread):
    """Edits one sequence: each edit leaves a member of its own, `edits.<name>-<number>`, and the latest number."""

    def __init__(self, where: Callable[[], tuple[str, str]], project: str, name: str, count: int) -> None:
        """`where`: URL and token as they are now, asked again after each failure."""
        super().__init__(name=f"editor {name}", daemon=True)
        self._where = where
        self._project = project
        self._name = name
        self._count = count
        self.acknowledged: list[Edit] = []
        self.failure: Exception | None = None
        self._given_up = threading.Event()
        self._ipc: Ipc | None = None

    def run(self) -> None:
        try:
            for number in range(self._count):
                self.acknowledged.append(self._edit(number))
        except Exception as error:  # noqa: BLE001  # for whoever waits for the thread
            self.failure = error
        finally:
            self._close()

    def give_up(self) -> None:
        """Try no more: whoever waited for the edits does not."""
        self._given_up.set()

    def finish(self) -> list[Edit]:
        """Wait for the last edit. Raises what stopped the editor early."""
        self.join()
        if self.failure:
            raise self.failure
        return self.acknowledged

    def _edit(self, number: int) -> Edit:
        shot = f"shot-{number % SHOTS + 1}"
        updates = {"latest": {self._name: number}, "edits": {f"{self._name}-{number}": "made"}}
        arguments: list[object] = [self._project, SEQUENCE, shot, updates, {"requestId": str(uuid.uuid4())}]
        until = time.monotonic() + _PATIENCE
        heard: object = None
        while time.monotonic() < until and not self._given_up.is_set():
            try:
                _, heard = self._open().call("sequence:update-shot", arguments)
            except (OSError, http.client.HTTPException) as error:
                heard = error
            else:
                if heard["success"]:
                    return Edit(arguments, heard)
                if heard["code"] not in _TRY_AGAIN:
                    break
            self._close()
            self._given_up.wait(_PAUSE)
        raise AssertionError(f"edit {number} of {self._name} failed: {heard!r}")

    def _open(self) -> Ipc:
        if self._ipc is None:
            self._ipc = Ipc(*self._where())
        return self._ipc

    def _close(self) -> None:
        if self._ipc is not None:
            self._ipc.close()
            self._ipc = None


if __name__ == "__main__":
    url, token, project, name, count = sys.argv[1:]
    editor = Editor(lambda: (url, token), project, name, int(count))
    editor.start()
    print(len(editor.finish()))
