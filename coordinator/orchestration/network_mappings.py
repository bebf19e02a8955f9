"""Network mappings: made, changed, deleted, and looked at with what they concern."""

from collections.abc import Iterable
from dataclasses import dataclass

from coordinator.domain import network_mappings
from coordinator.domain.commands import Command
from coordinator.domain.errors import RefusedError
from coordinator.domain.health import Health
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import MappingId
from coordinator.domain.mapping_health import network_mapping_health
from coordinator.domain.network_mappings import MappingRequest, NetworkMapping
from coordinator.domain.nic_placement import NicPlacement, explain
from coordinator.domain.protections import Protection
from coordinator.orchestration.deletions import Deletion
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records


@dataclass(frozen=True, slots=True)
class NetworkNames:
    """The networks of a mapping, as an operator names them."""

    primary_host: str
    primary_network: str
    secondary_host: str
    secondary_network: str
    test_network: str | None


@dataclass(frozen=True, slots=True)
class NetworkChange:
    """What an operator wants to be different; `secondary_network` is None where it stays.

    `test_network` counts only if `is_test_network_given`: None stands for no network.
    """

    secondary_network: str | None
    test_network: str | None
    is_test_network_given: bool


@dataclass(frozen=True, slots=True)
class ConcernedProtection:
    """A protection whose machine has adapters on a mapped network, and where those go."""

    protection: Protection
    placements: tuple[NicPlacement, ...]


@dataclass(frozen=True, slots=True)
class NetworkMappingStatus:
    """A network mapping with what is known of it now."""

    mapping: NetworkMapping
    primary: Host
    secondary: Host
    health: Health


@dataclass(frozen=True, slots=True)
class NetworkMappingDetail:
    """A network mapping with the protections that it concerns."""

    status: NetworkMappingStatus
    concerned: tuple[ConcernedProtection, ...]


async def create_mapping(
    vault: Vault, command: Command, names: NetworkNames
) -> NetworkMappingDetail:
    """Map a network of one host to one of another."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await mapping_detail(records, done)
        primary = await records.hosts.get(names.primary_host)
        secondary = await records.hosts.get(names.secondary_host)
        request = MappingRequest(
            primary,
            names.primary_network,
            await records.inventories.networks_of(primary.id),
            secondary,
            names.secondary_network,
            names.test_network,
            await records.inventories.networks_of(secondary.id),
        )
        mapping_id = MappingId(vault.randomness.uuid())
        mapping, decision = network_mappings.create(mapping_id, request, vault.clock.now())
        for other in await records.mappings_between(primary.id, secondary.id):
            if other.primary_network == mapping.primary_network:
                raise _mapped_already(request, other)
        await records.save(decision, command, result=mapping.id)
        return await mapping_detail(records, mapping.id)


async def change_mapping(
    vault: Vault, command: Command, mapping_id: str, wanted: NetworkChange
) -> NetworkMappingDetail:
    """Map a network to another one, or give it another network for tests."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await mapping_detail(records, done)
        mapping = await records.mappings.get(mapping_id)
        secondary = await records.hosts.get(mapping.secondary_host_id)
        test = wanted.test_network if wanted.is_test_network_given else mapping.test_network
        request = MappingRequest(
            await records.hosts.get(mapping.primary_host_id),
            mapping.primary_network,
            (),
            secondary,
            wanted.secondary_network or mapping.secondary_network,
            test,
            await records.inventories.networks_of(secondary.id),
        )
        changed, decision = network_mappings.change(mapping, request, vault.clock.now())
        await records.save(decision, command, result=changed.id if decision.events else "")
        return await mapping_detail(records, changed.id)


async def delete_mapping(vault: Vault, command: Command, mapping_id: str) -> Deletion:
    """Map a network no more; return which protections that concerns."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return Deletion.from_text(done)
        detail = await mapping_detail(records, mapping_id)
        status = detail.status
        decision = network_mappings.delete(
            status.mapping, status.primary, status.secondary, vault.clock.now()
        )
        names = tuple(item.protection.machine_name for item in detail.concerned)
        deletion = Deletion(status.mapping.id, names)
        await records.save(decision, command, result=deletion.to_text())
    return deletion


async def mapping_statuses(
    records: Records, mappings: Iterable[NetworkMapping]
) -> tuple[NetworkMappingStatus, ...]:
    """Return these mappings with what is known of them now."""
    found = tuple(mappings)
    ids = {mapping.primary_host_id for mapping in found}
    ids |= {mapping.secondary_host_id for mapping in found}
    hosts = {host.id: host for host in await records.hosts.these(ids)}
    networks = {host_id: await records.inventories.networks_of(host_id) for host_id in ids}
    statuses = []
    for mapping in found:
        primary, secondary = hosts[mapping.primary_host_id], hosts[mapping.secondary_host_id]
        both = (*networks[primary.id], *networks[secondary.id])
        health = network_mapping_health(mapping, primary, secondary, both)
        statuses.append(NetworkMappingStatus(mapping, primary, secondary, health))
    return tuple(statuses)


async def mapping_detail(records: Records, mapping_id: str) -> NetworkMappingDetail:
    """Return one mapping with the protections that it concerns. Raises `UnknownObjectError`."""
    mapping = await records.mappings.get(mapping_id)
    (status,) = await mapping_statuses(records, (mapping,))
    return NetworkMappingDetail(status, await _concerned(records, mapping))


async def _concerned(records: Records, mapping: NetworkMapping) -> tuple[ConcernedProtection, ...]:
    between = (mapping.primary_host_id, mapping.secondary_host_id)
    protections = await records.protections_between(*between)
    ids = {protection.machine_id for protection in protections}
    machines = {
        machine.id: machine
        for machine in await records.inventories.machines_of(mapping.primary_host_id, ids)
    }
    networks = await records.inventories.networks_of(*between)
    found = []
    for protection in protections:
        machine = machines.get(protection.machine_id)
        nics = [
            nic
            for nic in (machine.description.nics if machine is not None else ())
            if nic.network == mapping.primary_network
        ]
        if nics:
            found.append(ConcernedProtection(protection, explain(nics, (mapping,), networks)))
    return tuple(found)


def _mapped_already(request: MappingRequest, other: NetworkMapping) -> RefusedError:
    return RefusedError(
        "network-mapped-already",
        f"Network {other.primary_network} of host {request.primary.name} is mapped to "
        f"{other.secondary_network} of host {request.secondary.name} already.",
        f"Change that mapping: replikera network-mapping update {other.id}.",
    )
