"""Machines that others have made the disks for: defined, found again by their tag, removed."""

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from agent.hypervisor.interface import HypervisorError, MachineDefinition
from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.effects import Effects, Evidence
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.machine_folder import MACHINE_FILE, MachineFolder, open_disk
from agent.hypervisor.simulated.state import MachineFile
from replikera.machine import NetworkAdapter
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness


class Definitions:
    """Adds and removes machines whose disks lie elsewhere. All calls block."""

    def __init__(
        self, files: Files, randomness: Randomness, host: HostFolder, effects: Effects
    ) -> None:
        self._files = files
        self._randomness = randomness
        self._host = host
        self._effects = effects

    def define(self, definition: MachineDefinition) -> str:
        """Define a machine and return its id; one that carries the tag already is answered."""
        state.check_file_name("tag of a machine", definition.tag)
        with self._host.lock():
            self._effects.settle(self._host.root)
            for _, existing in self._host.machines():
                if existing.tag == definition.tag:
                    return existing.description.machine_id
            self._host.check_networks(set(definition.networks.values()))
            machine = self._machine(definition)
            for path in machine.disk_paths:
                open_disk(self._files, Path(path)).close()
            self._host.add_machine(lambda _: machine, self._defining)
            return machine.description.machine_id

    def remove(self, machine_id: str, tag: str) -> None:
        """Remove a machine, not its disks. A missing one is no error."""
        with self._host.lock():
            self._effects.settle(self._host.root)
            folder = self._host.find(machine_id)
            if folder is None:
                return
            with folder.lock():
                self._effects.settle(folder.path)
                _check_removable(folder, tag)
                gone = Evidence(folder.path / MACHINE_FILE, None)
                with self._effects.making(
                    self._host.root, "machine-removed", machine_id, tag, gone
                ):
                    self._host.remove_machine(folder)

    def _defining(self, machine: MachineFile, evidence: Evidence) -> AbstractContextManager[None]:
        machine_id = machine.description.machine_id
        return self._effects.making(
            self._host.root, "machine-defined", machine_id, machine.tag, evidence
        )

    def _machine(self, definition: MachineDefinition) -> MachineFile:
        description = definition.description
        nics = tuple(
            self._connected(nic, definition.networks.get(nic.nic_id, ""))
            for nic in description.nics
        )
        return MachineFile(
            tag=definition.tag,
            # A defined machine starts with its host once nobody blocks that: its tag does from the first moment.
            starts_with_host=True,
            auto_start_blocks=(definition.tag,),
            description=replace(
                description, machine_id=self._randomness.uuid(), name=definition.name, nics=nics
            ),
            disk_paths=tuple(str(_path_of(definition, disk.disk_id)) for disk in description.disks),
        )

    def _connected(self, nic: NetworkAdapter, network: str) -> NetworkAdapter:
        """Return the adapter on a network of this host; on its subnet where the network has that too."""
        stays = self._host.has_subnet(network, nic.subnet)
        return replace(nic, network=network, subnet=nic.subnet if stays else "")


def _path_of(definition: MachineDefinition, disk_id: str) -> Path:
    path = definition.disk_paths.get(disk_id)
    if path is None or not path.is_absolute():
        raise HypervisorError(
            "bad-definition",
            f"Machine {definition.name} is defined without an absolute path for disk {disk_id}.",
            "Name one for every disk of its description.",
        )
    return path


def _check_removable(folder: MachineFolder, tag: str) -> None:
    machine = folder.read()
    name = machine.description.name
    if not tag or machine.tag != tag:
        raise HypervisorError(
            "not-ours",
            f"Machine {name} does not carry the tag {tag!r}.",
            "Remove it by hand if it is no longer needed.",
        )
    if folder.is_running():
        raise HypervisorError(
            "still-running", f"Machine {name} is running.", "Power it off, then remove it."
        )
