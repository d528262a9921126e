"""The table of bad input, first half: paths, and what stands in files and in their place."""

from collections.abc import Iterator, Mapping, Sequence

from tests.services import situations as is_
from tests.services.asking import Ask
from tests.services.bad_input import UUID, Row, Text, sequence, sequences, shot, shots, update, update_loose
from tests.services.situations import Situation


def rows() -> Iterator[Row]:
    """All about folders and files."""
    yield from _paths()
    yield from _unsafe_files()
    yield from _missing_and_twice()
    yield from _broken_files()


def _paths() -> Iterator[Row]:
    def everywhere(path: Text) -> Sequence[Ask]:
        return [call(project_path=path) for call in (sequences, shots, shot, sequence, update, update_loose)]

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
        whole = (sequences(), shots(), update(), shot(), update_loose())
        yield unsafe(name, is_.instead("sequences", put), *whole, file="sequences")
    yield unsafe("mode 000", is_.mode("sequences", 0), sequences(), shots(), update(), file="sequences")
    for name, put in {**links, **others, "a folder": is_.folder, "a link to itself": is_.link_to_itself}.items():
        loose = (shot(shot_id="loose"), update_loose(), update_loose(request_id=UUID))
        yield unsafe(name, is_.instead("project.json", put), *loose, file="project.json")
    yield unsafe("mode 000", is_.mode("project.json", 0), update_loose(), shot(shot_id="loose"), file="project.json")
    # What we keep in the project ourselves: nothing is written through a link there either.
    for name, put in {"a link out": is_.link_out, "a file": is_.plain_file, "a pipe": is_.pipe}.items():
        for state in (".shotline", ".shotline/locks"):
            yield unsafe(f"{state} is {name}", is_.instead(state, put), update(request_id=UUID), file=file)
    for state in ("locks/sequences.sequence_001.json.lock", "locks/sequences.sequence_001.json.turn", "changes.jsonl"):
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
    for name, raw, line, column in (
        ("broken", b'{"shots":\n  [}', 2, 4),
        ("empty", b"", 1, 1),
        ("a list", b"[]", 1, 1),
    ):
        yield Row(
            name=f"project.json, {name}",
            given=is_.content(raw, "project.json"),
            asks=[update_loose(), shot(shot_id="loose")],
            code="FAILED_PRECONDITION",
            reason="SEQUENCE_FILE_INVALID",
            metadata={"file": "project.json", "line": str(line), "column": str(column)},
        )
