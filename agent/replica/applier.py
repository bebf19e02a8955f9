"""Moves the base of one replica after its newest point, and away from what cannot be finished."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from agent.replica import apply
from agent.replica.batch import choose
from agent.replica.chronicle import Chronicle
from agent.replica.errors import damaged
from agent.replica.history import History
from agent.replica.journal import Redo
from agent.replica.log_reader import DamagedLogError
from agent.replica.pins import Pins
from agent.replica.points import PointRecord, write_points
from agent.replica.storage import Storage
from agent.replica.views import Views

T = TypeVar("T")


class Applier:
    """Applies batch after batch. The caller sees to it that nobody else reads or writes the base meanwhile.

    A pin keeps it away from the base. Whoever is about to make one asks it to stop first: it then ends where it rests,
    with the base durable and, where the intent is sealed, in doubt.
    """

    def __init__(self, storage: Storage, chronicle: Chronicle, pins: Pins, views: Views) -> None:
        self._storage = storage
        self._chronicle = chronicle
        self._pins = pins
        self._views = views
        self._stops = 0

    @property
    def has_work(self) -> bool:
        """Tell whether there is something to do that may be done now."""
        history = self._chronicle.history
        is_free = not self._pins.hold_base and not self._stops
        return is_free and bool(history.above or history.must_roll_back)

    def ask_to_stop(self) -> None:
        """End the apply that runs soon, and begin none until `allow` was called as often."""
        self._stops += 1

    def allow(self) -> None:
        """Take back one `ask_to_stop`."""
        self._stops -= 1

    def apply_next(self, now: datetime) -> Iterator[bool]:
        """Bring the base forward by one batch, a step at a time; nothing where it may not or need not move.

        Yields True where others may read the base before it goes on.

        Raises `ReplicaError`, `SegmentFormatError`, `OSError`.
        """
        history = self._chronicle.history
        if not self.has_work:
            return
        if history.must_roll_back:
            yield from self.roll_back()
            return
        batch = history.above[: history.in_doubt or choose(history.above)]
        try:
            with apply.open_batch(self._storage, history.position, batch) as redos:
                done = yield from self._apply(history, redos, now)
        except DamagedLogError as error:
            yield from self._give_up(batch[error.log], error)
            raise AssertionError("damage was passed over") from error
        if done:
            self._finish(batch[:done])

    def roll_back(self) -> Iterator[bool]:
        """Take back an apply that cannot be finished: the base is the point it was before."""
        history = self._chronicle.history
        self._views.end_all()
        disks, last = history.below[-1].disks, history.highest_in_doubt
        yield from apply.roll_back(self._storage, history.position, last, disks)
        self._chronicle.change(lambda history: replace(history, in_doubt=0, must_roll_back=False))
        self._views.end_all()

    def _apply(
        self, history: History, redos: Sequence[Redo], now: datetime
    ) -> Generator[bool, None, int]:
        """Return how many segments are in the base, durably; 0 where it was stopped."""
        count = history.in_doubt
        if not count:
            position = history.position
            steps = apply.choose(self._storage, position.initial_attempt, redos)
            chosen = yield from self._until_stopped(steps)
            if chosen is None:
                return 0
            count = chosen[0]
            sealing = apply.prepare(self._storage, position, redos[:count], now)
            if (yield from self._until_stopped(sealing)) is None:
                return 0
            self._chronicle.change(lambda history: replace(history, in_doubt=count))
        is_done = yield from apply.write_base(
            self._storage,
            history.position,
            redos[:count],
            self._should_stop,
            self._views.end_all,
        )
        return count if is_done else 0

    def _until_stopped(
        self, steps: Generator[None, None, T]
    ) -> Generator[bool, None, tuple[T] | None]:
        """Return what a generator that only reads the base returned, None where it was stopped."""
        with closing(steps):
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    return (end.value,)
                yield True
                if self._should_stop():
                    return None

    def _should_stop(self) -> bool:
        return self._stops > 0 or self._pins.hold_base

    def _finish(self, batch: Sequence[PointRecord]) -> None:
        storage, last = self._storage, batch[-1]
        write_points(storage.files, storage.layout, batch)
        self._chronicle.move(
            lambda position: replace(position, sequence=last.sequence, point_id=last.point_id),
            lambda history: _advanced(history, len(batch)),
        )
        self._views.end_all()
        for record in batch:
            storage.files.remove(storage.layout.redo_file(record.sequence))

    def _give_up(self, record: PointRecord, error: DamagedLogError) -> Iterator[bool]:
        """Take damaged redo out of the history: neither this point nor one after it can be reached."""
        if self._chronicle.history.floor:
            raise error  # its undo is damaged, too
        damage = damaged(self._storage.layout.redo_file(record.sequence), error)
        self._chronicle.lose(damage, lambda history: _without(history, record.sequence))
        if self._chronicle.history.must_roll_back:
            yield from self.roll_back()
        raise damage


def _advanced(history: History, count: int) -> History:
    applied = tuple(record for record in history.above[:count] if record.sequence >= history.floor)
    return replace(
        history,
        below=(*history.below, *applied),
        above=history.above[count:],
        in_doubt=0,
        floor=0,
    )


def _without(history: History, sequence: int) -> History:
    above = tuple(record for record in history.above if record.sequence < sequence)
    return replace(history, above=above, must_roll_back=history.in_doubt > 0)
