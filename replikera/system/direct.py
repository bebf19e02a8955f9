"""Large writes past the page cache: copying into it costs more than the write itself, and pushes others' pages out."""

import ctypes
import errno
import mmap
import os
import sys
import threading

from replikera.ports.files import Buffer

if sys.platform != "win32":
    import fcntl

PIECE = 1 << 20
"""Written at once, from a buffer that each thread keeps."""

SMALLEST = 256 << 10
"""Shorter writes are left to the page cache, which gathers them."""

_ALIGNMENT = 4096  # of memory, place and length: what every Linux device takes
_DIRECT = getattr(os, "O_DIRECT", 0)
_TMPFS = 0x01021994  # statfs(2); there direct writes cost more, and there is no device to spare
_STATFS_BYTES = 256  # more than the structure has anywhere


class DirectWriter:
    """Writes to one open file past the page cache, where its volume can. Safe to use from several threads.

    The kernel keeps the page cache true to what is written, so other reads and writes may be mixed with these.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._direct: int | None = None
        self._is_possible = _DIRECT != 0 and sys.platform == "linux"
        self._opening = threading.Lock()

    def takes(self, length: int, offset: int) -> bool:
        """Tell whether a write of this length and place can go this way."""
        is_aligned = not (length % _ALIGNMENT or offset % _ALIGNMENT)
        return is_aligned and length >= SMALLEST and self._open()

    def write(self, data: Buffer, offset: int) -> int:
        """Write from the beginning of `data`; return how much, less than all where the volume refuses this way.

        Raises `OSError` for what any write may fail with.
        """
        view = memoryview(data).cast("B")
        buffer = _buffers.view
        done = 0
        while done < len(view):
            step = min(PIECE, len(view) - done)
            buffer[:step] = view[done : done + step]
            count = self._write(buffer[:step], offset + done)
            done += count
            if count < step:
                return done  # the rest, if it can be written, is not aligned any more
        return done

    def close(self) -> None:
        """Close; idempotent."""
        self._is_possible = False
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def _write(self, data: memoryview, offset: int) -> int:
        if self._direct is None:
            return 0
        try:
            return os.pwrite(self._direct, data, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._is_possible = False
            return 0

    def _open(self) -> bool:
        if not self._is_possible or self._direct is not None:
            return self._is_possible
        with self._opening:
            if self._direct is None:
                self._direct = _opened_again(self._descriptor)
                self._is_possible = self._direct is not None
        return self._is_possible


class _Buffers(threading.local):
    """A buffer of whole pages of memory for each thread that writes."""

    def __init__(self) -> None:
        self.view = memoryview(mmap.mmap(-1, PIECE))


_buffers = _Buffers()


def _opened_again(descriptor: int) -> int | None:
    """Return the open file for direct writes, None on a volume that has none: the ordinary way is always there."""
    if sys.platform == "win32" or _is_in_memory(descriptor):
        return None
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        return None  # opening it again must not give what the first opening did not
    try:
        # By the open file, not by its name: it may have another one by now.
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | _DIRECT | os.O_CLOEXEC)
    except OSError:
        return None


def _is_in_memory(descriptor: int) -> bool:
    told = ctypes.create_string_buffer(_STATFS_BYTES)
    if ctypes.CDLL(None, use_errno=True).fstatfs(descriptor, told) != 0:
        return True
    return ctypes.c_long.from_buffer(told).value == _TMPFS
