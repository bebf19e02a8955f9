"""Where a machine would go at a host, by the mappings as they are now."""

from dataclasses import dataclass

from coordinator.domain.hosts import Host
from coordinator.domain.inventory import Machine
from coordinator.domain.nic_placement import NicPlacement, explain
from coordinator.domain.storage_mappings import StorageChoice, choose_folder
from coordinator.store.records import Records


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a machine's replica would be kept at a host, and where its adapters would go in a failover."""

    machine: Machine
    target: Host
    storage: StorageChoice
    nics: tuple[NicPlacement, ...]


async def placement_of(records: Records, machine_name: str, target: str) -> Placement:
    """Return where a machine would go at a host. Raises `DomainError`."""
    machine = await records.inventories.machine(machine_name)
    host = await records.hosts.get(target)
    folders = await records.storage_mappings_between(machine.host_id, host.id)
    mappings = await records.mappings_between(machine.host_id, host.id)
    networks = await records.inventories.networks_of(machine.host_id, host.id)
    return Placement(
        machine,
        host,
        choose_folder(machine, machine.host_id, host, folders),
        explain(machine.description.nics, mappings, networks),
    )
