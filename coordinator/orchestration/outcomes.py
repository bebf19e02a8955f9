"""What follows from the outcome of an order."""

from datetime import datetime

from coordinator.domain import disabling, named_points, point_digests, point_exports
from coordinator.domain.commands import by_host
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import ForbiddenError
from coordinator.domain.identifiers import HostId, OrderId
from coordinator.domain.jobs import Job, JobState
from coordinator.domain.orders import (
    AcceptReplica,
    Action,
    CleanUpRehearsal,
    DigestPoint,
    Done,
    ExportPoint,
    Failure,
    NamePoint,
    Order,
    Outcome,
    PointDigests,
    PointExported,
    PointNamed,
    RehearsalCleanedUp,
    RehearsalStarted,
    RemoveReplica,
    ReplicaAccepted,
    ReplicaRemoved,
    ResyncReplication,
    StartRehearsal,
    StartReplication,
    StopReplication,
    VerifyReplication,
    Withdrawn,
)
from coordinator.orchestration.protection_outcomes import protection_consequence
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records


async def receive_outcome(
    vault: Vault, host_id: HostId, order_id: OrderId, outcome: Outcome
) -> None:
    """Store an order's outcome with all that follows from it; a repeated one changes nothing.

    Raises `ForbiddenError` for an order that was not given to this host.
    """
    async with vault.store.write() as records:
        order = await records.orders.find(order_id)
        if order is None and (await records.control()).reconciled_number:
            # Of a history that was lost. The host says it until it is heard, and it changes nothing any more.
            return
        if order is None or order.host_id != host_id:
            raise ForbiddenError(
                "not-your-order",
                f"Order {order_id} was not given to host {host_id}.",
                "If the vault was restored from a backup, its agents know more than it does.",
            )
        if order.outcome is not None:
            # Said again because it was not heard that it was stored: neither may they who come next have been told.
            vault.presence.announce(await records.open_orders_of(order.job_id))
            return
        now = vault.clock.now()
        decision = await finished(vault, records, order, outcome, now)
        await records.save(decision, by_host(host_id))
    vault.progress.forget(order.job_id)
    vault.reports.forget(gone.id for gone in decision.removed)
    vault.presence.announce(decision.orders)


async def finished(
    vault: Vault, records: Records, order: Order, outcome: Outcome, now: datetime
) -> Decision:
    """Decide that an order has ended, with all that follows from it."""
    decision = await _consequence(vault, records, order, outcome)
    return decision + Decision(orders=(order.finished(outcome, now),))


async def _consequence(vault: Vault, records: Records, order: Order, outcome: Outcome) -> Decision:
    job = await records.jobs.get(order.job_id)
    outcome = _expected(order, outcome)
    if job.state is not JobState.RUNNING or disabling.is_beside(job, order.action):
        return disabling.unattended(job, order.action, outcome, vault.clock.now())
    match order.action:
        case StartRehearsal() | CleanUpRehearsal():
            return await _rehearsal_consequence(vault, records, order.action, job, outcome)
        case ExportPoint():
            return _export_consequence(order.action, job, outcome, vault.clock.now())
        case NamePoint():
            return await _naming_consequence(vault, records, order.action, job, outcome)
        case DigestPoint():
            return _digest_consequence(order.action, job, outcome, vault.clock.now())
        case _:
            return await protection_consequence(vault, records, order.action, job, outcome)


async def _rehearsal_consequence(
    vault: Vault,
    records: Records,
    action: StartRehearsal | CleanUpRehearsal,
    job: Job,
    outcome: Outcome,
) -> Decision:
    now = vault.clock.now()
    rehearsal = await records.rehearsals.get(action.rehearsal_id)
    match outcome:
        case RehearsalStarted():
            return rehearsal.started(job, outcome, now)
        case RehearsalCleanedUp():
            return rehearsal.cleaned_up(job, outcome, now)
        case Failure():
            return rehearsal.failed(job, outcome, now)
        case Withdrawn():
            return rehearsal.withdrawn(job, now)
        case _:
            return NOTHING


def _digest_consequence(action: DigestPoint, job: Job, outcome: Outcome, now: datetime) -> Decision:
    match outcome:
        case PointDigests():
            return point_digests.digested(job, action, outcome, now)
        case Failure():
            return point_digests.failed(job, action, outcome, now)
        case Withdrawn():
            return point_digests.withdrawn(job, now)
        case _:
            return NOTHING


def _export_consequence(action: ExportPoint, job: Job, outcome: Outcome, now: datetime) -> Decision:
    match outcome:
        case PointExported():
            return point_exports.exported(job, action, outcome, now)
        case Failure():
            return point_exports.failed(job, action, outcome, now)
        case Withdrawn():
            return point_exports.withdrawn(job, now)
        case _:
            return NOTHING


async def _naming_consequence(
    vault: Vault, records: Records, action: NamePoint, job: Job, outcome: Outcome
) -> Decision:
    now = vault.clock.now()
    match outcome:
        case PointNamed():
            taken, decision = named_points.named(job, action, outcome, now)
            protection = await records.protections.get(action.protection_id)
            # The target may have told of it before the source.
            point = await records.points.find(protection, outcome.sequence)
            return decision if point is None else named_points.listed(taken, point, now)
        case Failure():
            return named_points.failed(job, action, outcome, now)
        case Withdrawn():
            return named_points.withdrawn(job, now)
        case _:
            return NOTHING


def _expected(order: Order, outcome: Outcome) -> Outcome:
    """Return the outcome if it is one of this order, else the failure that it is."""
    if isinstance(outcome, Withdrawn) and order.withdrawn_at is not None:
        return outcome
    kinds: dict[type[Action], tuple[type[Outcome], ...]] = {
        # Of an agent of the version before, which does not tell the folder.
        AcceptReplica: (ReplicaAccepted, Done),
        StartReplication: (Done,),
        ResyncReplication: (Done,),
        VerifyReplication: (Done,),
        StopReplication: (Done,),
        RemoveReplica: (ReplicaRemoved,),
        StartRehearsal: (RehearsalStarted,),
        CleanUpRehearsal: (RehearsalCleanedUp,),
        DigestPoint: (PointDigests,),
        ExportPoint: (PointExported,),
        NamePoint: (PointNamed,),
    }
    action = type(order.action)
    if isinstance(outcome, (Failure, *kinds[action])):
        return outcome
    return Failure(
        "unexpected-outcome",
        f"The host answered {action.__name__} with {type(outcome).__name__}.",
        "Update its agent to the version of the vault.",
    )
