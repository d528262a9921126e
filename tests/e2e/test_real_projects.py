"""Real project folders open, list, and take an edit on every shot; so do twins of our own.

The second folder's only sequence file has no `id`: it is addressed by the number of its file name.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import projects
from tests.e2e.conftest import Shotline, writable_copy
from tests.e2e.ipc import Envelope

PROMPT = 'An edit of ours: Küstennebel, "half" lit\n2nd line'


@dataclass(frozen=True)
class Folder:
    """What a folder holds, known beforehand."""

    sequences: dict[str, int]  # shots by the id that addresses the sequence
    has_ids: bool = True
    has_generation: bool = True


KNOWN = {
    "three-sequences": Folder({"001": 3, "002": 3, "003": 3}),
    "ui-default-court-metrage": Folder({"001": 6}, has_ids=False, has_generation=False),
    "twin of three-sequences": Folder({"001": 3, "002": 3, "003": 3}),
    "twin of ui-default-court-metrage": Folder({"001": 2}, has_ids=False, has_generation=False),
}


@pytest.fixture(params=KNOWN)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def known(name: str) -> Folder:
    return KNOWN[name]


@pytest.fixture
def project(folder: Path, name: str, request: pytest.FixtureRequest) -> Path:
    """A writable copy of a real project, or its twin."""
    if name == "twin of three-sequences":
        return projects.crossing(folder)
    if name == "twin of ui-default-court-metrage":
        return projects.write(folder, {"sequence_001.json": projects.template_sequence()})
    storycore: Path = request.getfixturevalue("storycore")
    return writable_copy(storycore / name, folder)


def texts(project: Path) -> dict[str, str]:
    """The sequence files by the id that addresses them, exactly as they are."""
    return {
        path.stem.removeprefix("sequence_"): path.read_bytes().decode()
        for path in sorted((project / "sequences").glob("*.json"))
    }


def test_a_real_project_opens_and_lists(shotline: Shotline, project: Path, known: Folder) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    everything = shotline.ok("sequence:get-all", [str(project)])
    assert everything["unreachable"] == []
    assert {each["id"]: len(each["shots"]) for each in everything["sequences"]} == known.sequences
    for (sequence_id, text), listed in zip(texts(project).items(), everything["sequences"], strict=True):
        document = json.loads(text)
        assert ("id" in document) is known.has_ids
        assert {**document, "id": sequence_id} == listed  # the file itself is not given one
        assert shotline.ok("sequence:get-shots", [str(project), sequence_id])["shots"] == document["shots"]
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_every_shot_of_a_real_project_takes_an_edit(shotline: Shotline, project: Path, known: Folder) -> None:
    """`{generation: {prompt}}` keeps model, parameters and negativePrompt, and every other byte of the files."""
    before = texts(project)
    others = {path: path.read_bytes() for path in project.iterdir() if path.is_file()}
    for sequence_id, text in before.items():
        edits: dict[str, Envelope] = {}
        for number, shot in enumerate(json.loads(text)["shots"]):
            edits[shot["id"]] = {"generation": {"prompt": f"{PROMPT} {number}"}}
            answer = shotline.ok("sequence:update-shot", [str(project), sequence_id, shot["id"], edits[shot["id"]]])
            assert answer["storedIn"]["file"] == f"sequences/sequence_{sequence_id}.json"
            generation = answer["shot"]["generation"]
            assert generation.pop("prompt") == f"{PROMPT} {number}"
            kept = {name: value for name, value in shot.get("generation", {}).items() if name != "prompt"}
            assert generation == kept
            assert {"model", "parameters", "negativePrompt"} <= kept.keys() or not known.has_generation
            # After each edit the whole file is what it was, but for the edits so far and the times of change.
            projects.assert_only_edited(text, texts(project)[sequence_id], edits)
    assert {path: path.read_bytes() for path in others} == others  # project.json with its copies, the documents
    assert sorted(path.name for path in project.iterdir() if path not in others) == [".shotline", "sequences"]


def test_a_shot_found_without_its_sequence_is_edited_in_the_sequence_file(shotline: Shotline, project: Path) -> None:
    """The copies that stand in project.json are neither read nor written."""
    before = texts(project)
    copies = (project / "project.json").read_bytes()
    for sequence_id, text in before.items():
        shot_id = json.loads(text)["shots"][-1]["id"]
        answer = shotline.ok("shot:update", [{"projectPath": str(project), "shotId": shot_id}, {"note": "seen"}])
        assert answer["storedIn"] == {"file": f"sequences/sequence_{sequence_id}.json", "sequenceId": sequence_id}
        projects.assert_only_edited(text, texts(project)[sequence_id], {shot_id: {"note": "seen"}})
    assert (project / "project.json").read_bytes() == copies


def test_the_numbers_of_a_real_sequence_all_mean_it(shotline: Shotline, project: Path) -> None:
    """`1`, `"001"`, `sequence-1` and `sequence_001` are the same sequence, with an `id` in the file or without."""
    answers = [
        shotline.ok("sequence:get-shots", [str(project), each])["shots"]
        for each in (1, "001", "sequence-1", "sequence_001")
    ]
    assert answers == [json.loads(texts(project)["001"])["shots"]] * 4
