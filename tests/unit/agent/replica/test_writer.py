"""The receiver's handle on a segment."""

import asyncio

import pytest

from agent.replica import writer as module
from agent.replica.errors import ReplicaError
from agent.replica.replica import Replica
from tests.support.lineages import LineageBench
from tests.support.replicas import deliver, next_segment, replica_over
from tests.support.segments import Write
from tests.support.virtual_clock import VirtualClock

DATA = b"d" * 512


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def replica(clock: VirtualClock) -> Replica:
    replica = replica_over(LineageBench().lineage, clock)
    await deliver(replica)
    return replica


async def test_it_counts_and_promises_nothing_before_a_sync(
    replica: Replica, clock: VirtualClock
) -> None:
    segment = next_segment(replica, Write(0, 0, DATA), Write(1, 0, 512))
    writer = await replica.begin(segment.header)
    await writer.add(segment.records, segment.payloads)
    assert (writer.received_records, writer.received_bytes, writer.durable_records) == (2, 512, 0)
    await writer.sync()
    assert writer.durable_records == 2
    assert len(replica.points()) == 1
    clock.advance(5)
    point = await writer.seal(segment.trailer, segment.chain_digest)
    assert point.sealed_at == clock.now()
    assert replica.points()[-1] == point


async def test_a_sync_is_due_after_bytes_or_time_and_never_for_nothing(
    replica: Replica, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SYNC_BYTES", 1024)
    segment = next_segment(replica, Write(0, 0, DATA), Write(0, 512, DATA), Write(1, 0, DATA))
    writer = await replica.begin(segment.header)
    clock.advance(100)
    due = [writer.is_sync_due]
    await writer.sync()
    await writer.add(segment.records[:48], segment.payloads[:1])
    due.append(writer.is_sync_due)
    await writer.add(segment.records[48:96], segment.payloads[1:2])
    due.append(writer.is_sync_due)
    await writer.sync()
    due.append(writer.is_sync_due)
    await writer.add(segment.records[96:], segment.payloads[2:])
    due.append(writer.is_sync_due)
    clock.advance(module.SYNC_SECONDS)
    due.append(writer.is_sync_due)
    assert due == [False, False, True, False, False, True]


async def test_it_goes_on_with_what_another_one_left(replica: Replica) -> None:
    segment = next_segment(replica, Write(0, 0, DATA), Write(0, 512, DATA))
    left = await replica.begin(segment.header)
    await left.add(segment.records[:48], segment.payloads[:1])
    arriving = await replica.arriving()
    assert arriving == (1, 1)
    writer = await replica.resume(*arriving)
    assert (writer.attempt, writer.received_records, writer.received_bytes) == (1, 1, 512)
    await writer.add(segment.records[48:], segment.payloads[1:])
    assert (await writer.seal(segment.trailer, segment.chain_digest)).sequence == 2


async def test_a_superseded_one_is_refused(replica: Replica) -> None:
    segment = next_segment(replica, Write(0, 0, DATA))
    old = await replica.begin(segment.header)
    new = await replica.begin(segment.header)
    with pytest.raises(ReplicaError) as error:
        await old.add(segment.records, segment.payloads)
    assert error.value.code == "stale-attempt"
    await old.discard()
    await new.add(segment.records, segment.payloads)
    await new.seal(segment.trailer, segment.chain_digest)
    await new.discard()
    assert len(replica.points()) == 2


async def test_a_discarded_one_is_no_point(replica: Replica) -> None:
    segment = next_segment(replica, Write(0, 0, DATA))
    writer = await replica.begin(segment.header)
    await writer.add(segment.records, segment.payloads)
    await writer.discard()
    with pytest.raises(ReplicaError, match="not open"):
        await writer.seal(segment.trailer, segment.chain_digest)
    assert replica.head.sequence == 1


async def test_a_caller_cancelled_while_it_sealed_does_not_hide_the_point(
    replica: Replica,
) -> None:
    announced: list[int] = []
    replica.subscribe(lambda change: announced.extend(point.sequence for point in change.points))
    segment = next_segment(replica)
    writer = await replica.begin(segment.header)
    task = asyncio.ensure_future(writer.seal(segment.trailer, segment.chain_digest))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert replica.head.sequence == 2
    assert announced == [2]
