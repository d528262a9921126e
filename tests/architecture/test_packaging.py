"""The built wheel holds all that runs, and nothing that does not. What is installed works and has types."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A program of a user: what it gets wrong are its last two lines.
PROGRAM = """\
from shotline.asset_graph.v1 import asset_graph_service_pb2_grpc
from shotline.client import AssetService, BlockingAssetService, Conflict


async def main() -> None:
    async with AssetService() as service:
        take = await service.get_selected_take("id")
        if take and take["video"]:
            duration: float | None = take["video"]["duration"]
        async for asset in service.list_assets("ws-123", "shot"):
            name: str = asset["name"]
        try:
            await service.update_asset("id", metadata={"selected": True}, etag="0" * 32)
        except Conflict as conflict:
            print(conflict.current, duration, name)


shot_id: str = BlockingAssetService().create_shot("ws-123", "Shot 1", parent_id="id")
print(AssetService.create_asset, asset_graph_service_pb2_grpc.__file__)
BlockingAssetService().create_shot(shot="Shot 1")
BlockingAssetService().get_asset("id")["nam"]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("shotline-*.whl")
    return built


def test_everything_can_be_imported_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        content.extractall(tmp_path)
        names = content.namelist()
    modules = [name[:-3].replace("/", ".").removesuffix(".__init__") for name in names if name.endswith(".py")]
    assert len(modules) > 50
    # main modules only start something when they are run
    code = (
        "import importlib, sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"for name in {modules!r}:\n"
        f"    assert importlib.import_module(name).__file__.startswith({str(tmp_path)!r}), name\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)


def test_the_wheel_holds_no_tests_contract_sources_or_other_clients(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        tops = {name.split("/")[0] for name in content.namelist()}
    assert tops - {"services", "gateway", "shotline"} == {next(top for top in tops if top.endswith(".dist-info"))}


def test_client_and_contracts_share_a_namespace(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
    assert len(names) == len(set(names))
    assert {"shotline/client/__init__.py", "shotline/client/py.typed"} <= set(names)
    assert {f"shotline/asset_graph/v1/{name}" for name in ("asset_graph_service_pb2.py", "service_config.json")} < set(
        names
    )
    # One package of that name would hide the other's half.
    assert "shotline/__init__.py" not in names
    assert not [name for name in names if "sdk" in name]


@pytest.mark.parametrize("editable", [False, True], ids=["wheel", "editable"])
def test_an_installed_client_runs_and_has_types(wheel: Path, tmp_path: Path, editable: bool) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    packages = sysconfig.get_path("purelib")
    # What we depend on is where this interpreter has it, and the Shotline of this interpreter, if any, stays out.
    others = tmp_path / "others"
    others.mkdir()
    for entry in Path(packages).iterdir():
        if not entry.name.startswith(("shotline", "_shotline", "services", "gateway")) and entry.suffix != ".pth":
            (others / entry.name).symlink_to(entry)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SHOTLINE_"))}
    clean["PYTHONPATH"] = str(others)
    what = ["--no-build-isolation", "-e", str(ROOT)] if editable else [str(wheel)]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", *what]
    subprocess.run(pip, env=clean, check=True, capture_output=True)

    found = (
        "import shotline.client, shotline.asset_graph.v1.asset_graph_service_pb2 as contract\n"
        "import services, gateway\n"
        "for module in (shotline.client, contract, services, gateway): print(module.__file__)\n"
    )
    done = subprocess.run([python, "-c", found], env=clean, cwd=tmp_path, check=True, capture_output=True, text=True)
    # Of an editable install the files themselves, not copies that stay as they were.
    home = ROOT if editable else tmp_path / "venv"
    assert all(Path(line).is_relative_to(home) for line in done.stdout.splitlines()), done.stdout

    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    mypy = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        str(python),
        "--config-file=",
        program.name,
    ]
    clean.pop("PYTHONPATH")
    typed = subprocess.run(mypy, env=clean, cwd=tmp_path, capture_output=True, text=True, check=False)
    lines = PROGRAM.splitlines()
    wrong = {int(line.split(":")[1]) for line in typed.stdout.splitlines() if ": error:" in line}
    assert wrong == {len(lines) - 1, len(lines)}, typed.stdout + typed.stderr
