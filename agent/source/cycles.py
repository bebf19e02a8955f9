"""What a protection does in a conversation: reconcile, then the initial pass, a resync, or one cycle after the other.

Invariant: the mark never moves before the target's acknowledgement of that view's point is durable here.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog

from agent.hypervisor.interface import Consistency, Mark
from agent.source.answers import Opened, SealedPoint
from agent.source.capture import Capture
from agent.source.checks import Checks
from agent.source.conversation import Conversation
from agent.source.delta import DeltaTransfer
from agent.source.errors import ResyncRequiredError
from agent.source.initial_copy import InitialCopy
from agent.source.protection import Protection
from agent.source.reconciliation import Verdict, judge
from agent.source.resync import Resync
from agent.source.state import NameRequest, OpenAttempt, SourceState
from agent.source.waiting import first_of
from replikera.blocks.extents import Extents

VERIFICATION_PAUSE_S = 10.0
"""How soon after a capture the next may begin for a verification alone: where its view had to be given up."""

_APPLICATION_WARNING = "not-application-consistent"
_PASSING_WARNINGS = ("view-limit", "disks-changed")

log = structlog.get_logger(__name__)


class Cycles:
    """Of one protection. Holds on to a segment whose conversation broke, to go on with it in the next."""

    def __init__(
        self,
        protection: Protection,
        is_outdated: Callable[[], bool],
        on_standing: Callable[[], None],
    ) -> None:
        """`is_outdated`: the conversation should end soon. `on_standing`: what failed does not any more."""
        self._protection = protection
        self._host = protection.host
        self._record = protection.record
        self._views = protection.views
        self._is_outdated = is_outdated
        self._on_standing = on_standing
        self._delta: DeltaTransfer | None = None
        self._mark: Mark | None = None
        self._capture_began = float("-inf")
        self._acknowledged_capture_began = float("-inf")
        self._log = log.bind(protection=self._record.state.assignment.protection_id)

    async def rest(self) -> None:
        """Hold on only to what the next conversation may go on with: an open segment, or the view of a pass."""
        leg = self._record.state.leg
        is_of_pass = leg is not None and leg.view_id == self._views.held_view_id
        if self._delta is None and not is_of_pass:
            await self._views.release()

    async def drop(self) -> None:
        """Hold on to nothing."""
        self._delta = None
        await self._views.release()

    async def reconcile(self, conversation: Conversation, opened: Opened) -> None:
        """Find out what became of the last attempt, and go on with it where that is possible."""
        await self._record.update(lambda state: state.with_attempt_floor(opened.attempt_floor))
        if self._record.state.resyncing is not None:
            await self._reconcile_resync(conversation, opened)
            return
        match judge(self._record.state, opened.sequence, opened.digest):
            case Verdict.ACKNOWLEDGED:
                await self._acknowledge()
            case Verdict.ABANDON if self._record.state.head.sequence:
                await self._resume_or_abandon(conversation, opened)
            case Verdict.ABANDON | Verdict.CONTINUE:
                # An initial pass goes on by itself: its end has taken effect or has not.
                pass
        if self._record.state.head.sequence:
            await self._settle()

    async def go_on(self, conversation: Conversation, *, on_cycle: Callable[[], None]) -> None:
        """Replicate; return when a newer conversation should take the place of this one."""
        while True:
            state = self._record.state
            if state.resyncing is not None:
                await self._resync(conversation)
            elif state.head.sequence == 0:
                await self._copy(conversation)
            else:
                await self._wait_until_due(state)
                if self._is_outdated():
                    return
                if self._record.state.resyncing is not None:
                    continue
                await self._cycle(conversation)
            on_cycle()

    async def _reconcile_resync(self, conversation: Conversation, opened: Opened) -> None:
        state = self._record.state
        attempt = state.open
        if attempt and (attempt.sequence, attempt.digest) == (opened.sequence, opened.digest):
            await self._acknowledge()
            if self._record.state.resyncing is None:
                await self._settle()
        elif opened.sequence == 0:
            # There is nothing to compare with, and nothing that could be lost.
            await self.drop()
            await self._record.update(lambda state: state.begun_anew())
            await self._views.tidy()
        elif (state.head.sequence, state.head.digest) == (opened.sequence, opened.digest):
            if attempt is not None:
                await self._resume_or_abandon(conversation, opened)
        else:
            await self._adopt(conversation, opened.sequence, opened.digest)

    async def _resume_or_abandon(self, conversation: Conversation, opened: Opened) -> None:
        if self._delta is not None and self._delta.can_resume(opened):
            delta, records = self._delta, opened.durable_records
            sealed = await delta.resume(
                conversation, records, self._before_end, self._check(delta.capture)
            )
            await self._finish(conversation, delta, sealed)
            return
        attempt = self._record.state.open
        if attempt is None:
            raise AssertionError("nothing to abandon")
        await self._abandon(conversation, attempt.sequence, attempt.attempt)
        await self._views.tidy()

    async def _abandon(self, conversation: Conversation, sequence: int, attempt: int) -> None:
        await self.drop()
        generation = self._record.state.assignment.generation
        floor = await conversation.abandon(generation, sequence, attempt)
        await self._record.update(lambda state: state.abandoned().with_attempt_floor(floor))

    async def _adopt(self, conversation: Conversation, sequence: int, digest: bytes) -> None:
        """Take the target's newest point as the head, and see to it that nothing older follows it."""
        await self._abandon(conversation, sequence + 1, self._record.state.attempt)
        await self._record.update(lambda state: state.adopted(sequence, digest))

    async def _settle(self) -> None:
        # The view of the head becomes the mark here where it has not yet.
        await self._views.tidy()
        self._mark = await self._views.mark()

    async def _wait_until_due(self, state: SourceState) -> None:
        """Return when the next capture is due, or something was ordered that cannot wait for it."""
        if self._until_next(state) > 0:
            self._on_standing()
        while self._until_next(state) > 0 and not self._is_outdated():
            await first_of(
                self._host.clock.sleep(self._until_next(state)), self._record.changed_from(state)
            )
            state = self._record.state
            if state.resyncing is not None:
                return

    def _until_next(self, state: SourceState) -> float:
        verification = state.verification
        if verification is None or not verification.is_running:
            return self._remaining(state)
        passed = self._host.clock.monotonic() - self._capture_began
        return min(self._remaining(state), VERIFICATION_PAUSE_S - passed)

    def _remaining(self, state: SourceState) -> float:
        interval = self._host.hypervisor.minimum_copy_interval_s
        if state.naming is None:
            interval = max(state.assignment.copy_frequency.total_seconds(), interval)
        # Counted from the last acknowledged capture: one that failed is repeated at once.
        return self._acknowledged_capture_began + interval - self._host.clock.monotonic()

    async def _copy(self, conversation: Conversation) -> None:
        capture = await InitialCopy(self._protection, conversation).run()
        age = (self._host.clock.now() - capture.started_at).total_seconds()
        self._acknowledged_capture_began = self._host.clock.monotonic() - max(0.0, age)
        await self._after(conversation, capture, [disk.allocated for disk in capture.disks])

    async def _resync(self, conversation: Conversation) -> None:
        resyncing, head = self._record.state.resyncing, self._record.state.head
        if resyncing is not None and (resyncing.sequence, resyncing.digest) != (
            head.sequence,
            head.digest,
        ):
            await self._adopt(conversation, head.sequence, head.digest)
        self._capture_began = self._host.clock.monotonic()
        capture, differing = await Resync(self._protection, conversation).differing()
        self._log.info("resync compared", differing_bytes=sum(map(Extents.total, differing)))
        await self._transfer(conversation, capture, differing, ends_resync=True)

    async def _cycle(self, conversation: Conversation) -> None:
        if self._mark is None:
            raise AssertionError("a cycle without a mark")
        self._capture_began = self._host.clock.monotonic()
        state = self._record.state
        is_due = _is_application_due(state, self._host.clock.now())
        consistency = Consistency.APPLICATION if is_due else Consistency.CRASH
        capture = await self._views.take(state.head.disks, consistency)
        self._note_consistency(capture, is_due=is_due)
        changed = await self._views.changes(capture, self._mark)
        await self._transfer(
            conversation, capture, changed, is_application_due=is_due, naming=state.naming
        )

    async def _transfer(
        self,
        conversation: Conversation,
        capture: Capture,
        extents: tuple[Extents, ...],
        *,
        is_application_due: bool = False,
        ends_resync: bool = False,
        naming: NameRequest | None = None,
    ) -> None:
        delta = await self._issue(
            capture,
            extents,
            is_application_due=is_application_due,
            ends_resync=ends_resync,
            naming=naming,
        )
        sealed = await delta.send(conversation, self._before_end, self._check(capture))
        await self._finish(conversation, delta, sealed)

    async def _issue(
        self,
        capture: Capture,
        extents: tuple[Extents, ...],
        *,
        is_application_due: bool,
        ends_resync: bool,
        naming: NameRequest | None,
    ) -> DeltaTransfer:
        state = await self._record.update(
            lambda state: state.issued(
                OpenAttempt(
                    state.head.sequence + 1,
                    state.attempt + 1,
                    capture.view.view_id,
                    capture.started_at,
                    capture.machine_digest,
                    capture.geometries,
                    is_application_due=is_application_due,
                    ends_resync=ends_resync,
                    naming=naming,
                )
            )
        )
        opened, head = state.open, state.head
        if opened is None:
            raise AssertionError("no attempt was issued")
        header = self._protection.header(opened.sequence, opened.attempt, head.digest, opened.disks)
        is_known = capture.machine_digest == head.machine_digest
        machine = None if is_known else capture.machine
        name = naming.name if naming is not None else ""
        self._delta = DeltaTransfer(
            header, capture, extents, machine, self._protection.lane, name=name
        )
        return self._delta

    def _check(self, capture: Capture) -> Callable[[], Awaitable[None]]:
        async def check() -> None:
            await self._views.check(capture.view)

        return check

    async def _before_end(self, digest: bytes) -> None:
        await self._record.update(lambda state: state.with_digest(digest))

    async def _finish(
        self, conversation: Conversation, delta: DeltaTransfer, sealed: SealedPoint
    ) -> None:
        header = delta.header
        opened = self._record.state.open
        promised = (header.generation, header.sequence, opened.digest if opened else None)
        if (sealed.generation, sealed.sequence, sealed.digest) != promised:
            raise ResyncRequiredError(
                "diverged",
                f"The target sealed recovery point {sealed.sequence} with other content than was sent.",
            )
        await self._acknowledge()
        await self._after(conversation, delta.capture, delta.extents)

    async def _acknowledge(self) -> None:
        self._delta = None
        await self._record.update(lambda state: state.acknowledged())
        self._acknowledged_capture_began = self._capture_began

    async def _after(
        self, conversation: Conversation, capture: Capture, changed: Sequence[Extents]
    ) -> None:
        """Check the point that was acknowledged, then make its view the mark."""
        self._protection.warnings.clear(*_PASSING_WARNINGS)
        self._on_standing()

        async def allowance() -> float:
            return await self._allowance(capture)

        await Checks(self._protection, conversation, allowance).after(capture, changed)
        self._mark = await self._views.keep(capture.view)
        self._log.info(
            "recovery point sealed",
            sequence=self._record.state.head.sequence,
            read_bytes=self._protection.lane.progress.total,
            sent_bytes=self._protection.lane.progress.sent,
        )
        self._on_standing()

    async def _allowance(self, capture: Capture) -> float:
        """Return for how long a verification may go on with this view: until the next capture is due at most."""
        state = self._record.state
        is_called_off = (
            self._is_outdated() or state.resyncing is not None or state.assignment.is_paused
        )
        if is_called_off or await self._views.excess_in_use(capture.view):
            return 0.0
        return self._remaining(state)

    def _note_consistency(self, capture: Capture, *, is_due: bool) -> None:
        if is_due and capture.view.consistency is not Consistency.APPLICATION:
            why = capture.view.fallback or "the hypervisor does not say why"
            self._protection.warn(
                _APPLICATION_WARNING,
                f"The newest recovery point that was to be application-consistent is not: {why}.",
                "Check the guest's integration services and the writers in it; it is tried again at the next interval.",
            )
        elif is_due or not self._record.state.assignment.application_consistent_interval:
            self._protection.warnings.clear(_APPLICATION_WARNING)


def _is_application_due(state: SourceState, now: datetime) -> bool:
    interval = state.assignment.application_consistent_interval
    if not interval:
        return False
    last = state.application_due_from
    # A clock that was set back must not put off the next one for ever.
    return last is None or not last <= now < last + interval
