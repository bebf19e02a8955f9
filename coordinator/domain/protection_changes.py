"""Changing a protection that runs: pausing it, resuming it, giving it what its policy says now.

Settings are a state that is wanted, so every order carries all of them as they are when it is decided. A pause keeps
the source's mark: replication continues from it, without a resync.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from coordinator.domain import jobs
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import IllegalTransitionError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.jobs import Job, JobKind
from coordinator.domain.orders import Failure, Order, StartReplication
from coordinator.domain.policies import Policy
from coordinator.domain.protections import Protection, ProtectionState

PAUSE_TASKS = ("pause replication at source",)
RESUME_TASKS = ("resume replication at source",)
POLICY_TASKS = ("change terms at target", "change settings at source")

KINDS = (JobKind.PAUSE_PROTECTION, JobKind.RESUME_PROTECTION, JobKind.CHANGE_POLICY)
"""The jobs that change a protection."""

_PAUSABLE = (ProtectionState.INITIAL_REPLICATION, ProtectionState.PROTECTED)
_UNCHANGEABLE = (ProtectionState.FAILED, ProtectionState.DISABLING)
_ON_THE_WAY = (ProtectionState.ENABLING, *_UNCHANGEABLE)
_SWITCHES = {JobKind.PAUSE_PROTECTION: True, JobKind.RESUME_PROTECTION: False}
"""Whether these jobs want the protection to be paused."""


@dataclass(frozen=True, slots=True)
class ChangeIds:
    """Ids for what a change creates."""

    job: JobId
    order: OrderId


@dataclass(frozen=True, slots=True)
class Replicating:
    """A protection with what its orders follow from."""

    protection: Protection
    source: Host
    target: Host
    policy: Policy


def pause(of: Replicating, ids: ChangeIds, now: datetime) -> tuple[Job, Decision]:
    """Decide that nothing is sent any more until it is resumed. Raises `IllegalTransitionError`."""
    protection = of.protection
    if protection.is_paused:
        raise IllegalTransitionError(
            "already-paused",
            f"The protection of machine {protection.machine_name} is paused already.",
            f"Resume it: replikera protection resume {protection.machine_name}.",
        )
    if protection.state not in _PAUSABLE:
        raise IllegalTransitionError(
            "not-pausable",
            f"The protection of machine {protection.machine_name} is {protection.state}: nothing is replicated "
            "that could pause.",
            f"See it with: replikera protection show {protection.machine_name}.",
        )
    return _switch(of, ids, now, is_paused=True)


def resume(of: Replicating, ids: ChangeIds, now: datetime) -> tuple[Job, Decision]:
    """Decide that replication continues from its mark. Raises `IllegalTransitionError`."""
    protection = of.protection
    if not protection.is_paused or protection.state in _UNCHANGEABLE:
        raise IllegalTransitionError(
            "not-paused",
            f"The protection of machine {protection.machine_name} is not paused: it is {protection.state}.",
            f"See it with: replikera protection show {protection.machine_name}.",
        )
    return _switch(of, ids, now, is_paused=False)


def apply_policy(of: Replicating, ids: ChangeIds, now: datetime) -> tuple[Job, Decision] | None:
    """Decide that both hosts are told what the policy says now; None where that cannot be.

    One that is being enabled hears of it when its source has begun. Hosts that nobody trusts are given no orders: the
    health of the protection tells what they have not taken.
    """
    protection = of.protection
    is_trusted = all(host.state is HostState.ACTIVE for host in (of.source, of.target))
    if protection.state in _ON_THE_WAY or not is_trusted:
        return None
    job = _job(protection, JobKind.CHANGE_POLICY, POLICY_TASKS, ids.job, now)
    order = Order(ids.order, job.id, protection.target_host_id, now, protection.terms(of.policy))
    detail = f"{protection.machine_name}: policy {of.policy.name}"
    event = Event(now, EventKind.PROTECTION_UPDATING, protection.id, detail)
    return job, Decision((job,), (order,), (event,))


def follow(of: Replicating, policy: Policy, ids: ChangeIds, now: datetime) -> tuple[Job, Decision]:
    """Decide that the protection follows this policy from now on. Raises `DomainError`."""
    protection = of.protection
    policy.check_source(of.source)
    for host in (of.source, of.target):
        check_trusted(host)
    following = replace(of, protection=replace(protection, policy_id=policy.id), policy=policy)
    change = apply_policy(following, ids, now)
    if change is None:
        raise IllegalTransitionError(
            "not-changeable",
            f"The protection of machine {protection.machine_name} is {protection.state}.",
            f"See it with: replikera protection show {protection.machine_name}.",
        )
    job, decision = change
    return job, decision + Decision((following.protection,))


def terms_accepted(of: Replicating, job: Job, order_id: OrderId, now: datetime) -> Decision:
    """Decide that the source is told, because the target has the new terms."""
    protection = of.protection
    if protection.state in _UNCHANGEABLE:
        return failed(protection, job, _overtaken(protection), (), now)
    action = protection.assignment(of.target, of.policy)
    order = Order(order_id, job.id, protection.source_host_id, now, action)
    return Decision((protection, job.task_done(now)), (order,))


def settings_taken(
    protection: Protection, job: Job, told: StartReplication, now: datetime, *, has_point: bool
) -> Decision:
    """Decide that the source does as it was told; the state follows what this order said, not a later wish."""
    settled = _settled(protection.assigned(told), told, has_point=has_point)
    event = Event(now, _DONE[job.kind], protection.id, protection.machine_name)
    return Decision((settled, job.task_done(now)), (), (event,))


def failed(
    protection: Protection, job: Job, failure: Failure, running: Iterable[Job], now: datetime
) -> Decision:
    """Decide that a host did not do as it was told: what was wanted before is wanted again.

    `running` are the jobs of the protection that run, oldest first.
    """
    detail = f"{job.kind}: {failure.code}: {failure.cause}"
    event = Event(now, EventKind.PROTECTION_CHANGE_FAILED, protection.id, detail)
    undone = _undone(protection, job, running)
    return Decision((undone, job.failed(failure, now)), (), (event,))


def withdrawn(protection: Protection, job: Job, running: Iterable[Job], now: datetime) -> Decision:
    """Decide what follows when a host never began its part of the change; `running` as in `failed`."""
    cancelled = job.cancelled(now)
    undone = _undone(protection, job, running)
    return Decision((undone, cancelled), (), (cancelled.cancelled_event(now),))


_DONE = {
    JobKind.PAUSE_PROTECTION: EventKind.PROTECTION_PAUSED,
    JobKind.RESUME_PROTECTION: EventKind.PROTECTION_RESUMED,
    JobKind.CHANGE_POLICY: EventKind.PROTECTION_UPDATED,
}


def check_trusted(host: Host) -> None:
    """Refuse to order anything from a host that nobody trusts. Raises `IllegalTransitionError`."""
    if host.state is not HostState.ACTIVE:
        raise IllegalTransitionError(
            f"host-{host.state}",
            f"Host {host.name} is {host.state}: it is given no orders.",
            host.remedy or f"Readmit it: replikera host readmit {host.name}.",
        )


def _switch(
    of: Replicating, ids: ChangeIds, now: datetime, *, is_paused: bool
) -> tuple[Job, Decision]:
    check_trusted(of.source)
    wanted = replace(of.protection, is_paused=is_paused)
    kind, tasks, asked = (
        (JobKind.PAUSE_PROTECTION, PAUSE_TASKS, EventKind.PROTECTION_PAUSING)
        if is_paused
        else (JobKind.RESUME_PROTECTION, RESUME_TASKS, EventKind.PROTECTION_RESUMING)
    )
    job = _job(wanted, kind, tasks, ids.job, now)
    action = wanted.assignment(of.target, of.policy)
    order = Order(ids.order, job.id, wanted.source_host_id, now, action)
    event = Event(now, asked, wanted.id, wanted.machine_name)
    return job, Decision((wanted, job), (order,), (event,))


def _settled(protection: Protection, told: StartReplication, *, has_point: bool) -> Protection:
    if told.is_paused and protection.state in _PAUSABLE:
        return replace(protection, state=ProtectionState.PAUSED)
    if not told.is_paused and protection.state is ProtectionState.PAUSED:
        state = ProtectionState.PROTECTED if has_point else ProtectionState.INITIAL_REPLICATION
        return replace(protection, state=state)
    return protection


def _undone(protection: Protection, job: Job, running: Iterable[Job]) -> Protection:
    """Return the protection with the newest wish that still runs, or with what its source confirmed last."""
    if job.kind is JobKind.CHANGE_POLICY:
        return protection
    wishes = [
        _SWITCHES[other.kind] for other in running if other.kind in _SWITCHES and other.id != job.id
    ]
    told = protection.told_source
    confirmed = told.is_paused if told is not None else protection.state is ProtectionState.PAUSED
    return replace(protection, is_paused=wishes[-1] if wishes else confirmed)


def _overtaken(protection: Protection) -> Failure:
    return Failure(
        "protection-ended",
        f"The protection of machine {protection.machine_name} is {protection.state} by now.",
        f"See it with: replikera protection show {protection.machine_name}.",
    )


def _job(
    protection: Protection, kind: JobKind, tasks: tuple[str, ...], job_id: JobId, now: datetime
) -> Job:
    name = protection.machine_name
    return jobs.start(job_id, kind, name, tasks, now, protection_id=protection.id)
