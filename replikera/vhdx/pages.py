"""The file's tables and bitmaps in pages: a bounded cache, so that 64 TiB take no more memory than 64 GiB."""

import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from replikera.ports.files import File
from replikera.vhdx import layout
from replikera.vhdx.errors import DAMAGED, VhdxError

PAGE_SIZE = 64 * layout.KIB
_UNIT = layout.LOG_SECTOR_SIZE
MAX_PAGES = 256
"""16 MiB of table: the entries of 4 TiB in blocks of 2 MiB."""


class Pages:
    """Pages of one file. Any number of threads may read; one changes.

    Changes stay in memory until the caller has committed what `changes` returns and says so with `settle`.
    """

    def __init__(self, file: File, *, most: int = MAX_PAGES) -> None:
        self._file = file
        self._size = file.size()
        self._most = most
        self._pages: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._changed: set[int] = set()
        self._pinned: set[int] = set()
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        """Return the path of the file."""
        return self._file.path

    def read(self, offset: int, length: int) -> NDArray[np.uint8]:
        """Return a copy of bytes of the file, zeros behind the end that it had at the opening. Raises `VhdxError`."""
        number, within = divmod(offset, PAGE_SIZE)
        with self._lock:
            if within + length <= PAGE_SIZE:
                return self._page(number)[within : within + length].copy()
            last = (offset + length - 1) // PAGE_SIZE
            joined = np.concatenate([self._page(each) for each in range(number, last + 1)])
        return joined[within : within + length]

    def number(self, offset: int) -> int:
        """Return the 64-bit integer at an offset that is a multiple of 8."""
        page, within = divmod(offset, PAGE_SIZE)
        with self._lock:
            return int(self._page(page)[within : within + 8].view("<i8")[0])

    @property
    def change_count(self) -> int:
        """Return how many units of 4 KiB have changed."""
        return len(self._changed)

    def changes(self) -> list[tuple[int, bytes]]:
        """Return the units of 4 KiB that have changed, by offset."""
        return [(at, self.read(at, _UNIT).tobytes()) for at in sorted(self._changed)]

    def change(self, offset: int, data: NDArray[np.uint8]) -> None:
        """Let the bytes read as `data` from now on."""
        first, last = offset // _UNIT, (offset + data.size - 1) // _UNIT
        self._changed.update(unit * _UNIT for unit in range(first, last + 1))
        with self._lock:
            while data.size:
                number, within = divmod(offset, PAGE_SIZE)
                step = min(PAGE_SIZE - within, data.size)
                self._page(number)[within : within + step] = data[:step]
                self._pinned.add(number)
                data, offset = data[step:], offset + step

    def settle(self) -> None:
        """Note that the file holds all changes."""
        self._changed.clear()
        with self._lock:
            self._pinned.clear()

    def _page(self, number: int) -> NDArray[np.uint8]:
        page = self._pages.get(number)
        if page is not None:
            self._pages.move_to_end(number)
            return page
        page = np.zeros(PAGE_SIZE, dtype=np.uint8)
        done = self._file.read_into(page.data, number * PAGE_SIZE)
        if done < min(PAGE_SIZE, self._size - number * PAGE_SIZE):
            # A table that reads as zeros would turn a disk into zeros.
            raise VhdxError(self._file.path, "it was cut off while it was open", DAMAGED)
        while len(self._pages) >= self._most:
            oldest = next((each for each in self._pages if each not in self._pinned), None)
            if oldest is None:
                break
            del self._pages[oldest]
        self._pages[number] = page
        return page
