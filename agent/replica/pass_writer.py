"""The receiver's handle on the initial pass, for one conversation."""

import asyncio
from collections.abc import Callable, Generator, Sequence

from agent.replica.initial_pass import InitialPass
from agent.replica.messages import Range
from agent.replica.pass_file import PassState
from agent.replica.passes import Passes
from agent.replica.points import SealedPoint
from agent.replica.steps import next_step, run_steps
from replikera.ports.clock import Clock
from replikera.ports.files import Buffer
from replikera.ports.workers import Worker


class PassWriter:
    """Stores chunks as they arrive. Every method raises `ReplicaError`. `leave` comes last."""

    def __init__(
        self,
        passes: Passes,
        initial: InitialPass,
        *,
        worker: Worker,
        clock: Clock,
        turn: asyncio.Lock,
        on_sealed: Callable[[], None],
    ) -> None:
        self._passes = passes
        self._initial = initial
        self._worker = worker
        self._clock = clock
        self._turn = turn
        self._on_sealed = on_sealed
        self._filling: Generator[None] = passes.fill(initial)

    @property
    def attempt(self) -> int:
        """Return the number of the pass."""
        return self._initial.header.attempt

    @property
    def state(self) -> PassState | None:
        """Return how far the pass is durable, None while it is filled."""
        return self._initial.state

    @property
    def received_records(self) -> int:
        """Return the records that arrived in this conversation and were right."""
        return self._initial.received_records

    @property
    def received_bytes(self) -> int:
        """Return the payload bytes that arrived in this conversation and were right."""
        return self._initial.received_bytes

    @property
    def durable_records(self) -> int:
        """Return 0: what is durable of a pass is told chunk by chunk."""
        return 0

    async def fill(self) -> bool:
        """Do the next piece of what a new pass begins with; tell whether there may be more."""
        async with self._turn:
            return await self._worker.run(next_step, self._filling) is not None

    async def begin_chunk(self, number: int) -> None:
        """Begin the next chunk."""
        async with self._turn:
            await self._worker.run(self._passes.begin_chunk, self._initial, number)

    async def add(self, records: bytes, payloads: Sequence[Buffer]) -> None:
        """Check a batch, then write it; a refused batch changed nothing."""
        async with self._turn:
            await self._worker.run(self._passes.add, self._initial, records, payloads)

    async def end_chunk(self, watermarks: Sequence[int], digest: bytes) -> PassState:
        """Make the chunk durable; return how far the pass is then."""
        async with self._turn:
            return await self._worker.run(self._passes.end_chunk, self._initial, watermarks, digest)

    async def digests(self, ranges: Sequence[Range]) -> bytes:
        """Return the digests of ranges of the base as it is now, 32 bytes each."""
        async with self._turn:
            steps = self._passes.digests(self._initial, ranges)
            return await run_steps(self._worker, steps) or b""

    async def seal(self, trailer: bytes, chain_digest: bytes) -> SealedPoint:
        """Return the first point, durable."""
        async with self._turn:
            try:
                record = await self._worker.run(
                    self._passes.seal, self._initial, trailer, chain_digest, self._clock.now()
                )
            finally:
                # A caller that was cancelled may have sealed it all the same.
                self._on_sealed()
            return record.point

    async def leave(self) -> None:
        """Close the images; the pass can be gone on with. After `seal`, or twice, it does nothing."""
        async with self._turn:
            await self._worker.run(self._filling.close)
            await self._worker.run(self._passes.leave, self._initial)
