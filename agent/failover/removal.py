"""Clean-up of a rehearsal: a comparison with what is there, repeated until nothing is left."""

from dataclasses import dataclass

from agent.failover.disks import DiskFolders
from agent.failover.outcome import RehearsalError
from agent.hypervisor.interface import Hypervisor, Machine, Network
from replikera.ports.clock import Clock

MAX_ROUNDS = 5
"""How often a removal is tried again: a stopped guest may hold its files for a moment."""

_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Remains:
    """What carries the tag of a rehearsal or stands in its folder. Falsy when there is nothing."""

    machines: tuple[Machine, ...]
    networks: tuple[Network, ...]
    files: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.machines or self.networks or self.files)

    @property
    def names(self) -> tuple[str, ...]:
        """Return what is there, by name."""
        machines = (f"machine {found.description.name}" for found in self.machines)
        return (*machines, *(f"network {found.name}" for found in self.networks), *self.files)


class Removal:
    """Finds and removes what a rehearsal made; everything else on the host is out of its reach."""

    def __init__(self, hypervisor: Hypervisor, disks: DiskFolders, clock: Clock) -> None:
        self._hypervisor = hypervisor
        self._disks = disks
        self._clock = clock

    async def remains(self, rehearsal_id: str) -> Remains:
        """Return what inventory and folder show now."""
        inventory = await self._hypervisor.inventory()
        machines = tuple(found for found in inventory.machines if found.tag == rehearsal_id)
        networks = tuple(found for found in inventory.networks if found.tag == rehearsal_id)
        files = await self._disks.listing(rehearsal_id)
        return Remains(machines, networks, tuple(str(path) for path in files))

    async def remove_all(self, rehearsal_id: str) -> None:
        """Return when inventory and folder show nothing. Raises `RehearsalError`, `HypervisorError`."""
        for _ in range(MAX_ROUNDS):
            found = await self.remains(rehearsal_id)
            if not found:
                return
            await self._remove(rehearsal_id, found)
            if not await self.remains(rehearsal_id):
                return
            await self._clock.sleep(_PAUSE_SECONDS)
        left = await self.remains(rehearsal_id)
        raise RehearsalError(
            "clean-up-incomplete",
            f"After {MAX_ROUNDS} tries the host still shows: {', '.join(left.names)}.",
            "Close what uses them on the host, then clean the test failover up again.",
        )

    async def _remove(self, rehearsal_id: str, found: Remains) -> None:
        for machine in found.machines:
            machine_id = machine.description.machine_id
            await self._hypervisor.power_off(machine_id)
            await self._hypervisor.remove_machine(machine_id, rehearsal_id)
        for network in found.networks:
            await self._hypervisor.remove_isolated_network(network.name, rehearsal_id)
        await self._disks.remove(rehearsal_id)
