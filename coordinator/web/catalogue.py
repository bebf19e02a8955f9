"""Resources that protections refer to: machines and networks."""

from coordinator.orchestration.vault import Vault
from coordinator.store.records import Records
from coordinator.web import presentation
from coordinator.web.answers import (
    MachineAnswer,
    NetworkAnswer,
)
from coordinator.web.models import Listing, ListQuery, NoQuery, listing
from coordinator.web.table import Call, Route, reading


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


async def _hosts(records: Records) -> presentation.Hosts:
    return {host.id: host for host in await records.hosts.all()}
