"""How much of a transfer may be on its way without a receipt."""

import asyncio

WINDOW_BYTES = 64 << 20
"""Fills 1 Gbit/s at half a second of round trip and storage delay."""


class Window:
    """Counts bytes of one transfer: records and payload, sent and received."""

    def __init__(self, limit: int = WINDOW_BYTES, begun_at: int = 0) -> None:
        """`begun_at` counts what arrived before: a transfer that is resumed goes on from there."""
        self._limit = limit
        self._sent = begun_at
        self._received = begun_at
        self._moved = asyncio.Event()

    async def admit(self, count: int) -> None:
        """Wait until `count` more bytes fit, then count them as sent; alone, any number fits."""
        while self._sent > self._received and self._sent - self._received + count > self._limit:
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
