"""The replica of one machine in one generation, on disk: everything that blocks.

Reception, apply and recovery of points come from different threads. Reception and apply each change their own end of
the history, one caller at a time (the asynchronous `Replica` sees to that); the history itself is an immutable value
that is replaced under a lock.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from agent.replica import apply
from agent.replica.accepted import AcceptedReplica, read_accepted, write_accepted
from agent.replica.admission import admit
from agent.replica.attempt import Attempt
from agent.replica.errors import ReplicaError, damaged, storage_errors, storage_failed
from agent.replica.fence import FencedFiles
from agent.replica.grant_file import SeenGrants
from agent.replica.history import History
from agent.replica.images import ImageFormat
from agent.replica.intake import refusal
from agent.replica.journal import Redo, open_redo
from agent.replica.layout import Layout
from agent.replica.materialise import Recovered, materialise
from agent.replica.points import PointRecord, write_point
from agent.replica.position import Position, write_position
from agent.replica.recovery import recover
from agent.replica.retention import releasable, remove_points
from agent.replica.storage import Storage
from replikera.blocks.segment import NO_POINT, DiskGeometry, SegmentFormatError
from replikera.ports.files import Buffer, Files


def create_lineage(
    files: Files, folder: Path, accepted: AcceptedReplica, image_format: ImageFormat
) -> "Lineage":
    """Make an empty replica; it exists when this returns, and not at all when a crash comes before."""
    storage = Storage(FencedFiles(files), Layout(folder), image_format)
    fenced, layout = storage.files, storage.layout
    with storage_errors(folder):
        for directory in layout.directories:
            fenced.make_directory(directory)
        if any(layout.is_images(name) for name in fenced.list_directory(folder)):
            raise damaged(layout.accepted, "it is missing beside the disks of a replica")
        fenced.sync_directory(folder.parent)
        empty = Position(accepted.generation, accepted.epoch, 0, NO_POINT, 0, 0, 0)
        position = write_position(fenced, layout, empty)
        write_accepted(fenced, layout, accepted)
    return Lineage(storage, files, accepted, History(position))


def open_lineage(files: Files, folder: Path, image_format: ImageFormat) -> "Lineage | None":
    """Open a replica after any crash; None where it was never completely accepted. Raises `ReplicaError`."""
    storage = Storage(FencedFiles(files), Layout(folder), image_format)
    with storage_errors(folder):
        storage.files.sync_directory(folder)
        if files.status(storage.layout.accepted) is None:
            return None
        accepted = read_accepted(storage.files, storage.layout)
        return Lineage(storage, files, accepted, recover(storage, accepted))


class Lineage:
    """See the module. Every method raises `ReplicaError`; after a failed sync each does until it is reopened."""

    def __init__(
        self, storage: Storage, files: Files, accepted: AcceptedReplica, history: History
    ) -> None:
        self._storage = storage
        self._grants = SeenGrants(storage.files, storage.layout)
        self._files = files
        self._accepted = accepted
        self._history = history
        self._changing = threading.Lock()
        self._attempt: Attempt | None = None
        self._damage: ReplicaError | None = None

    @property
    def accepted(self) -> AcceptedReplica:
        """Return the terms it is kept under."""
        return self._accepted

    @property
    def grant_version(self) -> int:
        """Return the highest version of a grant that was seen, 0 for none."""
        return self._grants.version

    @property
    def history(self) -> History:
        """Return the points as they are now."""
        return self._history

    @property
    def failure(self) -> ReplicaError | None:
        """Return why it refuses everything, None where it does not."""
        failed = self._storage.files.fence.failure
        return storage_failed(failed) if failed is not None else None

    def change_terms(self, accepted: AcceptedReplica) -> None:
        """Keep the replica under new terms of the same lineage."""
        with self._storage_errors():
            write_accepted(self._storage.files, self._storage.layout, accepted)
            self._accepted = accepted

    def note_grant(self, version: int) -> int:
        """Return the highest version of a grant that was seen, this one included, durably."""
        with self._storage_errors():
            return self._grants.note(version)

    def begin(self, encoded: bytes) -> Attempt:
        """Open the segment that goes on from the head; an attempt that was open is removed."""
        with self._storage_errors():
            if self._damage is not None:
                raise self._damage
            header = admit(encoded, self._accepted, self._history)
            if self._attempt is not None and header.attempt < self._attempt.header.attempt:
                raise refusal(header, "stale-attempt", "a later attempt is open")
            self._discard_attempt()
            self._storage.require_space(0)
            self._attempt = Attempt(self._storage, header, self._history.newest)
            return self._attempt

    def add(self, attempt: Attempt, records: bytes, payloads: Sequence[Buffer]) -> None:
        """Check and store a batch. One that is refused changes nothing; a failed write ends the attempt."""
        self._require_open(attempt)
        try:
            with self._storage_errors():
                attempt.add(records, payloads)
        except ReplicaError as error:
            self._end_unless_refused(error)
            raise

    def seal(
        self, attempt: Attempt, trailer: bytes, chain_digest: bytes, now: datetime
    ) -> PointRecord:
        """Make the segment a point, durably."""
        self._require_open(attempt)
        try:
            with self._storage_errors():
                record = attempt.finish(trailer, chain_digest, now)
                attempt.seal(trailer, record)
                self._take_over(attempt, record)
        except ReplicaError as error:
            self._end_unless_refused(error)
            raise
        self._attempt = None
        return record

    def discard(self, attempt: Attempt) -> None:
        """Remove what an attempt received; one that is not open any more is no error."""
        if self._attempt is attempt:
            with self._storage_errors():
                self._discard_attempt()

    def abandon(self, generation: str, sequence: int, attempt: int) -> int:
        """Give up all attempts up to this one; return the durable floor."""
        with self._storage_errors():
            head = self._history.head
            if (generation, sequence) != (head.generation, head.sequence + 1):
                raise ReplicaError(
                    "wrong-sequence",
                    f"Segment {sequence} of generation {generation} cannot be abandoned: the next"
                    f" one of {self._accepted.machine_name} is {head.sequence + 1}.",
                    "The source asks for the head again.",
                )
            if self._attempt is not None and self._attempt.header.attempt <= attempt:
                self._discard_attempt()
            floor = max(head.attempt_floor, attempt + 1)
            self._move(
                lambda position: replace(position, floor_sequence=sequence, floor_attempt=floor)
            )
            self._storage.files.sync_directory(self._storage.layout.journal)
            return floor

    def apply_next(self, now: datetime) -> Generator[None]:
        """Bring the base forward by one point, a window at a time; nothing where it is the newest."""
        with self._storage_errors():
            history = self._history
            if not history.above:
                return
            record = history.above[0]
            try:
                yield from self._apply(history, record, now)
            except SegmentFormatError as error:
                yield from self._give_up(record, error)

    def release(self, now: datetime, retention: timedelta) -> int:
        """Release the oldest points that are past their retention; return how many."""
        with self._storage_errors():
            expired = releasable(self._history, now, retention)
            count = len(expired)
            self._change(lambda history: replace(history, below=history.below[count:]))
            remove_points(self._storage, expired)
            return count

    def materialise(
        self, sequence: int, choose_path: Callable[[DiskGeometry], Path]
    ) -> Generator[Recovered | None]:
        """Write a point as standalone disks; the last thing yielded is the files."""
        with self._storage_errors():
            record = self.find(sequence)
            yield from materialise(self._storage, self._files, self._history, record, choose_path)

    def find(self, sequence: int) -> PointRecord:
        """Return a point. Raises `ReplicaError` for one that is not there."""
        record = self._history.find(sequence)
        if record is None:
            raise ReplicaError(
                "unknown-point",
                f"{self._accepted.machine_name} has no recovery point {sequence}.",
                "Choose one of the points that are listed.",
            )
        return record

    def _apply(self, history: History, record: PointRecord, now: datetime) -> Iterator[None]:
        storage, position = self._storage, history.position
        with open_redo(storage.files, storage.layout.redo_file(record.sequence)) as redo:
            _check_identity(redo, record, position)
            if not history.is_interrupted:
                yield from apply.prepare(storage, redo, position.initial_attempt, now)
                self._change(lambda history: replace(history, is_interrupted=True))
            yield from apply.write_base(storage, redo, position.initial_attempt)
        write_point(storage.files, storage.layout, record)
        self._advance(record)
        storage.files.remove(storage.layout.redo_file(record.sequence))

    def _advance(self, record: PointRecord) -> None:
        self._move(
            lambda position: replace(position, sequence=record.sequence, point_id=record.point_id),
            lambda history: replace(
                history,
                below=(*history.below, record),
                above=history.above[1:],
                is_interrupted=False,
            ),
        )

    def _give_up(self, record: PointRecord, error: SegmentFormatError) -> Iterator[None]:
        """Take damaged redo out of the history: neither this point nor one after it can be reached."""
        with self._changing:  # together: no segment may be appended between the two
            self._damage = damaged(self._storage.layout.redo_file(record.sequence), error)
            self._history = replace(self._history, above=())
        if self._history.is_interrupted:
            attempt = self._history.position.initial_attempt
            yield from apply.roll_back(self._storage, attempt, record.disks, record.sequence)
            self._change(lambda history: replace(history, is_interrupted=False))
        raise self._damage

    def _take_over(self, attempt: Attempt, record: PointRecord) -> None:
        if record.sequence > 1:
            self._change(lambda history: self._append(history, record))
            return
        write_point(self._storage.files, self._storage.layout, record)
        initial_attempt = attempt.header.attempt
        self._move(
            lambda position: replace(
                position, sequence=1, point_id=record.point_id, initial_attempt=initial_attempt
            ),
            lambda history: replace(history, below=(record,)),
        )

    def _append(self, history: History, record: PointRecord) -> History:
        """Return the history with one more point. Damage may have been found while its segment arrived."""
        newest = history.newest
        if self._damage is not None:
            raise self._damage
        if newest is None or newest.point_id != record.previous:
            raise AssertionError(f"point {record.sequence} does not go on from the newest one")
        return replace(history, above=(*history.above, record))

    def _change(self, change: Callable[[History], History]) -> None:
        with self._changing:
            self._history = change(self._history)

    def _move(
        self,
        move: Callable[[Position], Position],
        change: Callable[[History], History] = lambda history: history,
    ) -> None:
        """Move the position durably, and only then change the history to what it says."""
        files, layout = self._storage.files, self._storage.layout
        with self._changing:
            position = write_position(files, layout, move(self._history.position))
            self._history = change(replace(self._history, position=position))

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        failure = self.failure
        if failure is not None:
            raise failure
        with storage_errors(self._storage.layout.folder):
            yield

    def _require_open(self, attempt: Attempt) -> None:
        if self._damage is not None:
            # The point that the attempt goes on from cannot be reached any more.
            with self._storage_errors():
                self._discard_attempt()
            raise self._damage
        if self._attempt is not attempt:
            raise refusal(attempt.header, "stale-attempt", "this attempt is not open any more")

    def _end_unless_refused(self, error: ReplicaError) -> None:
        """End the attempt that the storage failed; what a peer did wrong leaves it open."""
        if self.failure is not None and self._attempt is not None:
            # Whether it became a point is for the next start to read from the disk: remove nothing.
            self._attempt.give_up()
            self._attempt = None
        elif isinstance(error.__cause__, OSError) or error.code == "disk-full":
            with suppress(OSError):
                self._discard_attempt()

    def _discard_attempt(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.discard()


def _check_identity(redo: Redo, record: PointRecord, position: Position) -> None:
    if redo.footer.point_id != record.point_id:
        raise SegmentFormatError("it is not the segment that was sealed")
    if redo.header.previous != position.point_id:
        raise SegmentFormatError("it does not go on from the base's point")
