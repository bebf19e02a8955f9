"""What a replica is after a crash: read from the files, by names that were durable before they meant anything.

Files are believed by identity, not by name: after a power cut a removed file may be back, and an undo or redo of
another time line may carry the right number. Each names its point and the point before it.
"""

from contextlib import suppress
from dataclasses import replace

from agent.replica.accepted import AcceptedReplica
from agent.replica.history import History
from agent.replica.intent import IntentHeader, find_intent
from agent.replica.journal import Redo, open_redo
from agent.replica.layout import POINT, REDO, UNDO, Layout, sequences
from agent.replica.points import PointRecord, SealedPoint, read_point
from agent.replica.position import Position, read_position
from agent.replica.storage import Storage
from agent.replica.undo import UndoHeader, open_undo
from replikera.blocks.segment import SegmentFormatError
from replikera.durable import TEMPORARY_SUFFIX
from replikera.ports.files import Files


def recover(storage: Storage, accepted: AcceptedReplica) -> History:
    """Return the history. The base is only looked at: an apply that was interrupted is finished or undone later.

    Raises `SegmentFormatError` where what is left is not a replica.
    """
    _make_names_durable(storage)
    position = read_position(storage.files, storage.layout)
    if (position.generation, position.epoch) != (accepted.generation, accepted.epoch):
        raise SegmentFormatError("the position is that of another generation or epoch")
    _remove_unsealed(storage.files, storage.layout)
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
    return _settle_doubt(storage, History(position, below, above))


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
        records.append(_sharing(before, oldest))
    return tuple(reversed(records))


def _sharing(record: PointRecord, other: PointRecord) -> PointRecord:
    """Return the record with what it has in common with its neighbour in memory once: there may be many."""
    if (record.machine, record.disks) != (other.machine, other.disks):
        return record
    return replace(record, machine=other.machine, disks=other.disks)


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
    record = PointRecord(point, footer.previous, trailer.disks, trailer.machine or before.machine)
    return _sharing(record, before)


def _settle_doubt(storage: Storage, history: History) -> History:
    """Decide what an apply that had begun means: see the table in docs/replica-format.md."""
    files, layout, position = storage.files, storage.layout, history.position
    found = find_intent(files, layout.intents, position.point_id)
    if found is None:
        _remove_undo_above(files, layout, position.sequence)
        return history
    _, intent = found
    _remove_undo_above(files, layout, intent.last_sequence)
    in_doubt = intent.last_sequence - position.sequence
    floor = _lowest_reachable(files, layout, intent)
    has_redo = intent.last_id in {record.point_id for record in history.above}
    if has_redo:
        below = () if floor else history.below
        return History(position, below, history.above, in_doubt=in_doubt, floor=floor)
    if floor:
        raise SegmentFormatError("neither redo nor undo of an apply that had begun is whole")
    return replace(history, in_doubt=in_doubt, must_roll_back=True)


def _lowest_reachable(files: Files, layout: Layout, intent: IntentHeader) -> int:
    """Return 0 where all undos of a started apply are there, else the highest point that lacks its own."""
    point_id = intent.last_id
    for sequence in range(intent.last_sequence, intent.sequence, -1):
        try:
            with open_undo(files, layout.undo_file(sequence)) as undo:
                if (undo.header.generation, undo.header.point_id) != (intent.generation, point_id):
                    return sequence
                point_id = undo.header.previous
        except (FileNotFoundError, SegmentFormatError):
            return sequence
    return 0 if point_id == intent.point_id else intent.sequence + 1


def _remove_undo_above(files: Files, layout: Layout, newest: int) -> None:
    for sequence in sequences(files.list_directory(layout.undo), UNDO):
        if sequence > newest:
            files.remove(layout.undo_file(sequence))


def _remove_unsealed(files: Files, layout: Layout) -> None:
    for directory in layout.directories:
        for name in files.list_directory(directory):
            if name.endswith(TEMPORARY_SUFFIX):
                files.remove(directory / name)


def _remove_applied(files: Files, layout: Layout, position: Position) -> None:
    for sequence in sequences(files.list_directory(layout.journal), REDO):
        if sequence <= position.sequence:
            files.remove(layout.redo_file(sequence))


def _remove_released(files: Files, layout: Layout, oldest: int) -> None:
    """Remove what a release began to remove: everything that only points below `oldest` needed."""
    for sequence in sequences(files.list_directory(layout.undo), UNDO):
        if sequence <= oldest:
            with suppress(FileNotFoundError):
                files.remove(layout.undo_file(sequence))
    for sequence in sequences(files.list_directory(layout.points), POINT):
        if sequence < oldest:
            files.remove(layout.point_file(sequence))
