"""`shotline up` and its database: one of its own that survives what happens to it, or one that is named."""

import os
import signal
import stat
import subprocess
import sys
import uuid
from pathlib import Path

import asyncpg
import grpc
import pytest
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.asset_graph.v1 import asset_graph_service_pb2_grpc as pb_grpc

from tests.e2e import projects
from tests.e2e.conftest import REPOSITORY, Shotline, Starter, is_running, wait_for
from tests.postgres import APP, Database, Server, apart, without_settings

BOTH_MODES = pytest.mark.parametrize("flags", [(), ("--processes",)], ids=["one process", "processes"])
ROOT = os.geteuid() == 0


def shotline_command(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.local.command", *map(str, words)],
        cwd=REPOSITORY,
        env={**without_settings(), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


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
        return stub.GetAsset(pb.GetAssetRequest(asset_id=asset_id), metadata=metadata(token), timeout=10)


def found(shotline: Shotline, asset: pb.Asset) -> bool:
    """Whether the asset can be read again; False while the database is away."""
    try:
        return get_asset(shotline.facts["asset_graph"], asset.id, shotline.where()[1]) == asset
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE, error
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


def postmaster(shotline: Shotline) -> int:
    file = (shotline.data / "postgres").resolve() / "cluster" / "postmaster.pid"
    return int(file.read_text().splitlines()[0])


@BOTH_MODES
def test_the_database_outlives_the_death_of_every_process(start_whole: Starter, flags: tuple[str, ...]) -> None:
    shotline = start_whole(*flags)
    asset = make_asset(shotline)
    assert names(shotline.facts["asset_graph_database_url"]) == ["Crossing"]  # the operator's role sees all
    for pid in (shotline.pid, *descendants(shotline.pid)):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    shotline._wait(10)
    shotline.start()
    assert found(shotline, asset)
    assert shotline.stop() == 0
    shotline.start()
    assert found(shotline, asset)


def test_postgresql_ends_with_a_killed_parent_and_the_next_start_takes_over(start_whole: Starter) -> None:
    shotline = start_whole()
    asset = make_asset(shotline)
    left = descendants(shotline.pid)
    assert postmaster(shotline) in left
    shotline.kill_parent()
    shotline.start()  # waits for them
    assert not any(map(is_running, left))
    assert found(shotline, asset)


@BOTH_MODES
def test_postgresql_is_started_again_when_it_dies(start_whole: Starter, tmp_path: Path, flags: tuple[str, ...]) -> None:
    shotline = start_whole(*flags)
    asset = make_asset(shotline)
    killed = postmaster(shotline)
    os.kill(killed, signal.SIGKILL)
    # Project folders need no database.
    project = projects.crossing(tmp_path / "film")
    shotline.ok("sequence:get-all", [str(project)])
    wait_for(lambda: found(shotline, asset), "the database is back")
    assert postmaster(shotline) != killed
    assert make_asset(shotline).name == "Crossing"
    assert shotline.stop() == 0
    assert "postgres (process" in shotline.data.with_suffix(".stderr").read_text()


def test_three_quick_deaths_of_postgresql_end_the_start(start_whole: Starter) -> None:
    shotline = start_whole()
    killed = 0
    for _ in range(3):

        def lives() -> bool:
            if not is_running(shotline.pid):
                return True
            try:
                pid = postmaster(shotline)
            except (OSError, IndexError):
                return False
            return pid != killed and is_running(pid)  # noqa: B023

        wait_for(lives, "a new one, or the end")
        killed = postmaster(shotline)
        os.kill(killed, signal.SIGKILL)
    assert shotline._wait(20) == 1
    said = shotline.data.with_suffix(".stderr").read_text()
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


@pytest.mark.parametrize("flags", [(), ("--processes",)], ids=["one process", "processes"])
def test_a_database_that_cannot_be_used_ends_the_start_with_the_reason(
    tmp_path: Path, embedded_database: Database, flags: tuple[str, ...]
) -> None:
    up = ("up", "--ports", "auto", "--root", tmp_path, *flags)
    theirs = shotline_command(*up, "--data", tmp_path / "1", SHOTLINE_DATABASE_URL=embedded_database.operator_url)
    assert theirs.returncode == 1
    assert APP in theirs.stderr
    assert "SHOTLINE_APP_DATABASE_URL" in theirs.stderr
    too_much = {**embedded_database.settings(), "SHOTLINE_APP_DATABASE_URL": embedded_database.operator_url}
    refused = shotline_command(*up, "--data", tmp_path / "2", **too_much)
    assert refused.returncode == 1
    assert "SHOTLINE_DATABASE_URL" in refused.stderr
    wrong = shotline_command(*up, "--data", tmp_path / "3", SHOTLINE_DATABASE_URL="sqlite://")
    assert wrong.returncode == 1
    for each in (theirs, refused, wrong):
        assert "Traceback" not in each.stderr
        assert each.stderr.startswith("error: "), each.stderr
        assert each.stderr.count("\n") == 1, each.stderr


def test_a_token_of_a_workspace_reaches_it_alone_and_no_project_folder(start: Starter, tmp_path: Path) -> None:
    shotline = start()
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
    shotline.stop()
    shotline.start()
    assert get_asset(shotline.facts["asset_graph"], asset.id, token) == asset  # the key stays
    status, _ = shotline.ipc("sequence:get-all", [str(project)], authorization=f"Bearer {everything}")
    assert status == 200
    (shotline.data / "token_key").unlink()
    shotline.stop()
    shotline.start()
    with pytest.raises(grpc.RpcError) as caught:
        get_asset(shotline.facts["asset_graph"], asset.id, token)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_processes_know_workspaces_too(start: Starter, tmp_path: Path) -> None:
    shotline = start("--processes")
    made = shotline_command("token", "create", "--data", shotline.data, "--workspace", "harbour")
    project = projects.crossing(tmp_path / "film")
    status, envelope = shotline.ipc("sequence:get-all", [str(project)], authorization=f"Bearer {made.stdout.strip()}")
    assert (status, envelope["reason"]) == (403, "PROJECT_NOT_ALLOWED")
    assert make_asset(shotline, token=made.stdout.strip()).workspace_id == "harbour"


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
