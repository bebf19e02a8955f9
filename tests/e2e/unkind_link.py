"""A link on loopback between two agents that cuts, slows, holds, refuses and repeats what goes over it."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from typing import Any, Self

_PIECE = 32 * 1024
_LOOK_S = 0.02
"""How often a held connection looks whether it may go on."""


class Mood(Enum):
    """How the link treats connections."""

    KIND = auto()
    SLOW = auto()
    HOLDING = auto()
    """Nothing gets through, and nobody is told."""

    REFUSING = auto()
    """New connections are closed at once."""

    REPEATING = auto()
    """What the dialling side says goes to the far side twice, over two connections; only one of them is heard."""


class UnkindLink:
    """Forwards connections to `far_port`; starts kind. Counts what went over it towards the far side."""

    def __init__(self, far_port: int, *, bytes_per_second: int = 2 << 20) -> None:
        self.far_port = far_port
        self._rate = bytes_per_second
        self._mood = Mood.KIND
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0
        self.accepted = 0
        self.repeated = 0
        self.bytes_sent = 0

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[Self]:
        """Listen on a port, any free one without, for the time of the block."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", port, limit=_PIECE)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await self.cut()

    def turn(self, mood: Mood) -> None:
        """Treat connections so from now on, those that are open too."""
        self._mood = mood

    async def cut(self) -> None:
        """Reset every connection that is open."""
        await _end(self._connections)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.ensure_future(self._connect(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        # Not in the task itself: one that is cancelled before its first step has no end of its own.
        task.add_done_callback(lambda _: _reset(writer))

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened: list[asyncio.StreamWriter] = []
        try:
            if self._mood is not Mood.REFUSING:
                await self._forward(reader, writer, opened)
        except OSError:
            pass  # one side is gone: so is the other, below
        finally:
            for each in opened:
                _reset(each)

    async def _forward(
        self,
        near_in: asyncio.StreamReader,
        near_out: asyncio.StreamWriter,
        opened: list[asyncio.StreamWriter],
    ) -> None:
        far_in, far_out = await self._dial(opened)
        is_repeated = self._mood is Mood.REPEATING
        copies = [await self._dial(opened)] if is_repeated else []
        self.repeated += is_repeated
        outwards = self._outwards(near_in, far_out, [out for _, out in copies])
        directions = [outwards, self._pump(far_in, near_out)]
        await _until_one_ends(directions, beside=[_swallow(unheard) for unheard, _ in copies])

    async def _outwards(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        copies: Iterable[asyncio.StreamWriter],
    ) -> None:
        async for data in self._pieces(source):
            self.bytes_sent += len(data)
            for copy in copies:
                if (
                    not copy.transport.is_closing()
                ):  # the far side hangs up on what it does not understand
                    copy.write(data)
            sink.write(data)
            await sink.drain()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        async for data in self._pieces(source):
            sink.write(data)
            await sink.drain()

    async def _pieces(self, source: asyncio.StreamReader) -> AsyncIterator[bytes]:
        while data := await source.read(_PIECE):
            while self._mood is Mood.HOLDING:
                await asyncio.sleep(_LOOK_S)
            if self._mood is Mood.SLOW:
                await asyncio.sleep(len(data) / self._rate)
            yield data

    async def _dial(
        self, opened: list[asyncio.StreamWriter]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.far_port, limit=_PIECE)
        opened.append(writer)
        return reader, writer


def _reset(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    with suppress(OSError):  # the transport has closed it already
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _swallow(reader: asyncio.StreamReader) -> None:
    while await reader.read(_PIECE):
        pass


async def _until_one_ends(
    directions: Iterable[Coroutine[Any, Any, None]], *, beside: Iterable[Coroutine[Any, Any, None]]
) -> None:
    """Run all until one of `directions` has ended; raise what ended it."""
    awaited = {asyncio.ensure_future(each) for each in directions}
    tasks = awaited | {asyncio.ensure_future(each) for each in beside}
    try:
        done, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _end(tasks)


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    ending = tuple(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
