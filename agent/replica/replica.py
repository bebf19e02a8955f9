"""The replica of one machine, for the rest of the agent: nothing here blocks."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.replica.accepted import AcceptedReplica
from agent.replica.errors import ReplicaError
from agent.replica.history import Head
from agent.replica.lineage import Lineage
from agent.replica.materialise import Recovered
from agent.replica.points import SealedPoint
from agent.replica.retention import MAX_RELEASES
from agent.replica.steps import run_steps
from agent.replica.writer import SegmentWriter
from replikera.blocks.segment import DiskGeometry
from replikera.ports.clock import Clock
from replikera.ports.workers import Worker


@dataclass(frozen=True, slots=True)
class PointsChanged:
    """Points that are new, and sequences of points that cannot be chosen any more."""

    points: tuple[SealedPoint, ...]
    released: tuple[int, ...]


class Replica:
    """Receives segments at one end while it applies, releases and recovers points at the other.

    Two locks: `_turn` orders reception, `_base_lock` keeps apply and release away while a point is recovered.
    """

    def __init__(
        self, lineage: Lineage, worker: Worker, clock: Clock, apply_limit: asyncio.Semaphore
    ) -> None:
        self._lineage = lineage
        self._worker = worker
        self._clock = clock
        self._apply_limit = apply_limit
        self._turn = asyncio.Lock()
        self._base_lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._subscribers: list[Callable[[PointsChanged], None]] = []
        self._announced = lineage.history.points
        self._trouble: ReplicaError | None = None
        self._log = structlog.get_logger(__name__).bind(
            protection=lineage.accepted.protection_id, machine=lineage.accepted.machine_name
        )

    @property
    def accepted(self) -> AcceptedReplica:
        """Return the terms it is kept under."""
        return self._lineage.accepted

    @property
    def grant_version(self) -> int:
        """Return the highest version of a grant that was seen, 0 for none."""
        return self._lineage.grant_version

    @property
    def head(self) -> Head:
        """Return the newest durable point. Raises `ReplicaError` after a failed sync."""
        if self._lineage.failure is not None:
            raise self._lineage.failure
        return self._lineage.history.head

    @property
    def trouble(self) -> ReplicaError | None:
        """Return why apply or release stand still, None while they do not."""
        return self._trouble

    def points(self) -> tuple[SealedPoint, ...]:
        """Return the points that can be recovered, oldest first."""
        return self._lineage.history.points

    def subscribe(self, callback: Callable[[PointsChanged], None]) -> None:
        """Call back on the event loop whenever points come or go."""
        self._subscribers.append(callback)

    def describe(self, sequence: int) -> bytes:
        """Return the machine description of a point. Raises `ReplicaError`."""
        return self._lineage.find(sequence).machine

    async def begin(self, header: bytes) -> SegmentWriter:
        """Open the segment that goes on from the head. Raises `ReplicaError`."""
        async with self._turn:
            attempt = await self._worker.run(self._lineage.begin, header)
        return SegmentWriter(
            self._lineage,
            attempt,
            worker=self._worker,
            clock=self._clock,
            turn=self._turn,
            on_sealed=self._sealed,
        )

    async def abandon(self, generation: str, sequence: int, attempt: int) -> int:
        """Give up all attempts of the next sequence up to this one; return the durable floor."""
        async with self._turn:
            return await self._worker.run(self._lineage.abandon, generation, sequence, attempt)

    async def materialise(self, sequence: int, paths: Callable[[DiskGeometry], Path]) -> Recovered:
        """Write a point as standalone disks at the chosen paths, durably; reception goes on meanwhile.

        The folders must exist. Raises `ReplicaError`; then nothing is left of it.
        """
        async with self._base_lock:
            recovered = await run_steps(self._worker, self._lineage.materialise(sequence, paths))
        return recovered or ()

    async def change_terms(self, accepted: AcceptedReplica) -> None:
        """Keep the replica under new terms of the same lineage."""
        async with self._turn:
            await self._worker.run(self._lineage.change_terms, accepted)
        self.wake()

    async def note_grant(self, version: int) -> int:
        """Return the highest version of a grant that was seen, this one included, durably. Raises `ReplicaError`."""
        async with self._turn:
            return await self._worker.run(self._lineage.note_grant, version)

    def wake(self) -> None:
        """Look soon whether there is something to apply or to release."""
        self._wake.set()

    async def run(self) -> None:
        """Apply what is sealed and release what is past its retention, until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self.settle()
            except ReplicaError as error:
                self._note(error)
            else:
                self._note(None)
            await self._wake.wait()

    async def settle(self) -> None:
        """Apply and release all that can be now. Raises `ReplicaError`."""
        try:
            while self._lineage.history.above:
                async with self._base_lock, self._apply_limit:
                    await self._apply()
        finally:
            # Also when the volume is full: what is released may be the room that apply needs.
            await self._release_expired()

    async def _release_expired(self) -> None:
        count = MAX_RELEASES
        while count == MAX_RELEASES:
            async with self._base_lock:
                count = await self._release()

    async def _apply(self) -> None:
        try:
            await run_steps(self._worker, self._lineage.apply_next(self._clock.now()))
        finally:
            self._announce()

    async def _release(self) -> int:
        retention = self._lineage.accepted.retention
        try:
            return await self._worker.run(self._lineage.release, self._clock.now(), retention)
        finally:
            self._announce()

    def _sealed(self) -> None:
        self._announce()
        self.wake()

    def _announce(self) -> None:
        before, self._announced = self._announced, self._lineage.history.points
        known = {point.sequence for point in before}
        now = {point.sequence for point in self._announced}
        change = PointsChanged(
            points=tuple(point for point in self._announced if point.sequence not in known),
            released=tuple(sorted(known - now)),
        )
        if change.points or change.released:
            self._log.info(
                "recovery points changed",
                sealed=[point.sequence for point in change.points],
                released=len(change.released),
            )
            for callback in self._subscribers:
                callback(change)

    def _note(self, trouble: ReplicaError | None) -> None:
        if trouble is not None and (self._trouble is None or self._trouble.code != trouble.code):
            self._log.warning(
                "replica stands still",
                code=trouble.code,
                cause=trouble.cause,
                remedy=trouble.remedy,
            )
        self._trouble = trouble
