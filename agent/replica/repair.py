"""What makes a base whole while an apply is half done: one side of it, and the sums of that side."""

from collections.abc import Sequence

import numpy as np

from agent.replica.history import History
from agent.replica.intent import ENTRY, find_intent, open_intent
from agent.replica.layers import layers_of, paint_layers
from agent.replica.log_reader import LogReader
from agent.replica.overlay import ZEROS, Overlay, Painter
from agent.replica.sidecar import Granules, Sums
from agent.replica.storage import Storage
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry, SegmentFormatError


class InterruptedApply:
    """The base with all undo of a started apply over it is the point below, with all redo the point above.

    Either has a sum for every granule that was touched, so that not a byte of a half-written base has to be believed.
    `point` is the sequence of the one that it is.
    """

    def __init__(
        self,
        point: int,
        overlays: Sequence[Overlay],
        logs: LogReader,
        sums: Sequence[tuple[Granules, Sums]],
    ) -> None:
        """Take the `sums` of the touched granules of every disk, ascending, and what lies over them."""
        self.point = point
        self._overlays = overlays
        self._logs = logs
        self._sums = sums

    def paint(self, disk: int, buffer: memoryview, offset: int) -> None:
        """Replace every byte in doubt."""
        for stroke in self._overlays[disk].within(offset, offset + len(buffer)):
            part = buffer[stroke.start - offset : stroke.end - offset]
            if stroke.log == ZEROS:
                np.frombuffer(part, dtype=np.uint8).fill(0)
            else:
                self._logs.read_into(part, disk, stroke)

    def data_extents(self, disk: int) -> Extents:
        """Return what of the bytes in doubt it replaces by other than zeros."""
        return self._overlays[disk].data()

    def extents(self, disk: int) -> Extents:
        """Return the bytes in doubt."""
        return self._overlays[disk].covered()

    def correct(self, disk: int, first: int, sums: Sums) -> None:
        """Replace the sums of the granules that were touched."""
        granules, right = self._sums[disk]
        chosen = slice(*np.searchsorted(granules, (first, first + len(sums))).tolist())
        sums[granules[chosen] - first] = right[chosen]

    def close(self) -> None:
        """Close all files; idempotent."""
        self._logs.close()


def interrupted_apply(
    storage: Storage, history: History, disks: Sequence[DiskGeometry]
) -> InterruptedApply | None:
    """Return the repair of a base in doubt, None for one that is not. Raises `SegmentFormatError`, `OSError`."""
    if not history.in_doubt:
        return None
    base, last = history.position.sequence, history.highest_in_doubt
    # Undo, because redo may be lost; redo only where undo is.
    point, side = (last, "after") if history.floor else (base, "before")
    layers = layers_of(storage.layout, base + last - point, point)
    overlays = paint_layers(storage.files, history, layers, Painter(len(disks)))
    logs = LogReader(storage.files, [layer.path for layer in layers], disks)
    return InterruptedApply(point, overlays, logs, _sums(storage, history, len(disks), side))


def _sums(storage: Storage, history: History, disks: int, side: str) -> list[tuple[Granules, Sums]]:
    found = find_intent(storage.files, storage.layout.intents, history.position.point_id)
    if found is None:
        raise SegmentFormatError("the intent of an interrupted apply is missing")
    with open_intent(storage.files, found[0]) as intent:
        entries = np.concatenate([np.zeros(0, dtype=ENTRY), *intent.frames()])
    sums = []
    for disk in range(disks):
        mine = entries[entries["disk"] == disk]
        mine = mine[np.argsort(mine["granule"])]
        sums.append((mine["granule"].astype(np.int64), mine[side].astype(np.uint64)))
    return sums
