"""How many bytes a second a protection may send now: windows of the week, and a bucket that fills at that rate."""

from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo

from agent.source.assignment import ThrottleWindow
from replikera.ports.clock import Clock

MAX_NAP_SECONDS = 1.0
"""How long a change of the windows, or of the hour, may go unnoticed."""

_DAYS = 7
_WHOLE = 1.0
"""Less than a byte of debt is rounding, and nothing to wait for."""


def limit_at(windows: Sequence[ThrottleWindow], now: datetime) -> int | None:
    """Return the bytes a second of the first window that holds at a local time, None where none does."""
    for window in windows:
        if _holds(window, now.weekday(), now.hour * 60 + now.minute):
            return window.bytes_per_second
    return None


def _holds(window: ThrottleWindow, day: int, minute: int) -> bool:
    is_today = bool(window.weekdays >> day & 1)
    if window.end_minute > window.start_minute:
        return is_today and window.start_minute <= minute < window.end_minute
    was_yesterday = bool(window.weekdays >> (day - 1) % _DAYS & 1)
    return (is_today and minute >= window.start_minute) or (
        was_yesterday and minute < window.end_minute
    )


class Throttle:
    """A bucket of at most one second's bytes. Who takes more than it holds waits before the next."""

    def __init__(
        self,
        windows: Callable[[], Sequence[ThrottleWindow]],
        clock: Clock,
        zone: tzinfo | None = None,
    ) -> None:
        """`windows` are asked anew every time. Without a `zone` this machine's local time counts."""
        self._windows = windows
        self._clock = clock
        self._zone = zone
        self._tokens = 0.0
        self._filled = clock.monotonic()

    async def take(self, count: int) -> None:
        """Wait until something may be sent, then count `count` bytes as sent."""
        while (limit := self._limit()) is not None:
            self._fill(limit)
            if limit and self._tokens > -_WHOLE:
                break
            missing = -self._tokens / limit if limit else MAX_NAP_SECONDS
            await self._clock.sleep(min(MAX_NAP_SECONDS, missing))
        self._tokens -= count

    def give(self, count: int) -> None:
        """Take bytes back that were not sent after all."""
        self._tokens += count

    def _limit(self) -> int | None:
        now = self._clock.now()
        limit = limit_at(self._windows(), now.astimezone(self._zone))
        if limit is None:
            self._tokens = 0.0
            self._filled = self._clock.monotonic()
        return limit

    def _fill(self, limit: int) -> None:
        now = self._clock.monotonic()
        gained = (now - self._filled) * limit
        self._filled = now
        self._tokens = min(float(limit), self._tokens + gained)
