"""What of a machine's disks the target does not hold yet, while a pass goes over them: pure sets of ranges.

Every range of a disk is in one of three states, relative to one position of the guest's writes (a view, or the mark
that it became). *Pending*: it has to be sent. *Doubtful*: the target holds something there, which has to be compared.
All others are equal at both ends. A set that is larger than it need be costs bytes, never correctness.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from typing_extensions import override

from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry

MAX_RANGES = 16_384
"""Ranges of one kind that are stored, over all disks: some 300 KiB."""

_GRANULE = 64 << 10

Ranges: TypeAlias = tuple[tuple[tuple[int, int], ...], ...]
"""By disk, (start, end) in ascending order."""


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """By disk, in the order of the pass's list of disks. The two sets of a disk have no byte in common."""

    pending: tuple[Extents, ...]
    doubtful: tuple[Extents, ...]

    @classmethod
    def nothing_sent(cls, disks: Sequence[DiskGeometry]) -> "Coverage":
        """Return the state in which everything has to be sent."""
        return cls(tuple(Extents.whole(disk.size) for disk in disks), _nothing(disks))

    @classmethod
    def nothing_known(cls, disks: Sequence[DiskGeometry]) -> "Coverage":
        """Return the state in which everything has to be compared."""
        return cls(_nothing(disks), tuple(Extents.whole(disk.size) for disk in disks))

    @classmethod
    def doubtful_below(cls, disks: Sequence[DiskGeometry], watermarks: Sequence[int]) -> "Coverage":
        """Return the state in which what is below the watermarks has to be compared, and the rest sent."""
        whole = [Extents.whole(disk.size) for disk in disks]
        doubtful = tuple(each.clip(mark) for each, mark in zip(whole, watermarks, strict=True))
        pending = tuple(each.subtract(old) for each, old in zip(whole, doubtful, strict=True))
        return cls(pending, doubtful)

    @classmethod
    def parse(cls, pending: Ranges, doubtful: Ranges) -> "Coverage":
        """Return what was stored."""
        return cls(_extents(pending), _extents(doubtful))

    @property
    def is_complete(self) -> bool:
        """Tell whether both ends are equal."""
        return not any(map(len, self.pending)) and not self.is_doubtful

    @property
    def is_doubtful(self) -> bool:
        """Tell whether something has to be compared."""
        return any(map(len, self.doubtful))

    def changed(self, changes: Sequence[Extents]) -> "Coverage":
        """Return the state relative to a newer view, with what the guest wrote meanwhile."""
        pending = tuple(
            mine.union(theirs.subtract(doubtful))
            for mine, theirs, doubtful in zip(self.pending, changes, self.doubtful, strict=True)
        )
        return Coverage(pending, self.doubtful)

    def forgotten(self, disks: Sequence[DiskGeometry]) -> "Coverage":
        """Return the state in which what was equal has to be compared: it is unknown what the guest wrote meanwhile."""
        doubtful = tuple(
            Extents.whole(disk.size).subtract(mine)
            for disk, mine in zip(disks, self.pending, strict=True)
        )
        return Coverage(self.pending, doubtful)

    def sent(self, ranges: Sequence[Extents]) -> "Coverage":
        """Return the state in which these ranges are durable at the target."""
        pending = tuple(
            mine.subtract(gone) for mine, gone in zip(self.pending, ranges, strict=True)
        )
        return Coverage(pending, self.doubtful)

    def compared(self, ranges: Sequence[Extents], differing: Sequence[Extents]) -> "Coverage":
        """Return the state in which these ranges have been compared, and of them those differ."""
        doubtful = tuple(
            mine.subtract(known) for mine, known in zip(self.doubtful, ranges, strict=True)
        )
        pending = tuple(mine.union(new) for mine, new in zip(self.pending, differing, strict=True))
        return Coverage(pending, doubtful)

    def watermarks(self, disks: Sequence[DiskGeometry]) -> tuple[int, ...]:
        """Return by disk below which offset every byte has been sent or compared once."""
        return tuple(
            _watermark(pending.union(doubtful), disk.size)
            for pending, doubtful, disk in zip(self.pending, self.doubtful, disks, strict=True)
        )

    def coarsened(self, limit: int = MAX_RANGES) -> "Coverage":
        """Return a state that holds at least as much, in some `limit` ranges of a kind: twice that at most."""
        doubtful = _coarsened(self.doubtful, limit)
        # Where both were rounded up to the same bytes, comparing them is enough.
        pending = tuple(
            mine.subtract(old)
            for mine, old in zip(_coarsened(self.pending, limit), doubtful, strict=True)
        )
        return Coverage(pending, doubtful)

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Coverage):
            return NotImplemented
        return (self.pending, self.doubtful) == (other.pending, other.doubtful)

    __hash__ = None  # type: ignore[assignment]  # extents have none


def ranges_of(extents: Iterable[Extents]) -> Ranges:
    """Return extents as they are stored."""
    return tuple(
        tuple(zip(each.starts.tolist(), each.ends.tolist(), strict=True)) for each in extents
    )


def _extents(ranges: Ranges) -> tuple[Extents, ...]:
    return tuple(
        Extents.from_arrays([start for start, _ in disk], [end for _, end in disk])
        for disk in ranges
    )


def _nothing(disks: Sequence[DiskGeometry]) -> tuple[Extents, ...]:
    return tuple(Extents.empty() for _ in disks)


def _watermark(open_ranges: Extents, size: int) -> int:
    if len(open_ranges) and int(open_ranges.ends[-1]) >= size:
        return int(open_ranges.starts[-1])
    return size


def _count(sets: Sequence[Extents]) -> int:
    return sum(map(len, sets))


def _coarsened(sets: tuple[Extents, ...], limit: int) -> tuple[Extents, ...]:
    granule = _GRANULE
    while _count(sets) > limit:
        # Never beyond the last byte of the set: that may be the disk's.
        sets = tuple(
            each.align(granule, int(each.ends[-1])) if len(each) else each for each in sets
        )
        granule *= 4
    return sets
