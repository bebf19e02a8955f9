"""Time that passes when nobody has anything else to do: to the instant for which somebody waits first."""

import asyncio
from datetime import UTC, datetime, timedelta

MAX_WAKINGS = 20_000
"""No test waits that often: what it waits for will never happen."""


class EventClock:
    """Many may sleep at once, unlike with a `VirtualClock`. Only for tests whose loop waits for nothing real."""

    def __init__(self) -> None:
        self.start = datetime(2026, 1, 1, tzinfo=UTC)
        self._seconds = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._is_looking = False
        self._wakings = 0

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        self._seconds += seconds

    async def sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._sleepers.append((self._seconds + max(0.0, seconds), future))
        if not self._is_looking:
            self._is_looking = True
            loop.call_soon(self._look, loop)
        await future

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sleepers = [entry for entry in self._sleepers if not entry[1].done()]
        if not self._sleepers:
            self._is_looking = False
            return
        # What is ready beside this very call is somebody with something to do.
        if not loop._ready:  # type: ignore[attr-defined]  # the only way to know
            self._wake_first()
        loop.call_soon(self._look, loop)

    def _wake_first(self) -> None:
        self._wakings += 1
        if self._wakings > MAX_WAKINGS:
            raise RuntimeError("time runs away")
        entry = min(self._sleepers, key=lambda sleeper: sleeper[0])
        self._seconds = max(self._seconds, entry[0])
        entry[1].set_result(None)
