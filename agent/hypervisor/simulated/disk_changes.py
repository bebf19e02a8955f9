"""What an operator does to the disks of a stopped machine: makes one larger or smaller, adds one, removes one.

No tracking leads across such a change: the machine's session is broken off, durably, before a disk is touched.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.machine_saving import save_machine
from agent.hypervisor.simulated.new_disks import NewDisks
from agent.hypervisor.simulated.resizing import Resizing
from agent.hypervisor.simulated.state import MachineFile
from replikera.machine import MAX_DISKS, Disk
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness


class DiskChanges:
    """Changes the disks of machines of one host. All calls block. Raises `HypervisorError`."""

    def __init__(
        self, files: Files, randomness: Randomness, host: HostFolder, effects: Effects
    ) -> None:
        self._files = files
        self._host = host
        self._effects = effects
        self._new_disks = NewDisks(files, randomness)
        self._resizing = Resizing(files, randomness)

    def resize(self, machine: str, disk: str, size: int) -> None:
        """Make a disk larger, or smaller where nothing but zeros is cut off. Its size already: no error."""

        def change(folder: MachineFolder, described: MachineFile) -> MachineFile:
            place = _place(described, disk)
            path, former = folder.disk_paths(described)[place], described.description.disks[place]
            if former.size != size:
                self._resizing.resize(path, former.size, size, lambda: _break_off(folder))
            sizes = {disk.disk_id: disk.size for disk in described.description.disks}
            return described.with_sizes({**sizes, former.disk_id: size})

        self._change("disk-resized", machine, change)

    def add(self, machine: str, source: Path, storage_class: str = "") -> None:
        """Give the machine one more disk, a copy of a file."""
        self._new_disks.check(source)

        def change(folder: MachineFolder, described: MachineFile) -> MachineFile:
            disks = described.description.disks
            if len(disks) >= MAX_DISKS:
                raise _too_many_disks(described)
            copy = self._new_disks.copy(source, folder.path / "disks")
            location = max((disk.location for disk in disks), default=-1) + 1
            added = self._new_disks.describe(copy, location, storage_class)
            return replace(
                described,
                description=replace(described.description, disks=(*disks, added)),
                disk_paths=(*described.disk_paths, str(copy.relative_to(folder.path))),
            )

        self._change("disk-added", machine, change)

    def remove(self, machine: str, disk: str) -> None:
        """Take a disk from the machine for good; its file goes where it lies in the machine's folder."""
        removed: list[Path] = []

        def change(folder: MachineFolder, described: MachineFile) -> MachineFile:
            place = _place(described, disk)
            path = folder.disk_paths(described)[place]
            if path.is_relative_to(folder.path):
                removed.append(path)
            disks, paths = described.description.disks, described.disk_paths
            return replace(
                described,
                description=replace(
                    described.description, disks=(*disks[:place], *disks[place + 1 :])
                ),
                disk_paths=(*paths[:place], *paths[place + 1 :]),
            )

        self._change("disk-removed", machine, change)
        for path in removed:
            self._files.remove(path)

    def _change(
        self,
        effect: str,
        name: str,
        change: Callable[[MachineFolder, MachineFile], MachineFile],
    ) -> None:
        with self._host.lock():
            self._effects.settle(self._host.root)
            folder = self._host.get_by_name(name)
            with folder.lock():
                described = folder.read()
                folder.check_stopped(described)
                changed = change(folder, described)
                if changed != described:
                    _break_off(folder)
                    save_machine(folder, changed, self._effects, effect, changed.tag)


def _place(described: MachineFile, disk: str) -> int:
    """Return the place of the disk with this id or name."""
    found = [
        place
        for place, each in enumerate(described.description.disks)
        if disk in {each.disk_id, each.name}
    ]
    if len(found) != 1:
        names = ", ".join(_shown(each) for each in described.description.disks) or "none"
        raise HypervisorError(
            "unknown-disk",
            f"{described.description.name} has {len(found)} disks that are called {disk}.",
            f"Name one of these by its id: {names}.",
        )
    return found[0]


def _shown(disk: Disk) -> str:
    return f"{disk.name} ({disk.disk_id})"


def _break_off(folder: MachineFolder) -> None:
    folder.session.break_off(folder.boot_id)


def _too_many_disks(described: MachineFile) -> HypervisorError:
    return HypervisorError(
        "too-many-disks",
        f"Machine {described.description.name} has {MAX_DISKS} disks already.",
        "Remove one first.",
    )
