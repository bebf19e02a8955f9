import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from agent.source import conversation as module
from agent.source.answers import DurableChunk, Opened, PassOpened
from agent.source.batching import Batch, Position
from agent.source.conversation import Conversation
from agent.source.errors import RefusedError, TargetProtocolError, weightiest
from agent.source.window import WINDOW_BYTES
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
D = b"d" * 32
END = Position(0, 512)


def batch(payloads: tuple[bytes, ...] = (bytes(1 << 20),), records: bytes = b"r" * 48) -> Batch:
    size = sum(map(len, payloads))
    return Batch(records, payloads, size, size, END)


BATCH = batch((), zero_record(0, 0, 512))


@asynccontextmanager
async def conversing() -> AsyncIterator[tuple[Conversation, MemoryStream]]:
    """Yield a conversation with its pump running, and the target's end; raise what explains its end."""
    near, far, _ = stream_pair()
    conversation = Conversation(near, lambda: WINDOW_BYTES)
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
        await conversation.send_batch(batch(payloads))
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
            group.create_task(conversation.send_batch(batch(payloads)))
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
    conversation = Conversation(near, lambda: WINDOW_BYTES)
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
                await conversation.send_batch(batch())
                await far.receive()
                await far.receive()


async def test_receipts_let_more_than_the_window_pass() -> None:
    async with conversing() as (conversation, far):
        await conversation.begin(b"header")
        await far.receive()
        for number in range(1, 71):
            await conversation.send_batch(batch())
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


async def test_a_resumed_segment_counts_on_from_what_is_durable() -> None:
    async with conversing() as (conversation, far):
        await conversation.resume(7, 3, 4096)
        asked = wire.ReplicateRequest.FromString(await far.receive()).resume
        assert (asked.attempt, asked.records) == (7, 3)
        assert conversation.durable_records == 3
        await conversation.send_batch(BATCH)
        receipt = wire.Receipt(received_records=4, received_bytes=4096, durable_records=4)
        await say(far, wire.ReplicateResponse(receipt=receipt))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert conversation.durable_records == 4


async def test_more_durable_than_received_is_a_lie() -> None:
    with pytest.raises(TargetProtocolError, match="2 of 1 are durable"):
        async with conversing() as (conversation, far):
            await conversation.begin(b"header")
            await conversation.send_batch(BATCH)
            receipt = wire.Receipt(received_records=1, durable_records=2)
            await say(far, wire.ReplicateResponse(receipt=receipt))
            await asyncio.Event().wait()


async def test_a_pass_is_opened_and_its_chunks_become_durable() -> None:
    async with conversing() as (conversation, far):
        opened = wire.PassOpened(chunk=3, digest=D, watermarks=[512])
        await say(far, wire.ReplicateResponse(pass_opened=opened))
        told = await conversation.begin_pass(b"header")
        assert told == PassOpened(3, D, (512,), 0, 0, is_seeded=False)
        await conversation.begin_chunk(4)
        await conversation.end_chunk(4, [1024], D)
        durable = wire.ChunkDurable(number=4, digest=D)
        await say(far, wire.ReplicateResponse(chunk_durable=durable))
        assert await conversation.durable_chunk() == DurableChunk(4, D)
        kinds = [
            wire.ReplicateRequest.FromString(await far.receive()).WhichOneof("message")
            for _ in range(3)
        ]
        assert kinds == ["pass_begin", "chunk_begin", "chunk_end"]


@pytest.mark.parametrize(("number", "digest"), [(5, D), (4, b"x" * 32), (3, D)])
async def test_a_chunk_that_was_not_sent_so_is_a_violation(number: int, digest: bytes) -> None:
    with pytest.raises(TargetProtocolError, match=f"chunk {number}"):
        async with conversing() as (conversation, far):
            await conversation.begin_chunk(4)
            await conversation.end_chunk(4, [1024], D)
            durable = wire.ChunkDurable(number=number, digest=digest)
            await say(far, wire.ReplicateResponse(chunk_durable=durable))
            await asyncio.Event().wait()


async def test_chunks_that_nobody_confirms_are_not_followed_by_more() -> None:
    async with conversing() as (conversation, _):
        for number in (1, 2):
            await conversation.end_chunk(number, [512], D)
        with pytest.raises(AssertionError, match="too many"):
            await conversation.end_chunk(3, [512], D)


async def test_two_questions_are_answered_in_their_order() -> None:
    async with conversing() as (conversation, far):
        await conversation.ask_digests(7, [(0, 0, 512), (1, 512, 1024)])
        await conversation.ask_digests(7, [(0, 512, 512)])
        asked = wire.ReplicateRequest.FromString(await far.receive()).digests
        assert asked.sequence == 7
        assert [(each.disk, each.offset, each.length) for each in asked.ranges] == [
            (0, 0, 512),
            (1, 512, 1024),
        ]
        for digests in (D * 2, b"e" * 32):
            answer = wire.Digests(sequence=7, digests=digests)
            await say(far, wire.ReplicateResponse(digests=answer))
        assert await conversation.digests(7, 2) == (D, D)
        assert await conversation.digests(7, 1) == (b"e" * 32,)


@pytest.mark.parametrize(("sequence", "digests"), [(8, D), (7, D * 2), (7, b"")])
async def test_digests_of_something_else_are_a_violation(sequence: int, digests: bytes) -> None:
    with pytest.raises(TargetProtocolError, match="not 1 of 7"):
        async with conversing() as (conversation, far):
            await conversation.ask_digests(7, [(0, 0, 512)])
            answer = wire.Digests(sequence=sequence, digests=digests)
            await say(far, wire.ReplicateResponse(digests=answer))
            await conversation.digests(7, 1)


async def test_a_chunk_that_never_becomes_durable_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CHUNK_SECONDS", 0.01)
    with pytest.raises(StreamClosedError, match="has not made a chunk durable"):
        async with conversing() as (conversation, _):
            await conversation.durable_chunk()


async def test_a_batch_outside_a_segment_is_a_mistake_of_ours() -> None:
    near, _, _ = stream_pair()
    with pytest.raises(AssertionError, match="no transfer"):
        await Conversation(near, lambda: WINDOW_BYTES).send_batch(BATCH)


async def test_a_target_that_copies_a_seed_first_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.2)
    receipt = wire.ReplicateResponse(receipt=wire.Receipt())
    async with conversing() as (conversation, far):
        async with asyncio.TaskGroup() as group:
            opening_pass = group.create_task(conversation.begin_pass(b"header"))
            for _ in range(8):
                await asyncio.sleep(0.05)
                await say(far, receipt)
            opened = wire.PassOpened(digest=D, watermarks=[0], is_seeded=True)
            await say(far, wire.ReplicateResponse(pass_opened=opened))
        assert opening_pass.result().is_seeded


async def test_a_target_that_only_copies_and_then_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
    with pytest.raises(StreamClosedError, match="has not answered"):
        async with conversing() as (conversation, far):
            await say(far, wire.ReplicateResponse(receipt=wire.Receipt()))
            await conversation.begin_pass(b"header")
