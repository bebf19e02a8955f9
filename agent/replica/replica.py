"""The replica of one machine, for the rest of the agent: nothing here blocks."""

import asyncio
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import structlog

from agent.replica.accepted import AcceptedReplica
from agent.replica.announcements import Announcements, PointsChanged
from agent.replica.attempt import Attempt
from agent.replica.errors import ReplicaError
from agent.replica.history import Head
from agent.replica.images import NewImages
from agent.replica.lineage import Arriving, Lineage
from agent.replica.new_disks import Recovered
from agent.replica.pass_writer import PassWriter
from agent.replica.pins import Pin
from agent.replica.point_digests import DiskDigest, PointDigests, Range
from agent.replica.points import SealedPoint
from agent.replica.retention import MAX_RELEASES
from agent.replica.steps import next_step, run_steps
from agent.replica.writer import SegmentWriter
from replikera.blocks.segment import DiskGeometry
from replikera.ports.clock import Clock
from replikera.ports.workers import Worker

T = TypeVar("T")


class Replica:
    """Receives segments at one end while it applies, releases and recovers points at the other.

    Three locks: `_turn` orders reception, `_moving` is held by whoever moves the base, from begin to end, and
    `_base_lock` by whoever reads or writes it, for some hundred MiB at most. They are taken in this order.
    """

    def __init__(
        self, lineage: Lineage, worker: Worker, clock: Clock, apply_limit: asyncio.Semaphore
    ) -> None:
        self._lineage = lineage
        self._worker = worker
        self._clock = clock
        self._apply_limit = apply_limit
        self._turn = asyncio.Lock()
        self._moving = asyncio.Lock()
        self._base_lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._subscribers: list[Callable[[PointsChanged], None]] = []
        self._announcements = Announcements(lineage.history)
        self._trouble: ReplicaError | None = None
        self._log = structlog.get_logger(__name__).bind(
            protection=lineage.accepted.protection_id, machine=lineage.accepted.machine_name
        )

    @property
    def folder(self) -> Path:
        """Return the folder of the replica."""
        return self._lineage.layout.folder

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
    def is_removed(self) -> bool:
        """Tell whether it has ended."""
        return self._lineage.is_removed

    @property
    def trouble(self) -> ReplicaError | None:
        """Return why apply or release stand still, or what is wrong with the base; None for neither."""
        return self._trouble or self._lineage.trouble

    def points(self) -> tuple[SealedPoint, ...]:
        """Return the points that can be recovered, oldest first."""
        return self._lineage.history.points

    def processed(self) -> int:
        """Return the sequence of the point that the base is, which costs nothing to recover; 0 before the first."""
        return self._lineage.history.position.sequence

    def subscribe(self, callback: Callable[[PointsChanged], None]) -> None:
        """Call back on the event loop whenever points come or go, or the base has come further."""
        self._subscribers.append(callback)

    def describe(self, sequence: int) -> bytes:
        """Return the machine description of a point. Raises `ReplicaError`."""
        return self._lineage.find(sequence).machine

    async def arriving(self) -> Arriving:
        """Return what an earlier conversation left open, durable. Raises `ReplicaError`."""
        async with self._turn:
            await run_steps(self._worker, self._lineage.deltas.read_again())
            return await self._worker.run(self._lineage.arriving)

    async def begin(self, header: bytes) -> SegmentWriter:
        """Open the segment that goes on from the head. Raises `ReplicaError`."""
        async with self._turn:
            attempt = await self._worker.run(self._lineage.deltas.begin, header)
        return self._segment_writer(attempt)

    async def resume(self, number: int, records: int) -> SegmentWriter:
        """Go on with the open segment behind its durable records. Raises `ReplicaError`."""
        async with self._turn:
            attempt = await self._worker.run(self._lineage.deltas.resume, number, records)
        return self._segment_writer(attempt)

    async def begin_pass(self, header: bytes) -> PassWriter:
        """Open the pass that leads to the first point. Raises `ReplicaError`."""
        async with self._turn:
            initial = await self._worker.run(self._lineage.passes.begin, header)
        return PassWriter(
            self._lineage.passes,
            initial,
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
        """Write a point as standalone disks at the chosen paths, durably; everything else goes on meanwhile.

        The folders must exist. Raises `ReplicaError`; then nothing is left of it.
        """
        with self._lineage.hold(sequence):
            steps = self._lineage.materialise(sequence, paths)
            return await self._share_base(steps, lambda _: True) or ()

    def holding(self, sequence: int) -> AbstractContextManager[None]:
        """Keep a point from being released for as long as the context lasts. Raises `ReplicaError` for none."""
        return self._lineage.hold(sequence)

    def disk(self, sequence: int, place: int) -> DiskGeometry:
        """Return a disk of a point by its place in the list of disks. Raises `ReplicaError`."""
        disks = self._lineage.find(sequence).disks
        if place >= len(disks):
            names = ", ".join(f"{number} ({disk.name})" for number, disk in enumerate(disks))
            raise ReplicaError(
                "unknown-disk",
                f"Point {sequence} of {self.accepted.machine_name} has no disk {place}; it has {names}.",
                "Choose one of these with --disk.",
            )
        return disks[place]

    async def materialise_disk(
        self, sequence: int, place: int, path: Path, images: NewImages
    ) -> None:
        """Write one disk of a point to a new file, durably. Raises `ReplicaError`; then nothing is left of it."""
        steps = self._lineage.materialise_disk(sequence, place, path, images)
        await self._share_base(steps, lambda _: True)

    async def make_children(self, holder: str, paths: Callable[[DiskGeometry], Path]) -> Recovered:
        """Write the point that a holder has pinned as children of the base at the chosen paths, durably.

        They are good for as long as the pin stays. The folders must exist. Raises `ReplicaError`; then nothing is left.
        """
        steps = self._lineage.make_children(holder, paths)
        return await self._share_base(steps, lambda _: True) or ()

    async def digests(self, sequence: int, ranges: Sequence[Range]) -> bytes:
        """Return the BLAKE3 digests of ranges of a point, 32 bytes each. Raises `ReplicaError`.

        At most 256 ranges of at most 1 MiB each. The view of the point stays open for the next call.
        """
        async with self._base_lock:
            steps = self._lineage.range_digests(sequence, ranges)
            return await run_steps(self._worker, steps) or b""

    async def point_digests(
        self, sequence: int, progress: Callable[[int, int], None]
    ) -> tuple[DiskDigest, ...]:
        """Return the SHA-256 of every disk of a point; points come and go and the base moves meanwhile.

        `progress` is called with the bytes that are done and all bytes. Raises `ReplicaError`.
        """
        return await self._digests(sequence, None, progress)

    async def disk_digest(
        self, sequence: int, place: int, progress: Callable[[int, int], None]
    ) -> DiskDigest:
        """Return the SHA-256 of one disk of a point, as `point_digests` does of all."""
        return (await self._digests(sequence, place, progress))[0]

    async def _digests(
        self, sequence: int, only: int | None, progress: Callable[[int, int], None]
    ) -> tuple[DiskDigest, ...]:
        with self._lineage.hold(sequence):
            digests = PointDigests(self._lineage.find(sequence).disks, only)
            while digests.digests is None:
                async with self._base_lock:
                    await run_steps(self._worker, self._lineage.digest_slice(sequence, digests))
                progress(digests.done_bytes, digests.total_bytes)
            return digests.digests

    async def pin(self, holder: str, sequence: int) -> None:
        """Keep a point, and the base as it is, for a holder, durably; the same again changes nothing.

        An apply that runs ends at its next boundary first, and goes on when the last pin is gone: then the base may be
        in doubt, which a view of any point makes up for. Reception goes on. Raises `ReplicaError`.
        """
        self._lineage.ask_to_stop()
        try:
            async with self._base_lock:
                await self._worker.run(self._lineage.pin, holder, sequence)
        finally:
            self._lineage.allow_apply()
            self.wake()

    async def unpin(self, holder: str) -> None:
        """Give up what a holder keeps, durably; nothing kept is no error. Raises `ReplicaError`."""
        async with self._base_lock:
            await self._worker.run(self._lineage.unpin, holder)
        self.wake()

    def pins(self) -> tuple[Pin, ...]:
        """Return who keeps the base as it is."""
        return self._lineage.pins

    async def remove(self, exports: Path | None) -> None:
        """End the replica; the disks of its newest point stay in a folder of `exports`, none without.

        Everything that is asked of it later is refused. Raises `ReplicaError`, and then it is as it was.
        """
        self._lineage.ask_to_stop()
        try:
            async with self._turn, self._moving, self._base_lock:
                await run_steps(self._worker, self._lineage.remove(exports))
        finally:
            self._lineage.allow_apply()

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
            while self._lineage.has_work:
                async with self._moving, self._apply_limit:
                    await self._apply()
        finally:
            # Also when the volume is full: what is released may be the room that apply needs.
            await self._release_expired()

    async def _release_expired(self) -> None:
        count = MAX_RELEASES
        while count == MAX_RELEASES:
            async with self._base_lock:
                count = await self._release()
        async with self._base_lock:
            await self._worker.run(self._lineage.drop_unused_view)

    async def _apply(self) -> None:
        try:
            await self._share_base(self._lineage.apply_next(self._clock.now()), bool)
        finally:
            self._announce()

    async def _share_base(self, steps: Generator[T], is_rest: Callable[[T], bool]) -> T | None:
        """Run a generator as `run_steps` does, and let others have the base where it rests."""
        last: T | None = None
        try:
            while True:
                async with self._base_lock:
                    while (turn := await self._worker.run(next_step, steps)) is not None:
                        last = turn[0]
                        if is_rest(last):
                            break
                    else:
                        return last
        finally:
            await self._worker.run(steps.close)

    async def _release(self) -> int:
        retention = self._lineage.accepted.retention
        try:
            return await self._worker.run(self._lineage.release, self._clock.now(), retention)
        finally:
            self._announce()

    def _segment_writer(self, attempt: Attempt) -> SegmentWriter:
        return SegmentWriter(
            self._lineage.deltas,
            attempt,
            worker=self._worker,
            clock=self._clock,
            turn=self._turn,
            on_sealed=self._sealed,
        )

    def _sealed(self) -> None:
        self._announce()
        self.wake()

    def _announce(self) -> None:
        change = self._announcements.take(self._lineage.history)
        if change is None:
            return
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
