"""Which points came, which went, and how far the base has come, since the last time somebody asked."""

from dataclasses import dataclass

from agent.replica.history import History
from agent.replica.points import SealedPoint


@dataclass(frozen=True, slots=True)
class PointsChanged:
    """Points that are new, sequences of points that cannot be chosen any more, and the point that the base is."""

    points: tuple[SealedPoint, ...]
    released: tuple[int, ...]
    processed: int


class Announcements:
    """Remembers what was told: as points are an unbroken sequence, that is where it begins and where it ends."""

    def __init__(self, history: History) -> None:
        self._first, self._end = _span(history)
        self._processed = history.position.sequence

    def take(self, history: History) -> PointsChanged | None:
        """Return what is new since the last call, None where nothing is; costs what has changed."""
        first, end = _span(history)
        told_first, told_end, told_processed = self._first, self._end, self._processed
        processed = history.position.sequence
        self._first, self._end, self._processed = first, end, processed
        lost = range(max(told_first, end), told_end)
        released = (*range(told_first, min(first, told_end)), *lost)
        found = [history.find(sequence) for sequence in range(max(first, told_end), end)]
        points = tuple(record.point for record in found if record is not None)
        if not points and not released and processed == told_processed:
            return None
        return PointsChanged(points, released, processed)


def _span(history: History) -> tuple[int, int]:
    return history.first, history.head.sequence + 1
