"""The receiver's handle on a segment."""

import asyncio

import pytest

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
def replica(clock: VirtualClock) -> Replica:
    return replica_over(LineageBench().lineage, clock)


async def test_it_counts_and_promises_nothing_before_the_seal(
    replica: Replica, clock: VirtualClock
) -> None:
    segment = next_segment(replica, Write(0, 0, DATA), Write(1, 0, 512))
    writer = await replica.begin(segment.header)
    await writer.add(segment.records, segment.payloads)
    assert (writer.received_records, writer.received_bytes, writer.durable_records) == (2, 512, 0)
    assert replica.points() == ()
    clock.advance(5)
    point = await writer.seal(segment.trailer, segment.chain_digest)
    assert point.sealed_at == clock.now()
    assert replica.points() == (point,)


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
    assert len(replica.points()) == 1


async def test_a_discarded_one_is_no_point(replica: Replica) -> None:
    await deliver(replica)
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
    assert replica.head.sequence == 1
    assert announced == [1]
