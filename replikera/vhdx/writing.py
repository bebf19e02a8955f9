"""Changing a disk: payload into its blocks, and what is true of the blocks through the log.

A block that gets its place writes its payload into bytes behind the end of the file; until its table entry is
committed, no reader can see them. Bytes behind the end of a file read as zeros once the file grows over them, so a new
block is zero wherever nothing was written. In a child, a sector is written before its bit is committed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from replikera.ports.files import File
from replikera.vhdx import layout
from replikera.vhdx.bat import ABSENT, BlockAllocationTable
from replikera.vhdx.bitmaps import SectorBitmaps
from replikera.vhdx.layout import PayloadState
from replikera.vhdx.metadata import Metadata

_PIECE = 64 * layout.MIB
"""What is written before it is looked whether a commit is due: it changes some 20 pages of tables."""

_PLACED = (PayloadState.FULLY_PRESENT, PayloadState.PARTIALLY_PRESENT)
_UNDECIDED = (PayloadState.UNDEFINED, PayloadState.UNMAPPED, PayloadState.UNMAPPED_OF_DRAFT)


@dataclass(frozen=True, slots=True)
class _Part:
    """What of a change lies in one block: `start` in the data, `within` the block."""

    block: int
    entry: int
    start: int
    within: int
    length: int
    is_whole: bool

    @property
    def state(self) -> int:
        return self.entry & layout.BAT_STATE_MASK


@dataclass(slots=True)
class _Plan:
    """What a change does to the file and then to its tables."""

    end: int
    writes: list[tuple[int, int, int]] = field(default_factory=list)  # place, start, length
    zeros: list[tuple[int, int]] = field(default_factory=list)  # place, length
    entries: dict[int, int] = field(default_factory=dict)
    bitmaps: dict[int, int] = field(default_factory=dict)
    sectors: list[tuple[int, int, int]] = field(default_factory=list)  # block, first, count
    released: list[int] = field(default_factory=list)

    def write(self, place: int, start: int, length: int) -> None:
        """Add payload, joined to the one before where both go on."""
        if self.writes:
            before = self.writes[-1]
            if before[0] + before[2] == place and before[1] + before[2] == start:
                self.writes[-1] = (before[0], before[1], before[2] + length)
                return
        self.writes.append((place, start, length))


class BlockWriter:
    """Writes payload and plans tables; `end` is where the next block goes."""

    def __init__(
        self,
        file: File,
        metadata: Metadata,
        table: BlockAllocationTable,
        bitmaps: SectorBitmaps,
        end: int,
    ) -> None:
        self._file = file
        self._metadata = metadata
        self._table = table
        self._bitmaps = bitmaps
        self.end = end
        self.reuses = 0
        """How often a place that was given back was given to another block."""
        self._free: list[int] = []
        self._released: list[int] = []

    def pieces(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) parts of a change that may be made without a commit between."""
        end = offset + length
        while offset < end:
            cut = min((offset // _PIECE + 1) * _PIECE, end)
            yield offset, cut - offset
            offset = cut

    def write(self, view: memoryview | None, offset: int, length: int) -> None:
        """Write whole sectors, or zeros where `view` is None. Nothing is visible if it fails in new blocks."""
        plan = _Plan(self.end)
        for part in self._parts(offset, length):
            self._plan(plan, part, view)
        self._carry_out(plan, view)

    def overwrite(self, view: memoryview, offset: int) -> bool:
        """Write whole sectors into one block that is there; False, and nothing done, where that is not all there is.

        By far the most frequent write, and the one that needs no plan.
        """
        size = self._metadata.block_size
        block, within = divmod(offset, size)
        if within + len(view) > size:
            return False
        entry = self._table.entry(block)
        if entry & layout.BAT_STATE_MASK != PayloadState.FULLY_PRESENT:
            return False
        self._file.write(view, (entry & layout.BAT_OFFSET_MASK) + within)
        return True

    def unmap(self, offset: int, length: int) -> None:
        """Give whole blocks back, and zero the rest."""
        if self._metadata.leaves_blocks_allocated:
            self.write(None, offset, length)
            return
        plan = _Plan(self.end)
        for part in self._parts(offset, length):
            if not part.is_whole:
                self._plan(plan, part, None)
            elif part.state not in {PayloadState.UNMAPPED, PayloadState.ZERO}:
                if part.state in _PLACED:
                    plan.released.append(part.entry & layout.BAT_OFFSET_MASK)
                plan.entries[part.block] = PayloadState.UNMAPPED
        self._carry_out(plan, None)

    def committed(self) -> None:
        """Note that the tables are durable: places that they name no more are free."""
        for place in self._released:
            self._file.zero(place, self._metadata.block_size)
        self._free += self._released
        self._released.clear()

    def _parts(self, offset: int, length: int) -> Iterator[_Part]:
        metadata = self._metadata
        size, end = metadata.block_size, offset + length
        first = offset // size
        entries = self._table.entries(first, (end - 1) // size - first + 1).tolist()
        for block, entry in enumerate(entries, first):
            begin = max(offset, block * size)
            stop = min(end, (block + 1) * size)
            is_whole = begin == block * size and stop == min((block + 1) * size, metadata.disk_size)
            within = begin - block * size
            yield _Part(block, entry, begin - offset, within, stop - begin, is_whole)

    def _plan(self, plan: _Plan, part: _Part, view: memoryview | None) -> None:
        is_zero = view is None or _is_zero(view[part.start : part.start + part.length], part.state)
        if part.state in _PLACED:
            place = part.entry & layout.BAT_OFFSET_MASK
            self._place_payload(plan, part, place, is_zero=view is None)
            if part.state == PayloadState.PARTIALLY_PRESENT:
                self._note_sectors(plan, part)
            return
        is_hole = self._metadata.has_parent and part.state == PayloadState.NOT_PRESENT
        if is_zero and (part.is_whole or not is_hole):
            if is_hole or part.state in _UNDECIDED:
                plan.entries[part.block] = PayloadState.ZERO
            return
        place = self._allocate(plan)
        state = PayloadState.FULLY_PRESENT
        if is_hole and not part.is_whole:
            state = PayloadState.PARTIALLY_PRESENT
            self._allocate_bitmap(plan, part.block // self._metadata.chunk_ratio)
            self._note_sectors(plan, part)
        plan.entries[part.block] = place | state
        if not is_zero:
            self._place_payload(plan, part, place, is_zero=False)

    def _place_payload(self, plan: _Plan, part: _Part, place: int, *, is_zero: bool) -> None:
        if is_zero:
            plan.zeros.append((place + part.within, part.length))
        else:
            plan.write(place + part.within, part.start, part.length)

    def _note_sectors(self, plan: _Plan, part: _Part) -> None:
        sector = self._metadata.logical_sector_size
        plan.sectors.append((part.block, part.within // sector, part.length // sector))

    def _allocate(self, plan: _Plan) -> int:
        if self._free:
            self.reuses += 1  # before anything is written there: a reader may be on its way to it
            # Zeroed when it was freed; lost until the next opening if this change fails.
            return self._free.pop()
        place = plan.end
        plan.end += self._metadata.block_size
        return place

    def _allocate_bitmap(self, plan: _Plan, chunk: int) -> None:
        if chunk not in plan.bitmaps and self._table.bitmap_place(chunk) == ABSENT:
            plan.bitmaps[chunk] = plan.end
            plan.end += layout.MIB

    def _carry_out(self, plan: _Plan, view: memoryview | None) -> None:
        before = self.end
        try:
            if plan.end > before:
                self._file.truncate(plan.end)
            for place, length in plan.zeros:
                self._file.zero(place, length)
            for place, start, length in plan.writes:
                if view is not None:
                    self._file.write(view[start : start + length], place)
        except OSError:
            # Without this a full volume would keep the space that the failed write took.
            if plan.end > before:
                self._file.truncate(before)
            raise
        self.end = plan.end
        # Only now: whoever reads meanwhile sees what was, and then the new data, never half of a block.
        for chunk, place in plan.bitmaps.items():
            self._table.set_bitmap_place(chunk, place)
        for block, first, count in plan.sectors:
            self._mark_sectors(plan, block, first, count)
        for block, entry in plan.entries.items():
            self._table.set_entry(block, entry)
        self._released += plan.released

    def _mark_sectors(self, plan: _Plan, block: int, first: int, count: int) -> None:
        entry = plan.entries.get(block)
        if entry is not None:
            self._bitmaps.clear_bits(block)  # of an earlier block, perhaps
        if self._bitmaps.set_bits(block, first, count):
            place = (self._table.entry(block) if entry is None else entry) & layout.BAT_OFFSET_MASK
            plan.entries[block] = place | PayloadState.FULLY_PRESENT


def _is_zero(view: memoryview, state: int) -> bool:
    """Tell whether data that would need a new block is zeros; blocks with a place take whatever comes."""
    return state not in _PLACED and not np.frombuffer(view, dtype=np.int64).any()
