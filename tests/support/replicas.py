"""Replicas as the rest of the agent sees them, without threads and in virtual time."""

import asyncio
from collections.abc import Sequence

from agent.replica.lineage import Lineage
from agent.replica.points import SealedPoint
from agent.replica.replica import Replica
from replikera.blocks.segment import DiskGeometry
from tests.support.segments import (
    Segment,
    Write,
    build_chunk,
    build_pass_end,
    build_segment,
    disks_of,
    explicit,
    pass_header,
)
from tests.support.virtual_clock import InlineWorker, VirtualClock

DISKS = disks_of(4096, 2048)


def replica_over(lineage: Lineage, clock: VirtualClock) -> Replica:
    return Replica(lineage, InlineWorker(), clock, asyncio.Semaphore(2))


def next_segment(replica: Replica, *writes: Write, attempt: int = 1) -> Segment:
    return build_segment(replica.head, DISKS, writes, attempt=attempt)


async def deliver(
    replica: Replica,
    writes: Sequence[Write] = (),
    disks: tuple[DiskGeometry, ...] = DISKS,
) -> SealedPoint:
    """Send the segment of these writes, or the pass."""
    if not replica.head.sequence:
        return await send_pass(replica, writes, disks)
    segment = build_segment(replica.head, disks, writes)
    writer = await replica.begin(segment.header)
    if segment.records:
        await writer.add(segment.records, segment.payloads)
    return await writer.seal(segment.trailer, segment.chain_digest)


async def send_pass(
    replica: Replica, writes: Sequence[Write], disks: tuple[DiskGeometry, ...] = DISKS
) -> SealedPoint:
    """Send the pass that leads to the first point, in one chunk."""
    header = pass_header(replica.head, disks)
    writer = await replica.begin_pass(header.encode())
    while await writer.fill():
        pass
    covering = [
        write for disk, one in enumerate(disks) for write in explicit(disk, one.size, writes)
    ]
    chunk = build_chunk(header, covering)
    await writer.begin_chunk(1)
    await writer.add(chunk.records, chunk.payloads)
    state = await writer.end_chunk(chunk.watermarks, chunk.digest)
    end = build_pass_end(
        header, chunk.digest, records=state.records, payload_bytes=state.payload_bytes
    )
    return await writer.seal(*end)


async def turns(count: int = 200) -> None:
    """Let the tasks that are ready go on."""
    for _ in range(count):
        await asyncio.sleep(0)
