"""Randomness, as the code sees it."""

from typing import Protocol


class Randomness(Protocol):
    """Unpredictable values; a test's own are predictable."""

    def bytes(self, count: int) -> bytes:
        """Return `count` bytes fit for keys."""

    def uuid(self) -> str:
        """Return a new random UUID, lower case with hyphens."""

    def uniform(self, low: float, high: float) -> float:
        """Return a number between `low` and `high`, for jitter."""
