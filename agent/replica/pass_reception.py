"""Takes the initial pass of one conversation: it is opened where it was, chunks arrive, its base becomes a point."""

from contextlib import suppress

import structlog

from agent.replica.errors import ReplicaError
from agent.replica.messages import (
    AskDigests,
    Batch,
    BeginChunk,
    BeginPass,
    EndChunk,
    EndPass,
    OfPass,
    ProtocolViolationError,
)
from agent.replica.pass_writer import PassWriter
from agent.replica.replica import Replica
from agent.replica.replies import Replies
from replikera.ports.clock import Clock

RECEIPT_BYTES = 1 << 20
"""A source that has so little on its way sends on without a receipt."""

SIGN_SECONDS = 5.0
"""How often a source hears of a target that copies a seed for it."""

log = structlog.get_logger(__name__)


class PassReception:
    """One pass at a time. Every method raises `ReplicaError`, `ProtocolViolationError`, `StreamClosedError`."""

    def __init__(self, replica: Replica, replies: Replies, clock: Clock) -> None:
        self._replica = replica
        self._replies = replies
        self._clock = clock
        self._writer: PassWriter | None = None
        self._is_in_chunk = False
        self._unreceipted = 0

    @property
    def is_open(self) -> bool:
        """Tell whether a pass has been opened and not ended."""
        return self._writer is not None

    async def act(self, message: OfPass) -> None:
        """Do what a message says."""
        match message:
            case BeginPass():
                await self._begin(message)
            case BeginChunk():
                await self._begin_chunk(message)
            case EndChunk():
                await self._end_chunk(message)
            case EndPass():
                await self._seal(message)

    async def add(self, batch: Batch) -> None:
        """Take a batch of the open chunk."""
        writer = self._open(is_in_chunk=True)
        await writer.add(batch.records, batch.payloads)
        self._unreceipted += batch.size
        if self._unreceipted >= RECEIPT_BYTES:
            self._unreceipted = 0
            await self._replies.receipt(writer)

    async def answer(self, question: AskDigests) -> None:
        """Tell what the base of the pass holds."""
        if self._writer is None:
            raise ProtocolViolationError("a question about a pass that is not open")
        digests = await self._writer.digests(question.ranges)
        await self._replies.digests(question.sequence, digests)

    async def leave(self) -> None:
        """End the conversation: the pass can be gone on with behind its last chunk. Raises nothing."""
        writer, self._writer = self._writer, None
        self._is_in_chunk = False
        if writer is not None:
            # What the storage cannot do now whoever comes next is told.
            with suppress(ReplicaError):
                await writer.leave()

    async def _begin(self, message: BeginPass) -> None:
        if self._is_in_chunk:
            raise ProtocolViolationError("a pass begins inside a chunk")
        await self.leave()
        writer = self._writer = await self._replica.begin_pass(message.header)
        self._unreceipted = 0
        told = self._clock.monotonic()
        while await writer.fill():
            if self._clock.monotonic() - told >= SIGN_SECONDS:
                await self._replies.receipt(writer)
                told = self._clock.monotonic()
        state = writer.state
        if state is None:
            raise AssertionError("a pass that is filled says how far it is")
        await self._replies.pass_opened(state)
        log.info(
            "initial pass opened",
            protection=self._replica.accepted.protection_id,
            attempt=state.attempt,
            chunk=state.chunk,
            is_seeded=state.is_seeded,
        )

    async def _begin_chunk(self, message: BeginChunk) -> None:
        await self._open(is_in_chunk=False).begin_chunk(message.number)
        self._is_in_chunk = True

    async def _end_chunk(self, message: EndChunk) -> None:
        writer = self._open(is_in_chunk=True)
        state = await writer.end_chunk(message.watermarks, message.digest)
        self._is_in_chunk = False
        await self._replies.chunk_durable(state)

    async def _seal(self, message: EndPass) -> None:
        writer = self._open(is_in_chunk=False)
        point = await writer.seal(message.trailer, message.chain_digest)
        self._writer = None
        await self._replies.sealed(point)
        log.info(
            "initial pass sealed",
            protection=self._replica.accepted.protection_id,
            attempt=writer.attempt,
            payload_bytes=point.payload_bytes,
        )

    def _open(self, *, is_in_chunk: bool) -> PassWriter:
        if self._writer is None:
            raise ProtocolViolationError("a part of a pass that is not open")
        if self._is_in_chunk is not is_in_chunk:
            where = "outside" if is_in_chunk else "inside"
            raise ProtocolViolationError(f"a message that cannot come {where} a chunk")
        return self._writer
