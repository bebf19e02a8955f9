"""What lies over the base between it and a point: for every byte, the last record that says something of it.

Records are painted in order and the last one wins. They are not taken apart into blocks: a record of zeros may cover a
whole disk. The edges of all records cut the disk into pieces; each record covers a run of pieces; the highest record
over each piece is found for all at once, by doubling: a run of any length is two runs whose length is a power of two,
and a power of two is two of the one below. Time and memory grow with the number of records, not with their length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from agent.replica.frames import Frame
from replikera.blocks.extents import Extents
from replikera.blocks.segment import RECORD_BYTES, RecordKind

ZEROS = -1
"""The log of a range that is zeros."""

MAX_PAINTED = 1 << 18
"""Records that are painted at once: some 60 MiB while it is done."""

Column = NDArray[np.int64]


class Stroke(NamedTuple):
    """Bytes [start, end) of a disk, and where the record is that they come from; `log` is `ZEROS` or its number."""

    start: int
    end: int
    log: int
    record: int
    payload: int


@dataclass(frozen=True, slots=True)
class Strokes:
    """Ranges of one disk, a column each: bytes [start, end), the log, and places in it of the record and its payload.

    Signed 64 bits throughout: numpy makes floats of signed and unsigned together, and those lose bytes.
    """

    starts: Column
    ends: Column
    logs: Column
    records: Column
    payloads: Column

    @classmethod
    def none(cls) -> Self:
        """Return no ranges."""
        return cls(*(np.zeros(0, dtype=np.int64) for _ in fields(cls)))

    @classmethod
    def joined(cls, parts: Sequence["Strokes"]) -> Self:
        """Return the ranges of all parts, in their order."""
        return cls(
            *(
                np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(cls)
            )
        )

    def clipped(self, start: int, end: int) -> "Strokes":
        """Return what of ascending, disjoint ranges is inside [start, end)."""
        first = int(np.searchsorted(self.ends, start, side="right"))
        last = max(first, int(np.searchsorted(self.starts, end, side="left")))
        chosen = slice(first, last)
        return Strokes(
            np.maximum(self.starts[chosen], start),
            np.minimum(self.ends[chosen], end),
            self.logs[chosen],
            self.records[chosen],
            self.payloads[chosen],
        )

    def chosen(self, which: NDArray[np.bool_]) -> "Strokes":
        """Return those of the ranges that are chosen."""
        return Strokes(*(getattr(self, field.name)[which] for field in fields(self)))

    def extents(self) -> Extents:
        """Return the bytes of all ranges."""
        return Extents.from_arrays(self.starts, self.ends)

    def __iter__(self) -> Iterator[Stroke]:
        columns = (getattr(self, field.name).tolist() for field in fields(self))
        return (Stroke(*values) for values in zip(*columns, strict=True))

    def __len__(self) -> int:
        return int(self.starts.size)


def strokes_of(frame: Frame, disk: int, log: int) -> Strokes:
    """Return what the records of a frame say of one disk; `log` names the file that the frame is in."""
    records = frame.records
    mine = np.flatnonzero(records["disk"] == disk)
    stored = records["stored_length"].astype(np.int64)
    payloads = frame.payload_offset + np.cumsum(stored) - stored
    table = frame.payload_offset - len(records) * RECORD_BYTES
    starts = records["offset"][mine].astype(np.int64)
    return Strokes(
        starts=starts,
        ends=starts + records["length"][mine],
        logs=np.where(records["kind"][mine] == RecordKind.ZERO, ZEROS, np.int64(log)),
        records=table + mine * RECORD_BYTES,
        payloads=payloads[mine],
    )


class Overlay:
    """What is over one disk: disjoint ranges, ascending."""

    def __init__(self, strokes: Strokes) -> None:
        """Take ranges that are painted already."""
        self._strokes = strokes

    @property
    def strokes(self) -> Strokes:
        """Return all of it."""
        return self._strokes

    def within(self, offset: int, end: int) -> Strokes:
        """Return the ranges that touch [offset, end), clipped to it."""
        return self._strokes.clipped(offset, end)

    def gaps(self, offset: int, end: int) -> Extents:
        """Return the bytes of [offset, end) that it says nothing of."""
        touching = self._strokes.clipped(offset, end)
        return Extents.from_arrays(
            np.concatenate(([offset], touching.ends)), np.concatenate((touching.starts, [end]))
        )

    def covered(self) -> Extents:
        """Return all bytes that it says something of."""
        return self._strokes.extents()

    def data(self) -> Extents:
        """Return the bytes that it says something other than zeros of."""
        return self._strokes.chosen(self._strokes.logs != ZEROS).extents()

    def __len__(self) -> int:
        return len(self._strokes)


class Painter:
    """Paints the frames of logs over the disks, in order; memory grows with what stays visible."""

    def __init__(self, disks: int) -> None:
        self._pending: list[list[Strokes]] = [[] for _ in range(disks)]
        self._counts = [0] * disks

    @classmethod
    def over(cls, overlays: Sequence[Overlay]) -> Self:
        """Return one that paints over what is there already, an overlay for every disk."""
        painter = cls(len(overlays))
        painter._pending = [[overlay.strokes] for overlay in overlays]
        return painter

    def add(self, frame: Frame, log: int) -> None:
        """Paint the records of a frame over all that came before."""
        for disk in np.unique(frame.records["disk"]).tolist():
            strokes = strokes_of(frame, disk, log)
            self._pending[disk].append(strokes)
            self._counts[disk] += len(strokes)
            if self._counts[disk] > MAX_PAINTED:
                self._settle(disk)

    def finish(self) -> tuple[Overlay, ...]:
        """Return the overlay of each disk."""
        for disk in range(len(self._pending)):
            self._settle(disk)
        return tuple(Overlay(pending[0]) for pending in self._pending)

    def _settle(self, disk: int) -> None:
        self._pending[disk] = [paint(Strokes.joined([Strokes.none(), *self._pending[disk]]))]
        # What is visible is painted again with the next ones: it does not count as new.
        self._counts[disk] = 0


def paint(strokes: Strokes) -> Strokes:
    """Return what is seen of the ranges, ascending and disjoint: the last one wins."""
    if not (strokes.starts[1:] < strokes.ends[:-1]).any():
        return strokes  # one segment alone: nothing lies over anything
    edges, ranks = _ranked(np.concatenate((strokes.starts, strokes.ends)))
    first, last = ranks[: len(strokes)], ranks[len(strokes) :]
    highest = _highest(first, last - first, edges.size - 1)
    cuts = np.flatnonzero(np.diff(highest)) + 1
    begins = np.concatenate(([0], cuts))
    ends = np.concatenate((cuts, [highest.size]))
    winners = highest[begins]
    is_painted = winners >= 0
    chosen = winners[is_painted]
    return Strokes(
        starts=edges[begins[is_painted]],
        ends=edges[ends[is_painted]],
        logs=strokes.logs[chosen],
        records=strokes.records[chosen],
        payloads=strokes.payloads[chosen],
    )


def _ranked(values: Column) -> tuple[Column, Column]:
    """Return the different values, ascending, and which of them each value is."""
    order = np.argsort(values)
    ascending = values[order]
    is_new = np.concatenate(([True], ascending[1:] != ascending[:-1]))
    ranks = np.empty(values.size, dtype=np.int64)
    ranks[order] = np.cumsum(is_new) - 1
    return ascending[is_new], ranks


def _highest(first: Column, counts: Column, pieces: int) -> NDArray[np.int32]:
    """Return for every piece the number of the last run that covers it, -1 for none."""
    levels = np.frexp(counts)[1] - 1
    top = int(levels.max())
    highest = np.full(pieces, -1, dtype=np.int32)
    for level in range(top, -1, -1):
        if level < top:
            # One entry stood for 2 ** (level + 1) pieces; now two stand for half as many each.
            half = 1 << level
            upper = highest
            highest = upper.copy()
            np.maximum(highest[half:], upper[: pieces - half], out=highest[half:])
        mine = np.flatnonzero(levels == level).astype(np.int32)
        np.maximum.at(highest, first[mine], mine)
        np.maximum.at(highest, first[mine] + counts[mine] - (1 << level), mine)
    return highest
