"""Time, as the code sees it."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for records that people read, monotonic time for intervals."""

    def now(self) -> datetime:
        """Return the present instant, aware and in UTC."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; negative values count as 0."""
