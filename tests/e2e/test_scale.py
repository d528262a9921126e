"""A project of a long film, and a whole film in one file: everything works there, and memory has a limit."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio
import pytest
from shotline.sequence_file.v1 import sequence_file_service_pb2 as pb
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as pb_grpc

from tests.e2e import projects
from tests.e2e.conftest import REPOSITORY, Shotline
from tests.e2e.ipc import Envelope
from tests.postgres import without_settings

SHOTS = 500  # of each sequence of a film
LIMIT = 16  # MiB of documents that the server under test may keep
TOKEN = "a-token-for-tests-of-scale"
_ANY_SIZE = (("grpc.max_receive_message_length", -1),)

CREATED, UPDATED, DELETED, MOVED = (
    pb.CHANGE_KIND_CREATED,
    pb.CHANGE_KIND_UPDATED,
    pb.CHANGE_KIND_DELETED,
    pb.CHANGE_KIND_MOVED,
)


def make_film(folder: Path, sequences: int) -> Path:
    """A project whose sequences play in the reverse order of their files' names."""
    (folder / "sequences").mkdir(parents=True)
    (folder / "project.json").write_text("{}")
    text = projects.stringify(projects.sequence("@@@", 0, "@@@", SHOTS))
    for number in range(1, sequences + 1):
        own = text.replace("@@@", f"{number:03d}").replace('"order": 0', f'"order": {sequences - number}', 1)
        file_of(folder, f"{number:03d}").write_text(own, encoding="utf-8")
    return folder


def file_of(project: Path, sequence_id: str) -> Path:
    return project / "sequences" / f"sequence_{sequence_id}.json"


@pytest.fixture(scope="module", params=[200, pytest.param(600, marks=pytest.mark.long)])
def film(shotline: Shotline, request: pytest.FixtureRequest) -> Path:
    """A project of 200 sequences with 500 shots each: 52 MB; in the long form three times as many."""
    return make_film(shotline.root / f"film-{request.param}", request.param)


async def test_a_long_film_is_listed_whole_in_pages_and_in_playing_order(shotline: Shotline, film: Path) -> None:
    async with client(shotline.facts["grpc"]) as service:
        pages = [page async for page in pages_of(service, film, shotline.facts["token"])]
    assert len(pages) > 10
    listed = [each for page in pages for each in page]
    assert [each.id for each in listed] == sorted((each.id for each in listed), reverse=True)
    assert len(listed) == len(os.listdir(film / "sequences"))
    for each in listed:
        assert each.document_json.encode() == (film / each.file).read_bytes(), each.file


@dataclass
class Edited:
    """What a few people do all over a film, kept beside it as plain lists."""

    shotline: Shotline
    project: Path
    order: dict[str, list[str]] = field(default_factory=dict)  # shot ids by sequence, as they are to be
    told: Counter[tuple[str, str, int]] = field(default_factory=Counter)  # sequence, shot and kind that events tell of
    changes: int = 0

    def target(self, sequence_id: str, shot_id: str) -> Envelope:
        self.order.setdefault(sequence_id, [f"{sequence_id}-{number}" for number in range(1, SHOTS + 1)])
        return {"projectPath": str(self.project), "sequenceId": sequence_id, "shotId": shot_id}

    def update(self, sequence_id: str, shot_id: str) -> None:
        self.shotline.ok("shot:update", [self.target(sequence_id, shot_id), {"note": "seen"}])
        self.expect((sequence_id, shot_id, UPDATED))

    def create(self, sequence_id: str, shot_id: str, index: int) -> None:
        self.target(sequence_id, shot_id)
        shot = {"id": shot_id, "timing": {"duration": 5}}
        self.shotline.ok("shot:create", [str(self.project), sequence_id, shot, {"index": index}])
        self.order[sequence_id].insert(index, shot_id)
        self.expect((sequence_id, shot_id, CREATED))

    def delete(self, sequence_id: str, shot_id: str) -> None:
        self.shotline.ok("shot:delete", [self.target(sequence_id, shot_id)])
        self.order[sequence_id].remove(shot_id)
        self.expect((sequence_id, shot_id, DELETED))

    def move(self, sequence_id: str, shot_id: str, into: str, index: int) -> None:
        self.target(into, shot_id)
        place = {"sequenceId": into, "index": index}
        self.shotline.ok("shot:move", [self.target(sequence_id, shot_id), place])
        self.order[sequence_id].remove(shot_id)
        self.order[into].insert(index, shot_id)
        if into == sequence_id:
            self.expect((into, shot_id, MOVED))
        else:
            self.expect((sequence_id, shot_id, DELETED), (into, shot_id, CREATED))

    def edit_by_hand(self, sequence_id: str, shot_id: str) -> None:
        self.target(sequence_id, shot_id)
        file = file_of(self.project, sequence_id)
        document = json.loads(file.read_text(encoding="utf-8"))
        next(each for each in document["shots"] if each["id"] == shot_id)["note"] = "by hand"
        beside = file.with_suffix(".by-hand")
        beside.write_text(projects.stringify(document), encoding="utf-8")
        beside.rename(file)
        self.expect((sequence_id, shot_id, UPDATED))

    def expect(self, *told: tuple[str, str, int]) -> None:
        self.told.update(told)
        self.changes += 1


async def test_changes_all_over_a_long_film_are_made_and_told(shotline: Shotline, film: Path) -> None:
    edited = Edited(shotline, film)
    request = pb.WatchProjectRequest(project_path=str(film), progress_seconds=60)
    async with client(shotline.facts["grpc"]) as service:
        stream = service.WatchProject(request, metadata=bearer(shotline.facts["token"]))
        begun = (await stream.read()).progress.revision
        await asyncio.to_thread(edit_all_over, edited)
        async with asyncio.timeout(60):
            changes = [(await stream.read()).change for _ in range(edited.changes)]
    assert [each.revision for each in changes] == [begun + 1 + number for number in range(edited.changes)]
    told = Counter(
        (file.sequence_id, shot.id, shot.kind) for each in changes for file in each.files for shot in file.shots
    )
    assert told >= edited.told
    # Besides, they may tell of shots that only have another number now.
    assert {kind for _, _, kind in told - edited.told} <= {UPDATED}
    assert all(file.complete for each in changes for file in each.files)
    for sequence_id, order in edited.order.items():
        document = json.loads(file_of(film, sequence_id).read_text(encoding="utf-8"))
        assert [each["id"] for each in document["shots"]] == order
        assert [each["number"] for each in document["shots"]] == list(range(1, len(order) + 1))
        assert {each["sequencePlanId"] for each in document["shots"]} == {sequence_id}
        assert document["duration"] == 5 * len(order)


def edit_all_over(edited: Edited) -> None:
    for first in range(10, 200, 40):
        here, there, elsewhere = (f"{first + more:03d}" for more in range(3))
        edited.update(here, f"{here}-250")
        edited.create(here, f"new-{here}", 250)
        edited.move(here, f"{here}-1", here, 499)
        edited.delete(here, f"{here}-2")
        edited.move(here, f"{here}-3", there, 100)
        edited.edit_by_hand(elsewhere, f"{elsewhere}-500")


@pytest.mark.parametrize("shots", [8_000, *(pytest.param(many, marks=pytest.mark.long) for many in (20_000, 40_000))])
def test_one_file_can_hold_a_whole_film(shotline: Shotline, folder: Path, shots: int) -> None:
    before = projects.sequence("001", 1, "shot", shots)
    project = projects.write(folder, {"sequence_001.json": before})
    expected = json.loads(projects.stringify(before))
    listed = expected["shots"]

    def target(shot_id: str) -> Envelope:
        return {"projectPath": str(project), "sequenceId": "001", "shotId": shot_id}

    def differences(since: int) -> Envelope:
        return shotline.ok("sequence:diff", [str(project), "001", since])

    middle = f"shot-{shots // 2}"
    updated = shotline.ok("shot:update", [target(middle), {"type": "close"}])
    listed[shots // 2 - 1]["type"] = "close"
    assert_is(project, expected)

    # Near the end, so that few shots get another number.
    end = {"id": "end", "type": "black", "timing": {"duration": 2.5}}
    shotline.ok("shot:create", [str(project), "001", end, {"index": shots - 1}])
    listed.insert(shots - 1, {"id": "end", "type": "black", "timing": {"duration": 2.5}})
    assert_is(project, renumbered(expected))
    found = differences(updated["revision"])
    assert not found["truncated"]
    assert [(each["shotId"], each["pointer"], each.get("afterIndex")) for each in found["differences"]] == [
        ("", "/duration", None),
        ("", "/metadata/modified_at", None),
        ("end", "", shots - 1),
        (f"shot-{shots}", "/number", None),
    ]

    shotline.ok("shot:move", [target(middle), {"index": 0}])
    listed.insert(0, listed.pop(shots // 2 - 1))
    assert_is(project, renumbered(expected))
    found = differences(updated["revision"])
    assert {"shotId": middle, "beforeIndex": shots // 2 - 1, "afterIndex": 0}.items() <= moved(found, middle).items()

    shotline.ok("shot:delete", [target("shot-1")])
    listed.pop(1)
    assert_is(project, renumbered(expected))

    # Of one shot, and then of all.
    shotline.ok("sequence:restore", [str(project), "001", updated["revision"], {"shotId": "shot-1"}])
    assert "shot-1" in shot_ids(project)
    shotline.ok("sequence:restore", [str(project), "001", updated["revision"]])
    after_update = json.loads(projects.stringify(before))
    after_update["shots"][shots // 2 - 1]["type"] = "close"
    assert_is(project, after_update)
    assert [each["pointer"] for each in differences(updated["revision"])["differences"]] == ["/metadata/modified_at"]


def renumbered(document: Envelope) -> Envelope:
    """With the numbers, the plan and the total that follow from its shots."""
    for number, shot in enumerate(document["shots"], 1):
        shot |= {"sequencePlanId": document["id"], "number": number}
    document["duration"] = sum(shot["timing"]["duration"] for shot in document["shots"])
    return document


def moved(found: Envelope, shot_id: str) -> Envelope:
    """What a diff says of where a shot stands."""
    return next(each for each in found["differences"] if each["shotId"] == shot_id and "afterIndex" in each)


def shot_ids(project: Path) -> list[str]:
    return [each["id"] for each in json.loads(file_of(project, "001").read_text(encoding="utf-8"))["shots"]]


def assert_is(project: Path, expected: Envelope) -> None:
    """The file is what is expected but for its time of change, and written as before."""
    text = file_of(project, "001").read_text(encoding="utf-8")
    found: Envelope = json.loads(text)
    assert text == projects.stringify(found)
    for member in expected.keys() - {"metadata", "shots"}:
        assert found[member] == expected[member], member
    # Shot by shot: to tell how two lists of a film's size differ takes minutes.
    assert len(found["shots"]) == len(expected["shots"])
    for one, other in zip(found["shots"], expected["shots"], strict=True):
        assert one == other


@pytest.mark.parametrize(
    ("films", "sequences", "rounds"),
    [(10, 60, 1), pytest.param(8, 200, 3, marks=pytest.mark.long)],
)
async def test_the_limit_of_the_cache_bounds_the_memory_of_a_server(
    tmp_path: Path, films: int, sequences: int, rounds: int
) -> None:
    root = tmp_path / "films"
    first = make_film(root / "film-0", sequences)
    size = sum(each.stat().st_size for each in (first / "sequences").iterdir()) / 2**20
    for number in range(1, films):
        # One copy on the disk is enough, but each film is a project of its own for the server.
        shutil.copytree(first, root / f"film-{number}", copy_function=os.link)
    async with served(tmp_path, root) as (service, process):
        before = peak_memory(process)
        for number in range(rounds * films):
            project = str(root / f"film-{number % films}")
            request = pb.ListSequencesRequest(project_path=project, view=pb.SEQUENCE_VIEW_BASIC)
            listed = await service.ListSequences(request, metadata=bearer(TOKEN))
            assert len(listed.sequences) == sequences
            change = json.dumps({"note": number})
            edit = pb.UpdateShotRequest(project_path=project, sequence_id="050", shot_id="050-250", updates_json=change)
            assert (await service.UpdateShot(edit, metadata=bearer(TOKEN))).revision
        grown = peak_memory(process) - before
    # Parsed documents may take three times their files, and two calls may hold the whole of a project for a moment.
    allowed = 3 * LIMIT + 2 * size
    assert allowed < 0.7 * films * size, "an unlimited cache would pass, too"
    assert grown < allowed, f"grew by {grown:.0f} MiB over {films} films of {size:.0f} MiB each"


@asynccontextmanager
async def served(folder: Path, root: Path) -> AsyncIterator[tuple[pb_grpc.SequenceFileServiceStub, int]]:
    """A process that serves the sequence files with a limited cache: a client of it, and its pid."""
    token = folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = without_settings()
    environment |= {
        "SHOTLINE_GRPC_ADDRESS": address,
        "SHOTLINE_ROOTS": str(root),
        "SHOTLINE_TOKEN_FILE": str(token),
        "SHOTLINE_LOG_FILE": str(folder / "log"),
        "SHOTLINE_CACHE_MIB": str(LIMIT),
        "SHOTLINE_SETTLE": "0",
    }
    command = [sys.executable, "-m", "services.sequence_file.main"]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment)
    try:
        async with client(address) as service:
            request = pb.ListTrashRequest(project_path=str(root / "film-0"))
            await service.ListTrash(request, metadata=bearer(TOKEN), wait_for_ready=True, timeout=30)
            yield service, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def peak_memory(pid: int) -> float:
    """The most that a process has had in memory so far, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


@asynccontextmanager
async def client(address: str) -> AsyncIterator[pb_grpc.SequenceFileServiceStub]:
    async with grpc.aio.insecure_channel(address, options=_ANY_SIZE) as channel:
        yield pb_grpc.SequenceFileServiceStub(channel)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def pages_of(
    service: pb_grpc.SequenceFileServiceStub, project: Path, token: str
) -> AsyncIterator[Sequence[pb.Sequence]]:
    """All pages of a project's sequences."""
    request = pb.ListSequencesRequest(project_path=str(project))
    while True:
        page = await service.ListSequences(request, metadata=bearer(token))
        assert not page.unreachable
        yield page.sequences
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
