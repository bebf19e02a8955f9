"""A resync: everything is compared with the target's newest point, and what differs becomes its next point.

Older points stay: what differs goes through the journal as an ordinary segment. No data travels before all is compared.
"""

from collections.abc import Callable

from agent.source.batching import read_bytes_of
from agent.source.capture import Capture
from agent.source.comparing import Comparison, extents_of, leaves_of
from agent.source.conversation import Conversation
from agent.source.coverage import Coverage
from agent.source.passes import Leg, ResyncPass
from agent.source.protection import Protection
from agent.source.slabs import next_slab
from replikera.blocks.extents import Extents


class Resync:
    """One conversation's part of it."""

    def __init__(self, protection: Protection, conversation: Conversation) -> None:
        self._protection = protection
        self._record = protection.record
        self._views = protection.views
        self._lane = protection.lane
        self._conversation = conversation

    async def differing(self) -> tuple[Capture, tuple[Extents, ...]]:
        """Return a view, and all that differs between it and the target's newest point.

        Raises what the target and the hypervisor raise, and `DisksChangedError`.
        """
        while True:
            capture = await self._leg()
            if await self._compare_all(capture):
                return capture, self._resyncing.coverage.pending
            await self._views.keep(capture.view)

    @property
    def _resyncing(self) -> ResyncPass:
        resyncing = self._record.state.resyncing
        if resyncing is None:
            raise AssertionError("no resync is under way")
        return resyncing

    async def _leg(self) -> Capture:
        """Return the view that is compared now: the one of before, or a new one, recorded."""
        resyncing = self._resyncing
        known = self._record.state.head.disks or resyncing.disks
        if resyncing.leg is not None:
            found = await self._views.of_leg(resyncing.leg, known)
            if found is not None:
                return found
        capture = await self._views.take(known)
        changes = await self._views.changes_of_pass(capture) if resyncing.disks else None
        leg = Leg(capture.view.view_id, capture.started_at)
        await self._update(lambda before: before.on_view(leg, capture.geometries, changes))
        return capture

    async def _compare_all(self, capture: Capture) -> bool:
        """Compare what is doubtful; tell whether all of it was done before the view had to be left."""
        coverage = self._resyncing.coverage
        total = sum(disk.allocated.total() for disk in capture.disks)
        remaining = read_bytes_of(capture.disks, coverage.doubtful)
        self._lane.progress.begin(total, total - remaining)
        self._protection.announce()
        comparison = Comparison(
            self._conversation,
            capture,
            self._resyncing.sequence,
            self._lane,
            self._lane.advance,
        )
        while coverage.is_doubtful:
            slab = next_slab(coverage.doubtful)
            differing = await comparison.differing(list(leaves_of(slab)))
            found = extents_of(differing, len(capture.disks))
            coverage = coverage.compared(slab, found)
            await self._cover(coverage)
            if await self._views.excess_in_use(capture.view) and coverage.is_doubtful:
                return False
        return True

    async def _cover(self, coverage: Coverage) -> None:
        await self._update(lambda before: before.covering(coverage))

    async def _update(self, change: Callable[[ResyncPass], ResyncPass]) -> None:
        await self._record.update(lambda state: state.with_resync(change(self._resyncing)))
