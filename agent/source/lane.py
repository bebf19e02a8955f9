"""The way of one protection's data: read ahead of the sender, within the host's budget and the protection's limits."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from agent.budget import ByteBudget, Share
from agent.source.batching import (
    READ_AHEAD_BATCHES,
    Batch,
    CapturedDisk,
    Piece,
    batch_bytes,
    plan_batches,
    read_batch,
)
from agent.source.compression import CodecChoice, Pace
from agent.source.errors import weightiest
from agent.source.host import SourceHost
from agent.source.progress import Progress
from agent.source.record import ProtectionRecord
from agent.source.throttle import Throttle
from replikera.blocks.extents import Extents
from replikera.blocks.segment import Codec
from replikera.ports.clock import Clock
from replikera.ports.workers import Worker

P = ParamSpec("P")
T = TypeVar("T")

Deliver = Callable[[Batch], Awaitable[bool]]
"""Takes a batch on, and tells whether more may follow."""


@dataclass(frozen=True, slots=True)
class _ReadBatch:
    batch: Batch
    held_bytes: int


class Lane:
    """Of one protection. `progress` is told what was read and what left; `on_progress` that it moved."""

    def __init__(
        self, host: SourceHost, record: ProtectionRecord, on_progress: Callable[[], None]
    ) -> None:
        self._worker: Worker = host.worker
        self._budget: ByteBudget = host.budget
        self.clock: Clock = host.clock
        self.progress = Progress(host.clock)
        self._record = record
        self._on_progress = on_progress
        self._codecs = CodecChoice()
        self._throttle = Throttle(lambda: record.state.assignment.throttle, host.clock, host.zone)

    async def carry(
        self, disks: Sequence[CapturedDisk], extents: Sequence[Extents], deliver: Deliver
    ) -> bool:
        """Read ranges of the disks and deliver them in order, batch by batch; tell whether all were delivered.

        The settings that count are those of the moment. Raises what reading and delivering raise.
        """
        plan = plan_batches(disks, extents, lambda: batch_bytes(self._budget.part))
        # One batch is with the reader, the others wait.
        waiting: asyncio.Queue[_ReadBatch | None] = asyncio.Queue(READ_AHEAD_BATCHES - 1)
        with self._budget.share() as share:
            try:
                async with asyncio.TaskGroup() as group:
                    reading = group.create_task(self._read(plan, share, waiting))
                    is_whole = await self._forward(waiting, share, deliver)
                    reading.cancel()
            except ExceptionGroup as failed:
                raise weightiest(failed) from failed
        return is_whole

    async def read(
        self, count: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a blocking call that reads `count` bytes of a view and keeps none of them."""
        with self._budget.share() as share:
            await share.take(count)
            return await self._worker.run(function, *args, **kwargs)

    def advance(self, done: int, sent: int = 0) -> None:
        """Count progress."""
        self.progress.add(done, sent)
        self._on_progress()

    async def _read(
        self,
        plan: Iterable[tuple[Piece, ...]],
        share: Share,
        waiting: "asyncio.Queue[_ReadBatch | None]",
    ) -> None:
        for pieces in plan:
            count = sum(piece.read_bytes for piece in pieces)
            # Before anything is held: who may not send keeps nobody else from reading.
            await self._throttle.take(count)
            await share.take(count)
            batch = await self._worker.run(read_batch, pieces, self._codec())
            self._throttle.give(count - batch.payload_bytes)
            await waiting.put(_ReadBatch(batch, count))
        await waiting.put(None)

    def _codec(self) -> Codec:
        return self._codecs.codec(self._record.state.assignment.compression)

    async def _forward(
        self, waiting: "asyncio.Queue[_ReadBatch | None]", share: Share, deliver: Deliver
    ) -> bool:
        while True:
            asked = self.clock.monotonic()
            entry = await waiting.get()
            if entry is None:
                return True
            got = self.clock.monotonic()
            may_go_on = await deliver(entry.batch)
            share.give(entry.held_bytes)
            self._note(entry.batch, got - asked, self.clock.monotonic() - got)
            if not may_go_on:
                return False

    def _note(self, batch: Batch, reading: float, sending: float) -> None:
        if batch.data_bytes:
            self._codecs.note(Pace(batch.data_bytes, batch.payload_bytes, reading, sending))
        self.advance(batch.scanned_bytes, batch.payload_bytes)
