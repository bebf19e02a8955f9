"""The block allocation table (MS-VHDX 2.5): where each payload block lies in the file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from replikera.blocks.extents import Extents
from replikera.ports.files import File
from replikera.vhdx import layout
from replikera.vhdx.errors import DAMAGED, VhdxError
from replikera.vhdx.layout import PayloadState
from replikera.vhdx.metadata import Metadata
from replikera.vhdx.regions import Region

ABSENT = -1
_ENTRY = np.dtype("<i8")  # signed: numpy makes floats of unsigned and signed integers together
_UNDECIDED = (PayloadState.UNDEFINED, PayloadState.UNMAPPED, PayloadState.UNMAPPED_OF_DRAFT)
_VALID = np.isin(np.arange(8), [*PayloadState])
_VALID[PayloadState.PARTIALLY_PRESENT] = False  # 2.5.1.1: in differencing files only


def entry_count(metadata: Metadata) -> int:
    """Return the table's entries: a sector bitmap's after every full chunk of payload blocks (2.5)."""
    blocks = metadata.block_count
    return blocks + (blocks - 1) // metadata.chunk_ratio


class BlockAllocationTable:
    """The payload entries in memory, at most 512 MiB of them (64 TiB in blocks of 1 MiB).

    Sector bitmap entries mean nothing without a parent and are left as they are in the file. Changes
    stay in memory until `write_changes`. One thread changes the table; any number may read it meanwhile.
    """

    def __init__(
        self, file: File, region: Region, metadata: Metadata, entries: NDArray[np.int64]
    ) -> None:
        self._file = file
        self._region = region
        self._metadata = metadata
        self._entries = entries
        self._changed: set[int] = set()

    @classmethod
    def empty(cls, file: File, region: Region, metadata: Metadata) -> "BlockAllocationTable":
        """Return the table of a new file, whose region holds zeros."""
        return cls(file, region, metadata, np.zeros(metadata.block_count, dtype=_ENTRY))

    @classmethod
    def read(
        cls, file: File, region: Region, metadata: Metadata, reserved: Iterable[Region]
    ) -> "BlockAllocationTable":
        """Read the table and check every entry against the file, the other entries and `reserved`."""
        count = entry_count(metadata)
        length = count * layout.BAT_ENTRY_SIZE
        if length > region.length:
            problem = f"the block allocation table is too short for {metadata.block_count} blocks"
            raise VhdxError(file.path, problem, DAMAGED)
        raw = np.zeros(count, dtype=_ENTRY)
        if file.read_into(raw.data.cast("B"), region.offset) != length:
            raise VhdxError(file.path, "the block allocation table is truncated", DAMAGED)
        table = cls(file, region, metadata, _payload_entries(raw, metadata))
        table._check(reserved)
        return table

    @property
    def has_changes(self) -> bool:
        """Tell whether the file's table is behind this one."""
        return bool(self._changed)

    def place(self, block: int) -> int:
        """Return a block's file offset, `ABSENT` if it reads as zeros."""
        entry = int(self._entries[block])
        is_present = entry & layout.BAT_STATE_MASK == PayloadState.FULLY_PRESENT
        return entry & layout.BAT_OFFSET_MASK if is_present else ABSENT

    def places(self, first: int, count: int) -> NDArray[np.int64]:
        """Return for `count` blocks their file offsets, `ABSENT` for those that read as zeros."""
        entries = self._entries[first : first + count]
        is_present = entries & layout.BAT_STATE_MASK == PayloadState.FULLY_PRESENT
        return np.where(is_present, entries & layout.BAT_OFFSET_MASK, ABSENT)

    def runs(
        self, offset: int, length: int, planned: Mapping[int, int]
    ) -> Iterator[tuple[int | None, int]]:
        """Yield (file offset or None, length) for a range of the disk, neighbours joined.

        `planned` has the places of blocks that are not in the table yet.
        """
        if not length:
            return
        size = self._metadata.block_size
        first, within = divmod(offset, size)
        if within + length <= size:  # one block: by far the most frequent, and arrays cost 10 us
            place = planned.get(first, self.place(first))
            yield (None if place == ABSENT else place + within), length
            return
        places = self.places(first, (within + length - 1) // size + 1)
        for block, place in planned.items():
            places[block - first] = place
        both_absent = (places[1:] == ABSENT) & (places[:-1] == ABSENT)
        cuts = np.flatnonzero(~(both_absent | (places[1:] == places[:-1] + size))) + 1
        for start, end in pairwise([0, *cuts.tolist(), len(places)]):
            step = min((end - start) * size - within, length)
            place = int(places[start])
            yield (None if place == ABSENT else place + within), step
            within, length = 0, length - step

    def data_extents(self) -> Extents:
        """Return the ranges of the disk that have blocks in the file."""
        is_present = self._entries & layout.BAT_STATE_MASK == PayloadState.FULLY_PRESENT
        edges = np.flatnonzero(np.diff(is_present, prepend=False, append=False))
        bounds = np.minimum(edges * self._metadata.block_size, self._metadata.disk_size)
        return Extents.from_arrays(bounds[::2], bounds[1::2])

    def end_of_blocks(self) -> int:
        """Return the file offset behind the last block, counted as a whole one."""
        highest = int(self.places(0, len(self._entries)).max())
        return 0 if highest == ABSENT else highest + self._metadata.block_size

    def place_blocks(self, places: Mapping[int, int]) -> None:
        """Let the blocks be found at these file offsets from now on."""
        for block, place in places.items():
            self._entries[block] = place | PayloadState.FULLY_PRESENT
        self._changed.update(places)

    def settle_zeros(self, first: int, count: int) -> None:
        """Turn entries whose content is anybody's choice into zeros for every reader."""
        states = self._entries[first : first + count] & layout.BAT_STATE_MASK
        blocks = np.flatnonzero(np.isin(states, _UNDECIDED)) + first
        self._entries[blocks] = PayloadState.ZERO
        self._changed.update(blocks.tolist())

    def write_changes(self) -> None:
        """Write the changed entries into the file's table, in place; not synced."""
        if not self._changed:
            return
        blocks = np.array(sorted(self._changed), dtype=np.int64)
        positions = blocks + blocks // self._metadata.chunk_ratio
        cuts = np.flatnonzero(np.diff(positions) != 1) + 1
        for start, end in pairwise([0, *cuts.tolist(), len(blocks)]):
            data = self._entries[blocks[start:end]].tobytes()
            offset = self._region.offset + int(positions[start]) * layout.BAT_ENTRY_SIZE
            self._file.write(data, offset)
        self._changed.clear()

    def _check(self, reserved: Iterable[Region]) -> None:
        states = self._entries & layout.BAT_STATE_MASK
        refused = np.flatnonzero(~_VALID[states])
        if refused.size:
            block = int(refused[0])
            raise self._error(f"block {block} has state {states[block]}, invalid in such a file")
        blocks = np.flatnonzero(states == PayloadState.FULLY_PRESENT)
        starts = self._entries[blocks] & layout.BAT_OFFSET_MASK
        lengths = self._visible_lengths(blocks)
        room = np.int64(self._file.size()) - lengths
        outside = blocks[(starts < layout.HEADER_SECTION_SIZE) | (starts > room)]
        if outside.size:
            raise self._error(
                f"block {outside[0]} lies outside the file: it is truncated or damaged"
            )
        order = np.argsort(starts)
        self._check_overlaps(blocks[order], starts[order], (starts + lengths)[order], reserved)

    def _check_overlaps(
        self,
        blocks: NDArray[np.int64],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        reserved: Iterable[Region],
    ) -> None:
        shared = np.flatnonzero(ends[:-1] > starts[1:])
        if shared.size:
            pair: Sequence[int] = blocks[shared[0] : shared[0] + 2].tolist()
            raise self._error(f"blocks {pair[0]} and {pair[1]} overlap in the file")
        for region in reserved:
            first = int(np.searchsorted(ends, region.offset, side="right"))
            if first < len(blocks) and starts[first] < region.end:
                raise self._error(f"block {blocks[first]} overlaps {region.name}")

    def _visible_lengths(self, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
        # Old QEMU cut the file behind the disk's last byte: only that much of the last block must exist.
        metadata = self._metadata
        return np.minimum(metadata.block_size, metadata.disk_size - blocks * metadata.block_size)

    def _error(self, problem: str) -> VhdxError:
        return VhdxError(self._file.path, problem, DAMAGED)


def _payload_entries(raw: NDArray[np.int64], metadata: Metadata) -> NDArray[np.int64]:
    """Return the entries without those of sector bitmaps."""
    ratio = metadata.chunk_ratio
    full = len(raw) // (ratio + 1)
    chunks = raw[: full * (ratio + 1)].reshape(full, ratio + 1)[:, :ratio]
    return np.concatenate((chunks.ravel(), raw[full * (ratio + 1) :]))
