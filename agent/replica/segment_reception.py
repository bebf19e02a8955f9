"""Takes the segments of one conversation: each is begun or gone on with, arrives, and becomes a point."""

import asyncio
from contextlib import suppress
from typing import NoReturn

import structlog

from agent.replica.errors import ReplicaError
from agent.replica.messages import Batch, Begin, End, OfSegment, ProtocolViolationError, Resume
from agent.replica.replica import Replica
from agent.replica.replies import Replies
from agent.replica.writer import SYNC_SECONDS, SegmentWriter
from replikera.ports.clock import Clock

RECEIPT_BYTES = 1 << 20
"""A source that has so little on its way sends on without a receipt."""

log = structlog.get_logger(__name__)


class SegmentReception:
    """One segment at a time. Every method raises `ReplicaError`, `ProtocolViolationError`, `StreamClosedError`.

    `keep_durable` and `watch_time` run beside the others.
    """

    def __init__(self, replica: Replica, replies: Replies, clock: Clock) -> None:
        self._replica = replica
        self._replies = replies
        self._clock = clock
        self._writer: SegmentWriter | None = None
        self._sync_due = asyncio.Event()
        self._unreceipted = 0
        self._began = 0.0

    @property
    def is_open(self) -> bool:
        """Tell whether a segment has begun and not ended."""
        return self._writer is not None

    async def act(self, message: OfSegment) -> None:
        """Do what a message says."""
        match message:
            case Begin():
                await self._begin(message)
            case Resume():
                await self._resume(message)
            case End():
                await self._seal(message)

    async def add(self, batch: Batch) -> None:
        """Take a batch of the open segment."""
        writer = self._open()
        await writer.add(batch.records, batch.payloads)
        self._unreceipted += batch.size
        if writer.is_sync_due:
            self._sync_due.set()
        if self._unreceipted >= RECEIPT_BYTES:
            await self._send_receipt(writer)

    async def leave(self) -> None:
        """End the conversation: what has arrived is made durable and can be gone on with. Raises nothing."""
        writer, self._writer = self._writer, None
        if writer is not None:
            # A failed sync is remembered: whoever comes next is told.
            with suppress(ReplicaError):
                await writer.sync()

    async def keep_durable(self) -> NoReturn:
        """Sync what has arrived, whenever that is due, while more arrives; until cancelled."""
        while True:
            await self._sync_due.wait()
            self._sync_due.clear()
            if self._writer is not None:
                # A failed sync is remembered: the next message is refused for it.
                with suppress(ReplicaError):
                    await self._writer.sync()

    async def watch_time(self) -> NoReturn:
        """See to it that a source that pauses has its records durable, too; until cancelled."""
        while True:
            await self._clock.sleep(SYNC_SECONDS)
            if self._writer is not None and self._writer.is_sync_due:
                self._sync_due.set()

    async def _begin(self, message: Begin) -> None:
        before = self._writer
        writer = await self._replica.begin(message.header)
        if before is not None and writer.attempt == before.attempt:
            raise ProtocolViolationError("a segment begins inside a segment")
        self._take(writer)

    async def _resume(self, message: Resume) -> None:
        if self._writer is not None:
            raise ProtocolViolationError("a segment is gone on with inside a segment")
        self._take(await self._replica.resume(message.attempt, message.records))

    async def _seal(self, message: End) -> None:
        writer = self._open()
        await self._send_receipt(writer)
        # From here on the segment may be a point: it is no longer this conversation's to touch.
        self._writer = None
        point = await writer.seal(message.trailer, message.chain_digest)
        await self._replies.sealed(point)
        log.info(
            "recovery point sealed",
            protection=self._replica.accepted.protection_id,
            sequence=point.sequence,
            payload_bytes=point.payload_bytes,
            seconds=round(self._clock.monotonic() - self._began, 3),
        )

    def _take(self, writer: SegmentWriter) -> None:
        self._began = self._clock.monotonic()
        self._unreceipted = 0
        self._writer = writer

    def _open(self) -> SegmentWriter:
        if self._writer is None:
            raise ProtocolViolationError("a part of a segment that did not begin")
        return self._writer

    async def _send_receipt(self, writer: SegmentWriter) -> None:
        self._unreceipted = 0
        await self._replies.receipt(writer)
