"""Power cuts: a disk that writes down what is done to a project, and every state that a cut may leave.

The model is POSIX without a file system's kindness. What was written to a file is lost, torn or there
until the file is synced; what was done to a folder's names is undone or done, each on its own, until
the folder is synced. An exchange and a rename are one step, also a rename into another folder.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from tests.storage.projects import UnsyncedDisk

# Names whose fate cannot matter: they come and go together, which keeps the number of states small. Locks die with the
# power. A version is worth less than an edit: whether one is there is asked elsewhere, that it is whole everywhere.
_IMMATERIAL = (".gitignore", ".lock", ".turn", ".copy")
_IMMATERIAL_FOLDERS = {"locks", "history"}


@dataclass(eq=False)
class File:
    """One file, whatever its names are."""

    durable: bytes = b""


@dataclass(eq=False)
class Folder:
    """One folder and its names as programs see them now."""

    names: dict[str, "Node"] = field(default_factory=dict)
    durable: dict[str, "Node"] = field(default_factory=dict)  # as they were when the recording began
    material: bool = True


Node = File | Folder
Tree = frozenset[tuple[str, bytes | None]]  # path -> content; None for a folder


@dataclass(frozen=True, eq=False)
class Event:
    """One thing that happened."""

    what: str  # names, write, sync, told
    node: Node | None = None
    told: str = ""
    data: bytes = b""
    # The names that change, each with its folder and what it then names; None: nothing.
    names: tuple[tuple[Folder, str, Node | None], ...] = ()

    @property
    def material(self) -> bool:
        return any(folder.material and not name.endswith(_IMMATERIAL) for folder, name, _ in self.names)


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
        here = self._folder(folder)
        if name not in here.names:
            self._name((here, name, Folder(material=here.material and name not in _IMMATERIAL_FOLDERS)))

    def open_to_read(self, folder: int, name: str) -> int:
        self._alive()
        descriptor = super().open_to_read(folder, name)
        self._open[descriptor] = self._folder(folder).names[name]
        return descriptor

    def create(self, folder: int, name: str, mode: int | None) -> int:
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
        self._name((self._folder(folder), name, new))

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
        here = self._folder(folder)
        self._name((here, one, here.names[other]), (here, other, here.names[one]))

    def rename(self, folder: int, old: str, new: str) -> None:
        self._alive()
        super().rename(folder, old, new)
        here = self._folder(folder)
        self._name((here, old, None), (here, new, here.names[old]))

    def rename_new(self, folder: int, old: str, new: str) -> None:
        self._alive()
        super().rename_new(folder, old, new)
        here = self._folder(folder)
        self._name((here, old, None), (here, new, here.names[old]))

    def move(self, folder: int, old: str, into: int, new: str) -> None:
        self._alive()
        super().move(folder, old, into, new)
        here = self._folder(folder)
        self._name((here, old, None), (self._folder(into), new, here.names[old]))

    def link(self, folder: int, name: str, into: int, new: str) -> None:
        self._alive()
        super().link(folder, name, into, new)
        self._name((self._folder(into), new, self._folder(folder).names[name]))

    def remove(self, folder: int, name: str) -> None:
        self._alive()
        super().remove(folder, name)
        here = self._folder(folder)
        if name in here.names:
            self._name((here, name, None))

    def stat_path(self, path: str) -> os.stat_result:
        self._alive()
        return super().stat_path(path)

    def _name(self, *names: tuple[Folder, str, Node | None]) -> None:
        event = Event("names", names=names)
        self.events.append(event)
        _apply(event, {folder: folder.names for folder, _, _ in names})

    def try_lock(self, descriptor: int) -> bool:
        self._alive()
        return super().try_lock(descriptor)


def states(disk: RecordingDisk, points: Iterator[int] | range) -> dict[Tree, frozenset[str]]:
    """Every tree that a cut at one of the points may leave, with the edits that somebody had been told of by then."""
    found: dict[Tree, frozenset[str]] = {}
    for point in points:
        events = disk.events[:point]
        told = frozenset(event.told for event in events if event.what == "told")
        for tree in _trees(disk.root, events):
            key = frozenset(tree.items())
            found[key] = max(found.get(key, frozenset()), told, key=len)
    return found


def materialise(tree: Tree, folder: Path) -> None:
    """Put the tree on the disk."""
    folder.mkdir(parents=True)
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


def _trees(root: Folder, events: Sequence[Event]) -> Iterator[dict[str, bytes | None]]:
    names, pending = _durable(root, events)
    groups = [[each] for each in pending if each.material]
    if immaterial := [each for each in pending if not each.material]:
        groups.append(immaterial)
    contents: dict[File, list[bytes]] = {}
    for taken in product((False, True), repeat=len(groups)):
        there = {each for group, is_there in zip(groups, taken, strict=True) if is_there for each in group}
        now = {folder: dict(held) for folder, held in names.items()}
        for each in pending:
            if each in there:
                _apply(each, now)
        yield from _below(root, now, events, contents, "")


def _below(
    folder: Folder,
    names: dict[Folder, dict[str, Node]],
    events: Sequence[Event],
    contents: dict[File, list[bytes]],
    path: str,
) -> Iterator[dict[str, bytes | None]]:
    inner: list[list[dict[str, bytes | None]]] = []
    for name, node in names.get(folder, {}).items():
        where = f"{path}{name}"
        if isinstance(node, Folder):
            inner.append([{where: None, **below} for below in _below(node, names, events, contents, f"{where}/")])
            continue
        if node not in contents:
            contents[node] = _file_options(node, events, name)
        inner.append([{where: content} for content in contents[node]])
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


def _durable(root: Folder, events: Sequence[Event]) -> tuple[dict[Folder, dict[str, Node]], list[Event]]:
    """The names that are on the device in each folder, and the changes of names that may not be."""
    names = dict(_folders(root))
    pending: list[Event] = []
    for event in events:
        if event.what == "names":
            pending.append(event)
        elif event.what == "sync" and isinstance(event.node, Folder):
            done = _with_it(event.node, pending)
            for each in pending:
                if each in done:
                    _apply(each, names)
            pending = [each for each in pending if each not in done]
    return names, pending


def _with_it(folder: Folder, pending: Sequence[Event]) -> set[Event]:
    """What a sync of a folder makes durable: its own changes, and what they hang together with.

    A file that goes from one folder to another does so in both or in neither, as journaling file systems have it.
    """
    done: set[Event] = set()
    folders = {folder: len(pending)}  # up to which change
    while True:
        more = {
            each
            for number, each in enumerate(pending)
            if each not in done and any(number < folders.get(other, 0) for other, _, _ in each.names)
        }
        if not more:
            return done
        done |= more
        for number, each in enumerate(pending):
            for other, _, _ in each.names if each in more else ():
                folders[other] = max(folders.get(other, 0), number + 1)


def _folders(folder: Folder) -> Iterator[tuple[Folder, dict[str, Node]]]:
    yield folder, dict(folder.durable)
    for node in folder.durable.values():
        if isinstance(node, Folder):
            yield from _folders(node)


def _apply(event: Event, names: dict[Folder, dict[str, Node]]) -> None:
    for folder, name, node in event.names:
        if node is None:
            names.setdefault(folder, {}).pop(name, None)
        else:
            names.setdefault(folder, {})[name] = node
