"""Tracking logs: which ranges of a machine's disks were written, between one view and the next.

The logs of a machine are numbered files. The newest is open and takes ranges; a view closes it and opens the next,
so "written between mark and view" is the union of the logs after the mark's up to the view's. Ranges are in the
log, durably, before the data they are about reaches a disk: after a crash the logs say too much, never too little.

A log whose last batch is incomplete belongs to a writer that was killed while it appended: the data of that batch
was never written, so whoever appends or closes next cuts the batch off. Any other damage ends the log's use: the
next log gets a predecessor that does not exist, and no mark from before leads across.

Every call but `since` is made under the machine's lock.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np

from agent.hypervisor.interface import TrackingLostError
from agent.hypervisor.simulated import tracking_format
from agent.hypervisor.simulated.state import Position
from agent.hypervisor.simulated.tracking_format import MalformedLogError, TrackingLog
from replikera.blocks.extents import Extents
from replikera.durable import make_directory_durably, write_durably
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness

GRANULE = 4096
"""What one byte written is reported as, at least."""

MAX_LOG_BYTES = 1 << 20
"""A log that would grow beyond this is replaced by the union of its ranges, coarser when that is what it takes."""

_MAX_MERGED_RANGES = MAX_LOG_BYTES // 2 // tracking_format.RANGE.itemsize
"""Half of the log is free again after that replacement."""

_READ_LIMIT = 2 * MAX_LOG_BYTES
"""A log and the one batch that a burst of writes may add to a full one."""

_SUFFIX = ".ranges"
_NO_LOG = UUID(int=0)


@dataclass(frozen=True, slots=True)
class _Tail:
    """Where the next batch of the open log goes."""

    number: int
    log_id: UUID
    batches: int
    size: int


class TrackingLogs:
    """The tracking logs of one machine."""

    def __init__(self, files: Files, randomness: Randomness, folder: Path) -> None:
        self._files = files
        self._randomness = randomness
        self._folder = folder
        self._tail: _Tail | None = None

    def append(self, written: Mapping[int, Extents], sizes: Sequence[int]) -> None:
        """Record ranges durably, by the disk's place in the machine; `sizes` are those of all disks.

        Called before the data is written.
        """
        aligned = {disk: ranges.align(GRANULE, sizes[disk]) for disk, ranges in written.items()}
        table = tracking_format.table_of(aligned)
        tail = self._open_tail()
        if tail.size + tracking_format.BATCH_BYTES + table.nbytes > MAX_LOG_BYTES:
            tail = self._compact(tail, sizes)
        data = tracking_format.encode_ranges(tail.log_id, tail.batches, table)
        self._write_at(tail, data)
        self._tail = _Tail(tail.number, tail.log_id, tail.batches + 1, tail.size + len(data))

    def rotate(self) -> Position:
        """Close the open log, open the next, and return the position between the two."""
        tail = self._open_tail()
        self._write_at(tail, tracking_format.encode_end(tail.log_id, tail.batches))
        self._tail = self._create(tail.number + 1, tail.log_id)
        return Position(tail.number, str(tail.log_id))

    def since(self, mark: Position, view: Position, sizes: Sequence[int]) -> list[Extents]:
        """Return what was written between two positions, disk by disk. Raises `TrackingLostError`."""
        return self._written(lambda: self._between(mark, view), sizes)

    def _written(
        self, read_logs: Callable[[], list[TrackingLog]], sizes: Sequence[int]
    ) -> list[Extents]:
        try:
            logs = read_logs()
            ranges = np.concatenate(
                [np.empty(0, tracking_format.RANGE), *(log.ranges for log in logs)]
            )
            return tracking_format.extents_of(ranges, sizes)
        except (MalformedLogError, OSError) as error:
            raise TrackingLostError(
                "tracking-lost",
                f"What was written since a mark is not known in {self._folder}: {error}.",
                "Resynchronise the machine.",
            ) from error

    def lose(self) -> None:
        """Let no mark from before lead to a later view: what was written meanwhile is not known."""
        if self.newest():
            self._tail = self._create(self.newest() + 1, UUID(self._randomness.uuid()))

    def coarsen(self, granule: int, sizes: Sequence[int]) -> None:
        """Replace the open log by what a coarser map of it would have: whole granules."""
        tail = self._open_tail()
        self._tail = self._compact(tail, sizes, granule)

    def written_after(self, view: Position, sizes: Sequence[int]) -> list[Extents]:
        """Return what was written after a view up to now, disk by disk. Raises `TrackingLostError`."""
        newest = self.newest()
        return self._written(lambda: self._chained(view, newest, may_be_open=True), sizes)

    def prune(self, number: int) -> None:
        """Remove the logs up to `number`; the newest stays whatever it is."""
        for candidate in self._numbers()[:-1]:
            if candidate <= number:
                self._files.remove(self._path(candidate))

    def newest(self) -> int:
        """Return the number of the newest log, 0 where there is none."""
        return max(self._numbers(), default=0)

    def _open_tail(self) -> _Tail:
        newest = self.newest()
        if newest == 0:
            return self._create(1, _NO_LOG)
        status = self._files.status(self._path(newest))
        known = self._tail
        if known and status and (known.number, known.size) == (newest, status.size):
            return known
        try:
            log = self._read(newest)
        except MalformedLogError:
            return self._create(newest + 1, UUID(self._randomness.uuid()))
        if log.is_closed:
            return self._create(newest + 1, log.log_id)
        return _Tail(newest, log.log_id, log.batches, log.sound_bytes)

    def _create(self, number: int, previous_id: UUID) -> _Tail:
        log_id = UUID(self._randomness.uuid())
        header = tracking_format.encode_header(number, log_id, previous_id)
        make_directory_durably(self._files, self._folder)
        write_durably(self._files, self._path(number), header)
        return _Tail(number, log_id, 0, len(header))

    def _write_at(self, tail: _Tail, data: bytes) -> None:
        with self._files.open_write(self._path(tail.number)) as file:
            if file.size() > tail.size:
                file.truncate(tail.size)
            file.write(data, tail.size)
            file.sync()

    def _compact(self, tail: _Tail, sizes: Sequence[int], granule: int = GRANULE) -> _Tail:
        """Replace the open log by the union of its ranges, as whole granules."""
        try:
            log = self._read(tail.number)
            written = tracking_format.extents_of(log.ranges, sizes)
            merged = _coarsened(written, sizes, granule)
        except MalformedLogError:
            return self._create(tail.number + 1, UUID(self._randomness.uuid()))
        data = tracking_format.encode_header(log.number, log.log_id, log.previous_id)
        data += tracking_format.encode_ranges(log.log_id, 0, tracking_format.table_of(merged))
        write_durably(self._files, self._path(log.number), data)
        return _Tail(log.number, log.log_id, 1, len(data))

    def _between(self, mark: Position, view: Position) -> list[TrackingLog]:
        if mark.number > view.number:
            raise MalformedLogError(f"mark {mark.number} is behind view {view.number}")
        logs = self._chained(mark, view.number)
        if (str(logs[-1].log_id) if logs else mark.log_id) != view.log_id:
            raise MalformedLogError(f"the view does not follow log {view.number}")
        return logs

    def _chained(
        self, mark: Position, last: int, *, may_be_open: bool = False
    ) -> list[TrackingLog]:
        """Return the logs after a mark; the last one may be the open one where `may_be_open`."""
        previous, logs = mark.log_id, []
        for number in range(mark.number + 1, last + 1):
            log = self._read(number)
            is_whole = log.is_closed or (may_be_open and number == last)
            if not is_whole or str(log.previous_id) != previous:
                raise MalformedLogError(f"log {number} does not follow the one before it")
            previous = str(log.log_id)
            logs.append(log)
        return logs

    def _read(self, number: int) -> TrackingLog:
        path = self._path(number)
        try:
            log = tracking_format.parse_log(self._files.read_bytes(path, limit=_READ_LIMIT))
        except FileNotFoundError as error:
            raise MalformedLogError(f"{path.name} is missing") from error
        except ValueError as error:
            raise MalformedLogError(f"{path.name} is no tracking log: {error}") from error
        if log.number != number:
            raise MalformedLogError(f"{path.name} holds log {log.number}")
        return log

    def _numbers(self) -> list[int]:
        names = self._files.list_directory(self._folder)
        stems = (name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))
        return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdigit())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}{_SUFFIX}"


def _coarsened(
    written: Sequence[Extents], sizes: Sequence[int], granule: int
) -> dict[int, Extents]:
    merged = [extents.align(granule, size) for extents, size in zip(written, sizes, strict=True)]
    while sum(len(extents) for extents in merged) > _MAX_MERGED_RANGES:
        granule *= 4
        merged = [extents.align(granule, size) for extents, size in zip(merged, sizes, strict=True)]
    return dict(enumerate(merged))
