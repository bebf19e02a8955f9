"""The simulated host that one command works on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agent.hypervisor.interface import GuestHealth, HypervisorError
from agent.hypervisor.simulated import power
from agent.hypervisor.simulated.disk_changes import DiskChanges
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.faults import FaultList
from agent.hypervisor.simulated.host_crash import HostCrash
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.machine_creation import MachineCreation
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.migration import Migration
from agent.hypervisor.simulated.power import Power
from agent.hypervisor.simulated.saved_states import SavedStates
from replikera.ports.clock import Clock
from replikera.ports.workers import Worker
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.processes import SystemProcesses
from replikera.system.randomness import SystemRandomness
from replikera.system.workers import ThreadWorker

Root = Annotated[Path, typer.Option("--root", help="The host's folder.")]
Name = Annotated[str, typer.Option("--machine", help="The machine's name.")]

ANSWER_S = 60.0
"""How long a guest may take to answer: it reads at most 64 MiB of records a disk."""

SHUTDOWN_S = 60.0
"""How long a guest may take to shut down."""

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class CommandHost:
    """One host and what commands do to it."""

    folder: HostFolder
    power: Power
    clock: Clock
    worker: Worker
    effects: Effects

    @property
    def creation(self) -> MachineCreation:
        """Return what creates machines."""
        return MachineCreation(SystemFiles(), SystemRandomness(), self.folder)

    @property
    def disks(self) -> DiskChanges:
        """Return what changes the disks of machines."""
        return DiskChanges(SystemFiles(), SystemRandomness(), self.folder, self.effects)

    @property
    def states(self) -> SavedStates:
        """Return what saves states and brings them back."""
        return SavedStates(SystemFiles(), self.folder, self.effects)

    @property
    def faults(self) -> FaultList:
        """Return the host's faults; refuses a folder that is no host."""
        self.folder.networks()
        return FaultList(SystemFiles(), SystemRandomness(), self.folder.root)

    @property
    def crash(self) -> HostCrash:
        """Return what crashes the host."""
        return HostCrash(
            SystemFiles(),
            SystemRandomness(),
            self.worker,
            self.folder,
            power=self.power,
            effects=self.effects,
        )

    def migration(self, target: Path) -> Migration:
        """Return what moves machines to another host; refuses a folder that is none."""
        to = HostFolder(SystemFiles(), SystemRandomness(), target.absolute())
        to.networks()
        return Migration(SystemFiles(), SystemRandomness(), self.clock, self.folder, to)

    async def start(self, name: str, *, has_workload: bool) -> GuestHealth:
        """Power a machine on and wait until its guest answers."""
        machine = self.folder.get_by_name(name)
        await self.power.start(machine, has_workload=has_workload)
        return await self._answer(machine)

    async def stop(self, name: str) -> None:
        """Power a machine off."""
        await self.power.power_off(self.folder.get_by_name(name))

    async def shut_down(self, name: str) -> None:
        """Ask the guest to shut down, and wait until it has."""
        machine = self.folder.get_by_name(name)
        await self.worker.run(power.ask_to_shut_down, machine)
        if not await self._until(lambda: not machine.is_running(), SHUTDOWN_S):
            raise HypervisorError(
                "not-shut-down",
                f"The guest of {name} did not shut down within {SHUTDOWN_S:.0f} s.",
                "Ask again, or power the machine off with `replikera-agent simulate stop`.",
            )

    async def boot(self, *, has_workload: bool) -> list[tuple[str, GuestHealth | HypervisorError]]:
        """Start what starts with the host, one machine after the other; one that fails keeps no other down."""
        started: list[tuple[str, GuestHealth | HypervisorError]] = []
        for machine, described in await self.worker.run(self.folder.machines):
            if described.is_auto_started:
                name = described.description.name
                started.append((name, await self._boot(machine, has_workload)))
        return started

    async def _boot(
        self, machine: MachineFolder, has_workload: bool
    ) -> GuestHealth | HypervisorError:
        try:
            await self.power.start_with_host(machine, has_workload=has_workload)
            return await self._answer(machine)
        except HypervisorError as error:
            return error

    async def _answer(self, machine: MachineFolder) -> GuestHealth:
        def is_known() -> bool:
            return power.health(machine).is_answering or not machine.is_running()

        if not await self._until(is_known, ANSWER_S):
            raise HypervisorError(
                "no-answer",
                f"The guest of {machine.path.name} runs but does not answer.",
                f"See {machine.path / 'guest.log'}.",
            )
        return await self.worker.run(power.health, machine)

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> bool:
        deadline = self.clock.monotonic() + seconds
        while self.clock.monotonic() < deadline:
            if await self.worker.run(is_so):
                return True
            await self.clock.sleep(_POLL_S)
        return False


@contextmanager
def host_at(root: Path) -> Iterator[CommandHost]:
    """Yield the host, and turn what it refuses into a message and exit code 1."""
    files, clock, randomness = SystemFiles(), SystemClock(), SystemRandomness()
    worker = ThreadWorker("simulate", threads=1)
    folder = HostFolder(files, randomness, root.absolute())
    effects = Effects(files, clock, randomness, folder.root)
    switch = Power(worker, clock, SystemProcesses(), effects)
    try:
        yield CommandHost(folder, switch, clock, worker, effects)
    except (HypervisorError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    finally:
        worker.close()
