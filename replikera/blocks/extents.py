"""Sets of byte ranges, as arrays: sorted, disjoint, never adjacent, never empty."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import override

_END_OF_SPACE = np.iinfo(np.int64).max
_PART = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Extents:
    """An immutable set of bytes of one disk. Make it with `of`, `from_arrays`, `whole` or `empty`.

    Offsets are signed 64-bit throughout: numpy makes floats of unsigned and signed together, and
    those lose bytes.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int]]) -> Self:
        """Return the union of (offset, length) ranges in any order.

        Raises `ValueError` for negative ones.
        """
        # Not by way of a list: a million of ranges would be 150 MiB of objects.
        table = np.fromiter(chain.from_iterable(ranges), dtype=np.int64).reshape(-1, 2)
        if table.size and int(table.min()) < 0:
            raise ValueError("a range has a negative offset or length")
        return cls.from_arrays(table[:, 0], table[:, 0] + table[:, 1])

    @classmethod
    def from_arrays(cls, starts: ArrayLike, ends: ArrayLike) -> Self:
        """Return the union of the ranges [start, end) in any order; empty ones are left out."""
        first = np.asarray(starts, dtype=np.int64)
        last = np.asarray(ends, dtype=np.int64)
        if first.shape != last.shape or first.ndim != 1:
            raise ValueError("starts and ends must be two lists of the same length")
        if first.size and int(first.min()) < 0:
            raise ValueError("a range starts below zero")
        is_filled = last > first
        return cls._merged(first[is_filled], last[is_filled])

    @classmethod
    def empty(cls) -> Self:
        """Return the set without bytes."""
        return cls.from_arrays([], [])

    @classmethod
    def whole(cls, size: int) -> Self:
        """Return the bytes 0 to `size`."""
        return cls.from_arrays([0], [size])

    @classmethod
    def _merged(cls, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Self:
        order = np.argsort(starts, kind="stable")
        starts = starts[order]
        reached = np.maximum.accumulate(ends[order]) if order.size else ends
        is_gap = starts[1:] > reached[:-1]
        edge = np.ones(min(1, starts.size), dtype=bool)
        return cls._frozen(
            starts[np.concatenate((edge, is_gap))], reached[np.concatenate((is_gap, edge))]
        )

    @classmethod
    def _frozen(cls, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Self:
        starts.flags.writeable = False
        ends.flags.writeable = False
        return cls(starts, ends)

    def union(self, other: "Extents") -> "Extents":
        """Return the bytes that are in either."""
        return Extents._merged(
            np.concatenate((self.starts, other.starts)), np.concatenate((self.ends, other.ends))
        )

    def intersect(self, other: "Extents") -> "Extents":
        """Return the bytes that are in both."""
        first = np.searchsorted(other.ends, self.starts, side="right")
        after = np.searchsorted(other.starts, self.ends, side="left")
        counts = np.maximum(after - first, 0)
        mine = np.repeat(np.arange(len(self)), counts)
        group_start = np.repeat(np.cumsum(counts) - counts, counts)
        theirs = np.repeat(first, counts) + np.arange(mine.size) - group_start
        return Extents._frozen(
            np.maximum(self.starts[mine], other.starts[theirs]),
            np.minimum(self.ends[mine], other.ends[theirs]),
        )

    def subtract(self, other: "Extents") -> "Extents":
        """Return the bytes of this set that are not in the other."""
        outside = Extents.from_arrays(
            np.concatenate(([0], other.ends)), np.concatenate((other.starts, [_END_OF_SPACE]))
        )
        return self.intersect(outside)

    def clip(self, size: int) -> "Extents":
        """Return the bytes below `size`."""
        return self.intersect(Extents.whole(size))

    def align(self, granule: int, size: int) -> "Extents":
        """Return whole granules that cover the set, cut at `size`."""
        ends = -(-self.ends // granule) * granule
        return Extents.from_arrays(
            self.starts // granule * granule, np.minimum(ends, np.int64(size))
        )

    def total(self) -> int:
        """Return the number of bytes."""
        return int((self.ends - self.starts).sum())

    def split(self, maximum: int) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) pieces of at most `maximum` bytes, cut at multiples of it."""
        for start, length in self:
            offset, end = start, start + length
            while offset < end:
                cut = min((offset // maximum + 1) * maximum, end)
                yield offset, cut - offset
                offset = cut

    def __len__(self) -> int:
        return int(self.starts.size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        # A part at a time: a million of ranges would be 80 MiB of objects.
        for first in range(0, len(self), _PART):
            starts, ends = self.starts[first : first + _PART], self.ends[first : first + _PART]
            yield from zip(starts.tolist(), (ends - starts).tolist(), strict=True)

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Extents):
            return NotImplemented
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.ends, other.ends)

    __hash__ = None  # type: ignore[assignment]  # arrays have no cheap hash, and nothing keys by extents

    @override
    def __repr__(self) -> str:
        shown = list(zip(self.starts[:8].tolist(), self.ends[:8].tolist(), strict=True))
        return f"Extents({len(self)} ranges, {self.total()} bytes, {shown})"
