"""A VHDX as a disk: read, write, make durable.

What `flush` promises, and why the order is what it is. A block that gets its place writes its payload
into bytes behind the end of the file; until its table entry is in the file, no reader can see them.
`flush` first makes payload and file size durable, then writes the entries, then makes those durable.
A crash between leaves entries old or new, each of eight bytes inside one sector: an old one hides an
unfinished block, a new one finds a finished one. Bytes behind the end of a file read as zeros once the
file grows over them, so a new block is zero wherever nothing was written.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self, TypeAlias
from uuid import UUID

import numpy as np

from replikera.blocks.extents import Extents
from replikera.ports.files import Buffer, File
from replikera.vhdx import layout
from replikera.vhdx.bat import BlockAllocationTable
from replikera.vhdx.block_map import FROM_PARENT, BlockMap, Extent, ExtentKind
from replikera.vhdx.errors import DAMAGED, VhdxError
from replikera.vhdx.layout import PayloadState
from replikera.vhdx.metadata import Metadata

Runs: TypeAlias = list[tuple[int, int]]


class ImageKind(StrEnum):
    """Whether the file was made with all its blocks (LeaveBlocksAllocated), grows, or goes on from a parent."""

    FIXED = "fixed"
    DYNAMIC = "dynamic"
    DIFFERENCING = "differencing"


@dataclass(frozen=True, slots=True)
class Structures:
    """What an open file consists of; `end` is where its next block goes, `parent` is open for reading."""

    file: File
    metadata: Metadata
    table: BlockAllocationTable
    blocks: BlockMap
    end: int
    data_write_id: UUID
    parent: "Image | None" = None


class Image:
    """An open disk; owns its file and closes it.

    Reads may come from any threads at any time; writes, zeros and flushes from one at a time.
    """

    def __init__(self, structures: Structures, *, begin_writing: Callable[[], None] | None) -> None:
        """`begin_writing` is None for a disk that is only read."""
        self._file = structures.file
        self._metadata = structures.metadata
        self._table = structures.table
        self._blocks = structures.blocks
        self._end = structures.end
        self._begin_writing = begin_writing
        self.data_write_id = structures.data_write_id
        """Names the content as it was at the opening: what children are bound to."""
        self.parent = structures.parent
        self._has_begun = False
        self._has_unflushed = False
        self._has_failed = False
        self._is_closed = False

    @property
    def size(self) -> int:
        """Return the bytes of the disk."""
        return self._metadata.disk_size

    @property
    def block_size(self) -> int:
        """Return the bytes of a payload block."""
        return self._metadata.block_size

    @property
    def logical_sector_size(self) -> int:
        """Return the unit of writes in bytes: 512 or 4096."""
        return self._metadata.logical_sector_size

    @property
    def kind(self) -> ImageKind:
        """Return what kind of file it is."""
        if self._metadata.has_parent:
            return ImageKind.DIFFERENCING
        is_fixed = self._metadata.leaves_blocks_allocated
        return ImageKind.FIXED if is_fixed else ImageKind.DYNAMIC

    @property
    def disk_id(self) -> str:
        """Return the disk's identity, which the guest sees too: a lower-case UUID."""
        return str(self._metadata.disk_id)

    def read(self, length: int, offset: int) -> bytes:
        """Return exactly `length` bytes of the disk."""
        self._check_range(offset, length)
        parts: list[bytes] = []
        for source, step in self._runs(offset, length):
            parts.append(self._read(source, step, offset))
            offset += step
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill `buffer` from `offset` on."""
        view = buffer.cast("B")
        self._check_range(offset, len(view))
        for source, step in self._runs(offset, len(view)):
            part, view = view[:step], view[step:]
            if source >= 0:
                if self._file.read_into(part, source) != step:
                    raise self._truncated(source)
            elif source == FROM_PARENT:
                self._read_parent(part, offset)
            else:
                np.frombuffer(part, dtype=np.uint8).fill(0)
            offset += step

    def extents(self, offset: int = 0, length: int | None = None) -> Iterator[Extent]:
        """Yield what the file itself says of a range, without reading data; without a length to the disk's end."""
        length = self.size - offset if length is None else length
        self._check_range(offset, length)
        return self._blocks.extents(offset, length)

    def data_extents(self) -> Extents:
        """Return the ranges that have blocks in this file or its parents; all others read as zeros."""
        found: dict[ExtentKind, list[tuple[int, int]]] = {kind: [] for kind in ExtentKind}
        for extent in self.extents():
            found[extent.kind].append((extent.offset, extent.length))
        data = Extents.of(found[ExtentKind.DATA])
        if self.parent is None:
            return data
        above = self.parent.data_extents().intersect(Extents.of(found[ExtentKind.PARENT]))
        return data.union(above)

    def write(self, data: Buffer, offset: int) -> None:
        """Write whole sectors. Zeros into a range without blocks take no space."""
        view = memoryview(data).cast("B")
        self._check_change(offset, len(view))
        if not view:
            return
        self._begin()
        planned = self._plan_blocks(view, offset)
        start = self._grow(len(planned))
        places = {block: start + index * self.block_size for index, block in enumerate(planned)}
        runs = self._runs(offset, len(view), places)
        try:
            self._write_runs(view, runs)
        except OSError:
            # Without this a full volume would keep the space that the failed write took.
            self._shrink(start)
            raise
        # Only now: whoever reads meanwhile sees zeros and then the data, never half of a block.
        self._table.place_blocks(places)
        self._settle_zeros(offset, runs)

    def zero(self, offset: int, length: int) -> None:
        """Make whole sectors read as zeros. Blocks keep their place, as holes where the volume can."""
        self._check_change(offset, length)
        if not length:
            return
        self._begin()
        runs = self._runs(offset, length)
        for place, step in runs:
            if place >= 0:
                self._file.zero(place, step)
        self._settle_zeros(offset, runs)

    def flush(self) -> None:
        """Return when everything written is durable.

        After a failure nothing more is written: what a failed sync was about may be gone.
        """
        self._check_sound()
        if not self._has_unflushed:
            return
        self._has_failed = True
        self._file.sync()
        if self._table.has_changes:
            self._table.write_changes()
            self._file.sync()
        self._has_failed = self._has_unflushed = False

    def close(self) -> None:
        """Flush and close the file; idempotent. After a failed flush it only closes."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if not self._has_failed:
                self.flush()
        finally:
            self._file.close()
            if self.parent is not None:
                self.parent.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _runs(self, offset: int, length: int, planned: Mapping[int, int] | None = None) -> Runs:
        return list(self._blocks.runs(offset, length, planned))

    def _read(self, source: int, length: int, offset: int) -> bytes:
        if source >= 0:
            data = self._file.read(length, source)
            if len(data) != length:
                raise self._truncated(source)
            return data
        buffer = bytearray(length)
        if source == FROM_PARENT:
            self._read_parent(memoryview(buffer), offset)
        return bytes(buffer)

    def _read_parent(self, part: memoryview, offset: int) -> None:
        """Fill a range from the parent, which may end before this disk."""
        parent = self.parent
        inside = max(0, min(len(part), parent.size - offset)) if parent is not None else 0
        if parent is not None and inside:
            parent.read_into(part[:inside], offset)
        np.frombuffer(part[inside:], dtype=np.uint8).fill(0)

    def _begin(self) -> None:
        """Renew the file's write ids before its first change."""
        self._check_sound()
        if self._begin_writing is None:
            raise VhdxError(
                self._file.path, "it was opened for reading only", "Open it writable to change it."
            )
        if not self._has_begun:
            self._has_failed = True
            self._begin_writing()
            self._has_failed, self._has_begun = False, True
        self._has_unflushed = True

    def _plan_blocks(self, view: memoryview, offset: int) -> list[int]:
        """Return the blocks that need a place: those without one that get anything but zeros."""
        first = offset // self.block_size
        last = (offset + len(view) - 1) // self.block_size
        planned = []
        for block in range(first, last + 1):
            if not self._has_place(block):
                start = max(0, block * self.block_size - offset)
                end = (block + 1) * self.block_size - offset
                if np.frombuffer(view[start:end], dtype=np.int64).any():
                    planned.append(block)
        return planned

    def _has_place(self, block: int) -> bool:
        state = self._table.entry(block) & layout.BAT_STATE_MASK
        return state == PayloadState.FULLY_PRESENT

    def _grow(self, count: int) -> int:
        """Give the file room for `count` blocks; return where the first goes."""
        start = self._end
        if count:
            self._file.truncate(start + count * self.block_size)
            self._end = start + count * self.block_size
        return start

    def _shrink(self, end: int) -> None:
        if end < self._end:
            self._file.truncate(end)
            self._end = end

    def _write_runs(self, view: memoryview, runs: Runs) -> None:
        for place, step in runs:
            part, view = view[:step], view[step:]
            if place >= 0:
                self._file.write(part, place)

    def _settle_zeros(self, offset: int, runs: Runs) -> None:
        for place, step in runs:
            if place < 0:
                first = offset // self.block_size
                last = (offset + step - 1) // self.block_size
                self._table.settle_zeros(first, last - first + 1)
            offset += step

    def _check_range(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise VhdxError(
                self._file.path,
                f"{length} bytes at {offset} are not inside its disk of {self.size} bytes",
                "Ask for bytes inside the disk.",
            )

    def _check_change(self, offset: int, length: int) -> None:
        self._check_range(offset, length)
        if offset % self.logical_sector_size or length % self.logical_sector_size:
            raise VhdxError(
                self._file.path,
                f"{length} bytes at {offset} are not whole sectors",
                f"Write whole sectors of {self.logical_sector_size} bytes.",
            )

    def _check_sound(self) -> None:
        if self._has_failed:
            raise VhdxError(
                self._file.path,
                "an earlier flush failed, so what it holds is not known",
                "Mend the volume, open the file again and verify its content.",
            )

    def _truncated(self, place: int) -> VhdxError:
        return VhdxError(self._file.path, f"the file ends inside the block at {place}", DAMAGED)
