"""The bytes that all replications of this host together hold between disk and network, on one of its sides."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Share:
    """What one transfer has taken and not given back."""

    def __init__(self, budget: "ByteBudget") -> None:
        self._budget = budget
        self.held = 0
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, count: int) -> None:
        """Wait until it is this share's turn and `count` bytes are free for it, and take them."""
        await self._budget.take(self, count)

    def give(self, count: int) -> None:
        """Give bytes back."""
        self._budget.give(self, count)


class ByteBudget:
    """A number of bytes that shares take in turn.

    No share takes twice while another waits, and none holds more than its part of the whole beyond one request: one
    that is stuck with what it has read cannot starve the others.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._shares = 0
        self._line: deque[Share] = deque()

    @property
    def free(self) -> int:
        """Return the bytes nobody holds."""
        return self._free

    @property
    def part(self) -> int:
        """Return what each of the present shares may hold."""
        return self._total // max(1, self._shares)

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Give back at the end what was taken, however it ends."""
        share = Share(self)
        self._shares += 1
        try:
            yield share
        finally:
            self._shares -= 1
            share.give(share.held)

    async def take(self, share: Share, count: int) -> None:
        """Wait for `count` bytes for this share."""
        if count > self._total:
            raise ValueError(f"{count} bytes will never be free of {self._total}")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        share.waiting.append((count, turn))
        if share not in self._line:
            self._line.append(share)
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            self._withdraw(share, count, turn)
            raise

    def give(self, share: Share, count: int) -> None:
        """Take `count` bytes of this share back."""
        share.held -= count
        self._free += count
        self._serve()

    def _serve(self) -> None:
        """Serve who comes first in the line of those that may hold more; who is served goes to its end."""
        self._forget_cancelled()
        while (share := self._next()) is not None:
            count, turn = share.waiting[0]
            if count > self._free:
                return
            share.waiting.popleft()
            self._line.remove(share)
            if share.waiting:
                self._line.append(share)
            share.held += count
            self._free -= count
            turn.set_result(None)

    def _next(self) -> Share | None:
        for share in self._line:
            if not share.held or share.held + share.waiting[0][0] <= self.part:
                return share
        return None

    def _withdraw(self, share: Share, count: int, turn: "asyncio.Future[None]") -> None:
        if not turn.cancelled():
            # Served and cancelled in the same moment: nobody knows of these bytes but this.
            self.give(share, count)
        self._serve()

    def _forget_cancelled(self) -> None:
        for share in tuple(self._line):
            share.waiting = deque(entry for entry in share.waiting if not entry[1].cancelled())
            if not share.waiting:
                self._line.remove(share)
