"""The simulated hypervisor behind the interface that all drivers share."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

from pydantic import Field

from agent.hypervisor.guest_address import GuestAddress
from agent.hypervisor.interface import (
    Consistency,
    DiskCheck,
    GuestHealth,
    HypervisorError,
    Inventory,
    Machine,
    MachineDefinition,
    Mark,
    Network,
    View,
)
from agent.hypervisor.simulated import power
from agent.hypervisor.simulated.auto_start import AutoStart
from agent.hypervisor.simulated.definitions import Definitions
from agent.hypervisor.simulated.disk_checks import check_disk
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.faults import FaultList, Faults, Operation
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.host_machines import HostMachines
from agent.hypervisor.simulated.host_views import HostViews
from agent.hypervisor.simulated.kept_views import KeptViews
from agent.hypervisor.simulated.machine_changes import MachineChanges
from agent.hypervisor.simulated.networks import Networks
from agent.hypervisor.simulated.power import Power
from agent.hypervisor.simulated.quiescing import Quiescing
from agent.hypervisor.simulated.view_disk import SimulatedViewDisk
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
        self._files = files
        self._host = HostFolder(files, randomness, root)
        self._effects = Effects(files, clock, randomness, root)
        self._machines = HostMachines(self._host, self._effects)
        kept = KeptViews(files, root / "kept-views", keep_views)
        self._views = HostViews(self._host, clock, self._effects, kept)
        self._quiescing = Quiescing(worker, clock)
        self._changes = MachineChanges(files, self._host, self._effects)
        self._fault_list = FaultList(files, randomness, root)
        self._faults = Faults(self._fault_list, worker, clock)
        self._definitions = Definitions(files, randomness, self._host, self._effects)
        self._networks = Networks(files, self._host, self._effects)
        self._auto_start = AutoStart(self._host, self._effects)
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
        return await self._run(Operation.INVENTORY, self._machines.inventory)

    async def networks(self) -> tuple[Network, ...]:
        """Return all networks."""
        return await self._run(Operation.NETWORKS, self._host.networks)

    async def describe(self, machine_id: str) -> Machine:
        """Return one machine."""
        return await self._run(Operation.DESCRIBE, self._machines.describe, machine_id)

    async def freeze(
        self, machine_id: str, tag: str, consistency: Consistency = Consistency.CRASH
    ) -> View:
        """Take a view of all disks at one instant, between two writes of a guest that holds still where asked."""
        async with self._around(Operation.FREEZE):
            machine = await self._worker.run(self._host.get, machine_id)
            views = self._views.of(machine)
            if consistency is Consistency.APPLICATION:
                return await self._quiescing.freeze(machine, views, tag)
            return await self._worker.run(views.freeze, tag)

    async def all_views(self) -> tuple[View, ...]:
        """Return all views, oldest first."""
        return await self._run(Operation.ALL_VIEWS, self._views.all)

    async def views(self, tag: str) -> tuple[View, ...]:
        """Return the views of a tag, oldest first."""
        return await self._run(Operation.VIEWS, self._views.of_tag, tag)

    async def changed_ranges(self, view: View, mark: Mark) -> Mapping[str, Extents]:
        """Return by disk id what was written between mark and view."""
        return await self._run(
            Operation.CHANGED_RANGES, lambda: self._views.holding(view).changed_ranges(view, mark)
        )

    async def open_disk(self, view: View, disk_id: str) -> SimulatedViewDisk:
        """Open one disk of a view."""
        disk = await self._run(
            Operation.OPEN_DISK, lambda: self._views.holding(view).open_disk(view, disk_id)
        )
        disk.before_read = self._fail_read
        return disk

    async def view_growth(self, view: View) -> int:
        """Return the bytes that the view holds beside the live disks."""
        return await self._run(
            Operation.VIEW_GROWTH, lambda: self._views.holding(view).growth(view)
        )

    async def keep(self, view: View) -> Mark:
        """Make the view's position its tag's mark and end the view."""
        return await self._run(Operation.KEEP, lambda: self._views.holding(view).keep(view))

    async def discard(self, view: View) -> None:
        """End the view; marks stay."""
        await self._run(Operation.DISCARD, self._views.discard, view)

    async def marks(self) -> tuple[Mark, ...]:
        """Return all marks."""
        return await self._run(Operation.MARKS, self._views.marks)

    async def mark(self, tag: str) -> Mark | None:
        """Return the mark of a tag."""
        return await self._run(Operation.MARK, self._views.mark, tag)

    async def drop_mark(self, mark: Mark) -> None:
        """Stop tracking for the mark."""
        await self._run(Operation.DROP_MARK, self._views.drop_mark, mark)

    async def check_disk(self, path: Path) -> DiskCheck:
        """Look whether a machine could use the disk file."""
        return await self._run(Operation.CHECK_DISK, check_disk, self._files, path)

    async def define_machine(self, definition: MachineDefinition) -> str:
        """Define a machine, stopped, and return its id."""
        return await self._run(Operation.DEFINE_MACHINE, self._definitions.define, definition)

    async def start(self, machine_id: str) -> None:
        """Power on."""
        async with self._around(Operation.START):
            await self._power.start(await self._worker.run(self._host.get, machine_id))

    async def guest_health(self, machine_id: str) -> GuestHealth:
        """Return what the guest says of itself."""
        return await self._run(
            Operation.GUEST_HEALTH, lambda: power.health(self._host.get(machine_id))
        )

    async def set_guest_address(self, machine_id: str, nic_id: str, address: GuestAddress) -> None:
        """Leave an adapter's address to the guest."""
        await self._run(
            Operation.SET_GUEST_ADDRESS,
            self._changes.set_guest_address,
            machine_id,
            nic_id,
            address,
        )

    async def shut_down(self, machine_id: str) -> None:
        """Ask the guest to shut down."""
        await self._run(
            Operation.SHUT_DOWN, lambda: power.ask_to_shut_down(self._host.get(machine_id))
        )

    async def power_off(self, machine_id: str) -> None:
        """Power off at once."""
        async with self._around(Operation.POWER_OFF):
            machine = await self._worker.run(self._host.find, machine_id)
            if machine is not None:
                await self._power.power_off(machine)

    async def remove_machine(self, machine_id: str, tag: str) -> None:
        """Remove the machine's definition, not its disks."""
        await self._run(Operation.REMOVE_MACHINE, self._definitions.remove, machine_id, tag)

    async def detach_disks(self, machine_id: str) -> Machine:
        """Take all disks from the machine."""
        return await self._run(
            Operation.DETACH_DISKS, self._machines.changed, machine_id, self._changes.detach_disks
        )

    async def attach_disks(self, machine_id: str, disk_paths: Mapping[str, Path]) -> Machine:
        """Give the machine its disks back."""
        return await self._run(
            Operation.ATTACH_DISKS,
            self._machines.changed,
            machine_id,
            lambda known: self._changes.attach_disks(known, disk_paths),
        )

    async def ensure_isolated_network(self, name: str, tag: str) -> Network:
        """Return the tag's isolated network, made where it is missing."""
        return await self._run(
            Operation.ENSURE_ISOLATED_NETWORK, self._networks.ensure_isolated, name, tag
        )

    async def remove_isolated_network(self, name: str, tag: str) -> None:
        """Remove the tag's network."""
        await self._run(
            Operation.REMOVE_ISOLATED_NETWORK, self._networks.remove_isolated, name, tag
        )

    async def block_auto_start(self, machine_id: str, tag: str) -> Machine:
        """Keep the machine from starting with the host."""
        return await self._run(
            Operation.BLOCK_AUTO_START,
            self._machines.changed,
            machine_id,
            lambda known: self._auto_start.block(known, tag),
        )

    async def allow_auto_start(self, machine_id: str, tag: str) -> Machine:
        """Take the tag's block away."""
        return await self._run(
            Operation.ALLOW_AUTO_START,
            self._machines.changed,
            machine_id,
            lambda known: self._auto_start.allow(known, tag),
        )

    async def _run(
        self, operation: Operation, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        async with self._around(operation):
            return await self._worker.run(function, *args, **kwargs)

    @asynccontextmanager
    async def _around(self, operation: Operation) -> AsyncIterator[None]:
        """Do an operation in the block, with what was asked for it, and tell what the volume refuses."""
        try:
            async with self._faults.around(operation):
                yield
        except OSError as error:
            raise HypervisorError(
                "host-storage",
                f"The simulated host in {self._host.root} failed: {error}.",
                "Check the folder's volume: free space, permissions, health.",
            ) from error

    def _fail_read(self) -> None:
        fault = self._fault_list.take(Operation.READ_DISK)
        if fault is not None:
            raise fault.error
