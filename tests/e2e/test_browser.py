"""A page in a real browser: it edits by gRPC-Web from another origin, and sees the edits of others as they happen."""

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from shotline.studio.v1 import studio_service_pb2

from tests.e2e import projects
from tests.e2e.conftest import Shotline
from tests.e2e.test_clients import NODE, UPDATES, install_node_packages, program, run

SHOT = "crossing-1-2"
INDEX = """<!doctype html>
<meta charset="utf-8">
<title>Shots</title>
<link rel="icon" href="data:,">
<ul id="changes"></ul>
<script src="page.js"></script>
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of the page: a server of its own, as a developer's is."""
    folder = tmp_path_factory.mktemp("site")
    node = program("node")
    program("chromium")
    install_node_packages()
    bundler = [node, str(NODE / "node_modules" / "esbuild" / "bin" / "esbuild"), str(NODE / "page.js")]
    run([*bundler, "--bundle", "--format=iife", "--log-level=error", f"--outfile={folder / 'page.js'}"])
    (folder / "index.html").write_text(INDEX)
    (folder / "contracts").write_bytes(contracts().SerializeToString())
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *given: Files(*given, directory=str(folder))
    ) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def contracts() -> FileDescriptorSet:
    """What generated code would hold."""
    files: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for dependency in file.dependencies:
            add(dependency)
        files[file.name] = file

    add(studio_service_pb2.DESCRIPTOR)
    found = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(found.file.add())
    return found


@pytest.fixture(scope="module")
def shotline(site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shotline]:
    """A Shotline that lets the page call."""
    folder = tmp_path_factory.mktemp("shotline")
    (folder / "films").mkdir()
    shotline = Shotline(folder / "films", folder / "data", "--allow-origin", site)
    try:
        shotline.start()
        yield shotline
    finally:
        shotline.end()


class Page:
    """The page in a headless browser."""

    def __init__(self, url: str) -> None:
        job = json.dumps({"page": url, "chromium": program("chromium")})
        command = [program("node"), str(NODE / "browser.js"), job]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def do(self, method: str, *arguments: object) -> Any:
        """What a method of the page's `window.shotline` gives."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([method, *arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the browser ended with {self._process.wait(10)}"
        return json.loads(line)

    def close(self) -> None:
        with self._process as process:
            assert process.stdin
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@pytest.fixture
def page(site: str) -> Iterator[Page]:
    page = Page(f"{site}/index.html")
    yield page
    page.close()


def where(shotline: Shotline) -> dict[str, str]:
    url, token = shotline.where()
    return {"url": url, "token": token}


def target(project: Path) -> dict[str, object]:
    place = {"projectPath": str(project), "sequenceId": "001", "shotId": SHOT}
    return {"target": {"case": "sequenceShot", "value": place}}


def test_a_page_edits_a_shot(page: Page, shotline: Shotline, project: Path) -> None:
    file = project / "sequences" / "sequence_001.json"
    before = file.read_text()
    answer = page.do("update", where(shotline), target(project), UPDATES)
    stored = next(each for each in json.loads(file.read_text())["shots"] if each["id"] == SHOT)
    assert answer == {"shot": stored}
    projects.assert_only_edited(before, file.read_text(), {SHOT: UPDATES})


def test_a_page_gets_the_code_and_words_of_an_error(page: Page, shotline: Shotline, project: Path) -> None:
    place = {"projectPath": str(project), "sequenceId": "001", "shotId": "nobody"}
    wrong = {"target": {"case": "sequenceShot", "value": place}}
    error = page.do("update", where(shotline), wrong, UPDATES)["error"]
    assert error["code"] == 5
    assert "nobody" in error["message"]


def test_a_page_sees_the_edits_of_others_as_they_happen(page: Page, shotline: Shotline, project: Path) -> None:
    """Another client's, another program's and its own."""
    begun = page.do("watch", where(shotline), str(project))["revision"]
    shotline.ok("sequence:update-shot", [str(project), "001", "crossing-1-1", {"notes": "from an editor"}])
    (first,) = page.do("changes", 1)
    assert first.startswith(f"{begun + 1} ")
    assert first.endswith("crossing-1-1: notes")
    by_hand = project / "sequences" / "sequence_002.json"
    by_hand.write_text(by_hand.read_text().replace("Sequence 2", "By hand"))
    second = page.do("changes", 2)[1]
    assert second.startswith(f"{begun + 2}  ")  # no client
    page.do("update", where(shotline), target(project), UPDATES)
    third = page.do("changes", 3)[2]
    assert third == f"{begun + 3} a page {SHOT}: generation.prompt"


def test_a_page_of_another_origin_is_refused(shotline: Shotline, site: str, project: Path) -> None:
    """The same page by its other name: it is not on the list."""
    page = Page(f"{site.replace('127.0.0.1', 'localhost')}/index.html")
    try:
        error = page.do("update", where(shotline), target(project), UPDATES)["error"]
    finally:
        page.close()
    assert "fetch" in error["message"].lower()
    assert '"boat is' not in (project / "sequences" / "sequence_001.json").read_text()
