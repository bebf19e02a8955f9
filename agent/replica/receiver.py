"""The target's end of the replication protocol: lets in the replica's own source, checks every message, answers.

A conversation has two parts. One takes messages off the stream and decodes them, one message or batch ahead; the
other acts on them in order and is the only one that answers.
"""

import asyncio
from dataclasses import dataclass

import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from agent.replica.accepted import AcceptedReplica
from agent.replica.errors import RESYNC, ReplicaError
from agent.replica.incoming import (
    Abandon,
    Batch,
    Begin,
    End,
    Ended,
    Incoming,
    Open,
    ProtocolViolationError,
    read_messages,
)
from agent.replica.points import SealedPoint
from agent.replica.replica import Replica
from agent.replica.store import ReplicaStore
from agent.replica.writer import SegmentWriter
from replikera.ports.clock import Clock
from replikera.ports.streams import MessageStream, StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire
from replikera.wire.v1 import types_pb2

RECEIPT_BYTES = 8 << 20
"""An eighth of the source's window."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Live:
    """The conversation that a protection has now."""

    tenure: asyncio.Timeout
    finished: asyncio.Event
    is_replaced: bool = False

    def replace(self) -> None:
        """End it soon, once."""
        if not self.is_replaced:
            self.is_replaced = True
            self.tenure.reschedule(0)


class Receiver:
    """Serves the replication conversations of one host."""

    def __init__(self, store: ReplicaStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._live: dict[str, _Live] = {}

    async def serve(self, stream: MessageStream) -> None:
        """Hold one conversation; returns when it is over."""
        incoming: asyncio.Queue[Incoming] = asyncio.Queue(1)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read_messages(stream, incoming))
            try:
                await self._answer(stream, incoming)
            except StreamClosedError as error:
                log.info("replication conversation broke", source=stream.peer, cause=str(error))
            finally:
                reading.cancel()

    async def _answer(self, stream: MessageStream, incoming: "asyncio.Queue[Incoming]") -> None:
        try:
            replica = self._admit(stream.peer, await incoming.get())
            conversation = _Conversation(stream, replica, self._clock)
            await self._hold_alone(conversation, incoming)
        except ReplicaError as error:
            await _refuse(stream, error)
        except ProtocolViolationError as error:
            await _refuse(stream, _violation(stream.peer, error))

    def _admit(self, peer: str, first: Incoming) -> Replica:
        match first:
            case Open():
                accepted = (replica := self._store.get(first.protection_id)).accepted
            case Ended(violation=None):
                raise StreamClosedError(f"host {peer} said nothing")
            case Ended(violation=ProtocolViolationError() as violation):
                raise violation
            case _:
                raise ProtocolViolationError("the conversation does not begin with OpenReplica")
        if peer != accepted.source_host_id:
            raise ReplicaError(
                "foreign-source",
                f"Host {peer} is not the source of protection {first.protection_id}.",
                "Only the protected machine's host replicates it; enable protection there.",
            )
        _check_epoch(first, accepted)
        return replica

    async def _hold_alone(
        self, conversation: "_Conversation", incoming: "asyncio.Queue[Incoming]"
    ) -> None:
        """Hold a conversation after the older one about the protection: its host has lost or left that one."""
        protection_id = conversation.protection_id
        while (older := self._live.get(protection_id)) is not None:
            older.replace()
            await older.finished.wait()
        live = _Live(asyncio.timeout(None), asyncio.Event())
        self._live[protection_id] = live
        try:
            async with live.tenure:
                await conversation.hold(incoming)
        except TimeoutError:
            if not live.is_replaced:
                raise
            log.info("replication conversation replaced", protection=protection_id)
        finally:
            del self._live[protection_id]
            live.finished.set()


class _Conversation:
    """Acts on what an admitted source sends, in order."""

    def __init__(self, stream: MessageStream, replica: Replica, clock: Clock) -> None:
        self._stream = stream
        self._replica = replica
        self._clock = clock
        self._writer: SegmentWriter | None = None
        self._unreceipted = 0
        self._began = 0.0

    @property
    def protection_id(self) -> str:
        """Return what the conversation is about."""
        return self._replica.accepted.protection_id

    async def hold(self, incoming: "asyncio.Queue[Incoming]") -> None:
        """Answer until the source ends the conversation; what is not sealed then is removed.

        Raises `ReplicaError`, `ProtocolViolationError` and `StreamClosedError`.
        """
        head = self._replica.head
        opened = wire.ReplicaOpened(
            sequence=head.sequence,
            chain_digest=head.chain_digest if head.sequence else b"",
            attempt_floor=head.attempt_floor,
        )
        await self._send(wire.ReplicateResponse(opened=opened))
        try:
            while await self._act(await incoming.get()):
                pass
        finally:
            if self._writer is not None:
                await self._writer.discard()

    async def _act(self, message: Incoming) -> bool:
        match message:
            case Batch():
                await self._add(message)
            case Begin():
                await self._begin(message)
            case End():
                await self._seal(message)
            case Abandon():
                await self._abandon(message)
            case Open():
                raise ProtocolViolationError("the conversation was opened twice")
            case Ended():
                if message.violation is not None:
                    raise message.violation
                return False
        return True

    async def _begin(self, message: Begin) -> None:
        if self._writer is not None:
            raise ProtocolViolationError("a segment begins inside a segment")
        self._began = self._clock.monotonic()
        self._unreceipted = 0
        self._writer = await self._replica.begin(message.header)

    async def _add(self, batch: Batch) -> None:
        if self._writer is None:
            raise ProtocolViolationError("a batch outside a segment")
        await self._writer.add(batch.records, batch.payloads)
        self._unreceipted += len(batch.records) + sum(len(payload) for payload in batch.payloads)
        if self._unreceipted >= RECEIPT_BYTES:
            await self._send_receipt(self._writer)

    async def _seal(self, message: End) -> None:
        writer = self._writer
        if writer is None:
            raise ProtocolViolationError("the end of a segment that did not begin")
        await self._send_receipt(writer)
        # From here on the segment may be a point: removing it is no longer this conversation's to decide.
        self._writer = None
        point = await writer.seal(message.trailer, message.chain_digest)
        await self._send(_sealed(point))
        log.info(
            "recovery point sealed",
            protection=self.protection_id,
            sequence=point.sequence,
            payload_bytes=point.payload_bytes,
            seconds=round(self._clock.monotonic() - self._began, 3),
        )

    async def _abandon(self, message: Abandon) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await writer.discard()
        floor = await self._replica.abandon(message.generation, message.sequence, message.attempt)
        answer = wire.Abandoned(sequence=message.sequence, attempt_floor=floor)
        await self._send(wire.ReplicateResponse(abandoned=answer))

    async def _send_receipt(self, writer: SegmentWriter) -> None:
        self._unreceipted = 0
        receipt = wire.Receipt(
            received_records=writer.received_records,
            received_bytes=writer.received_bytes,
            durable_records=writer.durable_records,
        )
        await self._send(wire.ReplicateResponse(receipt=receipt))

    async def _send(self, message: wire.ReplicateResponse) -> None:
        await self._stream.send(message.SerializeToString())


def _check_epoch(opening: Open, accepted: AcceptedReplica) -> None:
    if opening.epoch < accepted.epoch:
        raise ReplicaError(
            "stale-epoch",
            f"Epoch {opening.epoch} of protection {opening.protection_id} is over; "
            f"{accepted.epoch} is in force.",
            "This host is no longer the source; nothing is to be done.",
        )
    if opening.epoch > accepted.epoch:
        raise ReplicaError(
            "unknown-epoch",
            f"Epoch {opening.epoch} of protection {opening.protection_id} is not known here yet; "
            f"{accepted.epoch} is in force.",
            "Wait until the vault has told the target host; replication then continues by itself.",
        )
    if opening.generation != accepted.generation:
        raise ReplicaError(
            "foreign-generation",
            f"The replica of protection {opening.protection_id} belongs to another generation.",
            RESYNC,
            is_diverged=True,
        )


def _violation(peer: str, error: ProtocolViolationError) -> ReplicaError:
    return ReplicaError(
        "protocol-violation",
        f"Host {peer} broke the replication protocol: {error}.",
        "Install the same version of the agent on both hosts.",
    )


async def _refuse(stream: MessageStream, error: ReplicaError) -> None:
    log.warning("replication refused", source=stream.peer, code=error.code, cause=error.cause)
    failure = types_pb2.Failure(code=error.code, cause=error.cause, remedy=error.remedy)
    refused = wire.Refused(failure=failure, is_diverged=error.is_diverged)
    await stream.send(wire.ReplicateResponse(refused=refused).SerializeToString())


def _sealed(point: SealedPoint) -> wire.ReplicateResponse:
    sealed_at = Timestamp()
    sealed_at.FromDatetime(point.sealed_at)
    sealed = wire.Sealed(
        generation=point.generation,
        sequence=point.sequence,
        chain_digest=point.chain_digest,
        sealed_at=sealed_at,
    )
    return wire.ReplicateResponse(sealed=sealed)
