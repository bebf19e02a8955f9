"""The base: an image of every disk, and beside each the checksums of its granules.

A reader gives nothing away that does not have its checksum. A writer keeps the checksums true: those of granules that
are written whole come from what is written, the others from what the image then holds.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from agent.replica.damage import Damage
from agent.replica.errors import BaseDamagedError
from agent.replica.frames import Window
from agent.replica.images import ImageFormat, ImageSet, create_images, image_paths, open_images
from agent.replica.pieces import Piece
from agent.replica.sidecar import (
    GRANULE_BYTES,
    Granules,
    Sidecar,
    Sums,
    create_sidecar,
    granule_sums,
    open_sidecar,
    runs_of,
)
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry
from replikera.ports.files import Buffer, Files

MAX_PARTLY = 1 << 14
"""Granules of one disk that wait to be summed up."""

_READ_GRANULES = 64
"""Granules that are read together when sums are brought up to date: 4 MiB."""


class Repair(Protocol):
    """What makes a base whole that may be half written: it then holds one point, and these sums."""

    def paint(self, disk: int, buffer: memoryview, offset: int) -> None:
        """Replace every byte in doubt."""

    def data_extents(self, disk: int) -> Extents:
        """Return what of the bytes in doubt it replaces by other than zeros."""

    def extents(self, disk: int) -> Extents:
        """Return the bytes in doubt."""

    def correct(self, disk: int, first: int, sums: Sums) -> None:
        """Replace the sums of granules with bytes in doubt; `first` is the granule of the first sum."""

    def close(self) -> None:
        """Close its files; idempotent."""


@dataclass(frozen=True, slots=True)
class BaseFiles:
    """The open files of a base."""

    files: Files
    folder: Path
    disks: Sequence[DiskGeometry]
    images: ImageSet
    sidecars: Sequence[Sidecar]

    def close(self) -> None:
        """Close all, without making anything durable; idempotent."""
        self.images.give_up()
        for sidecar in self.sidecars:
            sidecar.close()


class BaseReader:
    """Reads the base, verified. For one thread at a time; a context that closes it."""

    def __init__(self, base: BaseFiles, damage: Damage, repair: Repair | None) -> None:
        """Take open files, and `repair` with them; `damage` is told what is found."""
        self.folder = base.folder
        self.disks = base.disks
        self._base = base
        self._images = base.images
        self._sidecars = base.sidecars
        self._damage = damage
        self._repair = repair
        self._window = Window()

    def data_extents(self, disk: int) -> Extents:
        """Return what may be other than zeros."""
        found = self._images[disk].data_extents().clip(self.disks[disk].size)
        return found if self._repair is None else found.union(self._repair.data_extents(disk))

    def summed_extents(self, disk: int) -> Extents:
        """Return what has sums: an image that has lost something does not know it any more."""
        return self._sidecars[disk].summed_extents().clip(self.disks[disk].size)

    def noted_extents(self, disk: int) -> Extents:
        """Return `summed_extents` with a wide margin, and without reading the sums."""
        return self._sidecars[disk].noted_extents().clip(self.disks[disk].size)

    def stored_extents(self, disk: int) -> Extents:
        """Return what has bytes on the volume, whatever its sums say; asks the volume for every hole."""
        found = self._images[disk].stored_extents().clip(self.disks[disk].size)
        return found if self._repair is None else found.union(self._repair.data_extents(disk))

    def repaired_extents(self, disk: int) -> tuple[Extents, Extents]:
        """Return what the image alone does not show: data, and zeros."""
        if self._repair is None:
            return Extents.empty(), Extents.empty()
        data = self._repair.data_extents(disk)
        return data, self._repair.extents(disk).subtract(data)

    def hole_unit(self, disk: int) -> int | None:
        """Return in which units the volume fills holes of the image, None where there are none to fill."""
        return self._images.hole_unit(disk, self._base.files)

    def block_size(self, disk: int) -> int:
        """Return the unit in which the image grows, in bytes."""
        return self._images.block_size(disk)

    def sums(self, disk: int, first: int, count: int) -> Sums:
        """Return what consecutive granules must add up to."""
        sums = self._sidecars[disk].read(first, count)
        if self._repair is not None:
            sums = sums.copy()
            self._repair.correct(disk, first, sums)
        return sums

    def read_into(self, disk: int, buffer: memoryview, offset: int) -> None:
        """Fill `buffer`. Raises `BaseDamagedError` where a granule that it touches is not what was written."""
        first, end = offset // GRANULE_BYTES, offset + len(buffer)
        start = first * GRANULE_BYTES
        stop = min(-(-end // GRANULE_BYTES) * GRANULE_BYTES, self.disks[disk].size)
        if (start, stop) == (offset, end):
            self._read_whole(disk, buffer, first)
            return
        whole = self._window.view(stop - start)
        self._read_whole(disk, whole, first)
        buffer[:] = whole[
            offset - start : end - start
        ]  # a copy: only whole granules can be verified

    def read_granules(self, disk: int, buffer: memoryview, first: int) -> tuple[Sums, Sums]:
        """Fill `buffer` with consecutive granules from `first` on; return their sums, and those they should have."""
        expected = self.sums(disk, first, -(-len(buffer) // GRANULE_BYTES))
        found = self._sums_read(disk, buffer, first)
        if not np.array_equal(found, expected):
            # What the volume gives right the second time is not damaged.
            found = self._sums_read(disk, buffer, first)
        return found, expected

    def close(self) -> None:
        """Close all files; idempotent."""
        self._base.close()
        if self._repair is not None:
            self._repair.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _read_whole(self, disk: int, buffer: memoryview, first: int) -> None:
        found, expected = self.read_granules(disk, buffer, first)
        damaged = np.flatnonzero(found != expected) + first
        if damaged.size:
            self._damage.note(disk, damaged)
            offset = int(damaged[0]) * GRANULE_BYTES
            raise BaseDamagedError(disk, self.disks[disk].name, offset)

    def _sums_read(self, disk: int, buffer: memoryview, first: int) -> Sums:
        offset = first * GRANULE_BYTES
        self._images[disk].read_into(buffer, offset)
        if self._repair is not None:
            self._repair.paint(disk, buffer, offset)
        return granule_sums(disk, first, buffer)


class BaseWriter:
    """Writes the base and its checksums. For one thread at a time.

    `paint` keeps the checksums true by itself; `write` and `zero` leave them to `set_sums`. As a context it makes all
    durable at the end, or gives up after an exception.
    """

    def __init__(self, base: BaseFiles) -> None:
        """Take open files."""
        self.disks = base.disks
        self._base = base
        self._images = base.images
        self._sidecars = base.sidecars
        self._partly: list[set[int]] = [set() for _ in base.disks]
        self._window = Window()

    def data_extents(self, disk: int) -> Extents:
        """Return what the image may hold other than zeros."""
        return self._images[disk].data_extents().clip(self.disks[disk].size)

    def read_into(self, disk: int, buffer: memoryview, offset: int) -> None:
        """Fill `buffer` with what the image holds now, not verified."""
        self._images[disk].read_into(buffer, offset)

    def paint(self, piece: Piece) -> None:
        """Write a piece and take note of its checksums."""
        self._images.paint(piece)
        first = -(-piece.offset // GRANULE_BYTES)
        end = piece.offset + piece.length
        is_last = end == self.disks[piece.disk].size
        last = -(-end // GRANULE_BYTES) if is_last else end // GRANULE_BYTES
        partly = self._partly[piece.disk]
        if last > first:
            self._note_whole(piece, first, last)
            whole = range(first, last)
            few, many = (whole, partly) if len(whole) < len(partly) else (partly, whole)
            partly.difference_update([granule for granule in few if granule in many])
        partly.update(
            granule
            for granule in (piece.offset // GRANULE_BYTES, (end - 1) // GRANULE_BYTES)
            if not first <= granule < last
        )
        if len(partly) > MAX_PARTLY:
            self._sum_up(piece.disk)

    def write(self, disk: int, data: Buffer, offset: int) -> None:
        """Write whole sectors; their granules get their checksums by `set_sums`."""
        self._images[disk].write(data, offset)

    def zero(self, disk: int, offset: int, length: int) -> None:
        """Make whole sectors zeros; their granules get their checksums by `set_sums`."""
        self._images.paint(Piece(disk, offset, length, None))

    def set_sums(self, disk: int, granules: Granules, sums: Sums) -> None:
        """Set the checksums of ascending granules."""
        self._sidecars[disk].write_at(granules, sums)

    def flush(self) -> None:
        """Return when everything written is durable, checksums included."""
        for disk in range(len(self.disks)):
            self._sum_up(disk)
            self._images[disk].flush()
            self._sidecars[disk].sync()

    def close(self) -> None:
        """Make everything durable and close."""
        self.flush()
        self._images.close()
        self.give_up()

    def give_up(self) -> None:
        """Close without making anything durable; idempotent."""
        self._base.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self.give_up()

    def _note_whole(self, piece: Piece, first: int, last: int) -> None:
        sidecar = self._sidecars[piece.disk]
        if piece.data is None:
            sidecar.clear(first, last - first)
            return
        start = first * GRANULE_BYTES - piece.offset
        whole = piece.data[start : start + (last - first) * GRANULE_BYTES]
        sidecar.write(first, granule_sums(piece.disk, first, whole))

    def _sum_up(self, disk: int) -> None:
        """Give the granules that were partly written the sums of what they hold now."""
        partly, size = self._partly[disk], self.disks[disk].size
        granules = np.fromiter(sorted(partly), dtype=np.int64, count=len(partly))
        partly.clear()
        for first, count in _short_runs(granules):
            start = first * GRANULE_BYTES
            buffer = self._window.view(min(count * GRANULE_BYTES, size - start))
            self._images[disk].read_into(buffer, start)
            self._sidecars[disk].write(first, granule_sums(disk, first, buffer))


def _short_runs(granules: Granules) -> Iterator[tuple[int, int]]:
    """Yield (first, count) of runs that fit the window."""
    for place, count in runs_of(granules):
        first = int(granules[place])
        for start in range(first, first + count, _READ_GRANULES):
            yield start, min(_READ_GRANULES, first + count - start)


def create_base(
    files: Files, folder: Path, disks: Sequence[DiskGeometry], image_format: ImageFormat
) -> BaseFiles:
    """Make an empty base in an empty folder; its names are not durable yet."""
    paths = image_paths(folder, len(disks), image_format)
    with ExitStack() as stack:
        images = create_images(files, paths, disks, image_format)
        stack.callback(images.give_up)
        sidecars = [
            stack.enter_context(create_sidecar(files, path, disk, disks[disk]))
            for disk, path in enumerate(paths)
        ]
        stack.pop_all()
    return BaseFiles(files, folder, disks, images, sidecars)


def open_base(
    files: Files,
    folder: Path,
    disks: Sequence[DiskGeometry],
    image_format: ImageFormat,
    *,
    is_writable: bool,
) -> BaseFiles:
    """Open a base. Raises `SegmentFormatError`, `VhdxError`, `OSError`."""
    paths = image_paths(folder, len(disks), image_format)
    with ExitStack() as stack:
        images = open_images(files, paths, image_format, is_writable=is_writable)
        stack.callback(images.give_up)
        sidecars = [
            stack.enter_context(
                open_sidecar(files, path, disk, disks[disk], is_writable=is_writable)
            )
            for disk, path in enumerate(paths)
        ]
        stack.pop_all()
    return BaseFiles(files, folder, disks, images, sidecars)
