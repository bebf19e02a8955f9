"""The machine's file system."""

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from replikera.ports.files import Buffer, File, FileStatus
from replikera.system.direct import DirectWriter

if sys.platform != "win32":
    import fcntl

_FALLOC_FL_KEEP_SIZE = 0x01
_FALLOC_FL_PUNCH_HOLE = 0x02
_ZEROS = bytes(1 << 20)
_MAX_PARTS = 512  # below the kernel's IOV_MAX of 1024


class SystemFile:
    """A file descriptor of this process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._direct = DirectWriter(descriptor)

    @property
    def path(self) -> Path:
        """Return the path it was opened by."""
        return self._path

    def size(self) -> int:
        """Return the size in bytes."""
        return os.fstat(self._descriptor).st_size

    def read(self, length: int, offset: int) -> bytes:
        """Return up to `length` bytes, fewer only at the end."""
        data = os.pread(self._descriptor, length, offset)
        if len(data) == length or not data:
            return data
        parts = [data]
        got = len(data)
        while got < length and (data := os.pread(self._descriptor, length - got, offset + got)):
            parts.append(data)
            got += len(data)
        return b"".join(parts)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer`; return the bytes read, fewer only at the end."""
        got = 0
        while got < len(buffer):
            count = os.preadv(self._descriptor, [buffer[got:]], offset + got)
            if count == 0:
                break
            got += count
        return got

    def write(self, data: Buffer, offset: int) -> None:
        """Write all of `data`."""
        size = len(data)
        if self._direct.takes(size, offset):
            done = self._direct.write(data, offset)
        else:
            done = os.pwrite(self._descriptor, data, offset)
        if done == size:
            return
        view = memoryview(data)
        while done < size:
            done += os.pwrite(self._descriptor, view[done:], offset + done)

    def write_many(self, parts: Sequence[Buffer], offset: int) -> None:
        """Write `parts` one after the other."""
        for start in range(0, len(parts), _MAX_PARTS):
            group = parts[start : start + _MAX_PARTS]
            total = sum(len(part) for part in group)
            if os.pwritev(self._descriptor, group, offset) != total:
                self.write(b"".join(group), offset)
            offset += total

    def zero(self, offset: int, length: int) -> None:
        """Punch a hole where that is possible, else write zeros; the file grows if it must."""
        end = offset + length
        if end > self.size():
            self.truncate(end)
        if length and not _punch_hole(self._descriptor, offset, length):
            while offset < end:
                step = min(len(_ZEROS), end - offset)
                self.write(memoryview(_ZEROS)[:step], offset)
                offset += step

    def truncate(self, size: int) -> None:
        """Set the size."""
        os.ftruncate(self._descriptor, size)

    def data_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield what is not a hole."""
        size = self.size()
        offset = 0
        while offset < size:
            try:
                start = os.lseek(self._descriptor, offset, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            offset = os.lseek(self._descriptor, start, os.SEEK_HOLE)
            yield start, offset - start

    def sync(self) -> None:
        """Return when content and size are durable."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close; idempotent."""
        self._direct.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class SystemFiles:
    """The operating system's files and directories."""

    def open_read(self, path: Path) -> File:
        """Open an existing file for reading."""
        return self._open(path, os.O_RDONLY)

    def open_write(self, path: Path) -> File:
        """Open an existing file for reading and writing."""
        return self._open(path, os.O_RDWR)

    def create(self, path: Path, *, mode: int = 0o600) -> File:
        """Create a file."""
        return self._open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def read_bytes(self, path: Path, *, limit: int) -> bytes:
        """Return a whole file of at most `limit` bytes."""
        with self.open_read(path) as file:
            data = file.read(limit + 1, 0)
        if len(data) > limit:
            raise ValueError(f"{path} holds more than {limit} bytes")
        return data

    def append(self, path: Path, data: Buffer) -> None:
        """Add `data` at the end in one write."""
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, "short write", str(path))
        finally:
            os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        """Rename, replacing the target."""
        os.replace(source, target)

    def link(self, source: Path, target: Path) -> None:
        """Make a hard link."""
        os.link(source, target)

    def remove(self, path: Path) -> None:
        """Remove a name."""
        path.unlink()

    def remove_tree(self, path: Path) -> None:
        """Remove a directory and what is in it."""
        if path.exists():
            shutil.rmtree(path)

    def make_directory(self, path: Path) -> None:
        """Create a directory and its parents."""
        if not path.parent.exists():
            self.make_directory(path.parent)  # mkdir itself would make parents that others can read
        path.mkdir(mode=0o700, exist_ok=True)

    def list_directory(self, path: Path) -> list[str]:
        """Return the names in a directory, sorted."""
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def status(self, path: Path) -> FileStatus | None:
        """Return what is known of a path."""
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        return FileStatus(
            size=found.st_size,
            allocated=found.st_blocks * 512,
            link_count=found.st_nlink,
            is_directory=path.is_dir(),
            # Windows invents these bits; who may read a file there stands in its access list.
            is_open_to_others=sys.platform != "win32" and bool(found.st_mode & 0o077),
            allocation_unit=getattr(found, "st_blksize", None),
        )

    def sync_directory(self, path: Path) -> None:
        """Return when the names in the directory are durable."""
        if sys.platform == "win32":  # NTFS journals names; a directory handle cannot be flushed
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_space(self, path: Path) -> int:
        """Return the bytes this user may still write."""
        return shutil.disk_usage(path).free

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Hold an exclusive lock against other processes."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def is_locked(self, path: Path) -> bool:
        """Tell whether some process holds the lock."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who look at the same time do not take each other for a holder.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _open(self, path: Path, flags: int, mode: int = 0o600) -> File:
        return SystemFile(path, os.open(path, flags | os.O_CLOEXEC, mode))


def _load_fallocate() -> "ctypes._NamedFuncPointer | None":
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    function = library.fallocate
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong]
    return function


_fallocate = _load_fallocate()


def _punch_hole(descriptor: int, offset: int, length: int) -> bool:
    if _fallocate is None:
        return False
    return bool(
        _fallocate(descriptor, _FALLOC_FL_KEEP_SIZE | _FALLOC_FL_PUNCH_HOLE, offset, length) == 0
    )
