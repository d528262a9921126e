"""What tests read that the project does not hold: the documents it is described in, and real data.

Where it is not there, the test is skipped by name; twins of our own always run.
"""

import os
from pathlib import Path

import pytest

_SHARED = Path(__file__).parents[2] / "shared"


def seed(number: str) -> str:
    """The text of a document."""
    folder = Path(os.environ.get("SHOTLINE_TEST_SEEDS", _SHARED / "seeds"))
    found = sorted(folder.glob(f"{number}_*.txt"))
    if not found:
        pytest.skip(f"seed {number} is not in {folder}; SHOTLINE_TEST_SEEDS says where it is")
    return found[0].read_text(encoding="utf-8")


def data(name: str) -> Path:
    """A folder of real data, which is only read."""
    folder = Path(os.environ.get("SHOTLINE_TEST_DATA", _SHARED / "data"))
    if not (folder / name).is_dir():
        pytest.skip(f"no {name} in {folder}; SHOTLINE_TEST_DATA says where it is")
    return folder / name
