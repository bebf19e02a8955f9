"""The initial pass: everything goes to the target's base, over as many views as it takes, and becomes point 1.

In a pass everything is explicit, zeros too: the base may hold bytes of a chunk that never became durable, or a seed.
"""

from collections.abc import Callable

from agent.source.batching import read_bytes_of
from agent.source.capture import Capture
from agent.source.chunks import ChunkStream
from agent.source.comparing import THE_PASS, Comparison, extents_of, leaves_of
from agent.source.conversation import Conversation
from agent.source.coverage import Coverage
from agent.source.errors import DisksChangedError, ResyncRequiredError
from agent.source.passes import InitialPass, Leg, new_initial_pass
from agent.source.protection import Protection
from agent.source.slabs import next_slab
from agent.source.state import OpenAttempt
from agent.source.trailers import trailer_of
from replikera.blocks.segment import NO_POINT, ChainDigest, SegmentHeader


class InitialCopy:
    """One conversation's part of the pass."""

    def __init__(self, protection: Protection, conversation: Conversation) -> None:
        self._protection = protection
        self._record = protection.record
        self._views = protection.views
        self._lane = protection.lane
        self._conversation = conversation

    async def run(self) -> Capture:
        """Return the view that became point 1, acknowledged. Raises what the target and the hypervisor raise."""
        capture = await self._leg()
        self._count(capture, is_new=True)
        while True:
            header = self._header()
            chunks = await self._open(header)
            # Disks that are others in a newer view begin a pass with a number of its own.
            while header.attempt == self._initial.attempt:
                if await self._go_over(capture, chunks):
                    await self._end(capture, header, chunks)
                    return capture
                await self._views.keep(capture.view)
                capture = await self._leg()
                self._count(capture, is_new=False)

    async def _open(self, header: SegmentHeader) -> ChunkStream:
        opened = await self._conversation.begin_pass(header.encode())
        if len(opened.watermarks) != len(header.disks):
            raise self._conversation.violation(f"{len(opened.watermarks)} watermarks")
        initial = self._initial.opened(
            opened.chunk, opened.digest, opened.watermarks, is_seeded=opened.is_seeded
        )
        # Now no older end of the pass can come to anything: its digest is no longer one that may be acknowledged.
        await self._record.update(lambda state: state.pass_opened(initial))
        return ChunkStream(self._conversation, header, opened, self._lane, self._persist)

    @property
    def _initial(self) -> InitialPass:
        initial = self._record.state.initial
        if initial is None:
            raise AssertionError("no initial pass is under way")
        return initial

    def _header(self) -> SegmentHeader:
        initial = self._initial
        return self._protection.header(1, initial.attempt, NO_POINT, initial.disks)

    async def _leg(self) -> Capture:
        """Return the view that the pass goes over now: the one of before, or a new one, recorded."""
        initial = self._record.state.initial
        if initial is None:
            return await self._begin()
        try:
            if initial.leg is not None:
                found = await self._views.of_leg(initial.leg, initial.disks)
                if found is not None:
                    return found
            capture = await self._views.take(initial.disks)
        except DisksChangedError as error:
            return await self._begin_anew(error)
        changes = await self._views.changes_of_pass(capture)
        leg = Leg(capture.view.view_id, capture.started_at)
        await self._update(lambda initial: initial.on_view(leg, changes))
        return capture

    async def _begin_anew(self, error: DisksChangedError) -> Capture:
        # Nothing was promised yet: there is no point that the other disks would not fit.
        self._protection.warn(
            error.failure.code,
            f"The initial replication began anew. {error.failure.cause}",
            "Nothing is to be done.",
        )
        await self._views.release()
        await self._record.update(lambda state: state.begun_anew())
        await self._views.tidy()
        return await self._begin()

    async def _begin(self) -> Capture:
        capture = await self._views.take(())
        leg = Leg(capture.view.view_id, capture.started_at)
        attempt = self._record.state.attempt + 1
        begun = new_initial_pass(attempt, capture.geometries, leg)
        await self._record.update(lambda state: state.with_initial(begun))
        return capture

    def _count(self, capture: Capture, *, is_new: bool) -> None:
        """Tell how much there is to read before anything is."""
        coverage = self._initial.coverage
        left = [
            mine.union(old) for mine, old in zip(coverage.pending, coverage.doubtful, strict=True)
        ]
        remaining = read_bytes_of(capture.disks, left)
        progress = self._lane.progress
        if is_new:
            total = sum(disk.allocated.total() for disk in capture.disks)
            progress.begin(max(total, remaining), max(0, total - remaining))
        else:
            progress.extend(progress.done + remaining)
        self._protection.announce()

    async def _go_over(self, capture: Capture, chunks: ChunkStream) -> bool:
        """Compare and send what remains; tell whether all of it was done before the view had to be left."""

        async def is_over() -> bool:
            return bool(await self._views.excess_in_use(capture.view))

        while not (coverage := self._initial.coverage).is_complete:
            if coverage.is_doubtful:
                coverage = await self._compare(capture, coverage)
            is_left = not await chunks.send(capture, coverage, is_over) or await is_over()
            if is_left and not self._initial.coverage.is_complete:
                return False
        if not chunks.is_covered:
            await chunks.tell_watermarks(self._initial.coverage)
        return True

    async def _compare(self, capture: Capture, coverage: Coverage) -> Coverage:
        """Compare the next slab of what is doubtful; return what remains, with what differed as pending."""
        slab = next_slab(coverage.doubtful)
        allocated = [disk.allocated for disk in capture.disks]
        # Zeros need no comparison: a record of them is shorter than the question.
        zeros = [mine.subtract(data) for mine, data in zip(slab, allocated, strict=True)]
        doubted = [mine.intersect(data) for mine, data in zip(slab, allocated, strict=True)]
        comparison = Comparison(
            self._conversation, capture, THE_PASS, self._lane, self._lane.advance
        )
        found = extents_of(await comparison.differing(list(leaves_of(doubted))), len(capture.disks))
        differing = [mine.union(other) for mine, other in zip(found, zeros, strict=True)]
        compared = coverage.compared(slab, differing)
        await self._update(lambda initial: initial.covering(compared))
        progress = self._lane.progress
        progress.extend(progress.total + read_bytes_of(capture.disks, found))
        return compared

    async def _end(self, capture: Capture, header: SegmentHeader, chunks: ChunkStream) -> None:
        trailer = trailer_of(
            capture, capture.machine, records=chunks.records, payload_bytes=chunks.payload_bytes
        )
        chain = ChainDigest(header)
        chain.add_records(chunks.digest)
        digest = chain.finish(trailer)
        ending = OpenAttempt(
            1,
            header.attempt,
            capture.view.view_id,
            capture.started_at,
            capture.machine_digest,
            header.disks,
            digest,
        )
        await self._record.update(lambda state: state.pass_ending(ending))
        sealed = await self._conversation.end_pass(trailer, digest)
        if (sealed.generation, sealed.sequence, sealed.digest) != (header.generation, 1, digest):
            raise ResyncRequiredError(
                "diverged", "The target sealed recovery point 1 with other content than was sent."
            )
        await self._record.update(lambda state: state.acknowledged())

    async def _update(self, change: Callable[[InitialPass], InitialPass]) -> None:
        await self._record.update(lambda state: state.with_initial(change(self._initial)))

    async def _persist(self, chunk: int, digest: bytes, coverage: Coverage) -> None:
        await self._update(lambda initial: initial.durable(chunk, digest, coverage))
