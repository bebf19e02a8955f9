"""What a target says."""

import asyncio
from datetime import UTC, datetime

import pytest

from agent.replica import replies as module
from agent.replica.errors import ReplicaError
from agent.replica.history import Head
from agent.replica.lineage import Arriving
from agent.replica.pass_file import PassState
from agent.replica.points import SealedPoint
from agent.replica.replies import Replies
from replikera.blocks.segment import PointKind
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire
from tests.support.memory_stream import DEPTH, stream_pair
from tests.support.segments import disks_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POINT = SealedPoint("g", 4, PointKind.CRASH_CONSISTENT, "", NOW, NOW, NOW, 10, b"c" * 32)
STATE = PassState(2, disks_of(512), 3, b"d" * 32, (512,), 7, 8, is_seeded=True)


class Counts:
    received_records = 3
    received_bytes = 4
    durable_records = 2


async def test_every_answer_says_what_it_is_about() -> None:
    near, far, _ = stream_pair()
    replies = Replies(far)

    async def next_one() -> wire.ReplicateResponse:
        return wire.ReplicateResponse.FromString(await near.receive())

    await replies.opened(Head("g", 4, b"c" * 32, 6), Arriving(5, 9))
    opened = (await next_one()).opened
    assert (opened.sequence, opened.chain_digest, opened.attempt_floor) == (4, b"c" * 32, 6)
    assert (opened.open_attempt, opened.durable_records) == (5, 9)
    await replies.opened(Head("g", 0, bytes(32), 0), Arriving(0, 0))
    assert (await next_one()).opened.chain_digest == b""
    await replies.receipt(Counts())
    receipt = (await next_one()).receipt
    assert (receipt.received_records, receipt.received_bytes, receipt.durable_records) == (3, 4, 2)
    await replies.sealed(POINT)
    sealed = (await next_one()).sealed
    assert (sealed.generation, sealed.sequence, sealed.chain_digest) == ("g", 4, b"c" * 32)
    assert sealed.sealed_at.ToDatetime(UTC) == NOW
    await replies.abandoned(4, 7)
    abandoned = (await next_one()).abandoned
    assert (abandoned.sequence, abandoned.attempt_floor) == (4, 7)


async def test_answers_about_a_pass_and_refusals_do_too() -> None:
    near, far, _ = stream_pair()
    replies = Replies(far)

    async def next_one() -> wire.ReplicateResponse:
        return wire.ReplicateResponse.FromString(await near.receive())

    await replies.pass_opened(STATE)
    opened = (await next_one()).pass_opened
    assert (opened.chunk, opened.digest, list(opened.watermarks)) == (3, b"d" * 32, [512])
    assert (opened.records, opened.payload_bytes, opened.is_seeded) == (7, 8, True)
    await replies.chunk_durable(STATE)
    durable = (await next_one()).chunk_durable
    assert (durable.number, durable.digest) == (3, b"d" * 32)
    await replies.digests(4, b"e" * 64)
    digests = (await next_one()).digests
    assert (digests.sequence, digests.digests) == (4, b"e" * 64)
    await replies.refused(ReplicaError("code", "Why.", "What to do.", is_diverged=True))
    refused = (await next_one()).refused
    assert (refused.failure.code, refused.failure.cause) == ("code", "Why.")
    assert refused.failure.remedy == "What to do."
    assert refused.is_diverged


async def test_whoever_does_not_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.01)
    _, far, _ = stream_pair("host-a")
    replies = Replies(far)
    async with asyncio.timeout(10):
        with pytest.raises(StreamClosedError, match="host-a has not read"):
            for _ in range(DEPTH + 1):
                await replies.abandoned(1, 2)
