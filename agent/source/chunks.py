"""The chunks of the initial pass: each is durable at the target before what it covered is forgotten here."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent.source.answers import PassOpened
from agent.source.batching import START, Batch, beyond
from agent.source.capture import Capture
from agent.source.conversation import Conversation
from agent.source.coverage import Coverage
from agent.source.errors import weightiest
from agent.source.lane import Lane
from agent.source.passes import MAX_UNDURABLE_CHUNKS
from replikera.blocks.segment import ChunkDigest, SegmentHeader

CHUNK_PAYLOAD_BYTES = 64 << 20
CHUNK_SCANNED_BYTES = 1 << 30
CHUNK_SECONDS = 5.0
"""What a break costs at most: bytes to send again, to read again, and time."""

Persist = Callable[[int, bytes, Coverage], Awaitable[None]]
"""Is told of every chunk that became durable: number, digest, and what remains behind it."""

IsOver = Callable[[], Awaitable[bool]]
"""Tells whether the view must be left."""


@dataclass(slots=True)
class _OpenChunk:
    digest: ChunkDigest
    began: float
    payload_bytes: int = 0
    scanned_bytes: int = 0

    def is_full(self, now: float) -> bool:
        return (
            self.payload_bytes >= CHUNK_PAYLOAD_BYTES
            or self.scanned_bytes >= CHUNK_SCANNED_BYTES
            or now - self.began >= CHUNK_SECONDS
        )


@dataclass(frozen=True, slots=True)
class _SentChunk:
    number: int
    digest: bytes
    coverage: Coverage


class ChunkStream:
    """The chunks of one conversation. `records` and `payload_bytes` count over the whole pass."""

    def __init__(
        self,
        conversation: Conversation,
        header: SegmentHeader,
        opened: PassOpened,
        lane: Lane,
        persist: Persist,
    ) -> None:
        self._conversation = conversation
        self._header = header
        self._lane = lane
        self._persist = persist
        self.number = opened.chunk
        self.digest = opened.digest
        self.records = opened.records
        self.payload_bytes = opened.payload_bytes
        self._watermarks = opened.watermarks
        self._open: _OpenChunk | None = None
        self._reached = START
        self._room = asyncio.Semaphore(MAX_UNDURABLE_CHUNKS)
        self._sent: asyncio.Queue[_SentChunk | None] = asyncio.Queue()

    @property
    def is_covered(self) -> bool:
        """Tell whether the target was told that all disks are covered to their ends."""
        return self._watermarks == tuple(disk.size for disk in self._header.disks)

    async def send(self, capture: Capture, coverage: Coverage, is_over: IsOver) -> bool:
        """Send what is pending; return when it is durable, True, or as far as the view lasted, False."""

        async def deliver(batch: Batch) -> bool:
            await self._deliver(batch, coverage)
            return not await is_over()

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._confirm())
                is_whole = await self._lane.carry(capture.disks, coverage.pending, deliver)
                if self._open is not None:
                    await self._end(self._open, self._behind(coverage))
                await self._sent.put(None)
        except ExceptionGroup as failed:
            raise weightiest(failed) from failed
        return is_whole

    async def tell_watermarks(self, coverage: Coverage) -> None:
        """Send a chunk without records: nothing differed, and the target has to know that it is covered."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._confirm())
                await self._end(await self._begin(), coverage)
                await self._sent.put(None)
        except ExceptionGroup as failed:
            raise weightiest(failed) from failed

    async def _deliver(self, batch: Batch, coverage: Coverage) -> None:
        chunk = self._open or await self._begin()
        self._open = chunk
        chunk.digest.add_records(batch.records)
        await self._conversation.send_batch(batch)
        self.records += batch.record_count
        self.payload_bytes += batch.payload_bytes
        chunk.payload_bytes += batch.payload_bytes
        chunk.scanned_bytes += batch.scanned_bytes
        self._reached = batch.end
        if chunk.is_full(self._lane.clock.monotonic()):
            await self._end(chunk, self._behind(coverage))

    def _behind(self, coverage: Coverage) -> Coverage:
        return Coverage(beyond(coverage.pending, self._reached), coverage.doubtful)

    async def _begin(self) -> _OpenChunk:
        await self._room.acquire()
        self.number += 1
        await self._conversation.begin_chunk(self.number)
        digest = ChunkDigest(self._header, self.number, self.digest)
        return _OpenChunk(digest, self._lane.clock.monotonic())

    async def _end(self, chunk: _OpenChunk, behind: Coverage) -> None:
        self._open = None
        reached = behind.watermarks(self._header.disks)
        self._watermarks = tuple(map(max, self._watermarks, reached))
        self.digest = chunk.digest.finish(self._watermarks)
        await self._conversation.end_chunk(self.number, self._watermarks, self.digest)
        await self._sent.put(_SentChunk(self.number, self.digest, behind))

    async def _confirm(self) -> None:
        while (sent := await self._sent.get()) is not None:
            # The conversation has compared number and digest with those that were sent.
            await self._conversation.durable_chunk()
            await self._persist(sent.number, sent.digest, sent.coverage)
            self._room.release()
