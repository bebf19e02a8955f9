"""Time that passes only when somebody sleeps, and work that needs no thread."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


MAX_SLEEPS = 5000
"""No test waits that often: what it waits for will never happen."""


class VirtualClock:
    """Sleeping moves the time on at once. `slept` has every interval asked for."""

    def __init__(self) -> None:
        self._start = datetime(2026, 1, 1, tzinfo=UTC)
        self._seconds = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        self._seconds += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) > MAX_SLEEPS:
            raise RuntimeError("time runs away")
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)


class InlineWorker:
    """Runs the call where it stands."""

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        result = function(*args, **kwargs)
        await asyncio.sleep(0)
        return result
