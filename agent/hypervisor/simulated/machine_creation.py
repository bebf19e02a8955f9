"""A new simulated machine over copies of somebody's disks; the originals are only read."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.live_disks import copy_sparsely
from agent.hypervisor.simulated.machine_folder import MachineFolder, bad_disk, open_disk
from agent.hypervisor.simulated.state import MachineFile
from replikera.machine import MAX_DISKS, Disk, MachineDescription, NetworkAdapter
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness

_PROCESSORS = 2
_MEMORY_BYTES = 2 << 30
_GENERATION = 2
_FIRMWARE = "uefi"
_CONTROLLER = "scsi"
_VENDOR_PREFIX = "00155d"
"""The first bytes of Hyper-V's own addresses; the rest is random."""


class MachineCreation:
    """Creates machines on one host. Blocks."""

    def __init__(self, files: Files, randomness: Randomness, host: HostFolder) -> None:
        self._files = files
        self._randomness = randomness
        self._host = host

    def create(
        self,
        name: str,
        disks: Sequence[Path],
        networks: Sequence[str],
        *,
        starts_with_host: bool = False,
    ) -> MachineFolder:
        """Create a stopped machine; nothing is left behind when a disk or a network is refused."""
        if not 0 < len(disks) <= MAX_DISKS:
            raise HypervisorError(
                "bad-definition",
                f"Machine {name} would have {len(disks)} disks.",
                f"Name 1 to {MAX_DISKS} of them.",
            )
        for disk in disks:
            open_disk(self._files, disk).close()
        with self._host.lock():
            self._host.check_networks(set(networks))
            self._refuse_existing(name)
            return self._host.add_machine(
                lambda folder: replace(
                    self._build(folder, name, disks, networks), starts_with_host=starts_with_host
                )
            )

    def _refuse_existing(self, name: str) -> None:
        for folder, machine in self._host.machines():
            if machine.description.name == name:
                raise HypervisorError(
                    "machine-exists",
                    f"There is a machine {name} in {folder.path} already.",
                    "Choose another name.",
                )

    def _build(
        self, folder: Path, name: str, disks: Sequence[Path], networks: Sequence[str]
    ) -> MachineFile:
        copies = self._copy(folder, disks)
        description = MachineDescription(
            machine_id=self._randomness.uuid(),
            name=name,
            hardware_generation=_GENERATION,
            processors=_PROCESSORS,
            memory_bytes=_MEMORY_BYTES,
            firmware=_FIRMWARE,
            disks=tuple(self._disk(copy, index) for index, copy in enumerate(copies)),
            nics=tuple(self._adapter(index, network) for index, network in enumerate(networks)),
        )
        paths = tuple(str(copy.relative_to(folder)) for copy in copies)
        return MachineFile(
            tag="", starts_with_host=False, description=description, disk_paths=paths
        )

    def _copy(self, folder: Path, disks: Sequence[Path]) -> list[Path]:
        target = folder / "disks"
        self._files.make_directory(target)
        copies: list[Path] = []
        for source in disks:
            copy = target / source.name
            if copy in copies:
                copy = target / f"{len(copies)}-{source.name}"
            try:
                copy_sparsely(self._files, source, copy)
            except OSError as error:
                raise bad_disk(source, error) from error
            copies.append(copy)
        self._files.sync_directory(target)
        return copies

    def _disk(self, path: Path, index: int) -> Disk:
        with open_disk(self._files, path) as image:
            return Disk(
                disk_id=self._randomness.uuid(),
                name=path.name,
                size=image.size,
                logical_sector_size=image.logical_sector_size,
                controller=_CONTROLLER,
                controller_number=0,
                location=index,
            )

    def _adapter(self, index: int, network: str) -> NetworkAdapter:
        return NetworkAdapter(
            nic_id=self._randomness.uuid(),
            name=f"Network Adapter {index + 1}",
            mac_address=_VENDOR_PREFIX + self._randomness.bytes(3).hex(),
            network=network,
        )
