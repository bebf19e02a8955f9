"""A file as it will be once its log is replayed; the file itself is not written."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn, Self

import numpy as np

from replikera.blocks.extents import Extents
from replikera.ports.files import Buffer, File
from replikera.vhdx import layout
from replikera.vhdx.errors import DAMAGED, VhdxError
from replikera.vhdx.log import Log, PageChange

_PAGE = layout.LOG_SECTOR_SIZE
_MAX_STEPS = 1 << 24
"""Pages that zero descriptors may pass over: more takes seconds, and no software writes such a log."""


class ReplayedFile:
    """A `File` for reading: pages of the log over zeroed ranges over the file, which it owns."""

    def __init__(self, file: File, log: Log) -> None:
        """Take the log's changes into memory. Raises `VhdxError`."""
        self._file = file
        self._size = log.file_size
        self._pages, self._zeros = _gather(file, log)
        self._offsets = sorted(self._pages)

    @property
    def path(self) -> Path:
        """Return the path of the file."""
        return self._file.path

    def size(self) -> int:
        """Return the bytes that the file has once its log is replayed."""
        return self._size

    def read(self, length: int, offset: int) -> bytes:
        """Return up to `length` bytes; fewer only at the end."""
        data = bytearray(max(0, min(length, self._size - offset)))
        self.read_into(memoryview(data), offset)
        return bytes(data)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; return the bytes read, fewer only at the end."""
        length = max(0, min(len(buffer), self._size - offset))
        view = buffer[:length]
        done = self._file.read_into(view, offset) if length else 0
        np.frombuffer(view[done:], dtype=np.uint8).fill(0)
        if len(self._zeros):
            self._lay_zeros(view, offset)
        self._lay_pages(view, offset)
        return length

    def data_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield what is not a hole, in order."""
        pages = Extents.of((offset, _PAGE) for offset in self._offsets)
        yield from Extents.of(self._file.data_ranges()).union(pages)

    def write(self, _data: Buffer, _offset: int) -> NoReturn:
        """Refuse: the log is replayed into the file before it is written."""
        self._refuse()

    def write_many(self, _parts: Sequence[Buffer], _offset: int) -> NoReturn:
        """Refuse."""
        self._refuse()

    def zero(self, _offset: int, _length: int) -> NoReturn:
        """Refuse."""
        self._refuse()

    def truncate(self, _size: int) -> NoReturn:
        """Refuse."""
        self._refuse()

    def sync(self) -> None:
        """Do nothing: nothing is written."""

    def close(self) -> None:
        """Close the file; idempotent."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _lay_zeros(self, view: memoryview, offset: int) -> None:
        for start, size in self._zeros.intersect(Extents.of([(offset, len(view))])):
            np.frombuffer(view[start - offset :][:size], dtype=np.uint8).fill(0)

    def _lay_pages(self, view: memoryview, offset: int) -> None:
        first = bisect_left(self._offsets, offset - _PAGE + 1)
        for page in self._offsets[first : bisect_left(self._offsets, offset + len(view))]:
            start, end = max(page, offset), min(page + _PAGE, offset + len(view))
            view[start - offset : end - offset] = self._pages[page][start - page : end - page]

    def _refuse(self) -> NoReturn:
        raise AssertionError("a file whose log is replayed in memory is only read")


def _gather(file: File, log: Log) -> tuple[dict[int, bytes], Extents]:
    """Return the pages that end with data, by offset, and the ranges that were zeroed below them."""
    pages: dict[int, bytes] = {}
    zeros: list[tuple[int, int]] = []
    steps = 0
    for change in log.changes():
        if isinstance(change, PageChange):
            pages[change.offset] = change.data
            continue
        zeros.append((change.offset, change.length))
        end = change.offset + change.length
        count = min(len(pages), change.length // _PAGE)
        steps += count
        if steps > _MAX_STEPS:
            raise VhdxError(file.path, "its log zeroes its own pages again and again", DAMAGED)
        if count == len(pages):
            pages = {at: data for at, data in pages.items() if not change.offset <= at < end}
        else:
            for at in range(change.offset, end, _PAGE):
                pages.pop(at, None)
    return pages, Extents.of(zeros)
