"""The table of bad input: what is sent, in which situation, and the answer that is promised for it.

In texts `<project>`, `<root>` and `<outside>` stand for paths, and other `<words>` for what a
situation has noted. Texts that are too large to be kept are functions.
"""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as default

from tests.services import situations as is_
from tests.services.doors import Ask, Door
from tests.services.situations import Situation

Text = str | Callable[[], str]
UUID = "0195a1c2-7e00-7000-8000-000000000000"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    asks: Sequence[Ask]
    code: str
    reason: str | Mapping[str, str]  # or by the kind of door, where one refuses the value earlier
    given: Situation | None = None
    field: str = ""  # the request field that the answer names
    pointer: str | None = None  # within `updates_json`; a channel says it within all of its arguments
    metadata: Mapping[str, str] = default(default_factory=dict)
    says: Sequence[str] = ()  # words of the message
    retry: bool = False  # whether the answer says when to try again
    kinds: Sequence[str] = ("grpc", "connect", "ipc")  # of the doors that can be asked

    def reason_at(self, door: Door) -> str:
        return self.reason if isinstance(self.reason, str) else self.reason[door.kind]


def update(updates: Text = '{"prompt": "night"}', **fields: object) -> Ask:
    place: dict[str, object] = {"project_path": "<project>", "sequence_id": "001", "shot_id": "s1"}
    return Ask(method="UpdateShot", fields={**place, "updates_json": updates, **fields})


def update_loose(updates: Text = '{"prompt": "night"}', **fields: object) -> Ask:
    place: dict[str, object] = {"project_path": "<project>", "shot_id": "loose"}
    return Ask(method="UpdateProjectShot", fields={**place, "updates_json": updates, **fields})


def shots(**fields: object) -> Ask:
    return Ask(method="GetShots", fields={"project_path": "<project>", "sequence_id": "001", **fields})


def shot(**fields: object) -> Ask:
    return Ask(method="GetShot", fields={"project_path": "<project>", "shot_id": "s1", **fields})


def sequence(**fields: object) -> Ask:
    return Ask(method="GetSequence", fields={"project_path": "<project>", "sequence_id": "001", **fields})


def sequences(**fields: object) -> Ask:
    return Ask(method="ListSequences", fields={"project_path": "<project>", **fields})


def rows() -> Iterator[Row]:
    """The whole table."""
    yield from _ids()
    yield from _paths()
    yield from _unsafe_files()
    yield from _missing_and_twice()
    yield from _broken_files()
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
        "fullwidth digits": "００１",  # noqa: RUF001
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


def _paths() -> Iterator[Row]:
    def everywhere(path: Text) -> Sequence[Ask]:
        return [
            call(project_path=path) for call in (sequences, shots, shot, sequence, update, update_loose)
        ]

    bad = {
        "relative": "films/harbour",
        "dot": ".",
        "home": "~",
        "someone's home": "~root/films",
        "parent": "<project>/../../etc",
        "parent within": "<project>/../harbour",
        "windows": "C:\\films",
        "network": "\\\\host\\films",
        "url": "file://<project>",
        "empty": "",
        "5,000 characters": "/" + "x/" * 2500,
        "a name of 300 bytes": "<root>/" + "é" * 150,
        "newline before": "\n<project>",
    }
    for name, path in bad.items():
        yield Row(
            name=f"path, {name}",
            asks=everywhere(path),
            code="INVALID_ARGUMENT",
            reason="INVALID_PROJECT_PATH",
            field="project_path",
        )
    yield Row(
        name="path, U+0000",
        asks=everywhere("<project>\0"),
        code="INVALID_ARGUMENT",
        reason={"grpc": "INVALID_PROJECT_PATH", "connect": "INVALID_PROJECT_PATH", "ipc": "INVALID_JSON"},
    )
    yield Row(
        name="path, a lone surrogate",
        asks=everywhere("<project>\ud800"),
        code="INVALID_ARGUMENT",
        reason={"grpc": "INVALID_FIELD", "connect": "INVALID_FIELD", "ipc": "INVALID_JSON"},
    )
    elsewhere = {
        "root of the machine": "/",
        "system folder": "/etc",
        "missing": "/there/is/no/such/folder",
        "beside the root": "<root>-evil",
        "root by half its name": "<root>evil",
        "two slashes": "//etc",
        "another's memory": "/proc/self/cwd",
        "percent signs": "/%2e%2e/etc",
    }
    for name, path in elsewhere.items():
        yield Row(
            name=f"path, {name}",
            asks=everywhere(path),
            code="PERMISSION_DENIED",
            reason="PROJECT_NOT_ALLOWED",
        )
    yield Row(
        name="path, a link out of the root",
        given=is_.linked_project("outside"),
        asks=[*everywhere("<link>"), *everywhere("<link>/sequences")],
        code="PERMISSION_DENIED",
        reason="PROJECT_NOT_ALLOWED",
    )
    yield Row(
        name="path, a link to itself",
        given=is_.linked_project("itself"),
        asks=everywhere("<link>"),
        code="NOT_FOUND",
        reason="PROJECT_NOT_FOUND",
    )
    nowhere = {
        "unknown": "<root>/nobody",
        "the root": "<root>",
        "a file": "<project>/project.json",
        "its sequences": "<project>/sequences",
    }
    for name, path in nowhere.items():
        yield Row(
            name=f"path, {name}",
            asks=everywhere(path),
            code="NOT_FOUND",
            reason="PROJECT_NOT_FOUND",
            says=[path.rpartition("/")[2].replace("<root>", "films")],
        )


def _unsafe_files() -> Iterator[Row]:
    def unsafe(name: str, given: Situation, *asks: Ask, file: str) -> Row:
        return Row(
            name=f"{file}, {name}",
            given=given,
            asks=asks,
            code="FAILED_PRECONDITION",
            reason="UNSAFE_FILE",
            metadata={"file": file},
        )

    links: Mapping[str, is_.Put] = {
        "a link out": is_.link_out,
        "a relative link out": is_.relative_link_out,
        "a link to a link out": is_.link_to_a_link_out,
        "a dangling link out": is_.dangling_link_out,
    }
    others: Mapping[str, is_.Put] = {
        "a link to a device": is_.link_to_zeroes,
        "a pipe": is_.pipe,
        "a socket": is_.unix_socket,
        "a device": is_.device,
    }
    file = "sequences/sequence_001.json"
    for name, put in {**links, **others, "a folder": is_.folder, "a link to itself": is_.link_to_itself}.items():
        asks = (shots(), update(), update(request_id=UUID), sequence(), shot(sequence_id="001"))
        yield unsafe(name, is_.instead(file, put), *asks, file=file)
    yield unsafe("mode 000", is_.mode(file, 0), shots(), update(), sequence(), shot(sequence_id="001"), file=file)
    for name, put in {**links, **others, "a file": is_.plain_file, "a link to itself": is_.link_to_itself}.items():
        asks = (sequences(), shots(), update(), shot(), update_loose())
        yield unsafe(name, is_.instead("sequences", put), *asks, file="sequences")
    yield unsafe("mode 000", is_.mode("sequences", 0), sequences(), shots(), update(), file="sequences")
    for name, put in {**links, **others, "a folder": is_.folder, "a link to itself": is_.link_to_itself}.items():
        asks = (shot(shot_id="loose"), update_loose(), update_loose(request_id=UUID))
        yield unsafe(name, is_.instead("project.json", put), *asks, file="project.json")
    yield unsafe("mode 000", is_.mode("project.json", 0), update_loose(), shot(shot_id="loose"), file="project.json")
    # What we keep in the project ourselves: nothing is written through a link there either.
    for name, put in {"a link out": is_.link_out, "a file": is_.plain_file, "a pipe": is_.pipe}.items():
        for state in (".shotline", ".shotline/locks"):
            yield unsafe(f"{state} is {name}", is_.instead(state, put), update(request_id=UUID), file=file)
    for state in ("locks/sequences.sequence_001.json.lock", "locks/sequences.sequence_001.json.turn", "requests.jsonl"):
        yield unsafe(
            f"{state} is a link out",
            is_.instead(f".shotline/{state}", is_.dangling_link_out),
            update(request_id=UUID),
            file=file,
        )


def _missing_and_twice() -> Iterator[Row]:
    yield Row(
        name="unknown sequence",
        asks=[call(sequence_id="009") for call in (shots, update, sequence, shot)],
        code="NOT_FOUND",
        reason="SEQUENCE_NOT_FOUND",
        says=["'009'"],
    )
    yield Row(
        name="unknown shot",
        asks=[shot(shot_id="nobody"), shot(shot_id="nobody", sequence_id="1"), update(shot_id="nobody")],
        code="NOT_FOUND",
        reason="SHOT_NOT_FOUND",
        says=["'nobody'"],
    )
    yield Row(
        name="unknown regular shot",
        asks=[update_loose(shot_id="nobody")],
        code="NOT_FOUND",
        reason="SHOT_NOT_FOUND",
        says=["'nobody'"],
    )
    first, second = "sequences/sequence_001.json", "sequences/sequence_007.json"
    yield Row(
        name="two files with one id",
        given=is_.copied(first, second),
        asks=[call(sequence_id="001") for call in (shots, update, sequence, shot)],
        code="FAILED_PRECONDITION",
        reason="DUPLICATE_ID",
        metadata={"first": first, "second": second},
        says=[first, second],
    )
    yield Row(
        name="two shots with one id in a file",
        given=is_.shot_added(first, {"id": "s1"}),
        asks=[update(), shot(), shot(sequence_id="001")],
        code="FAILED_PRECONDITION",
        reason="DUPLICATE_ID",
        metadata={"first": f"{first} (shot 1)", "second": f"{first} (shot 4)"},
        says=["'s1'"],
    )
    yield Row(
        name="two shots with one id in two files",
        given=is_.shot_added("sequences/sequence_002.json", {"id": "s1"}),
        asks=[shot(), update_loose(shot_id="s1")],
        code="FAILED_PRECONDITION",
        reason="DUPLICATE_ID",
        metadata={"first": first, "second": "sequences/sequence_002.json"},
        says=["'s1'"],
    )


BROKEN: Mapping[str, tuple[bytes, int, int]] = {
    # What the file holds, and where that goes wrong.
    "empty": (b"", 1, 1),
    "white space": (b" \n ", 2, 2),
    "truncated": (b'{"id": "001",\n "shots": [{"id": "s1"', 2, 23),
    "truncated in a string": (b'{"id": "001", "shots": [{"id": "s1', 1, 32),
    "UTF-16": ('{"id": "001", "shots": []}'.encode("utf-16"), 1, 1),
    "bad UTF-8": (b'{"id": "001",\n "name": "caf\xe9", "shots": []}', 2, 14),
    "a list": (b"[]", 1, 1),
    "null": (b"null", 1, 1),
    "text": (b'"{}"', 1, 1),
    "no shots": (b'{"id": "001"}', 1, 1),
    "shots is null": (b'{"id": "001",\n"shots": null}', 2, 10),
    "shots is an object": (b'{"id": "001", "shots": {}}', 1, 24),
    "a shot is a number": (b'{"id": "001", "shots": [{"id": "s1"}, 5]}', 1, 39),
    "trailing comma": (b'{"id": "001", "shots": [],}', 1, 27),
    "trailing comma in shots": (b'{"id": "001", "shots": [{"id": "s1"},\n]}', 2, 1),
    "a name twice": (b'{"id": "001", "shots": [],\n "id": "002"}', 2, 2),
    "a name twice in a shot": (b'{"id": "001", "shots": [\n{"id": "s1", "a": 1, "a": 2}]}', 2, 1),
    "NaN": (b'{"id": "001", "order": NaN, "shots": []}', 1, 24),
    "comment": (b'{"id": "001", // first\n "shots": []}', 1, 15),
    "merge conflict": (b'{"id": "001",\n<<<<<<< HEAD\n "shots": []}', 2, 1),
    "something behind": (b'{"id": "001", "shots": []}\n{}', 2, 1),
    "a very deep value": (b'{"id": "001", "deep": ' + b"[" * 200_000 + b"]" * 200_000 + b', "shots": []}', 1, 23),
    "raw control character": (b'{"id": "001", "shots": [{"id": "s\n1"}]}', 1, 34),
    "zero bytes": (bytes(4096), 1, 1),
}


def _broken_files() -> Iterator[Row]:
    for name, (raw, line, column) in BROKEN.items():
        yield Row(
            name=f"file, {name}",
            given=is_.content(raw),
            asks=[shots(), update(), shot(sequence_id="001"), sequence()],
            code="FAILED_PRECONDITION",
            reason="SEQUENCE_FILE_INVALID",
            metadata={"file": "sequences/sequence_001.json", "line": str(line), "column": str(column)},
        )
    for name, raw, line, column in (("broken", b'{"shots":\n  [}', 2, 4), ("empty", b"", 1, 1), ("a list", b"[]", 1, 1)):
        yield Row(
            name=f"project.json, {name}",
            given=is_.content(raw, "project.json"),
            asks=[update_loose(), shot(shot_id="loose")],
            code="FAILED_PRECONDITION",
            reason="SEQUENCE_FILE_INVALID",
            metadata={"file": "project.json", "line": str(line), "column": str(column)},
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
        "a million keys": lambda: "{" + ",".join(f'"k{n}":1' for n in range(1_000_000)) + "}",
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
    for name, etag in {"word": "x", "33 digits": "0" * 33, "quoted": f'"{"0" * 32}"', "weak": 'W/"0"', "any": "*"}.items():
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
        asks = (shots(page_size=number), sequences(page_size=number))
        yield refused(f"page size {number}", *asks, field="page_size", kinds=everyone)
    # Values that only JSON can say. Connect's own parser refuses them without naming the field.
    for value in ("SIDEWAYS", [], 2**63):
        yield refused(f"mode {value!r}", update(mode=value), field="", kinds=("connect",))
    for value in ("SIDEWAYS", 2.5, True, []):
        yield refused(f"mode {value!r} in a channel", update(mode=value), field="mode", kinds=("ipc",))
    for value in ("many", 2.5, True, [], {}):
        yield refused(f"page size {value!r}", shots(page_size=value), field="", kinds=("connect",))
        yield refused(f"page size {value!r} in a channel", shots(page_size=value), field="page_size", kinds=("ipc",))
    yield refused("page size 2^63", shots(page_size=2**63), field="", kinds=("connect",))
    yield refused(
        "page size 2^63 in a channel", shots(page_size=2**63), field="", kinds=("ipc",), reason="INVALID_JSON"
    )
    for value in (5, True, [], {"a": 1}):
        asks = (shots(project_path=value), update(project_path=value), sequences(project_path=value))
        yield refused(f"path {value!r}", *asks, field="", kinds=json_doors)
    for value in (True, [], {"a": 1}):
        yield refused(f"ids {value!r}", shots(sequence_id=value), update(shot_id=value), field="", kinds=json_doors)
    for name, value in {"word": "x", "not ASCII": "é", "base64 of nothing": "bnVsbA", "deep": "W1tb" * 50_000}.items():
        asks = (shots(page_token=value), sequences(page_token=value))
        yield refused(f"page token, {name}", *asks, field="page_token", kinds=everyone)
    for name, of in {"another sequence": shots(sequence_id="002"), "another list": sequences()}.items():
        yield Row(
            name=f"page token, {name}",
            given=is_.page_token(of),
            asks=[shots(page_token="<token>"), sequences(project_path="<root>", page_token="<token>")],  # noqa: S106
            code="INVALID_ARGUMENT",
            reason="INVALID_FIELD",
            field="page_token",
        )
    yield Row(
        name="page token, of before a change",
        given=is_.then(is_.page_token(shots()), is_.called(update())),
        asks=[shots(page_token="<token>")],  # noqa: S106
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
        yield trouble(f"disk, broken, {operation}", is_.disk(operation, errno.EIO), "UNAVAILABLE", "IO_ERROR", retry=True)
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
        asks=[_hurried(shots()), _hurried(update()), _hurried(sequences())],
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
