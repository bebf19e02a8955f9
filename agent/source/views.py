"""The views and the mark of one protection: taken, held open while a transfer uses them, and never left behind."""

from agent.hypervisor.interface import (
    Consistency,
    Hypervisor,
    HypervisorError,
    Mark,
    TrackingLostError,
    View,
)
from agent.source.capture import Capture, Capturer, check_disks
from agent.source.errors import ResyncRequiredError, ViewLimitError
from agent.source.host import SourceHost
from agent.source.passes import Leg
from agent.source.reconciliation import Fate, fate_of, mark_of_pass, trusted_mark
from agent.source.record import ProtectionRecord
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry

LOOK_SECONDS = 10.0
"""How often the size of a view in use is looked at."""

_GONE = "it is gone"


class MachineViews:
    """Of one protection. One capture is held at a time."""

    def __init__(self, host: SourceHost, record: ProtectionRecord) -> None:
        self._hypervisor = host.hypervisor
        self._clock = host.clock
        self._limits = host.view_limits
        self._record = record
        self._capturer = Capturer(host.hypervisor, host.worker, host.clock)
        self._held: Capture | None = None
        self._looked = float("-inf")

    @property
    def _tag(self) -> str:
        return self._record.state.assignment.protection_id

    @property
    def held_view_id(self) -> str:
        """Return the view of the capture that is held, "" where none is."""
        return self._held.view.view_id if self._held is not None else ""

    async def tidy(self) -> str:
        """End the views that nobody needs; return why the one in use had to go, "" where it did not."""
        held, leg = self.held_view_id, self._record.state.leg
        problem = _GONE if held else ""
        for view in await self._hypervisor.views(self._tag):
            over = await self._end(view, is_held=view.view_id == held)
            problem = over if view.view_id == held else problem
        if problem == _GONE:
            await self.release()
        is_of_pass = leg is not None and leg.view_id == held
        return "" if is_of_pass else problem

    async def take(
        self, known: tuple[DiskGeometry, ...], consistency: Consistency = Consistency.CRASH
    ) -> Capture:
        """Take a view and hold it; see `Capturer.freeze`."""
        await self.release()
        assignment = self._record.state.assignment
        self._held = await self._capturer.freeze(assignment, known, consistency)
        self._looked = float("-inf")
        return self._held

    async def of_leg(self, leg: Leg, known: tuple[DiskGeometry, ...]) -> Capture | None:
        """Return the view that a pass goes over, opened where it is not held; None where it is gone.

        Raises `DisksChangedError`: other disks were excluded meanwhile.
        """
        if self._held is not None and self._held.view.view_id == leg.view_id:
            check_disks(self._held.view.description, self._record.state.assignment, known)
            return self._held
        await self.release()
        for view in await self._hypervisor.views(self._tag):
            if view.view_id == leg.view_id:
                assignment = self._record.state.assignment
                self._held = await self._capturer.adopt(
                    view, leg.capture_started_at, assignment, known
                )
                return self._held
        return None

    async def changes(self, capture: Capture, mark: Mark) -> tuple[Extents, ...]:
        """Return by disk what was written since a mark; see `Capturer.changes`."""
        return await self._capturer.changes(capture, mark)

    async def changes_of_pass(self, capture: Capture) -> tuple[Extents, ...] | None:
        """Return what was written since the position that the coverage of a pass is relative to; None: unknown."""
        mark = mark_of_pass(self._record.state, await self._hypervisor.mark(self._tag))
        if mark is None:
            return None
        try:
            return await self._capturer.changes(capture, mark)
        except (TrackingLostError, ResyncRequiredError):
            # No reason to stop: a pass compares what it does not know.
            return None

    async def mark(self) -> Mark:
        """Return the mark behind the head. Raises `ResyncRequiredError`."""
        mark = trusted_mark(self._record.state, await self._hypervisor.mark(self._tag))
        # Durable at once: a machine that is put back to an older state brings an older mark, which must be noticed.
        await self._record.update(lambda state: state.settled(mark.mark_id))
        return mark

    async def keep(self, view: View) -> Mark:
        """Make a view's position the mark: that of an acknowledged point, or of a pass that went over it."""
        await self._release(view)
        mark = await self._hypervisor.keep(view)
        if view.view_id == self._record.state.unsettled_view_id:
            await self._record.update(lambda state: state.settled(mark.mark_id))
        else:
            await self._record.update(lambda state: state.off_view(mark.mark_id))
        return mark

    async def check(self, view: View) -> None:
        """Raise `ViewLimitError` where a view in use must be given up; looks now and then."""
        problem = await self.excess_in_use(view)
        if problem:
            raise ViewLimitError(view.view_id, problem)

    async def excess_in_use(self, view: View) -> str:
        """Return why a view in use must be given up, "" where it need not; looks now and then."""
        now = self._clock.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return ""
        self._looked = now
        return await self.excess(view)

    async def excess(self, view: View) -> str:
        """Return why a view must not stay, "" where it may."""
        age = self._clock.now() - view.taken_at
        if age >= self._limits.max_age:
            return f"it is {age.total_seconds():.0f} s old"
        growth = await self._hypervisor.view_growth(view)
        if growth >= self._limits.max_growth_bytes:
            return f"it holds {growth} bytes"
        return ""

    async def release(self) -> None:
        """Close the disks of the capture that is held; its view stays."""
        held, self._held = self._held, None
        if held is not None:
            await held.close()

    async def _end(self, view: View, *, is_held: bool) -> str:
        """End a view where it is not needed; return why, where one had to be given up for its age or size."""
        state = self._record.state
        is_paused = state.assignment.is_paused
        fate = fate_of(state, view.view_id, is_held=is_held, is_over=is_paused)
        over = await self.excess(view) if fate is Fate.STAY else ""
        if over:
            fate = fate_of(state, view.view_id, is_held=is_held, is_over=True)
        if fate is Fate.KEEP:
            await self.keep(view)
        elif fate is Fate.DISCARD:
            await self._discard(view)
            return over
        return ""

    def _is_held(self, view: View) -> bool:
        return self.held_view_id == view.view_id

    async def _release(self, view: View) -> None:
        if self._is_held(view):
            await self.release()

    async def _discard(self, view: View) -> None:
        await self._release(view)
        await self._hypervisor.discard(view)


async def remove_all(hypervisor: Hypervisor, tag: str) -> None:
    """End all views of a protection and its mark. Raises `HypervisorError` where they are not gone after that."""
    for view in await hypervisor.views(tag):
        await hypervisor.discard(view)
    mark = await hypervisor.mark(tag)
    if mark is not None:
        await hypervisor.drop_mark(mark)
    if await hypervisor.views(tag) or await hypervisor.mark(tag):
        raise HypervisorError(
            "not-removed",
            f"Views or the mark of protection {tag} are still there after they were removed.",
            "Try again; if this repeats, look at the hypervisor's own events.",
        )
