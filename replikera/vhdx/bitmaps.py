"""Sector bitmaps of differencing files (MS-VHDX 2.4): which sectors of a block are in this file, one bit each."""

import numpy as np
from numpy.typing import NDArray

from replikera.vhdx.bat import ABSENT, BlockAllocationTable
from replikera.vhdx.errors import DAMAGED, VhdxError
from replikera.vhdx.metadata import Metadata
from replikera.vhdx.pages import Pages


class SectorBitmaps:
    """The bits of partially present blocks."""

    def __init__(self, table: BlockAllocationTable, metadata: Metadata, pages: Pages) -> None:
        self._table = table
        self._pages = pages
        self._ratio = metadata.chunk_ratio
        self._sectors = metadata.block_size // metadata.logical_sector_size

    def bits(self, block: int, first: int, count: int) -> NDArray[np.bool_]:
        """Return for `count` sectors of a block whether they are in this file."""
        chunk, within = divmod(block, self._ratio)
        place = self._table.bitmap_place(chunk)
        if place == ABSENT:
            path = self._pages.path
            problem = f"block {block} is partially present, and its chunk has no sector bitmap"
            raise VhdxError(path, problem, DAMAGED)
        start = within * self._sectors + first
        offset, skipped = divmod(start, 8)
        data = self._pages.read(place + offset, -(-(skipped + count) // 8))
        bits = np.unpackbits(data, bitorder="little")[skipped : skipped + count]
        return bits.astype(bool)
