"""Digests of a recovery point: its target reads the whole point and tells a SHA-256 of every disk.

Two readings of one point tell the same, and so does a recovered disk before its machine has written to it: that is how
an operator proves that a point holds what it should.
"""

from dataclasses import dataclass
from datetime import datetime

from coordinator.domain import jobs
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import IllegalTransitionError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.job_results import DigestedPoint
from coordinator.domain.jobs import Job, JobKind
from coordinator.domain.orders import DigestPoint, Failure, Order, PointDigests
from coordinator.domain.points import RecoveryPoint
from coordinator.domain.protections import Protection

TASKS = ("read the whole point",)

_NOT_READ = Failure(
    "not-read-back",
    "The target host says that it read the point and tells of no disk.",
    "Update the agent of the target host to the version of the vault.",
)


@dataclass(frozen=True, slots=True)
class DigestIds:
    """Ids for what ordering digests creates."""

    job: JobId
    order: OrderId


def start(
    protection: Protection,
    point: RecoveryPoint,
    running: Job | None,
    ids: DigestIds,
    now: datetime,
) -> tuple[Job, Decision]:
    """Decide that the target reads a point; `running` is the job of the protection that does so already.

    Raises `IllegalTransitionError` where there is one: each reads all disks.
    """
    if running is not None:
        raise IllegalTransitionError(
            "digest-running",
            f"A point of machine {protection.machine_name} is being read already.",
            f"Wait for job {running.id}, or cancel it: replikera job cancel {running.id}.",
        )
    job = jobs.start(
        ids.job,
        JobKind.DIGEST_POINT,
        protection.machine_name,
        TASKS,
        now,
        protection_id=protection.id,
    )
    action = DigestPoint(protection.id, point.generation, point.sequence)
    order = Order(ids.order, job.id, protection.target_host_id, now, action)
    event = Event(now, EventKind.POINT_DIGEST_REQUESTED, protection.id, _told(job, action))
    return job, Decision((job,), (order,), (event,))


def digested(job: Job, action: DigestPoint, outcome: PointDigests, now: datetime) -> Decision:
    """Decide that the point was read: the job keeps what it holds."""
    if not outcome.disks:
        return failed(job, action, _NOT_READ, now)
    result = DigestedPoint(action.generation, action.sequence, outcome.disks)
    event = Event(now, EventKind.POINT_DIGESTED, action.protection_id, _told(job, action))
    return Decision((job.task_done(now, result),), (), (event,))


def failed(job: Job, action: DigestPoint, failure: Failure, now: datetime) -> Decision:
    """Decide that the point could not be read to its end."""
    detail = f"{_told(job, action)}: {failure.code}: {failure.cause}"
    event = Event(now, EventKind.POINT_DIGEST_FAILED, action.protection_id, detail)
    return Decision((job.failed(failure, now),), (), (event,))


def withdrawn(job: Job, now: datetime) -> Decision:
    """Decide what follows when the target never began to read."""
    cancelled = job.cancelled(now)
    return Decision((cancelled,), (), (cancelled.cancelled_event(now),))


def _told(job: Job, action: DigestPoint) -> str:
    return f"{job.subject}, point {action.sequence}"
