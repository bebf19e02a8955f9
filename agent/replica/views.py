"""The views of one replica: which of them are still right, and the one that is kept open."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from agent.replica.history import History
from agent.replica.point_view import PointView, open_view
from agent.replica.points import PointRecord
from agent.replica.storage import Storage
from replikera.blocks.extents import Extents


class Views:
    """Opens views over the base as it is now, and ends them when it moves.

    One is kept for the next reader of the same point: the tables of a thousand segments take 0.2 s to read. Opening,
    reading and `end_all` are for one thread at a time, as whoever moves the base sees to anyway.
    """

    def __init__(self, storage: Storage, history: Callable[[], History]) -> None:
        self._storage = storage
        self._history = history
        self._version = 0
        self._kept: PointView | None = None
        self._is_used = False
        self._held: Counter[int] = Counter()

    @property
    def held(self) -> frozenset[int]:
        """Return the points that somebody is in the middle of reading."""
        return frozenset(self._held)

    @contextmanager
    def hold(self, sequence: int) -> Iterator[None]:
        """Keep a point from being released for as long as somebody reads it; nothing durable."""
        self._held[sequence] += 1
        try:
            yield
        finally:
            self._held[sequence] -= 1
            if not self._held[sequence]:
                del self._held[sequence]

    def open(self, record: PointRecord) -> PointView:
        """Open a point; the caller closes it."""
        version = self._version

        def is_current(seen: PointRecord) -> bool:
            return version == self._version and self._history().find(seen.sequence) is seen

        return open_view(self._storage, self._history(), record, is_current)

    def lasting(self, record: PointRecord) -> "LastingView":
        """Return a view that opens the point again whenever it has to; the caller closes it."""
        return LastingView(record, self.open)

    def kept(self, record: PointRecord) -> PointView:
        """Return the view that is kept open, of this point; it is not the caller's to close."""
        self._is_used = True
        view, self._kept = self._kept, None
        if view is not None and not self._lead_on(view, record):
            view.close()
            view = None
        self._kept = view = view or self.open(record)
        return view

    def end_all(self) -> None:
        """End all views: the base is about to change, or has changed."""
        self._version += 1
        self._drop()

    def drop_unused(self) -> None:
        """Close the kept view unless it was used since the last call, or when it has ended."""
        if self._kept is not None and not (self._is_used and self._kept.is_current):
            self._drop()
        self._is_used = False

    def _lead_on(self, view: PointView, record: PointRecord) -> bool:
        """Tell whether a view shows a point now; it is closed where that fails.

        While the base is kept as it is, a source compares one new point after the other: each costs what is new in it.
        """
        history = self._history()
        if view.record is record or not view.is_current:
            return view.is_current
        if not history.position.sequence <= view.record.sequence < record.sequence:
            return False
        try:
            view.go_on(self._storage, history, record)
        except BaseException:
            view.close()
            raise
        return True

    def _drop(self) -> None:
        if self._kept is not None:
            self._kept.close()
        self._kept = None


class LastingView:
    """Reads a point for as long as it is held, over whatever the base is at the time.

    As a `PointView` it is for one thread at a time, and the base must not move during a call; between two it may.
    """

    def __init__(self, record: PointRecord, open_point: Callable[[PointRecord], PointView]) -> None:
        self.record = record
        self.disks = record.disks
        self._open_point = open_point
        self._view: PointView | None = None

    def read_into(self, disk: int, buffer: memoryview, offset: int) -> None:
        """Fill `buffer` with what the disk holds from `offset` on. Raises `ReplicaError`."""
        self._current().read_into(disk, buffer, offset)

    def stored_extents(self, disk: int) -> Extents:
        """Return what may hold something other than zeros, without holes. Raises `ReplicaError`."""
        return self._current().stored_extents(disk)

    def close(self) -> None:
        """Close all files; idempotent."""
        if self._view is not None:
            self._view.close()
        self._view = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _current(self) -> PointView:
        if self._view is None or not self._view.is_current:
            self.close()
            self._view = self._open_point(self.record)
        return self._view
