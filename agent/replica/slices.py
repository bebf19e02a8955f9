"""Segments taken apart into what fits in memory, without ever cutting a granule of the base in two.

A batch of several segments is small enough to be one slice. A single segment may be of any size: its records ascend on
every disk, so that each frame finishes all granules of a disk but the last one it has reached, and the rest of that
goes into the next slice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from agent.replica.frames import Frame
from agent.replica.journal import Redo
from agent.replica.log_reader import DamagedLogError
from agent.replica.overlay import ZEROS, Strokes, strokes_of
from agent.replica.sidecar import GRANULE_BYTES
from replikera.blocks.segment import SegmentFormatError

MAX_SLICE_BYTES = 64 << 20
"""Bytes of data in one slice of a batch, unpacked."""

MIN_SLICE_RECORDS = 4096
MIN_SLICE_BYTES = 16 << 20
"""What the frames of a single segment are gathered to: small slices cost more than they hold. A frame has 32 MiB."""

_END = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, slots=True)
class Slice:
    """What the segments of a batch say of a part of one disk, each in ascending order; the part is whole granules."""

    disk: int
    strokes: tuple[Strokes, ...]


def slices_of(redos: Sequence[Redo], disks: int) -> Iterator[Slice]:
    """Yield slices; those of one disk ascend. The log of a stroke is the place of its segment.

    Raises `DamagedLogError` where the records are not those that were sealed.
    """
    if len(redos) == 1:
        yield from _streamed(redos[0], disks)
        return
    gathered: list[list[list[Strokes]]] = [[[] for _ in redos] for _ in range(disks)]
    for log, redo in enumerate(redos):
        for frame in _frames(log, redo):
            for disk in _disks_of(frame):
                gathered[disk][log].append(strokes_of(frame, disk, log))
    for disk, logs in enumerate(gathered):
        joined = tuple(_joined(parts) for parts in logs)
        for start, end in pairwise(_cuts(joined)):
            yield Slice(disk, tuple(strokes.clipped(start, end) for strokes in joined))


def _cuts(joined: Sequence[Strokes]) -> list[int]:
    """Return where slices with bounded bytes begin, and the end; nothing where there are no strokes."""
    strokes = Strokes.joined(joined)
    if not len(strokes):
        return []
    order = np.argsort(strokes.starts, kind="stable")
    starts = strokes.starts[order]
    lengths = np.where(strokes.logs == ZEROS, 0, strokes.ends - strokes.starts)[order]
    slices = np.cumsum(lengths) // MAX_SLICE_BYTES
    cuts = starts[1:][np.diff(slices) > 0] // GRANULE_BYTES * GRANULE_BYTES
    return [int(starts[0]), *np.unique(cuts[cuts > starts[0]]).tolist(), _END]


def _streamed(redo: Redo, disks: int) -> Iterator[Slice]:
    gathered: list[list[Strokes]] = [[] for _ in range(disks)]
    records = length = 0
    for frame in _frames(0, redo):
        for disk in _disks_of(frame):
            gathered[disk].append(strokes_of(frame, disk, 0))
        records += len(frame.records)
        length += int(frame.records["length"][frame.records["stored_length"] > 0].sum())
        if records >= MIN_SLICE_RECORDS or length >= MIN_SLICE_BYTES:
            records = length = 0
            for disk, parts in enumerate(gathered):
                yield from _finished(disk, parts)
    for disk, parts in enumerate(gathered):
        strokes = _joined(parts)
        if len(strokes):
            yield Slice(disk, (strokes,))


def _finished(disk: int, parts: list[Strokes]) -> Iterator[Slice]:
    """Take what lies in granules that no later record of the segment can touch."""
    strokes = _joined(parts)
    if len(strokes):
        cut = int(strokes.ends[-1]) // GRANULE_BYTES * GRANULE_BYTES
        whole = strokes.clipped(0, cut)
        parts[:] = [strokes.clipped(cut, _END)]
        if len(whole):
            yield Slice(disk, (whole,))


def _frames(log: int, redo: Redo) -> Iterator[Frame]:
    try:
        yield from redo.frames()
    except SegmentFormatError as error:
        raise DamagedLogError(log, error) from error


def _disks_of(frame: Frame) -> list[int]:
    found: list[int] = np.unique(frame.records["disk"]).tolist()
    return found


def _joined(parts: Sequence[Strokes]) -> Strokes:
    return Strokes.joined([Strokes.none(), *parts])
