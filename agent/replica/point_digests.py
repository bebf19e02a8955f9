"""Digests of a point: of single ranges, to compare it with the source's disk, and of whole disks, to prove it."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Protocol, TypeAlias

from blake3 import blake3

from agent.replica.errors import BASE_DAMAGED, ReplicaError
from agent.replica.frames import Window
from agent.replica.point_view import PointView
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry

MAX_RANGE_BYTES = 1 << 20
"""The leaf of a comparison."""

MAX_RANGES = 256
"""Ranges compared at once: as much as one step of other work reads."""

STEP_BYTES = 8 << 20
"""Bytes read before others have their turn on the worker."""

SLICE_BYTES = 256 << 20
"""Bytes of a whole point that are read before the base may move."""

NO_DIGEST = bytes(32)
"""Stands for bytes that cannot be read right: it is equal to no digest, so that whoever compares sends them anew."""

_ZEROS = bytes(1 << 20)

Range: TypeAlias = tuple[int, int, int]
"""Disk, offset, length."""


@dataclass(frozen=True, slots=True)
class DiskDigest:
    """SHA-256 of everything that a guest would read from a disk."""

    disk_id: str
    name: str
    size: int
    sha256: bytes


def range_digests(view: PointView, ranges: Sequence[Range]) -> Iterator[bytes]:
    """Yield what there is of the ranges' BLAKE3 digests, 32 bytes each, joined; at last all of them.

    A range that is damaged in the base has the digest of nothing. Raises `ReplicaError`.
    """
    _check(view, ranges)
    window, found, unseen = Window(), bytearray(), 0
    for disk, offset, length in ranges:
        if view.is_blank(disk, offset, length):
            found += _digest_of_zeros(length)
            continue
        found += _digest_of(view, disk, window.view(length), offset)
        unseen += length
        if unseen >= STEP_BYTES:
            unseen = 0
            yield bytes(found)
    yield bytes(found)


def _digest_of(view: PointView, disk: int, buffer: memoryview, offset: int) -> bytes:
    try:
        view.read_into(disk, buffer, offset)
    except ReplicaError as error:
        if error.code != BASE_DAMAGED:
            raise
        return NO_DIGEST
    return blake3(buffer).digest()


def _check(view: PointView, ranges: Sequence[Range]) -> None:
    for disk, offset, length in ranges:
        is_inside = 0 <= disk < len(view.disks) and 0 <= offset < offset + length
        is_right = is_inside and offset + length <= view.disks[disk].size
        if not is_right or length > MAX_RANGE_BYTES or (offset | length) % 512:
            raise ReplicaError(
                "out-of-bounds",
                f"Point {view.record.sequence}: {length} bytes at {offset} of disk {disk} cannot be compared.",
                "Update both agents to one version.",
            )
    if len(ranges) > MAX_RANGES:
        raise ReplicaError(
            "out-of-bounds",
            f"{len(ranges)} ranges are to be compared at once, {MAX_RANGES} at most.",
            "Update both agents to one version.",
        )


@lru_cache(maxsize=8)
def _digest_of_zeros(length: int) -> bytes:
    return blake3(memoryview(_ZEROS)[:length]).digest()


class DigestedView(Protocol):
    """Disks that show what is digested."""

    def read_into(self, disk: int, buffer: memoryview, offset: int) -> None:
        """Fill `buffer` with what the disk holds from `offset` on."""

    def data_extents(self, disk: int) -> Extents:
        """Return what may hold something other than zeros."""


class PointDigests:
    """Digests disks of a point, slice by slice; each slice may come from another view of the point."""

    def __init__(self, disks: Sequence[DiskGeometry], only: int | None = None) -> None:
        """`disks` are those of the point. `only`: the place of the one that is digested, None for all."""
        self._places = range(len(disks)) if only is None else range(only, only + 1)
        self.total_bytes = sum(disks[place].size for place in self._places)
        self.done_bytes = 0
        self._disks = disks
        self._found: list[DiskDigest] = []
        self._hash = hashlib.sha256()
        self._reached = 0
        self._window = Window()

    @property
    def digests(self) -> tuple[DiskDigest, ...] | None:
        """Return the digests when all disks are read, None before."""
        return tuple(self._found) if len(self._found) == len(self._places) else None

    def take(self, view: DigestedView) -> Iterator[None]:
        """Read on, a slice at most. Raises `ReplicaError`; what was read by then counts."""
        end = self.done_bytes + SLICE_BYTES
        while self.digests is None and self.done_bytes < end:
            data = view.data_extents(self._place).subtract(Extents.whole(self._reached))
            for offset, length in chain(data.split(STEP_BYTES), [(self._disk.size, 0)]):
                yield from self._take_zeros(min(offset, self._reached + end - self.done_bytes))
                if self.done_bytes >= end:
                    return
                yield from self._take_data(view, length)
            self._finish_disk()

    @property
    def _disk(self) -> DiskGeometry:
        return self._disks[self._place]

    @property
    def _place(self) -> int:
        return self._places[len(self._found)]

    def _finish_disk(self) -> None:
        disk = self._disk
        self._found.append(DiskDigest(disk.disk_id, disk.name, disk.size, self._hash.digest()))
        self._hash, self._reached = hashlib.sha256(), 0

    def _take_data(self, view: DigestedView, length: int) -> Iterator[None]:
        if length:
            buffer = self._window.view(length)
            view.read_into(self._place, buffer, self._reached)
            self._advance(buffer)
            yield

    def _take_zeros(self, end: int) -> Iterator[None]:
        """Take zeros up to `end`, without reading them."""
        while self._reached < end:
            turn = min(end, self._reached + STEP_BYTES)
            while self._reached < turn:
                self._advance(memoryview(_ZEROS)[: turn - self._reached])
            yield

    def _advance(self, data: memoryview) -> None:
        self._hash.update(data)
        self._reached += len(data)
        self.done_bytes += len(data)
