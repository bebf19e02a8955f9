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
        offset, skipped = self._place(block, first)
        data = self._pages.read(offset, -(-(skipped + count) // 8))
        bits = np.unpackbits(data, bitorder="little")[skipped : skipped + count]
        return bits.astype(bool)

    def set_bits(self, block: int, first: int, count: int) -> bool:
        """Note that `count` sectors of a block are in this file; tell whether now all of the block are."""
        offset, skipped = self._place(block, first)
        data = self._pages.read(offset, -(-(skipped + count) // 8))
        bits = np.unpackbits(data, bitorder="little")
        bits[skipped : skipped + count] = 1
        self._pages.change(offset, np.packbits(bits, bitorder="little"))
        return bool(self.bits(block, 0, self._sectors).all())

    def clear_bits(self, block: int) -> None:
        """Note that no sector of a block is in this file."""
        offset, _ = self._place(block, 0)
        self._pages.change(offset, np.zeros(self._sectors // 8, dtype=np.uint8))

    def _place(self, block: int, sector: int) -> tuple[int, int]:
        """Return the file offset of the byte with a sector's bit, and the bit's number in it."""
        chunk, within = divmod(block, self._ratio)
        place = self._table.bitmap_place(chunk)
        if place == ABSENT:
            path = self._pages.path
            problem = f"block {block} is partially present, and its chunk has no sector bitmap"
            raise VhdxError(path, problem, DAMAGED)
        offset, bit = divmod(within * self._sectors + sector, 8)
        return place + offset, bit
