"""The folder of one simulated host: its networks and the folders of its machines.

networks.json, machines/<name>/, storage/ (disks of recovered machines), kept-views/, effects.log, and `lock`, held
while machines or networks are added, changed or removed; a machine's own lock is taken after it. A machine is built
in a folder whose name begins with a dot, and renamed when it is complete; one that goes is renamed so first. Such a
folder that is found under the lock was left by a crash.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeAlias

from agent.hypervisor.interface import HypervisorError, Network
from agent.hypervisor.simulated import state
from agent.hypervisor.simulated.effects import Evidence
from agent.hypervisor.simulated.machine_folder import (
    MACHINE_FILE,
    MachineFolder,
    unknown_machine,
)
from agent.hypervisor.simulated.state import MachineFile, NetworkEntry, NetworksFile
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness

Making: TypeAlias = Callable[[MachineFile, Evidence], AbstractContextManager[None]]

_UNFINISHED = ".unfinished-"
_MAX_NAME_CHARACTERS = 100


class HostFolder:
    """One host; nothing of it is kept in memory."""

    def __init__(self, files: Files, randomness: Randomness, root: Path) -> None:
        self._files = files
        self._randomness = randomness
        self.root = root

    @property
    def storage_path(self) -> Path:
        """Return where the disks of recovered machines go."""
        return self.root / "storage"

    @property
    def machines_path(self) -> Path:
        """Return where the machines are."""
        return self.root / "machines"

    @property
    def networks_path(self) -> Path:
        """Return the file of the host's networks."""
        return self.root / "networks.json"

    def create(self, networks: tuple[NetworkEntry, ...]) -> None:
        """Make the host's folders and networks. Raises `HypervisorError` (code "host-exists")."""
        if self._files.status(self.networks_path) is not None:
            raise HypervisorError(
                "host-exists",
                f"{self.root} is a simulated host already.",
                "Name another folder, or remove this one first.",
            )
        for folder in (self.machines_path, self.storage_path):
            self._files.make_directory(folder)
        state.NETWORKS.save(self._files, self.networks_path, NetworksFile(networks))

    def networks(self) -> tuple[Network, ...]:
        """Return the host's networks. Raises `HypervisorError` (code "no-host")."""
        entries = self.network_entries()
        return tuple(
            Network(each.name, each.is_isolated, each.subnets, each.tag) for each in entries
        )

    def network_entries(self) -> tuple[NetworkEntry, ...]:
        """Return what networks.json holds. Raises `HypervisorError` (code "no-host")."""
        found = state.NETWORKS.load(self._files, self.networks_path)
        if found is None:
            raise HypervisorError(
                "no-host",
                f"{self.root} is no simulated host: it has no networks.json.",
                "Make one with `replikera-agent simulate create-host --root FOLDER --network NAME`.",
            )
        return found.networks

    def machines(self) -> list[tuple[MachineFolder, MachineFile]]:
        """Return all machines, by folder name."""
        found = []
        for name in self._files.list_directory(self.machines_path):
            folder = self._machine(name)
            machine = None if name.startswith(".") else folder.read_if_there()
            if machine is not None:
                found.append((folder, machine))
        return found

    def find(self, machine_id: str) -> MachineFolder | None:
        """Return the folder of a machine by its id, None where there is none."""
        for folder, machine in self.machines():
            if machine.description.machine_id == machine_id:
                return folder
        return None

    def get(self, machine_id: str) -> MachineFolder:
        """Return the folder of a machine by its id. Raises `HypervisorError` (code "unknown-machine")."""
        folder = self.find(machine_id)
        if folder is None:
            raise unknown_machine(machine_id)
        return folder

    def get_by_name(self, name: str) -> MachineFolder:
        """Return the folder of a machine by its name. Raises `HypervisorError` (code "unknown-machine")."""
        for folder, machine in self.machines():
            if machine.description.name == name:
                return folder
        raise unknown_machine(name)

    def check_networks(self, wanted: set[str]) -> None:
        """Refuse networks that the host does not have; an empty name is "disconnected"."""
        unknown = wanted - {network.name for network in self.networks()} - {""}
        if unknown:
            raise HypervisorError(
                "unknown-network",
                f"This host has no network {', '.join(sorted(unknown))}.",
                "Map to a network of the host's inventory, or create the network.",
            )

    def has_subnet(self, network: str, subnet: str) -> bool:
        """Tell whether a network of the host has a subnet of this name."""
        return any(each.name == network and subnet in each.subnets for each in self.networks())

    def add_machine(
        self, build: Callable[[Path], MachineFile], around: Making | None = None
    ) -> MachineFolder:
        """Add the machine that `build` makes in a folder of its own; nothing is left when it fails.

        Called under the host's lock. The machine appears inside of `around`, which is told what shows it.
        """
        self._remove_unfinished()
        unfinished = self._unfinished_path()
        self._files.make_directory(unfinished)
        try:
            machine = build(unfinished)
            target = self._free_folder(machine)
            state.MACHINE.save(self._files, unfinished / MACHINE_FILE, machine)
            evidence = Evidence(target / MACHINE_FILE, state.MACHINE.encode(machine))
            with nullcontext() if around is None else around(machine, evidence):
                self._files.replace(unfinished, target)
                self._files.sync_directory(self.machines_path)
        except BaseException:
            self._files.remove_tree(unfinished)
            raise
        return self._machine(target.name)

    def remove_machine(self, folder: MachineFolder) -> None:
        """Remove a machine's folder; called under the host's and the machine's lock."""
        unfinished = self._unfinished_path()
        self._files.replace(folder.path, unfinished)
        self._files.sync_directory(self.machines_path)
        self._files.remove_tree(unfinished)

    def lock(self) -> AbstractContextManager[None]:
        """Hold the host's lock: nobody else adds or removes machines."""
        self._files.make_directory(self.root)
        return self._files.lock(self.root / "lock")

    def _free_folder(self, machine: MachineFile) -> Path:
        name = _checked_name(machine.description.name)
        if self._files.status(self.machines_path / name) is not None:
            # Names need not be unique on a host; ids are.
            name = f"{name} {machine.description.machine_id[:8]}"
        return self.machines_path / name

    def _remove_unfinished(self) -> None:
        for name in self._files.list_directory(self.machines_path):
            if name.startswith(_UNFINISHED):
                self._files.remove_tree(self.machines_path / name)

    def _unfinished_path(self) -> Path:
        return self.machines_path / f"{_UNFINISHED}{self._randomness.uuid()}"

    def _machine(self, name: str) -> MachineFolder:
        return MachineFolder(self._files, self._randomness, self.machines_path / name)


def _checked_name(name: str) -> str:
    is_path = "/" in name or "\\" in name or "\0" in name or name.startswith(".")
    if not name.strip() or is_path or len(name) > _MAX_NAME_CHARACTERS:
        raise HypervisorError(
            "bad-name",
            f"{name!r} cannot be the name of a machine here.",
            f"Use 1 to {_MAX_NAME_CHARACTERS} characters without slashes, not beginning with a dot.",
        )
    return name
