"""A new simulated machine over copies of somebody's disks; the originals are only read."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agent.hypervisor.interface import HypervisorError
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.new_disks import NewDisks
from agent.hypervisor.simulated.state import MachineFile
from replikera.machine import MAX_DISKS, MachineDescription, NetworkAdapter
from replikera.ports.files import Files
from replikera.ports.randomness import Randomness

_PROCESSORS = 2
_MEMORY_BYTES = 2 << 30
_GENERATION = 2
_FIRMWARE = "uefi"
_VENDOR_PREFIX = "00155d"
"""The first bytes of Hyper-V's own addresses; the rest is random."""


class MachineCreation:
    """Creates machines on one host. Blocks."""

    def __init__(self, files: Files, randomness: Randomness, host: HostFolder) -> None:
        self._files = files
        self._randomness = randomness
        self._host = host
        self._new_disks = NewDisks(files, randomness)

    def create(
        self,
        name: str,
        disks: Sequence[Path],
        networks: Sequence[str],
        *,
        starts_with_host: bool = False,
        storage_class: str = "",
        subnets: Mapping[str, str] | None = None,
    ) -> MachineFolder:
        """Create a stopped machine; nothing is left behind when a disk or a network is refused.

        `subnets` has by network the subnet that the adapters there are on.
        """
        if not 0 < len(disks) <= MAX_DISKS:
            raise HypervisorError(
                "bad-definition",
                f"Machine {name} would have {len(disks)} disks.",
                f"Name 1 to {MAX_DISKS} of them.",
            )
        for disk in disks:
            self._new_disks.check(disk)
        with self._host.lock():
            self._host.check_networks(set(networks))
            self._check_subnets(networks, subnets or {})
            self._refuse_existing(name)
            nics = tuple(
                self._adapter(index, network, (subnets or {}).get(network, ""))
                for index, network in enumerate(networks)
            )
            return self._host.add_machine(
                lambda folder: replace(
                    self._build(folder, name, disks, nics, storage_class),
                    starts_with_host=starts_with_host,
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
        self,
        folder: Path,
        name: str,
        disks: Sequence[Path],
        nics: tuple[NetworkAdapter, ...],
        storage_class: str,
    ) -> MachineFile:
        copies = [self._new_disks.copy(source, folder / "disks") for source in disks]
        description = MachineDescription(
            machine_id=self._randomness.uuid(),
            name=name,
            hardware_generation=_GENERATION,
            processors=_PROCESSORS,
            memory_bytes=_MEMORY_BYTES,
            firmware=_FIRMWARE,
            disks=tuple(
                self._new_disks.describe(copy, index, storage_class)
                for index, copy in enumerate(copies)
            ),
            nics=nics,
        )
        paths = tuple(str(copy.relative_to(folder)) for copy in copies)
        return MachineFile(
            tag="", starts_with_host=False, description=description, disk_paths=paths
        )

    def _check_subnets(self, networks: Sequence[str], subnets: Mapping[str, str]) -> None:
        for network, subnet in subnets.items():
            if network not in networks or not self._host.has_subnet(network, subnet):
                raise HypervisorError(
                    "unknown-subnet",
                    f"No adapter can be on subnet {subnet} of network {network}.",
                    "Name a subnet of the host's network, and connect an adapter to that network.",
                )

    def _adapter(self, index: int, network: str, subnet: str) -> NetworkAdapter:
        return NetworkAdapter(
            nic_id=self._randomness.uuid(),
            name=f"Network Adapter {index + 1}",
            mac_address=_VENDOR_PREFIX + self._randomness.bytes(3).hex(),
            network=network,
            subnet=subnet,
        )
