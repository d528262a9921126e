"""The invariant over everything that can be sent: the server lives, answers in a second, says neither
UNKNOWN nor how it is built, and changes no file but by an edit that it answered with OK.
"""

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import grpc.aio
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.services.answers import Answer, connect_answer, ipc_answer
from tests.services.asking import FILES, STUDIO, TOKEN, Ask
from tests.services.bad_input import (
    UUID,
    batch,
    create_sequence,
    create_shot,
    delete_sequence,
    delete_shot,
    diff,
    edit,
    is_change,
    move_shot,
    project_shots,
    reorder,
    restore,
    shots,
    trash,
    update,
    update_loose,
    update_sequence,
    version,
    versions,
    watch,
)
from tests.services.doors import CONNECT_FORWARDED, DOORS, IPC, SERVICE, Door, call, post
from tests.services.system import Scene, System

pytestmark = pytest.mark.asyncio(loop_scope="module")

few = settings(
    max_examples=60,
    deadline=None,  # `Scene.told` sees to it
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
every_door = pytest.mark.parametrize("door", DOORS, ids=[door.name for door in DOORS])

anything = st.text(st.characters(), max_size=300)  # lone surrogates and U+0000 included
numbers = st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from([2**31, 2**53 + 1, 2**63, 2**64, -0.0])
json_values = st.recursive(
    st.none() | st.booleans() | numbers | anything,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(anything, inner, max_size=4),
    max_leaves=20,
)
members = st.sampled_from(["prompt", "generation", "id", "unknown", "__proto__", "sequencePlanId"]) | anything
patches = st.dictionaries(members, json_values, max_size=5).map(json.dumps)
texts: Mapping[str, st.SearchStrategy[object]] = {
    "project_path": st.just("<project>") | anything | anything.map("<project>/{}".format) | anything.map("/{}".format),
    "sequence_id": st.sampled_from(["001", "1", "sequence-2", ""]) | anything,
    "shot_id": st.sampled_from(["s1", "s2", "c1", "loose"]) | anything,
    "updates_json": patches | anything | json_values.map(json.dumps),
    "etag": st.just("") | st.just("0" * 32) | anything,
    "request_id": st.just("") | st.just(UUID) | st.uuids().map(str) | anything,
    "page_token": st.just("") | anything,
}
int32 = st.integers(-(2**31), 2**31 - 1) | st.integers(-1, 3)
places = ("project_path", "sequence_id", "shot_id")
FIELDS = {
    "UpdateShot": (*places, "updates_json", "mode", "etag", "request_id"),
    "UpdateProjectShot": ("project_path", "shot_id", "updates_json", "mode", "etag", "request_id"),
    "GetShots": ("project_path", "sequence_id", "page_size", "page_token"),
    "GetShot": places,
    "GetSequence": ("project_path", "sequence_id"),
    "ListSequences": ("project_path", "page_size", "page_token"),
}
# Most fields of a call are good, so that the others are looked at.
GOOD = {**shots().fields, **update().fields, "page_size": 0, "page_token": "", "mode": 0, "etag": "", "request_id": ""}


@st.composite
def asks(draw: st.DrawFn, wild: st.SearchStrategy[object]) -> Ask:
    """A call of any method with one to three fields that may hold anything."""
    method = draw(st.sampled_from(list(FIELDS)))
    fields = {name: GOOD[name] for name in FIELDS[method]}
    if method == "UpdateProjectShot":
        fields["shot_id"] = update_loose().fields["shot_id"]
    for name in draw(st.lists(st.sampled_from(FIELDS[method]), min_size=1, max_size=3, unique=True)):
        fields[name] = draw(texts.get(name, int32) | wild)
    return Ask(method=method, fields=fields)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def playground(system: System) -> AsyncIterator[Scene]:
    async with system.scene() as scene:
        yield scene


async def survived(scene: Scene, ask: Ask, answering: Callable[[], Awaitable[Answer]], *, edits: bool) -> None:
    """What must hold after any answer."""
    before = scene.state()
    answer = await scene.told(ask, answering)
    assert answer.code != "INTERNAL", answer.message
    if answer.code == "OK" and edits:
        await scene.settled()
        for file, shot_count in (("sequences/sequence_001.json", 3), ("sequences/sequence_002.json", 2)):
            assert len(json.loads((scene.project / file).read_bytes())["shots"]) == shot_count
        assert len(json.loads((scene.project / "project.json").read_bytes())["storyboard"]) == 2
    else:
        assert scene.state() == before


@every_door
@few
@given(data=st.data())
async def test_any_value_in_any_field(playground: Scene, door: Door, data: st.DataObject) -> None:
    wild: st.SearchStrategy[object] = st.nothing() if door.kind == "grpc" else json_values
    ask = playground.filled(data.draw(asks(wild).filter(door.expresses)))
    await survived(playground, ask, lambda: door.answer(playground.system, ask), edits=is_change(ask))


int64 = st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 3)
spots = st.fixed_dictionaries({}, optional={"index": int32}) | st.fixed_dictionaries(
    {"after_shot_id": st.sampled_from(["s1", "c1", ""]) | st.text(max_size=20)}
)
edits = st.builds(
    lambda updates, more: {**edit(updates), **more},
    patches,
    st.fixed_dictionaries(
        {},
        optional={
            "sequence_id": st.sampled_from(["001", "002", ""]) | st.text(max_size=20),
            "shot_id": st.sampled_from(["s1", "s2", "c1", "loose", ""]) | st.text(max_size=20),
            "mode": int32,
            "etag": st.sampled_from(["", "0" * 32, "x"]),
        },
    ),
)
# Calls that succeed, with everything that they can be asked with.
STRUCTURE = [
    create_sequence(sequence_id="003", request_id=""),
    update_sequence(etag="", request_id=""),
    delete_sequence(etag="", request_id=""),
    reorder(request_id=""),
    create_shot(place={}, request_id=""),
    delete_shot(etag="", request_id=""),
    move_shot(target_sequence_id="002", place={}, etag="", request_id=""),
    batch(edit(), all_or_nothing=False, request_id=""),
    restore(shot_id="s1", etag="", request_id=""),
    versions(shot_id="s1", page_size=0, page_token=""),
    version(),
    diff(to_revision=1, shot_id="s1"),
    project_shots(page_size=0, page_token=""),
    trash(),
    watch(after_revision=0, log_id="", progress_seconds=1.0),
]
more_texts: Mapping[str, st.SearchStrategy[object]] = {
    **texts,
    "target_sequence_id": texts["sequence_id"],
    "document_json": texts["updates_json"],
    "log_id": texts["etag"],
    "sequence_ids": st.lists(st.sampled_from(["001", "2", "sequence-1"]) | st.text(max_size=20), max_size=4),
    "place": spots,
    "edits": st.lists(edits, max_size=4),
    "all_or_nothing": st.booleans(),
    "progress_seconds": st.floats(),
    **dict.fromkeys(("revision", "from_revision", "to_revision", "after_revision"), int64),
}


@every_door
async def test_each_call_of_structure_and_history_can_be_made(system: System, door: Door) -> None:
    """What the next test spoils is good before."""
    for ask in STRUCTURE:
        async with system.scene() as scene:
            assert (await scene.ask(SERVICE, update())).code == "OK"
            if door.expresses(ask):
                answer = await scene.ask(door, ask)
                assert answer.code == "OK", f"{ask.method}: {answer.message}"
            await scene.settled()


@pytest.mark.parametrize("door", [SERVICE, CONNECT_FORWARDED, IPC], ids=["service", "connect", "ipc"])
@few
@given(data=st.data())
async def test_any_value_in_any_field_of_structure_and_history(system: System, door: Door, data: st.DataObject) -> None:
    """Each in a project of its own: what is deleted is gone."""
    async with system.scene() as scene:
        assert (await scene.ask(SERVICE, update())).code == "OK"  # so that there is a revision 1
        good = data.draw(st.sampled_from([ask for ask in STRUCTURE if door.expresses(ask)]))
        names = data.draw(st.lists(st.sampled_from(sorted(good.fields)), min_size=1, max_size=3, unique=True))
        ask = scene.filled(good.but(**{name: data.draw(more_texts.get(name, int32)) for name in names}))
        if not door.expresses(ask):
            return
        await scene.settled()
        before = scene.state()
        answer = await scene.told(ask, lambda: door.answer(system, ask))
        assert answer.code != "INTERNAL", answer.message
        await scene.settled()
        if answer.code != "OK" or not is_change(ask):
            assert scene.state() == before
        for file in (scene.project / "sequences").glob("*.json"):
            assert isinstance(json.loads(file.read_bytes())["shots"], list)
        # The copy of a shot goes with it; regular shots stay.
        storyboard = json.loads((scene.project / "project.json").read_bytes())["storyboard"]
        assert "loose" in [shot["id"] for shot in storyboard]


BODIES = (
    st.binary(max_size=2000)
    | json_values.map(json.dumps).map(str.encode)
    | st.lists(json_values, max_size=6).map(json.dumps).map(str.encode)
    | st.dictionaries(
        st.sampled_from(
            ["projectPath", "sequenceId", "shotId", "updates", "target", "options", "place", "edits", "revision"]
        ),
        json_values,
        max_size=6,
    )
    .map(json.dumps)
    .map(str.encode)
)
HEADERS = {"authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    "channel",
    [
        "sequence:update-shot",
        "sequence:get-shots",
        "sequence:get-all",
        "shot:update",
        "shot:move",
        "shot:update-many",
        "sequence:restore",
    ],
)
@few
@given(body=BODIES)
async def test_any_body_of_a_channel(playground: Scene, channel: str, body: bytes) -> None:
    async def answering() -> Answer:
        return ipc_answer(await post(playground.system, f"/ipc/{channel}", body, HEADERS))

    await survived(playground, update(), answering, edits=False)


@pytest.mark.parametrize("service", [STUDIO, FILES], ids=["studio", "files"])
@pytest.mark.parametrize("content_type", ["application/json", "application/proto", "application/grpc-web+proto"])
@few
@given(method=st.sampled_from(["UpdateShot", "GetShots"]), body=BODIES)
async def test_any_body_of_connect(
    playground: Scene, service: str, content_type: str, method: str, body: bytes
) -> None:
    async def answering() -> Answer:
        path = f"/{service}/{method}"
        answer = await post(playground.system, path, body, {**HEADERS, "content-type": content_type})
        if content_type.startswith("application/grpc-web"):
            # The status stands in trailers: that it is one, and what it does not say, is all that matters here.
            assert answer.status == 200
            return Answer(code="INVALID_ARGUMENT", everything=f"{answer.headers}{answer.body!r}")
        return connect_answer(answer)

    await survived(playground, update(), answering, edits=False)


@pytest.mark.parametrize("where", ["service", "gateway"])
@few
@given(
    path=st.sampled_from(
        [f"/{FILES}/{method}" for method in FIELDS]
        + [f"/{FILES}/{ask.method}" for ask in STRUCTURE if ask.method != "WatchProject"]
        + [f"/{STUDIO}/UpdateShot", f"/{STUDIO}/GetShot", f"/{STUDIO}/Invoke"]
    ),
    request=st.binary(max_size=500),
)
async def test_any_bytes_as_a_message(playground: Scene, where: str, path: str, request: bytes) -> None:
    channel = playground.system.service if where == "service" else playground.system.gateway
    ask = update()
    await survived(playground, ask, lambda: call(channel, path, request, ask), edits=False)


@few
@given(path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=200))
async def test_any_method_name(playground: Scene, path: str) -> None:
    for channel in (playground.system.service, playground.system.gateway):

        async def answering(channel: grpc.aio.Channel = channel) -> Answer:
            return await call(channel, f"/{path}", b"", update())

        await survived(playground, update(), answering, edits=False)


@few
@given(
    headers=st.dictionaries(
        st.sampled_from(["authorization", "x-request-id", "x-timeout-ms", "origin", "content-type", "host", "accept"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=100),
        max_size=4,
    )
)
async def test_any_header_of_a_channel(playground: Scene, headers: Mapping[str, str]) -> None:
    async def answering() -> Answer:
        body = json.dumps([str(playground.project), "001"]).encode()
        return ipc_answer(await post(playground.system, "/ipc/sequence:get-shots", body, {**HEADERS, **headers}))

    await survived(playground, update(), answering, edits=False)


async def test_the_server_lives(playground: Scene) -> None:
    """Behind all of the above."""
    for door in DOORS:
        answer = await playground.ask(door, shots())
        assert (answer.code, len(answer.documents)) == ("OK", 3)
    assert math.isfinite(json.loads(playground.sequence.read_bytes())["order"])
