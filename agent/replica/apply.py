"""Brings the base forward by a batch of points, or back to the point it was.

The order is the promise: undos sealed, intent sealed, base and checksums durable, points and position durable, redo
dropped. Each step is durable before the next begins, and each may be repeated after a crash, except that what the
intent names is never rebuilt.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime

import numpy as np

from agent.replica.base_images import BaseWriter
from agent.replica.batch import needed_bytes, within_records
from agent.replica.errors import BaseDamagedError, ReplicaError
from agent.replica.frames import Window
from agent.replica.intent import IntentHeader, IntentWriter, find_intent, open_intent
from agent.replica.journal import Redo, open_redo
from agent.replica.log_reader import DamagedLogError, LogReader
from agent.replica.overlay import ZEROS, Stroke, Strokes, paint, strokes_of
from agent.replica.points import PointRecord
from agent.replica.position import Position
from agent.replica.preparation import Preparation
from agent.replica.slices import Slice, slices_of
from agent.replica.storage import Storage
from agent.replica.undo import UndoHeader, UndoWriter, open_undo
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry, SegmentFormatError
from replikera.durable import remove_durably

STEP_BYTES = 4 << 20
"""Bytes written before others have their turn on the worker."""

ROUND_BYTES = 64 << 20
"""Bytes written before others have their turn with the base."""

RANGE_COST = 4 << 10
"""What a range counts for beside its data: a million small ones, or zeros, take their time, too."""


@contextmanager
def open_batch(
    storage: Storage, position: Position, batch: Sequence[PointRecord]
) -> Iterator[list[Redo]]:
    """Open the segments of points that follow the base. Raises `DamagedLogError`."""
    previous = position.point_id
    with ExitStack() as stack:
        redos = []
        for log, record in enumerate(batch):
            try:
                redo = stack.enter_context(
                    open_redo(storage.files, storage.layout.redo_file(record.sequence))
                )
                _check_identity(redo, record, previous)
            except (SegmentFormatError, FileNotFoundError) as error:
                raise DamagedLogError(log, error) from error
            redos.append(redo)
            previous = record.point_id
        yield redos


def choose(storage: Storage, attempt: int, redos: Sequence[Redo]) -> Generator[None, None, int]:
    """Return how many of the segments are applied together: as many as fit memory and the volume.

    Yields between the steps; the base is only read.

    Raises `DamagedLogError`, and `ReplicaError` where there is no space even for the first.
    """
    with storage.open_base(attempt, redos[0].header.disks) as base:
        count = within_records(redos)
        while True:
            needed = yield from needed_bytes(redos[:count], base)
            try:
                storage.require_space(needed)
            except ReplicaError:
                if count == 1:
                    raise
                count //= 2
            else:
                return count


def prepare(
    storage: Storage, position: Position, redos: Sequence[Redo], now: datetime
) -> Generator[None]:
    """Verify the segments and seal their undos and the intent; the base is only read."""
    disks, layout = redos[-1].header.disks, storage.layout
    with ExitStack() as stack:
        base = stack.enter_context(storage.open_base(position.initial_attempt, disks))
        logs = LogReader(storage.files, [redo.file.path for redo in redos], disks)
        stack.callback(logs.close)
        undos = [
            stack.enter_context(UndoWriter(storage.files, layout, _undo_of(redo), len(redos)))
            for redo in redos
        ]
        header = _intent_of(position, redos[-1])
        intent = stack.enter_context(IntentWriter(storage.files, layout.intents, header))
        preparation = Preparation(base, logs, undos, intent, storage.damage)
        for part in slices_of(redos, len(disks)):
            yield from preparation.take(part)
        for undo in undos:
            undo.finish(now)
            yield from undo.verify(disks)
        for undo in undos:
            undo.seal()
        storage.files.sync_directory(layout.undo)
        intent.seal()


def write_base(
    storage: Storage,
    position: Position,
    redos: Sequence[Redo],
    should_stop: Callable[[], bool],
    before_writing: Callable[[], None] = lambda: None,
) -> Generator[bool, None, bool]:
    """Write the segments and their checksums into the base and make that durable; return whether all of it was done.

    Yields between the steps, True where everything written is durable and the base is closed: others may read it then,
    in doubt as it is. There it also ends where it should stop, and is begun again later. `before_writing` is called
    whenever the base is about to change.
    """
    disks = redos[-1].header.disks
    logs = LogReader(storage.files, [redo.file.path for redo in redos], disks)
    try:
        slices, is_done = slices_of(redos, len(disks)), False
        while not is_done:
            if should_stop():
                return False
            before_writing()
            with storage.open_base_for_writing(position.initial_attempt, disks) as base:
                is_done = yield from _write_round(base, logs, slices)
                if is_done:
                    _set_sums(storage, position, base, "after")
            yield True
    finally:
        logs.close()
    return True


def _write_round(
    base: BaseWriter, logs: LogReader, slices: Iterator[Slice]
) -> Generator[bool, None, bool]:
    """Write some slices; return whether they were the last."""
    written = 0
    for part in slices:
        strokes = paint(Strokes.joined(part.strokes))
        yield from _write(base, logs, part.disk, strokes)
        written += strokes.chosen(strokes.logs != ZEROS).extents().total()
        written += RANGE_COST * len(strokes)
        if written >= ROUND_BYTES:
            return False
    return True


def roll_back(
    storage: Storage, position: Position, last: int, disks: Sequence[DiskGeometry]
) -> Iterator[bool]:
    """Make a base that may hold bytes of points up to `last` its own point again, durably.

    Safe over a base that is whole, too: the undos hold exactly what is there.
    """
    undos = range(last, position.sequence, -1)
    with storage.open_base_for_writing(position.initial_attempt, disks) as base:
        for sequence in undos:
            yield from _undo(storage, base, sequence)
        _set_sums(storage, position, base, "before")
    for path in storage.layout.intents:
        remove_durably(storage.files, path)
    for sequence in undos:
        remove_durably(storage.files, storage.layout.undo_file(sequence))


def _undo(storage: Storage, base: BaseWriter, sequence: int) -> Iterator[bool]:
    path = storage.layout.undo_file(sequence)
    logs = LogReader(storage.files, [path], base.disks)
    try:
        with open_undo(storage.files, path) as undo:
            for frame in undo.frames():
                for disk in range(len(base.disks)):
                    yield from _write(base, logs, disk, strokes_of(frame, disk, 0))
    finally:
        logs.close()


def _write(base: BaseWriter, logs: LogReader, disk: int, strokes: Strokes) -> Iterator[bool]:
    """Write ascending ranges to a disk, a step at a time."""
    has_zeros = bool((strokes.logs == ZEROS).any())
    allocated = base.data_extents(disk) if has_zeros else Extents.empty()
    window, unseen = Window(), 0
    for stroke in strokes:
        unseen += RANGE_COST
        if stroke.log == ZEROS:
            _write_zeros(base, disk, stroke, allocated)
        else:
            unseen += stroke.end - stroke.start
            _write_data(base, logs, disk, stroke, window)
        if unseen >= STEP_BYTES:
            unseen = 0
            yield False
    yield False


def _write_zeros(base: BaseWriter, disk: int, stroke: Stroke, allocated: Extents) -> None:
    zeros = Extents.from_arrays([stroke.start], [stroke.end]).intersect(allocated)
    for offset, length in zeros:
        base.zero(disk, offset, length)


def _write_data(
    base: BaseWriter, logs: LogReader, disk: int, stroke: Stroke, window: Window
) -> None:
    data = window.view(stroke.end - stroke.start)
    try:
        logs.read_into(data, disk, stroke)
    except BaseDamagedError:
        return  # an undo that says that its bytes were lost: the base still has what took their place
    base.write(disk, data, stroke.start)


def _set_sums(storage: Storage, position: Position, base: BaseWriter, side: str) -> None:
    """Give every granule that the intent names the sum that it has on one side of the apply."""
    found = find_intent(storage.files, storage.layout.intents, position.point_id)
    if found is None:
        raise SegmentFormatError("the intent of an apply is missing")
    with open_intent(storage.files, found[0]) as intent:
        for entries in intent.frames():
            for disk in np.unique(entries["disk"]).tolist():
                mine = entries[entries["disk"] == disk]
                base.set_sums(disk, mine["granule"], mine[side])


def _undo_of(redo: Redo) -> UndoHeader:
    header, footer = redo.header, redo.footer
    return UndoHeader(header.generation, header.sequence, footer.point_id, footer.previous)


def _intent_of(position: Position, last: Redo) -> IntentHeader:
    return IntentHeader(
        generation=position.generation,
        sequence=position.sequence,
        point_id=position.point_id,
        last_sequence=last.header.sequence,
        last_id=last.footer.point_id,
    )


def _check_identity(redo: Redo, record: PointRecord, previous: bytes) -> None:
    if redo.footer.point_id != record.point_id:
        raise SegmentFormatError(f"{redo.file.path.name} is not the segment that was sealed")
    if redo.header.previous != previous:
        raise SegmentFormatError(f"{redo.file.path.name} does not go on from the point before it")
