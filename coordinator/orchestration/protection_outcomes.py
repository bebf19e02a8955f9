"""What follows for a protection from the outcome of an order about it."""

from dataclasses import dataclass, replace
from datetime import datetime

from coordinator.domain import disabling, protection_changes, resyncs, verifications
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.identifiers import OrderId
from coordinator.domain.jobs import Job, JobKind
from coordinator.domain.orders import (
    AcceptReplica,
    Failure,
    Outcome,
    RemoveReplica,
    ReplicaAccepted,
    ReplicaRemoved,
    ResyncReplication,
    StartReplication,
    StopReplication,
    VerifyReplication,
    Withdrawn,
)
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.orchestration.protection_changes import change_ids, replicating
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records

ProtectionAction = (
    AcceptReplica
    | StartReplication
    | ResyncReplication
    | VerifyReplication
    | StopReplication
    | RemoveReplica
)

_GONE = Failure(
    "protection-ended",
    "The protection is gone: what was asked for concerns nobody any more.",
    "See: replikera protection list.",
)


@dataclass(frozen=True, slots=True)
class _Ended:
    """The outcome of an order of a running job, and the protection that it is about."""

    protection: Protection
    job: Job
    outcome: Outcome
    now: datetime

    def accepted(self, told: AcceptReplica) -> Protection:
        """Return the protection with what its target confirmed, and the folder of its replica, if that is told."""
        path = self.outcome.path if isinstance(self.outcome, ReplicaAccepted) else ""
        return self.protection.accepted(told, path)


async def protection_consequence(
    vault: Vault, records: Records, action: ProtectionAction, job: Job, outcome: Outcome
) -> Decision:
    """Decide what follows for the protection and its job, which runs."""
    now = vault.clock.now()
    protection = await records.protections.find(action.protection_id)
    if protection is None:
        return Decision((job.failed(_GONE, now),))
    ended = _Ended(protection, job, outcome, now)
    match action:
        case AcceptReplica() | StartReplication() if job.kind is JobKind.ENABLE_PROTECTION:
            return await _enabling(vault, records, action, ended)
        case AcceptReplica() | StartReplication():
            return await _changing(vault, records, action, ended)
        case ResyncReplication():
            return _resyncing(ended)
        case VerifyReplication():
            return _verifying(vault, action, ended)
        case StopReplication() | RemoveReplica():
            return _disabling(vault, action, ended)


async def _enabling(
    vault: Vault, records: Records, action: AcceptReplica | StartReplication, ended: _Ended
) -> Decision:
    protection, job, now = ended.protection, ended.job, ended.now
    if isinstance(ended.outcome, Withdrawn):
        return protection.withdrawn(job, now)
    if isinstance(ended.outcome, Failure):
        return protection.failed(job, ended.outcome, now)
    if isinstance(action, StartReplication):
        return await _begun(vault, records, action, ended)
    of = await replicating(records, ended.accepted(action))
    order_id = OrderId(vault.randomness.uuid())
    return of.protection.replica_accepted(job, of.target, of.policy, order_id, now)


async def _begun(
    vault: Vault, records: Records, action: StartReplication, ended: _Ended
) -> Decision:
    """Decide that replication has begun, and that both hosts hear of what changed while it was being enabled."""
    assigned = ended.protection.assigned(action)
    newest = await records.points.newest(assigned)
    decision = assigned.replication_started(ended.job, ended.now, has_point=newest is not None)
    of = await replicating(records, assigned)
    if assigned.has_present_terms(of.target, of.policy):
        return decision
    begun = replace(of, protection=replace(assigned, state=ProtectionState.INITIAL_REPLICATION))
    change = protection_changes.apply_policy(begun, change_ids(vault), ended.now)
    return decision if change is None else decision + change[1]


async def _changing(
    vault: Vault, records: Records, action: AcceptReplica | StartReplication, ended: _Ended
) -> Decision:
    protection, job, now = ended.protection, ended.job, ended.now
    running = await records.running_jobs_of(protection.id)
    if isinstance(ended.outcome, Withdrawn):
        return protection_changes.withdrawn(protection, job, running, now)
    if isinstance(ended.outcome, Failure):
        return protection_changes.failed(protection, job, ended.outcome, running, now)
    if isinstance(action, StartReplication):
        newest = await records.points.newest(protection)
        has_point = newest is not None
        return protection_changes.settings_taken(protection, job, action, now, has_point=has_point)
    of = await replicating(records, ended.accepted(action))
    return protection_changes.terms_accepted(of, job, OrderId(vault.randomness.uuid()), now)


def _resyncing(ended: _Ended) -> Decision:
    match ended.outcome:
        case Withdrawn():
            return resyncs.withdrawn(ended.job, ended.now)
        case Failure() as failure:
            return resyncs.failed(ended.protection, ended.job, failure, ended.now)
        case _:
            return resyncs.started(ended.protection, ended.job, ended.now)


def _verifying(vault: Vault, action: VerifyReplication, ended: _Ended) -> Decision:
    if not action.verification_id:
        return verifications.called_off(ended.job, ended.outcome, ended.now)
    match ended.outcome:
        case Withdrawn():
            return verifications.withdrawn(ended.job, ended.now)
        case Failure() as failure:
            return verifications.failed(ended.job, failure, ended.now)
        case _:
            report = vault.reports.get(ended.protection.id)
            known = report.verification if report is not None else None
            return verifications.started(ended.protection, ended.job, known, ended.now)


def _disabling(vault: Vault, action: StopReplication | RemoveReplica, ended: _Ended) -> Decision:
    protection, job, now = ended.protection, ended.job, ended.now
    if not disabling.awaits(job, action):
        return disabling.unattended(job, action, ended.outcome, now)
    match ended.outcome:
        case Failure() as failure:
            return disabling.failed(protection, job, failure, now)
        case ReplicaRemoved() as removal:
            return disabling.removed(protection, job, removal, now)
        case Withdrawn():
            return NOTHING  # only another job of this kind takes it back, and that ends this one
        case _:
            return disabling.stopped(protection, job, OrderId(vault.randomness.uuid()), now)
