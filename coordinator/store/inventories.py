"""What hosts last listed: machines and networks."""

from collections.abc import Iterable

from sqlalchemy import delete, insert, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.domain.errors import RefusedError
from coordinator.domain.identifiers import HostId, MachineId
from coordinator.domain.inventory import Inventory, Machine, Network
from coordinator.store import schema
from coordinator.store.paging import DEFAULT_LIMIT, Ordering, Page
from coordinator.store.repository import Rows, groups, the_one

_MACHINES = Ordering(schema.machines.c.name, schema.machines.c.host_id, schema.machines.c.id)
_NETWORKS = Ordering(schema.networks.c.name, schema.networks.c.host_id)


class Inventories:
    """Machines and networks of all hosts; each host's are replaced as a whole."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._machines = Rows(connection, schema.machines, Machine)
        self._networks = Rows(connection, schema.networks, Network)

    async def replace(self, host_id: HostId, inventory: Inventory) -> None:
        """Keep what the host has now."""
        for table in (schema.machines, schema.networks):
            await self._connection.execute(delete(table).where(table.c.host_id == host_id))
        machines = [self._machines.values(machine) for machine in inventory.machines]
        if machines:
            await self._connection.execute(insert(schema.machines), machines)
        networks = [self._networks.values(network) for network in inventory.networks]
        if networks:
            await self._connection.execute(insert(schema.networks), networks)

    async def machine(self, name: str, host_id: HostId | None = None) -> Machine:
        """Return the machine with that id or name, of any host or of this one.

        Raises `UnknownObjectError`, `RefusedError`.
        """
        table = schema.machines
        conditions = [or_(table.c.id == name, table.c.name == name)]
        if host_id is not None:
            conditions.append(table.c.host_id == host_id)
        found = await self._machines.where(*conditions, limit=3)
        if len(found) > 1 and len({machine.id for machine in found}) == 1:
            # Of a cluster, one of whose hosts is gone: its list stays as it was.
            raise RefusedError(
                "ambiguous-name",
                f"More than one host lists machine {name}.",
                "To protect it, name the host that it runs on: replikera protection enable --source-host.",
            )
        return the_one(found, "machine", name)

    async def machine_of(self, host_id: HostId, machine_id: MachineId) -> Machine | None:
        """Return a machine of one host, None where it is not listed."""
        table = schema.machines
        return await self._machines.first(table.c.host_id == host_id, table.c.id == machine_id)

    async def machines_of(
        self, host_id: HostId, machine_ids: Iterable[MachineId]
    ) -> tuple[Machine, ...]:
        """Return these machines of one host, as far as they are listed, by name."""
        table = schema.machines
        found: list[Machine] = []
        for group in groups(sorted(machine_ids)):
            found += await self._machines.where(
                table.c.host_id == host_id, table.c.id.in_(group), limit=None
            )
        return tuple(sorted(found, key=lambda machine: (machine.name, machine.id)))

    async def networks_of(self, *host_ids: HostId) -> tuple[Network, ...]:
        """Return the networks of these hosts."""
        found: list[Network] = []
        for group in groups(sorted(set(host_ids))):
            found += await self._networks.where(schema.networks.c.host_id.in_(group), limit=None)
        return tuple(found)

    async def machines_page(
        self, cursor: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Page[Machine]:
        """Return a page of all machines by name. Raises `InvalidValueError`."""
        return await self._machines.paged(_MACHINES, cursor, limit)

    async def networks_page(
        self, cursor: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Page[Network]:
        """Return a page of all networks by name. Raises `InvalidValueError`."""
        return await self._networks.paged(_NETWORKS, cursor, limit)
