"""The sample project that `shotline project new` writes: a small film of our own.

Files are as an editor's `JSON.stringify(…, null, 2)` leaves them: two spaces, no final newline.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_NEGATIVE = "blurry, low contrast, text, watermark"
# A shot that stands in project.json only, as an editor keeps shots that belong to no sequence.
_TITLE_CARD = "title-card"


@dataclass(frozen=True, slots=True)
class _Shot:
    id: str
    type: str
    prompt: str
    seconds: int


@dataclass(frozen=True, slots=True)
class _Sequence:
    id: str
    name: str
    description: str
    shots: tuple[_Shot, ...]


_FILM = (
    _Sequence(
        "001",
        "Arrival",
        "The night ferry brings Ines back to the harbour town she left.",
        (
            _Shot(
                "arrival-1", "wide", "A ferry crosses a black bay towards the lamps of a small harbour, light rain", 6
            ),
            _Shot(
                "arrival-2", "medium", "A woman with a canvas bag waits at the rail, lamps reflected in wet steel", 4
            ),
            _Shot("arrival-3", "close-up", "Her hand lets go of the rail as the ramp touches the quay", 3),
        ),
    ),
    _Sequence(
        "002",
        "The Letter",
        "In her father's workshop a letter has waited for eleven years.",
        (
            _Shot("letter-1", "wide", "A boat builder's workshop under dust, one hull still on its frame", 5),
            _Shot(
                "letter-2", "insert", "An unopened letter under a brass plumb line, her name in careful handwriting", 3
            ),
            _Shot("letter-3", "close-up", "She reads by torchlight and begins to smile before the last line", 6),
        ),
    ),
    _Sequence(
        "003",
        "First Light",
        "The unfinished boat goes into the water.",
        (
            _Shot("light-1", "wide", "Dawn over the slipway, neighbours gather with ropes and thermos flasks", 5),
            _Shot("light-2", "tracking", "The hull slides down wet planks, children running beside it", 7),
            _Shot("light-3", "wide", "The small boat alone on bright water, the town waking behind it", 8),
        ),
    ),
)


class FolderNotEmpty(Exception):
    """The sample is not written into a folder that holds something."""


def write_sample(folder: Path) -> tuple[int, int]:
    """Write the sample into `folder`, which is made when missing. Gives how many sequences and shots,
    that of project.json included.
    FolderNotEmpty where something is in there, else OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FolderNotEmpty(f"{folder} is not empty")
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    (folder / "sequences").mkdir()
    for order, sequence in enumerate(_FILM, 1):
        _write(folder / "sequences" / f"sequence_{sequence.id}.json", _sequence(sequence, order, now))
    _write(folder / "project.json", _project(now))
    return len(_FILM), sum(len(sequence.shots) for sequence in _FILM) + 1


def _project(now: str) -> Mapping[str, object]:
    card = _Shot(_TITLE_CARD, "title", "The words Harbour Lights in chalk on slate, rain running through them", 4)
    return {
        "project_name": "Harbour Lights",
        "schema_version": "1.0",
        "created_at": now,
        "modified_at": now,
        "settings": {"default_resolution": "1024x768", "frame_rate": 24},
        "shots": [_shot(card, 1, None)],
    }


def _sequence(sequence: _Sequence, order: int, now: str) -> Mapping[str, object]:
    return {
        "id": sequence.id,
        "name": sequence.name,
        "description": sequence.description,
        "duration": sum(shot.seconds for shot in sequence.shots),
        "order": order,
        "shots": [_shot(shot, number, sequence.id) for number, shot in enumerate(sequence.shots, 1)],
        "metadata": {"created_at": now, "modified_at": now},
    }


def _shot(shot: _Shot, number: int, sequence_id: str | None) -> Mapping[str, object]:
    return {
        "id": shot.id,
        **({"sequencePlanId": sequence_id} if sequence_id else {}),
        "number": number,
        "type": shot.type,
        "generation": {
            "prompt": shot.prompt,
            "negativePrompt": _NEGATIVE,
            "model": "flux-dev",
            "parameters": {"steps": 20, "cfgScale": 7.5, "width": 1024, "height": 768},
        },
        "timing": {"duration": shot.seconds, "inPoint": 0, "outPoint": shot.seconds},
    }


def _write(path: Path, document: Mapping[str, object]) -> None:
    # "x": never over a file that appeared meanwhile.
    with open(path, "x", encoding="utf-8", newline="\n") as file:
        json.dump(document, file, indent=2, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
