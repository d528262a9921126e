"""Projects in memory: fills `domain.ports.Sequences` for tests that need no disk.

Passes the same conformance suite as the files. What has no meaning here (links, locks between
processes, durability) is left out.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

from services.kernel.faults import Fault
from services.sequence_file.domain import faults, identity
from services.sequence_file.domain.document import Document, parse_project, parse_sequence
from services.sequence_file.domain.draft import Draft, Shot
from services.sequence_file.domain.library import arranged, unreachable
from services.sequence_file.domain.ports import (
    PROJECT_FILE,
    Apply,
    Project,
    Request,
    SequenceFile,
    Target,
    Unreachable,
)


class MemorySequences:
    """Projects by path, their files by relative path."""

    def __init__(self, projects: Mapping[str, Mapping[str, bytes]]) -> None:
        self.projects = {path: dict(files) for path, files in projects.items()}
        self._lock = asyncio.Lock()
        self._answers: dict[str, tuple[Request, Shot]] = {}

    async def project(self, path: str) -> Project:
        """See `Sequences.project`."""
        return self._project(path)

    async def project_file(self, path: str) -> Document:
        """See `Sequences.project_file`."""
        files = self._files(path)
        if PROJECT_FILE not in files:
            raise faults.project_not_found(path)
        return parse_project(files[PROJECT_FILE], PROJECT_FILE)

    async def change(self, path: str, target: Target, apply: Apply, request: Request | None, deadline: float) -> Shot:
        """See `Sequences.change`."""
        async with self._lock:
            file = target.choose(self._project(path))
            if request and (known := self._answers.get(request.id)):
                if known[0].fingerprint != request.fingerprint:
                    raise faults.request_id_reused()
                return known[1]
            files = self._files(path)
            if file == PROJECT_FILE:
                draft = Draft(parse_project(files[file], file), "")
            else:
                document = parse_sequence(files[file], file)
                draft = Draft(document, identity.id_of(document.head.id, file))
            shot = apply(draft)
            if draft.changed:
                files[file] = draft.finish(datetime.now(UTC)).raw
            if request:
                self._answers[request.id] = (request, shot)
            return shot

    def _files(self, path: str) -> dict[str, bytes]:
        if path not in self.projects:
            raise faults.project_not_found(path)
        return self.projects[path]

    def _project(self, path: str) -> Project:
        files = self._files(path)
        good: list[SequenceFile] = []
        bad: list[Unreachable] = []
        for file, raw in files.items():
            if file == PROJECT_FILE:
                continue
            try:
                document = parse_sequence(raw, file)
                sequence_id = identity.id_of(document.head.id, file)
                good.append(SequenceFile(document=document, id=sequence_id, modified=datetime.now(UTC)))
            except Fault as fault:
                bad.append(unreachable(file, fault))
        return arranged(path, good, bad, PROJECT_FILE in files)
