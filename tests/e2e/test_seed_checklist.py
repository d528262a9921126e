"""The testing checklist of seed 001, item by item and in its words, against a running Shotline.

Each runs on the seed's own example where the seed is at hand, and on a twin of our own always.
"""

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as files_grpc
from shotline.studio.v1 import studio_service_pb2 as studio
from shotline.studio.v1 import studio_service_pb2_grpc as studio_grpc

from tests.e2e import projects
from tests.e2e.conftest import Shotline, Starter
from tests.e2e.ipc import Envelope

BRIDGE = Path(__file__).parent / "node" / "bridge.js"
NEW_PROMPT = {"generation": {"prompt": "Gulls over the quay, Überblendung"}}


@pytest.fixture(params=["twin", "seed"])
def example(request: pytest.FixtureRequest) -> str:
    """A sequence file as text: the example under the seed's heading `Sequence File Format`, or our twin."""
    if request.param == "twin":
        return projects.stringify(projects.sequence("001", 1, "twin", shots=1))
    text: str = request.getfixturevalue("seed")
    section = text.partition("## Sequence File Format")[2]
    found = re.search(r"```json\n(.*?)\n```", section, re.DOTALL)
    assert found, "the seed has no example of a sequence file"
    return found[1]


@pytest.fixture
def project(folder: Path, example: str) -> Path:
    """The example as sequence 001, two more sequences, and a regular shot in project.json."""
    others = {f"sequence_{n:03d}.json": projects.sequence(f"{n:03d}", n, f"crossing-{n}") for n in (2, 3)}
    loose = projects.shot("title-card", None, 1)
    return projects.write(folder, {"sequence_001.json": example, **others}, loose=loose)


@pytest.fixture
def shot(example: str) -> Envelope:
    """The first shot of the example."""
    first: Envelope = json.loads(example)["shots"][0]
    return first


@pytest.fixture
async def channel(shotline: Shotline) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(shotline.facts["grpc"]) as channel:
        yield channel


def token_of(shotline: Shotline) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {shotline.facts['token']}"),)


def first_sequence(project: Path) -> Path:
    return project / "sequences" / "sequence_001.json"


async def test_backend_methods_implemented_and_tested(
    shotline: Shotline, channel: grpc.aio.Channel, project: Path, example: str, shot: Envelope
) -> None:
    """updateShotInSequence, getShotsFromSequence and getAllSequences are UpdateShot, GetShots and ListSequences."""
    service = files_grpc.SequenceFileServiceStub(channel)
    token = token_of(shotline)
    listed = await service.ListSequences(files.ListSequencesRequest(project_path=str(project)), metadata=token)
    assert [each.id for each in listed.sequences] == ["001", "002", "003"]
    assert listed.sequences[0].document_json == example

    shots = await service.GetShots(files.GetShotsRequest(project_path=str(project), sequence_id="001"), metadata=token)
    assert [json.loads(each.document_json) for each in shots.shots] == [shot]

    request = files.UpdateShotRequest(
        project_path=str(project), sequence_id="001", shot_id=shot["id"], updates_json=json.dumps(NEW_PROMPT)
    )
    updated = await service.UpdateShot(request, metadata=token)
    assert json.loads(updated.document_json) == projects.merged(shot, NEW_PROMPT)
    assert updated.stored_in.file == "sequences/sequence_001.json"


@pytest.mark.parametrize("door", ["http", "Invoke"])
async def test_ipc_channels_registered_and_handlers_working(
    shotline: Shotline, channel: grpc.aio.Channel, project: Path, shot: Envelope, door: str
) -> None:
    """All three channels take their arguments in order, as ipcMain.handle forwards them."""
    invoke = studio_grpc.StudioServiceStub(channel).Invoke

    async def call(name: str, *arguments: object) -> Envelope:
        if door == "http":
            return shotline.ipc(name, arguments)[1]
        request = studio.InvokeRequest(channel=name, arguments_json=json.dumps(arguments))
        envelope: Envelope = json.loads((await invoke(request, metadata=token_of(shotline))).envelope_json)
        return envelope

    updated = await call("sequence:update-shot", str(project), "001", shot["id"], NEW_PROMPT)
    assert updated["success"] is True
    assert updated["shot"] == projects.merged(shot, NEW_PROMPT)
    assert (await call("sequence:get-shots", str(project), "001"))["shots"] == [updated["shot"]]
    everything = await call("sequence:get-all", str(project))
    assert [each["id"] for each in everything["sequences"]] == ["001", "002", "003"]

    refused = await call("sequence:update-shot", str(project), "001", shot["id"], "no object")
    assert (refused["success"], refused["reason"]) == (False, "INVALID_FIELD")
    assert "updates" in refused["error"]


def test_preload_bridge_exposes_methods_correctly(shotline: Shotline, project: Path, shot: Envelope) -> None:
    """updateShot gives a Shot, getShots a Shot[], getAll a Sequence[]; what fails is a rejection."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed, so there is no preload bridge to try")
    url, token = shotline.where()
    calls: list[list[object]] = [
        ["updateShot", str(project), "001", shot["id"], NEW_PROMPT],
        ["getShots", str(project), "001"],
        ["getAll", str(project)],
        ["getShots", str(project), "404"],
    ]
    done = subprocess.run(
        ["node", str(BRIDGE)],
        input=json.dumps({"url": url, "token": token, "calls": calls}),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    updated, shots, sequences, missing = json.loads(done.stdout)
    assert updated["value"] == projects.merged(shot, NEW_PROMPT)
    assert shots["value"] == [updated["value"]]
    on_disk = [json.loads(path.read_text()) for path in sorted((project / "sequences").iterdir())]
    assert sequences["value"] == on_disk
    assert missing["error"]["reason"] == "SEQUENCE_NOT_FOUND"


def test_typescript_types_complete_and_accurate(shotline: Shotline, project: Path, example: str) -> None:
    """Every field of the file format comes back, in its order and with its JSON type: 20 is no 20.0."""
    sequence = shotline.ok("sequence:get-all", [str(project)])["sequences"][0]
    assert typed(sequence) == typed(json.loads(example))
    shots = shotline.ok("sequence:get-shots", [str(project), "001"])["shots"]
    assert typed(shots) == typed(json.loads(example)["shots"])
    documented = {
        "id", "name", "description", "duration", "order", "shots", "metadata", "sequencePlanId", "number", "type",
        "generation", "prompt", "negativePrompt", "model", "parameters", "steps", "cfgScale", "width", "height",
        "timing", "inPoint", "outPoint", "created_at", "modified_at",
    }  # fmt: skip
    assert documented <= set(re.findall(r"'(\w+)'", repr(typed(sequence))))


def typed(value: object) -> object:
    """The value with its types, its members in order."""
    if isinstance(value, dict):
        return [(name, typed(member)) for name, member in value.items()]
    if isinstance(value, list):
        return [typed(element) for element in value]
    return type(value).__name__, value


def test_editor_store_integration_with_fallback_logic(shotline: Shotline, project: Path, shot: Envelope) -> None:
    """editorStore.updateShot: a shot with sequencePlanId goes to its sequence, one without to the project."""

    def update_shot(shot: Envelope, updates: object) -> Envelope:
        if "sequencePlanId" in shot:
            named = [str(project), shot["sequencePlanId"], shot["id"], updates]
            return shotline.ok("sequence:update-shot", named)
        return shotline.ok("shot:update", [{"projectPath": str(project), "shotId": shot["id"]}, updates])

    production = update_shot(shot, NEW_PROMPT)
    assert production["storedIn"] == {"file": "sequences/sequence_001.json", "sequenceId": "001"}
    regular = update_shot(projects.shot("title-card", None, 1), NEW_PROMPT)
    assert regular["storedIn"] == {"file": "project.json"}
    for answer, target in ((production, shot["id"]), (regular, "title-card")):
        refreshed = shotline.ok("shot:get", [{"projectPath": str(project), "shotId": target}])
        assert refreshed["shot"] == answer["shot"]
        assert refreshed["shot"]["generation"]["prompt"] == NEW_PROMPT["generation"]["prompt"]


def test_shot_updates_persist_to_sequence_files(shotline: Shotline, project: Path, shot: Envelope) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*.json")}
    answer = shotline.ok("sequence:update-shot", [str(project), "001", shot["id"], NEW_PROMPT])
    after = json.loads(first_sequence(project).read_text())
    assert after["shots"][0] == answer["shot"] == projects.merged(shot, NEW_PROMPT)
    assert after["metadata"]["modified_at"] > "2026-01-20T"
    changed = [path for path, content in before.items() if path.read_bytes() != content]
    assert changed == [first_sequence(project)]


def test_data_persists_between_app_restarts(start: Starter, tmp_path: Path, example: str, shot: Envelope) -> None:
    project = str(projects.write(tmp_path / "film", {"sequence_001.json": example}))
    shotline = start()
    edited = shotline.ok("sequence:update-shot", [project, "001", shot["id"], NEW_PROMPT])
    assert shotline.stop() == 0
    shotline.start()
    again = shotline.ok("sequence:get-shots", [project, "001"])
    assert again["shots"] == [edited["shot"]]
    assert again["etags"] == {shot["id"]: edited["etag"]}


def test_projects_that_have_multiple_sequences(shotline: Shotline, project: Path) -> None:
    """Edits in different sequences, each in its own file."""
    shots = {"002": "crossing-2-2", "003": "crossing-3-1"}
    paths = {sequence_id: project / "sequences" / f"sequence_{sequence_id}.json" for sequence_id in shots}
    before = {sequence_id: path.read_text() for sequence_id, path in paths.items()}
    untouched = first_sequence(project).read_bytes()
    for sequence_id, shot_id in shots.items():
        patch = {"generation": {"prompt": f"the edit of {sequence_id}"}}
        shotline.ok("sequence:update-shot", [str(project), sequence_id, shot_id, patch])
    for sequence_id, shot_id in shots.items():
        patch = {"generation": {"prompt": f"the edit of {sequence_id}"}}
        projects.assert_only_edited(before[sequence_id], paths[sequence_id].read_text(), {shot_id: patch})
    assert first_sequence(project).read_bytes() == untouched
    everything = shotline.ok("sequence:get-all", [str(project)])
    assert [each["order"] for each in everything["sequences"]] == [1, 2, 3]
    assert everything["unreachable"] == []


def test_fallback_for_shots_without_sequence_plan_id(shotline: Shotline, project: Path, shot: Envelope) -> None:
    """A regular shot is changed in project.json; a sequence's shot never is, though a copy stands there."""
    sequences = {path: path.read_bytes() for path in (project / "sequences").iterdir()}
    copies = json.loads((project / "project.json").read_text())["shots"][:-1]
    answer = shotline.ok("shot:update", [{"projectPath": str(project), "shotId": "title-card"}, NEW_PROMPT])
    stored = json.loads((project / "project.json").read_text())["shots"]
    assert stored[-1] == answer["shot"] == projects.merged(projects.shot("title-card", None, 1), NEW_PROMPT)
    assert stored[:-1] == copies
    assert {path: path.read_bytes() for path in sequences} == sequences

    answer = shotline.ok("shot:update", [{"projectPath": str(project), "shotId": shot["id"]}, NEW_PROMPT])
    assert answer["storedIn"]["file"] == "sequences/sequence_001.json"
    assert json.loads((project / "project.json").read_text())["shots"] == stored

    # A named sequence never falls back to the project.
    status, refused = shotline.ipc("sequence:update-shot", [str(project), "001", "title-card", NEW_PROMPT])
    assert (status, refused["reason"]) == (404, "SHOT_NOT_FOUND")


def test_error_handling_for_missing_sequence_files(shotline: Shotline, project: Path, shot: Envelope) -> None:
    """Missing and broken files are errors that say which and where, never an empty list."""
    first_sequence(project).unlink()
    for channel, *more in (("sequence:get-shots",), ("sequence:update-shot", shot["id"], NEW_PROMPT)):
        status, refused = shotline.ipc(channel, [str(project), "001", *more])
        assert (status, refused["success"], refused["code"]) == (404, False, "NOT_FOUND")
        assert refused["reason"] == "SEQUENCE_NOT_FOUND"
        assert "001" in refused["error"]
        assert "shots" not in refused

    broken = project / "sequences" / "sequence_002.json"
    broken.write_text('{\n  "id": "002",\n  "shots": [\n    {"id": "crossing-2-1",}\n')
    damage = broken.read_bytes()
    for channel, *more in (("sequence:get-shots",), ("sequence:update-shot", "crossing-2-1", NEW_PROMPT)):
        status, refused = shotline.ipc(channel, [str(project), "002", *more])
        assert (status, refused["code"], refused["reason"]) == (400, "FAILED_PRECONDITION", "SEQUENCE_FILE_INVALID")
        assert refused["details"]["file"] == "sequences/sequence_002.json"
        assert refused["details"]["line"] == "4"
    assert broken.read_bytes() == damage

    everything = shotline.ok("sequence:get-all", [str(project)])
    assert [each["id"] for each in everything["sequences"]] == ["003"]
    ((file, line),) = [(each["file"], each["line"]) for each in everything["unreachable"]]
    assert (file, line) == ("sequences/sequence_002.json", 4)


def test_the_usage_example_changes_what_it_names(shotline: Shotline, project: Path, shot: Envelope) -> None:
    """The seed's usage example: the whole generation spread, with a new prompt, steps 25 and cfgScale 8.0."""
    before = first_sequence(project).read_text()
    generation = shot["generation"]
    # JSON.stringify writes 8.0 as 8.
    parameters = {**generation["parameters"], "steps": 25, "cfgScale": 8}
    updates = {"generation": {**generation, "prompt": "New prompt text", "parameters": parameters}}
    shotline.ok("sequence:update-shot", [str(project), "001", shot["id"], updates])
    (stored,) = shotline.ok("sequence:get-shots", [str(project), "001"])["shots"]
    assert stored["generation"]["prompt"] == "New prompt text"
    assert stored["generation"]["negativePrompt"] == generation["negativePrompt"]
    assert stored["generation"]["parameters"] == {"steps": 25, "cfgScale": 8, "width": 1024, "height": 768}
    projects.assert_only_edited(before, first_sequence(project).read_text(), {shot["id"]: updates})
    assert len(shotline.ok("sequence:get-all", [str(project)])["sequences"]) == 3
