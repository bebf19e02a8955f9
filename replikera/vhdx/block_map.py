"""Where the bytes of the disk come from: the file, nowhere (zeros), or the parent."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from replikera.blocks.extents import Extents
from replikera.vhdx import layout
from replikera.vhdx.bat import ABSENT, BlockAllocationTable
from replikera.vhdx.bitmaps import SectorBitmaps
from replikera.vhdx.layout import PayloadState
from replikera.vhdx.metadata import Metadata

FROM_PARENT = -2
"""The source of a run that is in the parent; `ABSENT` is that of zeros, all others are file offsets."""

_PARTIAL = -3
_PIECE = 1 << 16  # blocks looked at together


class ExtentKind(StrEnum):
    """What a range of the disk is, as the file itself says."""

    DATA = "data"
    ZERO = "zero"
    UNMAPPED = "unmapped"
    PARENT = "parent"


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of the disk of one kind."""

    offset: int
    length: int
    kind: ExtentKind


_Ranges: TypeAlias = list[tuple[NDArray[np.int64], NDArray[np.int64]]]

_KINDS = tuple(ExtentKind)
_DATA, _ZERO, _UNMAPPED, _PARENT = range(4)


class BlockMap:
    """The table and bitmaps of one file, as ranges."""

    def __init__(
        self, metadata: Metadata, table: BlockAllocationTable, bitmaps: SectorBitmaps
    ) -> None:
        self._metadata = metadata
        self._table = table
        self._bitmaps = bitmaps
        self._nothing = FROM_PARENT if metadata.has_parent else ABSENT

    def place(self, offset: int, length: int) -> int:
        """Return where a range lies in the file if it is in one block that is there, else `ABSENT`.

        By far the most frequent read, and the one that needs no runs.
        """
        size = self._metadata.block_size
        block, within = divmod(offset, size)
        if not 0 < length <= size - within:
            return ABSENT
        entry = self._table.entry(block)
        if entry & layout.BAT_STATE_MASK != PayloadState.FULLY_PRESENT:
            return ABSENT
        return (entry & layout.BAT_OFFSET_MASK) + within

    def runs(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield (source, length) for a range of the disk, neighbours joined."""
        if not length:
            return
        size = self._metadata.block_size
        first, within = divmod(offset, size)
        count = (within + length - 1) // size + 1
        if count == 1:  # by far the most frequent, and arrays cost 10 us
            entries, cuts = [self._table.entry(first)], [0, 1]
            sources = [self._source(entries[0])]
        else:
            array = self._table.entries(first, count)
            found = self._sources(array)
            cuts = _cuts(found, size)
            sources, entries = found.tolist(), array.tolist()
        for start, end in pairwise(cuts):
            step = min((end - start) * size - within, length)
            if sources[start] == _PARTIAL:
                yield from self._partial_runs(first + start, entries[start], within, step)
            else:
                source = sources[start]
                yield (source if source < 0 else source + within), step
            within, length = 0, length - step

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        """Yield the kinds of a range of the disk, neighbours of one kind joined, without reading data."""
        pending: tuple[int, int, int] | None = None
        for start, step, kind in self._kinds(offset, length):
            if pending is not None and pending[2] == kind:
                pending = (pending[0], pending[1] + step, kind)
                continue
            if pending is not None:
                yield Extent(pending[0], pending[1], _KINDS[pending[2]])
            pending = (start, step, kind)
        if pending is not None:
            yield Extent(pending[0], pending[1], _KINDS[pending[2]])

    def data_and_parent(self) -> tuple[Extents, Extents]:
        """Return what is in this file, and what is in the parent, without reading data."""
        size, count = self._metadata.block_size, self._metadata.block_count
        found: tuple[_Ranges, _Ranges] = ([], [])
        for first in range(0, count, _PIECE):
            entries = self._table.entries(first, min(_PIECE, count - first))
            states = entries & layout.BAT_STATE_MASK
            found[0].append(_runs(states == PayloadState.FULLY_PRESENT, first, size))
            if self._metadata.has_parent:
                found[1].append(_runs(states == PayloadState.NOT_PRESENT, first, size))
            for index in np.flatnonzero(states == PayloadState.PARTIALLY_PRESENT).tolist():
                self._add_partial(found, first + index)
        data, above = (_union(ranges).clip(self._metadata.disk_size) for ranges in found)
        return data, above

    def _add_partial(self, found: "tuple[_Ranges, _Ranges]", block: int) -> None:
        sector = self._metadata.logical_sector_size
        bits = self._bitmaps.bits(block, 0, self._metadata.block_size // sector)
        cuts = np.concatenate(([0], np.flatnonzero(np.diff(bits)) + 1, [len(bits)]))
        edges = block * self._metadata.block_size + cuts.astype(np.int64) * sector
        is_here = bits[cuts[:-1]]
        found[0].append((edges[:-1][is_here], edges[1:][is_here]))
        found[1].append((edges[:-1][~is_here], edges[1:][~is_here]))

    def stored(self, ranges: Extents) -> Extents:
        """Return the ranges of the disk that `ranges` of the file hold, of all blocks that have a place."""
        size, count = self._metadata.block_size, self._metadata.block_count
        found = [
            _held_by(ranges, first, self._table.entries(first, min(_PIECE, count - first)), size)
            for first in range(0, count, _PIECE)
        ]
        return _union(found).clip(self._metadata.disk_size)

    def _kinds(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        size, end = self._metadata.block_size, offset + length
        while offset < end:
            first = offset // size
            count = min(_PIECE, (end - 1) // size - first + 1)
            entries = self._table.entries(first, count)
            states = entries & layout.BAT_STATE_MASK
            cuts = np.flatnonzero(
                (np.diff(states) != 0) | (states[1:] == PayloadState.PARTIALLY_PRESENT)
            )
            for start, stop in pairwise([0, *(cuts + 1).tolist(), count]):
                state = int(states[start])
                step = min((first + stop) * size, end) - offset
                if state == PayloadState.PARTIALLY_PRESENT:
                    entry = int(entries[start])
                    yield from self._partial_kinds(first + start, entry, offset, step)
                else:
                    yield offset, step, self._kind(state)
                offset += step

    def _partial_kinds(
        self, block: int, entry: int, offset: int, length: int
    ) -> Iterator[tuple[int, int, int]]:
        within = offset - block * self._metadata.block_size
        for source, step in self._partial_runs(block, entry, within, length):
            yield offset, step, _PARENT if source == FROM_PARENT else _DATA
            offset += step

    def _partial_runs(
        self, block: int, entry: int, within: int, length: int
    ) -> Iterator[tuple[int, int]]:
        """`entry` is the one that said that the block is partial: by now it may have another."""
        sector = self._metadata.logical_sector_size
        place = entry & layout.BAT_OFFSET_MASK
        first, last = within // sector, (within + length - 1) // sector
        bits = self._bitmaps.bits(block, first, last - first + 1)
        cuts = np.flatnonzero(np.diff(bits)) + 1
        for start, end in pairwise([0, *cuts.tolist(), len(bits)]):
            stop = min((first + end) * sector, within + length)
            yield (place + within if bits[start] else FROM_PARENT), stop - within
            within, length = stop, length - (stop - within)

    def _kind(self, state: int) -> int:
        if state == PayloadState.FULLY_PRESENT:
            return _DATA
        if state in {PayloadState.UNMAPPED, PayloadState.UNMAPPED_OF_DRAFT}:
            return _UNMAPPED
        if state == PayloadState.NOT_PRESENT and self._metadata.has_parent:
            return _PARENT
        return _ZERO

    def _source(self, entry: int) -> int:
        state = entry & layout.BAT_STATE_MASK
        if state == PayloadState.FULLY_PRESENT:
            return entry & layout.BAT_OFFSET_MASK
        if state == PayloadState.PARTIALLY_PRESENT:
            return _PARTIAL
        return self._nothing if state == PayloadState.NOT_PRESENT else ABSENT

    def _sources(self, entries: NDArray[np.int64]) -> NDArray[np.int64]:
        states = entries & layout.BAT_STATE_MASK
        sources = np.where(
            states == PayloadState.FULLY_PRESENT, entries & layout.BAT_OFFSET_MASK, ABSENT
        )
        sources[states == PayloadState.PARTIALLY_PRESENT] = _PARTIAL
        sources[states == PayloadState.NOT_PRESENT] = self._nothing
        return sources


def _runs(
    is_kind: NDArray[np.bool_], first: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return starts and ends, in the disk, of runs of neighbouring blocks of a kind; the first is block `first`."""
    bounded = np.concatenate(([False], is_kind, [False]))
    edges = (np.flatnonzero(bounded[1:] != bounded[:-1]) + first) * size
    return edges[::2], edges[1::2]


def _union(ranges: _Ranges) -> Extents:
    if not ranges:
        return Extents.empty()
    starts, ends = (np.concatenate(part) for part in zip(*ranges, strict=True))
    return Extents.from_arrays(starts, ends)


def _held_by(
    ranges: Extents, first: int, entries: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return starts and ends, in the disk, of what `ranges` of the file hold of blocks from `first` on."""
    is_placed = (entries & layout.BAT_STATE_MASK) >= PayloadState.FULLY_PRESENT
    places = entries[is_placed] & layout.BAT_OFFSET_MASK
    shifts = (np.flatnonzero(is_placed) + first) * size - places
    begin = np.searchsorted(ranges.ends, places, side="right")
    counts = np.searchsorted(ranges.starts, places + size, side="left") - begin
    block = np.repeat(np.arange(places.size), counts)
    within = np.arange(block.size) - np.repeat(np.cumsum(counts) - counts, counts)
    held = np.repeat(begin, counts) + within
    starts = np.maximum(places[block], ranges.starts[held]) + shifts[block]
    ends = np.minimum(places[block] + size, ranges.ends[held]) + shifts[block]
    return starts, ends


def _cuts(sources: NDArray[np.int64], size: int) -> list[int]:
    """Return where runs begin, and the end: equal sources without a place go on, and so do neighbours in the file."""
    before, after = sources[:-1], sources[1:]
    is_same = (before == after) & (after < 0) & (after != _PARTIAL)
    is_next = (before >= 0) & (after == before + size)
    return [0, *(np.flatnonzero(~(is_same | is_next)) + 1).tolist(), len(sources)]
