"""The link itself: what the rounds say of the agents is worth no more than it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.e2e.unkind_link import Mood, UnkindLink

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


class Echo:
    """Answers what it hears, and remembers every connection's words."""

    def __init__(self) -> None:
        self.heard: list[bytearray] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        words = bytearray()
        self.heard.append(words)
        while data := await reader.read(4096):
            words += data
            writer.write(data)
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, UnkindLink]]:
    heard = Echo()
    server = await asyncio.start_server(heard.serve, "127.0.0.1", 0)
    async with UnkindLink(server.sockets[0].getsockname()[1]).running() as link:
        yield heard, link
    server.close()


async def say(link: UnkindLink, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    try:
        writer.write(text)
        return await reader.readexactly(len(text))
    finally:
        writer.close()


@pytest.mark.parametrize("mood", [Mood.KIND, Mood.SLOW, Mood.REPEATING])
async def test_what_gets_through_is_whole(echo: tuple[Echo, UnkindLink], mood: Mood) -> None:
    heard, link = echo
    link.turn(mood)
    text = bytes(range(256)) * 64
    assert await say(link, text) == text
    assert bytes(heard.heard[0]) == text
    assert link.bytes_sent == len(text)


async def test_a_repeated_connection_reaches_the_far_side_twice(
    echo: tuple[Echo, UnkindLink],
) -> None:
    heard, link = echo
    link.turn(Mood.REPEATING)
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"word")
    assert await reader.readexactly(4) == b"word"
    while len(heard.heard) < 2 or not heard.heard[1]:
        await asyncio.sleep(0)
    assert [bytes(each) for each in heard.heard] == [b"word", b"word"]
    writer.close()


async def test_cut_connections_are_reset_and_new_ones_work(echo: tuple[Echo, UnkindLink]) -> None:
    _, link = echo
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"word")
    assert await reader.readexactly(4) == b"word"
    await link.cut()
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.close()
    assert await say(link, b"again") == b"again"


async def test_refused_connections_are_ended(echo: tuple[Echo, UnkindLink]) -> None:
    heard, link = echo
    link.turn(Mood.REFUSING)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await say(link, b"word")
    assert heard.heard == []


async def test_a_held_connection_stays_open_and_silent_until_it_may_go_on(
    echo: tuple[Echo, UnkindLink],
) -> None:
    heard, link = echo
    link.turn(Mood.HOLDING)
    answer = asyncio.ensure_future(say(link, b"word"))
    while not heard.heard:
        await asyncio.sleep(0)
    assert not heard.heard[0]
    link.turn(Mood.KIND)
    assert await answer == b"word"


async def test_a_connection_that_is_cut_as_soon_as_it_is_accepted_ends(
    echo: tuple[Echo, UnkindLink],
) -> None:
    _, link = echo
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    while not link.accepted:
        await asyncio.sleep(0)
    await link.cut()
    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
