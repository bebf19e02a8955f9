"""What follows from the outcome of an order."""

from datetime import datetime

from coordinator.domain.commands import by_host
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import ForbiddenError
from coordinator.domain.identifiers import HostId, OrderId
from coordinator.domain.jobs import Job, JobState
from coordinator.domain.orders import (
    AcceptReplica,
    Action,
    CleanUpRehearsal,
    Done,
    Failure,
    Order,
    Outcome,
    RehearsalCleanedUp,
    RehearsalStarted,
    StartRehearsal,
    StartReplication,
    Withdrawn,
)
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
    vault.presence.announce(decision.orders)


async def finished(
    vault: Vault, records: Records, order: Order, outcome: Outcome, now: datetime
) -> Decision:
    """Decide that an order has ended, with all that follows from it."""
    decision = await _consequence(vault, records, order, outcome)
    return decision + Decision(orders=(order.finished(outcome, now),))


async def _consequence(vault: Vault, records: Records, order: Order, outcome: Outcome) -> Decision:
    job = await records.jobs.get(order.job_id)
    if job.state is not JobState.RUNNING:
        return NOTHING
    outcome = _expected(order, outcome)
    match order.action:
        case AcceptReplica() | StartReplication():
            return await _replication_consequence(vault, records, order.action, job, outcome)
        case StartRehearsal() | CleanUpRehearsal():
            return await _rehearsal_consequence(vault, records, order.action, job, outcome)


async def _replication_consequence(
    vault: Vault,
    records: Records,
    action: AcceptReplica | StartReplication,
    job: Job,
    outcome: Outcome,
) -> Decision:
    now = vault.clock.now()
    protection = await records.protections.get(action.protection_id)
    if isinstance(outcome, Withdrawn):
        return protection.withdrawn(job, now)
    if isinstance(outcome, Failure):
        return protection.failed(job, outcome, now)
    if isinstance(action, StartReplication):
        newest = await records.points.newest(protection)
        return protection.replication_started(job, now, has_point=newest is not None)
    target = await records.hosts.get(protection.target_host_id)
    policy = await records.policies.get(protection.policy_id)
    order_id = OrderId(vault.randomness.uuid())
    return protection.replica_accepted(job, target, policy, order_id, now)


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
        case Done():
            return NOTHING


def _expected(order: Order, outcome: Outcome) -> Outcome:
    """Return the outcome if it is one of this order, else the failure that it is."""
    if isinstance(outcome, Withdrawn) and order.withdrawn_at is not None:
        return outcome
    kinds: dict[type[Action], type[Outcome]] = {
        AcceptReplica: Done,
        StartReplication: Done,
        StartRehearsal: RehearsalStarted,
        CleanUpRehearsal: RehearsalCleanedUp,
    }
    action = type(order.action)
    if isinstance(outcome, (Failure, kinds[action])):
        return outcome
    return Failure(
        "unexpected-outcome",
        f"The host answered {action.__name__} with {type(outcome).__name__}.",
        "Update its agent to the version of the vault.",
    )
