"""Ending protections."""

from collections.abc import Collection

from coordinator.domain import disabling
from coordinator.domain.commands import Command
from coordinator.domain.disabling import DisableIds, DisableRequest, Side
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.jobs import Job
from coordinator.domain.policy_settings import ReplicaOnDisable
from coordinator.domain.protections import Protection
from coordinator.orchestration.protection_changes import replicating
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records


async def disable_protection(
    vault: Vault,
    command: Command,
    name: str,
    replica: ReplicaOnDisable | None,
    forgotten: Collection[Side],
) -> Job:
    """Begin to end a protection; without a word about the replica its policy decides. Raises `DomainError`."""
    uuid = vault.randomness.uuid
    ids = DisableIds(JobId(uuid()), OrderId(uuid()), OrderId(uuid()), OrderId(uuid()))
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        protection = await records.protections.get(name)
        request = await _request(records, protection, replica, forgotten)
        job, decision = disabling.start(request, ids, vault.clock.now())
        await records.save(decision, command, result=job.id)
    vault.reports.forget(gone.id for gone in decision.removed)
    vault.presence.announce(decision.orders)
    return job


async def _request(
    records: Records,
    protection: Protection,
    replica: ReplicaOnDisable | None,
    forgotten: Collection[Side],
) -> DisableRequest:
    of = await replicating(records, protection)
    running = await records.running_jobs_of(protection.id)
    orders = [order for job in running for order in await records.open_orders_of(job.id)]
    return DisableRequest(
        protection,
        of.source,
        of.target,
        (replica or of.policy.replica_on_disable) is ReplicaOnDisable.KEEP,
        frozenset(forgotten),
        running,
        tuple(orders),
        await records.unfinished_rehearsal(protection.id),
    )
