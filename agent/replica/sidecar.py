"""Checksums of a base image, one for every granule of 64 KiB, in a file beside it.

They are what tells a base that rots from one that does not: redo and undo have their own. A sum is bound to its place,
so that a granule that was written somewhere else is noticed, too. The file is sparse where the image is.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self

import google_crc32c
import numpy as np
import xxhash
from numpy.typing import NDArray

from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry, SegmentFormatError
from replikera.ports.files import File, Files

GRANULE_BYTES = 64 << 10
SUFFIX = ".sums"
HEADER_BYTES = 4096

NEVER_WRITTEN = 0
"""The sum of a granule that is all zeros, whether it was ever written or not."""

DAMAGED = (1 << 64) - 1
"""The sum of a granule that is known not to hold what it should: no content has it."""

_READ_GRANULES = 1 << 17
"""Sums that are read together: 1 MiB."""

_MAGIC = b"RKGRSUMS"
_VERSION = 1
_FIELDS = struct.Struct("<8sIIQI")
_CHECKSUM = struct.Struct("<I")
_DISK_SHIFT = 48

Sums = NDArray[np.uint64]
Granules = NDArray[np.int64]


def granule_sum(disk: int, granule: int, data: memoryview) -> int:
    """Return the sum of a granule's content; the last one of a disk may be short."""
    words = np.frombuffer(data, dtype=np.int64)
    if not words[0] and not words.any():
        return NEVER_WRITTEN
    found = xxhash.xxh3_64_intdigest(data, seed=disk << _DISK_SHIFT | granule)
    return found if found not in (NEVER_WRITTEN, DAMAGED) else 1


def granule_sums(disk: int, first: int, data: memoryview) -> Sums:
    """Return the sums of consecutive granules from `first` on; `data` begins where that one does."""
    starts = range(0, len(data), GRANULE_BYTES)
    found = (
        granule_sum(disk, first + number, data[start : start + GRANULE_BYTES])
        for number, start in enumerate(starts)
    )
    return np.fromiter(found, dtype=np.uint64, count=len(starts))


def granules_of(size: int) -> int:
    """Return how many granules a disk has."""
    return -(-size // GRANULE_BYTES)


def runs_of(granules: Granules) -> Iterator[tuple[int, int]]:
    """Yield (place, count) for every run of neighbours among ascending granules."""
    cuts = np.flatnonzero(np.diff(granules) != 1) + 1
    edges = [0, *cuts.tolist(), len(granules)]
    for start, end in pairwise(edges):
        if end > start:
            yield start, end - start


def sidecar_path(image: Path) -> Path:
    """Return where the sums of an image are."""
    return image.with_suffix(SUFFIX)


class Sidecar:
    """The sums of one disk, open. A context that closes it; nothing is durable before `sync`."""

    def __init__(self, file: File, granules: int) -> None:
        """Take what `create_sidecar` or `open_sidecar` opened."""
        self._file = file
        self.granules = granules

    def read(self, first: int, count: int) -> Sums:
        """Return the sums of consecutive granules."""
        data = self._file.read(8 * count, HEADER_BYTES + 8 * first)
        if len(data) != 8 * count:
            raise SegmentFormatError(f"{self._file.path.name} ends early")
        return np.frombuffer(data, dtype="<u8").astype(np.uint64, copy=False)

    def write(self, first: int, sums: Sums) -> None:
        """Set the sums of consecutive granules."""
        self._file.write(sums.astype("<u8", copy=False).tobytes(), HEADER_BYTES + 8 * first)

    def write_at(self, granules: Granules, sums: Sums) -> None:
        """Set the sums of ascending granules."""
        for place, count in runs_of(granules):
            self.write(int(granules[place]), sums[place : place + count])

    def clear(self, first: int, count: int) -> None:
        """Say that consecutive granules are zeros."""
        self._file.zero(HEADER_BYTES + 8 * first, 8 * count)

    def noted_extents(self) -> Extents:
        """Return the bytes of the disk around all granules that have a sum, without reading the sums."""
        ranges = np.array(list(self._file.data_ranges()), dtype=np.int64).reshape(-1, 2)
        firsts = np.maximum(ranges[:, 0] - HEADER_BYTES, 0) // 8
        ends = -(-np.maximum(ranges.sum(axis=1) - HEADER_BYTES, 0) // 8)
        noted = Extents.from_arrays(firsts * GRANULE_BYTES, ends * GRANULE_BYTES)
        return noted.clip(self.granules * GRANULE_BYTES)

    def summed_extents(self) -> Extents:
        """Return the bytes of the disk whose granules have a sum."""
        starts, ends = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for offset, length in self.noted_extents().split(_READ_GRANULES * GRANULE_BYTES):
            first = offset // GRANULE_BYTES
            found = first + np.flatnonzero(
                self.read(first, length // GRANULE_BYTES) != NEVER_WRITTEN
            )
            part = Extents.from_arrays(found * GRANULE_BYTES, (found + 1) * GRANULE_BYTES)
            starts.append(part.starts)
            ends.append(part.ends)
        return Extents.from_arrays(np.concatenate(starts), np.concatenate(ends))

    def sync(self) -> None:
        """Return when all sums are durable."""
        self._file.sync()

    def close(self) -> None:
        """Close; idempotent. Makes nothing durable."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def create_sidecar(files: Files, image: Path, disk: int, geometry: DiskGeometry) -> Sidecar:
    """Make the sums of an image that has just been made."""
    granules = granules_of(geometry.size)
    file = files.create(sidecar_path(image))
    try:
        file.write(_header(disk, geometry.size), 0)
        file.truncate(HEADER_BYTES + 8 * granules)
    except BaseException:
        file.close()
        raise
    return Sidecar(file, granules)


def open_sidecar(
    files: Files, image: Path, disk: int, geometry: DiskGeometry, *, is_writable: bool
) -> Sidecar:
    """Open the sums of an image. Raises `SegmentFormatError`, `OSError`."""
    path, granules = sidecar_path(image), granules_of(geometry.size)
    try:
        file = files.open_write(path) if is_writable else files.open_read(path)
    except FileNotFoundError as error:
        raise SegmentFormatError(f"the checksums of the base, {path.name}, are missing") from error
    header = file.read(HEADER_BYTES, 0)
    if header != _header(disk, geometry.size) or file.size() != HEADER_BYTES + 8 * granules:
        file.close()
        raise SegmentFormatError(f"{path.name} does not hold the checksums of disk {disk}")
    return Sidecar(file, granules)


def _header(disk: int, size: int) -> bytes:
    fields = _FIELDS.pack(_MAGIC, _VERSION, disk, size, GRANULE_BYTES)
    padded = fields.ljust(HEADER_BYTES - _CHECKSUM.size, b"\0")
    return padded + _CHECKSUM.pack(google_crc32c.value(padded))


def close_all(sidecars: Sequence[Sidecar]) -> None:
    """Close several."""
    for sidecar in sidecars:
        sidecar.close()
