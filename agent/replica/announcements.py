"""Which points came and which went since the last time somebody asked."""

from dataclasses import dataclass

from agent.replica.history import History
from agent.replica.points import SealedPoint


@dataclass(frozen=True, slots=True)
class PointsChanged:
    """Points that are new, and sequences of points that cannot be chosen any more."""

    points: tuple[SealedPoint, ...]
    released: tuple[int, ...]


class Announcements:
    """Remembers what was told: as points are an unbroken sequence, that is where it begins and where it ends."""

    def __init__(self, history: History) -> None:
        self._first, self._end = _span(history)

    def take(self, history: History) -> PointsChanged | None:
        """Return what is new since the last call, None where nothing is; costs what has changed."""
        first, end = _span(history)
        told_first, told_end = self._first, self._end
        self._first, self._end = first, end
        lost = range(max(told_first, end), told_end)
        released = (*range(told_first, min(first, told_end)), *lost)
        found = [history.find(sequence) for sequence in range(max(first, told_end), end)]
        points = tuple(record.point for record in found if record is not None)
        return PointsChanged(points, released) if points or released else None


def _span(history: History) -> tuple[int, int]:
    return history.first, history.head.sequence + 1
