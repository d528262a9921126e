"""Generate the Python code of every contract: the only way that code under protos/gen comes to be.

Run with `make generate`; `--check` generates into a temporary folder and fails on any difference.
"""

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

PROTOS = Path(__file__).parent
GENERATED = PROTOS / "gen" / "python"
# Another version writes other bytes, and newer generated code refuses an older runtime.
TOOLS = {"grpcio-tools": "1.85.1", "mypy-protobuf": "5.1.0"}


def generate(into: Path) -> None:
    """Write the modules, their type stubs and the service configs of all contracts below `into`."""
    into.mkdir(parents=True, exist_ok=True)
    contracts = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.glob("shotline/*/v1/*.proto"))
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTOS}"),
            *(f"--plugin=protoc-gen-{name}={scripts / f'protoc-gen-{name}'}" for name in ("mypy", "mypy_grpc")),
            *(f"--{kind}_out={into}" for kind in ("python", "grpc_python", "mypy")),
            # All clients here are asynchronous.
            f"--mypy_grpc_out=only_async:{into}",
            *contracts,
        ],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    for config in PROTOS.glob("shotline/*/v1/service_config.json"):
        copied = Path(shutil.copy(config, into / config.relative_to(PROTOS)))
        copied.with_name("py.typed").touch()  # PEP 561: type checkers of those who install us may use the stubs


def differences(old: Path, new: Path) -> list[str]:
    """Relative paths that differ between two folders of generated code."""

    def files(root: Path) -> set[str]:
        return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts}

    both = files(old) & files(new)
    changed = {name for name in both if not filecmp.cmp(old / name, new / name, shallow=False)}
    return sorted((files(old) ^ files(new)) | changed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the committed code is out of date")
    check: bool = parser.parse_args().check
    for tool, wanted in TOOLS.items():
        if (found := version(tool)) != wanted:
            print(f"{tool} is {found}, but the contracts are generated with {wanted}", file=sys.stderr)
            return 1
    if not check:
        fresh = GENERATED.with_name(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        generate(fresh)
        # Swapped in the end, so that what runs meanwhile, and a failure, find the old code whole.
        shutil.rmtree(GENERATED, ignore_errors=True)
        fresh.rename(GENERATED)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "python"
        generate(fresh)
        stale = differences(GENERATED, fresh)
    for name in stale:
        print(f"out of date: protos/gen/python/{name} (run `make generate`)", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
