"""What the agent changes of a machine: its disks taken away and given back, the addresses of its guest."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agent.hypervisor.guest_address import GuestAddress
from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.machine_folder import MachineFolder, open_disk
from agent.hypervisor.simulated.machine_saving import save_machine
from agent.hypervisor.simulated.state import AdapterAddress, DetachedDisk, MachineFile
from replikera.ports.files import Files


class MachineChanges:
    """Changes machines of one host. All calls block."""

    def __init__(self, files: Files, host: HostFolder, effects: Effects) -> None:
        self._files = files
        self._host = host
        self._effects = effects

    def detach_disks(self, machine_id: str) -> None:
        """Take all disks from a stopped machine; it remembers where each was."""
        with self._host.lock():
            folder = self._settled(machine_id)
            with folder.lock():
                machine = folder.read()
                folder.check_stopped(machine)
                if machine.description.disks:
                    self._save("disks-detached", folder, _without_disks(machine))

    def attach_disks(self, machine_id: str, disk_paths: Mapping[str, Path]) -> None:
        """Give a machine its detached disks back, from these files."""
        with self._host.lock():
            folder = self._settled(machine_id)
            with folder.lock():
                machine = folder.read()
                if machine.detached_disks or not machine.description.disks:
                    folder.check_stopped(machine)
                    attached = self._with_disks(folder, machine, disk_paths)
                    self._save("disks-attached", folder, attached)
                else:
                    _check_same(folder, machine, disk_paths)

    def set_guest_address(self, machine_id: str, nic_id: str, address: GuestAddress) -> None:
        """Let the guest give an adapter this address."""
        with self._host.lock():
            folder = self._settled(machine_id)
            with folder.lock():
                machine = folder.read()
                _check_adapter(machine, nic_id)
                wanted = AdapterAddress(nic_id, address)
                if wanted not in machine.guest_addresses:
                    others = (each for each in machine.guest_addresses if each.nic_id != nic_id)
                    changed = replace(machine, guest_addresses=(*others, wanted))
                    self._save("guest-address-set", folder, changed)

    def _settled(self, machine_id: str) -> MachineFolder:
        self._effects.settle(self._host.root)
        return self._host.get(machine_id)

    def _save(self, effect: str, folder: MachineFolder, changed: MachineFile) -> None:
        save_machine(folder, changed, self._effects, effect, changed.tag)

    def _with_disks(
        self, folder: MachineFolder, machine: MachineFile, disk_paths: Mapping[str, Path]
    ) -> MachineFile:
        detached = machine.detached_disks
        _check_names(machine, {each.disk.disk_id for each in detached}, disk_paths)
        disks, paths = [], []
        for each in detached:
            wanted = disk_paths[each.disk.disk_id]
            with open_disk(self._files, folder.path / wanted) as image:
                disks.append(replace(each.disk, size=image.size))
            is_where_it_was = folder.path / each.path == folder.path / wanted
            paths.append(each.path if is_where_it_was else str(folder.path / wanted))
        return replace(
            machine,
            description=replace(machine.description, disks=tuple(disks)),
            disk_paths=tuple(paths),
            detached_disks=(),
        )


def _without_disks(machine: MachineFile) -> MachineFile:
    disks = zip(machine.description.disks, machine.disk_paths, strict=True)
    return replace(
        machine,
        description=replace(machine.description, disks=()),
        disk_paths=(),
        detached_disks=tuple(DetachedDisk(disk, path) for disk, path in disks),
    )


def _check_same(
    folder: MachineFolder, machine: MachineFile, disk_paths: Mapping[str, Path]
) -> None:
    present = {disk.disk_id for disk in machine.description.disks}
    _check_names(machine, present, disk_paths)
    paths = zip(machine.description.disks, folder.disk_paths(machine), strict=True)
    if any(folder.path / disk_paths[disk.disk_id] != path for disk, path in paths):
        raise HypervisorError(
            "disks-attached",
            f"Machine {machine.description.name} has its disks attached from other files.",
            "Detach them first.",
        )


def _check_names(machine: MachineFile, wanted: set[str], disk_paths: Mapping[str, Path]) -> None:
    if wanted != set(disk_paths):
        names = ", ".join(sorted(wanted)) or "none"
        raise HypervisorError(
            "unknown-disk",
            f"Machine {machine.description.name} has these disks to attach: {names}.",
            "Name a file for each of them, and for no other.",
        )


def _check_adapter(machine: MachineFile, nic_id: str) -> None:
    if all(nic.nic_id != nic_id for nic in machine.description.nics):
        raise HypervisorError(
            "unknown-adapter",
            f"Machine {machine.description.name} has no network adapter {nic_id}.",
            "Look at the machine's adapters, and name one of them.",
        )
