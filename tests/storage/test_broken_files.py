"""U7: a half-written or broken file is an error, not an empty list. And every bad input that is a file."""

import asyncio
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.kernel.faults import Code, Fault
from services.sequence_file.domain.document import BOM
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.ports import Outcome, Target
from services.sequence_file.storage.disk import Disk
from services.sequence_file.storage.documents import signature
from tests.storage import projects
from tests.storage.projects import SEQUENCE, Server

WHOLE = projects.sequence(sequence_id="002")
OTHER = "sequences/sequence_002.json"
THE_OTHER = Target(name="sequence '002'", choose=lambda _: OTHER)


def read_the_shot(draft: Draft) -> Outcome:
    """A change that changes nothing: it gets as far as the file lets it."""
    return Outcome(shots=(draft.shot("s1"),))


def settle(path: Path) -> None:
    """Make the file look as if it had not been written just now."""
    os.utime(path, (1e9, 1e9))


def naive_list(project: Path) -> list[str]:
    """The incumbent: a file that cannot be read is an empty list of shots."""
    try:
        shots = json.loads((project / OTHER).read_bytes())["shots"]
    except (ValueError, KeyError, OSError):
        return []
    return [shot["id"] for shot in shots]


BROKEN = {
    "empty": (b"", 1, 1),
    "only white space": (b" \n ", 2, 2),
    "truncated": (WHOLE[: len(WHOLE) // 2], None, None),
    "truncated behind the last shot": (WHOLE[: WHOLE.rindex(b"]")], None, None),
    "UTF-16": (WHOLE.decode().encode("utf-16"), 1, 1),
    "UTF-16 without a mark": (WHOLE.decode().encode("utf-16-le"), 1, 2),
    "bad UTF-8": (WHOLE.replace(b"002", b"00\xff", 1), 2, 12),
    "a list at the top": (b"[]", 1, 1),
    "null": (b"null", 1, 1),
    "a number": (b"1", 1, 1),
    "a text": (b'"shots"', 1, 1),
    "no shots": (b'{"id": "002"}', 1, 1),
    "shots is null": (b'{"id": "002",\n "shots": null}', 2, 11),
    "shots is an object": (b'{"id": "002",\n "shots": {}}', 2, 11),
    "a shot that is no object": (b'{"shots": [{"id": "s1"},\n 7]}', 2, 2),
    "trailing comma in a list": (b'{"id": "002", "shots": [\n{"id": "s1"},\n]}', 3, 1),
    "trailing comma in an object": (b'{"id": "002", "shots": [],\n}', 2, 1),
    "duplicate key at the top": (b'{"id": "002",\n "shots": [],\n "shots": []}', 3, 2),
    "duplicate key in a shot": (b'{"id": "002", "shots": [\n{"id": "s1", "id": "s2"}]}', 2, None),
    "NaN": (b'{"id": "002", "shots": [\n{"n": NaN}]}', 2, None),
    "a control character": (b'{"id": "002", "shots": [\n{"n": "\x01"}]}', 2, None),
    "two documents": (b'{"shots": []}\n{"shots": []}', 2, 1),
    "a comment": (b'{"shots": []} // done', 1, 15),
    "nested too deeply": (b'{"shots": [' + b"[" * 200_000, 1, None),
}


@pytest.mark.parametrize(("raw", "line", "column"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_file_is_named_with_its_place_and_is_not_touched(
    project: Path, server: Server, raw: bytes, line: int | None, column: int | None
) -> None:
    (project / OTHER).write_bytes(raw)
    settle(project / OTHER)
    before = signature((project / OTHER).stat())
    for attempt in (
        server.library.sequence(server.path, "002"),
        server.library.shot(server.path, "002", "s1"),
        server.files.change(
            server.path,
            THE_OTHER,
            read_the_shot,
            projects.caller(),
        ),
        server.files.change(
            server.path,
            THE_OTHER,
            read_the_shot,
            projects.caller(projects.request()),
        ),
    ):
        with pytest.raises(Fault) as caught:
            await attempt
        assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "SEQUENCE_FILE_INVALID")
        place = int(caught.value.metadata["line"]), int(caught.value.metadata["column"])
        assert caught.value.metadata["file"] == OTHER
        assert place >= (1, 1)
        assert place == (line or place[0], column or place[1])
        assert f"{OTHER}, line {place[0]}, column {place[1]}" in caught.value.message
    listed = await server.files.project(server.path)
    assert [each.id for each in listed.sequences] == ["001"]
    assert [(each.file, each.fault.reason) for each in listed.unreachable] == [(OTHER, "SEQUENCE_FILE_INVALID")]
    assert (project / OTHER).read_bytes() == raw
    assert signature((project / OTHER).stat()) == before
    assert not projects.litter(project)


def test_the_incumbent_answers_an_empty_list_for_a_broken_file(project: Path) -> None:
    (project / OTHER).write_bytes(WHOLE[:100])
    assert naive_list(project) == []  # and its next save wipes the file


async def test_a_good_file_beside_a_broken_one_takes_edits(project: Path, server: Server) -> None:
    (project / OTHER).write_bytes(b"{")
    settle(project / OTHER)
    await server.count("s1", "edit")
    assert projects.times_made(project, "s1", "edit") == 1


@pytest.mark.parametrize("ask", ["list", "read", "update"])
async def test_a_file_that_becomes_whole_within_150_ms_is_read_as_if_nothing_had_been(
    project: Path, server: Server, ask: str
) -> None:
    raw = (project / SEQUENCE).read_bytes()
    with (project / SEQUENCE).open("wb", buffering=0) as file:
        file.write(raw[:100])
        finish = threading.Timer(0.06, file.write, [raw[100:]])
        finish.start()
        if ask == "list":
            assert not (await server.files.project(server.path)).unreachable
        elif ask == "read":
            assert (await server.shot("s3")).id == "s3"
        else:
            await server.count("s3", "edit")
            assert projects.times_made(project, "s3", "edit") == 1
        finish.join()


async def test_a_file_that_stays_half_written_is_given_150_ms_and_no_more(project: Path, server: Server) -> None:
    (project / SEQUENCE).write_bytes((project / SEQUENCE).read_bytes()[:100])
    began = time.monotonic()
    with pytest.raises(Fault) as caught:
        await server.shot("s1")
    assert caught.value.reason == "SEQUENCE_FILE_INVALID"
    assert 0.14 < time.monotonic() - began < 1


async def test_a_file_that_was_repaired_is_read_again(project: Path, server: Server) -> None:
    raw = (project / SEQUENCE).read_bytes()
    for broken in (raw[:50], b"", raw.replace(b"[", b"(", 1)):
        (project / SEQUENCE).write_bytes(broken)
        settle(project / SEQUENCE)
        with pytest.raises(Fault):
            await server.shot("s1")
        (project / SEQUENCE).write_bytes(raw)
        assert (await server.shot("s1")).id == "s1"


async def test_a_byte_order_mark_is_accepted_and_kept(project: Path, server: Server) -> None:
    (project / SEQUENCE).write_bytes(BOM + (project / SEQUENCE).read_bytes())
    await server.update("s1", {"note": "x"})
    raw = (project / SEQUENCE).read_bytes()
    assert raw.startswith(BOM + b"{")
    assert json.loads(raw[3:])["shots"][0]["note"] == "x"


async def test_two_files_with_one_id_are_both_named_and_neither_is_changed(project: Path, server: Server) -> None:
    (project / OTHER).write_bytes(raw := projects.sequence(sequence_id="001"))
    before = (project / SEQUENCE).read_bytes()
    for attempt in (server.shot("s1"), server.count("s1", "edit"), server.update("s1", {"n": 1})):
        with pytest.raises(Fault) as caught:
            await attempt
        assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "DUPLICATE_ID")
        assert SEQUENCE in caught.value.message
        assert OTHER in caught.value.message
    listed = await server.files.project(server.path)
    assert not listed.sequences
    assert [each.file for each in listed.unreachable] == [SEQUENCE, OTHER]
    assert ((project / SEQUENCE).read_bytes(), (project / OTHER).read_bytes()) == (before, raw)


async def test_two_shots_with_one_id_are_both_named_and_the_others_take_edits(project: Path, server: Server) -> None:
    raw = (project / SEQUENCE).read_bytes().replace(b'"s2"', b'"s1"')
    (project / SEQUENCE).write_bytes(raw)
    for attempt in (server.shot("s1"), server.update("s1", {"n": 1})):
        with pytest.raises(Fault) as caught:
            await attempt
        assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "DUPLICATE_ID")
        assert "shot 1" in caught.value.message
        assert "shot 2" in caught.value.message
    assert (project / SEQUENCE).read_bytes() == raw
    await server.update("s3", {"n": 1})
    assert projects.shot_on_disk(project, "s3")["n"] == 1


def link_out(path: Path) -> None:
    outside = path.parents[3] / "outside.json"
    outside.write_bytes(WHOLE)
    path.symlink_to(outside)


def link_up_and_out(path: Path) -> None:
    link_out(path)
    path.rename(path.with_name("hidden"))
    path.symlink_to("hidden")


def link_in_a_circle(path: Path) -> None:
    path.symlink_to(path.name)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path may have 108 characters only
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)


def device(path: Path) -> None:
    if os.geteuid() == 0:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero: endless
    else:
        path.symlink_to("/dev/zero")


def mode_000(path: Path) -> None:
    path.write_bytes(WHOLE)
    path.chmod(0)


@pytest.mark.parametrize(
    "make", [link_out, link_up_and_out, link_in_a_circle, pipe, unix_socket, device, mode_000, Path.mkdir]
)
async def test_what_is_no_plain_readable_file_is_refused_at_once_and_left_alone(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    project = projects.make(tmp_path / "root" / "project")
    make(project / OTHER)
    server = Server(project)
    try:
        before = signature((project / OTHER).lstat())
        began = time.monotonic()
        for attempt in (
            server.library.sequence(server.path, "002"),
            server.files.change(
                server.path,
                THE_OTHER,
                read_the_shot,
                projects.caller(),
            ),
        ):
            with pytest.raises(Fault) as caught:
                await attempt
            assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "UNSAFE_FILE")
            assert OTHER in caught.value.message
        listed = await server.files.project(server.path)
        assert [(each.file, each.fault.reason) for each in listed.unreachable] == [(OTHER, "UNSAFE_FILE")]
        assert [each.id for each in listed.sequences] == ["001"]
        assert time.monotonic() - began < 1
        assert signature((project / OTHER).lstat()) == before
    finally:
        server.close()


@pytest.mark.parametrize("make", [link_out, link_in_a_circle, pipe, Path.touch, device])
async def test_a_sequences_folder_that_is_none_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    project = tmp_path / "a" / "root" / "project"
    project.mkdir(parents=True)
    make(project / "sequences")
    server = Server(project)
    try:
        for attempt in (server.files.project(server.path), server.shot("s1"), server.count("s1", "edit")):
            with pytest.raises(Fault) as caught:
                await attempt
            assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "UNSAFE_FILE")
    finally:
        server.close()


async def test_a_sequences_folder_that_leads_out_is_refused(tmp_path: Path) -> None:
    outside = projects.make(tmp_path / "outside")
    project = tmp_path / "root" / "project"
    project.mkdir(parents=True)
    (project / "sequences").symlink_to(outside / "sequences")
    server = Server(project)
    try:
        for attempt in (server.files.project(server.path), server.shot("s1"), server.count("s1", "edit")):
            with pytest.raises(Fault) as caught:
                await attempt
            assert caught.value.reason == "UNSAFE_FILE"
        assert projects.times_made(outside, "s1", "edit") == 0
        assert not (outside / ".shotline").exists()
    finally:
        server.close()


async def test_a_link_within_the_root_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    project, other = projects.make(tmp_path / "project"), projects.make(tmp_path / "other")
    (project / SEQUENCE).unlink()
    (project / SEQUENCE).symlink_to(other / SEQUENCE)
    server = Server(project)
    await server.count("s1", "edit", projects.request())
    server.close()
    assert (project / SEQUENCE).is_symlink()
    assert projects.times_made(other, "s1", "edit") == 1
    assert (other / ".shotline").is_dir()  # one lock, whichever way one comes


class Swapping(Disk):
    """Another program puts something else in the place of the file between the look and the opening."""

    def __init__(self, swap: Callable[[], None]) -> None:
        super().__init__()
        self.swap: Callable[[], None] | None = swap

    def _now(self) -> None:
        if self.swap:
            self.swap()
            self.swap = None

    def open_to_read(self, folder: int, name: str) -> int:
        self._now()
        return super().open_to_read(folder, name)


class SwappingFolder(Swapping):
    """The same for the folder."""

    def open_folder(self, root: str, *below: str) -> int:
        if below and below[-1] == "sequences":
            self._now()
        return super().open_folder(root, *below)

    def open_to_read(self, folder: int, name: str) -> int:
        return Disk.open_to_read(self, folder, name)


@pytest.mark.parametrize("make", [link_out, pipe, device, Path.mkdir])
@pytest.mark.parametrize("ask", ["read", "update"])
async def test_a_file_swapped_between_check_and_open_is_not_read(
    tmp_path: Path, make: Callable[[Path], None], ask: str
) -> None:
    project = projects.make(tmp_path / "root" / "project")

    def swap() -> None:
        (project / SEQUENCE).unlink()
        make(project / SEQUENCE)

    server = Server(project, Swapping(swap))
    try:
        with pytest.raises(Fault) as caught:
            await (server.shot("s1") if ask == "read" else server.count("s1", "edit"))
        assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "UNSAFE_FILE")
    finally:
        server.close()


async def test_a_folder_swapped_between_check_and_open_is_not_read(tmp_path: Path) -> None:
    project = projects.make(tmp_path / "root" / "project")
    outside = projects.make(tmp_path / "outside")

    def swap() -> None:
        (project / "sequences").rename(project / "old")
        (project / "sequences").symlink_to(outside / "sequences")

    server = Server(project, SwappingFolder(swap))
    try:
        with pytest.raises(Fault) as caught:
            await server.count("s1", "edit")
        assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "UNSAFE_FILE")
        assert projects.times_made(outside, "s1", "edit") == 0
    finally:
        server.close()


@pytest.mark.parametrize("planted", [link_out, pipe, Path.touch])
async def test_a_state_folder_that_is_none_stops_the_edit_and_nothing_else(
    tmp_path: Path, planted: Callable[[Path], None]
) -> None:
    project = projects.make(tmp_path / "a" / "root" / "project")
    planted(project / ".shotline")
    before = (project / SEQUENCE).read_bytes()
    server = Server(project)
    try:
        with pytest.raises(Fault) as caught:
            await server.count("s1", "edit", projects.request())
        assert (caught.value.code, caught.value.reason) == (Code.FAILED_PRECONDITION, "UNSAFE_FILE")
        assert (await server.shot("s1")).id == "s1"
        assert (project / SEQUENCE).read_bytes() == before
    finally:
        server.close()


async def test_a_log_that_is_a_link_is_not_followed(project: Path, server: Server, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (project / ".shotline").mkdir()
    (project / ".shotline" / "changes.jsonl").symlink_to(target)
    with pytest.raises(Fault) as caught:
        await server.count("s1", "edit", projects.request())
    assert caught.value.reason == "UNSAFE_FILE"
    assert target.read_bytes() == b"precious"


async def test_many_broken_files_do_not_add_up_their_patience(project: Path, server: Server) -> None:
    for number in range(10, 30):
        (project / f"sequences/sequence_0{number}.json").write_bytes(b"{")
    began = time.monotonic()
    listed, again = await asyncio.gather(*(server.files.project(server.path) for _ in range(2)))
    assert len(listed.unreachable) == len(again.unreachable) == 20
    assert time.monotonic() - began < 1
