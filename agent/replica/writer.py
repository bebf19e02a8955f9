"""The receiver's handle on one attempt to receive one segment."""

import asyncio
from collections.abc import Callable, Sequence

from agent.replica.attempt import Attempt
from agent.replica.deltas import Deltas
from agent.replica.points import SealedPoint
from replikera.ports.clock import Clock
from replikera.ports.files import Buffer
from replikera.ports.workers import Worker

SYNC_BYTES = 64 << 20
SYNC_SECONDS = 5.0
"""What a crash may cost at most of an open segment: bytes, or the time in which they came."""


class SegmentWriter:
    """Stores a segment as it arrives. Superseded by the next `begin`; then every call is refused."""

    def __init__(
        self,
        deltas: Deltas,
        attempt: Attempt,
        *,
        worker: Worker,
        clock: Clock,
        turn: asyncio.Lock,
        on_sealed: Callable[[], None],
    ) -> None:
        self._deltas = deltas
        self._attempt = attempt
        self._worker = worker
        self._clock = clock
        self._turn = turn
        self._on_sealed = on_sealed
        self._synced_bytes = attempt.received_bytes
        self._synced_at = clock.monotonic()

    @property
    def attempt(self) -> int:
        """Return the number of the attempt."""
        return self._attempt.header.attempt

    @property
    def received_records(self) -> int:
        """Return the records that arrived and were right, also before an earlier conversation broke."""
        return self._attempt.received_records

    @property
    def received_bytes(self) -> int:
        """Return the payload bytes that arrived and were right, likewise."""
        return self._attempt.received_bytes

    @property
    def durable_records(self) -> int:
        """Return the records that survive a crash."""
        return self._attempt.durable_records

    @property
    def is_sync_due(self) -> bool:
        """Tell whether a crash now would cost too much; false where nothing is new."""
        if self._attempt.received_records == self._attempt.durable_records:
            return False
        is_much = self._attempt.received_bytes - self._synced_bytes >= SYNC_BYTES
        return is_much or self._clock.monotonic() - self._synced_at >= SYNC_SECONDS

    async def add(self, records: bytes, payloads: Sequence[Buffer]) -> None:
        """Check a batch, then write it. Raises `ReplicaError`; a refused batch changed nothing."""
        async with self._turn:
            await self._worker.run(self._deltas.add, self._attempt, records, payloads)

    async def sync(self) -> None:
        """Make what has arrived by now durable, while more may arrive. Raises `ReplicaError`."""
        self._synced_bytes = self._attempt.received_bytes
        self._synced_at = self._clock.monotonic()
        await self._worker.run(self._deltas.sync, self._attempt)

    async def seal(self, trailer: bytes, chain_digest: bytes) -> SealedPoint:
        """Return the point, durable. Raises `ReplicaError`."""
        async with self._turn:
            try:
                record = await self._worker.run(
                    self._deltas.seal, self._attempt, trailer, chain_digest, self._clock.now()
                )
            finally:
                # A caller that was cancelled may have sealed it all the same.
                self._on_sealed()
            return record.point

    async def discard(self) -> None:
        """Remove what arrived; after `seal`, or twice, it does nothing."""
        async with self._turn:
            await self._worker.run(self._deltas.discard, self._attempt)
