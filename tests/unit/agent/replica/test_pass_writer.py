"""The receiver's handle on a pass."""

import asyncio

import pytest
from blake3 import blake3

from agent.replica.errors import ReplicaError
from agent.replica.pass_writer import PassWriter
from agent.replica.replica import Replica
from tests.support.lineages import LineageBench
from tests.support.passes import PassSource
from tests.support.replicas import DISKS, replica_over
from tests.support.segments import Write
from tests.support.virtual_clock import VirtualClock

DATA = b"d" * 512


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def replica(clock: VirtualClock) -> Replica:
    return replica_over(LineageBench().lineage, clock)


@pytest.fixture
def source() -> PassSource:
    return PassSource(DISKS)


async def filled(replica: Replica, source: PassSource) -> PassWriter:
    writer = await replica.begin_pass(source.header)
    assert writer.state is None
    while await writer.fill():
        pass
    return writer


async def whole(writer: PassWriter, source: PassSource) -> None:
    chunk = source.whole(Write(0, 0, DATA))
    await writer.begin_chunk(chunk.number)
    await writer.add(chunk.records, chunk.payloads)
    state = await writer.end_chunk(chunk.watermarks, chunk.digest)
    assert writer.state == state


async def test_a_pass_becomes_the_first_point(
    replica: Replica, source: PassSource, clock: VirtualClock
) -> None:
    writer = await filled(replica, source)
    assert writer.attempt == 1
    await whole(writer, source)
    assert (writer.received_records, writer.received_bytes) == (3, 512)
    assert writer.durable_records == 0
    assert await writer.digests([(0, 0, 512)]) == blake3(DATA).digest()
    assert replica.points() == ()
    clock.advance(5)
    point = await writer.seal(*source.end())
    assert point.sealed_at == clock.now()
    assert replica.points() == (point,)
    await writer.leave()


async def test_one_that_was_left_is_refused_and_goes_on_in_the_next(
    replica: Replica, source: PassSource
) -> None:
    writer = await filled(replica, source)
    await whole(writer, source)
    await writer.leave()
    await writer.leave()
    with pytest.raises(ReplicaError, match="not open any more"):
        await writer.begin_chunk(2)
    assert await replica.arriving() == (1, 3)
    again = await replica.begin_pass(source.header)
    while await again.fill():
        pass
    assert (await again.seal(*source.end())).sequence == 1


async def test_leaving_while_it_is_filled_is_no_error(replica: Replica, source: PassSource) -> None:
    writer = await replica.begin_pass(source.header)
    await writer.leave()
    assert await replica.arriving() == (0, 0)
    assert (await filled(replica, source)).state is not None


async def test_a_caller_cancelled_while_it_sealed_does_not_hide_the_point(
    replica: Replica, source: PassSource
) -> None:
    announced: list[int] = []
    replica.subscribe(lambda change: announced.extend(point.sequence for point in change.points))
    writer = await filled(replica, source)
    await whole(writer, source)
    task = asyncio.ensure_future(writer.seal(*source.end()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert replica.head.sequence == 1
    assert announced == [1]
