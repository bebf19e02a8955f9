"""Enabling protection."""

from collections.abc import Collection
from dataclasses import dataclass

from coordinator.domain import protections
from coordinator.domain.commands import Command
from coordinator.domain.disk_choice import check_seeds, excluded_disk_ids
from coordinator.domain.identifiers import Generation, JobId, OrderId, ProtectionId
from coordinator.domain.inventory import Machine
from coordinator.domain.jobs import Job
from coordinator.domain.orders import Seed
from coordinator.domain.protections import EnableIds, EnableRequest
from coordinator.domain.storage_mappings import choose_folder
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records


@dataclass(frozen=True, slots=True)
class DiskWishes:
    """What an operator asks of a machine's disks: those left out, by id or file name, and those that have seeds."""

    excluded: Collection[str] = ()
    seeds: tuple[Seed, ...] = ()


NO_WISHES = DiskWishes()


async def enable_protection(
    vault: Vault,
    command: Command,
    machine_name: str,
    target: str,
    policy: str,
    *,
    disks: DiskWishes = NO_WISHES,
    source: str | None = None,
) -> Job:
    """Begin to protect a machine towards a target host; `source` is the host it runs on, where several list it."""
    uuid = vault.randomness.uuid
    ids = EnableIds(ProtectionId(uuid()), Generation(uuid()), JobId(uuid()), OrderId(uuid()))
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.jobs.get(done)
        host_id = (await records.hosts.get(source)).id if source is not None else None
        machine = await records.inventories.machine(machine_name, host_id)
        request = await _request(records, machine, target, policy, disks)
        job, decision = protections.enable(request, ids, vault.clock.now())
        await records.save(decision, command, result=job.id)
    vault.presence.announce(decision.orders)
    return job


async def _request(
    records: Records, machine: Machine, target: str, policy: str, disks: DiskWishes
) -> EnableRequest:
    host = await records.hosts.get(target)
    excluded = excluded_disk_ids(machine, disks.excluded)
    check_seeds(machine, disks.seeds, excluded)
    mappings = await records.storage_mappings_between(machine.host_id, host.id)
    return EnableRequest(
        machine,
        await records.hosts.get(machine.host_id),
        host,
        await records.policies.get(policy),
        await records.protection_of_machine(machine.id),
        excluded,
        disks.seeds,
        choose_folder(machine, machine.host_id, host, mappings, excluded_disk_ids=excluded).folder,
    )
