"""What the HTTP door refuses before anybody looks at a call: whom it is for, who sends it, what it is.

The body is that of an edit which would be made. `<port>` is the door's own.
"""

import json
from collections.abc import Mapping, Sequence

import pytest

from tests.services.answers import connect_answer
from tests.services.asking import FILES, STUDIO, TOKEN, arguments_json
from tests.services.bad_input import update
from tests.services.doors import SERVICE, call
from tests.services.gateway import raw_http
from tests.services.system import Scene, check_manners

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATHS = ("/ipc/sequence:update-shot", f"/{STUDIO}/UpdateShot", f"/{FILES}/UpdateShot")
every_path = pytest.mark.parametrize("path", PATHS, ids=["ipc", "studio", "forwarded"])

HOSTS = {
    "another name": "evil.com",
    "another name with our port": "evil.com:<port>",
    "below another name": "localhost.evil.com",
    "ours before another": "127.0.0.1:<port>.evil.com",
    "ours as a user": "localhost:<port>@evil.com",
    "another port": "127.0.0.1:1",
    "no port": "127.0.0.1",
    "trailing dot": "localhost.:<port>",
    "all addresses": "0.0.0.0:<port>",
    "decimal": "2130706433:<port>",
    "two": "127.0.0.1:<port>, evil.com",
    "empty": " ",
    "none": "",
}
ORIGINS = {
    "null": "null",
    "below another name": "http://localhost.attacker.com",
    "ours before another": "http://127.0.0.1:<port>.attacker.com",
    "another port": "http://127.0.0.1:1",
    "no port": "http://localhost",
    "another scheme": "file://127.0.0.1:<port>",
    "ours as a user": "http://127.0.0.1:<port>@attacker.com",
    "another of our names": "http://localhost:<port>",
    "two": "http://127.0.0.1:<port> http://attacker.com",
    "capitals": "HTTP://127.0.0.1:<port>",
}
TYPES = ("text/plain", "", "text/plain; application/json", "multipart/form-data", "application/jsonp", "text/json")
METHODS = ("GET", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS")


async def send(scene: Scene, method: str, path: str, changes: Mapping[str, str]) -> raw_http.Answer:
    """A good edit but for the changes; a header that is "" is left out."""
    ask = scene.filled(update())
    fields = dict(ask.fields)
    if STUDIO in path:
        target = {"projectPath": fields["project_path"], "sequenceId": "001", "shotId": "s1"}
        body = json.dumps({"target": {"sequenceShot": target}, "updatesJson": fields["updates_json"]}).encode()
    elif FILES in path:
        names = {"project_path": "projectPath", "sequence_id": "sequenceId", "shot_id": "shotId"}
        body = json.dumps({names.get(name, "updatesJson"): value for name, value in fields.items()}).encode()
    else:
        body = arguments_json(ask).encode()
    port = scene.system.http_port
    headers = {
        "host": "127.0.0.1:<port>",
        "authorization": f"Bearer {TOKEN}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **changes,
    }
    sent = {name: value.replace("<port>", str(port)) for name, value in headers.items() if value}
    return await raw_http.send(port, raw_http.head(method, path, sent) + body)


async def refused(
    scene: Scene, status: int, reason: str, *, method: str = "POST", path: str, **changes: str
) -> raw_http.Answer:
    before = scene.state()
    answer = await send(scene, method, path, {name.replace("_", "-"): value for name, value in changes.items()})
    said = connect_answer(answer)
    check_manners(said, None, scene.system)
    assert (answer.status, said.reason) == (status, reason)
    assert answer.headers["content-type"] == "application/json"
    assert scene.state() == before
    return answer


@every_path
async def test_the_request_that_the_others_change_is_good(scene: Scene, path: str) -> None:
    own = f"http://127.0.0.1:{scene.system.http_port}"
    assert (await send(scene, "POST", path, {"origin": own})).status == 200
    assert json.loads(scene.sequence.read_text())["shots"][0]["prompt"] == "night"


@pytest.mark.parametrize("host", HOSTS.values(), ids=list(HOSTS))
@every_path
async def test_a_request_for_another_host_is_misdirected(scene: Scene, path: str, host: str) -> None:
    await refused(scene, 421, "HOST_NOT_ALLOWED", path=path, host=host)


@every_path
async def test_a_second_host_is_misdirected(scene: Scene, path: str) -> None:
    for first, second in (("127.0.0.1:<port>", "evil.com"), ("evil.com", "127.0.0.1:<port>")):
        await refused(scene, 421, "HOST_NOT_ALLOWED", path=path, host=first, Host=second)


@pytest.mark.parametrize("origin", ORIGINS.values(), ids=list(ORIGINS))
@every_path
async def test_a_page_of_another_origin_may_not_call(scene: Scene, path: str, origin: str) -> None:
    answer = await refused(scene, 403, "ORIGIN_NOT_ALLOWED", path=path, origin=origin)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["null", "http://localhost.attacker.com"])
@every_path
async def test_a_preflight_of_another_origin_is_not_answered(scene: Scene, path: str, origin: str) -> None:
    asked = {"access_control_request_method": "POST", "origin": origin}
    await refused(scene, 403, "ORIGIN_NOT_ALLOWED", method="OPTIONS", path=path, **asked)


@pytest.mark.parametrize("content_type", TYPES)
@every_path
async def test_a_body_that_a_form_could_send_is_no_call(scene: Scene, path: str, content_type: str) -> None:
    await refused(scene, 415, "UNSUPPORTED_MEDIA_TYPE", path=path, content_type=content_type)


@pytest.mark.parametrize("method", METHODS)
@every_path
async def test_an_edit_is_made_by_post_only(scene: Scene, path: str, method: str) -> None:
    answer = await refused(scene, 405, "METHOD_NOT_ALLOWED", method=method, path=path)
    assert answer.headers["allow"] == "POST"


NOBODY: Sequence[tuple[str, str]] = (
    ("/ipc/sequence:drop-all", "UNKNOWN_CHANNEL"),
    ("/ipc/", "UNKNOWN_CHANNEL"),
    ("/ipc/__proto__", "UNKNOWN_CHANNEL"),
    ("/ipc/../sequence:update-shot", "UNKNOWN_CHANNEL"),
    ("/ipc/sequence%00:update-shot", "UNKNOWN_CHANNEL"),
    ("/", "UNKNOWN_METHOD"),
    ("/ipc", "UNKNOWN_METHOD"),
    ("/../../etc/passwd", "UNKNOWN_METHOD"),
    (f"/{STUDIO}/Nothing", "UNKNOWN_METHOD"),
    (f"//{STUDIO}/UpdateShot", "UNKNOWN_METHOD"),
    ("/shotline.session.v1.SessionService/SaveShots", "UNKNOWN_METHOD"),
)


@pytest.mark.parametrize(("path", "reason"), NOBODY)
async def test_what_nobody_is_called_is_not_found(scene: Scene, path: str, reason: str) -> None:
    await refused(scene, 404, reason, path=path)


@pytest.mark.parametrize("method", ["Nothing", "updateshot", "UpdateShot/", ""])
async def test_a_method_that_nobody_has_is_unimplemented(scene: Scene, method: str) -> None:
    for channel in (scene.system.service, scene.system.gateway):
        for service in (FILES, STUDIO, "shotline.nobody.v1.Nothing"):
            answer = await call(channel, f"/{service}/{method}", b"", scene.filled(update()))
            check_manners(answer, None, scene.system)
            assert (answer.code, answer.reason) == ("UNIMPLEMENTED", "UNKNOWN_METHOD")


BROKEN_HEADS = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no version": b"POST /ipc/sequence:get-all\r\n\r\n",
    "a length that is no number": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: two\r\n\r\n",
    "a negative length": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    "length and chunks": b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a name with a space": b"POST / HTTP/1.1\r\nho st: x\r\n\r\n",
    "a zero byte": b"POST / HTTP/1.1\r\nhost: x\0y\r\n\r\n",
}


@pytest.mark.parametrize("head", BROKEN_HEADS.values(), ids=list(BROKEN_HEADS))
async def test_what_is_no_http_is_refused_and_the_next_request_answered(scene: Scene, head: bytes) -> None:
    answer = await raw_http.send(scene.system.http_port, head)
    said = connect_answer(answer)
    check_manners(said, None, scene.system)
    assert said.code == "INVALID_ARGUMENT"
    assert (await send(scene, "POST", PATHS[0], {})).status == 200
    assert (await scene.ask(SERVICE, update())).code == "OK"
