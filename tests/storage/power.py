"""Power cuts: a disk that writes down what is done to a project, and every state that a cut may leave.

The model is POSIX without a file system's kindness. What was written to a file is lost, torn or there
until the file is synced; what was done to a folder's names is undone or done, each on its own, until
the folder is synced. An exchange and a rename are one step.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from tests.storage.projects import UnsyncedDisk

# Names whose fate cannot matter: they come and go together, which keeps the number of states small.
_IMMATERIAL = (".gitignore", "requests.lock", ".lock", ".turn", "locks")


@dataclass(eq=False)
class File:
    """One file, whatever its names are."""

    durable: bytes = b""


@dataclass(eq=False)
class Folder:
    """One folder and its names as programs see them now."""

    names: dict[str, "Node"] = field(default_factory=dict)
    durable: dict[str, "Node"] = field(default_factory=dict)  # as they were when the recording began


Node = File | Folder
Tree = frozenset[tuple[str, bytes | None]]  # path -> content; None for a folder


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    what: str  # names, write, sync, told
    node: Node | None = None
    told: str = ""
    data: bytes = b""
    # On a folder: the names that change, each with what it then names; None: nothing.
    names: tuple[tuple[str, Node | None], ...] = ()


class Killed(BaseException):
    """The process is gone: nothing it still tries happens."""


class RecordingDisk(UnsyncedDisk):
    """Writes down every change of a project, and can stop as if the process had been killed."""

    def __init__(self, project: Path, before: "RecordingDisk | None" = None) -> None:
        super().__init__()
        self.project = str(project)
        self.kill_at: int | None = None  # number of events after which nothing happens any more
        self.root = before.root if before else _scanned(project)
        self.events: list[Event] = before.events if before else []
        self._open: dict[int, Node] = {}

    def tell(self, edit: str) -> None:
        """Somebody was told that the edit was made."""
        self.events.append(Event("told", told=edit))

    def _happen(self, event: Event) -> None:
        self._alive()
        self.events.append(event)

    def _alive(self) -> None:
        if self.kill_at is not None and len(self.events) >= self.kill_at:
            raise Killed

    def _folder(self, descriptor: int) -> Folder:
        found = self._open[descriptor]
        assert isinstance(found, Folder)
        return found

    def open_folder(self, root: str, *below: str) -> int:
        self._alive()
        descriptor = super().open_folder(root, *below)
        node: Node = self.root
        path = os.path.relpath(os.path.join(root, *below), self.project)
        for name in path.split("/") if path != "." else []:
            assert isinstance(node, Folder)
            node = node.names[name]
        self._open[descriptor] = node
        return descriptor

    def make_folder(self, folder: int, name: str) -> None:
        self._alive()
        super().make_folder(folder, name)
        if name not in self._folder(folder).names:
            self._name(folder, (name, Folder()))

    def open_to_read(self, folder: int, name: str) -> int:
        self._alive()
        descriptor = super().open_to_read(folder, name)
        self._open[descriptor] = self._folder(folder).names[name]
        return descriptor

    def create(self, folder: int, name: str, mode: int) -> int:
        self._alive()
        descriptor = super().create(folder, name, mode)
        self._enter(folder, name, descriptor)
        return descriptor

    def open_to_append(self, folder: int, name: str) -> int:
        self._alive()
        descriptor = super().open_to_append(folder, name)
        if name in self._folder(folder).names:
            self._open[descriptor] = self._folder(folder).names[name]
        else:
            self._enter(folder, name, descriptor)
        return descriptor

    def _enter(self, folder: int, name: str, descriptor: int) -> None:
        self._open[descriptor] = new = File()
        self._name(folder, (name, new))

    def write(self, descriptor: int, data: bytes) -> None:
        self._happen(Event("write", self._open[descriptor], data=data))
        super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._happen(Event("sync", self._open[descriptor]))

    def sync_folder(self, folder: int) -> None:
        self._happen(Event("sync", self._open[folder]))

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        super().close(descriptor)

    def exchange(self, folder: int, one: str, other: str) -> None:
        self._alive()
        super().exchange(folder, one, other)
        names = self._folder(folder).names
        self._name(folder, (one, names[other]), (other, names[one]))

    def rename(self, folder: int, old: str, new: str) -> None:
        self._alive()
        super().rename(folder, old, new)
        self._name(folder, (old, None), (new, self._folder(folder).names[old]))

    def remove(self, folder: int, name: str) -> None:
        self._alive()
        super().remove(folder, name)
        if name in self._folder(folder).names:
            self._name(folder, (name, None))

    def _name(self, folder: int, *names: tuple[str, Node | None]) -> None:
        here = self._folder(folder)
        event = Event("names", here, names=names)
        self.events.append(event)
        _apply(event, here.names)

    def try_lock(self, descriptor: int) -> bool:
        self._alive()
        return super().try_lock(descriptor)


def states(disk: RecordingDisk, points: Iterator[int] | range) -> dict[Tree, frozenset[str]]:
    """Every tree that a cut at one of the points may leave, with the edits that somebody had been told of by then."""
    found: dict[Tree, frozenset[str]] = {}
    for point in points:
        events = disk.events[:point]
        told = frozenset(event.told for event in events if event.what == "told")
        for tree in _trees(disk.root, events, ""):
            key = frozenset(tree.items())
            found[key] = max(found.get(key, frozenset()), told, key=len)
    return found


def materialise(tree: Tree, folder: Path) -> None:
    """Put the tree on the disk."""
    for path, content in sorted(tree, key=lambda item: item[0]):
        if content is None:
            (folder / path).mkdir(parents=True, exist_ok=True)
        else:
            (folder / path).write_bytes(content)


def _scanned(path: Path) -> Folder:
    names: dict[str, Node] = {}
    for each in path.iterdir():
        names[each.name] = _scanned(each) if each.is_dir() else File(each.read_bytes())
    return Folder(names, dict(names))


def _trees(folder: Folder, events: Sequence[Event], path: str) -> Iterator[dict[str, bytes | None]]:
    for names in _folder_options(folder, events):
        inner: list[list[dict[str, bytes | None]]] = []
        for name, node in names.items():
            where = f"{path}{name}"
            if isinstance(node, Folder):
                inner.append([{where: None, **below} for below in _trees(node, events, f"{where}/")])
            else:
                inner.append([{where: content} for content in _file_options(node, events, name)])
        for chosen in product(*inner):
            yield {where: content for each in chosen for where, content in each.items()}


def _file_options(file: File, events: Sequence[Event], name: str) -> list[bytes]:
    durable, pending = file.durable, b""
    edges = {0}
    for event in events:
        if event.node is not file:
            continue
        if event.what == "write":
            pending += event.data
            edges |= {len(pending), len(pending) - 1, len(pending) - len(event.data) // 2}
        elif event.what == "sync":
            durable, pending, edges = durable + pending, b"", {0}
    if name.endswith(_IMMATERIAL):
        return [durable + pending]
    return [durable + pending[:edge] for edge in sorted(edges)]


def _folder_options(folder: Folder, events: Sequence[Event]) -> list[dict[str, Node]]:
    durable = dict(folder.durable)
    pending: list[Event] = []
    for event in events:
        if event.node is not folder:
            continue
        if event.what == "sync":
            for each in pending:
                _apply(each, durable)
            pending = []
        else:
            pending.append(event)
    groups: list[list[Event]] = [[each] for each in pending if not _is_immaterial(each)]
    if immaterial := [each for each in pending if _is_immaterial(each)]:
        groups.append(immaterial)
    options: list[dict[str, Node]] = []
    for taken in product((False, True), repeat=len(groups)):
        names = dict(durable)
        for group, there in zip(groups, taken, strict=True):
            for each in group if there else ():
                _apply(each, names)
        if names not in options:
            options.append(names)
    return options


def _is_immaterial(event: Event) -> bool:
    return all(name.endswith(_IMMATERIAL) for name, _ in event.names)


def _apply(event: Event, names: dict[str, Node]) -> None:
    for name, node in event.names:
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node
