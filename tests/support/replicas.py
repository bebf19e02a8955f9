"""Replicas as the rest of the agent sees them, without threads and in virtual time."""

import asyncio
from collections.abc import Sequence

from agent.replica.lineage import Lineage
from agent.replica.points import SealedPoint
from agent.replica.replica import Replica
from tests.support.segments import Segment, Write, build_segment, disks_of
from tests.support.virtual_clock import InlineWorker, VirtualClock

DISKS = disks_of(4096, 2048)


def replica_over(lineage: Lineage, clock: VirtualClock) -> Replica:
    return Replica(lineage, InlineWorker(), clock, asyncio.Semaphore(2))


def next_segment(replica: Replica, *writes: Write, attempt: int = 1) -> Segment:
    return build_segment(replica.head, DISKS, writes, attempt=attempt)


async def deliver(replica: Replica, writes: Sequence[Write] = ()) -> SealedPoint:
    segment = next_segment(replica, *writes)
    writer = await replica.begin(segment.header)
    if segment.records:
        await writer.add(segment.records, segment.payloads)
    return await writer.seal(segment.trailer, segment.chain_digest)


async def turns(count: int = 200) -> None:
    """Let the tasks that are ready go on."""
    for _ in range(count):
        await asyncio.sleep(0)
