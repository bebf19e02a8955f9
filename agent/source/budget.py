"""The bytes that all replications of this host together hold between disk and network."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

READ_AHEAD_BYTES = 64 << 20
"""For the whole agent: with 20 streams it still fits its 256 MiB."""


class Share:
    """What one segment has taken and not given back."""

    def __init__(self, budget: "ReadAheadBudget") -> None:
        self._budget = budget
        self.held = 0

    async def take(self, count: int) -> None:
        """Wait until `count` bytes are free, in the order of asking, and take them."""
        await self._budget.take(count)
        self.held += count

    def give(self, count: int) -> None:
        """Give bytes back."""
        self.held -= count
        self._budget.give(count)


class ReadAheadBudget:
    """A number of bytes, shared in the order of asking: a large machine cannot starve a small one."""

    def __init__(self, total: int = READ_AHEAD_BYTES) -> None:
        self._total = total
        self._free = total
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @property
    def free(self) -> int:
        """Return the bytes nobody holds."""
        return self._free

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Give back at the end what was taken, however it ends."""
        share = Share(self)
        try:
            yield share
        finally:
            share.give(share.held)

    async def take(self, count: int) -> None:
        """Wait for `count` bytes."""
        if count > self._total:
            raise ValueError(f"{count} bytes will never be free of {self._total}")
        async with self._turn:
            while self._free < count:
                self._freed.clear()
                await self._freed.wait()
            self._free -= count

    def give(self, count: int) -> None:
        """Give `count` bytes back."""
        self._free += count
        self._freed.set()
