"""Sends one captured view as a segment: a reader stage ahead, a sender behind, and the budget between them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent.source.batching import Batch, Piece, plan_batches, read_batch
from agent.source.budget import ReadAheadBudget, Share
from agent.source.capture import Capture
from agent.source.conversation import Conversation, SealedPoint
from agent.source.errors import weightiest
from replikera.blocks.segment import (
    ChainDigest,
    PointKind,
    SegmentHeader,
    SegmentKind,
    SegmentTrailer,
)
from replikera.ports.workers import Worker

READ_AHEAD_BATCHES = 4
"""16 MiB a stream: enough to bridge a slow read or a slow write, little beside the window."""


@dataclass(frozen=True, slots=True)
class _ReadBatch:
    batch: Batch
    held_bytes: int


class SegmentSender:
    """Sends one segment. Use once."""

    def __init__(
        self,
        conversation: Conversation,
        worker: Worker,
        budget: ReadAheadBudget,
        on_progress: Callable[[int], None],
    ) -> None:
        self._conversation = conversation
        self._worker = worker
        self._budget = budget
        self._on_progress = on_progress
        self._records = 0
        self._payload_bytes = 0

    async def send(
        self,
        header: SegmentHeader,
        capture: Capture,
        before_end: Callable[[bytes], Awaitable[None]],
    ) -> SealedPoint:
        """Return when the target has sealed the segment. `before_end` is given its digest before the trailer leaves.

        `on_progress` is told the bytes of every batch that left.
        """
        digest = ChainDigest(header)
        await self._conversation.begin(header.encode())
        await self._send_batches(capture, digest, keep_zeros=header.kind is SegmentKind.DELTA)
        trailer = self._trailer(capture)
        final = digest.finish(trailer)
        await before_end(final)
        return await self._conversation.end(trailer, final)

    async def _send_batches(
        self, capture: Capture, digest: ChainDigest, *, keep_zeros: bool
    ) -> None:
        # One batch is with the reader, the others wait.
        waiting: asyncio.Queue[_ReadBatch | None] = asyncio.Queue(READ_AHEAD_BATCHES - 1)
        with self._budget.share() as share:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read(capture, share, waiting, keep_zeros=keep_zeros))
                    group.create_task(self._forward(waiting, share, digest))
            except ExceptionGroup as failed:
                raise weightiest(failed) from failed

    async def _read(
        self,
        capture: Capture,
        share: Share,
        waiting: "asyncio.Queue[_ReadBatch | None]",
        *,
        keep_zeros: bool,
    ) -> None:
        for pieces in plan_batches(capture.disks):
            held = _length(pieces)
            await share.take(held)
            batch = await self._worker.run(read_batch, pieces, keep_zeros=keep_zeros)
            await waiting.put(_ReadBatch(batch, held))
        await waiting.put(None)

    async def _forward(
        self, waiting: "asyncio.Queue[_ReadBatch | None]", share: Share, digest: ChainDigest
    ) -> None:
        while (entry := await waiting.get()) is not None:
            batch = entry.batch
            if batch.record_count:
                digest.add_records(batch.records)
                await self._conversation.send_batch(batch)
            self._records += batch.record_count
            self._payload_bytes += batch.payload_bytes
            share.give(entry.held_bytes)
            self._on_progress(batch.scanned_bytes)

    def _trailer(self, capture: Capture) -> bytes:
        return SegmentTrailer(
            capture_started_at=capture.started_at,
            capture_ended_at=capture.view.taken_at,
            kind=PointKind.CRASH_CONSISTENT,
            name="",
            disks=capture.geometries,
            machine=capture.machine,
            records=self._records,
            payload_bytes=self._payload_bytes,
        ).encode()


def _length(pieces: tuple[Piece, ...]) -> int:
    return sum(piece.length for piece in pieces)
