"""The file that lets clients of this machine in is for its owner only."""

import os
import stat
import threading
from pathlib import Path

import pytest

from services.runtime import local_address
from services.runtime.local_address import LocalAddress

ADDRESS = LocalAddress(grpc="127.0.0.1:50050", http="http://127.0.0.1:8080", token="secret", pid=7)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "share" / "shotline"


def test_what_is_written_is_read(folder: Path) -> None:
    path = local_address.write(folder, ADDRESS)
    assert local_address.read(folder) == ADDRESS
    assert (mode(folder), mode(path)) == (0o700, 0o600)
    assert [path.name for path in folder.iterdir()] == ["connection.json"]
    local_address.remove(folder)
    local_address.remove(folder)
    with pytest.raises(FileNotFoundError):
        local_address.read(folder)


def test_modes_do_not_depend_on_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        path = local_address.write(folder, ADDRESS)
    finally:
        os.umask(before)
    assert (mode(folder), mode(path)) == (0o700, 0o600)


@pytest.mark.parametrize("loose", [0o750, 0o705, 0o720, 0o777])
def test_a_folder_that_is_open_to_others_is_refused_and_not_repaired(folder: Path, loose: int) -> None:
    local_address.write(folder, ADDRESS)
    folder.chmod(loose)
    with pytest.raises(PermissionError, match="chmod 700"):
        local_address.read(folder)
    with pytest.raises(PermissionError, match="chmod 700"):
        local_address.write(folder, ADDRESS)
    assert mode(folder) == loose


@pytest.mark.parametrize("loose", [0o640, 0o604, 0o620])
def test_a_file_that_is_open_to_others_is_refused(folder: Path, loose: int) -> None:
    local_address.write(folder, ADDRESS).chmod(loose)
    with pytest.raises(PermissionError, match="chmod 600"):
        local_address.read(folder)


@as_root
def test_a_file_of_another_user_is_refused(folder: Path) -> None:
    os.chown(local_address.write(folder, ADDRESS), 12_345, -1)
    with pytest.raises(PermissionError, match="uid 12345"):
        local_address.read(folder)


@as_root
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    local_address.write(folder, ADDRESS)
    os.chown(folder, 12_345, -1)
    with pytest.raises(PermissionError, match="uid 12345"):
        local_address.read(folder)
    with pytest.raises(PermissionError, match="uid 12345"):
        local_address.write(folder, ADDRESS)


def test_a_link_a_folder_or_a_pipe_in_its_place_is_refused_and_not_waited_for(folder: Path) -> None:
    path = local_address.write(folder, ADDRESS)
    target = path.rename(folder / "elsewhere.json")
    path.symlink_to(target)
    with pytest.raises(PermissionError, match="not a regular file"):
        local_address.read(folder)
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(PermissionError, match="not a regular file"):
        local_address.read(folder)
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(PermissionError, match="not a regular file"):
        local_address.read(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"grpc": "127.0.0.1:1"}'])
def test_a_file_of_something_else_is_named(folder: Path, content: str) -> None:
    local_address.write(folder, ADDRESS).write_text(content)
    with pytest.raises(ValueError, match=r"connection\.json is not a file of `shotline up`"):
        local_address.read(folder)


def test_a_reader_never_sees_half_a_file(folder: Path) -> None:
    local_address.write(folder, ADDRESS)
    over = threading.Event()

    def rewrite() -> None:
        while not over.is_set():
            local_address.write(folder, ADDRESS)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        assert all(local_address.read(folder) == ADDRESS for _ in range(300))
    finally:
        over.set()
        writer.join()
    assert [path.name for path in folder.iterdir()] == ["connection.json"]


def test_the_default_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert local_address.default_folder() == tmp_path / "shotline"
