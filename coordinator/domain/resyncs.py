"""Resynchronizing: the source compares everything with the newest point of the target and sends what differs.

Older points stay. The source's report tells of the end: what it replicates again is known to be equal.
"""

from dataclasses import replace
from datetime import datetime

from coordinator.domain import jobs
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import IllegalTransitionError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host
from coordinator.domain.jobs import RESYNCHRONIZATION, Job, JobKind
from coordinator.domain.orders import Failure, Order, ResyncReplication
from coordinator.domain.protection_changes import ChangeIds, check_trusted
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.domain.replication import ReplicationState

TASKS = ("start resync at source", RESYNCHRONIZATION)


def start(
    protection: Protection, source: Host, running: Job | None, ids: ChangeIds, now: datetime
) -> tuple[Job, Decision]:
    """Decide that a protection is resynchronized; `running` is the job that does so already.

    Raises `IllegalTransitionError`.
    """
    name = protection.machine_name
    if running is not None or protection.state is ProtectionState.RESYNCHRONIZING:
        raise IllegalTransitionError(
            "resync-running",
            f"Machine {name} is being resynchronized already.",
            f"Wait for it: replikera protection show {name}.",
        )
    if protection.state is not ProtectionState.RESYNC_REQUIRED:
        raise IllegalTransitionError(
            "no-resync-required",
            f"Machine {name} requires no resync: its protection is {protection.state}.",
            f"To prove that its replica is equal: replikera protection verify {name}.",
        )
    if protection.is_paused:
        raise IllegalTransitionError(
            "protection-paused",
            f"The protection of machine {name} is paused.",
            f"Resume it first: replikera protection resume {name}.",
        )
    check_trusted(source)
    kind = JobKind.RESYNC_PROTECTION
    job = jobs.start(ids.job, kind, name, TASKS, now, protection_id=protection.id)
    order = Order(
        ids.order, job.id, protection.source_host_id, now, ResyncReplication(protection.id)
    )
    event = Event(now, EventKind.RESYNC_REQUESTED, protection.id, name)
    return job, Decision((replace(protection, job_id=job.id), job), (order,), (event,))


def started(protection: Protection, job: Job, now: datetime) -> Decision:
    """Decide that the source has durably begun."""
    begun = replace(protection, state=ProtectionState.RESYNCHRONIZING)
    event = Event(now, EventKind.RESYNC_STARTED, protection.id, protection.machine_name)
    return Decision((begun, job.task_done(now)), (), (event,))


def reported(protection: Protection, job: Job, state: ReplicationState, now: datetime) -> Decision:
    """Decide what the source's report means for a resync; `job` is the one of the protection."""
    if (
        protection.state is ProtectionState.RESYNC_REQUIRED
        and state is ReplicationState.RESYNCHRONIZING
    ):
        # A report from before it began came last: the source goes on all the same.
        event = Event(now, EventKind.RESYNC_STARTED, protection.id, protection.machine_name)
        return Decision((replace(protection, state=ProtectionState.RESYNCHRONIZING),), (), (event,))
    if (
        protection.state is ProtectionState.RESYNCHRONIZING
        and state is ReplicationState.REPLICATING
    ):
        return _ended(protection, job, now)
    return NOTHING


def failed(protection: Protection, job: Job, failure: Failure, now: datetime) -> Decision:
    """Decide that the source could not begin: both sides are no more equal than before, and for the same cause."""
    event = Event(now, EventKind.RESYNC_FAILED, protection.id, f"{failure.code}: {failure.cause}")
    return Decision((job.failed(failure, now),), (), (event,))


def withdrawn(job: Job, now: datetime) -> Decision:
    """Decide what follows when the source never began."""
    cancelled = job.cancelled(now)
    return Decision((cancelled,), (), (cancelled.cancelled_event(now),))


def _ended(protection: Protection, job: Job, now: datetime) -> Decision:
    equal = replace(protection, state=ProtectionState.PROTECTED, cause=None, remedy=None)
    event = Event(now, EventKind.MACHINE_RESYNCHRONIZED, protection.id, protection.machine_name)
    ended = (job.task_done(now),) if job.is_at(RESYNCHRONIZATION) else ()
    return Decision((equal, *ended), (), (event,))
