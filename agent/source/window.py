"""How much of a transfer may be on its way without a receipt."""

import asyncio
from collections.abc import Callable

WINDOW_BYTES = 64 << 20
"""Fills 1 Gbit/s at half a second of round trip and storage delay."""

MIN_WINDOW_BYTES = 4 << 20

MAX_UNTOLD_BYTES = 1 << 20
"""What a target may have received without a receipt: while it is no more, waiting for one would be for ever."""


class Window:
    """Counts bytes of one transfer: records and payload, sent and received.

    `part` tells what it may have on its way beside the other transfers of now: a target that is slower than the
    network holds all of that in memory.
    """

    def __init__(self, part: Callable[[], int], begun_at: int = 0) -> None:
        """`begun_at` counts what arrived before: a transfer that is resumed goes on from there."""
        self._part = part
        self._sent = begun_at
        self._received = begun_at
        self._moved = asyncio.Event()

    async def admit(self, count: int) -> None:
        """Wait until `count` more bytes fit, then count them as sent; where a receipt may not come, any number fits."""
        while self._sent - self._received > MAX_UNTOLD_BYTES and not self._fits(count):
            self._moved.clear()
            await self._moved.wait()
        self._sent += count

    def receive(self, total: int) -> bool:
        """Note what the target has received in all; False where it cannot be true."""
        if not self._received <= total <= self._sent:
            return False
        self._received = total
        self._moved.set()
        return True

    def _fits(self, count: int) -> bool:
        limit = min(max(self._part(), MIN_WINDOW_BYTES), WINDOW_BYTES)
        return self._sent - self._received + count <= limit
