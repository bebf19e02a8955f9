"""The disk of a VHDX file as its guest sees it (MS-VHDX 2.5): where every byte comes from, through all parents."""

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from replikera.lab.witness.errors import WitnessError
from replikera.lab.witness.layer import BLOCK_TABLE, MIB, Layer
from replikera.lab.witness.metadata import Metadata, Parent, read_metadata
from replikera.ports.files import Files

_MAX_BLOCK_TABLE_BYTES: Final = 513 * MIB
_MAX_CHAIN: Final = 64
_NOT_PRESENT: Final = 0
_ZERO_STATES: Final = frozenset(
    (0, 1, 2, 3, 5)
)  # not present, undefined, zero, unmapped; 5 is one of older drafts
_FULLY_PRESENT: Final = 6
_PARTIALLY_PRESENT: Final = 7


class Run(NamedTuple):
    """Some bytes of a disk: in `layer` from `offset` on, or zeros where that is None."""

    layer: Layer | None
    offset: int
    length: int


class Disk:
    """One file, open, with its parent where it has one; `close` closes them all."""

    def __init__(self, layer: Layer, metadata: Metadata, parent: "Disk | None") -> None:
        """Read the block table. Raises `WitnessError`."""
        self.size = metadata.size
        self.data_write_id = layer.data_write_id
        self.parent = parent
        self._layer = layer
        self._block_size = metadata.block_size
        self._sector = metadata.sector
        self._ratio = (metadata.sector << 23) // metadata.block_size
        self._table = self._read_table()
        self._check_places()

    @property
    def is_plain(self) -> bool:
        """Tell whether it has neither a parent nor a log to apply, which other readers do not all understand."""
        return self.parent is None and not self._layer.has_log

    def runs(self) -> Iterator[Run]:
        """Yield where the whole disk comes from, in order; neighbouring zeros are one run."""
        zeros = 0
        for run in self.part(0, self.size):
            if run.layer is None:
                zeros += run.length
                continue
            if zeros:
                yield Run(None, 0, zeros)
                zeros = 0
            yield run
        if zeros:
            yield Run(None, 0, zeros)

    def part(self, offset: int, length: int) -> Iterator[Run]:
        """Yield where bytes of the disk come from, in order; beyond its end there are zeros."""
        beyond = max(0, offset + length - max(offset, self.size))
        end = offset + length - beyond
        while offset < end:
            block, within = divmod(offset, self._block_size)
            step = min(self._block_size - within, end - offset)
            entry = self._entry(block)
            state, place = entry & 7, entry & ~0xFFFFF
            if state == _FULLY_PRESENT:
                yield Run(self._layer, place + within, step)
            elif state == _PARTIALLY_PRESENT:
                yield from self._mixed(block, place, within, step)
            elif state == _NOT_PRESENT and self.parent is not None:
                yield from self.parent.part(offset, step)
            else:
                yield Run(None, 0, step)
            offset += step
        if beyond:
            yield Run(None, 0, beyond)

    def close(self) -> None:
        """Close the files of the chain; idempotent."""
        self._layer.close()
        if self.parent is not None:
            self.parent.close()

    def _mixed(self, block: int, place: int, within: int, length: int) -> Iterator[Run]:
        """Yield the runs of a block whose sectors are here or in the parent, as its bitmap says (2.5.2)."""
        if self.parent is None:
            raise WitnessError(self._layer.path, f"block {block} is partly in a parent it has not")
        first, last = within // self._sector, -(-(within + length) // self._sector)
        bits = self._bits(block)[first:last]
        cuts = (np.flatnonzero(np.diff(bits)) + 1).tolist()
        end = within + length
        for start, stop in pairwise([0, *cuts, len(bits)]):
            step = min((first + stop) * self._sector, end) - within
            if bits[start]:
                yield Run(self._layer, place + within, step)
            else:
                yield from self.parent.part(block * self._block_size + within, step)
            within += step

    def _bits(self, block: int) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
        chunk, number = divmod(block, self._ratio)
        entry = self._table[chunk * (self._ratio + 1) + self._ratio]
        if entry & 7 != _FULLY_PRESENT:
            raise WitnessError(self._layer.path, f"the sector bitmap of block {block} is missing")
        count = self._block_size // self._sector // 8
        data = self._layer.read(count, (entry & ~0xFFFFF) + number * count)
        if len(data) != count:
            raise WitnessError(self._layer.path, f"the sector bitmap of block {block} is cut off")
        return np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")

    def _entry(self, block: int) -> int:
        return self._table[block + block // self._ratio]

    def _read_table(self) -> tuple[int, ...]:
        region = self._layer.regions[BLOCK_TABLE]
        blocks = -(-self.size // self._block_size)
        chunks = -(-blocks // self._ratio)
        # The bitmap of the last chunk has an entry only in a differencing disk.
        count = chunks * (self._ratio + 1) if self.parent else blocks + (blocks - 1) // self._ratio
        if 8 * count > min(region.length, _MAX_BLOCK_TABLE_BYTES):
            raise WitnessError(
                self._layer.path, f"its block table is too short for {blocks} blocks"
            )
        table = self._layer.read(8 * count, region.offset)
        if len(table) != 8 * count:
            raise WitnessError(self._layer.path, "its block table is cut off")
        return struct.unpack(f"<{count}Q", table)

    def _check_places(self) -> None:
        present = []
        for block in range(-(-self.size // self._block_size)):
            entry = self._entry(block)
            state, place = entry & 7, entry & ~0xFFFFF
            if state in {_FULLY_PRESENT, _PARTIALLY_PRESENT} and place >= MIB:
                present.append(place)
                # A file may end inside its last block where that ends the disk.
                used = min(self._block_size, self.size - block * self._block_size)
                if place + used > self._layer.size:
                    raise WitnessError(
                        self._layer.path, f"block {block} at {place} is beyond the end of the file"
                    )
            elif state not in _ZERO_STATES:
                raise WitnessError(
                    self._layer.path, f"block {block} has the table entry {entry:#x}"
                )
        present.sort()
        if any(second - first < self._block_size for first, second in pairwise(present)):
            raise WitnessError(self._layer.path, "two of its blocks share bytes of the file")


def open_disk(files: Files, path: Path, depth: int = 1) -> Disk:
    """Open a file and, `depth` files deep by now, the chain of its parents. Raises `WitnessError`, `OSError`."""
    if depth > _MAX_CHAIN:
        raise WitnessError(path, f"it is number {depth} of a chain of differencing disks")
    layer = Layer(files.open_read(path))
    parent = None
    try:
        metadata = read_metadata(layer)
        if metadata.parent is not None:
            parent = _open_parent(files, path, metadata.parent, depth)
        return Disk(layer, metadata, parent)
    except BaseException:
        layer.close()
        if parent is not None:
            parent.close()
        raise


def _open_parent(files: Files, path: Path, told: Parent, depth: int) -> Disk:
    place = path.parent / told.relative_path.replace("\\", "/")
    if files.status(place) is None:
        raise WitnessError(path, f"its parent is not at {place}")
    parent = open_disk(files, place, depth + 1)
    if parent.data_write_id not in told.linkages:
        parent.close()
        raise WitnessError(path, f"its parent {place} was written after the disk was made")
    return parent
