"""Keeps one protection replicating: converse, reconcile, cycle; after any failure wait and do it again."""

import structlog

from agent.hypervisor.interface import Mark, View
from agent.source.capture import Capture, Capturer
from agent.source.conversation import Conversation, Opened
from agent.source.errors import ResyncRequiredError, failure_of, resync_of
from agent.source.grants import HeldGrant
from agent.source.host import SourceHost
from agent.source.link import TargetLink
from agent.source.progress import Progress
from agent.source.reconciliation import KeepView, UseMark, Verdict, judge, settle
from agent.source.sending import SegmentSender
from agent.source.state import SourceState
from agent.source.status import Failure, ReplicationState, ReplicationStatus
from replikera.blocks.segment import SegmentHeader, SegmentKind
from replikera.cancellation import in_own_task

MIN_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 10.0

MAX_ADOPTED_VIEW_SECONDS = 3600.0
"""A view waits this long for a target that may have acknowledged it. Longer, and what the guest overwrites would
fill the source's disk."""

log = structlog.get_logger(__name__)


class ProtectionReplicator:
    """One protection at its source. `run` ends only when a resync is required.

    Invariant: the mark never moves before the target's acknowledgement of that view's segment is durable here.
    """

    def __init__(self, host: SourceHost, state: SourceState, grant: HeldGrant) -> None:
        self._host = host
        self._state = state
        self._link = TargetLink(host, state.assignment, grant)
        self._capturer = Capturer(host.hypervisor, host.worker, host.clock)
        self._mark: Mark | None = None
        self._failures = 0
        self._capture_began = float("-inf")
        self._acknowledged_capture_began = float("-inf")
        self._progress = Progress(host.clock)
        self._doing = ReplicationState.WAITING
        self._failure: Failure | None = state.resync
        self._log = log.bind(protection=state.assignment.protection_id)

    @property
    def status(self) -> ReplicationStatus:
        """Return how the replication stands now."""
        head = self._state.head
        is_stopped = self._state.resync is not None
        return ReplicationStatus(
            protection_id=self._state.assignment.protection_id,
            state=ReplicationState.RESYNC_REQUIRED if is_stopped else self._doing,
            failure=self._failure,
            done_bytes=self._progress.done,
            total_bytes=self._progress.total,
            rate=self._progress.rate,
            acknowledged_capture_started_at=head.capture_started_at,
            acknowledged_sequence=head.sequence,
        )

    async def run(self) -> None:
        """Replicate until a resync is required; every other failure is shown and tried again."""
        while True:
            try:
                await self._tidy_views()
                if self._state.resync is not None:
                    return
                await in_own_task(self._link.converse(self._replicate))
            except Exception as error:  # noqa: BLE001 - the task's root: one protection never ends the others
                await self._fail(error)
                await self._back_off()

    async def _fail(self, error: Exception) -> None:
        failure = failure_of(error)
        if failure != self._failure:
            is_unexpected = failure.code == "internal-error"
            self._log.warning(
                "replication interrupted", cause=failure.cause, exc_info=is_unexpected
            )
        self._failure = failure
        self._doing = ReplicationState.WAITING
        resync = resync_of(error)
        if resync is not None:
            await self._require_resync(resync)
        self._report()

    async def _require_resync(self, failure: Failure) -> None:
        try:
            await self._save(self._state.resync_required(failure))
        except OSError as error:
            # Not durable yet, and the cause has not gone: the next attempt finds it again and tries to write again.
            self._failure = failure_of(error)

    async def _back_off(self) -> None:
        longest = min(MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS * 2.0 ** min(self._failures, 16))
        self._failures += 1
        seconds = self._host.randomness.uniform(MIN_BACKOFF_SECONDS, longest)
        await self._host.clock.sleep(seconds)

    async def _tidy_views(self) -> None:
        """End the views that an earlier attempt left; keep one that the target may have acknowledged."""
        tag = self._state.assignment.protection_id
        for view in await self._host.hypervisor.views(tag):
            if not self._is_awaited(view):
                await self._host.hypervisor.discard(view)

    def _is_awaited(self, view: View) -> bool:
        if self._state.resync is not None:
            return False
        if view.view_id == self._state.unsettled_view_id:
            return True
        opened = self._state.open
        if opened is None or opened.digest is None or view.view_id != opened.view_id:
            return False
        age = self._host.clock.now() - view.taken_at
        return age.total_seconds() < MAX_ADOPTED_VIEW_SECONDS

    async def _replicate(self, conversation: Conversation, opened: Opened) -> None:
        """Return when a conversation with the renewed certificate should take the place of this one."""
        await self._reconcile(conversation, opened)
        self._failure = None
        while True:
            await self._wait_until_due()
            if self._link.is_outdated:
                return
            await self._cycle(conversation)
            self._failures = 0

    async def _reconcile(self, conversation: Conversation, opened: Opened) -> None:
        self._state = self._state.with_attempt_floor(opened.attempt_floor)
        match judge(self._state, opened.sequence, opened.digest):
            case Verdict.ACKNOWLEDGED:
                await self._acknowledge()
            case Verdict.ABANDON:
                await self._abandon(conversation)
            case Verdict.CONTINUE:
                pass
        if self._state.head.sequence:
            await self._settle()

    async def _abandon(self, conversation: Conversation) -> None:
        opened = self._state.open
        if opened is None:
            raise AssertionError("nothing to abandon")
        floor = await conversation.abandon(
            self._state.assignment.generation, opened.sequence, opened.attempt
        )
        # Durable with the next attempt: after a crash before it, giving up the same attempt again is harmless.
        self._state = self._state.abandoned().with_attempt_floor(floor)
        await self._tidy_views()

    async def _settle(self) -> None:
        hypervisor = self._host.hypervisor
        tag = self._state.assignment.protection_id
        views = await hypervisor.views(tag)
        match settle(self._state, views, await hypervisor.mark(tag)):
            case KeepView(view):
                await self._keep(view)
            case UseMark(mark):
                await self._track_from(mark)

    async def _keep(self, view: View) -> None:
        await self._track_from(await self._host.hypervisor.keep(view))

    async def _track_from(self, mark: Mark) -> None:
        self._mark = mark
        # Durable at once: a machine that is put back to an older state brings an older mark, which must be noticed.
        if self._state.settled(mark.mark_id) != self._state:
            await self._save(self._state.settled(mark.mark_id))

    async def _acknowledge(self) -> None:
        await self._save(self._state.acknowledged())
        self._acknowledged_capture_began = self._capture_began

    async def _wait_until_due(self) -> None:
        interval = max(
            self._state.assignment.copy_frequency.total_seconds(),
            self._host.hypervisor.minimum_copy_interval_s,
        )
        self._doing = (
            ReplicationState.REPLICATING if self._state.head.sequence else ReplicationState.INITIAL
        )
        self._report()
        # Counted from the last acknowledged capture: one that failed is repeated at once.
        remaining = self._acknowledged_capture_began + interval - self._host.clock.monotonic()
        if remaining > 0:
            await self._host.clock.sleep(remaining)

    async def _cycle(self, conversation: Conversation) -> None:
        self._capture_began = self._host.clock.monotonic()
        async with self._capturer.capture(self._state, self._mark) as capture:
            self._progress.begin(capture.total_bytes)
            self._report()
            await self._save(
                self._state.issued(
                    capture.view.view_id,
                    capture.started_at,
                    capture.machine_digest,
                    capture.geometries,
                )
            )
            await self._send(conversation, capture)
        await self._keep(capture.view)
        self._log.info(
            "recovery point sealed",
            sequence=self._state.head.sequence,
            scanned_bytes=self._progress.total,
        )
        self._report()

    async def _send(self, conversation: Conversation, capture: Capture) -> None:
        header = self._header()
        sender = SegmentSender(
            conversation, self._host.worker, self._host.budget, self._on_progress
        )
        sealed = await sender.send(header, capture, self._before_end)
        opened = self._state.open
        promised = (header.generation, header.sequence, opened.digest if opened else None)
        if (sealed.generation, sealed.sequence, sealed.digest) != promised:
            raise ResyncRequiredError(
                "diverged",
                f"The target sealed recovery point {sealed.sequence} with other content than was sent.",
            )
        await self._acknowledge()

    def _header(self) -> SegmentHeader:
        state = self._state
        if state.open is None:
            raise AssertionError("no attempt was issued")
        return SegmentHeader(
            protection_id=state.assignment.protection_id,
            epoch=state.assignment.epoch,
            generation=state.assignment.generation,
            sequence=state.open.sequence,
            attempt=state.open.attempt,
            previous=state.head.digest,
            kind=SegmentKind.DELTA if state.head.sequence else SegmentKind.INITIAL,
            disks=state.open.disks,
        )

    async def _before_end(self, digest: bytes) -> None:
        await self._save(self._state.with_digest(digest))

    def _on_progress(self, scanned_bytes: int) -> None:
        self._progress.add(scanned_bytes)
        self._report()

    async def _save(self, state: SourceState) -> None:
        await self._host.worker.run(self._host.folder.save, state)
        self._state = state

    def _report(self) -> None:
        self._host.observer(self.status)


def damaged_status(protection_id: str, failure: Failure) -> ReplicationStatus:
    """Return the status of a protection whose state file cannot be read: nothing is sent for it."""
    return ReplicationStatus(
        protection_id, ReplicationState.RESYNC_REQUIRED, failure, 0, 0, 0.0, None, 0
    )
