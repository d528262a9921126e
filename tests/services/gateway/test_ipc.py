"""POST /ipc/<channel> and Invoke: every channel, both argument styles, and what goes wrong."""

import json
import uuid

import pytest
from shotline.sequence_file.v1 import sequence_file_service_pb2 as files
from shotline.studio.v1 import studio_service_pb2 as pb

from gateway.channel import failed
from services.kernel.faults import Code, Fault
from tests.services.gateway.conftest import OPENING, PROJECT, SECOND, THIRD, Rig
from tests.services.gateway.memory import MemoryProject, MemorySequence

# What the gateway refuses by itself: the backend is never asked, however it is wired.
gateway_alone = pytest.mark.parametrize("wiring", ["in process"])

NAMED = {"projectPath": PROJECT, "sequenceId": "001", "shotId": "s1", "updates": {"generation": {"prompt": "dusk"}}}
POSITIONAL = [PROJECT, "001", "s1", {"generation": {"prompt": "dusk"}}]


@pytest.mark.parametrize("arguments", [NAMED, POSITIONAL], ids=["named", "positional"])
async def test_update_shot_merges_and_answers_with_the_shot(rig: Rig, arguments: object) -> None:
    answer = await rig.ipc("sequence:update-shot", arguments)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    envelope = answer.json
    assert envelope["success"] is True
    assert envelope["shot"]["generation"] == {
        "prompt": "dusk",
        "model": "flux-dev",
        "parameters": {"steps": 20, "cfgScale": 7.5},
    }
    assert envelope["storedIn"] == {"file": "sequences/sequence_001.json", "sequenceId": "001"}
    assert len(envelope["etag"]) == 32
    assert b'"cfgScale":7.50' in answer.body  # the text of the number, as it was


@pytest.mark.parametrize("arguments", [{"projectPath": PROJECT, "sequenceId": "001"}, [PROJECT, "001"]])
async def test_get_shots_answers_documents_byte_for_byte(rig: Rig, arguments: object) -> None:
    answer = await rig.ipc("sequence:get-shots", arguments)
    assert f'"shots":[{OPENING},{SECOND},{THIRD}]'.encode() in answer.body
    envelope = answer.json
    assert set(envelope["etags"]) == {"s1", "2", "twin"}
    assert "nextPageToken" not in envelope


@pytest.mark.parametrize("arguments", [{"projectPath": PROJECT}, [PROJECT]])
async def test_get_all_names_the_unreachable_beside_the_good(rig: Rig, arguments: object) -> None:
    answer = await rig.ipc("sequence:get-all", arguments)
    envelope = answer.json
    assert [one["id"] for one in envelope["sequences"]] == ["001", "6"]
    assert rig.memory.projects[PROJECT].sequences[0].document.encode() in answer.body
    assert envelope["unreachable"] == [
        {
            "file": "sequences/sequence_009.json",
            "id": "",
            "reason": "SEQUENCE_FILE_INVALID",
            "message": "ends too soon",
            "line": 3,
            "column": 7,
        }
    ]


@pytest.mark.parametrize(
    ("target", "stored_in"),
    [
        ({"projectPath": PROJECT, "shotId": "loose"}, {"file": "project.json"}),
        (
            {"projectPath": PROJECT, "shotId": "s1"},
            {"file": "sequences/sequence_001.json", "sequenceId": "001"},
        ),
        (
            {"projectPath": PROJECT, "sequenceId": "6", "shotId": "twin"},
            {"file": "sequences/sequence_006.json", "sequenceId": "6"},
        ),
    ],
    ids=["in project.json", "searched", "named"],
)
@pytest.mark.parametrize("positional", [False, True], ids=["named arguments", "positional"])
async def test_a_shot_is_got_and_changed_wherever_it_lives(
    rig: Rig, target: object, stored_in: object, positional: bool
) -> None:
    changed = await rig.ipc(
        "shot:update", [target, {"n": 2}] if positional else {"target": target, "updates": {"n": 2}}
    )
    assert changed.json["storedIn"] == stored_in
    got = await rig.ipc("shot:get", [target] if positional else {"target": target})
    assert got.json["shot"]["n"] == 2
    assert got.json["storedIn"] == stored_in
    assert got.json["etag"] == changed.json["etag"]


async def test_a_shot_in_two_sequences_is_refused_without_a_sequence(rig: Rig) -> None:
    target = {"projectPath": PROJECT, "shotId": "twin"}
    for channel, arguments in (("shot:get", [target]), ("shot:update", [target, {"n": 1}])):
        answer = await rig.ipc(channel, arguments)
        assert (answer.status, answer.json["reason"]) == (400, "DUPLICATE_ID")


async def test_a_named_sequence_never_falls_back(rig: Rig) -> None:
    answer = await rig.ipc("shot:update", [{"projectPath": PROJECT, "sequenceId": "6", "shotId": "s1"}, {"n": 1}])
    assert (answer.status, answer.json["reason"]) == (404, "SHOT_NOT_FOUND")
    assert answer.json["details"] == {"shot_id": "s1"}
    empty = {"projectPath": PROJECT, "sequenceId": "", "shotId": "loose"}
    for channel, arguments in (("shot:get", [empty]), ("shot:update", [empty, {"n": 1}])):
        answer = await rig.ipc(channel, arguments)
        assert (answer.status, answer.json["reason"]) == (400, "INVALID_SEQUENCE_ID")


async def test_a_numeric_id_is_its_text(rig: Rig) -> None:
    answer = await rig.ipc("sequence:update-shot", [PROJECT, "001", 2, {"n": 1}])
    assert answer.json["success"] is True
    assert (await rig.ipc("sequence:get-shots", [PROJECT, 6])).json["etags"].keys() == {"twin"}


async def test_numbers_of_an_update_keep_their_text(rig: Rig) -> None:
    body = f'["{PROJECT}","001","s1",{{"n":1.10,"e":1E2}}]'.encode()
    answer = await rig.http("POST", "/ipc/sequence:update-shot", body)
    assert b'"n":1.10,"e":1E2' in answer.body


async def test_replace_top_level_is_object_assign(rig: Rig) -> None:
    arguments = [PROJECT, "001", "s1", {"generation": {"prompt": "dusk"}}, {"mode": "REPLACE_TOP_LEVEL"}]
    answer = await rig.ipc("sequence:update-shot", arguments)
    assert answer.json["shot"]["generation"] == {"prompt": "dusk"}


async def test_a_request_id_makes_a_change_once(rig: Rig) -> None:
    options = {"requestId": str(uuid.uuid4())}
    first = await rig.ipc("sequence:update-shot", {**NAMED, "options": options})
    assert (await rig.ipc("sequence:update-shot", {**NAMED, "options": options})).body == first.body
    other = await rig.ipc("sequence:update-shot", {**NAMED, "updates": {"n": 3}, "options": options})
    assert (other.status, other.json["reason"]) == (400, "REQUEST_ID_REUSED")


async def test_a_stale_etag_is_told_with_what_is_there_now(rig: Rig) -> None:
    answer = await rig.ipc("sequence:update-shot", {**NAMED, "options": {"etag": "0" * 32}})
    assert (answer.status, answer.json["code"], answer.json["reason"]) == (409, "ABORTED", "ETAG_MISMATCH")
    assert f'"current":{OPENING}'.encode() in answer.body
    fresh = {**NAMED, "options": {"etag": answer.json["details"]["currentEtag"]}}
    assert (await rig.ipc("sequence:update-shot", fresh)).status == 200


async def test_a_conflict_carries_a_large_shot_as_well(rig: Rig) -> None:
    large = f'{{"id": "s1", "text": "{"x" * 20_000}"}}'
    rig.memory.projects[PROJECT].sequences[0].shots[0] = large
    rig.memory.projects[PROJECT].shots[0] = large.replace("s1", "loose")
    for target in ({"projectPath": PROJECT, "shotId": "s1"}, {"projectPath": PROJECT, "shotId": "loose"}):
        answer = await rig.ipc("shot:update", [target, {"n": 1}, {"etag": "0" * 32}])
        assert len(answer.json["details"]["current"]["text"]) == 20_000


@gateway_alone
@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({**NAMED, "sequence": "001"}, {"sequence"}),
        ({**NAMED, "options": {"Etag": "x", "pageSize": 3}}, {"options.Etag", "options.pageSize"}),
        ({"projectPath": PROJECT}, {"sequenceId", "shotId", "updates"}),
        ([PROJECT, None, "s1", {}], {"sequenceId"}),
        ({**NAMED, "projectPath": 7}, {"projectPath"}),
        ({**NAMED, "shotId": True}, {"shotId"}),
        ({**NAMED, "updates": [1]}, {"updates"}),
        ({**NAMED, "options": {"mode": "DEEP"}}, {"options.mode"}),
        ({**NAMED, "options": {"mode": 1}}, {"options.mode"}),
        ({**NAMED, "options": 1}, {"options"}),
        ({**NAMED, "options": {"requestId": "x"}}, {"requestId"}),
        ({**NAMED, "options": {"etag": "x"}}, {"etag"}),
        (["a", "b", "c", {}, {}, "one too many"], set()),
    ],
)
async def test_a_wrong_argument_is_named(rig: Rig, arguments: object, fields: set[str]) -> None:
    answer = await rig.ipc("sequence:update-shot", arguments)
    assert (answer.status, answer.json["code"]) == (400, "INVALID_ARGUMENT")
    assert answer.json["reason"] == "INVALID_FIELD"
    assert set(answer.json["details"].get("fields", ())) == fields


@gateway_alone
@pytest.mark.parametrize(
    ("channel", "arguments", "field"),
    [
        ("shot:get", [{"projectPath": PROJECT, "shotId": "s1", "shot": 1}], "target.shot"),
        ("shot:get", [{"projectPath": PROJECT}], "target.shotId"),
        ("shot:get", ["s1"], "target"),
        ("shot:get", [{"projectPath": PROJECT, "shotId": "s1"}, {"mode": "MERGE_PATCH"}], "options.mode"),
        ("sequence:get-all", [PROJECT, {"pageSize": "3"}], "options.pageSize"),
        ("sequence:get-all", [PROJECT, {"pageSize": 2.5}], "options.pageSize"),
        ("sequence:get-all", [PROJECT, {"pageSize": -1}], "pageSize"),
        ("sequence:get-all", [PROJECT, {"pageToken": "made up"}], "pageToken"),
    ],
)
async def test_a_wrong_target_or_page_is_named(rig: Rig, channel: str, arguments: object, field: str) -> None:
    answer = await rig.ipc(channel, arguments)
    assert (answer.status, list(answer.json["details"]["fields"])) == (400, [field])


@gateway_alone
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", None),
        (b"{", ""),
        (b"7", ""),
        (b"\xff\xfe", ""),
        (b'\xef\xbb\xbf{"projectPath":"/x"}', ""),
        (b'{"updates": {"a": NaN}}', "/updates/a"),
        (b'["/x", "001", "s1", {"a": 1e999}]', "/3/a"),
        (b'{"updates": {"a": 9007199254740993}}', "/updates/a"),
        (b'{"updates": {"a": 1, "a": 2}}', "/updates/a"),
        (b'{"updates": {"a": "\\ud800"}}', "/updates/a"),
        (b'{"updates": {"a": "\\u0000"}}', "/updates/a"),
        (b'{"updates":' + b'{"a":' * 70 + b"1" + b"}" * 71, "/updates" + "/a" * 64),
        (b"[" * 200_000, "/0" * 65),
    ],
)
async def test_json_that_would_lose_data_is_refused_with_its_place(rig: Rig, body: bytes, pointer: str | None) -> None:
    answer = await rig.http("POST", "/ipc/sequence:update-shot", body)
    assert answer.status == 400
    if pointer is not None:
        assert (answer.json["reason"], answer.json["details"]["pointer"]) == ("INVALID_JSON", pointer)
    assert rig.memory.seen == []


@gateway_alone
async def test_proto_and_markup_pass_as_plain_data(rig: Rig) -> None:
    body = f'["{PROJECT}","001","s1",{{"__proto__":{{"x":"${{jndi}}"}}}}]'.encode()
    answer = await rig.http("POST", "/ipc/sequence:update-shot", body)
    assert b'"__proto__":{"x":"${jndi}"}' in answer.body


@gateway_alone
async def test_an_unknown_channel_is_not_found_and_the_known_are_named(rig: Rig) -> None:
    answer = await rig.ipc("sequence:delete-everything", [])
    assert (answer.status, answer.json["reason"]) == (404, "UNKNOWN_CHANNEL")
    assert "sequence:get-all" in answer.json["error"]


async def test_a_list_is_followed_to_its_end(rig: Rig) -> None:
    shots = [f'{{"id": "s{n}", "text": "{"x" * 400_000}"}}' for n in range(20)]
    rig.memory.projects["/films/long"] = MemoryProject([MemorySequence("1", "sequences/sequence_001.json", shots)])
    answer = await rig.ipc("sequence:get-shots", ["/films/long", "1"])
    assert [shot["id"] for shot in answer.json["shots"]] == [f"s{n}" for n in range(20)]
    assert sum(isinstance(one, files.GetShotsRequest) for one in rig.memory.seen) > 1


async def test_a_caller_can_page_by_itself(rig: Rig) -> None:
    first = (await rig.ipc("sequence:get-shots", [PROJECT, "001", {"pageSize": 2}])).json
    assert [shot["id"] for shot in first["shots"]] == ["s1", 2]
    last = (await rig.ipc("sequence:get-shots", [PROJECT, "001", {"pageToken": first["nextPageToken"]}])).json
    assert ([shot["id"] for shot in last["shots"]], last["nextPageToken"]) == (["twin"], "")
    all_at_once = await rig.ipc("sequence:get-all", [PROJECT, {"pageSize": 10**9}])
    assert (len(all_at_once.json["sequences"]), all_at_once.json["nextPageToken"]) == (2, "")


async def test_a_list_that_changes_between_two_pages_is_read_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    shots = [f'{{"id": "s{n}", "text": "{"x" * 1_500_000}"}}' for n in range(4)]
    sequence = MemorySequence("1", "sequences/sequence_001.json", shots)
    rig.memory.projects["/films/long"] = MemoryProject([sequence])
    get_shots, changes = rig.memory.GetShots, [1, 1]

    async def changing(request: files.GetShotsRequest, context: object = None) -> files.GetShotsResponse:
        page = await get_shots(request)
        if changes:
            shots.append(f'{{"id": "late{changes.pop()}"}}')
        return page

    monkeypatch.setattr(rig.memory, "GetShots", changing)
    if rig.wiring == "remote":
        await rig.backend.stop()
        await rig.backend.start()
    answer = await rig.ipc("sequence:get-shots", ["/films/long", "1"])
    assert len(answer.json["shots"]) == len(shots) == 6


@gateway_alone
async def test_an_answer_beyond_the_limit_names_the_page_options(rig: Rig) -> None:
    shots = [f'{{"id": "s{n}", "text": "{"x" * 2_900_000}"}}' for n in range(30)]
    rig.memory.projects["/films/huge"] = MemoryProject([MemorySequence("1", "sequences/sequence_001.json", shots)])
    answer = await rig.ipc("sequence:get-shots", ["/films/huge", "1"])
    assert (answer.status, answer.json["reason"]) == (429, "TOO_LARGE")
    assert "options.pageSize" in answer.json["error"]
    assert len(rig.memory.seen) == 12  # and no page was read in vain


async def test_invoke_answers_as_ipc_does(rig: Rig) -> None:
    for channel, arguments in (
        ("sequence:get-shots", [PROJECT, "001"]),
        ("sequence:get-all", {"projectPath": PROJECT}),
        ("shot:get", [{"projectPath": PROJECT, "shotId": "nobody"}]),
        ("sequence:update-shot", {**NAMED, "options": {"etag": "0" * 32}}),
        ("no:channel", []),
    ):
        request = pb.InvokeRequest(channel=channel, arguments_json=json.dumps(arguments))
        answer = await rig.studio.Invoke(request)
        assert answer.envelope_json.encode() == (await rig.ipc(channel, arguments)).body


async def test_an_error_of_ours_is_told_by_its_id_only(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(request: object, context: object = None) -> files.Shot:
        raise RuntimeError("postgresql://secret")

    monkeypatch.setattr(rig.memory, "GetShot", broken)
    await rig.backend.stop()
    await rig.backend.start()
    answer = await rig.ipc("shot:get", [{"projectPath": PROJECT, "shotId": "s1"}])
    assert (answer.status, answer.json["code"], answer.json["reason"]) == (500, "INTERNAL", "INTERNAL")
    assert b"secret" not in answer.body
    assert answer.json["details"]["error_id"]


async def test_a_fault_brings_its_time_to_try_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy(request: object, context: object = None) -> files.Shot:
        raise Fault(Code.RESOURCE_EXHAUSTED, "DISK_FULL", "no space left", retry_after=1.5)

    monkeypatch.setattr(rig.memory, "UpdateShot", busy)
    await rig.backend.stop()
    await rig.backend.start()
    answer = await rig.ipc("sequence:update-shot", NAMED)
    assert (answer.status, answer.headers["retry-after"]) == (429, "2")
    assert answer.json["details"] == {"retryAfterSeconds": 1.5}


def test_a_file_name_that_is_no_text_can_be_told() -> None:
    fault = Fault(Code.NOT_FOUND, "X", "no caf\udce9", metadata={"file": "caf\udce9"}, fields={"f\udce9": "\udce9"})
    envelope = json.loads(failed(fault))
    assert envelope["error"] == "no caf\\udce9"
    assert envelope["details"] == {"file": "caf\\udce9", "fields": {"f\\udce9": "\\udce9"}}


@gateway_alone
async def test_every_call_leaves_an_access_line(rig: Rig) -> None:
    await rig.ipc("sequence:get-all", [PROJECT], x_request_id="mine-1")
    await rig.ipc("sequence:get-all", ["/nowhere"], x_request_id="mine-2")
    lines = {line["request_id"]: line for line in rig.access_lines() if line["transport"] == "ipc"}
    assert lines["mine-1"]["code"] == "OK"
    assert (lines["mine-2"]["code"], lines["mine-2"]["reason"]) == ("NOT_FOUND", "PROJECT_NOT_FOUND")
    assert lines["mine-1"]["method"] == "/ipc/sequence:get-all"
    assert lines["mine-1"]["principal"] == "tester"
