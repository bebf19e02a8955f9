"""Recovery points that are taken when an operator says so, and carry a name: before a change that may go wrong."""

from dataclasses import dataclass, replace
from datetime import datetime

from coordinator.domain import jobs
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import IllegalTransitionError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.identifiers import JobId, OrderId, check_name
from coordinator.domain.job_results import NamedPoint
from coordinator.domain.jobs import LISTED, Job, JobKind
from coordinator.domain.orders import Failure, NamePoint, Order, PointNamed
from coordinator.domain.points import RecoveryPoint
from coordinator.domain.protections import Protection, ProtectionState

TASKS = ("take the point", LISTED)


@dataclass(frozen=True, slots=True)
class NamingIds:
    """Ids for what ordering a named point creates."""

    job: JobId
    order: OrderId


def start(
    protection: Protection, name: str, running: Job | None, ids: NamingIds, now: datetime
) -> tuple[Job, Decision]:
    """Decide that the source takes a point now. Raises `DomainError`.

    `running` is the job of this protection that does the same for another name, None where there is none.
    """
    check_name("point", name, "name")
    _check(protection, running)
    job = jobs.start(
        ids.job,
        JobKind.NAME_POINT,
        protection.machine_name,
        TASKS,
        now,
        protection_id=protection.id,
    )
    action = NamePoint(protection.id, name)
    order = Order(ids.order, job.id, protection.source_host_id, now, action)
    event = Event(now, EventKind.POINT_NAME_REQUESTED, protection.id, _told(job, action))
    return job, Decision((job,), (order,), (event,))


def named(job: Job, action: NamePoint, outcome: PointNamed, now: datetime) -> tuple[Job, Decision]:
    """Decide that the source has taken the point; the job, returned too, goes on until the target lists it."""
    result = NamedPoint(outcome.generation, outcome.sequence, action.name)
    taken = replace(job.task_done(now), result=result)
    return taken, Decision((taken,))


def listed(job: Job, point: RecoveryPoint | None, now: datetime) -> Decision:
    """Decide what a list of the target means; `point` is the one of the job's result, None where it is not there."""
    result = job.result
    if not job.is_at(LISTED) or not isinstance(result, NamedPoint) or point is None:
        return NOTHING
    detail = f"{job.subject}, {result.name}, point {result.sequence}"
    event = Event(now, EventKind.POINT_NAMED, job.protection_id, detail)
    return Decision((job.task_done(now, result),), (), (event,))


def failed(job: Job, action: NamePoint, failure: Failure, now: datetime) -> Decision:
    """Decide that the source could not say that there is such a point."""
    detail = f"{_told(job, action)}: {failure.code}: {failure.cause}"
    event = Event(now, EventKind.POINT_NAME_FAILED, action.protection_id, detail)
    return Decision((job.failed(failure, now),), (), (event,))


def withdrawn(job: Job, now: datetime) -> Decision:
    """Decide what follows when the source never began."""
    cancelled = job.cancelled(now)
    return Decision((cancelled,), (), (cancelled.cancelled_event(now),))


def _check(protection: Protection, running: Job | None) -> None:
    if protection.state is not ProtectionState.PROTECTED:
        raise IllegalTransitionError(
            "not-replicating",
            f"No point of machine {protection.machine_name} can be taken now (state {protection.state}).",
            f"Look at it: replikera protection show {protection.machine_name}.",
        )
    if running is not None:
        raise IllegalTransitionError(
            "naming-busy",
            f"A point of machine {protection.machine_name} is being given a name by job {running.id}.",
            f"Wait for it: replikera job watch {running.id}.",
        )


def _told(job: Job, action: NamePoint) -> str:
    return f"{job.subject}, {action.name}"
