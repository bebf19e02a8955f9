"""Making a disk larger (MS-VHDX 2.5, 2.6.2.2): its size, and the block table, moved where it is too small.

Everything that the new size needs is made durable where nobody looks yet; then size and table change in one commit.
"""

from dataclasses import replace

from replikera.ports.files import File
from replikera.vhdx import layout
from replikera.vhdx.bat import BlockAllocationTable, entry_count
from replikera.vhdx.layout import PayloadState
from replikera.vhdx.metadata import Metadata, size_item_offset
from replikera.vhdx.patching import patched_pages
from replikera.vhdx.placing import place_blocks
from replikera.vhdx.regions import Region, RegionTable, with_block_table

_PIECE = layout.MIB


class Growth:
    """One growth of an open file: prepared in the file, then committed by `pages`."""

    def __init__(
        self, file: File, regions: RegionTable, metadata: Metadata, *, size: int, end: int
    ) -> None:
        """`end` is where the file's next block would go."""
        self._file = file
        self._regions = regions
        self._old = metadata
        self.metadata = replace(metadata, disk_size=size)
        self.regions = self._place_table(end)
        self.end = max(end, self.regions.bat.end)
        self._first_place = self.end
        if metadata.leaves_blocks_allocated:
            added = self.metadata.block_count - metadata.block_count
            self.end += added * metadata.block_size

    def prepare(self, table: BlockAllocationTable) -> None:
        """Make everything durable that the commit refers to."""
        self._clear_behind_the_end(table)
        if self._file.size() < self.end:
            self._file.truncate(self.end)
        bat = self.regions.bat
        if bat != self._regions.bat:
            used = entry_count(self._old) * layout.BAT_ENTRY_SIZE
            self._copy(self._regions.bat.offset, bat.offset, used)
        self._clear_unused_entries(bat)
        if self.metadata.leaves_blocks_allocated:
            first = self._old.block_count
            place_blocks(self._file, self.metadata, bat, first=first, place=self._first_place)
        self._file.sync()

    def pages(self) -> list[tuple[int, bytes]]:
        """Return the pages of the file that the commit changes, by offset."""
        size = layout.UINT64_ITEM.pack(self.metadata.disk_size)
        changes = [(size_item_offset(self._file, self._regions.metadata), size)]
        if self.regions.bat != self._regions.bat:
            table = with_block_table(self._file, self.regions.bat)
            changes += [(offset, table) for offset in layout.REGION_TABLE_OFFSETS]
        return patched_pages(self._file, changes)

    def _place_table(self, end: int) -> RegionTable:
        bat = self._regions.bat
        needed = entry_count(self.metadata) * layout.BAT_ENTRY_SIZE
        if needed <= bat.length:
            return self._regions
        length = -(-needed // layout.MIB) * layout.MIB
        return replace(self._regions, bat=Region(bat.name, end, length))

    def _clear_unused_entries(self, bat: Region) -> None:
        """Clear all entries but those of the old disk's blocks and bitmaps: they are about to mean something."""
        ratio = self._old.chunk_ratio
        last = self._old.block_count - 1
        first, end = last + last // ratio + 1, bat.length // layout.BAT_ENTRY_SIZE
        # In a child the entry of the last chunk's bitmap lies behind those of blocks that it does not have yet.
        bitmap = last // ratio * (ratio + 1) + ratio if self._old.has_parent else end
        for start, stop in ((first, min(bitmap, end)), (bitmap + 1, end)):
            if start < stop:
                size = layout.BAT_ENTRY_SIZE
                self._file.zero(bat.offset + start * size, (stop - start) * size)

    def _clear_behind_the_end(self, table: BlockAllocationTable) -> None:
        """Zero what the last block has behind the old end: another writer may have left something there."""
        block, within = divmod(self._old.disk_size, self._old.block_size)
        if within:
            entry = table.entry(block)
            if entry & layout.BAT_STATE_MASK >= PayloadState.FULLY_PRESENT:
                place = entry & layout.BAT_OFFSET_MASK
                self._file.zero(place + within, self._old.block_size - within)

    def _copy(self, source: int, target: int, length: int) -> None:
        for offset in range(0, length, _PIECE):
            step = min(_PIECE, length - offset)
            self._file.write(self._file.read(step, source + offset), target + offset)
