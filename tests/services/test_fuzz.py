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

from tests.services.bad_input import UUID, shots, update, update_loose
from tests.services.doors import (
    DOORS,
    FILES,
    STUDIO,
    TOKEN,
    Answer,
    Ask,
    Door,
    call,
    connect_answer,
    ipc_answer,
    post,
)
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
    edits = ask.method.startswith("Update")
    await survived(playground, ask, lambda: door.answer(playground.system, ask), edits=edits)


BODIES = (
    st.binary(max_size=2000)
    | json_values.map(json.dumps).map(str.encode)
    | st.lists(json_values, max_size=6).map(json.dumps).map(str.encode)
    | st.dictionaries(
        st.sampled_from(["projectPath", "sequenceId", "shotId", "updates", "target", "options"]),
        json_values,
        max_size=6,
    )
    .map(json.dumps)
    .map(str.encode)
)
HEADERS = {"authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize("channel", ["sequence:update-shot", "sequence:get-shots", "sequence:get-all", "shot:update"])
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
