"""Verifying a replica: every range is compared once with its source, at the same point, while replication goes on."""

from datetime import datetime

from coordinator.domain import jobs
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import IllegalTransitionError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import OrderId
from coordinator.domain.job_results import VerifiedReplica
from coordinator.domain.jobs import VERIFICATION, Job, JobKind
from coordinator.domain.orders import Done, Failure, Order, Outcome, VerifyReplication
from coordinator.domain.protection_changes import ChangeIds, check_trusted
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.domain.replication import Verification

TASKS = ("start verification at source", VERIFICATION)

_CALLED_OFF = (
    "An operator cancelled it: what was compared until then was equal, the rest is not known."
)


def start(
    protection: Protection, source: Host, running: Job | None, ids: ChangeIds, now: datetime
) -> tuple[Job, Decision]:
    """Decide that a replica is verified; `running` is the job that does so already.

    The verification has the id of its job. Raises `IllegalTransitionError`.
    """
    name = protection.machine_name
    if running is not None:
        raise IllegalTransitionError(
            "verification-running",
            f"The replica of machine {name} is being verified already.",
            f"Wait for job {running.id}: replikera job show {running.id}.",
        )
    if protection.state is not ProtectionState.PROTECTED:
        raise IllegalTransitionError(
            "not-verifiable",
            f"The protection of machine {name} is {protection.state}: its replica is compared while it replicates.",
            f"See it with: replikera protection show {name}.",
        )
    check_trusted(source)
    kind = JobKind.VERIFY_PROTECTION
    job = jobs.start(ids.job, kind, name, TASKS, now, protection_id=protection.id)
    action = VerifyReplication(protection.id, job.id)
    order = Order(ids.order, job.id, protection.source_host_id, now, action)
    event = Event(now, EventKind.VERIFICATION_REQUESTED, protection.id, name)
    return job, Decision((job,), (order,), (event,))


def started(
    protection: Protection, job: Job, known: Verification | None, now: datetime
) -> Decision:
    """Decide that the source has durably begun; `known` is what it reported last, which may be the end already."""
    job = job.task_done(now)
    event = Event(now, EventKind.VERIFICATION_STARTED, protection.id, job.subject)
    begun = Decision((job,), (), (event,))
    return begun + (reported(job, known, now) if known is not None else NOTHING)


def reported(job: Job, verification: Verification, now: datetime) -> Decision:
    """Decide what the source's report means for the job that verifies."""
    is_of_job = verification.verification_id == job.id and verification.is_finished
    if not is_of_job or not job.is_at(VERIFICATION):
        return NOTHING
    if verification.differing_bytes:
        return failed(job, _difference(job, verification), now)
    result = VerifiedReplica(verification.checked_bytes, 0)
    detail = f"{job.subject}: {verification.checked_bytes} bytes are equal"
    event = Event(now, EventKind.VERIFICATION_ENDED, job.protection_id, detail)
    return Decision((job.task_done(now, result),), (), (event,))


def failed(job: Job, failure: Failure, now: datetime) -> Decision:
    """Decide that the replica could not be verified, or is not equal."""
    detail = f"{failure.code}: {failure.cause}"
    event = Event(now, EventKind.VERIFICATION_FAILED, job.protection_id, detail)
    return Decision((job.failed(failure, now),), (), (event,))


def withdrawn(job: Job, now: datetime) -> Decision:
    """Decide what follows when the source never began."""
    cancelled = job.cancelled(now)
    return Decision((cancelled,), (), (cancelled.cancelled_event(now),))


def call_off(job: Job, protection: Protection, order_id: OrderId, now: datetime) -> Decision:
    """Decide that the source is told to compare no more."""
    action = VerifyReplication(protection.id, "")
    return Decision((), (Order(order_id, job.id, protection.source_host_id, now, action),))


def called_off(job: Job, outcome: Outcome, now: datetime) -> Decision:
    """Decide what follows when the source was told to compare no more: if it could not, it goes on."""
    if not isinstance(outcome, Done):
        return Decision((job.not_cancelled(),))
    cancelled = job.cancelled(now, _CALLED_OFF)
    return Decision((cancelled,), (), (cancelled.cancelled_event(now),))


def _difference(job: Job, verification: Verification) -> Failure:
    return Failure(
        "verify-failed",
        f"{verification.differing_bytes} of {verification.checked_bytes} bytes of the replica of machine "
        f"{job.subject} are in ranges that differ from the source.",
        f"Resynchronize it: replikera protection resync {job.subject}. Its points stay.",
    )
