"""The file system, as the code sees it.

All calls block; async code makes them through a `replikera.ports.workers.Worker`. Nothing is durable before
`File.sync` (content) and `Files.sync_directory` (names) have returned. A failed sync is never repeated and then
believed: the pages it was about may be gone.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class FileStatus:
    """Size in bytes, bytes allocated on the volume, and the number of names (hard links).

    `allocation_unit`: bytes in which the volume gives a file space; None where it does not say.
    `is_open_to_others`: its permission bits let other users or groups read or write it; False where there are none.
    """

    size: int
    allocated: int
    link_count: int
    is_directory: bool
    is_open_to_others: bool = False
    allocation_unit: int | None = None


class File(Protocol):
    """An open file, read and written by position. Safe to use from several threads."""

    @property
    def path(self) -> Path:
        """Return the path it was opened by, for messages."""

    def size(self) -> int:
        """Return the size in bytes."""

    def read(self, length: int, offset: int) -> bytes:
        """Return up to `length` bytes; fewer only at the end of the file."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; return the bytes read, fewer only at the end of the file."""

    def write(self, data: Buffer, offset: int) -> None:
        """Write all of `data` at `offset`."""

    def write_many(self, parts: Sequence[Buffer], offset: int) -> None:
        """Write `parts` one after the other from `offset` on."""

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros, without storing zeros where the file system can."""

    def truncate(self, size: int) -> None:
        """Set the size; new bytes read as zeros."""

    def data_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) of what is not a hole, in order; the whole file where unknown."""

    def sync(self) -> None:
        """Return when content and size are durable."""

    def close(self) -> None:
        """Close; idempotent. Makes nothing durable."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


class Files(Protocol):
    """Names and files of one machine. Errors are the operating system's `OSError` family."""

    def open_read(self, path: Path) -> File:
        """Open an existing file for reading."""

    def open_write(self, path: Path) -> File:
        """Open an existing file for reading and writing."""

    def create(self, path: Path, *, mode: int = 0o600) -> File:
        """Create a file for reading and writing; `FileExistsError` where the name is taken."""

    def read_bytes(self, path: Path, *, limit: int) -> bytes:
        """Return a whole file; `ValueError` where it holds more than `limit` bytes."""

    def append(self, path: Path, data: Buffer) -> None:
        """Add `data` at the end in one write, creating the file; not synced."""

    def replace(self, source: Path, target: Path) -> None:
        """Give the file `source` the name `target`, atomically, replacing what had it."""

    def link(self, source: Path, target: Path) -> None:
        """Give the file a second name; `FileExistsError` where it is taken."""

    def remove(self, path: Path) -> None:
        """Remove a name; `FileNotFoundError` where there is none."""

    def remove_tree(self, path: Path) -> None:
        """Remove a directory and what is in it; a missing one is no error."""

    def make_directory(self, path: Path) -> None:
        """Create a directory (0o700) and its missing parents; an existing one is no error."""

    def list_directory(self, path: Path) -> list[str]:
        """Return the names in a directory, sorted; empty for a missing one."""

    def status(self, path: Path) -> FileStatus | None:
        """Return what is known of a path, None where nothing has that name."""

    def sync_directory(self, path: Path) -> None:
        """Return when the names in the directory are durable."""

    def free_space(self, path: Path) -> int:
        """Return the bytes this user may still write on the volume of an existing path."""

    def lock(self, path: Path) -> AbstractContextManager[None]:
        """Hold an exclusive lock named by a file (created if missing) against other processes; waits."""

    def is_locked(self, path: Path) -> bool:
        """Tell whether some process holds the lock named by that file."""
