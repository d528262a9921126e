"""The same edit from every kind of client: each gets the shot, and the file is the same byte for byte."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import grpc.aio
import pytest
from google.protobuf import json_format
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.sequence_file.v1 import sequence_file_service_pb2_grpc as files_grpc
from shotline.studio.v1 import studio_service_pb2 as studio
from shotline.studio.v1 import studio_service_pb2_grpc as studio_grpc

from tests.e2e import projects
from tests.e2e.conftest import REPOSITORY, Shotline
from tests.e2e.ipc import Envelope

NODE = Path(__file__).parent / "node"
SHOT = "crossing-1-2"
BUF_PROTOCOL = ("--protocol", "grpc", "--http2-prior-knowledge")
UPDATES: Envelope = {"generation": {"prompt": 'Küstennebel, the boat is "late"'}}

# Makes the edit of SHOT in sequence 001 and gives the shot that was answered.
Client = Callable[[Shotline, Path], Envelope]


def run(command: list[str], text: str = "", folder: Path | None = None, timeout: float = 30) -> str:
    """What a program answers on standard output."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd=folder, timeout=timeout)
    assert done.returncode == 0, (
        f"{command[0]} exited with {done.returncode}: {done.stderr[-2000:]}{done.stdout[-2000:]}"
    )
    return done.stdout


def program(name: str) -> str:
    """The path of a program that the test needs: beside the interpreter, else on PATH."""
    beside = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    found = shutil.which(name, path=beside)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def target(project: Path) -> Envelope:
    return {"sequence_shot": {"project_path": str(project), "sequence_id": "001", "shot_id": SHOT}}


def document(shot: Envelope) -> Envelope:
    """The shot of an answer in the contract's JSON form."""
    found: Envelope = json.loads(shot["documentJson"] if "documentJson" in shot else shot["document_json"])
    return found


def curl(shotline: Shotline, project: Path) -> Envelope:
    url, token = shotline.where()
    body = json.dumps({"projectPath": str(project), "sequenceId": "001", "shotId": SHOT, "updates": UPDATES})
    command = [program("curl"), "--silent", "--show-error", "--fail-with-body", f"{url}/ipc/sequence:update-shot"]
    headers = ["-H", f"authorization: Bearer {token}", "-H", "content-type: application/json"]
    envelope = json.loads(run([*command, *headers, "--data-binary", "@-"], body))
    assert envelope["success"] is True
    shot: Envelope = envelope["shot"]
    return shot


def buf_curl(shotline: Shotline, project: Path) -> Envelope:
    """No contract at hand: buf asks the gateway's reflection for it."""
    request = {"target": target(project), "updates_json": json.dumps(UPDATES)}
    return document(call_by_buf(shotline, "shotline.studio.v1.StudioService/UpdateShot", request))


def buf_curl_of_a_forwarded_service(shotline: Shotline, project: Path) -> Envelope:
    """The sequence files' own contract, at the gateway's address."""
    request = {**target(project)["sequence_shot"], "updates_json": json.dumps(UPDATES)}
    return document(call_by_buf(shotline, "shotline.sequence_file.v1.SequenceFileService/UpdateShot", request))


def grpc_js(shotline: Shotline, project: Path) -> Envelope:
    return document(call_from_node(shotline, {"target": target(project), "updates_json": json.dumps(UPDATES)}))


def python_stub(shotline: Shotline, project: Path) -> Envelope:
    request = studio.UpdateShotRequest(
        target=studio.ShotTarget(sequence_shot=studio.SequenceShot(**target(project)["sequence_shot"])),
        updates_json=json.dumps(UPDATES),
    )

    async def update() -> Envelope:
        async with grpc.aio.insecure_channel(shotline.facts["grpc"]) as channel:
            answer = await studio_grpc.StudioServiceStub(channel).UpdateShot(request, metadata=authorization(shotline))
        return document({"document_json": answer.document_json})

    return asyncio.run(update())


def python_stub_of_the_service_itself(shotline: Shotline, project: Path) -> Envelope:
    """Past the gateway: the sequence-file service's own port."""
    request = files.UpdateShotRequest(**target(project)["sequence_shot"], updates_json=json.dumps(UPDATES))

    async def update() -> Envelope:
        async with grpc.aio.insecure_channel(shotline.facts["sequence_file"]) as channel:
            service = files_grpc.SequenceFileServiceStub(channel)
            answer = await service.UpdateShot(request, metadata=authorization(shotline))
        return document({"document_json": answer.document_json})

    return asyncio.run(update())


def connect_json(shotline: Shotline, project: Path) -> Envelope:
    """Connect's plain JSON over POST, with nothing but the standard library."""
    url, token = shotline.where()
    request = urllib.request.Request(  # the URL is the server's that we started
        f"{url}/shotline.studio.v1.StudioService/UpdateShot",
        json.dumps({"target": target(project), "updatesJson": json.dumps(UPDATES)}).encode(),
        {"authorization": f"Bearer {token}", "content-type": "application/json", "connect-protocol-version": "1"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return document(json.load(response))


CLIENTS: dict[str, Client] = {
    "curl": curl,
    "buf curl through reflection": buf_curl,
    "buf curl of a forwarded service": buf_curl_of_a_forwarded_service,
    "grpc-js": grpc_js,
    "a Python stub": python_stub,
    "a Python stub of the service itself": python_stub_of_the_service_itself,
    "Connect JSON": connect_json,
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
def test_the_same_edit(client: Client, shotline: Shotline, project: Path) -> None:
    path = project / "sequences" / "sequence_001.json"
    before = path.read_text()
    answered = client(shotline, project)
    stored = next(each for each in json.loads(path.read_text())["shots"] if each["id"] == SHOT)
    assert answered == stored
    assert stored["generation"]["prompt"] == UPDATES["generation"]["prompt"]
    assert {"model", "parameters", "negativePrompt"} <= stored["generation"].keys()
    projects.assert_only_edited(before, path.read_text(), {SHOT: UPDATES})


def test_grpc_js_gets_the_code_and_words_of_an_error(shotline: Shotline, project: Path) -> None:
    wrong = {"sequence_shot": {**target(project)["sequence_shot"], "shot_id": "nobody"}}
    error = call_from_node(shotline, {"target": wrong, "updates_json": "{}"})
    assert error["code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert "nobody" in error["details"]


async def test_no_client_gets_in_without_the_token(shotline: Shotline, project: Path) -> None:
    before = (project / "sequences" / "sequence_001.json").read_bytes()
    request = {"target": target(project), "updates_json": json.dumps(UPDATES)}
    for token in ("wrong", ""):
        headers = {"authorization": f"Bearer {token}"} if token else {"authorization": ""}
        status, envelope = shotline.ipc("sequence:update-shot", [str(project), "001", SHOT, UPDATES], **headers)
        assert (status, envelope["reason"]) == (401, "TOKEN_INVALID")
        async with grpc.aio.insecure_channel(shotline.facts["grpc"]) as channel:
            update = studio_grpc.StudioServiceStub(channel).UpdateShot
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await update(
                    json_format.ParseDict(request, studio.UpdateShotRequest()), metadata=tuple(headers.items())
                )
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    # Reflection needs it, too: without it buf learns of no service.
    method = f"http://{shotline.facts['grpc']}/shotline.studio.v1.StudioService/UpdateShot"
    command = [program("buf"), "curl", *BUF_PROTOCOL, "-d", "{}", method]
    blind = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert blind.returncode != 0
    assert "failed to find service" in blind.stderr
    assert (project / "sequences" / "sequence_001.json").read_bytes() == before


def call_by_buf(shotline: Shotline, method: str, request: Envelope) -> Envelope:
    token = f"authorization: Bearer {shotline.facts['token']}"
    command = [program("buf"), "curl", *BUF_PROTOCOL, "--reflect-header", token, "-H", token, "-d", json.dumps(request)]
    answer: Envelope = json.loads(run([*command, f"http://{shotline.facts['grpc']}/{method}"]))
    return answer


def call_from_node(shotline: Shotline, request: Envelope) -> Envelope:
    node = program("node")
    install_node_packages()
    job = {
        "protos": str(REPOSITORY / "protos"),
        "address": shotline.facts["grpc"],
        "token": shotline.facts["token"],
        "method": "UpdateShot",
        "request": request,
    }
    answer: Envelope = json.loads(run([node, str(NODE / "grpc_client.js")], json.dumps(job)))
    return answer


def install_node_packages() -> None:
    """`npm ci`, once for each state of the lock file: npm leaves a list of what it installed."""
    installed, wanted = NODE / "node_modules" / ".package-lock.json", NODE / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= wanted.stat().st_mtime:
        return
    run([program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder=NODE, timeout=100)


def authorization(shotline: Shotline) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {shotline.facts['token']}"),)
