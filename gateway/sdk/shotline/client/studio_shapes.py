"""What the studio's calls give: shots of files as the files have them, those of the asset graph as its assets."""

from datetime import datetime
from typing import Any, Literal, TypeAlias, TypedDict

from shotline.client.shapes import Asset, GraphChange, StructureAsset, StructureTake

Document: TypeAlias = dict[str, Any]  # a JSON object
FileChangeKind: TypeAlias = Literal["created", "updated", "deleted", "moved", "unreadable"]


class StoredIn(TypedDict):
    """Where a shot is stored: in a file of a project, or in a workspace of the asset graph."""

    file: str | None  # relative to the project folder
    sequence_id: str | None  # None for a shot of project.json
    workspace_id: str | None


class GraphStructure(TypedDict):
    """What belongs to a shot of the asset graph."""

    links: dict[str, list[StructureAsset]]  # by relationship type, in order
    takes: list[StructureTake]  # by attempt number
    selected_take_id: str | None
    selected_video: Asset | None


class StudioShot(TypedDict):
    """A shot, wherever it lives."""

    id: str
    shot: Document  # as the file has it; of the asset graph an `Asset`
    etag: str
    stored_in: StoredIn | None  # None in a list of one sequence
    structure: GraphStructure | None  # of a shot of the asset graph, in get_shot and select_take
    revision: int  # of a change; 0 in reads, and where nothing changed


class SequenceShots(TypedDict):
    """The shots of a sequence in order."""

    shots: list[StudioShot]
    etag: str  # of the whole sequence


class Sequence(TypedDict):
    """A sequence file."""

    id: str
    file: str  # relative to the project folder
    sequence: Document
    etag: str


class UnreachableSequence(TypedDict):
    """A sequence file that cannot be read."""

    file: str
    id: str | None
    reason: str
    message: str
    line: int | None  # from 1
    column: int | None


class Sequences(TypedDict):
    """The sequences of a project in playing order, and the files that cannot be read."""

    sequences: list[Sequence]
    unreachable: list[UnreachableSequence]


class StudioFilmShot(StudioShot):
    """A shot of a film."""

    scene_ids: list[str]  # scenes that contain it, the outermost first
    position: int  # in playing order, from 1


class StudioFilm(TypedDict):
    """A film with everything in playing order."""

    film: Asset
    scenes: list[Asset]  # each with `scene_ids` and `sequence` besides
    final_edits: list[Asset]
    shots: list[StudioFilmShot]
    shot_count: int


class ShotChange(TypedDict):
    """A shot of a file that changed."""

    id: str
    kind: FileChangeKind
    etag: str | None
    shot: Document | None  # None for one that is gone or only moved, and in large changes


class FileChange(TypedDict):
    """A file that changed."""

    file: str
    sequence_id: str | None  # None for project.json
    kind: FileChangeKind
    etag: str | None
    shots: list[ShotChange]
    complete: bool  # whether `shots` names all; else read the file again


class ProjectChange(TypedDict):
    """One revision of a project."""

    revision: int
    create_time: datetime
    outside: bool  # by another program, which changed the file itself
    actor: str
    client: str
    request_id: str | None
    summary: str  # in one line
    files: list[FileChange]


class StudioChange(TypedDict):
    """A revision of one of the sources that are watched."""

    source: str  # path of the project, or id of the workspace, as it was asked for
    project: ProjectChange | None
    graph: GraphChange | None
