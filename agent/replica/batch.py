"""How much is applied with one write of the base, and the space that it may take."""

from collections.abc import Generator, Sequence
from itertools import accumulate

from agent.replica.base_images import BaseReader
from agent.replica.intent import ENTRY
from agent.replica.journal import Redo
from agent.replica.overlay import ZEROS, Strokes
from agent.replica.points import PointRecord
from agent.replica.sidecar import GRANULE_BYTES
from agent.replica.slices import Slice, slices_of
from replikera.blocks.extents import Extents
from replikera.blocks.segment import RECORD_BYTES

MAX_POINTS = 32
MAX_PAYLOAD_BYTES = 64 << 20
MAX_RECORDS = 1 << 16
"""Records of a batch of several segments, whose tables are in memory together: some 10 MiB."""

_GRANULE_COST = 2 * ENTRY.itemsize + 8
"""Bytes that a touched granule takes in both intents and in its sidecar."""


def choose(above: Sequence[PointRecord]) -> int:
    """Return how many of the points may be applied together, judged by what they carry; at least one."""
    carried = accumulate(record.point.payload_bytes for record in above[:MAX_POINTS])
    return max(1, sum(total <= MAX_PAYLOAD_BYTES for total in carried))


def within_records(redos: Sequence[Redo]) -> int:
    """Return how many of the opened segments may be applied together, judged by their records; at least one."""
    records = accumulate(redo.footer.records for redo in redos)
    return max(1, sum(total <= MAX_RECORDS for total in records))


def needed_bytes(redos: Sequence[Redo], base: BaseReader) -> Generator[None, None, int]:
    """Return what an apply may take of the volume at worst: undos, growth of the images, sums.

    Yields between the steps. Raises `SegmentFormatError`.
    """
    needed = _Needed(base)
    for part in slices_of(redos, len(base.disks)):
        needed.take(part)
        yield
    return needed.total


class _Needed:
    def __init__(self, base: BaseReader) -> None:
        self._base = base
        disks = range(len(base.disks))
        self._allocated = [base.data_extents(disk) for disk in disks]
        self._hole_units = [base.hole_unit(disk) for disk in disks]
        self._grown = [0 for _ in disks]
        self.total = 0

    def take(self, part: Slice) -> None:
        """Count the undo of a slice, and what the images grow by; the slices of a disk ascend."""
        allocated = self._allocated_near(part)
        for strokes in part.strokes:
            # What a segment of the batch has written may be the before-image of the next.
            self.total += strokes.extents().intersect(allocated).total()
            self.total += RECORD_BYTES * len(strokes)
            allocated = allocated.union(strokes.chosen(strokes.logs != ZEROS).extents())
        self._count_granules(part, allocated)
        self._count_growth(part)

    def _allocated_near(self, part: Slice) -> Extents:
        """Return what has blocks around a slice: a disk may have a million ranges of them, and of slices hundreds."""
        strokes = Strokes.joined(part.strokes)
        near = Extents.from_arrays([strokes.starts.min()], [strokes.ends.max()])
        return near.intersect(self._allocated[part.disk])

    def _count_granules(self, part: Slice, allocated: Extents) -> None:
        size = self._base.disks[part.disk].size
        touched = Strokes.joined(part.strokes).extents().intersect(allocated)
        granules = touched.align(GRANULE_BYTES, size).total() // GRANULE_BYTES + 1
        # A before-image is cut at most once a granule more than its record is.
        self.total += granules * (_GRANULE_COST + RECORD_BYTES)

    def _count_growth(self, part: Slice) -> None:
        unit = self._hole_units[part.disk]
        strokes = Strokes.joined(part.strokes)
        new = strokes.chosen(strokes.logs != ZEROS).extents()
        if unit is None:
            unit = self._base.block_size(part.disk)
            new = new.subtract(self._allocated_near(part))
        # Where the file has holes, a block that is there may be one: all that is written counts.
        new = new.align(unit, self._base.disks[part.disk].size)
        # A unit that the slice before has reached into is counted already.
        rest = new.subtract(Extents.whole(self._grown[part.disk]))
        self.total += unit * int((-(-(rest.ends - rest.starts) // unit)).sum())
        self._grown[part.disk] = max([self._grown[part.disk], *new.ends[-1:].tolist()])
