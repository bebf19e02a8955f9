"""What an apply needs before it may touch the base: the before-images of every segment, and the sums of every granule.

The base is read once, in whole granules and verified. Over a few of them at a time the segments of the batch are laid
one after the other: what a segment is about to change is its before-image (that of point n is point n - 1, not the
base), and what the last one leaves is what the granule will add up to.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.replica.base_images import BaseReader
from agent.replica.damage import Damage
from agent.replica.frames import Window
from agent.replica.intent import ENTRY, Entries, IntentWriter
from agent.replica.log_reader import LogReader
from agent.replica.overlay import ZEROS, Stroke, Strokes
from agent.replica.sidecar import (
    DAMAGED,
    GRANULE_BYTES,
    NEVER_WRITTEN,
    Granules,
    Sums,
    granule_sums,
    runs_of,
)
from agent.replica.slices import Slice
from agent.replica.undo import UndoWriter
from replikera.blocks.extents import Extents

GROUP_GRANULES = 64
"""Granules in memory at once: 4 MiB."""

_PORTION_GRANULES = 1 << 18


class Preparation:
    """Writes the undos and the intent of one batch, slice by slice."""

    def __init__(
        self,
        base: BaseReader,
        logs: LogReader,
        undos: Sequence[UndoWriter],
        intent: IntentWriter,
        damage: Damage,
    ) -> None:
        self._base = base
        self._logs = logs
        self._undos = undos
        self._intent = intent
        self._damage = damage
        self._window = Window()
        self._stored: dict[int, Extents] = {}
        self._noted: dict[int, Extents] = {}

    def take(self, part: Slice) -> Iterator[None]:
        """Read and write all that a slice needs. Raises `DamagedLogError`."""
        done = Extents.empty()
        for granules in self._touched(part):
            for start in range(0, len(granules), GROUP_GRANULES):
                self._take_group(part, granules[start : start + GROUP_GRANULES])
                yield
            done = done.union(self._extents_of(part.disk, granules))
        self._note_zeros(part, done)

    def _touched(self, part: Slice) -> Iterator[Granules]:
        """Yield the granules that are read: those that get data, and those that have some and get zeros."""
        size = self._base.disks[part.disk].size
        strokes = Strokes.joined(part.strokes)
        is_zero = strokes.logs == ZEROS
        data = strokes.chosen(~is_zero).extents().align(GRANULE_BYTES, size)
        zeros = strokes.chosen(is_zero).extents()
        if len(zeros):
            zeros = zeros.intersect(self._known(part.disk))
        for granules in granules_in(data.union(zeros.align(GRANULE_BYTES, size))):
            is_read = _are_in(data, granules)
            is_read[~is_read] = self._may_hold_data(part.disk, granules[~is_read])
            yield granules[is_read]

    def _known(self, disk: int) -> Extents:
        """Return what may be or should be other than zeros."""
        if disk not in self._noted:
            self._noted[disk] = self._base.noted_extents(disk)
        return self._base.data_extents(disk).union(self._noted[disk])

    def _may_hold_data(self, disk: int, granules: Granules) -> NDArray[np.bool_]:
        """Tell which granules have bytes, or should have some: sums that rotted to none must not pass for zeros."""
        if not granules.size:
            return np.zeros(0, dtype=bool)
        if disk not in self._stored:
            size = self._base.disks[disk].size
            self._stored[disk] = self._base.stored_extents(disk).align(GRANULE_BYTES, size)
        is_summed: NDArray[np.bool_] = self._sums(disk, granules) != NEVER_WRITTEN
        return is_summed | _are_in(self._stored[disk], granules)

    def _sums(self, disk: int, granules: Granules) -> Sums:
        runs = (self._base.sums(disk, int(granules[at]), n) for at, n in runs_of(granules))
        return np.concatenate([np.zeros(0, dtype=np.uint64), *runs])

    def _extents_of(self, disk: int, granules: Granules) -> Extents:
        starts = granules * GRANULE_BYTES
        return Extents.from_arrays(starts, starts + GRANULE_BYTES).clip(self._base.disks[disk].size)

    def _note_zeros(self, part: Slice, done: Extents) -> None:
        """Take the before-images of what was not read, because it is zeros already."""
        for undo, strokes in zip(self._undos, part.strokes, strict=True):
            for offset, length in strokes.extents().subtract(done):
                undo.add_zeros(part.disk, offset, length)

    def _take_group(self, part: Slice, granules: Granules) -> None:
        group = _Group(part.disk, granules, self._window, self._base)
        within = self._extents_of(part.disk, granules)
        for undo, strokes in zip(self._undos, part.strokes, strict=True):
            near = strokes.clipped(group.start, group.end)
            for stroke in near:
                if stroke.log != ZEROS:
                    self._change(group, undo, stroke)
                    continue
                for start, length in _clipped(within, stroke):
                    self._change(group, undo, stroke._replace(start=start, end=start + length))
        self._intent.add(group.entries(self._lost(part, group)))

    def _change(self, group: "_Group", undo: UndoWriter, stroke: Stroke) -> None:
        """Take the before-image of one stroke, then lay the stroke over the granules."""
        before = group.view(stroke.start, stroke.end)
        for start, end, is_lost in group.parts(stroke.start, stroke.end):
            piece = before[start - stroke.start : end - stroke.start]
            undo.add(group.disk, start, piece, is_lost=is_lost)
        if stroke.log == ZEROS:
            np.frombuffer(before, dtype=np.uint8).fill(0)
        else:
            self._logs.read_into(before, group.disk, stroke)

    def _lost(self, part: Slice, group: "_Group") -> Granules:
        """Return the granules that stay damaged: those that are not written as a whole."""
        if not group.damaged.size:
            self._damage.forget(part.disk, group.granules)
            return group.damaged
        written = Strokes.joined(part.strokes).extents()
        missing = self._extents_of(part.disk, group.damaged).subtract(written)
        size = self._base.disks[part.disk].size
        lost: Granules = np.concatenate(
            [group.damaged[:0], *granules_in(missing.align(GRANULE_BYTES, size))]
        )
        self._damage.forget(part.disk, np.setdiff1d(group.granules, lost))
        self._damage.note(part.disk, lost)
        return lost


class _Group:
    """A few granules of one disk, read and verified; `damaged` are those that do not have their sums."""

    def __init__(self, disk: int, granules: Granules, window: Window, base: BaseReader) -> None:
        self.disk = disk
        self.granules = granules
        self.start = int(granules[0]) * GRANULE_BYTES
        self.end = min((int(granules[-1]) + 1) * GRANULE_BYTES, base.disks[disk].size)
        short = (int(granules[-1]) + 1) * GRANULE_BYTES - self.end
        self._buffer = window.view(len(granules) * GRANULE_BYTES - short)
        self._runs = list(runs_of(granules))
        checks = [
            base.read_granules(disk, self._run(*run), int(granules[run[0]])) for run in self._runs
        ]
        self._before = np.concatenate([expected for _, expected in checks])
        self.damaged: Granules = granules[
            np.concatenate([found for found, _ in checks]) != self._before
        ]

    def view(self, start: int, end: int) -> memoryview:
        """Return what is in memory of a range of neighbouring granules."""
        place = int(np.searchsorted(self.granules, start // GRANULE_BYTES))
        begin = place * GRANULE_BYTES + start % GRANULE_BYTES
        return self._buffer[begin : begin + end - start]

    def parts(self, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Yield the range in parts, and of each whether it was damaged."""
        if not self.damaged.size:
            yield start, end, False
            return
        damaged = set(self.damaged.tolist())
        while start < end:
            granule = start // GRANULE_BYTES
            stop = min((granule + 1) * GRANULE_BYTES, end)
            yield start, stop, granule in damaged
            start = stop

    def entries(self, lost: Granules) -> Entries:
        """Return the sums as they were and as they will be; those of `lost` granules will be of no content."""
        found: Entries = np.empty(len(self.granules), dtype=ENTRY)
        found["disk"], found["granule"] = self.disk, self.granules
        found["before"] = self._before
        sums = [
            granule_sums(self.disk, int(self.granules[run[0]]), self._run(*run))
            for run in self._runs
        ]
        found["after"] = np.concatenate(sums)
        found["after"][np.isin(self.granules, lost)] = DAMAGED
        return found

    def _run(self, place: int, count: int) -> memoryview:
        return self._buffer[place * GRANULE_BYTES : (place + count) * GRANULE_BYTES]


def _are_in(extents: Extents, granules: Granules) -> NDArray[np.bool_]:
    """Tell which granules are in extents that are made of whole ones."""
    offsets = granules * GRANULE_BYTES
    place = np.searchsorted(extents.ends, offsets, side="right")
    starts = np.append(extents.starts, np.iinfo(np.int64).max)
    return starts[place] <= offsets


def granules_in(extents: Extents) -> Iterator[Granules]:
    """Yield all granules of extents that are made of whole ones, ascending, many at a time."""
    firsts = extents.starts // GRANULE_BYTES
    counts = -(-extents.ends // GRANULE_BYTES) - firsts
    ends = np.cumsum(counts)
    total = int(ends[-1]) if ends.size else 0
    for start in range(0, total, _PORTION_GRANULES):
        numbers = np.arange(start, min(start + _PORTION_GRANULES, total))
        runs = np.searchsorted(ends, numbers, side="right")
        yield firsts[runs] + numbers - (ends[runs] - counts[runs])


def _clipped(within: Extents, stroke: Stroke) -> Extents:
    return within.intersect(Extents.from_arrays([stroke.start], [stroke.end]))
