"""Orders about one thing, one after the other in the order in which they came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """One turn at a time for each subject; nothing is kept of a subject that nobody waits for."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def take(self, subject: str) -> AsyncIterator[None]:
        """Wait until all who asked before have left; "" waits for nobody."""
        if not subject:
            yield
            return
        lock = self._locks.setdefault(subject, asyncio.Lock())
        self._users[subject] = self._users.get(subject, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._users[subject] -= 1
            if not self._users[subject]:
                del self._users[subject], self._locks[subject]
