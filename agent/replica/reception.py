"""Acts on what an admitted source sends: segments become points, and every message is answered in order."""

import asyncio

import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from agent.replica.incoming import (
    Abandon,
    Batch,
    Begin,
    End,
    Ended,
    GrantEnded,
    Incoming,
    Open,
    Present,
    ProtocolViolationError,
)
from agent.replica.permission import Permission
from agent.replica.points import SealedPoint
from agent.replica.replica import Replica
from agent.replica.writer import SegmentWriter
from replikera.ports.clock import Clock
from replikera.ports.streams import MessageStream
from replikera.wire.v1 import replication_pb2 as wire

RECEIPT_BYTES = 8 << 20
"""An eighth of the source's window."""

log = structlog.get_logger(__name__)


class Reception:
    """One conversation of a replica with its source, for as long as `permission` lasts."""

    def __init__(
        self, stream: MessageStream, replica: Replica, permission: Permission, clock: Clock
    ) -> None:
        self._stream = stream
        self._replica = replica
        self.permission = permission
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
            case Begin() | Batch() | End() | Abandon():
                self.permission.check()
                await self._receive(message)
        return True

    async def _receive(self, message: Begin | Batch | End | Abandon) -> None:
        match message:
            case Batch():
                await self._add(message)
            case Begin():
                await self._begin(message)
            case End():
                await self._seal(message)
            case Abandon():
                await self._abandon(message)

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
