"""Changing protections that run: pausing, resuming, another policy, resync, verification."""

from coordinator.domain import protection_changes, resyncs, verifications
from coordinator.domain.commands import Command
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.identifiers import JobId, OrderId
from coordinator.domain.jobs import Job, JobKind
from coordinator.domain.policies import Policy
from coordinator.domain.protection_changes import ChangeIds, Replicating
from coordinator.domain.protections import Protection
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records


async def pause_protection(vault: Vault, command: Command, name: str) -> Job:
    """Begin to pause a protection. Raises `DomainError`."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        of = await replicating(records, await records.protections.get(name))
        job, decision = protection_changes.pause(of, change_ids(vault), vault.clock.now())
        await records.save(decision, command, result=job.id)
    vault.presence.announce(decision.orders)
    return job


async def resume_protection(vault: Vault, command: Command, name: str) -> Job:
    """Begin to resume a protection. Raises `DomainError`."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        of = await replicating(records, await records.protections.get(name))
        job, decision = protection_changes.resume(of, change_ids(vault), vault.clock.now())
        await records.save(decision, command, result=job.id)
    vault.presence.announce(decision.orders)
    return job


async def change_policy(vault: Vault, command: Command, name: str, policy: str) -> Job:
    """Give a protection another policy. Raises `DomainError`."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        of = await replicating(records, await records.protections.get(name))
        job, decision = protection_changes.follow(
            of, await records.policies.get(policy), change_ids(vault), vault.clock.now()
        )
        await records.save(decision, command, result=job.id)
    vault.presence.announce(decision.orders)
    return job


async def resync_protection(vault: Vault, command: Command, name: str) -> Job:
    """Begin to resynchronize a protection. Raises `DomainError`."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        protection = await records.protections.get(name)
        job, decision = resyncs.start(
            protection,
            await records.hosts.get(protection.source_host_id),
            await records.running_job_of(protection.id, JobKind.RESYNC_PROTECTION),
            change_ids(vault),
            vault.clock.now(),
        )
        await records.save(decision, command, result=job.id)
    vault.presence.announce(decision.orders)
    return job


async def verify_protection(vault: Vault, command: Command, name: str) -> Job:
    """Begin to verify a replica. Raises `DomainError`."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        protection = await records.protections.get(name)
        job, decision = verifications.start(
            protection,
            await records.hosts.get(protection.source_host_id),
            await records.running_job_of(protection.id, JobKind.VERIFY_PROTECTION),
            change_ids(vault),
            vault.clock.now(),
        )
        await records.save(decision, command, result=job.id)
    vault.presence.announce(decision.orders)
    return job


async def applied(vault: Vault, records: Records, policy: Policy) -> Decision:
    """Decide that all hosts whose machines follow a policy are told what it says now."""
    decision = NOTHING
    for protection in await records.protections_following(policy.id):
        of = await replicating(records, protection, policy)
        change = protection_changes.apply_policy(of, change_ids(vault), vault.clock.now())
        if change is not None:
            decision += change[1]
    return decision


async def replicating(
    records: Records, protection: Protection, policy: Policy | None = None
) -> Replicating:
    """Return a protection with its hosts and its policy, or the policy as it will be."""
    return Replicating(
        protection,
        await records.hosts.get(protection.source_host_id),
        await records.hosts.get(protection.target_host_id),
        policy or await records.policies.get(protection.policy_id),
    )


def change_ids(vault: Vault) -> ChangeIds:
    """Return ids for a change."""
    return ChangeIds(JobId(vault.randomness.uuid()), OrderId(vault.randomness.uuid()))
