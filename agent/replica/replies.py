"""What a target says to the source of a replica."""

import asyncio
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from agent.replica.errors import ReplicaError
from agent.replica.history import Head
from agent.replica.lineage import Arriving
from agent.replica.pass_file import PassState
from agent.replica.points import SealedPoint
from replikera.ports.streams import MessageStream, StreamClosedError
from replikera.wire.v1 import replication_pb2 as wire
from replikera.wire.v1 import types_pb2

ANSWER_SECONDS = 60.0
"""Without a read at the source for that long it hangs: whoever waits for it keeps the replica from others."""


class Received(Protocol):
    """What a receipt tells of a segment or a pass."""

    @property
    def received_records(self) -> int:
        """Return the records that arrived and were right."""

    @property
    def received_bytes(self) -> int:
        """Return the payload bytes that arrived and were right."""

    @property
    def durable_records(self) -> int:
        """Return the records that survive a crash."""


class Replies:
    """Sends answers. Every method raises `StreamClosedError`, also where the source does not read."""

    def __init__(self, stream: MessageStream) -> None:
        self._stream = stream

    async def opened(self, head: Head, arriving: Arriving) -> None:
        """Answer OpenReplica."""
        opened = wire.ReplicaOpened(
            sequence=head.sequence,
            chain_digest=head.chain_digest if head.sequence else b"",
            attempt_floor=head.attempt_floor,
            durable_records=arriving.durable_records,
            open_attempt=arriving.attempt,
        )
        await self._send(wire.ReplicateResponse(opened=opened))

    async def receipt(self, received: Received) -> None:
        """Free the window."""
        receipt = wire.Receipt(
            received_records=received.received_records,
            received_bytes=received.received_bytes,
            durable_records=received.durable_records,
        )
        await self._send(wire.ReplicateResponse(receipt=receipt))

    async def sealed(self, point: SealedPoint) -> None:
        """Answer SegmentEnd or PassEnd."""
        sealed_at = Timestamp()
        sealed_at.FromDatetime(point.sealed_at)
        sealed = wire.Sealed(
            generation=point.generation,
            sequence=point.sequence,
            chain_digest=point.chain_digest,
            sealed_at=sealed_at,
        )
        await self._send(wire.ReplicateResponse(sealed=sealed))

    async def abandoned(self, sequence: int, floor: int) -> None:
        """Answer Abandon."""
        abandoned = wire.Abandoned(sequence=sequence, attempt_floor=floor)
        await self._send(wire.ReplicateResponse(abandoned=abandoned))

    async def pass_opened(self, state: PassState) -> None:
        """Answer PassBegin."""
        opened = wire.PassOpened(
            chunk=state.chunk,
            digest=state.digest,
            watermarks=state.watermarks,
            records=state.records,
            payload_bytes=state.payload_bytes,
            is_seeded=state.is_seeded,
        )
        await self._send(wire.ReplicateResponse(pass_opened=opened))

    async def chunk_durable(self, state: PassState) -> None:
        """Answer ChunkEnd."""
        durable = wire.ChunkDurable(number=state.chunk, digest=state.digest)
        await self._send(wire.ReplicateResponse(chunk_durable=durable))

    async def digests(self, sequence: int, digests: bytes) -> None:
        """Answer DigestRequest."""
        answer = wire.Digests(sequence=sequence, digests=digests)
        await self._send(wire.ReplicateResponse(digests=answer))

    async def refused(self, error: ReplicaError) -> None:
        """Say why the conversation ends."""
        failure = types_pb2.Failure(code=error.code, cause=error.cause, remedy=error.remedy)
        refused = wire.Refused(failure=failure, is_diverged=error.is_diverged)
        await self._send(wire.ReplicateResponse(refused=refused))

    async def _send(self, message: wire.ReplicateResponse) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._stream.send(message.SerializeToString())
        except TimeoutError as error:
            raise StreamClosedError(
                f"host {self._stream.peer} has not read for {ANSWER_SECONDS:.0f} s"
            ) from error
