"""Project folders to measure on, as seed 001 describes them, with words of our own."""

import json
from pathlib import Path


def shot(number: int, sequence: str, index: int) -> dict[str, object]:
    """A shot; `number` counts through the project, `index` through the sequence."""
    return {
        "id": f"shot-{number}",
        "sequencePlanId": sequence,
        "number": index + 1,
        "type": "wide",
        "generation": {
            "prompt": f"A lighthouse keeper climbs the stairs, step {number}, lamp in hand",
            "negativePrompt": "blurry, text",
            "model": "flux-dev",
            "parameters": {"steps": 20, "cfgScale": 7.5, "width": 1024, "height": 768},
        },
        "timing": {"duration": 5, "inPoint": 0, "outPoint": 5},
    }


def make_project(folder: Path, sequences: int, shots: int) -> Path:
    """A project folder of so many sequences with so many shots each: `shot-0` is the first of sequence 001."""
    (folder / "sequences").mkdir(parents=True)
    (folder / "project.json").write_text("{}")
    for number in range(1, sequences + 1):
        sequence = f"{number:03d}"
        first = (number - 1) * shots
        document = {
            "id": sequence,
            "name": f"Sequence {number}",
            "order": number,
            "shots": [shot(first + index, sequence, index) for index in range(shots)],
            "metadata": {"created_at": "2026-01-20T00:00:00.000Z"},
        }
        (folder / "sequences" / f"sequence_{sequence}.json").write_text(json.dumps(document, indent=2))
    return folder
