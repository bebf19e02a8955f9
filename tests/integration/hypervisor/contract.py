"""What every driver promises, whatever is under it: one suite, run once for each driver.

A driver's test module imports the modules of promises and runs every one of `PROMISES` with its own bench: a host with
one stopped machine of two disks that starts with its host and that no other test sees, and the means to write to that
machine's disks as its guest would, to start its guest, to start the host, and to do to it what loses tracking.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias

from agent.hypervisor.interface import (
    Hypervisor,
    Machine,
    MachineDefinition,
    View,
)
from replikera.machine import MachineDescription

TAG = "0d6f1f5e-0000-4000-8000-000000000001"
OTHER_TAG = "0d6f1f5e-0000-4000-8000-000000000002"


class HypervisorBench(Protocol):
    """A driver under test."""

    @property
    def hypervisor(self) -> Hypervisor:
        """Return the driver."""

    def restarted(self) -> Hypervisor:
        """Return the driver as a restarted agent makes it."""

    @property
    def machine_id(self) -> str:
        """Return the id of the machine."""

    async def write(self, disk: int, offset: int, data: bytes) -> None:
        """Write to a disk of the stopped machine, tracked, as its guest would."""

    def recovered_disks(self, description: MachineDescription) -> Mapping[str, Path]:
        """Return new disk files that fit the description, by disk id."""

    async def start_guest(self) -> None:
        """Power the machine on; return once its guest answers and could make its applications ready."""

    def tracking_losses(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Return by name what happens to such a machine and leaves unknown what changed since a mark.

        Each leaves the machine stopped.
        """

    async def start_host(self) -> None:
        """Do what the start of the host does: power on what starts with it. Nothing of it runs before."""

    def changes(self) -> list[tuple[str, str]]:
        """Return what was changed on the host up to now, in order: the object, and the tag it was changed for."""

    async def wait_for_answer(self, machine_id: str) -> None:
        """Return once the guest of a started machine answers."""

    async def wait_until_off(self, machine_id: str) -> None:
        """Return once a machine is off that was asked to shut down."""


async def content(hypervisor: Hypervisor, view: View) -> list[bytes]:
    """Return all bytes of all disks of a view."""
    found = []
    for described in view.description.disks:
        disk = await hypervisor.open_disk(view, described.disk_id)
        try:
            assert disk.size == described.size
            found.append(disk.read(disk.size, 0))
        finally:
            disk.close()
    return found


async def frozen(bench: HypervisorBench, tag: str = TAG) -> View:
    return await bench.hypervisor.freeze(bench.machine_id, tag)


Promise: TypeAlias = Callable[[HypervisorBench], Awaitable[None]]
PROMISES: list[Promise] = []


def promise(function: Promise) -> Promise:
    """Add a function to the suite."""
    PROMISES.append(function)
    return function


async def machines(bench: HypervisorBench) -> dict[str, Machine]:
    inventory = await bench.hypervisor.inventory()
    return {machine.description.machine_id: machine for machine in inventory.machines}


async def definition(bench: HypervisorBench) -> MachineDefinition:
    inventory = await bench.hypervisor.inventory()
    description = inventory.machines[0].description
    isolated = next(network.name for network in inventory.networks if network.is_isolated)
    return MachineDefinition(
        tag=TAG,
        name=f"{description.name} - test",
        description=description,
        disk_paths=bench.recovered_disks(description),
        networks={nic.nic_id: isolated for nic in description.nics},
    )
