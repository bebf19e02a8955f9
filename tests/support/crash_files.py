"""A file system in memory that forgets, stricter than ext4.

Every write, truncation, creation, rename and removal stays pending until the file or its directory is synced. A crash
keeps any subset of what is pending: `crash_states` enumerates the subsets while they are few, samples them where they
are many, and adds states where one write arrived only in some of its sectors. Names of different directories, and
names and content, are independent: `sync` of a file does not make its name durable.
"""

import errno
import itertools
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeAlias

from replikera.ports.files import Buffer, File, FileStatus

SECTOR = 512
_PAGE = 4096
_ZEROS = bytes(_PAGE)
MAX_EXHAUSTIVE = 6
"""Pending operations up to which all subsets are tried: 64 states."""


class Content:
    """Bytes of a file, as pages; a missing page is zeros."""

    __slots__ = ("pages", "size")

    def __init__(self, size: int = 0, pages: dict[int, bytes] | None = None) -> None:
        self.size = size
        self.pages = pages if pages is not None else {}

    def copy(self) -> "Content":
        return Content(self.size, dict(self.pages))

    def read(self, length: int, offset: int) -> bytes:
        end = max(offset, min(offset + length, self.size))
        first, last = offset // _PAGE, -(-end // _PAGE)
        found = [page for page in range(first, last) if page in self.pages]
        if not found:
            return bytes(end - offset)
        pages = b"".join(self.pages.get(page, _ZEROS) for page in range(first, last))
        return pages[offset - first * _PAGE : end - first * _PAGE]

    def write(self, data: bytes, offset: int) -> None:
        self.size = max(self.size, offset + len(data))
        position = 0
        while position < len(data):
            number, within = divmod(offset + position, _PAGE)
            part = data[position : position + _PAGE - within]
            position += len(part)
            old = self.pages.get(number, _ZEROS)
            self._put(number, old[:within] + part + old[within + len(part) :])

    def zero(self, offset: int, length: int) -> None:
        self.size = max(self.size, offset + length)
        end = offset + length
        for number in [page for page in self.pages if offset // _PAGE <= page <= end // _PAGE]:
            start = max(offset - number * _PAGE, 0)
            stop = min(end - number * _PAGE, _PAGE)
            if start < stop:
                old = self.pages[number]
                self._put(number, old[:start] + bytes(stop - start) + old[stop:])

    def truncate(self, size: int) -> None:
        if size < self.size:
            self.zero(size, self.size - size)
        self.size = size

    def _put(self, number: int, page: bytes) -> None:
        if page == _ZEROS:
            self.pages.pop(number, None)
        else:
            self.pages[number] = page


@dataclass(eq=False, slots=True)
class Change:
    """One pending operation; `sectors` is how many parts of it a crash may keep by themselves."""

    number: int
    description: str
    apply: Callable[[Content], None] | None = None
    put: dict[str, "Node | None"] = field(default_factory=dict)
    data: bytes = b""
    offset: int = 0

    def is_torn_by_crash(self) -> bool:
        return len(self.data) > SECTOR


@dataclass(eq=False, slots=True)
class FileNode:
    live: Content = field(default_factory=Content)
    durable: Content = field(default_factory=Content)
    pending: list[Change] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class DirectoryNode:
    live: dict[str, "Node"] = field(default_factory=dict)
    durable: dict[str, "Node"] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)


Node: TypeAlias = FileNode | DirectoryNode


class CrashFile:
    """An open file of `CrashFiles`."""

    def __init__(self, files: "CrashFiles", path: Path, node: FileNode) -> None:
        self._files = files
        self._path = path
        self._node = node
        self._is_closed = False

    @property
    def path(self) -> Path:
        return self._path

    def size(self) -> int:
        return self._open().live.size

    def read(self, length: int, offset: int) -> bytes:
        return self._open().live.read(length, offset)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        data = self._open().live.read(len(buffer), offset)
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Buffer, offset: int) -> None:
        self._write(bytes(data), offset)

    def write_many(self, parts: Sequence[Buffer], offset: int) -> None:
        self._write(b"".join(parts), offset)

    def _write(self, data: bytes, offset: int) -> None:
        node = self._open()
        self._files.begin("write", self._path)
        self._files.take_space(node.live, offset, len(data))
        change = self._change("write", lambda content: content.write(data, offset))
        change.data, change.offset = data, offset

    def zero(self, offset: int, length: int) -> None:
        self._open()
        self._files.begin("zero", self._path)
        self._change("zero", lambda content: content.zero(offset, length))

    def truncate(self, size: int) -> None:
        self._open()
        self._files.begin("truncate", self._path)
        self._change("truncate", lambda content: content.truncate(size))

    def data_ranges(self) -> Iterator[tuple[int, int]]:
        content = self._open().live
        for page in sorted(content.pages):
            yield page * _PAGE, min(_PAGE, content.size - page * _PAGE)

    def sync(self) -> None:
        node = self._open()
        self._files.begin("sync", self._path)
        node.durable = node.live.copy()
        node.pending.clear()

    def close(self) -> None:
        self._is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open(self) -> FileNode:
        if self._is_closed:
            raise OSError(errno.EBADF, "closed", str(self._path))
        return self._node

    def _change(self, name: str, apply: Callable[[Content], None]) -> Change:
        change = Change(self._files.count(), f"{name} {self._path}", apply)
        apply(self._node.live)
        self._node.pending.append(change)
        return change


class CrashFiles:
    """The file system. `before` is called ahead of every change and sync, and may raise `OSError`."""

    def __init__(self, root: DirectoryNode | None = None) -> None:
        self._root = root or DirectoryNode()
        self._numbers = itertools.count()
        self.before: Callable[[str, Path], None] | None = None
        self.capacity: int | None = None
        self.allocation_unit: int | None = None

    def begin(self, operation: str, path: Path) -> None:
        if self.before is not None:
            self.before(operation, path)

    def count(self) -> int:
        return next(self._numbers)

    def take_space(self, content: Content, offset: int, length: int) -> None:
        if self.capacity is None:
            return
        pages = range(offset // _PAGE, (offset + length - 1) // _PAGE + 1)
        growth = sum(page not in content.pages for page in pages) * _PAGE
        if growth > self.free_space(Path("/")):
            raise OSError(errno.ENOSPC, "no space left")

    def open_read(self, path: Path) -> File:
        return CrashFile(self, path, self._file(path))

    def open_write(self, path: Path) -> File:
        return CrashFile(self, path, self._file(path))

    def create(self, path: Path, *, mode: int = 0o600) -> File:
        del mode
        parent = self._directory(path.parent)
        if path.name in parent.live:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        node = FileNode()
        self._rename(path.parent, f"create {path}", {path.name: node})
        return CrashFile(self, path, node)

    def read_bytes(self, path: Path, *, limit: int) -> bytes:
        content = self._file(path).live
        if content.size > limit:
            raise ValueError(f"{path} holds more than {limit} bytes")
        return content.read(content.size, 0)

    def append(self, path: Path, data: Buffer) -> None:
        exists = self.status(path) is not None
        with self.open_write(path) if exists else self.create(path) as file:
            file.write(data, file.size())

    def replace(self, source: Path, target: Path) -> None:
        if source.parent != target.parent:
            raise OSError(errno.EXDEV, "names move inside one directory only", str(source))
        node = self._find(source)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, "no such name", str(source))
        names: dict[str, Node | None] = {source.name: None, target.name: node}
        self._rename(source.parent, f"rename {source} to {target.name}", names)

    def link(self, source: Path, target: Path) -> None:
        if self.status(target) is not None:
            raise FileExistsError(errno.EEXIST, "exists", str(target))
        self._rename(target.parent, f"link {target}", {target.name: self._file(source)})

    def remove(self, path: Path) -> None:
        self._file(path)
        self._rename(path.parent, f"remove {path}", {path.name: None})

    def remove_tree(self, path: Path) -> None:
        node = self._find(path)
        if node is None:
            return
        if isinstance(node, DirectoryNode):
            for name in list(node.live):
                self.remove_tree(path / name)
        self._rename(path.parent, f"remove {path}", {path.name: None})

    def make_directory(self, path: Path) -> None:
        found = self._find(path)
        if isinstance(found, FileNode):
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        if found is None:
            self.make_directory(path.parent)
            self._rename(path.parent, f"mkdir {path}", {path.name: DirectoryNode()})

    def list_directory(self, path: Path) -> list[str]:
        found = self._find(path)
        return sorted(found.live) if isinstance(found, DirectoryNode) else []

    def status(self, path: Path) -> FileStatus | None:
        found = self._find(path)
        if found is None:
            return None
        if isinstance(found, DirectoryNode):
            return FileStatus(0, 0, 1, is_directory=True)
        content = found.live
        allocated = len(content.pages) * _PAGE
        return FileStatus(content.size, allocated, 1, False, allocation_unit=self.allocation_unit)

    def sync_directory(self, path: Path) -> None:
        node = self._directory(path)
        self.begin("sync_directory", path)
        node.durable = dict(node.live)
        node.pending.clear()

    def free_space(self, path: Path) -> int:
        del path
        if self.capacity is None:
            return 1 << 50
        used = sum(len(node.live.pages) for node in _files_of(self._root, {})) * _PAGE
        return max(0, self.capacity - used)

    def lock(self, path: Path) -> AbstractContextManager[None]:
        del path
        return nullcontext()

    def is_locked(self, path: Path) -> bool:
        del path
        return False

    def pending(self) -> list[Change]:
        """Return what a crash now may lose, in the order it was done."""
        found: list[Change] = []
        _collect(self._root, found, set())
        return sorted(found, key=lambda change: change.number)

    def crash_states(
        self, chooser: random.Random, *, samples: int = 16, torn: int = 3
    ) -> Iterator["CrashFiles"]:
        """Yield file systems as they may be found after a crash now."""
        pending = self.pending()
        if len(pending) <= MAX_EXHAUSTIVE:
            for kept in itertools.product((False, True), repeat=len(pending)):
                yield self._crashed(pending, kept, None, chooser)
        else:
            for _ in range(samples):
                yield self.crash(chooser, pending)
        tearable = [change for change in pending if change.is_torn_by_crash()]
        for _ in range(torn if tearable else 0):
            yield self._crashed(
                pending, _choice(chooser, pending), chooser.choice(tearable), chooser
            )

    def crash(self, chooser: random.Random, pending: list[Change] | None = None) -> "CrashFiles":
        """Return one file system as it may be found after a crash now."""
        pending = self.pending() if pending is None else pending
        tearable = [change for change in pending if change.is_torn_by_crash()]
        torn = chooser.choice(tearable) if tearable and chooser.random() < 0.2 else None
        return self._crashed(pending, _choice(chooser, pending), torn, chooser)

    def _crashed(
        self,
        pending: list[Change],
        kept: Sequence[bool],
        torn: Change | None,
        chooser: random.Random,
    ) -> "CrashFiles":
        numbers = {change.number for change, is_kept in zip(pending, kept, strict=True) if is_kept}
        crash = _Crash(numbers, torn, chooser)
        return CrashFiles(crash.directory(self._root))

    def _rename(self, folder: Path, description: str, names: dict[str, Node | None]) -> None:
        parent = self._directory(folder)
        self.begin(description.split(maxsplit=1)[0], folder / next(iter(names)))
        parent.pending.append(Change(self.count(), description, put=names))
        _put(parent.live, names)

    def _find(self, path: Path) -> Node | None:
        node: Node = self._root
        for part in Path(os.path.normpath(path)).parts[1:]:
            if not isinstance(node, DirectoryNode) or part not in node.live:
                return None
            node = node.live[part]
        return node

    def _file(self, path: Path) -> FileNode:
        found = self._find(path)
        if not isinstance(found, FileNode):
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return found

    def _directory(self, path: Path) -> DirectoryNode:
        found = self._find(path)
        if not isinstance(found, DirectoryNode):
            raise FileNotFoundError(errno.ENOENT, "no such directory", str(path))
        return found


class _Crash:
    def __init__(self, numbers: set[int], torn: Change | None, chooser: random.Random) -> None:
        self._numbers = numbers
        self._torn = torn
        self._chooser = chooser
        self._made: dict[int, Node] = {}

    def directory(self, node: DirectoryNode) -> DirectoryNode:
        entries = dict(node.durable)
        for change in node.pending:
            if change.number in self._numbers:
                _put(entries, change.put)
        built = {name: self._node(child) for name, child in entries.items()}
        return DirectoryNode(live=built, durable=dict(built))

    def _node(self, node: Node) -> Node:
        made = self._made.get(id(node))
        if made is None:
            made = self._file(node) if isinstance(node, FileNode) else self.directory(node)
            self._made[id(node)] = made
        return made

    def _file(self, node: FileNode) -> FileNode:
        content = node.durable.copy()
        for change in node.pending:
            if change is self._torn:
                self._tear(content, change)
            elif change.number in self._numbers and change.apply is not None:
                change.apply(content)
        return FileNode(live=content, durable=content.copy())

    def _tear(self, content: Content, change: Change) -> None:
        for start in range(0, len(change.data), SECTOR):
            if self._chooser.random() < 0.5:
                content.write(change.data[start : start + SECTOR], change.offset + start)


def _choice(chooser: random.Random, pending: list[Change]) -> list[bool]:
    """Keep each change, mostly, seldom, or half of the time: the ends find more than the middle."""
    share = chooser.choice((0.1, 0.5, 0.9))
    return [chooser.random() < share for _ in pending]


def _put(entries: dict[str, Node], names: dict[str, Node | None]) -> None:
    for name, node in names.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def _collect(node: Node, found: list[Change], seen: set[int]) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    found.extend(node.pending)
    if isinstance(node, DirectoryNode):
        changed = [child for change in node.pending for child in change.put.values() if child]
        for child in [*node.durable.values(), *node.live.values(), *changed]:
            _collect(child, found, seen)


def _files_of(node: DirectoryNode, seen: dict[int, FileNode]) -> list[FileNode]:
    for child in node.live.values():
        if isinstance(child, DirectoryNode):
            _files_of(child, seen)
        else:
            seen[id(child)] = child
    return list(seen.values())
