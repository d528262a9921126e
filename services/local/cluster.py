"""The folder of our own PostgreSQL cluster: where it lies, its password, its address.

    cluster/   PostgreSQL's data directory
    password   the operator's password, mode 0600
    socket/    where it listens; it listens nowhere else
    keeper     locked while a process runs PostgreSQL here
    lock       locked while anything of it lives, PostgreSQL's own processes included

It is `postgres` in the data folder. PostgreSQL does not run as root, and the user as whom it runs then cannot enter the
data folder, whose mode we do not loosen: there `postgres` is a link to a folder below /var/lib/shotline.
"""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from services.local.binaries import owner_of_new
from services.local.data_folder import put_secret
from services.runtime.settings import SettingsError

ROLE = "shotline"  # the operator: owns everything in the cluster
PORT = 5432  # of a socket no more than a part of its name
HOME = Path("/var/lib/shotline")  # of root's clusters

LINK = "postgres"
_LONGEST_SOCKET = 107  # bytes of a path; systems have 108 or 104 with the final zero
_SOCKET_NAME = f".s.PGSQL.{PORT}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster."""

    folder: Path
    socket: Path  # the folder it is in
    password: str

    def url(self, database: str, *, role: str = ROLE, password: str | None = None) -> str:
        """By which libpq, asyncpg and SQLAlchemy reach a database."""
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{role}:{secret}@/{database}?host={quote(str(self.socket))}&port={PORT}"


def existing(data: Path) -> Path | None:
    """The data directory of a data folder's cluster; None where there is none yet. SettingsError where it is gone."""
    folder = data / LINK
    _refuse_gone(folder)
    found = folder.resolve() / "cluster"
    return found if found.exists() else None


def existing_url(data: Path, database: str) -> str | None:
    """The URL of a database in an existing cluster, as far as it can be told from its folder."""
    folder = (data / LINK).resolve()
    socket = folder / "socket"
    if not (socket / _SOCKET_NAME).exists():
        return None
    return Cluster(folder, socket, _password(folder / "password")).url(database)


def refuse_other_version(cluster: Path, major: int) -> None:
    """SettingsError where another version of PostgreSQL has made the cluster."""
    made_by = (cluster / "PG_VERSION").read_text().strip()
    if made_by != str(major):
        raise SettingsError(
            f"the database in {cluster} was made by PostgreSQL {made_by}, and this is {major}: copy it over with "
            f"pg_dump of version {made_by}, or install the version of Shotline that made it"
        )


@contextmanager
def prepared(data: Path, home: Path = HOME) -> Iterator[Cluster]:
    """The cluster of a data folder that we hold; its folder is made when it is missing. SettingsError."""
    folder = _folder(data, home)
    password = _password(folder / "password")
    if len(os.fsencode(folder / "socket" / _SOCKET_NAME)) <= _LONGEST_SOCKET:
        yield Cluster(folder, folder / "socket", password)
        return
    with tempfile.TemporaryDirectory(prefix="shotline-", dir="/tmp", ignore_cleanup_errors=True) as short:
        owner = owner_of_new()
        if owner:  # it has to get to its socket: the folder is ours, and new
            os.chmod(short, 0o711)  # noqa: S103
        yield Cluster(folder, Path(short, "socket"), password)


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A home for clusters that nobody needs after the block. Whoever runs PostgreSQL can pass through it, which is not
    so of every folder for temporary files."""
    with tempfile.TemporaryDirectory(prefix="shotline-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)  # noqa: S103
        yield Path(folder)


def _folder(data: Path, home: Path) -> Path:
    link = data / LINK
    _refuse_gone(link)
    if not link.exists():
        if owner_of_new() is None:
            link.mkdir(mode=0o700)
        else:
            _make_home(home)
            # Random: a data folder that is removed and made again has a database of its own.
            target = home / f"{_plain(data.name)}-{secrets.token_hex(6)}"
            target.mkdir(mode=0o711)
            target.chmod(0o711)  # whatever the umask
            (target / "of").write_text(f"{data}\n")  # for people
            link.symlink_to(target)
    return link.resolve()


def _refuse_gone(link: Path) -> None:
    if link.is_symlink() and not link.exists():
        raise SettingsError(
            f"the database was in {os.readlink(link)}, which is not there: bring it back, or remove {link} to begin "
            "with an empty one"
        )


def _make_home(home: Path) -> None:
    if not home.exists():
        try:
            home.mkdir()
            home.chmod(0o711)  # to be gone through, not to be looked at
        except OSError as error:
            raise SettingsError(f"{home}, where databases of root lie, cannot be made: {error.strerror}") from None
    found = home.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise SettingsError(f"{home}: others can write there; it must belong to root alone")


def _password(path: Path) -> str:
    if not path.exists():
        put_secret(path, secrets.token_urlsafe(24))
    return path.read_text(encoding="ascii").strip()


def _plain(name: str) -> str:
    """What of a name is fit for another one."""
    return "".join(character for character in name if character.isascii() and character.isalnum())[:20] or "data"
