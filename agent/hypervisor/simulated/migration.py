"""A stopped machine moved to the folder of another host.

It arrives with its disks and its description, and without views, marks and tracking: these are the old host's. It is
there before it is gone here, so a move that was cut off is finished by asking for it again, and until then both hosts
show it, stopped.
"""

from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.effects import Effects, Evidence
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.machine_folder import MACHINE_FILE, MachineFolder
from agent.hypervisor.simulated.new_disks import NewDisks
from agent.hypervisor.simulated.state import MachineFile
from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness


class Migration:
    """Moves machines from one host to another. Blocks. Raises `HypervisorError`."""

    def __init__(
        self,
        files: Files,
        randomness: Randomness,
        clock: Clock,
        source: HostFolder,
        target: HostFolder,
    ) -> None:
        self._new_disks = NewDisks(files, randomness)
        self._source = source
        self._target = target
        self._left = Effects(files, clock, randomness, source.root)
        self._arrived = Effects(files, clock, randomness, target.root)

    def move(self, name: str) -> Path:
        """Move the machine of this name, and return its new folder."""
        if self._source.root == self._target.root:
            raise HypervisorError(
                "same-host", f"{name} is on that host already.", "Name another host's folder."
            )
        with ExitStack() as stack:
            # In one order for both directions, or two moves could wait for each other.
            for host in sorted((self._source, self._target), key=lambda host: host.root):
                stack.enter_context(host.lock())
            self._left.settle(self._source.root)
            self._arrived.settle(self._target.root)
            folder = self._source.get_by_name(name)
            stack.enter_context(folder.lock())
            self._left.settle(folder.path)
            machine = folder.read()
            folder.check_stopped(machine)
            arrived = self._target.find(machine.description.machine_id)
            if arrived is None:
                arrived = self._add(folder, machine)
            self._remove(folder, machine)
            return arrived.path

    def _add(self, folder: MachineFolder, machine: MachineFile) -> MachineFolder:
        name = machine.description.name
        if machine.detached_disks:
            raise HypervisorError(
                "disks-detached", f"The disks of {name} are detached.", "Attach them first."
            )
        if any(there.description.name == name for _, there in self._target.machines()):
            raise HypervisorError(
                "machine-exists",
                f"There is another machine {name} in {self._target.root}.",
                "Remove or rename one of the two.",
            )
        self._target.check_networks({nic.network for nic in machine.description.nics})

        def build(place: Path) -> MachineFile:
            sources = folder.disk_paths(machine)
            copies = [self._new_disks.copy(source, place / "disks") for source in sources]
            paths = tuple(str(copy.relative_to(place)) for copy in copies)
            return replace(machine, disk_paths=paths)

        return self._target.add_machine(build, self._arriving)

    def _arriving(self, machine: MachineFile, evidence: Evidence) -> AbstractContextManager[None]:
        machine_id = machine.description.machine_id
        return self._arrived.making(
            self._target.root, "machine-arrived", machine_id, machine.tag, evidence
        )

    def _remove(self, folder: MachineFolder, machine: MachineFile) -> None:
        gone = Evidence(folder.path / MACHINE_FILE, None)
        machine_id = machine.description.machine_id
        with self._left.making(self._source.root, "machine-left", machine_id, machine.tag, gone):
            self._source.remove_machine(folder)
