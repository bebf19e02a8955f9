"""Acts on what an admitted source sends, in its order, and answers."""

import asyncio

from agent.budget import Share
from agent.replica.messages import (
    Abandon,
    AskDigests,
    Batch,
    Begin,
    BeginChunk,
    BeginPass,
    End,
    EndChunk,
    Ended,
    EndPass,
    GrantEnded,
    Incoming,
    OfPass,
    OfSegment,
    Open,
    Present,
    ProtocolViolationError,
    Resume,
)
from agent.replica.pass_reception import PassReception
from agent.replica.permission import Permission
from agent.replica.replica import Replica
from agent.replica.replies import Replies
from agent.replica.segment_reception import SegmentReception
from replikera.ports.clock import Clock
from replikera.ports.streams import MessageStream


class Reception:
    """One conversation of a replica with its source, for as long as `permission` lasts."""

    def __init__(
        self,
        stream: MessageStream,
        replica: Replica,
        permission: Permission,
        clock: Clock,
        share: Share,
    ) -> None:
        """Batches come with their bytes taken of `share`."""
        self._replica = replica
        self._share = share
        self._replies = Replies(stream)
        self.permission = permission
        self.segments = SegmentReception(replica, self._replies, clock)
        self.passes = PassReception(replica, self._replies, clock)

    @property
    def protection_id(self) -> str:
        """Return what the conversation is about."""
        return self._replica.accepted.protection_id

    async def hold(self, incoming: "asyncio.Queue[Incoming]") -> None:
        """Answer until the source ends the conversation; what is not sealed then can be gone on with.

        Raises `ReplicaError`, `ProtocolViolationError` and `StreamClosedError`.
        """
        arriving = await self._replica.arriving()
        await self._replies.opened(self._replica.head, arriving)
        try:
            while await self._act(await incoming.get()):
                pass
        finally:
            await self._leave()

    async def _act(self, message: Incoming) -> bool:
        match message:
            case Present():
                await self.permission.renew(message.grant)
            case Ended():
                if message.violation is not None:
                    raise message.violation
                return False
            case Open():
                raise ProtocolViolationError("the conversation was opened twice")
            case GrantEnded():
                self.permission.check()
            case _:
                self.permission.check()
                await self._receive(message)
        return True

    async def _receive(self, message: OfSegment | OfPass | Batch | Abandon | AskDigests) -> None:
        match message:
            case Batch():
                await self._add(message)
            case Begin() | Resume() | End():
                await self._act_on_segment(message)
            case BeginPass() | BeginChunk() | EndChunk() | EndPass():
                await self._act_on_pass(message)
            case AskDigests():
                await self._answer(message)
            case Abandon():
                await self._abandon(message)

    async def _add(self, batch: Batch) -> None:
        try:
            if self.passes.is_open:
                await self.passes.add(batch)
            else:
                await self.segments.add(batch)
        finally:
            self._share.give(batch.size)

    async def _act_on_segment(self, message: OfSegment) -> None:
        if self.passes.is_open:
            raise ProtocolViolationError("a segment inside a pass")
        await self.segments.act(message)

    async def _act_on_pass(self, message: OfPass) -> None:
        if self.segments.is_open:
            raise ProtocolViolationError("a pass inside a segment")
        await self.passes.act(message)

    async def _answer(self, question: AskDigests) -> None:
        if not question.sequence:
            await self.passes.answer(question)
            return
        digests = await self._replica.digests(question.sequence, question.ranges)
        await self._replies.digests(question.sequence, digests)

    async def _abandon(self, message: Abandon) -> None:
        await self._leave()
        floor = await self._replica.abandon(message.generation, message.sequence, message.attempt)
        await self._replies.abandoned(message.sequence, floor)

    async def _leave(self) -> None:
        await self.segments.leave()
        await self.passes.leave()
