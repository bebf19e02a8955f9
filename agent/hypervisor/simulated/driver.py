"""The simulated hypervisor behind the interface that all drivers share."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

from pydantic import Field

from agent.hypervisor.interface import (
    GuestHealth,
    HypervisorError,
    Inventory,
    Machine,
    MachineDefinition,
    Mark,
    Network,
    View,
    ViewDisk,
)
from agent.hypervisor.simulated import power
from agent.hypervisor.simulated.auto_start import AutoStart
from agent.hypervisor.simulated.definitions import Definitions
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.kept_views import KeptViews
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.networks import Networks
from agent.hypervisor.simulated.power import Power
from agent.hypervisor.simulated.state import MachineFile
from agent.hypervisor.simulated.views import Views
from replikera.blocks.extents import Extents
from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.ports.processes import Processes
from replikera.ports.randomness import Randomness
from replikera.ports.workers import Worker
from replikera.settings import FORBID_UNKNOWN

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class SimulatedSettings:
    """Where the simulated host is.

    `root`: its folder, made by `replikera-agent simulate create-host`. `keep_views`: how many ended views of each
    machine stay in kept-views/ for comparison; 0, the default, keeps none.
    """

    __pydantic_config__ = FORBID_UNKNOWN

    root: Path
    keep_views: Annotated[int, Field(ge=0)] = 0


class SimulatedHypervisor:
    """A host made of folders. Everything is on disk, so a restarted agent finds what it left."""

    def __init__(  # noqa: PLR0917 - one parameter a port
        self,
        files: Files,
        worker: Worker,
        clock: Clock,
        randomness: Randomness,
        processes: Processes,
        root: Path,
        keep_views: int = 0,
    ) -> None:
        self._worker = worker
        self._clock = clock
        self._host = HostFolder(files, randomness, root)
        self._effects = Effects(files, clock, randomness, root)
        self._kept = KeptViews(files, root / "kept-views", keep_views)
        self._definitions = Definitions(files, randomness, self._host, self._effects)
        self._networks = Networks(files, self._host, self._effects)
        self._auto_start = AutoStart(files, self._host, self._effects)
        self._power = Power(worker, clock, processes, self._effects)

    @property
    def kind(self) -> str:
        """Return "simulated"."""
        return "simulated"

    @property
    def minimum_copy_interval_s(self) -> float:
        """Return one second: freezing costs nothing, but the guest then copies its disk files."""
        return 1.0

    @property
    def storage_path(self) -> Path:
        """Return the folder for disks of recovered machines."""
        return self._host.storage_path

    async def inventory(self) -> Inventory:
        """Return all machines and networks."""
        return await self._run(self._inventory)

    async def networks(self) -> tuple[Network, ...]:
        """Return all networks."""
        return await self._run(self._host.networks)

    async def describe(self, machine_id: str) -> Machine:
        """Return one machine."""
        return await self._run(self._describe, machine_id)

    async def freeze(self, machine_id: str, tag: str) -> View:
        """Take a view of all disks at one instant."""
        return await self._run(lambda: self._views(self._host.get(machine_id)).freeze(tag))

    async def views(self, tag: str) -> tuple[View, ...]:
        """Return the views of a tag, oldest first."""
        return await self._run(self._views_of_tag, tag)

    async def changed_ranges(self, view: View, mark: Mark) -> Mapping[str, Extents]:
        """Return by disk id what was written between mark and view."""
        return await self._run(lambda: self._views_for(view).changed_ranges(view, mark))

    async def open_disk(self, view: View, disk_id: str) -> ViewDisk:
        """Open one disk of a view."""
        return await self._run(lambda: self._views_for(view).open_disk(view, disk_id))

    async def keep(self, view: View) -> Mark:
        """Make the view's position its tag's mark and end the view."""
        return await self._run(lambda: self._views_for(view).keep(view))

    async def discard(self, view: View) -> None:
        """End the view; marks stay."""
        await self._run(self._discard, view)

    async def mark(self, tag: str) -> Mark | None:
        """Return the tag's mark."""
        return await self._run(self._mark, tag)

    async def drop_mark(self, mark: Mark) -> None:
        """Stop tracking for the mark."""
        await self._run(self._drop_mark, mark)

    async def define_machine(self, definition: MachineDefinition) -> str:
        """Define a machine, stopped, and return its id."""
        return await self._run(self._definitions.define, definition)

    async def start(self, machine_id: str) -> None:
        """Power on."""
        machine = await self._run(self._host.get, machine_id)
        await self._power.start(machine)

    async def guest_health(self, machine_id: str) -> GuestHealth:
        """Return what the guest says of itself."""
        return await self._run(lambda: power.health(self._host.get(machine_id)))

    async def power_off(self, machine_id: str) -> None:
        """Power off at once."""
        machine = await self._run(self._host.find, machine_id)
        if machine is not None:
            await self._power.power_off(machine)

    async def remove_machine(self, machine_id: str, tag: str) -> None:
        """Remove the machine's definition, not its disks."""
        await self._run(self._definitions.remove, machine_id, tag)

    async def ensure_isolated_network(self, name: str, tag: str) -> Network:
        """Return the tag's isolated network, made where it is missing."""
        return await self._run(self._networks.ensure_isolated, name, tag)

    async def remove_isolated_network(self, name: str, tag: str) -> None:
        """Remove the tag's network."""
        await self._run(self._networks.remove_isolated, name, tag)

    async def block_auto_start(self, machine_id: str, tag: str) -> Machine:
        """Keep the machine from starting with the host."""
        await self._run(self._auto_start.block, machine_id, tag)
        return await self.describe(machine_id)

    async def allow_auto_start(self, machine_id: str, tag: str) -> Machine:
        """Take the tag's block away."""
        await self._run(self._auto_start.allow, machine_id, tag)
        return await self.describe(machine_id)

    async def _run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._worker.run(function, *args, **kwargs)
        except OSError as error:
            raise HypervisorError(
                "host-storage",
                f"The simulated host in {self._host.root} failed: {error}.",
                "Check the folder's volume: free space, permissions, health.",
            ) from error

    def _inventory(self) -> Inventory:
        self._settle()
        machines = tuple(_machine_of(*found) for found in self._host.machines())
        return Inventory(machines=machines, networks=self._host.networks())

    def _settle(self) -> None:
        """Log what was done by a process that was killed before it could."""
        if self._effects.is_unsettled(self._host.root):
            with self._host.lock():
                self._effects.settle(self._host.root)
        for folder, _ in self._host.machines():
            if self._effects.is_unsettled(folder.path):
                # The machine may have been removed meanwhile, and that settled it.
                with suppress(HypervisorError), folder.lock():
                    self._effects.settle(folder.path)

    def _describe(self, machine_id: str) -> Machine:
        folder = self._host.get(machine_id)
        return _machine_of(folder, folder.read())

    def _views(self, machine: MachineFolder) -> Views:
        return Views(machine, self._clock, self._effects, self._kept)

    def _views_for(self, view: View) -> Views:
        return self._views(self._host.get(view.machine_id))

    def _views_of_tag(self, tag: str) -> tuple[View, ...]:
        every = (view for folder, _ in self._host.machines() for view in self._views(folder).all())
        return tuple(sorted((v for v in every if v.tag == tag), key=lambda view: view.taken_at))

    def _discard(self, view: View) -> None:
        machine = self._host.find(view.machine_id)
        if machine is not None:
            self._views(machine).discard(view)

    def _mark(self, tag: str) -> Mark | None:
        marks = (self._views(folder).mark(tag) for folder, _ in self._host.machines())
        return next((mark for mark in marks if mark is not None), None)

    def _drop_mark(self, mark: Mark) -> None:
        machine = self._host.find(mark.machine_id)
        if machine is not None:
            self._views(machine).drop_mark(mark)


def _machine_of(folder: MachineFolder, machine: MachineFile) -> Machine:
    return Machine(machine.description, folder.is_running(), machine.tag, machine.is_auto_started)
