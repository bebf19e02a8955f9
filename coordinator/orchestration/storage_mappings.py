"""Storage mappings: made, deleted, and looked at with what they concern."""

from collections.abc import Iterable
from dataclasses import dataclass

from coordinator.domain import storage_mappings
from coordinator.domain.commands import Command
from coordinator.domain.errors import RefusedError
from coordinator.domain.health import Health
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import StorageMappingId
from coordinator.domain.mapping_health import storage_mapping_health
from coordinator.domain.protections import Protection
from coordinator.domain.storage_mappings import StorageMapping, StorageMappingRequest, told_class
from coordinator.orchestration.deletions import Deletion
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records


@dataclass(frozen=True, slots=True)
class StorageNames:
    """What is mapped, as an operator names it; the empty class stands for disks without one."""

    primary_host: str
    storage_class: str
    secondary_host: str
    folder: str


@dataclass(frozen=True, slots=True)
class StorageMappingStatus:
    """A storage mapping with what is known of it now."""

    mapping: StorageMapping
    primary: Host
    secondary: Host
    health: Health


@dataclass(frozen=True, slots=True)
class StorageMappingDetail:
    """A storage mapping with the protections whose machines have disks of its class."""

    status: StorageMappingStatus
    concerned: tuple[Protection, ...]


async def create_storage_mapping(
    vault: Vault, command: Command, names: StorageNames
) -> StorageMappingDetail:
    """Map a storage class of one host to a folder of another."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await storage_mapping_detail(records, done)
        primary = await records.hosts.get(names.primary_host)
        secondary = await records.hosts.get(names.secondary_host)
        request = StorageMappingRequest(primary, names.storage_class, secondary, names.folder)
        mapping_id = StorageMappingId(vault.randomness.uuid())
        mapping, decision = storage_mappings.create(mapping_id, request, vault.clock.now())
        for other in await records.storage_mappings_between(primary.id, secondary.id):
            if other.storage_class == mapping.storage_class:
                raise _mapped_already(request, other)
        await records.save(decision, command, result=mapping.id)
        return await storage_mapping_detail(records, mapping.id)


async def delete_storage_mapping(vault: Vault, command: Command, mapping_id: str) -> Deletion:
    """Map a storage class no more; return whose replicas would have followed the mapping."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return Deletion.from_text(done)
        detail = await storage_mapping_detail(records, mapping_id)
        status = detail.status
        decision = storage_mappings.delete(
            status.mapping, status.primary, status.secondary, vault.clock.now()
        )
        names = tuple(protection.machine_name for protection in detail.concerned)
        deletion = Deletion(status.mapping.id, names)
        await records.save(decision, command, result=deletion.to_text())
    return deletion


async def storage_mapping_statuses(
    records: Records, mappings: Iterable[StorageMapping]
) -> tuple[StorageMappingStatus, ...]:
    """Return these mappings with what is known of them now."""
    found = tuple(mappings)
    ids = {mapping.primary_host_id for mapping in found}
    ids |= {mapping.secondary_host_id for mapping in found}
    hosts = {host.id: host for host in await records.hosts.these(ids)}
    statuses = []
    for mapping in found:
        primary, secondary = hosts[mapping.primary_host_id], hosts[mapping.secondary_host_id]
        health = storage_mapping_health(mapping, primary, secondary)
        statuses.append(StorageMappingStatus(mapping, primary, secondary, health))
    return tuple(statuses)


async def storage_mapping_detail(records: Records, mapping_id: str) -> StorageMappingDetail:
    """Return one mapping with the protections that it concerns. Raises `UnknownObjectError`."""
    mapping = await records.storage_mappings.get(mapping_id)
    (status,) = await storage_mapping_statuses(records, (mapping,))
    return StorageMappingDetail(status, await _concerned(records, mapping))


async def _concerned(records: Records, mapping: StorageMapping) -> tuple[Protection, ...]:
    protections = await records.protections_between(
        mapping.primary_host_id, mapping.secondary_host_id
    )
    ids = {protection.machine_id for protection in protections}
    of_class = {
        machine.id
        for machine in await records.inventories.machines_of(mapping.primary_host_id, ids)
        if any(disk.storage_class == mapping.storage_class for disk in machine.description.disks)
    }
    return tuple(item for item in protections if item.machine_id in of_class)


def _mapped_already(request: StorageMappingRequest, other: StorageMapping) -> RefusedError:
    return RefusedError(
        "storage-mapped-already",
        f"Of host {request.primary.name}, {told_class(other.storage_class)} is mapped to {other.folder} of host "
        f"{request.secondary.name} already.",
        f"Delete that mapping first: replikera storage-mapping delete {other.id}.",
    )
