"""Enabling protection."""

from coordinator.domain import protections
from coordinator.domain.commands import Command
from coordinator.domain.identifiers import Generation, JobId, OrderId, ProtectionId
from coordinator.domain.jobs import Job
from coordinator.domain.protections import EnableIds, EnableRequest
from coordinator.orchestration.vault import Vault


async def enable_protection(
    vault: Vault, command: Command, machine_name: str, target: str, policy: str
) -> Job:
    """Begin to protect a machine towards a target host."""
    uuid = vault.randomness.uuid
    ids = EnableIds(ProtectionId(uuid()), Generation(uuid()), JobId(uuid()), OrderId(uuid()))
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        machine = await records.inventories.machine(machine_name)
        request = EnableRequest(
            machine,
            await records.hosts.get(machine.host_id),
            await records.hosts.get(target),
            await records.policies.get(policy),
            await records.protection_of_machine(machine.id),
        )
        job, decision = protections.enable(request, ids, vault.clock.now())
        await records.save(decision, command, result=job.id)
    vault.presence.announce(decision.orders)
    return job
