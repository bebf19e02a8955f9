"""Policies and network mappings: what protections refer to."""

from dataclasses import dataclass
from datetime import timedelta

from coordinator.domain import network_mappings, policies
from coordinator.domain.commands import Command
from coordinator.domain.errors import RefusedError
from coordinator.domain.identifiers import MappingId, PolicyId
from coordinator.domain.network_mappings import MappingRequest, NetworkMapping
from coordinator.domain.policies import Policy
from coordinator.orchestration.vault import Vault


@dataclass(frozen=True, slots=True)
class NetworkNames:
    """The networks of a mapping, as an operator names them."""

    primary_host: str
    primary_network: str
    secondary_host: str
    secondary_network: str
    test_network: str | None


async def create_policy(
    vault: Vault, command: Command, name: str, copy_frequency: timedelta, retention: timedelta
) -> Policy:
    """Make a policy with a name that no other has."""
    policy_id = PolicyId(vault.randomness.uuid())
    policy, decision = policies.create(
        policy_id, name, copy_frequency, retention, vault.clock.now()
    )
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.policies.get(done)
        if await records.policies.is_taken(name):
            raise RefusedError(
                "policy-name-taken", f"There is a policy {name} already.", "Choose another name."
            )
        await records.save(decision, command, result=policy.id)
    return policy


async def create_mapping(vault: Vault, command: Command, names: NetworkNames) -> NetworkMapping:
    """Map a network of one host to one of another."""
    async with vault.store.write() as records:
        if (done := await records.done(command)) is not None:
            return await records.mappings.get(done)
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
                raise RefusedError(
                    "network-mapped-already",
                    f"Network {mapping.primary_network} of host {primary.name} is mapped to "
                    f"{other.secondary_network} of host {secondary.name} already.",
                    "See: replikera network-mapping list.",
                )
        await records.save(decision, command, result=mapping.id)
    return mapping
