import asyncio
from pathlib import Path

import pytest

from agent.control import exchange as module
from agent.control.conversation import Conversation
from agent.control.exchange import Exchange
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import session_pb2
from tests.unit.agent.control.sessions import Host, ScriptedStream
from tests.unit.agent.fakes import settle


@pytest.fixture
async def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    await host.open()
    return host


def exchange_over(host: Host, stream: ScriptedStream) -> Exchange:
    conversation = Conversation("h", session_pb2.Hello(run_id="r"), host.anchor, host.backlog)
    return Exchange(stream, conversation, host.duties, host.clock, asyncio.Event())


async def test_greeting_changes_nothing_until_it_is_acted_upon(host: Host) -> None:
    stream = ScriptedStream()
    exchange = exchange_over(host, stream)
    await stream.welcome(version=4)
    first = await exchange.greet()
    assert stream.kinds() == ["hello"]
    assert host.anchor.number == 0
    await exchange.begin(first)
    assert host.anchor.number == 4
    assert not exchange.is_reconciling


async def test_vault_that_does_not_welcome_in_time_is_left(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WELCOME_SECONDS", 0.01)
    with pytest.raises(StreamClosedError, match="did not welcome this host in time"):
        await exchange_over(host, ScriptedStream()).greet()


async def test_end_of_the_stream_is_raised_as_it_is(host: Host) -> None:
    stream = ScriptedStream()
    exchange = exchange_over(host, stream)
    await stream.welcome()
    await exchange.begin(await exchange.greet())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(ended(exchange))
        await settle()
        await stream.say(None)
        assert str(await running) == "the vault ended the session"
    await exchange.close()
    assert stream.is_closed


async def ended(exchange: Exchange) -> Exception:
    try:
        await exchange.run()
    except StreamClosedError as error:
        return error
