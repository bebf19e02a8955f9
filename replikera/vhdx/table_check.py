"""The whole block table against the file, once, in pieces: nothing points outside, or at something else.

The FileOffsetMB of entries that hold no data is reserved (2.5.1.1) and is not looked at.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replikera.blocks.extents import Extents
from replikera.ports.files import File
from replikera.vhdx import layout
from replikera.vhdx.bat import ENTRY, entry_count
from replikera.vhdx.errors import DAMAGED, VhdxError
from replikera.vhdx.layout import PayloadState
from replikera.vhdx.metadata import Metadata
from replikera.vhdx.regions import Region

_PIECE = 1 << 17  # entries: 1 MiB of the table
_BLOCK, _BITMAP = 1, 2


@dataclass(frozen=True, slots=True)
class TableSurvey:
    """What a sound table uses of the file.

    `end` is the file offset behind the last block, 0 without blocks; `unused` counts the bytes that belong to nothing.
    """

    end: int
    block_count: int
    unused: int
    chunks_without_bitmap: tuple[int, ...]
    """Chunks with a partially present block whose sector bitmap is missing: these blocks cannot be read."""


def check_table(file: File, region: Region, metadata: Metadata, reserved: Iterable[Region]) -> int:
    """Check every entry; return the file offset behind the last block, 0 without blocks.

    Memory: one byte for every MiB of the file. Raises `VhdxError`.
    """
    return survey_table(file, region, metadata, reserved).end


def survey_table(
    file: File, region: Region, metadata: Metadata, reserved: Iterable[Region]
) -> TableSurvey:
    """Check every entry as `check_table` does, and tell what the table uses. Raises `VhdxError`."""
    count = entry_count(metadata)
    if count * layout.BAT_ENTRY_SIZE > region.length:
        problem = f"the block allocation table is too short for {metadata.block_count} blocks"
        raise VhdxError(file.path, problem, DAMAGED)
    claims = _Claims(file, metadata)
    for start, raw in _pieces(file, region, count):
        claims.take(start, raw)
    return claims.survey([*reserved])


def _pieces(file: File, region: Region, count: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the parts of the table that are not holes of the file: entries in holes are zero."""
    size = layout.BAT_ENTRY_SIZE
    table = Extents.of([(region.offset, count * size)])
    found = Extents.of(_ranges_before(file, region.end)).intersect(table).align(size, region.end)
    for offset, length in found.split(_PIECE * size):
        raw = np.zeros(length // size, dtype=ENTRY)
        if file.read_into(raw.data.cast("B"), offset) != length:
            raise VhdxError(file.path, "the block allocation table is truncated", DAMAGED)
        yield (offset - region.offset) // size, raw


def _ranges_before(file: File, end: int) -> Iterator[tuple[int, int]]:
    for offset, length in file.data_ranges():
        if offset >= end:
            return
        yield offset, length


class _Claims:
    """Which MiB of the file a block or a bitmap begins at."""

    def __init__(self, file: File, metadata: Metadata) -> None:
        self._file = file
        self._metadata = metadata
        self._size = file.size()
        if self._size > layout.MAX_FILE_SIZE:
            problem = f"it has {self._size} bytes, more than any disk of the format needs"
            raise VhdxError(file.path, problem, DAMAGED)
        self._starts = np.zeros(-(-self._size // layout.MIB) + 1, dtype=np.uint8)
        self._chunks_in_need: set[int] = set()
        self._chunks_with_bitmap: set[int] = set()
        self._bitmap_states = [0, layout.BITMAP_PRESENT] if metadata.has_parent else []
        payload = set(PayloadState)
        if not metadata.has_parent:
            payload.remove(PayloadState.PARTIALLY_PRESENT)
        self._payload_states = sorted(payload)

    def take(self, start: int, raw: NDArray[np.int64]) -> None:
        """Check the entries from index `start` on."""
        indices = np.arange(start, start + len(raw), dtype=np.int64)
        ratio = self._metadata.chunk_ratio
        chunks, within = np.divmod(indices, ratio + 1)
        is_bitmap = within == ratio
        states = raw & layout.BAT_STATE_MASK
        self._take_blocks(
            (chunks * ratio + within)[~is_bitmap], raw[~is_bitmap], states[~is_bitmap]
        )
        if self._metadata.has_parent:
            self._take_bitmaps(chunks[is_bitmap], raw[is_bitmap], states[is_bitmap])

    def survey(self, reserved: list[Region]) -> TableSurvey:
        """Check the claims against each other and the regions, and add them up."""
        end = self._checked_end(reserved)
        blocks = int(np.count_nonzero(self._starts == _BLOCK))
        used = layout.HEADER_SECTION_SIZE + sum(region.length for region in reserved)
        used += blocks * self._metadata.block_size + len(self._chunks_with_bitmap) * layout.MIB
        used -= max(0, end - self._size)  # the part of the last block that was cut off
        missing = sorted(self._chunks_in_need - self._chunks_with_bitmap)
        return TableSurvey(end, blocks, max(0, self._size - used), tuple(missing))

    def _checked_end(self, reserved: list[Region]) -> int:
        """Check that nothing lies over something else; return the offset behind the last block."""
        starts = np.flatnonzero(self._starts).astype(np.int64)
        if not starts.size:
            return 0
        block_mib = self._metadata.block_size // layout.MIB
        lengths = np.where(self._starts[starts] == _BLOCK, block_mib, 1)
        shared = np.flatnonzero(starts[:-1] + lengths[:-1] > starts[1:])
        if shared.size:
            place = int(starts[shared[0] + 1]) * layout.MIB
            raise self._error(f"two blocks overlap at {place} in the file")
        # The last block may be cut off behind the disk's last byte.
        ends = np.minimum((starts + lengths) * layout.MIB, self._size)
        for region in reserved:
            first = int(np.searchsorted(ends, region.offset, side="right"))
            if first < len(starts) and starts[first] * layout.MIB < region.end:
                raise self._error(f"a block overlaps {region.name}")
        return int(starts[-1] + lengths[-1]) * layout.MIB

    def _take_blocks(
        self, blocks: NDArray[np.int64], raw: NDArray[np.int64], states: NDArray[np.int64]
    ) -> None:
        refused = np.flatnonzero(~np.isin(states, self._payload_states))
        if refused.size:
            at = refused[0]
            raise self._error(f"block {blocks[at]} has state {states[at]}, invalid in such a file")
        is_partial = states == PayloadState.PARTIALLY_PRESENT
        if is_partial.any():
            chunks = np.unique(blocks[is_partial] // self._metadata.chunk_ratio)
            self._chunks_in_need.update(chunks.tolist())
        is_placed = states >= PayloadState.FULLY_PRESENT
        blocks, places = blocks[is_placed], raw[is_placed] & layout.BAT_OFFSET_MASK
        metadata = self._metadata
        # Old QEMU cut the file behind the disk's last byte: only that much of the last block must exist.
        visible = metadata.disk_size - blocks * metadata.block_size
        # A differencing file has entries behind the disk's end as well: their blocks must exist whole.
        lengths = np.where(
            visible > 0, np.minimum(metadata.block_size, visible), metadata.block_size
        )
        self._claim(_BLOCK, blocks, places, lengths)

    def _take_bitmaps(
        self, chunks: NDArray[np.int64], raw: NDArray[np.int64], states: NDArray[np.int64]
    ) -> None:
        refused = np.flatnonzero(~np.isin(states, self._bitmap_states))
        if refused.size:
            at = refused[0]
            raise self._error(f"the sector bitmap of chunk {chunks[at]} has state {states[at]}")
        is_placed = states == layout.BITMAP_PRESENT
        self._chunks_with_bitmap.update(chunks[is_placed].tolist())
        places = raw[is_placed] & layout.BAT_OFFSET_MASK
        self._claim(_BITMAP, chunks[is_placed], places, np.full(len(places), layout.MIB))

    def _claim(
        self,
        what: int,
        numbers: NDArray[np.int64],
        places: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> None:
        name = "block" if what == _BLOCK else "the sector bitmap of chunk"
        outside = (places < layout.HEADER_SECTION_SIZE) | (places > np.int64(self._size) - lengths)
        if outside.any():
            number = int(numbers[outside][0])
            raise self._error(f"{name} {number} lies outside the file: it is truncated or damaged")
        units = places // layout.MIB
        unique = np.unique(units)
        if len(unique) != len(units) or self._starts[unique].any():
            taken = unique[self._starts[unique] != 0]
            values, counts = np.unique(units, return_counts=True)
            place = int(taken[0] if len(taken) else values[counts > 1][0]) * layout.MIB
            raise self._error(f"two blocks overlap at {place} in the file")
        self._starts[unique] = what

    def _error(self, problem: str) -> VhdxError:
        return VhdxError(self._file.path, problem, DAMAGED)
