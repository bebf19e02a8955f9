"""Any retained point, read without writing anything: the base, and over it what lies between base and point.

A view is good for one state of the base. Nobody is kept from moving the base by an open view: a test failover that
reads for hours would stop apply, and a cached view would stop it for ever. Instead, every read asks before and after
whether the base is still the one that the view was opened over, and fails where it is not: a view may end, and never
lies. Whoever reads holds the base still for the length of one read and opens the view again when it has ended, which
takes as long as reading the tables of what lies between. Pins hold the base still for good.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

import numpy as np

from agent.replica.base_images import BaseReader
from agent.replica.errors import ReplicaError, storage_errors
from agent.replica.history import History
from agent.replica.layers import layers_of, paint_layers
from agent.replica.log_reader import LogReader
from agent.replica.overlay import ZEROS, Overlay, Painter
from agent.replica.points import PointRecord
from agent.replica.repair import interrupted_apply
from agent.replica.sidecar import GRANULE_BYTES, NEVER_WRITTEN, granules_of
from agent.replica.storage import Storage
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry


class Beyond(NamedTuple):
    """What a point shows of a disk and the images of the base alone do not."""

    data: Extents
    zeros: Extents


class PointView:
    """The disks of one point. Blocking; for one thread at a time; a context that closes it.

    Every method raises `ReplicaError`: `view-ended` when the base has moved or the point is gone.
    """

    def __init__(
        self,
        record: PointRecord,
        base: BaseReader,
        logs: LogReader,
        overlays: tuple[Overlay, ...],
        is_current: Callable[[PointRecord], bool],
    ) -> None:
        """Take what `open_view` opened."""
        self.disks: tuple[DiskGeometry, ...] = record.disks
        self.record = record
        self._base = base
        self._logs = logs
        self._overlays = overlays
        self._is_current = is_current
        self._blocks: list[Extents | None] = [None] * len(self.disks)
        self._data: list[Extents | None] = [None] * len(self.disks)

    @property
    def is_current(self) -> bool:
        """Tell whether it can still be read."""
        return self._is_current(self.record)

    def go_on(self, storage: Storage, history: History, record: PointRecord) -> None:
        """Become the view of a later point that the base is not at yet, by reading only what lies between.

        Raises `SegmentFormatError`, `OSError`; then it can only be closed.
        """
        layers = layers_of(storage.layout, self.record.sequence, record.sequence)
        first = self._logs.add([layer.path for layer in layers])
        painter = Painter.over(self._overlays)
        self._overlays = paint_layers(storage.files, history, layers, painter, first)
        self._data = [None] * len(record.disks)
        self.record, self.disks = record, record.disks

    def read_into(self, disk: int, buffer: memoryview, offset: int) -> None:
        """Fill `buffer` with what the disk holds from `offset` on: whole sectors inside the disk."""
        with self._reading():
            self._read_base(disk, buffer, offset)
            for stroke in self._overlays[disk].within(offset, offset + len(buffer)):
                part = buffer[stroke.start - offset : stroke.end - offset]
                if stroke.log == ZEROS:
                    np.frombuffer(part, dtype=np.uint8).fill(0)
                else:
                    self._logs.read_into(part, disk, stroke)

    def data_extents(self, disk: int) -> Extents:
        """Return what may hold something other than zeros, and what should but is lost: to read that fails."""
        with self._reading():
            found = self._data[disk]
            if found is None:
                blocks, overlay = self._below(disk), self._overlays[disk]
                below = blocks.union(self._summed_beyond(disk, blocks))
                found = below.subtract(overlay.covered()).union(overlay.data())
                self._data[disk] = found
            return found

    def stored_extents(self, disk: int) -> Extents:
        """Return `data_extents` without what has neither bytes on the volume nor a sum.

        It asks the volume for every hole: worth it before everything is read.
        """
        with self._reading():
            overlay = self._overlays[disk]
            stored = self._base.stored_extents(disk)
            below = stored.union(self._summed_beyond(disk, stored))
            return below.subtract(overlay.covered()).union(overlay.data())

    def beyond_base(self, disk: int) -> Beyond:
        """Return what a child of the base has to hold to show this point."""
        with self._reading():
            overlay = self._overlays[disk]
            covered, painted = overlay.covered(), overlay.data()
            data, zeros = self._base.repaired_extents(disk)
            return Beyond(
                data.subtract(covered).union(painted),
                zeros.subtract(covered).union(covered.subtract(painted)),
            )

    def is_blank(self, disk: int, offset: int, length: int) -> bool:
        """Tell of a range that it is zeros and was never meant to be anything else, without reading it."""
        with self._reading():
            # In this order: it costs what the range is made of, not what the disk is.
            overlay, end = self._overlays[disk], offset + length
            if (overlay.within(offset, end).logs != ZEROS).any():
                return False
            seen = overlay.gaps(offset, end)
            if len(seen.intersect(self._below(disk))):
                return False
            runs = seen.align(GRANULE_BYTES, self.disks[disk].size)
            sums = (
                self._base.sums(disk, start // GRANULE_BYTES, granules_of(count))
                for start, count in runs
            )
            return all((found == NEVER_WRITTEN).all() for found in sums)

    def close(self) -> None:
        """Close all files; idempotent."""
        self._logs.close()
        self._base.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _below(self, disk: int) -> Extents:
        """Return what has blocks in the image."""
        below = self._blocks[disk]
        if below is None:
            below = self._blocks[disk] = self._base.data_extents(disk)
        return below

    def _summed_beyond(self, disk: int, there: Extents) -> Extents:
        """Return granules that have a sum and nothing there at all; of the others no part is read alone."""
        granules = there.align(GRANULE_BYTES, self.disks[disk].size)
        return self._base.summed_extents(disk).subtract(granules)

    def _read_base(self, disk: int, buffer: memoryview, offset: int) -> None:
        """Read the granules that something of is to be seen; what is painted over them comes after."""
        end = offset + len(buffer)
        seen = self._overlays[disk].gaps(offset, end)
        for start, length in seen.align(GRANULE_BYTES, self.disks[disk].size):
            first, last = max(start, offset), min(start + length, end)
            self._base.read_into(disk, buffer[first - offset : last - offset], first)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        self._require_current()
        try:
            with storage_errors(self._base.folder):
                yield
        except ReplicaError:
            self._require_current()  # files of a view that has ended may be gone
            raise
        self._require_current()

    def _require_current(self) -> None:
        if not self.is_current:
            raise ReplicaError(
                "view-ended",
                f"The base under point {self.record.sequence} has moved, or the point is released.",
                "Open the point again.",
            )


def open_view(
    storage: Storage,
    history: History,
    record: PointRecord,
    is_current: Callable[[PointRecord], bool],
) -> PointView:
    """Open a point; `is_current` tells whether a point can still be read.

    Raises `SegmentFormatError`, `OSError`.
    """
    repair = interrupted_apply(storage, history, record.disks)
    try:
        point = history.position.sequence if repair is None else repair.point
        layers = layers_of(storage.layout, point, record.sequence)
        overlays = paint_layers(storage.files, history, layers, Painter(len(record.disks)))
        base = storage.open_base(history.position.initial_attempt, record.disks, repair)
    except BaseException:
        if repair is not None:
            repair.close()
        raise
    logs = LogReader(storage.files, [layer.path for layer in layers], record.disks)
    return PointView(record, base, logs, overlays, is_current)
