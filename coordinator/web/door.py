"""Who connects to the REST listener: strangers until they have proved themselves, few at a time and for seconds.

asyncio gives every TLS connection a buffer of 256 KiB before its first byte, and a handshake that failed holds it in a
reference cycle until the garbage is collected: 2,000 silent sockets cost half a GiB. Here the strangers are counted,
the one that has waited longest makes room for a new one, and a failed handshake is let go of at once.
"""

import asyncio
import ssl
import traceback
from collections.abc import Callable

from typing_extensions import override

HANDSHAKE_SECONDS = 5.0
"""How long a connection may take to prove itself."""

SHUTDOWN_SECONDS = 5.0
MAX_STRANGERS = 128
"""Connections in their handshake: 32 MiB of buffers. A handshake takes milliseconds, so who waits longest is idle."""


class _Stranger(asyncio.Protocol):
    """A connection before its handshake is done; what it says too early is kept for whoever serves it."""

    def __init__(self, knock: Callable[["_Stranger"], None]) -> None:
        self._knock = knock
        self.early: list[bytes] = []
        self.is_gone = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("not a stream")
        self.transport = transport
        transport.pause_reading()
        self._knock(self)

    @override
    def data_received(self, data: bytes) -> None:
        # The first request may come in one packet with the end of the handshake.
        self.early.append(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.is_gone = True


class Door:
    """Makes strangers prove themselves, and hands those who did to a protocol of `serve`."""

    def __init__(self, serve: Callable[[], asyncio.BaseProtocol], tls: ssl.SSLContext) -> None:
        self._serve = serve
        self._tls = tls
        self._waiting: dict[_Stranger, asyncio.Task[None]] = {}

    async def listen(self, host: str, port: int, backlog: int) -> asyncio.Server:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Stranger(self._knock), host, port, backlog=backlog)

    def close(self) -> None:
        """Turn all strangers away."""
        for task in self._waiting.values():
            task.cancel()

    def _knock(self, stranger: _Stranger) -> None:
        if len(self._waiting) >= MAX_STRANGERS:
            longest = next(iter(self._waiting))
            self._waiting.pop(longest).cancel()
        task = asyncio.get_running_loop().create_task(self._let_in(stranger))
        self._waiting[stranger] = task
        task.add_done_callback(lambda _: self._waiting.pop(stranger, None))

    async def _let_in(self, stranger: _Stranger) -> None:
        try:
            transport = await self._prove(stranger)
        except OSError as error:
            # The frames of the handshake hold its buffers, and the error holds the frames.
            traceback.clear_frames(error.__traceback__)
            stranger.transport.abort()
            return
        except asyncio.CancelledError:
            stranger.transport.abort()
            raise
        if transport is None or stranger.is_gone:
            return
        self._hand_over(stranger, transport)

    async def _prove(self, stranger: _Stranger) -> asyncio.Transport | None:
        return await asyncio.get_running_loop().start_tls(
            stranger.transport,
            stranger,
            self._tls,
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=SHUTDOWN_SECONDS,
        )

    def _hand_over(self, stranger: _Stranger, transport: asyncio.Transport) -> None:
        protocol = self._serve()
        if not isinstance(protocol, asyncio.Protocol):
            raise TypeError("not a protocol of streams")
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        for data in stranger.early:
            protocol.data_received(data)
