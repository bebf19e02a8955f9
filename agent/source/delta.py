"""Sends one view's changes as a segment; after a break it goes on where the target has made records durable."""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent.source.answers import Opened, SealedPoint
from agent.source.batching import (
    START,
    Batch,
    Position,
    beyond,
    read_bytes_of,
)
from agent.source.capture import Capture
from agent.source.conversation import Conversation
from agent.source.lane import Lane
from agent.source.trailers import trailer_of
from replikera.blocks.extents import Extents
from replikera.blocks.segment import ChainDigest, SegmentHeader

MAX_CHECKPOINTS = 4096
"""Between two marks of durability, 5 s apart at most, lie fewer; each takes 2 KiB."""

BeforeEnd = Callable[[bytes], Awaitable[None]]
"""Is given the segment's digest before the trailer leaves."""

Check = Callable[[], Awaitable[None]]
"""Raises where the view must not be used any longer."""


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """The segment behind some batch: from here on it could be sent again."""

    records: int
    payload_bytes: int
    digest: ChainDigest
    position: Position


class DeltaTransfer:
    """One attempt at one segment. What has left once is the same every time: its digest may be known already."""

    def __init__(
        self,
        header: SegmentHeader,
        capture: Capture,
        extents: tuple[Extents, ...],
        machine: bytes | None,
        lane: Lane,
        *,
        name: str = "",
    ) -> None:
        """`machine` is None where the point before has the same description. Most points have no `name`."""
        self.header = header
        self.capture = capture
        self.extents = extents
        self._machine = machine
        self._lane = lane
        self._name = name
        self._now = _Checkpoint(0, 0, ChainDigest(header), START)
        self._checkpoints: deque[_Checkpoint] = deque(maxlen=MAX_CHECKPOINTS)
        self._ending: tuple[bytes, bytes] | None = None

    @property
    def total_bytes(self) -> int:
        """Return the bytes to read for the whole segment."""
        return read_bytes_of(self.capture.disks, self.extents)

    def can_resume(self, opened: Opened) -> bool:
        """Tell whether the target holds a beginning of this very attempt from which it can go on."""
        if opened.open_attempt != self.header.attempt or not opened.durable_records:
            return False
        # A trailer that may have left fixes all records: none of them can be sent in another form.
        is_fixed = self._ending is not None and opened.durable_records != self._now.records
        return not is_fixed and self._checkpoint(opened.durable_records) is not None

    async def send(
        self, conversation: Conversation, before_end: BeforeEnd, check: Check
    ) -> SealedPoint:
        """Begin the segment, send it, and return when the target has sealed it."""
        self._lane.progress.begin(self.total_bytes)
        await conversation.begin(self.header.encode())
        return await self._send(conversation, before_end, check)

    async def resume(
        self, conversation: Conversation, records: int, before_end: BeforeEnd, check: Check
    ) -> SealedPoint:
        """Go on behind the records that the target made durable; see `can_resume` and `send`."""
        found = self._checkpoint(records)
        if found is None:
            raise AssertionError("there is no such checkpoint")
        self._now = _Checkpoint(
            found.records, found.payload_bytes, found.digest.copy(), found.position
        )
        remaining = read_bytes_of(self.capture.disks, beyond(self.extents, found.position))
        total = self.total_bytes
        self._lane.progress.begin(total, total - remaining, found.payload_bytes)
        await conversation.resume(self.header.attempt, records, found.payload_bytes)
        return await self._send(conversation, before_end, check)

    async def _send(
        self, conversation: Conversation, before_end: BeforeEnd, check: Check
    ) -> SealedPoint:
        async def deliver(batch: Batch) -> bool:
            await check()
            await self._deliver(conversation, batch)
            return True

        if self._ending is None:
            todo = beyond(self.extents, self._now.position)
            await self._lane.carry(self.capture.disks, todo, deliver)
            trailer = trailer_of(
                self.capture,
                self._machine,
                records=self._now.records,
                payload_bytes=self._now.payload_bytes,
                name=self._name,
            )
            self._ending = trailer, self._now.digest.finish(trailer)
        trailer, digest = self._ending
        await before_end(digest)
        return await conversation.end(trailer, digest)

    async def _deliver(self, conversation: Conversation, batch: Batch) -> None:
        before = self._now
        before.digest.add_records(batch.records)
        await conversation.send_batch(batch)
        self._now = _Checkpoint(
            before.records + batch.record_count,
            before.payload_bytes + batch.payload_bytes,
            before.digest,
            batch.end,
        )
        kept = _Checkpoint(
            self._now.records, self._now.payload_bytes, self._now.digest.copy(), batch.end
        )
        self._checkpoints.append(kept)
        while self._checkpoints[0].records < conversation.durable_records:
            self._checkpoints.popleft()

    def _checkpoint(self, records: int) -> _Checkpoint | None:
        for checkpoint in self._checkpoints:
            if checkpoint.records == records:
                return checkpoint
        return None
