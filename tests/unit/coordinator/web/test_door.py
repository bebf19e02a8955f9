import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from coordinator.web import door
from coordinator.web.door import Door
from replikera.identity import Role, dns_name
from replikera.tls import client_tls, server_tls
from tests.support.authority import VAULT_ID, make_authority

AUTHORITY = make_authority()
PEER = dns_name(Role.VAULT, VAULT_ID, VAULT_ID)
SECONDS = 10.0


class Echo(asyncio.Protocol):
    """Answers what it is told, and hangs up."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.close()


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Door, int]]:
    opened = Door(Echo, server_tls(AUTHORITY.holder(Role.VAULT, VAULT_ID)))
    server = await opened.listen("127.0.0.1", 0, 100)
    try:
        yield opened, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        opened.close()


async def echoed(port: int, context: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=PEER
    )
    try:
        writer.write(b"hello")
        async with asyncio.timeout(SECONDS):
            return await reader.read()
    finally:
        writer.close()


async def until_hung_up(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(SECONDS):
        try:
            while await reader.read(1024):
                pass
        except ConnectionError:
            pass


async def test_who_proves_itself_is_served() -> None:
    async with listening() as (_, port):
        context = client_tls(AUTHORITY.issue(Role.OPERATOR, "ann"))
        assert await echoed(port, context) == b"hello"


async def test_who_has_a_certificate_of_another_authority_is_turned_away() -> None:
    stranger = make_authority().issue(Role.OPERATOR, "ann")
    context = client_tls(stranger)
    context.load_verify_locations(cadata=AUTHORITY.root_pem.decode())
    async with listening() as (_, port):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            assert await echoed(port, context) == b""
            raise ConnectionError


async def test_who_speaks_no_tls_is_turned_away() -> None:
    async with listening() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await until_hung_up(reader)
        writer.close()


async def test_who_says_nothing_is_turned_away_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HANDSHAKE_SECONDS", 0.05)
    async with listening() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until_hung_up(reader)
        writer.close()


async def test_the_stranger_that_waited_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MAX_STRANGERS", 2)
    async with listening() as (_, port):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        context = client_tls(AUTHORITY.issue(Role.OPERATOR, "ann"))
        assert await echoed(port, context) == b"hello"
        await until_hung_up(silent[0][0])
        for _, writer in silent:
            writer.close()


async def test_a_failed_handshake_holds_nothing() -> None:
    gc.collect()
    gc.disable()
    try:
        async with listening() as (_, port):
            for _ in range(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"no handshake at all")
                await until_hung_up(reader)
                writer.close()
                await writer.wait_closed()
            async with asyncio.timeout(SECONDS):
                while tls_connections() > 0:
                    await asyncio.sleep(0)
    finally:
        gc.enable()


async def test_a_closed_door_turns_strangers_away() -> None:
    async with listening() as (opened, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(SECONDS):
            while tls_connections() == 0:
                await asyncio.sleep(0)
        opened.close()
        await until_hung_up(reader)
        writer.close()


def tls_connections() -> int:
    return sum(type(found).__name__ == "SSLProtocol" for found in gc.get_objects())
