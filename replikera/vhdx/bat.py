"""The block allocation table (MS-VHDX 2.5): where each payload block and each sector bitmap lies in the file."""

import numpy as np
from numpy.typing import NDArray

from replikera.vhdx import layout
from replikera.vhdx.metadata import Metadata
from replikera.vhdx.pages import Pages
from replikera.vhdx.regions import Region

ABSENT = -1
"""The place of a block that has none."""

ENTRY = np.dtype("<i8")  # signed: numpy makes floats of unsigned and signed integers together


def entry_count(metadata: Metadata) -> int:
    """Return the table's entries (2.5): after every chunk of payload blocks comes that of its sector bitmap.

    The last chunk's is there in differencing files only.
    """
    blocks, ratio = metadata.block_count, metadata.chunk_ratio
    if metadata.has_parent:
        return -(-blocks // ratio) * (ratio + 1)
    return blocks + (blocks - 1) // ratio


class BlockAllocationTable:
    """The entries, in pages. One thread changes them; any number may read meanwhile."""

    def __init__(self, region: Region, metadata: Metadata, pages: Pages) -> None:
        self._region = region
        self._pages = pages
        self._ratio = metadata.chunk_ratio

    def entry(self, block: int) -> int:
        """Return the entry of a payload block."""
        return self._pages.number(self._offset(self._index(block)))

    def entries(self, first: int, count: int) -> NDArray[np.int64]:
        """Return the entries of `count` payload blocks."""
        if not count:
            return np.zeros(0, dtype=ENTRY)
        start, end = self._index(first), self._index(first + count - 1) + 1
        size = (end - start) * layout.BAT_ENTRY_SIZE
        raw: NDArray[np.int64] = self._pages.read(self._offset(start), size).view(ENTRY)
        if len(raw) == count:
            return raw
        is_payload: NDArray[np.bool_] = np.arange(start, end) % (self._ratio + 1) != self._ratio
        payload: NDArray[np.int64] = raw[is_payload]
        return payload

    def bitmap_place(self, chunk: int) -> int:
        """Return where a chunk's sector bitmap lies, `ABSENT` if it has none."""
        entry = self._pages.number(self._offset(chunk * (self._ratio + 1) + self._ratio))
        is_present = entry & layout.BAT_STATE_MASK == layout.BITMAP_PRESENT
        return entry & layout.BAT_OFFSET_MASK if is_present else ABSENT

    def set_entry(self, block: int, entry: int) -> None:
        """Change the entry of a payload block."""
        self._set(self._index(block), entry)

    def set_bitmap_place(self, chunk: int, place: int) -> None:
        """Let a chunk's sector bitmap be found at a file offset from now on."""
        self._set(chunk * (self._ratio + 1) + self._ratio, place | layout.BITMAP_PRESENT)

    def _set(self, index: int, entry: int) -> None:
        value = np.array([entry], dtype=ENTRY)
        self._pages.change(self._offset(index), value.view(np.uint8))

    def _index(self, block: int) -> int:
        return block + block // self._ratio

    def _offset(self, index: int) -> int:
        return self._region.offset + index * layout.BAT_ENTRY_SIZE
