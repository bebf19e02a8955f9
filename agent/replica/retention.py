"""Releases the oldest points when their time is over."""

from collections.abc import Container
from datetime import datetime, timedelta

from agent.replica.history import History
from agent.replica.points import PointRecord
from agent.replica.storage import Storage

MAX_RELEASES = 256
"""Points released in one step: some milliseconds of unlinks."""


def releasable(
    history: History, now: datetime, retention: timedelta, kept: Container[int] = ()
) -> tuple[PointRecord, ...]:
    """Return the oldest points that are past their retention and not among the `kept` sequences.

    Never the newest, and never the base's own: a point is released when the base has moved beyond it. A later point
    stays while an earlier one does, whatever the clock said when they were sealed, and so does what reading it takes.
    """
    expired = []
    for record in history.below[:-1][:MAX_RELEASES]:
        if now - record.point.sealed_at <= retention or record.sequence in kept:
            break
        expired.append(record)
    return tuple(expired)


def remove_points(storage: Storage, records: tuple[PointRecord, ...]) -> None:
    """Remove what only these points needed. After a crash any prefix of it may be back, and goes again."""
    files, layout = storage.files, storage.layout
    for record in records:
        for path in (layout.undo_file(record.sequence + 1), layout.point_file(record.sequence)):
            if files.status(path) is not None:
                files.remove(path)
