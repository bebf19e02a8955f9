"""What follows for a protection from the outcome of an order about it."""

from dataclasses import dataclass
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
from coordinator.domain.protections import Protection
from coordinator.orchestration.protection_changes import replicating
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


@dataclass(frozen=True, slots=True)
class _Ended:
    """The outcome of an order of a running job, and the protection that it is about."""

    protection: Protection
    job: Job
    outcome: Outcome
    now: datetime

    def kept(self) -> Protection:
        """Return the protection with the folder of its replica, if the outcome tells it."""
        path = self.outcome.path if isinstance(self.outcome, ReplicaAccepted) else ""
        return self.protection.kept_at(path)


async def protection_consequence(
    vault: Vault, records: Records, action: ProtectionAction, job: Job, outcome: Outcome
) -> Decision:
    """Decide what follows for the protection and its job, which runs."""
    protection = await records.protections.get(action.protection_id)
    ended = _Ended(protection, job, outcome, vault.clock.now())
    match action:
        case AcceptReplica() | StartReplication() if job.kind is JobKind.ENABLE_PROTECTION:
            return await _enabling(vault, records, action, ended)
        case AcceptReplica() | StartReplication():
            return await _changing(vault, records, action, ended)
        case ResyncReplication():
            return _resyncing(ended)
        case VerifyReplication():
            return _verifying(vault, ended)
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
        newest = await records.points.newest(protection)
        return protection.replication_started(job, now, has_point=newest is not None)
    of = await replicating(records, ended.kept())
    order_id = OrderId(vault.randomness.uuid())
    return of.protection.replica_accepted(job, of.target, of.policy, order_id, now)


async def _changing(
    vault: Vault, records: Records, action: AcceptReplica | StartReplication, ended: _Ended
) -> Decision:
    protection, job, now = ended.protection, ended.job, ended.now
    if isinstance(ended.outcome, Withdrawn):
        return protection_changes.withdrawn(protection, job, now)
    if isinstance(ended.outcome, Failure):
        return protection_changes.failed(protection, job, ended.outcome, now)
    if isinstance(action, StartReplication):
        newest = await records.points.newest(protection)
        return protection_changes.settings_taken(protection, job, now, has_point=newest is not None)
    of = await replicating(records, ended.kept())
    return protection_changes.terms_accepted(of, job, OrderId(vault.randomness.uuid()), now)


def _resyncing(ended: _Ended) -> Decision:
    match ended.outcome:
        case Withdrawn():
            return resyncs.withdrawn(ended.job, ended.now)
        case Failure() as failure:
            return resyncs.failed(ended.protection, ended.job, failure, ended.now)
        case _:
            return resyncs.started(ended.protection, ended.job, ended.now)


def _verifying(vault: Vault, ended: _Ended) -> Decision:
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
        return NOTHING
    match ended.outcome:
        case Failure() as failure:
            return disabling.failed(protection, job, failure, now)
        case ReplicaRemoved() as removal:
            return disabling.removed(protection, job, removal, now)
        case Withdrawn():
            return NOTHING  # only another job of this kind takes it back, and that ends this one
        case _:
            return disabling.stopped(protection, job, OrderId(vault.randomness.uuid()), now)
