"""`make demo`: an editor at work against a real start, told step by step; fails when anything is not as promised.

    python -m services.local.demo

Everything happens in a temporary folder. One client is what an Electron main process would be (JSON over POST
/ipc); the other, in `demo_graph.py`, is a generator script.
"""

import difflib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway.cli.sample import write_sample
from services.local import demo_graph
from services.local.cluster import temporary_home
from services.local.story import Broken, Story

_SECRET = ("token", "asset_graph_database_url")
_PATIENCE = 30.0  # seconds for any one step
_COPIED = 1.0  # seconds after a write by which what it wrote has its copy in the history
_PROMPT = "A ferry crosses a black bay under a green storm sky"

Json = dict[str, object]


class Backend:
    """A `shotline up` of our own."""

    def __init__(self, root: Path, data: Path, home: Path) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "services.local.command", "up"),
                *("--json", "--ports", "auto", "--root", str(root), "--data", str(data)),
            ],
            env={**_without_settings(), "SHOTLINE_POSTGRES_HOME": str(home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Broken(f"shotline up ended with {self._process.wait(_PATIENCE)} and said nothing")
        self.facts: Json = json.loads(line)

    @property
    def pid(self) -> int:
        """The process that serves everything."""
        return self._process.pid

    def end(self, number: int) -> int:
        """Send a signal and wait. Gives the exit code. Does nothing to a process that has ended."""
        self._process.send_signal(number)
        code = self._process.wait(_PATIENCE)
        if self._process.stdout:
            self._process.stdout.close()
        return code


def _without_settings() -> dict[str, str]:
    """Nothing of the user's own Shotline, whose database for one, is for the demo."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SHOTLINE_")}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP."""

    status: int
    envelope: Json

    def __getitem__(self, name: str) -> Json:
        """A member that is an object."""
        value = self.envelope.get(name)
        if not isinstance(value, dict):
            raise Broken(f"the answer has no {name}: {self.envelope}")
        return value


class Editor:
    """An Electron-style client: `invoke` is what its renderer calls."""

    def __init__(self, story: Story, facts: Mapping[str, object], project: Path) -> None:
        self._story = story
        self._project = str(project)
        self._http = http.client.HTTPConnection(urlsplit(str(facts["http"])).netloc, timeout=_PATIENCE)
        self._token = str(facts["token"])

    def invoke(self, channel: str, *arguments: object) -> Answer:
        """Call a channel with positional arguments, and show the call."""
        texts = [json.dumps(argument, ensure_ascii=False) for argument in arguments]
        self._story.shows(f"→ POST /ipc/{channel}", "bold")
        # The folder is the same long path in every call.
        shown = ",\n".join(texts).replace(self._project, f"…/{Path(self._project).name}")
        self._story.shows(textwrap.indent(shown, "    "), "dim")
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/json"}
        self._http.request("POST", f"/ipc/{channel}", f"[{','.join(texts)}]".encode(), headers)
        response = self._http.getresponse()
        answer = Answer(response.status, json.loads(response.read()))
        style = "blue" if answer.envelope["success"] else "yellow"
        self._story.shows(f"← {answer.status} {response.reason}", style)
        return answer

    def close(self) -> None:
        """Hang up."""
        self._http.close()


def tell(story: Story, folder: Path, home: Path) -> None:
    """The whole story. Raises Broken at the first promise that is not kept."""
    project = folder / "harbour-lights"
    file = project / "sequences" / "sequence_001.json"
    sequences, shots = write_sample(project)
    story.step("A project", f"A film in a folder, as the editor keeps it: {sequences} sequences, {shots} shots.")
    story.shows("\n".join(sorted(str(path.relative_to(folder)) for path in project.rglob("*.json"))))

    story.step("The backend starts", "`shotline up --json` prints one line when all is ready.")
    backend = Backend(folder, folder / "data", home)
    try:
        story.shows(json.dumps(backend.facts | dict.fromkeys(_SECRET, "…"), indent=2, ensure_ascii=False))
        story.promise(backend.facts.get("ready") is True, "ready")
        editor = Editor(story, backend.facts, project)
        _edits(story, editor, project, file)
        _looks_around(story, editor, project)
        _two_editors(story, editor, project)
        _another_hand(story, editor, project)
        editor.close()
        film = demo_graph.tell(story, backend.facts)

        edited = file.read_bytes()
        told = f"kill -9 of process {backend.pid}, in the middle of its life. Then it is started again."
        story.step("The backend is killed", told)
        backend.end(signal.SIGKILL)
        backend = Backend(folder, folder / "data", home)
        story.promise(file.read_bytes() == edited, "the file is byte for byte what was acknowledged")
        editor = Editor(story, backend.facts, project)
        answer = editor.invoke("shot:get", {"projectPath": str(project), "sequenceId": "001", "shotId": "arrival-1"})
        story.shows(_essence(answer["shot"]))
        story.promise(_generation(answer["shot"])["prompt"] == _PROMPT, "the edit is still there")
        editor.close()
        demo_graph.tell_after_crash(story, backend.facts, film)

        story.step("The end", "SIGTERM lets calls in flight finish.")
        story.promise(backend.end(signal.SIGTERM) == 0, "exit code 0")
        story.promise(not (folder / "data" / "connection.json").exists(), "its token and address are gone")
    finally:
        backend.end(signal.SIGKILL)


def _edits(story: Story, editor: Editor, project: Path, file: Path) -> None:
    story.step(
        "The editor changes a prompt",
        "It sends {generation: {prompt}} and nothing else. A shallow merge would throw away the model, the parameters "
        "and the negative prompt that stand beside it.",
    )
    before = file.read_text()
    old = _generation(json.loads(before)["shots"][0])
    answer = editor.invoke(
        "sequence:update-shot", str(project), "001", "arrival-1", {"generation": {"prompt": _PROMPT}}
    )
    new = _generation(answer["shot"])
    story.shows(json.dumps({"generation": new}, indent=2, ensure_ascii=False))
    story.promise(answer.status == 200 and new["prompt"] == _PROMPT, "the answer is the shot with its new prompt")
    for name, said in (("model", "is"), ("parameters", "are"), ("negativePrompt", "is")):
        story.promise(new.get(name) == old[name], f"{name} {said} still there")
    after = file.read_text()
    story.shows("\nthe file, before and after:")
    changed = [
        line
        for line in difflib.unified_diff(before.splitlines(True), after.splitlines(True), n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]
    for line in changed:
        story.shows(line.rstrip("\n"), "red" if line.startswith("-") else "green")
    untouched = {line.split(":")[0].strip("-+ ") for line in changed} == {'"prompt"', '"modified_at"'}
    story.promise(untouched, "every other byte of the file is as it was")


def _looks_around(story: Story, editor: Editor, project: Path) -> None:
    story.step("It reads the sequence back", "Ids are forgiving where only one file can be meant: 1 is 001.")
    answer = editor.invoke("sequence:get-shots", str(project), 1)
    shots = _objects(answer, "shots")
    for shot in shots:
        story.shows(_essence(shot))
    story.promise(_generation(shots[0])["prompt"] == _PROMPT, "three shots, the first with the new prompt")

    story.step("It lists all sequences", "Broken files would be named under `unreachable`, never left out.")
    answer = editor.invoke("sequence:get-all", str(project))
    for sequence in _objects(answer, "sequences"):
        story.shows(f"{sequence['id']}  {sequence['name']:<12} {sequence['description']}")
    names = [sequence["name"] for sequence in _objects(answer, "sequences")]
    story.promise(names == ["Arrival", "The Letter", "First Light"], "all three, in playing order")
    story.promise(answer.envelope["unreachable"] == [], "none is unreachable")

    story.step("It asks for a shot that is not there", "An error says what is wrong, for people and for programs.")
    answer = editor.invoke("sequence:update-shot", str(project), "001", "arrival-9", {"type": "wide"})
    story.shows(json.dumps(answer.envelope, indent=2))
    named = (answer.status, answer.envelope["code"], answer.envelope["reason"])
    story.promise(named == (404, "NOT_FOUND", "SHOT_NOT_FOUND"), "404, NOT_FOUND, SHOT_NOT_FOUND")
    story.promise("arrival-9" in str(answer.envelope["error"]), "the message names the shot")


def _two_editors(story: Story, editor: Editor, project: Path) -> None:
    story.step(
        "Two people change one shot",
        "Both have read it and send the etag of what they saw. The second must not undo the first unseen.",
    )
    place = {"projectPath": str(project), "sequenceId": "002", "shotId": "letter-2"}
    etag = editor.invoke("shot:get", place).envelope["etag"]
    first = editor.invoke("shot:update", place, {"notes": "brass, not copper"}, {"etag": etag})
    story.promise(first.status == 200, "the first is saved")
    second = editor.invoke("shot:update", place, {"notes": "make it copper"}, {"etag": etag})
    details = second["details"]
    story.shows(f"{second.envelope['reason']}: {second.envelope['error']}", "yellow")
    current = details.get("current")
    story.promise(second.status == 409, "the second is told: 409 ETAG_MISMATCH")
    seen = isinstance(current, dict) and current.get("notes") == "brass, not copper"
    story.promise(seen, "and is shown what is there now")
    story.shows("The second person reads it, agrees, adds something and sends the etag that came with the error.")
    agreed = editor.invoke(
        "shot:update", place, {"notes": "brass, with a scratch"}, {"etag": details.get("currentEtag")}
    )
    story.promise(agreed.status == 200, "saved, and nothing was lost")


def _another_hand(story: Story, editor: Editor, project: Path) -> None:
    story.step(
        "Somebody edits the file by hand",
        "First the editor changes a shot. A moment later a text editor saves the same file, with another shot changed.",
    )
    place = {"projectPath": str(project), "sequenceId": "003", "shotId": "light-2"}
    edited = editor.invoke("shot:update", place, {"notes": "slow motion"})
    time.sleep(_COPIED)
    file = project / "sequences" / "sequence_003.json"
    by_hand = file.read_text().replace("thermos flasks", "an old gramophone")
    replacement = file.with_name("of-a-text-editor")
    replacement.write_text(by_hand)
    replacement.replace(file)
    answer = editor.invoke("shot:update", place, {"notes": "slower still"})
    now = file.read_text()
    story.promise(answer.status == 200 and "slower still" in now, "the editor goes on, and its change is in the file")
    story.promise("an old gramophone" in now, "and so is what was typed by hand")

    story.step("It looks at the history", "Each change is a revision with its author, a stranger's program included.")
    versions = _objects(editor.invoke("sequence:versions", str(project), "003"), "versions")
    kinds = []
    for version in versions:
        origin = version["origin"]
        assert isinstance(origin, dict)
        kinds.append(origin["kind"])
        story.shows(f"{version['revision']:>3}  {origin['kind']:<8} {version['summary']}")
    story.promise(kinds[:3] == ["CLIENT", "OUTSIDE", "CLIENT"], "all three changes, and who made them")

    story.step("It brings a shot back", "One shot as it was; the others keep their changes. This, too, can be undone.")
    editor.invoke("sequence:restore", str(project), "003", edited.envelope["revision"], {"shotId": "light-1"})
    now = file.read_text()
    story.promise("thermos flasks" in now and "gramophone" not in now, "the shot is as it was")
    story.promise("slower still" in now, "the other one is as it is")


def _generation(shot: object) -> Json:
    assert isinstance(shot, dict)
    generation = shot["generation"]
    assert isinstance(generation, dict)
    return generation


def _objects(answer: Answer, name: str) -> list[Json]:
    items = answer.envelope.get(name)
    if not isinstance(items, list):
        raise Broken(f"the answer has no {name}: {answer.envelope}")
    return items


def _essence(shot: Json) -> str:
    return f"{shot['id']:<10} {shot['type']:<9} {_generation(shot)['prompt']}"


def main() -> int:
    """Tell the story in a temporary folder. The exit code says whether all promises were kept."""
    story = Story()
    folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="shotline-demo-")))
    try:
        with temporary_home() as home:
            tell(story, folder, home)
    except Broken as broken:
        story.end(f"Not as promised: {broken}", "bold red")
        return 1
    finally:
        shutil.rmtree(folder)
    story.end(f"All {story.kept} promises kept; the temporary folder is gone. Your turn: shotline up", "bold green")
    return 0


if __name__ == "__main__":
    sys.exit(main())
