"""The channels of structure and history, over the whole service: in process, and behind a channel."""

import uuid
from collections.abc import AsyncIterator

import pytest

from services.runtime.logs import Log
from tests.services.gateway.conftest import Backend, Rig
from tests.services.gateway.film import FILM, FIRST, SECOND, whole_service
from tests.services.gateway.memory import MemorySequenceFiles
from tests.services.gateway.raw_http import Answer

gateway_alone = pytest.mark.parametrize("wiring", ["in process"])

A1 = {"projectPath": FILM, "sequenceId": "001", "shotId": "a1"}


@pytest.fixture
async def backend(log: Log) -> AsyncIterator[Backend]:
    whole, _ = whole_service()
    backend = Backend(MemorySequenceFiles({}), log, whole)
    await backend.start()
    yield backend
    await backend.stop()


async def call(rig: Rig, channel: str, *arguments: object, **changes: str) -> dict[str, object]:
    """The envelope of a call that succeeds."""
    answer = await rig.ipc(channel, list(arguments), **changes)
    assert answer.status == 200, answer.body
    return answer.json


async def refused(rig: Rig, channel: str, *arguments: object) -> tuple[int, str]:
    answer = await rig.ipc(channel, list(arguments))
    assert answer.json["success"] is False
    return answer.status, str(answer.json["reason"])


async def ids(rig: Rig, sequence: str) -> list[str]:
    return [shot["id"] for shot in (await call(rig, "sequence:get-shots", FILM, sequence))["shots"]]


async def test_a_sequence_is_made_changed_put_elsewhere_and_thrown_away(rig: Rig) -> None:
    made = await call(rig, "sequence:create", FILM, {"name": "Finale"})
    assert made["sequence"] == {
        "id": "003",
        "file": "sequences/sequence_003.json",
        "name": "Finale",
        "order": 3.0,
        "shotCount": 0,
    }
    assert len(made["etag"]) == 32
    changed = await call(rig, "sequence:update", FILM, "003", {"name": "The end"}, {"etag": made["etag"]})
    assert (changed["sequence"]["name"], changed["revision"]) == ("The end", made["revision"] + 1)
    assert await refused(rig, "sequence:update", FILM, "3", {"name": "x"}, {"etag": made["etag"]}) == (
        409,
        "ETAG_MISMATCH",
    )
    answer = await rig.ipc("sequence:get-all", [FILM])
    assert [one["id"] for one in answer.json["sequences"]] == ["001", "002", "003"]
    order = await call(rig, "sequence:reorder", FILM, ["003", "001", "002"])
    assert [(one["id"], one["order"], len(one["etag"])) for one in order["sequences"]] == [
        ("003", 1.0, 32),
        ("001", 2.0, 32),
        ("002", 3.0, 32),
    ]
    gone = await call(rig, "sequence:delete", FILM, "003")
    (trashed,) = (await call(rig, "sequence:trash", FILM))["sequences"]
    assert (trashed["sequenceId"], trashed["name"], trashed["revision"]) == ("003", "The end", gone["revision"])
    assert trashed["origin"]["principal"] == "tester"
    back = await call(rig, "sequence:restore", FILM, "003", gone["revision"])
    assert back["sequence"]["name"] == "The end"
    assert (await call(rig, "sequence:trash", FILM))["sequences"] == []


async def test_a_sequence_can_have_an_id_of_the_callers(rig: Rig) -> None:
    made = await call(rig, "sequence:create", FILM, {}, {"sequenceId": "storm-2"})
    assert made["sequence"]["file"] == "sequences/sequence_storm-2.json"
    assert await refused(rig, "sequence:create", FILM, {}, {"sequenceId": "storm-2"}) == (409, "SEQUENCE_EXISTS")


async def test_shots_are_made_where_the_caller_says(rig: Rig) -> None:
    last = await call(rig, "shot:create", FILM, "001", {"prompt": "fog", "n": 1.10})
    assert (last["storedIn"], last["shot"]["number"]) == ({"file": FIRST, "sequenceId": "001"}, 3)
    await call(rig, "shot:create", FILM, "001", {"id": "x"}, {"afterShotId": "a1"})
    await call(rig, "shot:create", FILM, "001", {"id": "y"}, {"index": 0})
    await call(rig, "shot:create", FILM, "001", {"id": "z"}, {"index": 10**12})
    assert await ids(rig, "001") == ["y", "a1", "x", "a2", last["shot"]["id"], "z"]
    assert await refused(rig, "shot:create", FILM, "002", {"id": "x"}) == (409, "SHOT_EXISTS")


async def test_shots_are_moved_within_and_between_sequences(rig: Rig) -> None:
    within = await call(rig, "shot:move", A1, {"afterShotId": "a2"})
    assert await ids(rig, "001") == ["a2", "a1"]
    other = await call(rig, "shot:move", A1, {"sequenceId": "002", "index": 0}, {"etag": within["etag"]})
    assert other["storedIn"] == {"file": SECOND, "sequenceId": "002"}
    assert (await ids(rig, "001"), await ids(rig, "002")) == (["a2"], ["a1", "b1"])
    assert other["revision"] == within["revision"] + 1
    assert await refused(rig, "shot:move", A1, {}) == (404, "SHOT_NOT_FOUND")


async def test_a_shot_is_deleted_and_brought_back(rig: Rig) -> None:
    before = (await call(rig, "shot:get", A1))["shot"]
    (found,) = (await call(rig, "sequence:versions", FILM, "001"))["versions"]
    assert (found["revision"], found["current"]) == (0, True)
    assert await refused(rig, "shot:delete", A1, {"etag": "0" * 32}) == (409, "ETAG_MISMATCH")
    gone = await call(rig, "shot:delete", A1)
    assert await ids(rig, "001") == ["a2"]
    back = await call(rig, "sequence:restore", FILM, "001", gone["revision"] - 1, {"shotId": "a1"})
    assert back["shot"] == before
    assert (back["storedIn"]["file"], back["revision"]) == (FIRST, gone["revision"] + 1)


async def test_the_past_of_a_file_is_listed_shown_and_compared(rig: Rig) -> None:
    changed = await call(rig, "shot:update", A1, {"prompt": "a ship"}, x_client="editor/2")
    assert changed["revision"] == 1
    listed = await call(rig, "sequence:versions", FILM, "001")
    assert listed["file"] == FIRST
    newest, oldest = listed["versions"]
    assert newest["origin"] == {"kind": "CLIENT", "principal": "tester", "client": "editor/2"} | {
        "requestId": newest["origin"]["requestId"]
    }
    assert (newest["revision"], newest["current"], oldest["revision"]) == (1, True, 0)
    assert "a1" in newest["summary"]
    assert newest["createTime"].endswith("Z")
    shown = await rig.ipc("sequence:version", [FILM, "001", 0])
    assert shown.json["version"] == oldest
    assert b'"duration": 2.50, "prompt": "a boat"' in shown.body
    compared = await call(rig, "sequence:diff", FILM, "001", 0)
    assert {"shotId": "a1", "pointer": "/prompt", "before": "a boat", "after": "a ship"} in compared["differences"]
    assert compared["truncated"] is False
    none = await call(rig, "sequence:diff", FILM, "001", 0, {"toRevision": 1, "shotId": "a2"})
    assert none["differences"] == []
    await call(rig, "shot:update", {"projectPath": FILM, "shotId": "loose"}, {"prompt": "dusk"})
    assert (await call(rig, "sequence:versions", FILM, ""))["file"] == "project.json"


async def test_versions_can_be_paged(rig: Rig) -> None:
    for n in range(4):
        await call(rig, "shot:update", A1, {"n": n})
    seen, token = [], ""
    while True:
        page = await call(rig, "sequence:versions", FILM, "001", {"pageSize": 2, "pageToken": token})
        seen += [one["revision"] for one in page["versions"]]
        if not (token := page["nextPageToken"]):
            break
        await call(rig, "shot:update", A1, {"between": len(seen)})  # what is new does not move what is old
    assert seen == [4, 3, 2, 1, 0]


async def test_many_shots_are_changed_and_each_refusal_named(rig: Rig) -> None:
    edits = [
        {"sequenceId": "001", "shotId": "a1", "updates": {"prompt": "one", "n": 1.10}},
        {"sequenceId": "001", "shotId": "nobody", "updates": {}},
        {"sequenceId": "002", "shotId": "b1", "updates": {"x": {"y": 1}}, "mode": "REPLACE_TOP_LEVEL"},
        {"shotId": "a1", "updates": {"prompt": "of the copy"}},
        {"shotId": "loose", "updates": {"prompt": "four"}},
        {"sequenceId": "001", "shotId": "a2", "updates": {"prompt": "five"}, "etag": "0" * 32},
    ]
    answer = await call(rig, "shot:update-many", FILM, edits)
    results = answer["results"]
    assert [one["success"] for one in results] == [True, False, True, False, True, False]
    assert results[0]["storedIn"] == {"file": FIRST, "sequenceId": "001"}
    assert results[4]["storedIn"] == {"file": "project.json"}
    assert [one["reason"] for one in results if not one["success"]] == [
        "SHOT_NOT_FOUND",
        "SHOT_IS_A_COPY",
        "ETAG_MISMATCH",
    ]
    assert results[5]["details"]["current"]["prompt"] == "the pier"
    assert len(results[5]["details"]["currentEtag"]) == 32
    assert answer["revision"] == 1  # of all of them


async def test_one_refusal_refuses_all_where_the_caller_says_so(rig: Rig) -> None:
    edits = [
        {"sequenceId": "001", "shotId": "a1", "updates": {"prompt": "one"}},
        {"sequenceId": "002", "shotId": "nobody", "updates": {}},
    ]
    answer = await rig.ipc("shot:update-many", [FILM, edits, {"allOrNothing": True}])
    assert (answer.status, answer.json["reason"]) == (404, "SHOT_NOT_FOUND")
    assert answer.json["details"]["edit_index"] == "1"
    assert (await call(rig, "shot:get", A1))["shot"]["prompt"] == "a boat"


async def test_a_request_id_makes_each_change_once(rig: Rig) -> None:
    changes = [
        ("sequence:create", [FILM, {"name": "Finale"}]),
        ("sequence:update", [FILM, "001", {"name": "The arrival"}]),
        ("sequence:reorder", [FILM, ["002", "001", "003"]]),
        ("shot:create", [FILM, "001", {"prompt": "fog"}]),
        ("shot:move", [A1, {"sequenceId": "002"}]),
        ("shot:update-many", [FILM, [{"sequenceId": "002", "shotId": "a1", "updates": {"n": 1}}]]),
        ("sequence:restore", [FILM, "001", 1]),
        ("shot:delete", [{**A1, "sequenceId": "002"}]),
        ("sequence:delete", [FILM, "002"]),
    ]
    await call(rig, "shot:update", A1, {"prompt": "a ship"})
    await call(rig, "shot:update", {**A1, "shotId": "a2"}, {"prompt": "the quay"})
    for channel, arguments in changes:
        options = {"requestId": str(uuid.uuid4())}
        if channel == "sequence:restore":
            continue
        first = await rig.ipc(channel, [*arguments, options])
        assert first.status == 200, (channel, first.body)
        again = await rig.ipc(channel, [*arguments, options])
        assert again.body == first.body, channel
    trash = (await call(rig, "sequence:trash", FILM))["sequences"]
    options = {"requestId": str(uuid.uuid4())}
    first = await rig.ipc("sequence:restore", [FILM, "002", trash[0]["revision"], options])
    assert (await rig.ipc("sequence:restore", [FILM, "002", trash[0]["revision"], options])).body == first.body
    other = await rig.ipc("sequence:restore", [FILM, "002", 1, options])
    assert (other.status, other.json["reason"]) == (400, "REQUEST_ID_REUSED")


async def test_a_conflict_of_a_change_carries_a_large_shot_as_well(rig: Rig) -> None:
    await call(rig, "shot:update", A1, {"text": "x" * 20_000})
    for channel, arguments in (
        ("shot:delete", [A1]),
        ("shot:move", [A1, {"sequenceId": "002"}]),
        ("sequence:restore", [FILM, "001", 0, {"shotId": "a1"}]),
    ):
        *given, options = arguments if channel == "sequence:restore" else [*arguments, {}]
        answer = await rig.ipc(channel, [*given, {**options, "etag": "0" * 32}])
        assert (answer.status, answer.json["reason"]) == (409, "ETAG_MISMATCH"), channel
        assert len(answer.json["details"]["current"]["text"]) == 20_000


@gateway_alone
@pytest.mark.parametrize(
    ("channel", "arguments", "field"),
    [
        ("sequence:create", [FILM, [1]], "document"),
        ("sequence:create", [FILM, {}, {"sequenceId": ""}], "options.sequenceId"),
        ("sequence:create", [FILM, {"shots": 1}], "document"),
        ("sequence:update", [FILM, "001", {"shots": []}], "updates"),
        ("sequence:reorder", [FILM, "001"], "sequenceIds"),
        ("sequence:reorder", [FILM, ["001", None]], "sequenceIds"),
        ("sequence:reorder", [FILM, ["001"]], "sequenceIds"),
        ("sequence:reorder", [FILM, []], "sequenceIds"),
        ("sequence:versions", [FILM, "001", {"shotId": ""}], "options.shotId"),
        ("sequence:version", [FILM, "001", "1"], "revision"),
        ("sequence:version", [FILM, "001", -1], "revision"),
        ("sequence:diff", [FILM, "001", 1.5], "fromRevision"),
        ("sequence:diff", [FILM, "001", -1], "fromRevision"),
        ("sequence:diff", [FILM, "001", 0, {"toRevision": -1}], "toRevision"),
        ("sequence:diff", [FILM, "001", 0, {"toRevision": True}], "options.toRevision"),
        ("sequence:restore", [FILM, "001", None], "revision"),
        ("shot:create", [FILM, "001", {}, {"index": -1}], "index"),
        ("shot:create", [FILM, "001", {}, {"index": 0, "afterShotId": "a1"}], "options"),
        ("shot:create", [FILM, "001", {"id": 7}], "shot"),
        ("shot:delete", [{"projectPath": FILM, "shotId": "a1"}], "target.sequenceId"),
        ("shot:move", [A1], "place"),
        ("shot:move", [A1, {"sequenceId": ""}], "place.sequenceId"),
        ("shot:move", [A1, {"index": -1}], "place.index"),
        ("shot:move", [A1, {"afterShotId": ""}], "place.afterShotId"),
        ("shot:move", [A1, {"before": "a2"}], "place.before"),
        ("shot:update-many", [FILM, {}], "edits"),
        ("shot:update-many", [FILM, []], "edits"),
        ("shot:update-many", [FILM, [{"shotId": "a1"}]], "edits[0].updates"),
        ("shot:update-many", [FILM, [{"shotId": "a1", "updates": {}, "sequenceId": ""}]], "edits[0].sequenceId"),
        ("shot:update-many", [FILM, [{"shotId": "a1", "updates": {}, "etag": "x"}]], "edits[0].etag"),
        ("shot:update-many", [FILM, [{"shotId": "a1", "updates": {}, "mode": "DEEP"}]], "edits[0].mode"),
        ("shot:update-many", [FILM, [{"shotId": "a1", "updates": {}}], {"allOrNothing": 1}], "options.allOrNothing"),
    ],
)
async def test_a_wrong_argument_is_named(rig: Rig, channel: str, arguments: object, field: str) -> None:
    answer = await rig.ipc(channel, arguments)
    assert (answer.status, answer.json["reason"] in ("INVALID_FIELD", "IMMUTABLE_FIELD")) == (400, True), answer.body
    assert list(answer.json["details"]["fields"]) == [field]


@gateway_alone
async def test_documents_of_a_batch_may_be_as_deep_as_any(rig: Rig) -> None:
    def nested(depth: int) -> bytes:
        updates = b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)
        return b'["%s",[{"sequenceId":"001","shotId":"a1","updates":%s}]]' % (FILM.encode(), updates)

    assert (await rig.http("POST", "/ipc/shot:update-many", nested(64))).status == 200
    answer: Answer = await rig.http("POST", "/ipc/shot:update-many", nested(65))
    assert (answer.status, answer.json["reason"]) == (400, "INVALID_JSON")
    assert answer.json["details"]["pointer"] == "/1/0/updates" + "/a" * 64


@gateway_alone
async def test_a_large_batch_is_answered_without_its_documents(rig: Rig) -> None:
    edits = [{"sequenceId": "001", "shotId": "a1", "updates": {"text": "x" * size}} for size in range(4000, 4900)]
    answer = await call(rig, "shot:update-many", FILM, edits)
    assert [one["shot"] for one in answer["results"]] == [None] * len(edits)
    now = await call(rig, "shot:get", A1)
    assert {one["etag"] for one in answer["results"]} == {now["etag"]}
    assert len(now["shot"]["text"]) == 4899


@gateway_alone
async def test_more_than_ten_thousand_edits_are_refused(rig: Rig) -> None:
    edits = [{"sequenceId": "001", "shotId": "a1", "updates": {}}] * 10_001
    assert await refused(rig, "shot:update-many", FILM, edits) == (400, "INVALID_FIELD")
