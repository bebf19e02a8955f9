import asyncio

import pytest

from agent.budget import ByteBudget
from agent.grants import MAX_GRANT_BYTES
from agent.replica import incoming as module
from agent.replica.incoming import (
    MAX_BATCH_PAYLOAD_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_PAYLOADS,
    MAX_RANGE_BYTES,
    MAX_RANGES,
    MAX_SMALL_BYTES,
    read_messages,
    read_opening,
)
from agent.replica.messages import (
    Abandon,
    AskDigests,
    Batch,
    Begin,
    BeginChunk,
    BeginPass,
    End,
    EndChunk,
    Ended,
    EndPass,
    Incoming,
    Open,
    Present,
    ProtocolViolationError,
    Resume,
)
from replikera.blocks.segment import (
    MAX_DISKS,
    MAX_HEADER_BYTES,
    MAX_TRAILER_BYTES,
    RECORD_BYTES,
)
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire
from replikera.wire.v1 import types_pb2
from tests.support.memory_stream import stream_pair

RECORD = b"r" * RECORD_BYTES
LONG = b"g" * (MAX_GRANT_BYTES + 1)


async def taken(*messages: wire.ReplicateRequest | bytes) -> list[Incoming]:
    """Return what comes of the messages, up to the end of the stream."""
    near, far, _ = stream_pair()
    incoming: asyncio.Queue[Incoming] = asyncio.Queue(1)
    found: list[Incoming] = []
    budget = ByteBudget(MAX_MESSAGE_BYTES + MAX_BATCH_PAYLOAD_BYTES)
    with budget.share() as share:
        async with asyncio.TaskGroup() as group:
            group.create_task(read_messages(far, incoming, share))
            for message in messages:
                await near.send(
                    message if isinstance(message, bytes) else message.SerializeToString()
                )
            await near.close()
            while not found or not isinstance(found[-1], Ended):
                found.append(await incoming.get())
                if isinstance(found[-1], Batch):
                    share.give(found[-1].size)
    return found


async def violation(*messages: wire.ReplicateRequest | bytes) -> str:
    (*_, last) = await taken(*messages)
    assert isinstance(last, Ended)
    return str(last.violation)


def batch(records: bytes, *lengths: int) -> wire.ReplicateRequest:
    return wire.ReplicateRequest(batch=wire.Batch(records=records, payload_lengths=lengths))


def question(*ranges: tuple[int, int, int], sequence: int = 0) -> wire.ReplicateRequest:
    asked = [wire.DigestRange(disk=d, offset=o, length=n) for d, o, n in ranges]
    return wire.ReplicateRequest(digests=wire.DigestRequest(sequence=sequence, ranges=asked))


def chunk_end(*watermarks: int, digest: bytes = b"c" * 32) -> wire.ReplicateRequest:
    ending = wire.ChunkEnd(watermarks=watermarks, digest=digest)
    return wire.ReplicateRequest(chunk_end=ending)


async def test_every_message_arrives_as_what_it_is() -> None:
    epoch = types_pb2.Epoch(number=2, generation="g")
    opening = wire.OpenReplica(protection_id="p", epoch=epoch, grant=b"signed")
    ending = wire.SegmentEnd(trailer=b"t", chain_digest=b"d" * 32)
    giving_up = wire.Abandon(generation="g", sequence=3, attempt=4)
    chunk_end = wire.ChunkEnd(watermarks=[0, 512], digest=b"c" * 32)
    pass_end = wire.PassEnd(trailer=b"t", chain_digest=b"d" * 32)
    assert await taken(
        wire.ReplicateRequest(open=opening),
        wire.ReplicateRequest(begin=wire.SegmentBegin(header=b"h")),
        wire.ReplicateRequest(present=wire.PresentGrant(grant=b"newer")),
        batch(RECORD * 2, 3, 4),
        b"abc",
        b"defg",
        batch(RECORD),
        wire.ReplicateRequest(end=ending),
        wire.ReplicateRequest(abandon=giving_up),
    ) == [
        Open("p", 2, "g", b"signed"),
        Begin(b"h"),
        Present(b"newer"),
        Batch(RECORD * 2, (b"abc", b"defg")),
        Batch(RECORD, ()),
        End(b"t", b"d" * 32),
        Abandon("g", 3, 4),
        Ended(None),
    ]
    assert await taken(
        wire.ReplicateRequest(resume=wire.SegmentResume(attempt=4, records=7)),
        wire.ReplicateRequest(pass_begin=wire.PassBegin(header=b"h")),
        wire.ReplicateRequest(chunk_begin=wire.ChunkBegin(number=1)),
        wire.ReplicateRequest(chunk_end=chunk_end),
        wire.ReplicateRequest(pass_end=pass_end),
        question((1, 512, 1024), sequence=5),
    ) == [
        Resume(4, 7),
        BeginPass(b"h"),
        BeginChunk(1),
        EndChunk((0, 512), b"c" * 32),
        EndPass(b"t", b"d" * 32),
        AskDigests(5, ((1, 512, 1024),)),
        Ended(None),
    ]


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"\xff\xff\xff", "are no message"),
        (b"", "an empty message"),
        (b"x" * (MAX_MESSAGE_BYTES + 1), "a message of"),
        (batch(b""), "0 records"),
        (batch(RECORD + b"x"), "1 records and 1 bytes"),
        (batch(RECORD * 65537), "65537 records"),
        (batch(RECORD, *[1] * (MAX_PAYLOADS + 1)), "9 payloads"),
        (batch(RECORD, 0), "payloads of"),
        (batch(RECORD, MAX_PAYLOAD_BYTES + 1), "payloads of"),
        (
            wire.ReplicateRequest(begin=wire.SegmentBegin(header=b"h" * (MAX_HEADER_BYTES + 1))),
            "a header of",
        ),
        (
            wire.ReplicateRequest(
                end=wire.SegmentEnd(trailer=b"t" * (MAX_TRAILER_BYTES + 1), chain_digest=b"d" * 32)
            ),
            "a trailer of",
        ),
        (wire.ReplicateRequest(end=wire.SegmentEnd(chain_digest=b"d" * 31)), "digest of 31"),
        (
            wire.ReplicateRequest(abandon=wire.Abandon(sequence=1, attempt=(1 << 64) - 1)),
            "cannot exist",
        ),
        (wire.ReplicateRequest(abandon=wire.Abandon(sequence=1 << 63)), "cannot exist"),
        (
            wire.ReplicateRequest(pass_begin=wire.PassBegin(header=b"h" * (MAX_HEADER_BYTES + 1))),
            "a header of",
        ),
        (
            wire.ReplicateRequest(pass_end=wire.PassEnd(trailer=b"t" * (MAX_TRAILER_BYTES + 1))),
            "a trailer of",
        ),
        (wire.ReplicateRequest(pass_end=wire.PassEnd(chain_digest=b"d" * 33)), "digest of 33"),
        (
            wire.ReplicateRequest(chunk_begin=wire.ChunkBegin(number=1 << 63)),
            "cannot exist",
        ),
        (
            wire.ReplicateRequest(resume=wire.SegmentResume(attempt=1 << 63, records=1)),
            "cannot exist",
        ),
        (
            wire.ReplicateRequest(resume=wire.SegmentResume(attempt=1, records=1 << 63)),
            "cannot exist",
        ),
        (chunk_end(), "0 watermarks"),
        (chunk_end(*[0] * (MAX_DISKS + 1)), "65 watermarks"),
        (chunk_end(1 << 63), "cannot exist"),
        (chunk_end(0, digest=b"c" * 31), "digest of 31"),
        (question(), "0 ranges"),
        (question(*[(0, 0, 512)] * (MAX_RANGES + 1)), "257 ranges"),
        (question((0, 0, 0)), "0 bytes to compare"),
        (question((0, 0, MAX_RANGE_BYTES + 1)), "1048577 bytes to compare"),
        (question((0, 1 << 63, 512)), "cannot exist"),
        (question((0, 0, 512), sequence=1 << 63), "cannot exist"),
        # Decoding would make a hundred times as much of it.
        (question(*[(0, 0, 0)] * MAX_SMALL_BYTES), "no batch, and"),
        (
            wire.ReplicateRequest(present=wire.PresentGrant(grant=b"g" * MAX_SMALL_BYTES)),
            "no batch, and",
        ),
        (
            batch(RECORD * 60_000).SerializeToString() + question((0, 0, 1)).SerializeToString(),
            "no batch, and",
        ),
        (b"\x1a" + b"\xff" * MAX_SMALL_BYTES, "no batch, and"),
        (wire.ReplicateRequest(open=wire.OpenReplica(grant=LONG)), "a grant of"),
        (wire.ReplicateRequest(present=wire.PresentGrant(grant=LONG)), "a grant of"),
    ],
)
async def test_what_no_source_sends_ends_the_stream(
    message: wire.ReplicateRequest | bytes, problem: str
) -> None:
    assert problem in await violation(message)


async def test_the_largest_batch_is_taken() -> None:
    payload = bytes(MAX_PAYLOAD_BYTES)
    found = await taken(
        batch(RECORD * 65536, *[MAX_PAYLOAD_BYTES] * MAX_PAYLOADS), *[payload] * MAX_PAYLOADS
    )
    assert isinstance(found[0], Batch)
    assert sum(len(part) for part in found[0].payloads) == 16 << 20
    assert found[1] == Ended(None)


async def test_a_payload_of_another_length_than_announced_is_refused() -> None:
    assert "a payload of 2 bytes, not 3" in await violation(batch(RECORD, 3), b"ab")


async def test_a_stream_that_breaks_inside_a_batch_leaves_nothing_of_it() -> None:
    assert await taken(batch(RECORD, 3, 3), b"abc") == [Ended(None)]


async def test_a_batch_that_stops_in_the_middle_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PAYLOAD_SECONDS", 0.01)
    near, far, _ = stream_pair()
    incoming: asyncio.Queue[Incoming] = asyncio.Queue(1)
    await near.send(batch(RECORD, 3).SerializeToString())
    budget = ByteBudget(MAX_BATCH_PAYLOAD_BYTES)
    async with asyncio.timeout(10):
        with budget.share() as share:
            await read_messages(far, incoming, share)
    assert incoming.get_nowait() == Ended(None)
    assert budget.free == MAX_BATCH_PAYLOAD_BYTES


async def test_no_payload_is_read_before_there_is_room_for_it() -> None:
    near, far, _ = stream_pair()
    incoming: asyncio.Queue[Incoming] = asyncio.Queue(1)
    manifest = batch(RECORD, 3, 4)
    budget = ByteBudget(len(RECORD) + 7)
    with budget.share() as share, budget.share() as other:
        await other.take(1)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read_messages(far, incoming, share))
            for message in (manifest.SerializeToString(), b"abc", b"defg"):
                await near.send(message)
            for _ in range(20):
                await asyncio.sleep(0)
            assert incoming.empty()
            other.give(1)
            assert await incoming.get() == Batch(RECORD, (b"abc", b"defg"))
            assert budget.free == 0
            reading.cancel()


async def test_names_are_cut_before_anybody_stores_them() -> None:
    opening = wire.OpenReplica(protection_id="p" * 1000)
    (first, _) = await taken(wire.ReplicateRequest(open=opening))
    assert isinstance(first, Open)
    assert len(first.protection_id) == 64


async def test_the_opening_is_read_and_nothing_after_it() -> None:
    near, far, _ = stream_pair()
    opening = wire.OpenReplica(protection_id="p", grant=b"signed")
    await near.send(wire.ReplicateRequest(open=opening).SerializeToString())
    await near.send(b"next")
    assert await read_opening(far) == Open("p", 0, "", b"signed")
    assert await far.receive() == b"next"


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (wire.ReplicateRequest(begin=wire.SegmentBegin()).SerializeToString(), "does not begin"),
        (b"", "does not begin with OpenReplica"),
        (b"\xff", "no message"),
    ],
)
async def test_what_is_no_opening_is_refused(message: bytes, problem: str) -> None:
    near, far, _ = stream_pair()
    await near.send(message)
    with pytest.raises(ProtocolViolationError, match=problem):
        await read_opening(far)


async def test_an_opening_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "OPENING_SECONDS", 0.01)
    _, far, _ = stream_pair()
    with pytest.raises(StreamClosedError, match="said nothing"):
        await read_opening(far)
