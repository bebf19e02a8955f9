"""Replication conversations in memory, with the faults that networks have."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from replikera.ports.streams import MessageStream, StreamClosedError

DEPTH = 8
"""Messages in flight each way before a sender waits."""


class Direction(Enum):
    TO_TARGET = auto()
    TO_SOURCE = auto()


Tamper = Callable[[Direction, bytes], Sequence[bytes]]


def deliver_as_sent(_direction: Direction, message: bytes) -> Sequence[bytes]:
    return [message]


@dataclass
class Faults:
    """`cut_after`: that many messages, both ways together, are delivered, then the connection breaks.

    `tamper` returns what is delivered instead of a message: nothing swallows it, two of it duplicate it.
    """

    cut_after: int | None = None
    tamper: Tamper = deliver_as_sent


class _Pipe:
    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._changed = asyncio.Condition()
        self._is_ended = False

    async def put(self, message: bytes) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_ended or len(self._messages) < DEPTH)
            if self._is_ended:
                raise StreamClosedError("the connection is gone")
            self._messages.append(message)
            self._changed.notify_all()

    async def get(self) -> bytes:
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_ended or len(self._messages) > 0)
            if not self._messages:
                raise StreamClosedError("the connection is gone")
            message = self._messages.popleft()
            self._changed.notify_all()
            return message

    async def end(self, *, lose: bool) -> None:
        async with self._changed:
            self._is_ended = True
            if lose:
                self._messages.clear()
            self._changed.notify_all()


@dataclass
class Link:
    """Both directions of one connection, and what went over it."""

    faults: Faults
    transcript: list[tuple[Direction, bytes]] = field(default_factory=list)
    pipes: dict[Direction, _Pipe] = field(
        default_factory=lambda: {direction: _Pipe() for direction in Direction}
    )

    async def send(self, direction: Direction, message: bytes) -> None:
        cut_after = self.faults.cut_after
        if cut_after is not None and len(self.transcript) >= cut_after:
            await self.cut()
            raise StreamClosedError("the connection broke")
        self.transcript.append((direction, message))
        for delivered in self.faults.tamper(direction, message):
            await self.pipes[direction].put(delivered)

    async def cut(self) -> None:
        for pipe in self.pipes.values():
            await pipe.end(lose=True)

    async def close(self) -> None:
        """What was sent is still delivered."""
        for pipe in self.pipes.values():
            await pipe.end(lose=False)


class MemoryStream:
    """One end of a link."""

    def __init__(self, peer: str, link: Link, outwards: Direction) -> None:
        self._peer = peer
        self._link = link
        self._outwards = outwards
        self._inwards = next(other for other in Direction if other is not outwards)

    @property
    def peer(self) -> str:
        return self._peer

    async def send(self, message: bytes) -> None:
        await self._link.send(self._outwards, message)

    async def receive(self) -> bytes:
        return await self._link.pipes[self._inwards].get()

    async def close(self) -> None:
        await self._link.close()


def stream_pair(
    source_host_id: str = "source-host",
    target_host_id: str = "target-host",
    faults: Faults | None = None,
) -> tuple[MemoryStream, MemoryStream, Link]:
    """Return the source's end, the target's end, and the link between them."""
    link = Link(faults or Faults())
    return (
        MemoryStream(target_host_id, link, Direction.TO_TARGET),
        MemoryStream(source_host_id, link, Direction.TO_SOURCE),
        link,
    )


class MemoryDialler:
    """Connects to `serve` directly. The n-th connection has the n-th of `faults`; later ones have none."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        serve: Callable[[MessageStream], Awaitable[None]],
        *,
        source_host_id: str = "source-host",
        faults: Sequence[Faults] = (),
    ) -> None:
        self._group = group
        self._serve = serve
        self._source_host_id = source_host_id
        self._faults = deque(faults)
        self.links: list[Link] = []
        self.unreachable = 0

    async def dial(self, host_id: str, address: str) -> MemoryStream:
        if self.unreachable:
            self.unreachable -= 1
            raise StreamClosedError(f"host {host_id} cannot be reached at {address}")
        faults = self._faults.popleft() if self._faults else Faults()
        near, far, link = stream_pair(self._source_host_id, host_id, faults)
        self.links.append(link)
        self._group.create_task(self._hold(far, link))
        return near

    async def _hold(self, stream: MemoryStream, link: Link) -> None:
        try:
            await self._serve(stream)
        finally:
            await link.close()
