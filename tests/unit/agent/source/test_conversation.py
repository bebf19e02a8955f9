import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from agent.source import conversation as module
from agent.source.batching import Batch
from agent.source.conversation import Conversation, Opened
from agent.source.errors import RefusedError, TargetProtocolError, weightiest
from replikera.blocks.segment import NO_POINT, zero_record
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire
from replikera.wire.v1 import types_pb2
from tests.support.memory_stream import MemoryStream, stream_pair

OPENED = wire.ReplicateResponse(opened=wire.ReplicaOpened(attempt_floor=3))
REFUSED = wire.ReplicateResponse(
    refused=wire.Refused(
        failure=types_pb2.Failure(code="disk-full", cause="Full.", remedy="Free some."),
        is_diverged=True,
    )
)
BATCH = Batch(zero_record(0, 0, 512), (), 512)


@asynccontextmanager
async def conversing() -> AsyncIterator[tuple[Conversation, MemoryStream]]:
    """Yield a conversation with its pump running, and the target's end; raise what explains its end."""
    near, far, _ = stream_pair()
    conversation = Conversation(near)
    try:
        async with asyncio.TaskGroup() as group:
            pump = group.create_task(conversation.pump())
            yield conversation, far
            pump.cancel()
    except ExceptionGroup as failed:
        raise weightiest(failed) from failed


async def say(far: MemoryStream, message: wire.ReplicateResponse) -> None:
    await far.send(message.SerializeToString())


async def test_opening_tells_where_the_target_stands() -> None:
    async with conversing() as (conversation, far):
        await say(far, OPENED)
        assert await conversation.open("p", 4, "g", b"grant") == Opened(0, NO_POINT, 3)
        asked = wire.ReplicateRequest.FromString(await far.receive()).open
        assert asked.grant == b"grant"
        assert (asked.protection_id, asked.epoch.number, asked.epoch.generation) == ("p", 4, "g")


async def test_a_batch_is_a_manifest_and_its_payloads_as_they_are() -> None:
    payloads = (b"a" * 1000, b"b" * 24)
    async with conversing() as (conversation, far):
        await conversation.begin(b"header")
        await conversation.send_batch(Batch(b"r" * 48, payloads, 1024))
        assert wire.ReplicateRequest.FromString(await far.receive()).begin.header == b"header"
        manifest = wire.ReplicateRequest.FromString(await far.receive()).batch
        assert (manifest.records, list(manifest.payload_lengths)) == (b"r" * 48, [1000, 24])
        assert (await far.receive(), await far.receive()) == payloads


async def test_a_newer_grant_does_not_come_between_a_batch_and_its_payloads() -> None:
    payloads = tuple(bytes([number]) * 100 for number in range(20))
    async with conversing() as (conversation, far):
        await conversation.begin(b"header")
        async with asyncio.TaskGroup() as group:
            # More messages than the stream takes: the batch waits in its middle.
            group.create_task(conversation.send_batch(Batch(b"r" * 48, payloads, 2000)))
            await asyncio.sleep(0)
            group.create_task(conversation.present(b"newer"))
            received = [await far.receive() for _ in range(3 + len(payloads))]
    assert tuple(received[2:-1]) == payloads
    assert wire.ReplicateRequest.FromString(received[-1]).present.grant == b"newer"


Ask = Callable[[Conversation], Awaitable[object]]


def opening(conversation: Conversation) -> Awaitable[object]:
    return conversation.open("p", 1, "g")


def abandoning(conversation: Conversation) -> Awaitable[object]:
    return conversation.abandon("g", 5, 7)


@pytest.mark.parametrize(
    ("ask", "answer", "problem"),
    [
        (opening, b"\xff\xff", "is none"),
        (opening, b"", "empty message"),
        (
            opening,
            wire.ReplicateResponse(opened=wire.ReplicaOpened(sequence=1, chain_digest=b"short")),
            "digest of 5 bytes",
        ),
        (
            opening,
            wire.ReplicateResponse(abandoned=wire.Abandoned(sequence=1)),
            "not Opened",
        ),
        (
            opening,
            wire.ReplicateResponse(receipt=wire.Receipt(received_bytes=1)),
            "were not sent",
        ),
        (
            abandoning,
            wire.ReplicateResponse(abandoned=wire.Abandoned(sequence=4, attempt_floor=8)),
            "not attempt 7",
        ),
        (
            abandoning,
            wire.ReplicateResponse(abandoned=wire.Abandoned(sequence=5, attempt_floor=7)),
            "not attempt 7",
        ),
    ],
)
async def test_answers_that_no_target_gives_end_the_conversation(
    ask: Ask, answer: wire.ReplicateResponse | bytes, problem: str
) -> None:
    with pytest.raises(TargetProtocolError, match=problem) as raised:
        async with conversing() as (conversation, far):
            await far.send(answer if isinstance(answer, bytes) else answer.SerializeToString())
            await ask(conversation)
    assert "target-host" in raised.value.failure.cause


async def test_an_abandoned_attempt_is_answered_with_the_new_floor() -> None:
    async with conversing() as (conversation, far):
        answer = wire.Abandoned(sequence=5, attempt_floor=9)
        await say(far, wire.ReplicateResponse(abandoned=answer))
        assert await conversation.abandon("g", 5, 7) == 9


async def test_answers_that_nobody_asked_for_are_not_collected() -> None:
    with pytest.raises(TargetProtocolError, match="nobody asked"):
        async with conversing() as (_, far):
            for _number in range(module.MAX_WAITING_ANSWERS + 1):
                await say(far, OPENED)
            await asyncio.Event().wait()


async def test_a_refusal_ends_an_idle_conversation_at_once() -> None:
    with pytest.raises(RefusedError) as raised:
        async with conversing() as (_, far):
            await say(far, REFUSED)
            await asyncio.Event().wait()
    assert raised.value.is_diverged
    assert raised.value.failure.code == "disk-full"


async def test_a_refusal_that_is_still_on_its_way_explains_a_broken_stream() -> None:
    near, far, _ = stream_pair()
    conversation = Conversation(near)
    await say(far, REFUSED)
    await near.close()

    async def pump_late() -> None:
        with pytest.raises(RefusedError):
            await conversation.pump()

    async with asyncio.TaskGroup() as group:
        sending = group.create_task(expect_refusal(conversation))
        await asyncio.sleep(0)
        group.create_task(pump_late())
    assert sending.done()


async def expect_refusal(conversation: Conversation) -> None:
    with pytest.raises(RefusedError):
        await conversation.begin(b"header")


async def test_a_broken_stream_ends_an_idle_conversation() -> None:
    with pytest.raises(StreamClosedError):
        async with conversing() as (_, far):
            await far.close()
            await asyncio.Event().wait()


async def test_a_target_without_receipts_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0.01)
    with pytest.raises(StreamClosedError, match="has not taken any data"):
        async with conversing() as (conversation, far):
            await conversation.begin(b"header")
            await far.receive()
            for _number in range(70):
                await conversation.send_batch(Batch(b"r" * 48, (bytes(1 << 20),), 1 << 20))
                await far.receive()
                await far.receive()


async def test_receipts_let_more_than_the_window_pass() -> None:
    async with conversing() as (conversation, far):
        await conversation.begin(b"header")
        await far.receive()
        for number in range(1, 71):
            await conversation.send_batch(Batch(b"r" * 48, (bytes(1 << 20),), 1 << 20))
            await far.receive()
            await far.receive()
            receipt = wire.Receipt(received_records=number, received_bytes=number << 20)
            await say(far, wire.ReplicateResponse(receipt=receipt))
            await asyncio.sleep(0)


async def test_a_target_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0.01)
    with pytest.raises(StreamClosedError, match="has not read"):
        async with conversing() as (conversation, _):
            await conversation.begin(b"header")
            for _number in range(20):
                await conversation.send_batch(BATCH)


async def test_a_target_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.01)
    with pytest.raises(StreamClosedError, match="has not answered"):
        async with conversing() as (conversation, _):
            await conversation.open("p", 1, "g")


async def test_a_batch_outside_a_segment_is_a_mistake_of_ours() -> None:
    near, _, _ = stream_pair()
    with pytest.raises(AssertionError, match="no segment"):
        await Conversation(near).send_batch(BATCH)
