"""The block allocation table (MS-VHDX 2.5): where each payload block and each sector bitmap lies in the file."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from replikera.ports.files import File
from replikera.vhdx import layout
from replikera.vhdx.layout import PayloadState
from replikera.vhdx.metadata import Metadata
from replikera.vhdx.pages import Pages
from replikera.vhdx.regions import Region

ABSENT = -1
"""The place of a block that has none."""

ENTRY = np.dtype("<i8")  # signed: numpy makes floats of unsigned and signed integers together
_UNDECIDED = (PayloadState.UNDEFINED, PayloadState.UNMAPPED, PayloadState.UNMAPPED_OF_DRAFT)


def entry_count(metadata: Metadata) -> int:
    """Return the table's entries (2.5): after every chunk of payload blocks comes that of its sector bitmap.

    The last chunk's is there in differencing files only.
    """
    blocks, ratio = metadata.block_count, metadata.chunk_ratio
    if metadata.has_parent:
        return -(-blocks // ratio) * (ratio + 1)
    return blocks + (blocks - 1) // ratio


class BlockAllocationTable:
    """The entries, read in pages. Changes stay in memory until `write_changes`.

    One thread changes the table; any number may read it meanwhile.
    """

    def __init__(self, file: File, region: Region, metadata: Metadata, pages: Pages) -> None:
        self._file = file
        self._region = region
        self._pages = pages
        self._ratio = metadata.chunk_ratio
        self._changed: dict[int, int] = {}

    @property
    def has_changes(self) -> bool:
        """Tell whether the file's table is behind this one."""
        return bool(self._changed)

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

    def place_blocks(self, places: Mapping[int, int]) -> None:
        """Let the blocks be found at these file offsets from now on."""
        for block, place in places.items():
            self._set(block, place | PayloadState.FULLY_PRESENT)

    def settle_zeros(self, first: int, count: int) -> None:
        """Turn entries whose content is anybody's choice into zeros for every reader."""
        states = self.entries(first, count) & layout.BAT_STATE_MASK
        for block in np.flatnonzero(np.isin(states, _UNDECIDED)) + first:
            self._set(int(block), PayloadState.ZERO)

    def write_changes(self) -> None:
        """Write the changed entries into the file's table, in place; not synced."""
        if not self._changed:
            return
        indices = sorted(self._changed)
        values = np.array([self._changed[index] for index in indices], dtype=ENTRY)
        cuts = np.flatnonzero(np.diff(indices) != 1) + 1
        for start, end in pairwise([0, *cuts.tolist(), len(indices)]):
            self._file.write(values[start:end].tobytes(), self._offset(indices[start]))
        self._changed.clear()
        self._pages.settle()

    def _set(self, block: int, entry: int) -> None:
        index = self._index(block)
        value = np.array([entry], dtype=ENTRY)
        self._pages.change(self._offset(index), value.view(np.uint8))
        self._changed[index] = entry

    def _index(self, block: int) -> int:
        return block + block // self._ratio

    def _offset(self, index: int) -> int:
        return self._region.offset + index * layout.BAT_ENTRY_SIZE
