"""The table of bad input, second half: values of fields, and trouble at the time of the call."""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.services import situations as is_
from tests.services.asking import Ask
from tests.services.bad_input import UUID, Row, Text, sequence, sequences, shot, shots, update, update_loose
from tests.services.situations import Situation


def rows() -> Iterator[Row]:
    """All about values and about trouble."""
    yield from _ids()
    yield from _json_of_updates()
    yield from _updates()
    yield from _conflicts()
    yield from _numbers_and_pages()
    yield from _trouble()


def _ids() -> Iterator[Row]:
    bad = {
        "parent folder": "../project",
        "encoded parent folder": "..%2f..",
        "absolute path": "/etc/passwd",
        "windows path": "C:\\x",
        "network path": "\\\\host\\share",
        "newline behind": "001\n",
        "arabic digits": "٠٠١",
        "superscript": "²",
        "empty": "",
        "300 digits": "1" * 300,
        "two dots": "a..b",
        "leading space": " 001",
        "leading dot": ".001",
        "slash": "001/002",
        "percent": "00%31",
        "wildcard": "*",
        "fullwidth digits": "００１",
        "quote": "001'--",
        "bidi control": "001\u202e",
    }
    for name, text in bad.items():
        yield Row(
            name=f"sequence id, {name}",
            asks=[shots(sequence_id=text), update(sequence_id=text), sequence(sequence_id=text)],
            code="INVALID_ARGUMENT",
            reason="INVALID_SEQUENCE_ID",
            field="sequence_id",
        )
        if text:  # without one a shot is searched for
            yield Row(
                name=f"sequence id of a shot, {name}",
                asks=[shot(sequence_id=text)],
                code="INVALID_ARGUMENT",
                reason="INVALID_SEQUENCE_ID",
                field="sequence_id",
            )
    yield Row(
        name="sequence id, U+0000",
        asks=[shots(sequence_id="001\0"), update(sequence_id="001\0")],
        code="INVALID_ARGUMENT",
        reason={"grpc": "INVALID_SEQUENCE_ID", "connect": "INVALID_SEQUENCE_ID", "ipc": "INVALID_JSON"},
    )
    for name, text in {"empty": "", "257 characters": "s" * 257}.items():
        yield Row(
            name=f"shot id, {name}",
            asks=[shot(shot_id=text), shot(shot_id=text, sequence_id="001"), update(shot_id=text)],
            code="INVALID_ARGUMENT",
            reason="INVALID_SHOT_ID",
            field="shot_id",
        )
        yield Row(
            name=f"regular shot's id, {name}",
            asks=[update_loose(shot_id=text)],
            code="INVALID_ARGUMENT",
            reason="INVALID_SHOT_ID",
            field="shot_id",
        )


def _nested(depth: int) -> str:
    """An object in objects, `depth` of them in all."""
    return '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)


def _json_of_updates() -> Iterator[Row]:
    bad: Mapping[str, tuple[Text, str]] = {
        "NaN": ('{"a": NaN}', "/a"),
        "NaN within": ('{"a": {"b/c": [1, NaN]}}', "/a/b~1c/1"),
        "Infinity": ('{"a": Infinity}', "/a"),
        "minus Infinity": ('{"a": -Infinity}', "/a"),
        "1e999": ('{"a": 1e999}', "/a"),
        "minus 1e999": ('{"a": [-1e999]}', "/a/0"),
        "2^53 + 1": ('{"a": 9007199254740993}', "/a"),
        "minus 2^53 - 1": ('{"a": -9007199254740993}', "/a"),
        "2^63": ('{"a": 9223372036854775808}', "/a"),
        "2^64": ('{"a": 18446744073709551616}', "/a"),
        "5,000 digits": (lambda: '{"a": ' + "9" * 5000 + "}", "/a"),
        "a name twice": ('{"a": 1, "a": 2}', "/a"),
        "a name twice within": ('{"g": {"x~y": 1, "x~y": 1}}', "/g/x~0y"),
        "an escaped name twice": ('{"a": 1, "\\u0061": 2}', "/a"),
        "a lone surrogate": ('{"a": "\\ud800"}', "/a"),
        "a lone low surrogate": ('{"a": "x\\udc00"}', "/a"),
        "surrogates in the wrong order": ('{"a": "\\udc00\\ud800"}', "/a"),
        "a lone surrogate in a name": ('{"g": {"\\ud800": 1}}', "/g"),
        "U+0000": ('{"a": "\\u0000"}', "/a"),
        "U+0000 in a name": ('{"g": {"a\\u0000b": 1}}', "/g"),
    }
    for name, (updates, pointer) in bad.items():
        yield Row(
            name=f"updates, {name}",
            asks=[update(updates), update(updates, mode=2), update_loose(updates)],
            code="INVALID_ARGUMENT",
            reason="INVALID_JSON",
            pointer=pointer,
        )
    for depth in (65, 66, 200_000):
        yield Row(
            name=f"updates, depth {depth}",
            asks=[update(lambda depth=depth: _nested(depth))],  # type: ignore[misc]
            code="INVALID_ARGUMENT",
            reason="INVALID_JSON",
            pointer="/a" * 64,
        )
    yield Row(
        name="updates, lists in depth 100,000",
        asks=[update(lambda: '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}")],
        code="INVALID_ARGUMENT",
        reason="INVALID_JSON",
    )
    many: Mapping[str, Callable[[], str]] = {
        "a million keys": lambda: "{" + ",".join(f'"{n:x}":1' for n in range(1_000_000)) + "}",
        "a million items": lambda: '{"a": [' + ",".join("1" * 1_000_000) + "]}",
        "a million braces": lambda: '{"a": [' + "{}," * 1_000_000 + "1]}",
    }
    for name, text in many.items():
        yield Row(
            name=f"updates, {name}",
            asks=[update(text)],
            code="INVALID_ARGUMENT",
            reason="INVALID_JSON",
            says=["200000"],
        )
    broken = {
        "bare name": ("{a: 1}", 2),
        "single quotes": ("{'a': 1}", 2),
        "comma at the end": ('{"a": 1,}', 9),
        "comment": ('{"a": 1 /* x */}', 9),
        "cut off": ('{"a": "x', 7),
        "raw control character": ('{"a": "x\ty"}', 9),
        "leading zero": ('{"a": 01}', 8),
        "plus sign": ('{"a": +1}', 7),
    }
    for name, (updates, column) in broken.items():
        yield Row(
            name=f"updates, {name}",
            asks=[update(updates), update_loose(updates)],
            code="INVALID_ARGUMENT",
            reason="INVALID_JSON",
            metadata={"line": "1", "column": str(column)},
            kinds=("grpc", "connect"),
        )
        yield Row(
            name=f"updates, {name}, in a channel",
            asks=[update(updates), update_loose(updates)],
            code="INVALID_ARGUMENT",
            reason="INVALID_JSON",
            says=["line 1, column "],
            kinds=("ipc",),
        )
    yield Row(
        name="updates, no text",
        asks=[update(""), update_loose("")],
        code="INVALID_ARGUMENT",
        reason="INVALID_JSON",
    )


def _updates() -> Iterator[Row]:
    for text in ("[]", "5", "true", '"x"', "null", '[{"prompt": "x"}]'):
        yield Row(
            name=f"updates, {text}",
            asks=[update(text), update_loose(text)],
            code="INVALID_ARGUMENT",
            reason={"grpc": "INVALID_JSON", "connect": "INVALID_JSON", "ipc": "INVALID_FIELD"},
        )
    for text in ('{"id": "s2"}', '{"id": 1}', '{"id": null}', '{"prompt": "x", "id": ["s1"]}'):
        yield Row(
            name=f"updates, {text}",
            asks=[update(text), update(text, mode=2), update_loose(text)],
            code="INVALID_ARGUMENT",
            reason="IMMUTABLE_FIELD",
            field="updates_json",
            metadata={"pointer": "/id"},
        )
    yield Row(
        name="updates, sequencePlanId",
        asks=[update('{"sequencePlanId": "002"}'), update('{"sequencePlanId": null}', mode=2)],
        code="INVALID_ARGUMENT",
        reason="IMMUTABLE_FIELD",
        field="updates_json",
        metadata={"pointer": "/sequencePlanId"},
    )


def _conflicts() -> Iterator[Row]:
    stale = {"etag": "0" * 32}
    yield Row(
        name="etag, stale",
        asks=[update(**stale), update(**stale, request_id=UUID), update(**stale, mode=2)],
        code="ABORTED",
        reason="ETAG_MISMATCH",
    )
    yield Row(name="regular shot's etag, stale", asks=[update_loose(**stale)], code="ABORTED", reason="ETAG_MISMATCH")
    for name, etag in {
        "word": "x",
        "33 digits": "0" * 33,
        "quoted": f'"{"0" * 32}"',
        "weak": 'W/"0"',
        "any": "*",
    }.items():
        yield Row(
            name=f"etag, {name}",
            asks=[update(etag=etag), update_loose(etag=etag)],
            code="INVALID_ARGUMENT",
            reason="INVALID_FIELD",
            field="etag",
        )
    for request_id in ("x", "1", UUID[:-1], f"{{{UUID}}}", UUID.replace("-", ""), f"{UUID}\n", "٠" * 36):
        yield Row(
            name=f"request id, {request_id!r}",
            asks=[update(request_id=request_id), update_loose(request_id=request_id)],
            code="INVALID_ARGUMENT",
            reason="INVALID_FIELD",
            field="request_id",
        )
    reused = [
        update('{"prompt": "other"}', request_id=UUID),
        update(request_id=UUID, shot_id="s2"),
        update(request_id=UUID, mode=2),
        update(request_id=UUID, etag="0" * 32),
        update(request_id=UUID.upper(), shot_id="s3"),
    ]
    yield Row(
        name="request id, used for another change",
        given=is_.called(update(request_id=UUID)),
        asks=reused,
        code="INVALID_ARGUMENT",
        reason="REQUEST_ID_REUSED",
        field="request_id",
    )


def _numbers_and_pages() -> Iterator[Row]:
    def refused(name: str, *asks: Ask, field: str, kinds: Sequence[str], reason: str = "INVALID_FIELD") -> Row:
        return Row(name=name, asks=asks, code="INVALID_ARGUMENT", reason=reason, field=field, kinds=kinds)

    everyone, json_doors = ("grpc", "connect", "ipc"), ("connect", "ipc")
    for number in (999, -1, 3, 2**31 - 1):
        yield refused(f"mode {number}", update(mode=number), update_loose(mode=number), field="mode", kinds=everyone)
        yield refused(f"view {number}", sequences(view=number), field="view", kinds=everyone)
    for number in (-1, -(2**31)):
        yield refused(
            f"page size {number}",
            shots(page_size=number),
            sequences(page_size=number),
            field="page_size",
            kinds=everyone,
        )
    # Values that only JSON can say. Connect's own parser refuses them without naming the field.
    odd: Sequence[object] = ("SIDEWAYS", 2.5, True, [], {"a": 1})
    for value in odd:
        if value not in (2.5, True):  # which protobuf's parser takes for the numbers 2 and 1
            yield refused(f"mode {value!r}", update(mode=value), field="", kinds=("connect",))
        yield refused(f"mode {value!r} in a channel", update(mode=value), field="mode", kinds=("ipc",))
        yield refused(f"page size {value!r}", shots(page_size=value), field="", kinds=("connect",))
        yield refused(f"page size {value!r} in a channel", shots(page_size=value), field="page_size", kinds=("ipc",))
        if value == "SIDEWAYS":
            continue
        paths = [call(project_path=value) for call in (shots, update, sequences)]
        yield refused(f"path {value!r}", *paths, field="", kinds=json_doors)
        if value != 2.5:  # which is 2.5 as an id of a channel, as real files have numbers for ids
            ids = (shots(sequence_id=value), update(shot_id=value))
            yield refused(f"ids {value!r}", *ids, field="", kinds=json_doors)
    for large in (2**63, -(2**63) - 1):
        asks = (shots(page_size=large), update(mode=large))
        yield refused(f"number {large}", *asks, field="", kinds=("connect",))
        yield refused(f"number {large} in a channel", *asks, field="", kinds=("ipc",), reason="INVALID_JSON")
    for name, token in {"word": "x", "not ASCII": "é", "base64 of nothing": "bnVsbA", "deep": "W1tb" * 50_000}.items():
        lists = (shots(page_token=token), sequences(page_token=token))
        yield refused(f"page token, {name}", *lists, field="page_token", kinds=everyone)
    for name, of in {"another sequence": shots(sequence_id="002"), "another list": sequences()}.items():
        yield Row(
            name=f"page token, {name}",
            given=is_.page_token(of),
            asks=[shots(page_token="<token>"), sequences(project_path="<root>", page_token="<token>")],
            code="INVALID_ARGUMENT",
            reason="INVALID_FIELD",
            field="page_token",
        )
    yield Row(
        name="page token, of before a change",
        given=is_.then(is_.page_token(shots()), is_.called(update())),
        asks=[shots(page_token="<token>")],
        code="ABORTED",
        reason="PAGE_TOKEN_STALE",
    )


def _trouble() -> Iterator[Row]:
    file = {"file": "sequences/sequence_001.json"}

    def trouble(name: str, given: Situation, code: str, reason: str, *, retry: bool) -> Row:
        asks = [update(), update(request_id=UUID)]
        return Row(name=name, given=given, asks=asks, code=code, reason=reason, metadata=file, retry=retry)

    for name, number in is_.FULL.items():
        for operation in ("create", "write", "sync"):
            given = is_.disk(operation, number)
            yield trouble(f"disk, {name}, {operation}", given, "RESOURCE_EXHAUSTED", "DISK_FULL", retry=True)
    for operation in ("write", "sync"):
        given = is_.then(is_.called(update()), is_.disk(operation, errno.ENOSPC, ".shotline"))
        yield Row(
            name=f"disk, no space for the journal, {operation}",
            given=given,
            asks=[update('{"prompt": "later"}', request_id=UUID)],
            code="RESOURCE_EXHAUSTED",
            reason="DISK_FULL",
            retry=True,
        )
    for name, number in {"read-only": errno.EROFS, "not ours": errno.EACCES, "not permitted": errno.EPERM}.items():
        yield trouble(f"disk, {name}", is_.disk("create", number), "FAILED_PRECONDITION", "READ_ONLY", retry=False)
    for operation in ("create", "write", "sync"):
        yield trouble(
            f"disk, broken, {operation}", is_.disk(operation, errno.EIO), "UNAVAILABLE", "IO_ERROR", retry=True
        )
    yield trouble("disk, really full", is_.mounted("full"), "RESOURCE_EXHAUSTED", "DISK_FULL", retry=True)
    yield trouble("disk, really read-only", is_.mounted("read-only"), "FAILED_PRECONDITION", "READ_ONLY", retry=False)
    yield Row(
        name="lock held past the deadline",
        given=is_.locked,
        asks=[_hurried(update()), _hurried(update(request_id=UUID))],
        code="UNAVAILABLE",
        reason="LOCK_TIMEOUT",
        metadata=file,
        retry=True,
    )
    yield Row(
        name="deadline",
        given=is_.slow_disk,
        asks=[_hurried(shots()), _hurried(shot()), _hurried(sequences())],
        code="DEADLINE_EXCEEDED",
        reason="DEADLINE_EXCEEDED",
    )
    yield Row(
        name="one call over the limit",
        given=is_.full_house,
        asks=[shots(), update(), sequences()],
        code="RESOURCE_EXHAUSTED",
        reason="TOO_MANY_CALLS",
        retry=True,
    )
    large = {"authorization": "Bearer a-token-for-tests", "x-large": "x" * 20_480}
    for name, ask in {
        "message over 32 MiB": update(lambda: f'{{"prompt": "{"x" * (32 << 20)}"}}'),
        "metadata of 20 KB": _with(update(), large),
    }.items():
        yield Row(name=name, asks=[ask], code="RESOURCE_EXHAUSTED", reason="TOO_LARGE")
    for name, headers in {
        "no token": {},
        "wrong token": {"authorization": "Bearer wrong"},
        "no scheme": {"authorization": "a-token-for-tests"},
        "another scheme": {"authorization": "Basic a-token-for-tests"},
        "empty token": {"authorization": "Bearer "},
        "half a token": {"authorization": "Bearer a-token-for-test"},
    }.items():
        yield Row(
            name=name,
            asks=[_with(ask, headers) for ask in (update(), shots(), shots(project_path="/etc"))],
            code="UNAUTHENTICATED",
            reason="TOKEN_INVALID",
        )


def _hurried(ask: Ask) -> Ask:
    return Ask(method=ask.method, fields=ask.fields, timeout=0.3)


def _with(ask: Ask, headers: Mapping[str, str]) -> Ask:
    return Ask(method=ask.method, fields=ask.fields, headers=headers)
