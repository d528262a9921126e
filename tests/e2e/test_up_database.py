"""`shotline up` and its database: one of its own that survives what happens to it, or one that is named."""

import os
import signal
import stat
import uuid
from contextlib import suppress
from pathlib import Path

import asyncpg
import grpc
import pytest
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.asset_graph.v1 import asset_graph_service_pb2_grpc as pb_grpc

from tests.e2e import projects
from tests.e2e.conftest import Shotline, Starter, is_running, wait_for
from tests.postgres import APP, Database, Server, apart, shotline_command

BOTH_MODES = pytest.mark.parametrize("flags", [(), ("--processes",)], ids=["one process", "processes"])
ROOT = os.geteuid() == 0


def metadata(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def make_asset(shotline: Shotline, *, workspace: str = "harbour", token: str = "") -> pb.Asset:
    """A new asset, made by a client of the gateway."""
    request = pb.CreateAssetRequest(workspace_id=workspace, type="film", name="Crossing", request_id=str(uuid.uuid4()))
    with grpc.insecure_channel(shotline.facts["grpc"]) as channel:
        stub = pb_grpc.AssetGraphServiceStub(channel)
        return stub.CreateAsset(request, metadata=metadata(token or shotline.where()[1]), timeout=10)


def get_asset(address: str, asset_id: str, token: str) -> pb.Asset:
    with grpc.insecure_channel(address) as channel:
        stub = pb_grpc.AssetGraphServiceStub(channel)
        return stub.GetAsset(pb.GetAssetRequest(id=asset_id), metadata=metadata(token), timeout=10)


def found(shotline: Shotline, asset: pb.Asset, token: str = "") -> bool:
    """Whether the asset can be read again; False while the database is away."""
    try:
        read = get_asset(shotline.facts["asset_graph"], asset.id, token or shotline.where()[1])
        return (read.name, read.etag) == (asset.name, asset.etag)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False


def names(url: str) -> list[str]:
    async def ask() -> list[str]:
        connection = await asyncpg.connect(url)
        try:
            return [row["name"] for row in await connection.fetch("SELECT name FROM assets ORDER BY name")]
        finally:
            await connection.close()

    return apart(ask)


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(deeper for child in children for deeper in descendants(child))]


def postmaster(shotline: Shotline) -> int | None:
    """The process that serves the database; None while there is none."""
    file = (shotline.data / "postgres").resolve() / "cluster" / "postmaster.pid"
    with suppress(OSError, IndexError):  # being written, or not yet
        return int(file.read_text().splitlines()[0])
    return None


def kill_postmaster(shotline: Shotline) -> int:
    pid = postmaster(shotline)
    assert pid
    os.kill(pid, signal.SIGKILL)
    return pid


def test_the_database_outlives_its_start_however_that_ends(start_whole: Starter) -> None:
    shotline = start_whole()
    asset = make_asset(shotline)
    assert names(shotline.facts["asset_graph_database_url"]) == ["Crossing"]  # the operator's role sees all
    left = descendants(shotline.pid)
    assert postmaster(shotline) in left
    shotline.kill_parent()
    shotline.start()  # waits for what the killed one left
    assert not any(map(is_running, left))
    assert found(shotline, asset)
    for pid in (shotline.pid, *descendants(shotline.pid)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shotline._wait(10)
    shotline.start()
    assert found(shotline, asset)


@BOTH_MODES
def test_postgresql_is_started_again_when_it_dies_and_three_quick_deaths_end_the_start(
    start_whole: Starter, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    shotline = start_whole(*flags)
    asset = make_asset(shotline)
    project = projects.crossing(tmp_path / "film")
    killed = kill_postmaster(shotline)
    shotline.ok("sequence:get-all", [str(project)])  # project folders need no database
    wait_for(lambda: postmaster(shotline) not in (killed, None), "a new PostgreSQL")
    wait_for(lambda: found(shotline, asset), "the database is back")
    assert make_asset(shotline).name == "Crossing"

    def over() -> bool:
        pid = postmaster(shotline)
        if pid and is_running(pid):
            os.kill(pid, signal.SIGKILL)
        return not is_running(shotline.pid)

    wait_for(over, "the start has given up")
    assert shotline._wait(20) == 1
    said = shotline.data.with_suffix(".stderr").read_text()
    assert "it is started again" in said
    assert "3 times within seconds of its start" in said
    assert "postgres.log" in said
    assert not (shotline.data / "connection.json").exists()


def test_what_belongs_to_the_database_is_for_its_owner_only(start_whole: Starter) -> None:
    shotline = start_whole()
    data = shotline.data
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for secret in ("token_key", "app_password", "postgres/password", "logs/postgres.log"):
        assert stat.S_IMODE((data / secret).stat().st_mode) == 0o600, secret
    folder = (data / "postgres").resolve()
    assert folder.is_relative_to(data) is not ROOT
    inside = [path for path in folder.rglob("*") if not path.is_socket()]
    assert not [path for path in (folder, *inside) if path.lstat().st_mode & 0o022]
    password = (data / "app_password").read_text().strip()
    logs = "".join(path.read_text() for path in (data / "logs").iterdir())
    assert password not in logs
    assert (folder / "password").read_text().strip() not in logs
    lines = Path(f"/proc/{postmaster(shotline)}/environ"), Path(f"/proc/{postmaster(shotline)}/cmdline")
    assert not any(password in line.read_text() for line in lines)


def test_a_database_that_is_named_is_migrated_and_used(
    tmp_path: Path, postgres: Server, bare_database: Database
) -> None:
    shotline = Shotline(tmp_path, tmp_path / "data", database=bare_database)
    try:
        shotline.start()
        assert shotline.facts["asset_graph_database_url"] == bare_database.operator_url
        assert "postgres" not in shotline.facts["pids"]
        make_asset(shotline)
        assert names(bare_database.operator_url) == ["Crossing"]
        assert not (tmp_path / "data" / "postgres").exists()
    finally:
        shotline.end()


def refused(*words: object, **variables: str) -> str:
    """What `up` says that cannot start."""
    done = shotline_command("up", "--ports", "auto", *words, **variables)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_database_whose_role_somebody_else_has_set_up_is_asked_for(
    tmp_path: Path, embedded_database: Database
) -> None:
    data = ("--data", tmp_path / "data")
    said = refused(*data, SHOTLINE_DATABASE_URL=embedded_database.operator_url)
    assert APP in said
    assert "SHOTLINE_APP_DATABASE_URL" in said
    assert "SHOTLINE_DATABASE_URL" in refused(*data, SHOTLINE_DATABASE_URL="sqlite://")


@BOTH_MODES
def test_servers_do_not_start_with_a_role_that_sees_everything(
    tmp_path: Path, embedded_database: Database, flags: tuple[str, ...]
) -> None:
    too_much = {**embedded_database.settings(), "SHOTLINE_APP_DATABASE_URL": embedded_database.operator_url}
    assert "SHOTLINE_DATABASE_URL" in refused("--data", tmp_path / "data", *flags, **too_much)


@BOTH_MODES
def test_a_token_of_a_workspace_reaches_it_alone_and_no_project_folder(
    start: Starter, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    shotline = start(*flags)
    create = ("token", "create", "--data", shotline.data)
    made = shotline_command(*create, "--workspace", "harbour", "--name", "anna")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    asset = make_asset(shotline, token=token)
    with pytest.raises(grpc.RpcError) as caught:
        make_asset(shotline, workspace="forest", token=token)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    project = projects.crossing(tmp_path / "film")
    status, envelope = shotline.ipc("sequence:get-all", [str(project)], authorization=f"Bearer {token}")
    assert (status, envelope["reason"]) == (403, "PROJECT_NOT_ALLOWED")
    everything = shotline_command(*create, "--all-workspaces", "--expires", "5m").stdout.strip()
    status, _ = shotline.ipc("sequence:get-all", [str(project)], authorization=f"Bearer {everything}")
    assert status == 200
    shotline.stop()
    shotline.start()
    assert found(shotline, asset, token)  # what it was signed with stays


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--all-workspaces"),
        (("--workspace", "a", "--all-workspaces"), "--all-workspaces"),
        (("--workspace", "a b"), "workspace_id"),
        (("--workspace", "a", "--expires", "soon"), "30d"),
        (("--workspace", "a", "--expires", "99999999d"), "30d"),
        (("--workspace", "a", "--name", "two words"), "a name has"),
    ],
)
def test_a_token_that_cannot_be_is_refused(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    refused = shotline_command("token", "create", "--data", tmp_path / "data", *words)
    assert refused.returncode in (1, 2)
    assert refused.stdout == ""
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
