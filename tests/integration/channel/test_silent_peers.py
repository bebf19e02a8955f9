"""Peers that stop talking: at the door, or in the middle of a conversation."""

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from replikera.channel import fetch_trust_root, limits
from replikera.identity import CredentialsHolder, Role, save_credentials
from replikera.ports.streams import MessageStream, StreamClosedError
from replikera.system.files import SystemFiles
from tests.integration.channel import peer_process
from tests.integration.channel.listeners import (
    SECONDS,
    SMALL,
    SOURCE,
    TARGET,
    ask,
    careless,
    connected,
    dial,
    drop,
    echo,
    enrolment_listener,
    replication_listener,
    serial_listener,
)
from tests.support.authority import Authority

SILENT = 300
HALF_OPEN = 100
Listener = Callable[[CredentialsHolder], AbstractAsyncContextManager[str]]


def client_hello() -> bytes:
    """Return what a TLS client says first."""
    outgoing = ssl.MemoryBIO()
    context = careless(None)
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="x")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


@asynccontextmanager
async def silent_crowd(address: str) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Connect and say nothing, half of a greeting, or a whole one and then nothing."""
    hello = client_hello()
    async with AsyncExitStack() as stack:
        readers = []
        for number in range(SILENT + HALF_OPEN):
            reader, writer = await connected(address)
            stack.callback(drop, writer)
            if number >= SILENT:
                writer.write(hello[: len(hello) // (1 + number % 2)])
            readers.append(reader)
        yield readers


async def is_closed(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(SECONDS):
            while await reader.read(65536):
                pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


async def use_mutual(address: str, authority: Authority) -> None:
    assert await ask(authority.issue(Role.HOST, SOURCE), address)


async def use_enrolment(address: str, authority: Authority) -> None:
    assert (await fetch_trust_root(address)).root_certificate == authority.root_pem


@pytest.mark.parametrize(
    ("listener", "use"), [(serial_listener, use_mutual), (enrolment_listener, use_enrolment)]
)
async def test_a_silent_crowd_hinders_nobody_and_is_shown_the_door(
    listener: Listener,
    use: Callable[[str, Authority], Awaitable[None]],
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "_HANDSHAKE_MS", 3_000)
    async with (
        listener(authority.holder(Role.HOST, TARGET)) as address,
        silent_crowd(address) as crowd,
    ):
        await use(address, authority)
        assert not any(reader.at_eof() for reader in crowd[:SILENT])
        assert all(await asyncio.gather(*map(is_closed, crowd)))
        await use(address, authority)


async def test_who_speaks_tls_and_then_nothing_is_shown_the_door(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_HANDSHAKE_MS", 1_000)
    async with enrolment_listener(authority.holder(Role.VAULT, "v")) as address:
        reader, writer = await connected(address, careless(None))
        assert await is_closed(reader)
        drop(writer)


async def test_connections_above_the_limit_are_closed_at_once(authority: Authority) -> None:
    few = replace(SMALL, connections=3)
    client = authority.issue(Role.HOST, SOURCE)
    async with (
        AsyncExitStack() as stack,
        serial_listener(authority.holder(Role.HOST, TARGET), few) as address,
    ):
        for _ in range(3):
            reader, writer = await connected(address, careless(client))
            stack.callback(drop, writer)
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            assert await reader.read(9)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connected(address, careless(client))


class OtherHost:
    """A child process: serves, and converses with us; ended here whatever happens."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self._process = process
        self.address = address

    def send(self, what: signal.Signals) -> None:
        os.kill(self._process.pid, what)


@asynccontextmanager
async def other_host(folder: Path, authority: Authority, ours: str) -> AsyncIterator[OtherHost]:
    save_credentials(SystemFiles(), folder, authority.issue(Role.HOST, TARGET))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        peer_process.__file__,
        str(folder),
        SOURCE,
        ours,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(SECONDS):
            port = int(await process.stdout.readline())
        yield OtherHost(process, f"127.0.0.1:{port}")
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize("what", [signal.SIGSTOP, signal.SIGKILL])
async def test_a_peer_that_hangs_or_dies_ends_the_conversation_at_both_ends(
    what: signal.Signals, authority: Authority, tmp_path: Path
) -> None:
    has_ended = asyncio.Event()

    async def serve(stream: MessageStream) -> None:
        try:
            await echo(stream)
        finally:
            has_ended.set()

    async with (
        replication_listener(authority.holder(Role.HOST, SOURCE), serve) as ours,
        other_host(tmp_path, authority, ours) as other,
    ):
        stream = await dial(authority.issue(Role.HOST, SOURCE), other.address)
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"
        other.send(what)
        # Real keepalive; gRPC's own would take more than a minute.
        async with asyncio.timeout(SECONDS):
            with pytest.raises(StreamClosedError):
                await stream.receive()
            await has_ended.wait()
        await stream.close()
