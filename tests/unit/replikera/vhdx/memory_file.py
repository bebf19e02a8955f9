"""A file in memory that knows what of it a crash may lose."""

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from replikera.ports.files import Buffer

SECTOR = 512


@dataclass(frozen=True)
class Operation:
    """A change since the last sync: bytes at an offset, or (None) a new size."""

    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
            return
        end = self.offset + len(self.data)
        content.extend(bytes(max(0, end - len(content))))
        content[self.offset : end] = self.data

    def sectors(self) -> "list[Operation]":
        """Return what the volume may keep or lose by itself: sectors of small changes, halves of large ones."""
        if self.data is None or len(self.data) <= SECTOR:
            return [self]
        half = len(self.data) // (2 * SECTOR) * SECTOR
        step = SECTOR if len(self.data) <= 32 * SECTOR else half
        return [
            Operation(self.offset + start, self.data[start : start + step])
            for start in range(0, len(self.data), step)
        ]


class MemoryFile:
    """Keeps the content as it is, the content as of the last sync, and the changes between."""

    def __init__(self, content: Buffer = b"", name: str = "disk.vhdx") -> None:
        self._path = Path("/volume") / name
        self.content = bytearray(content)
        self.durable = bytes(content)
        self.pending: list[Operation] = []
        self.before_sync: Callable[[], None] = lambda: None
        self.before_read: Callable[[int], None] = lambda _offset: None
        self.room: int | None = None
        self.sync_count = 0
        self.is_closed = False
        self.is_lying = False

    @property
    def path(self) -> Path:
        return self._path

    def size(self) -> int:
        return len(self.content)

    def read(self, length: int, offset: int) -> bytes:
        self.before_read(offset)
        return bytes(self.content[offset : offset + length])

    def read_into(self, buffer: memoryview, offset: int) -> int:
        data = self.read(len(buffer), offset)
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Buffer, offset: int) -> None:
        if self.room is not None and len(data) > self.room:
            self._change(Operation(offset, bytes(data[: self.room])))
            raise OSError(errno.ENOSPC, "No space left on device", str(self._path))
        self._change(Operation(offset, bytes(data)))

    def write_many(self, parts: Sequence[Buffer], offset: int) -> None:
        self.write(b"".join(parts), offset)

    def zero(self, offset: int, length: int) -> None:
        self._change(Operation(offset, bytes(length)))

    def truncate(self, size: int) -> None:
        self._change(Operation(size, None))

    def data_ranges(self) -> Iterator[tuple[int, int]]:
        yield 0, len(self.content)

    def sync(self) -> None:
        self.before_sync()
        self.sync_count += 1
        if self.is_lying:  # a volume that ignores syncs
            return
        self.durable = bytes(self.content)
        self.pending.clear()

    def close(self) -> None:
        self.is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _change(self, operation: Operation) -> None:
        operation.apply(self.content)
        self.pending.append(operation)
