"""A VHDX as a disk: read, write, make durable.

What `flush` promises: payload and file size are made durable first, then the tables change in one commit of the log. A
crash at any moment leaves a file that opens, through its log or without, with everything that was flushed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Self, TypeAlias
from uuid import UUID

import numpy as np

from replikera.blocks.extents import Extents
from replikera.ports.files import Buffer, File
from replikera.vhdx.bat import BlockAllocationTable
from replikera.vhdx.bitmaps import SectorBitmaps
from replikera.vhdx.block_map import FROM_PARENT, BlockMap, Extent
from replikera.vhdx.errors import DAMAGED, VhdxError
from replikera.vhdx.growing import Growth
from replikera.vhdx.log_writer import MAX_PAGES, LogWriter
from replikera.vhdx.metadata import CarriedItem, Metadata, carried_items
from replikera.vhdx.pages import Pages
from replikera.vhdx.regions import RegionTable
from replikera.vhdx.replayed_file import ReplayedFile
from replikera.vhdx.writing import BlockWriter

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
    regions: RegionTable
    pages: Pages
    table: BlockAllocationTable
    bitmaps: SectorBitmaps
    end: int
    data_write_id: UUID
    parent: "Image | None" = None


def structures_of(
    file: File, metadata: Metadata, regions: RegionTable, *, end: int, data_write_id: UUID
) -> Structures:
    """Return the structures of a file whose metadata and regions are known."""
    pages = Pages(file)
    table = BlockAllocationTable(regions.bat, metadata, pages)
    bitmaps = SectorBitmaps(table, metadata, pages)
    return Structures(file, metadata, regions, pages, table, bitmaps, end, data_write_id)


@dataclass(frozen=True, slots=True)
class Writing:
    """What a disk needs to be changed: its log, and `begin`, which makes the file ready for its first change."""

    log: LogWriter
    begin: Callable[[], None]


class Image:
    """An open disk; owns its file and closes it.

    Reads may come from any threads at any time; writes, zeros and flushes from one at a time.
    """

    def __init__(self, structures: Structures, *, writing: Writing | None) -> None:
        """Take the structures of an open file; `writing` is None for a disk that is only read."""
        self._file = structures.file
        self._take(structures)
        self._writing = writing
        self.data_write_id = structures.data_write_id
        """Names the content as it was at the opening: what children are bound to."""
        self.parent = structures.parent
        self._needs_its_log = isinstance(structures.file, ReplayedFile)
        self._has_begun = False
        self._has_unflushed = False
        self._has_failed = False
        self._is_closed = False

    @property
    def path(self) -> Path:
        """Return the path of the file."""
        return self._file.path

    @property
    def needs_its_log(self) -> bool:
        """Tell whether it was opened for reading with a log that is not empty.

        It is being written, or its writer was killed.
        """
        return self._needs_its_log

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
    def physical_sector_size(self) -> int:
        """Return the unit in which the disk's storage writes, in bytes: 512 or 4096."""
        return self._metadata.physical_sector_size

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
        while True:
            reuses = self._writer.reuses
            place = self._blocks.place(offset, length)
            data = self._read(place, length, offset) if place >= 0 else self._joined(offset, length)
            if reuses == self._writer.reuses:
                return data  # else a place may have become that of another block on the way to it

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill `buffer` from `offset` on."""
        view = buffer.cast("B")
        self._check_range(offset, len(view))
        while True:
            reuses = self._writer.reuses
            self._fill(view, offset)
            if reuses == self._writer.reuses:
                return  # as in `read`

    def _fill(self, view: memoryview, offset: int) -> None:
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

    def carried_items(self) -> tuple[CarriedItem, ...]:
        """Return the metadata that a child takes over from this disk, beside what this code knows (2.6.1.2)."""
        return carried_items(self._file, self._regions.metadata)

    def extents(self, offset: int = 0, length: int | None = None) -> Iterator[Extent]:
        """Yield what the file itself says of a range, without reading data; without a length to the disk's end."""
        length = self.size - offset if length is None else length
        self._check_range(offset, length)
        return self._blocks.extents(offset, length)

    def data_extents(self) -> Extents:
        """Return the ranges that have blocks in this file or its parents; all others read as zeros."""
        data, above = self._blocks.data_and_parent()
        if self.parent is None:
            return data
        return data.union(self.parent.data_extents().intersect(above))

    def stored_extents(self) -> Extents:
        """Return `data_extents` without the holes that the files of the chain have on their volumes.

        It asks the volume for every hole: worth it before everything is read.
        """
        data, above = self._blocks.data_and_parent()
        stored = data.intersect(self._blocks.stored(Extents.of(self._file.data_ranges())))
        if self.parent is None:
            return stored
        return stored.union(self.parent.stored_extents().intersect(above))

    def write(self, data: Buffer, offset: int) -> None:
        """Write whole sectors. Zeros into a range without blocks take no space."""
        view = memoryview(data).cast("B")
        self._check_change(offset, len(view))
        if not view:
            return
        writing = self._begin()
        if self._writer.overwrite(view, offset):
            return
        for start, length in self._writer.pieces(offset, len(view)):
            self._writer.write(view[start - offset :][:length], start, length)
            self._commit_if_due(writing)

    def zero(self, offset: int, length: int) -> None:
        """Make whole sectors read as zeros. Blocks keep their place, as holes where the volume can."""
        self._change(offset, length, self._zero)

    def unmap(self, offset: int, length: int) -> None:
        """Say that nobody relies on whole sectors any more: they read as zeros, and whole blocks are given back."""
        self._change(offset, length, self._writer.unmap)

    def grow(self, size: int) -> None:
        """Make the disk larger, durably. Nobody reads meanwhile.

        What is new reads as zeros, in a child as what its parent has there.
        """
        problem = replace(self._metadata, disk_size=size).problem()
        if problem or size < self.size:
            problem = problem or f"the disk cannot shrink from {self.size} to {size} bytes"
            raise VhdxError(self._file.path, problem, "Choose a size that the format allows.")
        writing = self._begin()
        self.settle()
        growth = Growth(self._file, self._regions, self._metadata, size=size, end=self._writer.end)
        try:
            growth.prepare(self._table)
        except OSError:
            # Nothing refers to it yet; and a new block takes what is behind the end to be zeros.
            self._file.truncate(self._writer.end)
            raise
        self._has_failed = True
        writing.log.commit(growth.pages(), growth.end)
        self._file.sync()
        writing.log.close()
        self._take(
            structures_of(
                self._file,
                growth.metadata,
                growth.regions,
                end=growth.end,
                data_write_id=self.data_write_id,
            )
        )
        self._has_failed = False

    def flush(self) -> None:
        """Return when everything written is durable.

        After a failure nothing more is written: what a failed sync was about may be gone.
        """
        self._check_sound()
        if self._has_unflushed and self._writing is not None:
            self._has_failed = True
            self._file.sync()
            self._commit(self._writing)
            self._has_failed = self._has_unflushed = False

    def settle(self) -> None:
        """Flush, and empty the log: whoever copies the file now has a clean one."""
        self.flush()
        if self._writing is not None and self._writing.log.is_open:
            self._has_failed = True
            self._file.sync()
            self._writing.log.close()
            self._has_failed = False

    def close(self) -> None:
        """Settle and close the file; idempotent. After a failed flush it only closes."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if not self._has_failed:
                self.settle()
        finally:
            self._file.close()
            if self.parent is not None:
                self.parent.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _runs(self, offset: int, length: int) -> Runs:
        return list(self._blocks.runs(offset, length))

    def _joined(self, offset: int, length: int) -> bytes:
        parts: list[bytes] = []
        for source, step in self._runs(offset, length):
            parts.append(self._read(source, step, offset))
            offset += step
        return parts[0] if len(parts) == 1 else b"".join(parts)

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

    def _take(self, structures: Structures) -> None:
        self._metadata = structures.metadata
        self._regions = structures.regions
        self._pages = structures.pages
        self._table = structures.table
        self._blocks = BlockMap(structures.metadata, structures.table, structures.bitmaps)
        self._writer = BlockWriter(
            structures.file,
            structures.metadata,
            structures.table,
            structures.bitmaps,
            structures.end,
        )

    def _zero(self, offset: int, length: int) -> None:
        self._writer.write(None, offset, length)

    def _change(self, offset: int, length: int, change: Callable[[int, int], None]) -> None:
        self._check_change(offset, length)
        if not length:
            return
        writing = self._begin()
        for start, step in self._writer.pieces(offset, length):
            change(start, step)
            self._commit_if_due(writing)

    def _begin(self) -> Writing:
        """Renew the file's write ids before its first change."""
        self._check_sound()
        writing = self._writing
        if writing is None:
            raise VhdxError(
                self._file.path, "it was opened for reading only", "Open it writable to change it."
            )
        if not self._has_begun:
            self._has_failed = True
            writing.begin()
            self._has_failed, self._has_begun = False, True
        self._has_unflushed = True
        return writing

    def _commit_if_due(self, writing: Writing) -> None:
        if self._pages.change_count > MAX_PAGES // 2:
            self._has_failed = True
            self._file.sync()
            self._commit(writing)
            self._has_failed = False

    def _commit(self, writing: Writing) -> None:
        """Change the tables in the file; everything that they refer to is durable."""
        if self._pages.change_count:
            writing.log.commit(self._pages.changes(), self._writer.end)
            self._pages.settle()
            self._writer.committed()

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
