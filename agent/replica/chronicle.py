"""The points of one replica as they are now, and the one place where that changes.

Reception and apply come from different threads and change different ends of the history: it is an immutable value that
is replaced under a lock, and what is durable is moved first.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from agent.replica.errors import ReplicaError, storage_errors, storage_failed
from agent.replica.history import History
from agent.replica.points import PointRecord, write_point
from agent.replica.position import Position, write_position
from agent.replica.storage import Storage


def _unchanged(history: History) -> History:
    return history


class Chronicle:
    """History and position of a replica. `damage` is why no point may follow the newest one, None where one may."""

    def __init__(self, storage: Storage, history: History) -> None:
        self._storage = storage
        self._history = history
        self._damage: ReplicaError | None = None
        self._end: ReplicaError | None = None
        self._changing = threading.Lock()

    @property
    def history(self) -> History:
        """Return the points as they are now."""
        return self._history

    @property
    def damage(self) -> ReplicaError | None:
        """Return why no point may follow, None where one may."""
        return self._damage

    @property
    def has_ended(self) -> bool:
        """Tell whether everything is refused because there is no replica any more."""
        return self._end is not None

    @property
    def failure(self) -> ReplicaError | None:
        """Return why everything is refused, None where it is not."""
        if self._end is not None:
            return self._end
        failed = self._storage.files.fence.failure
        return storage_failed(failed) if failed is not None else None

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Refuse to begin after a failed sync; translate what the storage raises."""
        failure = self.failure
        if failure is not None:
            raise failure
        with storage_errors(self._storage.layout.folder):
            yield

    def end(self, reason: ReplicaError) -> None:
        """Refuse everything from now on."""
        self._end = reason

    def change(self, change: Callable[[History], History]) -> None:
        """Replace the history."""
        with self._changing:
            self._history = change(self._history)

    def move(
        self,
        move: Callable[[Position], Position],
        change: Callable[[History], History] = _unchanged,
    ) -> None:
        """Move the position durably, and only then change the history to what it says."""
        files, layout = self._storage.files, self._storage.layout
        with self._changing:
            position = write_position(files, layout, move(self._history.position))
            self._history = change(replace(self._history, position=position))

    def begin(self, record: PointRecord, attempt: int) -> None:
        """Make the base of a pass the first point, durably."""
        write_point(self._storage.files, self._storage.layout, record)
        self.move(
            lambda position: replace(
                position, sequence=1, point_id=record.point_id, initial_attempt=attempt
            ),
            lambda history: replace(history, below=(record,)),
        )

    def append(self, record: PointRecord) -> None:
        """Add a point whose redo is sealed. Raises `ReplicaError`: damage may have been found while it arrived."""
        with self._changing:
            if self._damage is not None:
                raise self._damage
            newest = self._history.newest
            if newest is None or newest.point_id != record.previous:
                raise AssertionError(f"point {record.sequence} does not go on from the newest one")
            self._history = replace(self._history, above=(*self._history.above, record))

    def require_sound(self) -> None:
        """Raise what `damage` says, once: whoever was told may go on from the newest point that is left.

        It stays where the base itself is in doubt.
        """
        with self._changing:
            damage = self._damage
            if damage is not None and not self._history.must_roll_back:
                self._damage = None
        if damage is not None:
            raise damage

    def lose(self, damage: ReplicaError, change: Callable[[History], History] = _unchanged) -> None:
        """Give up points at the newest end, and say why no other may follow."""
        with self._changing:  # together: no segment may be appended between the two
            self._damage = damage
            self._history = change(self._history)
