"""Files that stop for good at the first failed sync.

After a failed fsync the kernel may have dropped the pages and forgotten the error: a second fsync succeeds and
proves nothing. Whoever works behind a fence cannot make that mistake: after one failure every sync fails.
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from replikera.ports.files import Buffer, File, Files, FileStatus


class SyncFailedError(OSError):
    """Something could not be made durable; `path` says what, `strerror` why."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(errno.EIO, cause, str(path))
        self.path = path


class Fence:
    """Remembers the first failed sync of the files behind it."""

    def __init__(self) -> None:
        self.failure: SyncFailedError | None = None

    def guard(self, path: Path, sync: Callable[[], None]) -> None:
        """Run `sync` unless one failed before. Raises `SyncFailedError`."""
        if self.failure is not None:
            raise SyncFailedError(self.failure.path, str(self.failure.strerror))
        try:
            sync()
        except OSError as error:
            self.failure = SyncFailedError(path, error.strerror or str(error))
            raise self.failure from error


class FencedFile:
    """A `File` whose syncs go through the fence."""

    def __init__(self, file: File, fence: Fence) -> None:
        self._file = file
        self._fence = fence

    @property
    def path(self) -> Path:
        """Return the path it was opened by."""
        return self._file.path

    def size(self) -> int:
        """Return the size in bytes."""
        return self._file.size()

    def read(self, length: int, offset: int) -> bytes:
        """Return up to `length` bytes."""
        return self._file.read(length, offset)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer`; return the bytes read."""
        return self._file.read_into(buffer, offset)

    def write(self, data: Buffer, offset: int) -> None:
        """Write all of `data`."""
        self._file.write(data, offset)

    def write_many(self, parts: Sequence[Buffer], offset: int) -> None:
        """Write `parts` one after the other."""
        self._file.write_many(parts, offset)

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros."""
        self._file.zero(offset, length)

    def truncate(self, size: int) -> None:
        """Set the size."""
        self._file.truncate(size)

    def data_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield what is not a hole."""
        return self._file.data_ranges()

    def sync(self) -> None:
        """Return when content and size are durable. Raises `SyncFailedError`."""
        self._fence.guard(self.path, self._file.sync)

    def close(self) -> None:
        """Close; idempotent."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class FencedFiles:
    """`Files` behind a fence of their own."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.fence = Fence()

    def open_read(self, path: Path) -> File:
        """Open an existing file for reading."""
        return self._files.open_read(path)

    def open_write(self, path: Path) -> File:
        """Open an existing file for reading and writing."""
        return FencedFile(self._files.open_write(path), self.fence)

    def create(self, path: Path, *, mode: int = 0o600) -> File:
        """Create a file."""
        return FencedFile(self._files.create(path, mode=mode), self.fence)

    def read_bytes(self, path: Path, *, limit: int) -> bytes:
        """Return a whole file of at most `limit` bytes."""
        return self._files.read_bytes(path, limit=limit)

    def append(self, path: Path, data: Buffer) -> None:
        """Add `data` at the end in one write."""
        self._files.append(path, data)

    def replace(self, source: Path, target: Path) -> None:
        """Rename, replacing the target."""
        self._files.replace(source, target)

    def link(self, source: Path, target: Path) -> None:
        """Give the file a second name."""
        self._files.link(source, target)

    def remove(self, path: Path) -> None:
        """Remove a name."""
        self._files.remove(path)

    def remove_tree(self, path: Path) -> None:
        """Remove a directory and what is in it."""
        self._files.remove_tree(path)

    def make_directory(self, path: Path) -> None:
        """Create a directory and its parents."""
        self._files.make_directory(path)

    def list_directory(self, path: Path) -> list[str]:
        """Return the names in a directory, sorted."""
        return self._files.list_directory(path)

    def status(self, path: Path) -> FileStatus | None:
        """Return what is known of a path."""
        return self._files.status(path)

    def sync_directory(self, path: Path) -> None:
        """Return when the names in the directory are durable. Raises `SyncFailedError`."""
        self.fence.guard(path, lambda: self._files.sync_directory(path))

    def free_space(self, path: Path) -> int:
        """Return the bytes this user may still write."""
        return self._files.free_space(path)

    def lock(self, path: Path) -> AbstractContextManager[None]:
        """Hold an exclusive lock against other processes."""
        return self._files.lock(path)

    def is_locked(self, path: Path) -> bool:
        """Tell whether some process holds the lock."""
        return self._files.is_locked(path)
