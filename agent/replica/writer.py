"""The receiver's handle on one attempt to receive one segment."""

import asyncio
from collections.abc import Callable, Sequence

from agent.replica.attempt import Attempt
from agent.replica.lineage import Lineage
from agent.replica.points import SealedPoint
from replikera.ports.clock import Clock
from replikera.ports.files import Buffer
from replikera.ports.workers import Worker


class SegmentWriter:
    """Stores a segment as it arrives. Superseded by the next `begin`; then every call is refused."""

    def __init__(
        self,
        lineage: Lineage,
        attempt: Attempt,
        *,
        worker: Worker,
        clock: Clock,
        turn: asyncio.Lock,
        on_sealed: Callable[[], None],
    ) -> None:
        self._lineage = lineage
        self._attempt = attempt
        self._worker = worker
        self._clock = clock
        self._turn = turn
        self._on_sealed = on_sealed

    @property
    def received_records(self) -> int:
        """Return the records that arrived and were right."""
        return self._attempt.received_records

    @property
    def received_bytes(self) -> int:
        """Return the payload bytes that arrived and were right."""
        return self._attempt.received_bytes

    @property
    def durable_records(self) -> int:
        """Return the records that would survive a crash: none before the segment is sealed."""
        return 0

    async def add(self, records: bytes, payloads: Sequence[Buffer]) -> None:
        """Check a batch, then write it. Raises `ReplicaError`; a refused batch changed nothing."""
        async with self._turn:
            await self._worker.run(self._lineage.add, self._attempt, records, payloads)

    async def seal(self, trailer: bytes, chain_digest: bytes) -> SealedPoint:
        """Return the point, durable. Raises `ReplicaError`."""
        async with self._turn:
            try:
                record = await self._worker.run(
                    self._lineage.seal, self._attempt, trailer, chain_digest, self._clock.now()
                )
            finally:
                # A caller that was cancelled may have sealed it all the same.
                self._on_sealed()
            return record.point

    async def discard(self) -> None:
        """Remove what arrived; after `seal`, or twice, it does nothing."""
        async with self._turn:
            await self._worker.run(self._lineage.discard, self._attempt)
