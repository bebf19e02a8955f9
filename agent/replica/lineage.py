"""The replica of one machine in one generation, on disk: everything that blocks.

Reception, apply and recovery of points come from different threads. Reception and apply each change their own end of
the history, one caller at a time (the asynchronous `Replica` sees to that); the history itself is an immutable value
that is replaced under a lock.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from agent.replica.accepted import AcceptedReplica, read_accepted, write_accepted
from agent.replica.applier import Applier
from agent.replica.children import make_children
from agent.replica.chronicle import Chronicle
from agent.replica.deltas import Deltas
from agent.replica.errors import ReplicaError, damaged, storage_errors
from agent.replica.fence import FencedFiles
from agent.replica.grant_file import SeenGrants
from agent.replica.history import History
from agent.replica.images import ImageFormat, NewImages, image_paths
from agent.replica.layout import Layout
from agent.replica.materialise import OneDisk, materialise
from agent.replica.new_disks import Recovered
from agent.replica.passes import Passes
from agent.replica.pins import Pin, Pins
from agent.replica.point_digests import PointDigests, Range, range_digests
from agent.replica.point_view import PointView
from agent.replica.points import PointRecord
from agent.replica.position import Position, write_position
from agent.replica.recovery import recover
from agent.replica.removal import export, finish_removal, free_export, mark_removed
from agent.replica.retention import releasable, remove_points
from agent.replica.storage import Storage
from agent.replica.unfinished import Unfinished, find_unfinished
from agent.replica.views import Views
from replikera.blocks.segment import NO_POINT, DiskGeometry
from replikera.ports.files import Files


def create_lineage(
    files: Files,
    folder: Path,
    accepted: AcceptedReplica,
    image_format: ImageFormat,
    seed_folder: Path | None = None,
) -> "Lineage":
    """Make an empty replica; it exists when this returns, and not at all when a crash comes before."""
    storage = Storage(FencedFiles(files), Layout(folder), image_format, seed_folder)
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
    return Lineage(storage, files, accepted, History(position), Unfinished())


def open_lineage(
    files: Files, folder: Path, image_format: ImageFormat, seed_folder: Path | None = None
) -> "Lineage | None":
    """Open a replica after any crash; None where it was never completely accepted. Raises `ReplicaError`."""
    storage = Storage(FencedFiles(files), Layout(folder), image_format, seed_folder)
    with storage_errors(folder):
        storage.files.sync_directory(folder)
        if files.status(storage.layout.accepted) is None:
            return None
        accepted = read_accepted(storage.files, storage.layout)
        history = recover(storage, accepted)
        unfinished = find_unfinished(storage, accepted, history)
        lineage = Lineage(storage, files, accepted, history, unfinished)
        lineage.settle_base()
        return lineage


class Arriving(NamedTuple):
    """The attempt that is open, 0 where none is, and how many records of it survive a crash."""

    attempt: int
    durable_records: int


class Lineage:
    """See the module. Every method raises `ReplicaError`; after a failed sync each does until it is reopened."""

    def __init__(
        self,
        storage: Storage,
        files: Files,
        accepted: AcceptedReplica,
        history: History,
        unfinished: Unfinished,
    ) -> None:
        self._storage = storage
        self._grants = SeenGrants(storage.files, storage.layout)
        self._files = files
        self._accepted = accepted
        self._chronicle = Chronicle(storage, history)
        self._pins = Pins(storage.files, storage.layout)
        self._views = Views(storage, lambda: self._history)
        self._applier = Applier(storage, self._chronicle, self._pins, self._views)
        self.deltas = Deltas(storage, self._chronicle, lambda: self._accepted, unfinished.attempt)
        self.passes = Passes(storage, self._chronicle, lambda: self._accepted, unfinished.state)

    @property
    def layout(self) -> Layout:
        """Return where its files are."""
        return self._storage.layout

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
        return self._chronicle.history

    @property
    def has_work(self) -> bool:
        """Tell whether there is something to apply that may be applied now."""
        return self._applier.has_work

    @property
    def is_removed(self) -> bool:
        """Tell whether it has ended."""
        return self._chronicle.has_ended

    @property
    def trouble(self) -> ReplicaError | None:
        """Return what is known to be wrong although all goes on, None for nothing."""
        newest = self._history.newest
        damage = self._storage.damage.error(newest.disks) if newest is not None else None
        return damage or self._pins.trouble

    @property
    def failure(self) -> ReplicaError | None:
        """Return why it refuses everything, None where it does not."""
        return self._chronicle.failure

    def change_terms(self, accepted: AcceptedReplica) -> None:
        """Keep the replica under new terms of the same lineage."""
        with self._storage_errors():
            write_accepted(self._storage.files, self._storage.layout, accepted)
            self._accepted = accepted

    def note_grant(self, version: int) -> int:
        """Return the highest version of a grant that was seen, this one included, durably."""
        with self._storage_errors():
            return self._grants.note(version)

    def arriving(self) -> Arriving:
        """Return what can be gone on with, durable."""
        with self._storage_errors():
            if not self._history.head.sequence:
                state = self.passes.state
                return Arriving(state.attempt, state.records) if state else Arriving(0, 0)
            attempt = self.deltas.open_attempt
            if attempt is None:
                return Arriving(0, 0)
            attempt.sync()
            return Arriving(attempt.header.attempt, attempt.durable_records)

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
            self.deltas.abandon(attempt)
            self.passes.abandon(attempt)
            floor = max(head.attempt_floor, attempt + 1)
            self._chronicle.move(
                lambda position: replace(position, floor_sequence=sequence, floor_attempt=floor)
            )
            self._storage.files.sync_directory(self._storage.layout.journal)
            return floor

    def settle_base(self) -> None:
        """Take back an apply that a crash interrupted and that cannot be finished, unless a pin keeps the base."""
        with self._storage_errors():
            if not self._history.must_roll_back:
                return
            if not self._pins.hold_base:
                for _ in self._applier.roll_back():
                    pass
                return
            problem = (
                "redo of an apply that had begun is lost, and a pin keeps it from being undone"
            )
            self._chronicle.lose(damaged(self._storage.layout.journal, problem))

    def apply_next(self, now: datetime) -> Generator[bool]:
        """Bring the base forward by a batch of points, a step at a time; nothing where it may not or need not move.

        Yields True where others may read the base before it goes on.
        """
        with self._storage_errors():
            yield from self._applier.apply_next(now)

    def ask_to_stop(self) -> None:
        """End a running apply soon and begin none, until `allow_apply` was called as often."""
        self._applier.ask_to_stop()

    def allow_apply(self) -> None:
        """Take back one `ask_to_stop`."""
        self._applier.allow()

    def pin(self, holder: str, sequence: int) -> None:
        """Keep a point, and the base as it is, for a holder, durably; the same again changes nothing.

        Nothing may be applied or released meanwhile.
        """
        with self._storage_errors():
            record = self.find(sequence)
            self._pins.add(Pin(holder, sequence, record.point_id))

    def unpin(self, holder: str) -> None:
        """Give up what a holder keeps, durably; nothing kept is no error."""
        with self._storage_errors():
            self._pins.remove(holder)

    @property
    def pins(self) -> tuple[Pin, ...]:
        """Return who keeps the base as it is."""
        return self._pins.all

    def release(self, now: datetime, retention: timedelta) -> int:
        """Release the oldest points that are past their retention; return how many."""
        with self._storage_errors():
            if self._pins.trouble is not None:
                return 0
            kept = self._views.held | self._pins.sequences
            expired = releasable(self._history, now, retention, kept)
            count = len(expired)
            self._chronicle.change(lambda history: replace(history, below=history.below[count:]))
            remove_points(self._storage, expired)
            return count

    def materialise(
        self, sequence: int, choose_path: Callable[[DiskGeometry], Path]
    ) -> Generator[Recovered | None]:
        """Write a point as standalone disks; the base may move between two steps. At last the files are yielded."""
        with self._storage_errors(), self._views.lasting(self.find(sequence)) as view:
            yield from materialise(view, self._files, self._storage.image_format, choose_path)

    def materialise_disk(
        self, sequence: int, place: int, path: Path, images: NewImages
    ) -> Generator[Recovered | None]:
        """Write one disk of a point as a file of its own; the base may move between two steps."""
        with self._storage_errors(), self._views.lasting(self.find(sequence)) as view:
            yield from materialise(OneDisk(view, place), self._files, images, lambda _disk: path)

    def make_children(
        self, holder: str, choose_path: Callable[[DiskGeometry], Path]
    ) -> Generator[Recovered | None]:
        """Write the point that a holder has pinned as children of the base. At last the files are yielded."""
        with self._storage_errors():
            record = self.find(self._pinned(holder).sequence)
            damage = self._storage.damage.error(record.disks)
            if damage is not None:
                raise damage
            base = self.layout.images(self._history.position.initial_attempt)
            images = image_paths(base, len(record.disks), self._storage.image_format)
            with self._views.open(record) as view:
                yield from make_children(
                    view, self._files, self._storage.image_format, images, choose_path
                )

    def remove(self, exports: Path | None) -> Generator[None]:
        """End the replica, a step at a time; the disks of its newest point stay in a folder of `exports`.

        Nobody may receive, apply or release meanwhile. Raises `ReplicaError` and leaves the replica as it was: while it
        is pinned, and where its disks cannot be kept.
        """
        with self._storage_errors():
            self._require_unpinned()
            kept_in = None
            newest = self._history.newest
            if exports is not None and newest is not None:
                kept_in = free_export(self._files, exports, self._accepted.protection_id)
                yield from self._export(newest, kept_in)
            self._views.end_all()
            mark_removed(self._storage.files, self.layout, kept_in)
            self._chronicle.end(_removed(self._accepted))
            # A file that stays open keeps its space, and on Windows its name.
            self.deltas.give_up()
            self.passes.give_up()
            finish_removal(self._storage.files, self.layout)

    def open_view(self, sequence: int) -> PointView:
        """Return a point to read from; the caller closes it. It ends when the base moves: see `PointView`.

        Nothing may be applied or released while it opens.
        """
        with self._storage_errors():
            return self._views.open(self.find(sequence))

    def range_digests(self, sequence: int, ranges: Sequence[Range]) -> Generator[bytes]:
        """Digest ranges of a point, a window at a time; the last thing yielded is all digests."""
        with self._storage_errors():
            yield from range_digests(self._views.kept(self.find(sequence)), ranges)

    def digest_slice(self, sequence: int, digests: PointDigests) -> Generator[None]:
        """Bring the digests of a whole point forward by a slice."""
        with self._storage_errors():
            yield from digests.take(self._views.kept(self.find(sequence)))

    def hold(self, sequence: int) -> AbstractContextManager[None]:
        """Keep a point from being released for as long as somebody reads it."""
        return self._views.hold(self.find(sequence).sequence)

    def drop_unused_view(self) -> None:
        """Close the files of a view that nobody asks for any more."""
        self._views.drop_unused()

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

    def _export(self, newest: PointRecord, folder: Path) -> Generator[None]:
        position = self._history.position
        is_base = position.point_id == newest.point_id and not self._history.in_doubt
        images = self.layout.images(position.initial_attempt) if is_base else None
        with self._views.open(newest) as view:
            yield from export(view, self._files, self._storage.image_format, folder, images)

    def _pinned(self, holder: str) -> Pin:
        for pin in self._pins.all:
            if pin.holder == holder:
                return pin
        raise ReplicaError(
            "not-pinned",
            f"{holder} has pinned no point of {self._accepted.machine_name}.",
            "Pin the point before anything is built on it.",
        )

    def _require_unpinned(self) -> None:
        if self._pins.hold_base:
            raise self._pins.trouble or ReplicaError(
                "replica-pinned",
                f"The replica of {self._accepted.machine_name} is in use by"
                f" {', '.join(pin.holder for pin in self._pins.all)}.",
                "Clean up its test failovers first.",
            )

    @property
    def _history(self) -> History:
        return self._chronicle.history

    def _storage_errors(self) -> AbstractContextManager[None]:
        return self._chronicle.errors()


def _removed(accepted: AcceptedReplica) -> ReplicaError:
    return ReplicaError(
        "unknown-protection",
        f"The replica of {accepted.machine_name} was removed from this host.",
        "Enable the protection with this host as its target.",
    )
