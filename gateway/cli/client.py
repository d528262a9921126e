"""The calls that the commands make. Every method raises Fault.

A sequence id `-` means project.json: its regular shots, and its versions. All calls go to the gateway's address.
"""

import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import grpc.aio
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as files_grpc

from services.kernel.faults import Fault
from services.runtime.calls import answer, pages, stream

PROJECT_FILE = "-"  # in the place of a sequence's id
_READINGS = 3
_SETTLED = 0.1  # seconds without a change after which a watch says that it has told everything


class Client:
    """One open channel. Changes carry a request id each: the channel may send them again."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._files = files_grpc.SequenceFileServiceStub(channel)

    # Reading.

    async def sequences(self, project: str) -> tuple[list[files.Sequence], list[files.UnreachableSequence]]:
        """All sequences in playing order, without their documents, and the files that cannot be reached."""
        request = files.ListSequencesRequest(project_path=project, view=files.SEQUENCE_VIEW_BASIC)
        found: list[files.Sequence] = []
        unreachable: list[files.UnreachableSequence] = []
        async for page in pages(self._files.ListSequences, request):
            found.extend(page.sequences)
            unreachable.extend(page.unreachable)
        return found, unreachable

    async def sequence(self, project: str, sequence_id: str) -> files.Sequence:
        """One sequence with its document."""
        return await answer(
            self._files.GetSequence(files.GetSequenceRequest(project_path=project, sequence_id=sequence_id))
        )

    async def shots(self, project: str, sequence_id: str) -> tuple[list[files.Shot], str]:
        """All shots of a sequence in order, and the sequence's etag; of project.json the regular ones. A file that
        changes between two pages is read anew, a few times."""
        for _ in range(_READINGS - 1):
            try:
                return await self._all_shots(project, sequence_id)
            except Fault as fault:
                if fault.reason != "PAGE_TOKEN_STALE":
                    raise
        return await self._all_shots(project, sequence_id)

    async def project_shots(self, project: str) -> files.ListProjectShotsResponse:
        """What stands in project.json, all pages in one."""
        request = files.ListProjectShotsRequest(project_path=project)
        whole = files.ListProjectShotsResponse()
        async for page in pages(self._files.ListProjectShots, request):
            whole.MergeFrom(page)
        return whole

    async def shot(self, project: str, sequence_id: str, shot_id: str) -> files.Shot:
        """One shot of a sequence; with `-`, wherever it stands."""
        request = files.GetShotRequest(project_path=project, sequence_id=_id(sequence_id), shot_id=shot_id)
        return await answer(self._files.GetShot(request))

    # Changing shots.

    async def update(
        self, project: str, sequence_id: str, shot_id: str, updates_json: str, *, replace: bool, etag: str
    ) -> files.Shot:
        """Change a shot of a sequence, or with `-` a regular one of project.json."""
        mode = files.UPDATE_MODE_REPLACE_TOP_LEVEL if replace else files.UPDATE_MODE_MERGE_PATCH
        edit = {"shot_id": shot_id, "updates_json": updates_json, "etag": etag, "request_id": _request_id()}
        if sequence_id == PROJECT_FILE:
            return await answer(
                self._files.UpdateProjectShot(files.UpdateProjectShotRequest(project_path=project, mode=mode, **edit))
            )
        return await answer(
            self._files.UpdateShot(
                files.UpdateShotRequest(project_path=project, sequence_id=sequence_id, mode=mode, **edit)
            )
        )

    async def create_shot(
        self, project: str, sequence_id: str, document: str, place: files.ShotPlace | None
    ) -> files.Shot:
        """Put a new shot into a sequence."""
        return await answer(
            self._files.CreateShot(
                files.CreateShotRequest(
                    project_path=project,
                    sequence_id=sequence_id,
                    document_json=document,
                    place=place,
                    request_id=_request_id(),
                )
            )
        )

    async def move_shot(
        self, project: str, sequence_id: str, shot_id: str, to: str, place: files.ShotPlace | None, etag: str
    ) -> files.Shot:
        """Move a shot; `to` empty: within its sequence."""
        return await answer(
            self._files.MoveShot(
                files.MoveShotRequest(
                    project_path=project,
                    sequence_id=sequence_id,
                    shot_id=shot_id,
                    target_sequence_id=to,
                    place=place,
                    etag=etag,
                    request_id=_request_id(),
                )
            )
        )

    async def delete_shot(self, project: str, sequence_id: str, shot_id: str, etag: str) -> int:
        """Take a shot out of its sequence; the revision."""
        deleted = await answer(
            self._files.DeleteShot(
                files.DeleteShotRequest(
                    project_path=project,
                    sequence_id=sequence_id,
                    shot_id=shot_id,
                    etag=etag,
                    request_id=_request_id(),
                )
            )
        )
        return deleted.revision

    # Changing sequences.

    async def create_sequence(self, project: str, sequence_id: str, document: str) -> files.Sequence:
        """Make a sequence; an empty id: the next free number."""
        return await answer(
            self._files.CreateSequence(
                files.CreateSequenceRequest(
                    project_path=project, sequence_id=sequence_id, document_json=document, request_id=_request_id()
                )
            )
        )

    async def update_sequence(self, project: str, sequence_id: str, updates_json: str, etag: str) -> files.Sequence:
        """Change a sequence's own members."""
        return await answer(
            self._files.UpdateSequence(
                files.UpdateSequenceRequest(
                    project_path=project,
                    sequence_id=sequence_id,
                    updates_json=updates_json,
                    etag=etag,
                    request_id=_request_id(),
                )
            )
        )

    async def reorder(self, project: str, sequence_ids: Sequence[str]) -> files.ReorderSequencesResponse:
        """Give the sequences another playing order."""
        return await answer(
            self._files.ReorderSequences(
                files.ReorderSequencesRequest(project_path=project, sequence_ids=sequence_ids, request_id=_request_id())
            )
        )

    async def delete_sequence(self, project: str, sequence_id: str, etag: str) -> int:
        """Move a sequence to the trash; the revision."""
        deleted = await answer(
            self._files.DeleteSequence(
                files.DeleteSequenceRequest(
                    project_path=project, sequence_id=sequence_id, etag=etag, request_id=_request_id()
                )
            )
        )
        return deleted.revision

    # History.

    async def versions(self, project: str, sequence_id: str, shot_id: str) -> tuple[list[files.Version], str]:
        """The versions of a file, newest first, and the file's path in the project."""
        request = files.ListVersionsRequest(project_path=project, sequence_id=_id(sequence_id), shot_id=shot_id)
        found: list[files.Version] = []
        file = ""
        async for page in pages(self._files.ListVersions, request):
            found.extend(page.versions)
            file = page.file
        return found, file

    async def differences(
        self, project: str, sequence_id: str, earlier: int, later: int | None, shot_id: str
    ) -> files.DiffVersionsResponse:
        """What is different between two versions; `later` None: the file as it is."""
        return await answer(
            self._files.DiffVersions(
                files.DiffVersionsRequest(
                    project_path=project,
                    sequence_id=_id(sequence_id),
                    from_revision=earlier,
                    to_revision=later,
                    shot_id=shot_id,
                )
            )
        )

    async def restore(
        self, project: str, sequence_id: str, revision: int, shot_id: str, etag: str
    ) -> files.RestoreVersionResponse:
        """Bring back a version of a file, or of one shot."""
        return await answer(
            self._files.RestoreVersion(
                files.RestoreVersionRequest(
                    project_path=project,
                    sequence_id=_id(sequence_id),
                    revision=revision,
                    shot_id=shot_id,
                    etag=etag,
                    request_id=_request_id(),
                )
            )
        )

    async def trash(self, project: str) -> Sequence[files.TrashedSequence]:
        """The deleted sequences, newest first."""
        return (await answer(self._files.ListTrash(files.ListTrashRequest(project_path=project)))).sequences

    async def deleted(self, project: str, sequence_id: str) -> files.TrashedSequence | None:
        """The sequence, or with `-` project.json, as it is in the trash; None where it is not there."""
        try:
            _, file = await self.versions(project, sequence_id, "")
        except Fault as fault:
            if fault.reason != "SEQUENCE_NOT_FOUND":
                raise
            return None
        return next((each for each in await self.trash(project) if each.file == file), None)

    async def changes(self, project: str, after: int | None = 0) -> list[files.ProjectChange]:
        """The changes behind a revision that are kept, oldest first; None: those from now on.

        By asking, what other programs changed or deleted while nobody looked is found and becomes a revision, and
        the history of a project that has none begins.
        """
        found: list[files.ProjectChange] = []
        begun = False
        async with aclosing(self.watch(project, after, progress_seconds=_SETTLED)) as messages:
            async for message in messages:
                if message.HasField("change"):
                    found.append(message.change)
                elif begun:
                    break
                begun = True
        return found

    def watch(
        self, project: str, after: int | None, log_id: str = "", progress_seconds: float = 0.0
    ) -> AsyncGenerator[files.WatchProjectResponse, None]:
        """The changes behind the revision `after` (None: from now on) and where the watch is; see the contract."""
        request = files.WatchProjectRequest(
            project_path=project, after_revision=after, log_id=log_id, progress_seconds=progress_seconds
        )
        return stream(self._files.WatchProject, request)

    async def _all_shots(self, project: str, sequence_id: str) -> tuple[list[files.Shot], str]:
        if sequence_id == PROJECT_FILE:
            listed = await self.project_shots(project)
            return list(listed.shots), listed.etag
        request = files.GetShotsRequest(project_path=project, sequence_id=sequence_id)
        found: list[files.Shot] = []
        etag = ""
        async for page in pages(self._files.GetShots, request):
            found.extend(page.shots)
            etag = page.etag
        return found, etag


def _id(sequence_id: str) -> str:
    """As the contract names it where project.json can be meant."""
    return "" if sequence_id == PROJECT_FILE else sequence_id


def _request_id() -> str:
    return str(uuid.uuid4())
