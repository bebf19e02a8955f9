"""Resources that protections refer to: machines, networks, policies, network mappings."""

from datetime import timedelta
from http import HTTPStatus

from coordinator.orchestration import catalogue
from coordinator.orchestration.catalogue import NetworkNames
from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records
from coordinator.web import presentation
from coordinator.web.answers import (
    MachineAnswer,
    NetworkAnswer,
    NetworkMappingAnswer,
    PolicyAnswer,
)
from coordinator.web.models import Listing, ListQuery, NoQuery, listing
from coordinator.web.requests import NetworkMappingRequest, PolicyRequest
from coordinator.web.table import CONTRIBUTORS, Call, Route, changing, reading


class CatalogueHandlers:
    """Handlers of these resources."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def rows(self) -> tuple[Route, ...]:
        """Return the rows of these resources."""
        return (
            reading(
                "/machines",
                self.list_machines,
                "List machines",
                ListQuery,
                Listing[MachineAnswer],
            ),
            reading("/machines/{name}", self.get_machine, "A machine", NoQuery, MachineAnswer),
            reading(
                "/networks",
                self.list_networks,
                "List networks",
                ListQuery,
                Listing[NetworkAnswer],
            ),
            reading(
                "/policies",
                self.list_policies,
                "List policies",
                ListQuery,
                Listing[PolicyAnswer],
            ),
            changing(
                "/policies",
                self.create_policy,
                "Create a replication policy",
                PolicyRequest,
                PolicyAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.CREATED,
            ),
            reading(
                "/network-mappings",
                self.list_network_mappings,
                "List network mappings",
                ListQuery,
                Listing[NetworkMappingAnswer],
            ),
            changing(
                "/network-mappings",
                self.create_network_mapping,
                "Map a network of one host to one of another",
                NetworkMappingRequest,
                NetworkMappingAnswer,
                roles=CONTRIBUTORS,
                status=HTTPStatus.CREATED,
            ),
        )

    async def list_machines(self, _call: Call, query: ListQuery) -> Listing[MachineAnswer]:
        """Return machines by name."""
        async with self._vault.store.read() as records:
            page = await records.inventories.machines_page(query.cursor, query.limit)
            known = await _hosts(records)
            protections = {item.machine_id: item.id for item in await records.protections.all()}
        items = (
            presentation.machine(machine, known, protections.get(machine.id))
            for machine in page.items
        )
        return listing(page, items)

    async def get_machine(self, call: Call, _query: NoQuery) -> MachineAnswer:
        """Return one machine."""
        async with self._vault.store.read() as records:
            machine = await records.inventories.machine(call.path["name"])
            known = await _hosts(records)
            protection = await records.protection_of_machine(machine.id)
        return presentation.machine(machine, known, protection.id if protection else None)

    async def list_networks(self, _call: Call, query: ListQuery) -> Listing[NetworkAnswer]:
        """Return networks by name."""
        async with self._vault.store.read() as records:
            page = await records.inventories.networks_page(query.cursor, query.limit)
            known = await _hosts(records)
        return listing(page, (presentation.network(network, known) for network in page.items))

    async def list_policies(self, _call: Call, query: ListQuery) -> Listing[PolicyAnswer]:
        """Return policies by name."""
        async with self._vault.store.read() as records:
            page = await records.policies.page(query.cursor, query.limit)
        return listing(page, map(presentation.policy, page.items))

    async def create_policy(self, call: Call, body: PolicyRequest) -> PolicyAnswer:
        """Make a policy."""
        made = await catalogue.create_policy(
            self._vault,
            call.command,
            body.name,
            timedelta(seconds=body.copy_frequency_seconds),
            timedelta(hours=body.retention_hours),
        )
        return presentation.policy(made)

    async def list_network_mappings(
        self, _call: Call, query: ListQuery
    ) -> Listing[NetworkMappingAnswer]:
        """Return network mappings."""
        async with self._vault.store.read() as records:
            page = await records.mappings.page(query.cursor, query.limit)
            known = await _hosts(records)
        return listing(page, (presentation.mapping(mapping, known) for mapping in page.items))

    async def create_network_mapping(
        self, call: Call, body: NetworkMappingRequest
    ) -> NetworkMappingAnswer:
        """Map a network of one host to one of another."""
        names = NetworkNames(
            body.primary_host,
            body.primary_network,
            body.secondary_host,
            body.secondary_network,
            body.test_network,
        )
        made = await catalogue.create_mapping(self._vault, call.command, names)
        async with self._vault.store.read() as records:
            known = await _hosts(records)
        return presentation.mapping(made, known)


async def _hosts(records: Records) -> presentation.Hosts:
    return {host.id: host for host in await records.hosts.all()}
