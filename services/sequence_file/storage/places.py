"""From the paths that callers send to files that may be opened, and no others."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from services.sequence_file.domain import faults
from services.sequence_file.domain.ports import PROJECT_FILE

MAX_PATH_BYTES = 4096  # PATH_MAX of Linux
STATE_FOLDER = ".shotline"
SEQUENCES_FOLDER = "sequences"


@dataclass(frozen=True, slots=True)
class Place:
    """A file that is safe to name: below `root`, no link on the way."""

    root: str  # a real path that the operator allowed
    below: tuple[str, ...]  # folders between the root and the file
    name: str
    file: str  # what people call it: relative to the project folder

    @property
    def owner(self) -> tuple[str, ...]:
        """The folder whose `.shotline` belongs to this file: its project, by whatever link or root it is reached.

        Every server must come to the same folder, so only the file's real place counts.
        """
        return self.below[:-1] if _is_in_sequences(self.name, self.below) else self.below

    @property
    def key(self) -> str:
        """The file's name for its lock within the owner's folder."""
        return self.name if self.owner == self.below else f"{SEQUENCES_FOLDER}.{self.name}"


@dataclass(frozen=True, slots=True)
class ProjectFolder:
    """A project folder below an allowed root."""

    root: str
    below: tuple[str, ...]

    @property
    def path(self) -> str:
        """The real, absolute path."""
        return os.path.join(self.root, *self.below)


class Roots:
    """The folders below which projects may lie."""

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = tuple(os.path.realpath(root) for root in roots)

    def project(self, path: str) -> ProjectFolder:
        """The folder that a caller names. Raises INVALID_PROJECT_PATH, PROJECT_NOT_ALLOWED, PROJECT_NOT_FOUND."""
        _check(path)
        real = _real_folder(path)
        folder = self._below(real or os.path.realpath(path))
        if folder is None:
            raise faults.project_not_allowed()
        if real is None:
            raise faults.project_not_found(path)
        return folder

    def folder(self, project: ProjectFolder, name: str) -> ProjectFolder:
        """A folder of a project, links followed. Raises UNSAFE_FILE where they lead outside."""
        return self._allowed(_real(project.path, name), name)

    def entry(self, project: ProjectFolder, file: str) -> Place:
        """A file of a project by its relative path, links followed. Raises UNSAFE_FILE where they lead outside."""
        path, _, name = _real(project.path, *file.split("/")).rpartition(os.sep)
        folder = self._allowed(path or os.sep, file)
        if not folder.below and _is_in_sequences(name, tuple(folder.root.split(os.sep))):
            raise faults.unsafe_file(file, "it is a link into a project outside of the allowed folders")
        return Place(folder.root, folder.below, name, file)

    def log_place(self, project: ProjectFolder) -> Place:
        """A place that is in the log which tells of a project: that of its sequences, where they are a link's.

        Raises PROJECT_NOT_FOUND for a folder that is none, UNSAFE_FILE.
        """
        if os.path.lexists(os.path.join(project.path, SEQUENCES_FOLDER)):
            where = self.folder(project, SEQUENCES_FOLDER)
            return Place(where.root, where.below, SEQUENCES_FOLDER, SEQUENCES_FOLDER)
        if not os.path.lexists(os.path.join(project.path, PROJECT_FILE)):
            raise faults.project_not_found(project.path)
        return Place(project.root, project.below, PROJECT_FILE, PROJECT_FILE)

    def _allowed(self, real: str, file: str) -> ProjectFolder:
        if folder := self._below(real):
            return folder
        raise faults.unsafe_file(file, "it is a link that leads out of the allowed folders")

    def _below(self, real: str) -> ProjectFolder | None:
        for root in self._roots:
            if real == root:
                return ProjectFolder(root, ())
            prefix = root.rstrip(os.sep) + os.sep
            if real.startswith(prefix):
                return ProjectFolder(root, tuple(real[len(prefix) :].split(os.sep)))
        return None


def place_of_key(root: str, owner: tuple[str, ...], key: str) -> Place:
    """The place of a project's file by its `Place.key`."""
    prefix = f"{SEQUENCES_FOLDER}."
    if key.startswith(prefix):
        name = key.removeprefix(prefix)
        return Place(root, (*owner, SEQUENCES_FOLDER), name, f"{SEQUENCES_FOLDER}/{name}")
    return Place(root, owner, key, key)


def _is_in_sequences(name: str, folder: tuple[str, ...]) -> bool:
    """Whether a file stands in the sequences folder of a project. A project may be called `sequences` itself."""
    return name != PROJECT_FILE and folder[-1:] == (SEQUENCES_FOLDER,)


def refuse_unsafe(file: str, found: os.stat_result) -> None:
    """Raise UNSAFE_FILE for anything but a regular file that its mode lets somebody read."""
    if not stat.S_ISREG(found.st_mode):
        raise faults.unsafe_file(file, "it is not a regular file")
    refuse_unreadable(file, found)


def refuse_unreadable(file: str, found: os.stat_result) -> None:
    """Raise UNSAFE_FILE for what nobody may read by its mode: root could, but was not meant to."""
    if not found.st_mode & 0o444:
        raise faults.unsafe_file(file, "its mode lets nobody read it; try chmod u+r")


def _real_folder(path: str) -> str | None:
    """The real path of a folder; None where there is none."""
    try:
        # One walk by the kernel, where os.path.realpath looks at each name.
        descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _real(base: str, *names: str) -> str:
    """The real path of something below a real path; one look each where no link is met."""
    path = base
    for name in names:
        path = f"{path.rstrip(os.sep)}{os.sep}{name}"
        if os.path.islink(path):
            return os.path.realpath(os.path.join(base, *names))
    return path


def _check(path: str) -> None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise faults.invalid_project_path("is not valid Unicode") from None
    if not 1 <= size <= MAX_PATH_BYTES:
        raise faults.invalid_project_path(f"must be 1 to {MAX_PATH_BYTES} bytes")
    if "\0" in path:
        raise faults.invalid_project_path("must not contain U+0000")
    if not os.path.isabs(path):
        raise faults.invalid_project_path("must be an absolute path on the server")
    if ".." in path.split("/"):
        raise faults.invalid_project_path("must not contain ..")
    if any(len(name.encode()) > 255 for name in path.split("/")):
        raise faults.invalid_project_path("has a name of more than 255 bytes")
