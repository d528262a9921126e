"""Project folders below a root, found by a short look."""

import os
from collections.abc import Iterator
from pathlib import Path

_DEPTH = 2  # folders below the root
_LOOKS = 500  # folders looked into at most: a root may be a whole disk


def find_projects(root: Path) -> Iterator[Path]:
    """The root itself and folders up to two below it that look like projects, by name."""
    level = [root]
    looks = 0
    for _ in range(_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            looks += 1
            if looks > _LOOKS:
                return
            if (folder / "project.json").is_file() or (folder / "sequences").is_dir():
                yield folder
            else:
                below += _folders(folder)
        level = below


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [one.name for one in entries if not one.name.startswith(".") and one.is_dir(follow_symlinks=False)]
    except OSError:
        return []  # not ours to look into
    return [folder / name for name in sorted(names)]
