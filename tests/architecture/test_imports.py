"""The import rules, and that they are about something: every package has a place in them."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACED = {
    "services": {
        "kernel",
        "runtime",
        "asset_graph",
        "asset_graph.domain",
        "asset_graph.storage",
        "asset_graph.storage.migrations",
        "asset_graph.storage.migrations.versions",
        "sequence_file",
        "sequence_file.domain",
        "sequence_file.storage",
        "local",
    },
    "gateway": {"backends", "cli", "sdk.shotline.client"},
}
NOT_FORBIDDEN = {"cli", "__init__"}  # to the command-line client: itself, and the empty module above it


# What the Python client may import besides the standard library; import-linter cannot say it, as the client and the
# contracts, which everybody is kept from by name, share the name `shotline`.
CLIENT_MAY = {
    "google.protobuf",
    "grpc",
    "services.kernel",
    "services.runtime.channels",
    "services.runtime.local_address",
    "services.runtime.status",
    "shotline",
}
# Of the standard library: not on every system. And what our servers need.
LINUX_ONLY = ("fcntl", "grp", "pwd", "resource", "termios", "uvloop", "watchfiles", "asyncpg", "sqlalchemy", "uvicorn")


def contracts() -> list[dict[str, object]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[dict[str, object]] = settings["tool"]["importlinter"]["contracts"]
    return found


def test_every_package_has_a_place() -> None:
    for top, known in PLACED.items():
        inside = (path.parent.relative_to(ROOT / top) for path in (ROOT / top).glob("*/**/__init__.py"))
        packages = {".".join(path.parts) for path in inside}
        assert packages == known, f"place the new package of {top} in the import rules of pyproject.toml and here"


def test_the_command_line_client_is_kept_from_every_other_module_of_the_gateway() -> None:
    (rule,) = (
        contract for contract in contracts() if contract["name"] == "the command-line client speaks contracts only"
    )
    inside = [path for path in (ROOT / "gateway").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    assert rule["forbidden_modules"] == sorted(
        f"gateway.{path.stem}" for path in inside if path.stem not in NOT_FORBIDDEN
    )


def test_the_python_client_speaks_contracts_only() -> None:
    found = 0
    for path in (ROOT / "gateway/sdk").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, path
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            found += len(names)
            for name in names:
                parts = name.split(".")
                above = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
                assert parts[0] in sys.stdlib_module_names or above & CLIENT_MAY, f"{path} imports {name}"
    assert found > 50


def test_the_python_client_needs_nothing_that_only_some_systems_have() -> None:
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({LINUX_ONLY!r}))\n"
        "import shotline.client\n"
        "print(*(name for name in sys.modules if name.split('.')[0] in ('services', 'gateway')))\n"
    )
    paths = os.pathsep.join(str(ROOT / root) for root in ("", "protos/gen/python", "gateway/sdk"))
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    known = ("services", "services.kernel", "services.runtime")
    assert all(name in known or name.startswith(known[1:]) for name in done.stdout.split()), done.stdout


def test_the_rules_name_modules_that_exist() -> None:
    names = {
        str(name)
        for contract in contracts()
        for key in ("source_modules", "forbidden_modules", "modules")
        for name in contract.get(key, [])  # type: ignore[attr-defined]
    }
    ours = {name for name in names if name.split(".")[0] in PLACED}
    assert len(ours) > 8
    for name in ours:
        path = ROOT / name.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), name


def test_the_import_rules_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " kept, 0 broken" in done.stdout


def test_a_forbidden_import_is_found(tmp_path: Path) -> None:
    """The rules can fail: the same contracts over a copy in which a domain imports gRPC."""
    import shutil

    for top in (*PLACED, "protos/gen/python/shotline"):
        shutil.copytree(ROOT / top, tmp_path / Path(top).name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    broken = tmp_path / "services/sequence_file/domain/scan.py"
    broken.write_text(broken.read_text() + "\nimport grpc\n")
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c(['--no-cache'])"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "services.sequence_file.domain.scan -> grpc" in done.stdout
