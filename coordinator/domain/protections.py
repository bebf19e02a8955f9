r"""Protections: one machine's replication from one host to another.

    enabling -> initial-replication -> protected
     |  ^ \____________|____________________|______-> resync-required -> resynchronizing -> protected
     v  |                                                   ^__________________/
    failed, until it is enabled again towards the same target

    initial-replication, protected <-> paused
    every state -> disabling -> gone

A first attempt that was withdrawn before its target began leaves nothing: the protection is gone, and the machine may
be protected towards any target. Withdrawn later, it has failed.

Pausing, disabling, resynchronizing and verifying are decided in modules of their own.

A protection is `protected` only once its target reported a sealed point of its generation. Nothing leads out of
`resync-required` by itself: what is not known to be equal never becomes healthy. The target's report of the first point
may overtake the source's outcome; whichever comes second completes the step.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from coordinator.domain import grants, jobs
from coordinator.domain.aggregates import Aggregate
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import ForbiddenError, InvalidValueError, RefusedError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host, HostState
from coordinator.domain.identifiers import (
    Generation,
    HostId,
    JobId,
    MachineId,
    OrderId,
    PolicyId,
    ProtectionId,
)
from coordinator.domain.inventory import Machine
from coordinator.domain.jobs import INITIAL_REPLICATION, Job, JobKind, JobState, TaskState
from coordinator.domain.orders import AcceptReplica, Failure, Order, Seed, StartReplication
from coordinator.domain.policies import Policy

TASKS = ("accept replica at target", "start replication at source", INITIAL_REPLICATION)


class ProtectionState(StrEnum):
    """Where a protection is."""

    ENABLING = "enabling"
    INITIAL_REPLICATION = "initial-replication"
    PROTECTED = "protected"
    RESYNC_REQUIRED = "resync-required"
    RESYNCHRONIZING = "resynchronizing"
    PAUSED = "paused"
    DISABLING = "disabling"
    FAILED = "failed"


_WITHOUT_GRANT = (ProtectionState.FAILED, ProtectionState.DISABLING)
"""The states in which nothing is to be sent."""


@dataclass(frozen=True, slots=True)
class Protection(Aggregate):
    """One machine's replication. `job_id` is the job that enables it; (`epoch_number`, `generation`) is its epoch.

    `told_target` and `told_source` are the last orders that its hosts confirmed, None before the first.

    An empty `storage_folder` is the target's default; `replica_path` is where the target keeps the replica, empty
    before it told. `is_paused` is what was asked for: the state follows when the source has heard.

    `grant_version` is that of the newest grant, 0 for none; `grant_not_after` is when that ends.
    """

    id: ProtectionId
    machine_id: MachineId
    machine_name: str
    source_host_id: HostId
    target_host_id: HostId
    policy_id: PolicyId
    state: ProtectionState
    epoch_number: int
    generation: Generation
    job_id: JobId
    created_at: datetime
    cause: str | None = None
    remedy: str | None = None
    grant_version: int = 0
    grant_issued_at: datetime | None = None
    grant_not_after: datetime | None = None
    excluded_disk_ids: tuple[str, ...] = ()
    seeds: tuple[Seed, ...] = ()
    storage_folder: str = ""
    replica_path: str = ""
    is_paused: bool = False
    told_target: AcceptReplica | None = None
    told_source: StartReplication | None = None

    @property
    def has_begun(self) -> bool:
        """Tell whether the source has been started: a permission to send is of use to it."""
        return self.state not in (ProtectionState.ENABLING, *_WITHOUT_GRANT)

    def has_present_terms(self, target: Host, policy: Policy) -> bool:
        """Tell whether both hosts have confirmed what is wanted of them now."""
        terms, assignment = self.terms(policy), self.assignment(target, policy)
        told_target, told_source = self.told_target, self.told_source
        # The epoch is not a wish: hosts take part in giving it.
        return (
            told_target is not None
            and told_source is not None
            and told_target.retention == terms.retention
            and replace(
                assignment,
                epoch_number=told_source.epoch_number,
                generation=told_source.generation,
            )
            == told_source
        )

    def granted(self, now: datetime) -> "Protection":
        """Return the protection with a new grant in its present epoch."""
        return replace(
            self,
            grant_version=self.grant_version + 1,
            grant_issued_at=now,
            grant_not_after=now + grants.LIFE,
        )

    def needs_grant(self, now: datetime) -> bool:
        """Tell whether the source should get a new grant. A failed protection gets one when it is enabled again."""
        return self.state not in _WITHOUT_GRANT and grants.is_due(
            self.id, self.grant_version, self.grant_issued_at, self.grant_not_after, now
        )

    def check_source(self, host_id: HostId) -> None:
        """Refuse a host that is not the source."""
        if host_id != self.source_host_id:
            raise self._not_yours(host_id, "source")

    def check_target(self, host_id: HostId) -> None:
        """Refuse a host that is not the target."""
        if host_id != self.target_host_id:
            raise self._not_yours(host_id, "target")

    def terms(self, policy: Policy) -> AcceptReplica:
        """Return what the target is told: to keep the replica, and how."""
        return AcceptReplica(
            self.id,
            self.epoch_number,
            self.generation,
            self.source_host_id,
            self.machine_id,
            self.machine_name,
            policy.retention,
            self.storage_folder,
            self.seeds,
        )

    def assignment(self, target: Host, policy: Policy) -> StartReplication:
        """Return what the source is told: to replicate, and how."""
        return StartReplication(
            self.id,
            self.epoch_number,
            self.generation,
            self.machine_id,
            self.target_host_id,
            target.replication_address,
            policy.copy_frequency,
            policy.compression,
            policy.throttle,
            policy.application_consistent_interval,
            self.excluded_disk_ids,
            self.is_paused,
        )

    def accepted(self, told: AcceptReplica, path: str) -> "Protection":
        """Return the protection with what its target confirmed, and where the replica is; empty tells nothing."""
        return replace(self, told_target=told, replica_path=path or self.replica_path)

    def assigned(self, told: StartReplication) -> "Protection":
        """Return the protection with what its source confirmed."""
        return replace(self, told_source=told)

    @property
    def has_confirmed(self) -> bool:
        """Tell whether any of its hosts has confirmed how it replicates."""
        return self.told_target is not None or self.told_source is not None

    def unconfirmed(self) -> "Protection":
        """Return it as nobody has confirmed anything."""
        return replace(self, told_target=None, told_source=None)

    def kept_retention(self, policy: Policy) -> timedelta:
        """Return how long its points are kept for certain: a change counts when the target has confirmed it."""
        told = self.told_target
        return policy.retention if told is None else min(policy.retention, told.retention)

    def replica_accepted(
        self, job: Job, target: Host, policy: Policy, order_id: OrderId, now: datetime
    ) -> Decision:
        """Decide that the source starts, because the target is ready."""
        action = self.assignment(target, policy)
        order = Order(order_id, job.id, self.source_host_id, now, action)
        event = Event(now, EventKind.REPLICA_ACCEPTED, self.id, f"by {target.name}")
        return Decision((self, job.task_done(now)), (order,), (event,))

    def replication_started(self, job: Job, now: datetime, *, has_point: bool) -> Decision:
        """Decide that initial replication runs, or has ended when the target has a point already."""
        started = replace(self, state=ProtectionState.INITIAL_REPLICATION)
        job = job.task_done(now)
        event = Event(now, EventKind.REPLICATION_STARTED, self.id)
        decision = Decision((started, job), (), (event,))
        return decision + started.point_sealed(job, now) if has_point else decision

    def point_sealed(self, job: Job, now: datetime) -> Decision:
        """Decide what a sealed point of this generation means: the first one ends initial replication."""
        ended = (job.task_done(now),) if job.is_at(INITIAL_REPLICATION) else ()
        if self.state is not ProtectionState.INITIAL_REPLICATION:
            # Sealed while its source was on the way to a pause.
            is_late = self.state is ProtectionState.PAUSED and bool(ended)
            return Decision(ended) if is_late else NOTHING
        protected = replace(self, state=ProtectionState.PROTECTED, cause=None, remedy=None)
        event = Event(now, EventKind.MACHINE_PROTECTED, self.id, self.machine_name)
        return Decision((protected, *ended), (), (event,))

    def failed(self, job: Job, failure: Failure, now: datetime) -> Decision:
        """Decide that the machine could not be protected."""
        lost = replace(
            self, state=ProtectionState.FAILED, cause=failure.cause, remedy=failure.remedy
        )
        event = Event(now, EventKind.PROTECTION_FAILED, self.id, f"{failure.code}: {failure.cause}")
        return Decision((lost, job.failed(failure, now)), (), (event,))

    def withdrawn(self, job: Job, now: datetime) -> Decision:
        """Decide what follows when a host never began its part of enabling."""
        cancelled = job.cancelled(now)
        event = cancelled.cancelled_event(now)
        if self._is_only_decided(job):
            gone = Event(
                now, EventKind.PROTECTION_REMOVED, self.id, f"{self.machine_name}: never begun"
            )
            return Decision((cancelled,), (), (event, gone), removed=(self,))
        failure = Failure(
            "enabling-cancelled",
            f"Protecting {self.machine_name} was cancelled before its source host began.",
            "Enable it again towards the same target: replikera protection enable.",
        )
        lost = replace(
            self, state=ProtectionState.FAILED, cause=failure.cause, remedy=failure.remedy
        )
        failed = Event(
            now, EventKind.PROTECTION_FAILED, self.id, f"{failure.code}: {failure.cause}"
        )
        return Decision((lost, cancelled), (), (event, failed))

    def resync_required(self, job: Job, failure: Failure, now: datetime) -> Decision:
        """Decide that both sides are not known to be equal any more; older points stay."""
        if self.state in (ProtectionState.RESYNC_REQUIRED, *_WITHOUT_GRANT):
            return NOTHING
        doubtful = replace(
            self, state=ProtectionState.RESYNC_REQUIRED, cause=failure.cause, remedy=failure.remedy
        )
        event = Event(now, EventKind.RESYNC_REQUIRED, self.id, f"{failure.code}: {failure.cause}")
        decision = Decision((doubtful,), (), (event,))
        if job.state is JobState.RUNNING:
            decision += Decision((job.failed(failure, now),))
        return decision

    def _is_only_decided(self, job: Job) -> bool:
        """Tell whether no host has begun anything: this is the first attempt, and it is at its first task."""
        is_first = job.created_at == self.created_at
        return is_first and all(task.state is not TaskState.SUCCEEDED for task in job.tasks)

    def _not_yours(self, host_id: HostId, side: str) -> ForbiddenError:
        return ForbiddenError(
            "not-your-protection",
            f"Host {host_id} is not the {side} of protection {self.id}.",
            "Nothing was changed. If this host's certificate may have been copied, "
            "register it anew.",
        )


@dataclass(frozen=True, slots=True)
class EnableRequest:
    """What an operator asks to protect, and the protection that the machine has already."""

    machine: Machine
    source: Host
    target: Host
    policy: Policy
    existing: Protection | None
    excluded_disk_ids: tuple[str, ...] = ()
    seeds: tuple[Seed, ...] = ()
    storage_folder: str = ""


@dataclass(frozen=True, slots=True)
class EnableIds:
    """Ids for what enabling creates."""

    protection: ProtectionId
    generation: Generation
    job: JobId
    order: OrderId


def enable(request: EnableRequest, ids: EnableIds, now: datetime) -> tuple[Job, Decision]:
    """Decide that a machine is protected from now on, beginning with an order to its target."""
    _check_hosts(request)
    request.policy.check_source(request.source)
    protection = _begin(request, ids, now).granted(now)
    job = jobs.start(
        ids.job,
        JobKind.ENABLE_PROTECTION,
        protection.machine_name,
        TASKS,
        now,
        protection_id=protection.id,
    )
    action = protection.terms(request.policy)
    order = Order(ids.order, job.id, protection.target_host_id, now, action)
    detail = f"{request.machine.name} from {request.source.name} to {request.target.name}"
    events = [Event(now, EventKind.PROTECTION_ENABLING, protection.id, detail)]
    if protection.grant_version == 1:
        # Renewals would fill the history: the chain of versions is the hosts' to keep.
        until = f"until {protection.grant_not_after:%Y-%m-%d %H:%M} UTC, renewed from then on"
        events.append(Event(now, EventKind.GRANT_ISSUED, protection.id, until))
    return job, Decision((protection, job), (order,), tuple(events))


def _check_hosts(request: EnableRequest) -> None:
    for host in (request.source, request.target):
        _check_active(host)
    if request.source.id == request.target.id:
        raise InvalidValueError(
            "same-host",
            f"Machine {request.machine.name} runs on host {request.target.name} itself.",
            "Name a host of the other site as its target.",
            field="target_host",
        )
    if not request.target.replication_address:
        raise RefusedError(
            "target-never-connected",
            f"Host {request.target.name} has never told where its replication listener is.",
            "Start its agent and try again.",
        )


def _check_active(host: Host) -> None:
    if host.state is not HostState.ACTIVE:
        raise RefusedError(
            f"host-{host.state}",
            f"Host {host.name} is {host.state}: it takes part in no new protection.",
            host.remedy or f"Readmit it: replikera host readmit {host.name}.",
        )


def _begin(request: EnableRequest, ids: EnableIds, now: datetime) -> Protection:
    if request.existing is not None:
        return _begin_again(request, request.existing, ids)
    return Protection(
        ids.protection,
        request.machine.id,
        request.machine.name,
        request.source.id,
        request.target.id,
        request.policy.id,
        ProtectionState.ENABLING,
        1,
        ids.generation,
        ids.job,
        now,
        excluded_disk_ids=request.excluded_disk_ids,
        seeds=request.seeds,
        storage_folder=request.storage_folder,
    )


def _begin_again(request: EnableRequest, existing: Protection, ids: EnableIds) -> Protection:
    """Retry a failed attempt under its own ids: both hosts recognise what they may have done already."""
    if existing.state is not ProtectionState.FAILED:
        raise RefusedError(
            "already-protected",
            f"Machine {request.machine.name} is protected already (state {existing.state}).",
            "See it with: replikera protection show.",
        )
    is_same = (existing.source_host_id, existing.target_host_id) == (
        request.source.id,
        request.target.id,
    )
    if not is_same:
        raise RefusedError(
            "failed-towards-another-target",
            f"Machine {request.machine.name} has a failed protection between other hosts.",
            "Enable it again between the hosts that were named first, or disable it before: "
            f"replikera protection disable {request.machine.name}.",
        )
    return replace(
        existing,
        policy_id=request.policy.id,
        state=ProtectionState.ENABLING,
        job_id=ids.job,
        cause=None,
        remedy=None,
        excluded_disk_ids=request.excluded_disk_ids,
        seeds=request.seeds,
        storage_folder=request.storage_folder,
        is_paused=False,
    )
