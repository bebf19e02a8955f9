"""What a replica is after a crash: read from the files, by names that were durable before they meant anything.

Files are believed by identity, not by name: after a power cut a removed file may be back, and an undo or redo of
another time line may carry the right number. Each names its point and the point before it.
"""

from contextlib import suppress

from agent.replica.accepted import AcceptedReplica
from agent.replica.apply import roll_back
from agent.replica.history import History
from agent.replica.journal import Redo, open_redo
from agent.replica.layout import OPEN, POINT, REDO, UNDO, Layout, sequences
from agent.replica.points import PointRecord, SealedPoint, read_point
from agent.replica.position import Position, read_position
from agent.replica.storage import Storage
from agent.replica.undo import UndoHeader, open_undo
from replikera.blocks.segment import SegmentFormatError
from replikera.durable import TEMPORARY_SUFFIX
from replikera.ports.files import Files


def recover(storage: Storage, accepted: AcceptedReplica) -> History:
    """Return the history; finish or undo what a crash interrupted, except an apply that can be finished later.

    Raises `SegmentFormatError` where what is left is not a replica.
    """
    _make_names_durable(storage)
    position = read_position(storage.files, storage.layout)
    if (position.generation, position.epoch) != (accepted.generation, accepted.epoch):
        raise SegmentFormatError("the position is that of another generation or epoch")
    _remove_unsealed(storage.files, storage.layout, position)
    if not position.sequence:
        return History(position)
    history = _read_history(storage, position)
    _remove_applied(storage.files, storage.layout, position)
    return history


def _make_names_durable(storage: Storage) -> None:
    """Sync the directories: a process that was killed may have left names that are only visible."""
    for directory in storage.layout.directories:
        storage.files.sync_directory(directory)


def _read_history(storage: Storage, position: Position) -> History:
    try:
        newest = read_point(storage.files, storage.layout, position.sequence)
    except FileNotFoundError as error:
        raise SegmentFormatError(f"the file of point {position.sequence} is missing") from error
    if newest.point_id != position.point_id:
        raise SegmentFormatError(f"the file of point {newest.sequence} is not of the base's point")
    below = _read_below(storage.files, storage.layout, newest)
    above = _read_above(storage.files, storage.layout, newest)
    return _settle_undo(storage, History(position, below, above))


def _read_below(files: Files, layout: Layout, newest: PointRecord) -> tuple[PointRecord, ...]:
    records = [newest]
    while True:
        oldest = records[-1]
        try:
            with open_undo(files, layout.undo_file(oldest.sequence)) as undo:
                is_chained = _leads_back_from(undo.header, oldest)
            before = read_point(files, layout, oldest.sequence - 1)
        except FileNotFoundError:
            _remove_released(files, layout, oldest.sequence)
            break
        except SegmentFormatError:
            # Damage: what is below cannot be reached, but may be of use to somebody who repairs it.
            break
        if not is_chained or before.point_id != oldest.previous:
            break
        records.append(before)
    return tuple(reversed(records))


def _leads_back_from(header: UndoHeader, record: PointRecord) -> bool:
    identity = (record.point.generation, record.point_id, record.previous)
    return (header.generation, header.point_id, header.previous) == identity


def _read_above(files: Files, layout: Layout, base: PointRecord) -> tuple[PointRecord, ...]:
    records: list[PointRecord] = []
    newest = base
    while True:
        try:
            with open_redo(files, layout.redo_file(newest.sequence + 1)) as redo:
                is_next = _goes_on_from(redo, newest)
                newest = point_of(redo, newest)
        except (FileNotFoundError, SegmentFormatError):
            break
        if not is_next:
            break
        records.append(newest)
    return tuple(records)


def _goes_on_from(redo: Redo, record: PointRecord) -> bool:
    return redo.header.previous == record.point_id


def point_of(redo: Redo, before: PointRecord) -> PointRecord:
    """Return the point that a sealed segment leads to."""
    trailer, footer = redo.trailer, redo.footer
    point = SealedPoint(
        generation=redo.header.generation,
        sequence=redo.header.sequence,
        kind=trailer.kind,
        name=trailer.name,
        capture_started_at=trailer.capture_started_at,
        capture_ended_at=trailer.capture_ended_at,
        sealed_at=footer.sealed_at,
        payload_bytes=footer.payload_bytes,
        chain_digest=footer.point_id,
    )
    return PointRecord(point, footer.previous, trailer.disks, trailer.machine or before.machine)


def _settle_undo(storage: Storage, history: History) -> History:
    """Decide what a sealed undo above the base means: see the table in docs/replica-format.md."""
    position, first = history.position, history.above[:1]
    path = storage.layout.undo_file(position.sequence + 1)
    try:
        with open_undo(storage.files, path) as undo:
            header = undo.header
    except FileNotFoundError:
        return history
    except SegmentFormatError:
        if not first:
            raise
        return History(position, (), history.above, is_interrupted=True)
    if header.previous != position.point_id:
        storage.files.remove(path)
        return history
    if first and _leads_back_from(header, first[0]):
        return History(position, history.below, history.above, is_interrupted=True)
    disks = history.below[-1].disks
    for _ in roll_back(storage, position.initial_attempt, disks, position.sequence + 1):
        pass
    return history


def _remove_unsealed(files: Files, layout: Layout, position: Position) -> None:
    for directory in layout.directories:
        for name in files.list_directory(directory):
            if name.endswith((TEMPORARY_SUFFIX, OPEN)):
                files.remove(directory / name)
    images = layout.images(position.initial_attempt).name if position.sequence else ""
    for name in files.list_directory(layout.folder):
        if layout.is_images(name) and name != images:
            files.remove_tree(layout.folder / name)


def _remove_applied(files: Files, layout: Layout, position: Position) -> None:
    for sequence in sequences(files.list_directory(layout.journal), REDO):
        if sequence <= position.sequence:
            files.remove(layout.redo_file(sequence))
    for sequence in sequences(files.list_directory(layout.undo), UNDO):
        if sequence > position.sequence + 1:
            files.remove(layout.undo_file(sequence))


def _remove_released(files: Files, layout: Layout, oldest: int) -> None:
    """Remove what a release began to remove: everything that only points below `oldest` needed."""
    for sequence in sequences(files.list_directory(layout.undo), UNDO):
        if sequence <= oldest:
            with suppress(FileNotFoundError):
                files.remove(layout.undo_file(sequence))
    for sequence in sequences(files.list_directory(layout.points), POINT):
        if sequence < oldest:
            files.remove(layout.point_file(sequence))
