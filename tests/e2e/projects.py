"""Project folders of our own in the formats that editors write, and the oracle of an edit.

Everything is written as `JSON.stringify(…, null, 2)` writes it, and so is what the oracle expects.
"""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

from tests.e2e.ipc import Envelope

CREATED = "2026-01-20T09:30:00.000Z"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def stringify(document: object) -> str:
    """As JavaScript's `JSON.stringify(document, null, 2)`."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def shot(shot_id: str, sequence_id: str | None, number: int) -> Envelope:
    """A shot as seed 001 describes it; without a sequence it is a regular one."""
    return {
        "id": shot_id,
        **({"sequencePlanId": sequence_id} if sequence_id else {}),
        "number": number,
        "type": "wide",
        "generation": {
            "prompt": f"Fog lifts from a salt marsh, Überfahrt {number} of a flat boat",
            "negativePrompt": "blurry, lettering",
            "model": "flux-dev",
            "parameters": {"steps": 20, "cfgScale": 7.5, "width": 1024, "height": 768},
        },
        "timing": {"duration": 5, "inPoint": 0, "outPoint": 5},
    }


def sequence(sequence_id: str, order: int, prefix: str, shots: int = 3) -> Envelope:
    """A sequence as seed 001 describes it."""
    return {
        "id": sequence_id,
        "name": f"Sequence {order}",
        "description": "The crossing",
        "duration": 5 * shots,
        "order": order,
        "shots": [shot(f"{prefix}-{number}", sequence_id, number) for number in range(1, shots + 1)],
        "metadata": {"created_at": CREATED, "modified_at": CREATED},
    }


def template_sequence() -> Envelope:
    """A sequence as an editor's default template makes it: no `id`, and other members in its shots."""
    members: Envelope = {"title": "Shot", "duration": 60, "audioTracks": [], "effects": [], "animations": []}
    return {
        "name": "Sequence 1",
        "duration": 120,
        "shots": [
            {
                "id": f"1795232178000-part{number}",
                **members,
                "metadata": {
                    "shot_type": "medium",
                    "sequence_id": f"1795232178000-plan{number}",
                    "updated_at": CREATED,
                },
            }
            for number in (1, 2)
        ],
        "order": 1,
        "metadata": {"created_at": CREATED, "updated_at": CREATED, "status": "draft"},
    }


def write(folder: Path, sequences: Mapping[str, object], loose: Mapping[str, object] | None = None) -> Path:
    """A project folder of sequence files by name. project.json has a stale copy of each shot, as real ones have."""
    (folder / "sequences").mkdir(parents=True)
    copies: list[object] = []
    for name, document in sequences.items():
        text = document if isinstance(document, str) else stringify(document)
        (folder / "sequences" / name).write_text(text, encoding="utf-8")
        copies += [{**each, "type": "a stale copy"} for each in json.loads(text)["shots"]]
    project = {"project_name": "The Crossing", "shots": [*copies, *([loose] if loose else [])]}
    (folder / "project.json").write_text(stringify(project), encoding="utf-8")
    return folder


def merged(value: object, patch: object) -> object:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, new in patch.items():
        if new is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), new)
    return result


def assert_only_edited(before: str, after: str, edits: Mapping[str, Mapping[str, object]]) -> None:
    """`after` is `before` with the edits by shot id and new times of change, and otherwise the same bytes."""
    expected: Envelope = json.loads(before)
    assert stringify(expected) == before.rstrip("\n"), "not a file of JSON.stringify: the oracle cannot be used"
    for index, each in enumerate(expected["shots"]):
        expected["shots"][index] = merged(each, edits.get(each["id"], {}))
    now = json.loads(after)
    earlier = deepcopy(expected["metadata"])
    for name in ("modified_at", "updated_at"):
        if name in earlier or name == "modified_at":
            stamp = now["metadata"][name]
            assert _TIME.fullmatch(stamp), stamp
            assert stamp > str(earlier.get(name, ""))
            expected["metadata"][name] = stamp
    assert after == stringify(expected) + before[len(before.rstrip("\n")) :]


def crossing(folder: Path) -> Path:
    """A project of three sequences with three shots each, and one regular shot, `title-card`."""
    sequences = {f"sequence_{n:03d}.json": sequence(f"{n:03d}", n, f"crossing-{n}") for n in (1, 2, 3)}
    return write(folder, sequences, loose=shot("title-card", None, 1))
