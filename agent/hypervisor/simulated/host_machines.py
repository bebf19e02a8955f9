"""The machines of a host as callers see them."""

from collections.abc import Callable
from contextlib import suppress

from agent.hypervisor.interface import HypervisorError, Inventory, Machine
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.state import MachineFile


class HostMachines:
    """Lists and describes machines. All calls block."""

    def __init__(self, host: HostFolder, effects: Effects) -> None:
        self._host = host
        self._effects = effects

    def inventory(self) -> Inventory:
        """Return all machines and networks, once it is logged what a killed process had changed."""
        self._settle()
        machines = tuple(_machine_of(*found) for found in self._host.machines())
        return Inventory(machines=machines, networks=self._host.networks())

    def describe(self, machine_id: str) -> Machine:
        """Return one machine. Raises `HypervisorError` (code "unknown-machine")."""
        folder = self._host.get(machine_id)
        return _machine_of(folder, folder.read())

    def changed(self, machine_id: str, change: Callable[[str], None]) -> Machine:
        """Change a machine, and return it as it is then."""
        change(machine_id)
        return self.describe(machine_id)

    def _settle(self) -> None:
        if self._effects.is_unsettled(self._host.root):
            with self._host.lock():
                self._effects.settle(self._host.root)
        for folder, _ in self._host.machines():
            if self._effects.is_unsettled(folder.path):
                # The machine may have been removed meanwhile, and that settled it.
                with suppress(HypervisorError), folder.lock():
                    self._effects.settle(folder.path)


def _machine_of(folder: MachineFolder, machine: MachineFile) -> Machine:
    disks = zip(machine.description.disks, folder.disk_paths(machine), strict=True)
    paths = {each.disk.disk_id: folder.path / each.path for each in machine.detached_disks}
    paths |= {disk.disk_id: path for disk, path in disks}
    return Machine(
        description=machine.description,
        is_running=folder.is_running(),
        tag=machine.tag,
        starts_with_host=machine.is_auto_started,
        disk_paths=paths,
        guest_addresses={each.nic_id: each.address for each in machine.guest_addresses},
    )
