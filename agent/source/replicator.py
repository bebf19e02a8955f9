"""Keeps one protection replicating: converse, reconcile, cycle; after any failure wait and do it again."""

from typing import NoReturn

import structlog

from agent.source.answers import Opened
from agent.source.conversation import Conversation
from agent.source.cycles import Cycles
from agent.source.errors import (
    InterruptedReplicationError,
    RefusedError,
    ViewLimitError,
    failure_of,
    resync_of,
)
from agent.source.grants import HeldGrant
from agent.source.host import SourceHost
from agent.source.lane import Lane
from agent.source.link import TargetLink
from agent.source.protection import Protection
from agent.source.record import ProtectionRecord
from agent.source.state import SourceState
from agent.source.status import Failure, ReplicationState, ReplicationStatus
from agent.source.views import MachineViews
from agent.source.waiting import first_of
from agent.source.warnings import Warnings
from replikera.cancellation import in_own_task
from replikera.ports.streams import StreamClosedError

MIN_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 10.0

log = structlog.get_logger(__name__)


class ProtectionReplicator:
    """One protection at its source, from when it is ordered until it is stopped."""

    def __init__(self, host: SourceHost, state: SourceState, grant: HeldGrant) -> None:
        self._host = host
        self.record = ProtectionRecord(host.folder, host.worker, state)
        self._link = TargetLink(host, self.record, grant)
        self._views = MachineViews(host, self.record)
        self._lane = Lane(host, self.record, self._stand)
        self._warnings = Warnings()
        protection = Protection(
            host, self.record, self._views, self._lane, self._warnings, self._agree
        )
        self._cycles = Cycles(protection, lambda: self._link.is_outdated, self._stand)
        self._failures = 0
        self._is_waiting = True
        self._failure: Failure | None = state.resync
        self._logged: Failure | None = None
        self._log = log.bind(protection=state.assignment.protection_id)

    @property
    def status(self) -> ReplicationStatus:
        """Return how the replication stands now."""
        state = self.record.state
        progress, verification = self._lane.progress, state.verification
        return ReplicationStatus(
            protection_id=state.assignment.protection_id,
            state=self._standing(state),
            failure=state.resync or self._failure,
            done_bytes=progress.done,
            total_bytes=progress.total,
            rate=progress.rate,
            acknowledged_capture_started_at=state.head.capture_started_at,
            acknowledged_sequence=state.head.sequence,
            sent_bytes=progress.sent,
            verification=verification.status if verification is not None else None,
            compared_at=state.compared_at,
            warning=self._warnings.newest,
        )

    async def run(self) -> NoReturn:
        """Replicate until cancelled; every failure is shown and, unless only a resync helps, tried again."""
        try:
            while True:
                try:
                    await self._once()
                except InterruptedReplicationError:
                    await self._cycles.drop()
                except Exception as error:  # noqa: BLE001 - the task's root: one protection never ends the others
                    await self._fail(error)
                    await self._back_off()
        finally:
            await self._views.release()

    async def _once(self) -> None:
        await self.record.refresh()
        if not self.record.state.may_send:
            await self._cycles.drop()
        problem = await self._views.tidy()
        if problem:
            await self._give_up_view(problem)
        state = self.record.state
        if not state.may_send:
            self._failure, self._failures = None, 0
            self._report()
            await self.record.changed_from(state)
            return
        await in_own_task(self._link.converse(self._replicate))

    async def _replicate(self, conversation: Conversation, opened: Opened) -> None:
        """Return when a newer conversation should take the place of this one."""
        await self._cycles.reconcile(conversation, opened)
        self._agree()
        await self._cycles.go_on(conversation, on_cycle=self._succeed)

    def _succeed(self) -> None:
        self._failures = 0
        self._logged = None

    def _agree(self) -> None:
        """Show that both sides agree on where they stand. What failed before may do so again."""
        self._is_waiting = self._failure is not None
        self._report()

    def _stand(self) -> None:
        """Show that it goes on: whatever failed before does not any more."""
        self._failure = None
        self._is_waiting = False
        self._report()

    async def _give_up_view(self, problem: str) -> None:
        await self._cycles.drop()
        self._warn(ViewLimitError("of the open segment", problem))

    def _warn(self, error: ViewLimitError) -> None:
        self._warnings.put(error.failure)
        self._log.warning("view given up", cause=error.failure.cause)
        self._report()

    async def _fail(self, error: Exception) -> None:
        resync = resync_of(error)
        is_broken = isinstance(error, StreamClosedError | RefusedError)
        await self._release(is_resumed=is_broken and resync is None)
        if isinstance(error, ViewLimitError):
            self._warn(error)
            return
        failure = failure_of(error)
        if failure != self._logged:
            self._logged = failure
            is_unexpected = failure.code == "internal-error"
            self._log.warning(
                "replication interrupted", cause=failure.cause, exc_info=is_unexpected
            )
        self._failure = failure
        self._is_waiting = True
        if resync is not None:
            await self._require_resync(resync)
        self._report()

    async def _release(self, *, is_resumed: bool) -> None:
        # After anything but a broken conversation nothing that was begun is gone on with.
        try:
            await (self._cycles.rest() if is_resumed else self._cycles.drop())
        except Exception as error:  # noqa: BLE001 - a disk that cannot be closed is forgotten: its view goes anyway
            self._log.warning("disk not closed", cause=str(error))

    async def _require_resync(self, failure: Failure) -> None:
        try:
            await self.record.update(lambda state: state.resync_required(failure))
        except Exception as error:  # noqa: BLE001 - see below
            # Not durable yet, and the cause has not gone: the next attempt finds it again and tries to write again.
            self._failure = failure_of(error)

    async def _back_off(self) -> None:
        longest = min(MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS * 2.0 ** min(self._failures, 16))
        self._failures += 1
        seconds = self._host.randomness.uniform(MIN_BACKOFF_SECONDS, longest)
        await first_of(self._host.clock.sleep(seconds), self.record.changed_from(self.record.state))

    def _standing(self, state: SourceState) -> ReplicationState:
        if state.resync is not None:
            return ReplicationState.RESYNC_REQUIRED
        if state.assignment.is_paused:
            return ReplicationState.PAUSED
        if self._is_waiting:
            return ReplicationState.WAITING
        if state.resyncing is not None:
            return ReplicationState.RESYNCHRONIZING
        return ReplicationState.REPLICATING if state.head.sequence else ReplicationState.INITIAL

    def _report(self) -> None:
        if not self.record.state.is_stopping:
            self._host.observer(self.status)


def damaged_status(protection_id: str, failure: Failure) -> ReplicationStatus:
    """Return the status of a protection whose state file cannot be read: nothing is sent for it."""
    return ReplicationStatus(
        protection_id, ReplicationState.RESYNC_REQUIRED, failure, 0, 0, 0.0, None, 0
    )
