"""Ending protections: the source stops and forgets, the target removes its replica, then the protection is gone.

A host that is gone can be forgotten: it is told all the same, should it come back, but nobody waits for it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from coordinator.domain import jobs
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import IllegalTransitionError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.job_results import RemovedReplica
from coordinator.domain.jobs import Job, JobKind
from coordinator.domain.orders import (
    Action,
    CleanUpRehearsal,
    Failure,
    Order,
    Outcome,
    RemoveReplica,
    ReplicaRemoved,
    StopReplication,
)
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.domain.rehearsals import Rehearsal

STOP = "stop replication at source"
REMOVE = "remove replica at target"
REMOVE_BUT_DISKS = "remove replica at target, keeping the disks of its newest point"
FORGET = "forget both hosts"


class Side(StrEnum):
    """A host of a protection."""

    SOURCE = "source"
    TARGET = "target"


@dataclass(frozen=True, slots=True)
class DisableRequest:
    """What an operator asks to end, with what it concerns.

    `keeps_disks`: the disks of the newest point stay at the target as plain files. `forgotten` are the sides that
    nobody waits for. `running` are the jobs of the protection that run, `open_orders` theirs without an outcome.
    """

    protection: Protection
    source: Host
    target: Host
    keeps_disks: bool
    forgotten: frozenset[Side]
    running: tuple[Job, ...]
    open_orders: tuple[Order, ...]
    unfinished_rehearsal: Rehearsal | None


@dataclass(frozen=True, slots=True)
class DisableIds:
    """Ids for what ending a protection creates; the others are those of a forgotten host."""

    job: JobId
    order: OrderId
    other_order: OrderId
    clean_up_order: OrderId


def start(request: DisableRequest, ids: DisableIds, now: datetime) -> tuple[Job, Decision]:
    """Decide that a protection ends. Raises `IllegalTransitionError`."""
    _check(request)
    protection = replace(
        request.protection, state=ProtectionState.DISABLING, cause=None, remedy=None, job_id=ids.job
    )
    job = jobs.start(
        ids.job,
        JobKind.DISABLE_PROTECTION,
        protection.machine_name,
        _tasks(request),
        now,
        protection_id=protection.id,
    )
    disk = "keeping the disks" if request.keeps_disks else "deleting the replica"
    told = f", forgetting {' and '.join(sorted(request.forgotten))}" if request.forgotten else ""
    event = Event(
        now,
        EventKind.PROTECTION_DISABLING,
        protection.id,
        f"{protection.machine_name}, {disk}{told}",
    )
    begun = Decision((), _orders(request, job, ids, now), (event,)) + _superseded(request, now)
    if job.is_at(FORGET):
        return _gone(protection, job, (), now, begun)
    return job, begun + Decision((protection, job))


def stopped(protection: Protection, job: Job, order_id: OrderId, now: datetime) -> Decision:
    """Decide that the target removes its replica, because the source has stopped, or that all is done without it."""
    following = job.tasks[-1].name
    if following == STOP:
        return _gone(protection, job, (), now, Decision())[1]
    action = RemoveReplica(protection.id, keep_disks=following == REMOVE_BUT_DISKS)
    order = Order(order_id, job.id, protection.target_host_id, now, action)
    return Decision((job.task_done(now),), (order,))


def removed(protection: Protection, job: Job, outcome: ReplicaRemoved, now: datetime) -> Decision:
    """Decide that the protection is gone, because its target keeps no replica any more."""
    return _gone(protection, job, outcome.kept_paths, now, Decision())[1]


def failed(protection: Protection, job: Job, failure: Failure, now: datetime) -> Decision:
    """Decide that a host did not end its part: the protection stays on its way out."""
    stuck = replace(protection, cause=failure.cause, remedy=failure.remedy)
    event = Event(
        now, EventKind.DISABLING_FAILED, protection.id, f"{failure.code}: {failure.cause}"
    )
    return Decision((stuck, job.failed(failure, now)), (), (event,))


def awaits(job: Job, action: Action) -> bool:
    """Tell whether the job waits for this order: a forgotten host's may come too."""
    if isinstance(action, StopReplication):
        return job.is_at(STOP)
    return job.is_at(REMOVE) or job.is_at(REMOVE_BUT_DISKS)


def is_beside(job: Job, action: Action) -> bool:
    """Tell whether an order of the job has no task: that of a forgotten target with a test failover."""
    return job.kind is JobKind.DISABLE_PROTECTION and isinstance(action, CleanUpRehearsal)


def unattended(job: Job, action: Action, outcome: Outcome, now: datetime) -> Decision:
    """Decide what the outcome of an order means that no job waits for: a forgotten host's failure is told."""
    kinds = (StopReplication, RemoveReplica, CleanUpRehearsal)
    if (
        job.kind is not JobKind.DISABLE_PROTECTION
        or not isinstance(action, kinds)
        or not isinstance(outcome, Failure)
    ):
        return NOTHING
    side = Side.SOURCE if isinstance(action, StopReplication) else Side.TARGET
    detail = f"{job.subject} at its {side}: {outcome.code}: {outcome.cause} {outcome.remedy}"
    event = Event(now, EventKind.FORGOTTEN_HOST_FAILED, action.protection_id, detail)
    return Decision((), (), (event,))


def _check(request: DisableRequest) -> None:
    name = request.protection.machine_name
    for job in request.running:
        if job.kind is JobKind.DISABLE_PROTECTION and not request.forgotten:
            raise IllegalTransitionError(
                "disabling-already",
                f"The protection of machine {name} is being disabled already.",
                f"Wait for job {job.id}, or forget a host that is gone: --forget source|target.",
            )
    hosts = {Side.SOURCE: request.source, Side.TARGET: request.target}
    for side, host in hosts.items():
        if host.state is not HostState.ACTIVE and side not in request.forgotten:
            raise IllegalTransitionError(
                f"host-{host.state}",
                f"Host {host.name}, the {side} of machine {name}, is {host.state}: it is given no orders.",
                f"Readmit it (replikera host readmit {host.name}), or disable with --forget {side}.",
            )
    if request.unfinished_rehearsal is not None and Side.TARGET not in request.forgotten:
        raise IllegalTransitionError(
            "test-failover-exists",
            f"Machine {name} has a test failover that uses its replica.",
            f"Clean it up first: replikera test-failover cleanup {name}.",
        )


def _tasks(request: DisableRequest) -> tuple[str, ...]:
    awaited = {
        Side.SOURCE: STOP,
        Side.TARGET: REMOVE_BUT_DISKS if request.keeps_disks else REMOVE,
    }
    names = tuple(task for side, task in awaited.items() if side not in request.forgotten)
    return names or (FORGET,)


def _orders(request: DisableRequest, job: Job, ids: DisableIds, now: datetime) -> tuple[Order, ...]:
    """Return the first order that is waited for, and those of hosts that nobody waits for.

    A forgotten target may have a test failover: until that is cleaned up, its replica cannot go.
    """
    protection = request.protection
    stop = Order(ids.order, job.id, protection.source_host_id, now, StopReplication(protection.id))
    if not request.forgotten:
        return (stop,)
    action = RemoveReplica(protection.id, request.keeps_disks)
    target_id, rehearsal = protection.target_host_id, request.unfinished_rehearsal
    remove = Order(ids.other_order, job.id, target_id, now, action)
    if rehearsal is None:
        return (stop, remove)
    clean_up = CleanUpRehearsal(rehearsal.id, protection.id)
    # Before the other: a host gets its orders by when they were issued.
    before = now - timedelta(microseconds=1)
    return (stop, Order(ids.clean_up_order, job.id, target_id, before, clean_up), remove)


def _superseded(request: DisableRequest, now: datetime) -> Decision:
    """Decide that nothing else is done for the protection; orders that have not begun are taken back."""
    failure = Failure(
        "protection-disabled",
        f"The protection of machine {request.protection.machine_name} was disabled.",
        "Enable it again if it is still wanted: replikera protection enable.",
    )
    ended = tuple(job.failed(failure, now) for job in request.running)
    return Decision(ended, tuple(order.withdrawn(now) for order in request.open_orders))


def _gone(
    protection: Protection, job: Job, kept_paths: tuple[str, ...], now: datetime, begun: Decision
) -> tuple[Job, Decision]:
    job = job.task_done(now, RemovedReplica(kept_paths))
    kept = f", disks kept: {', '.join(kept_paths)}" if kept_paths else ""
    detail = f"{protection.machine_name}{kept}"
    event = Event(now, EventKind.PROTECTION_DISABLED, protection.id, detail)
    return job, begun + Decision((job,), (), (event,), removed=(protection,))
