"""`replikera-agent simulate`: make a simulated host and its machines, power them on and off, start the host."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agent.hypervisor.interface import GuestHealth, HypervisorError
from agent.hypervisor.simulated import power
from agent.hypervisor.simulated.effects import Effects
from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.machine_creation import MachineCreation
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.power import Power
from agent.hypervisor.simulated.state import NetworkEntry
from replikera.ports.clock import Clock
from replikera.ports.workers import Worker
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.processes import SystemProcesses
from replikera.system.randomness import SystemRandomness
from replikera.system.workers import ThreadWorker

app = typer.Typer(
    help="A simulated hypervisor, for tests and trials.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

ANSWER_S = 60.0
"""How long a guest may take to answer: it reads at most 64 MiB of records a disk."""

_POLL_S = 0.05
_ISOLATED = ":isolated"
_DISCONNECTED = ""

_Root = Annotated[Path, typer.Option("--root", help="The host's folder.")]
_Name = Annotated[str, typer.Option("--machine", help="The machine's name.")]


@dataclass(frozen=True, slots=True)
class _Host:
    folder: HostFolder
    creation: MachineCreation
    power: Power
    clock: Clock
    worker: Worker

    async def start(self, name: str, *, has_workload: bool) -> GuestHealth:
        machine = self.folder.get_by_name(name)
        await self.power.start(machine, has_workload=has_workload)
        return await self._answer(machine)

    async def stop(self, name: str) -> None:
        await self.power.power_off(self.folder.get_by_name(name))

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
        deadline = self.clock.monotonic() + ANSWER_S
        while self.clock.monotonic() < deadline:
            health = await self.worker.run(power.health, machine)
            if health.is_answering or not await self.worker.run(machine.is_running):
                return health
            await self.clock.sleep(_POLL_S)
        raise HypervisorError(
            "no-answer",
            f"The guest of {machine.path.name} runs but does not answer.",
            f"See {machine.path / 'guest.log'}.",
        )


@app.command("create-host")
def create_host(
    root: _Root,
    network: Annotated[
        list[str], typer.Option(help="NAME or NAME:isolated; may be given several times.")
    ],
) -> None:
    """Make a simulated host with its networks."""
    with _host(root) as host:
        host.folder.create(tuple(_network(text) for text in network))
    typer.echo(f"Simulated host {root} created.")


@app.command("create-machine")
def create_machine(
    root: _Root,
    name: Annotated[str, typer.Option(help="The machine's name.")],
    disk: Annotated[
        list[Path], typer.Option(help="A VHDX file, which is copied; may be given several times.")
    ],
    network: Annotated[
        list[str] | None,
        typer.Option(help="The network of an adapter; may be given several times."),
    ] = None,
    auto_start: Annotated[
        bool, typer.Option("--auto-start", help="Start the machine when its host starts.")
    ] = False,
) -> None:
    """Create a stopped machine over copies of disks."""
    with _host(root) as host:
        machine = host.creation.create(
            name, disk, network or [_DISCONNECTED], starts_with_host=auto_start
        )
    typer.echo(f"Machine {name} created in {machine.path}.")


@app.command("start")
def start(
    root: _Root,
    machine: _Name,
    workload: Annotated[
        bool, typer.Option("--workload", help="Let the guest write records until it is stopped.")
    ] = False,
) -> None:
    """Power a machine on and wait until its guest answers."""
    with _host(root) as host:
        health = asyncio.run(host.start(machine, has_workload=workload))
    typer.echo(f"{machine}: {health.summary}", err=not health.is_healthy)
    if not health.is_healthy:
        raise typer.Exit(1)


@app.command("stop")
def stop(root: _Root, machine: _Name) -> None:
    """Power a machine off."""
    with _host(root) as host:
        asyncio.run(host.stop(machine))
    typer.echo(f"{machine} is off.")


@app.command("boot")
def boot(
    root: _Root,
    workload: Annotated[
        bool, typer.Option("--workload", help="Let the guests write records until stopped.")
    ] = False,
) -> None:
    """Start every machine that starts with its host, as a host does that comes up."""
    with _host(root) as host:
        started = asyncio.run(host.boot(has_workload=workload))
    is_well = True
    for name, found in started:
        is_healthy = isinstance(found, GuestHealth) and found.is_healthy
        text = found.summary if isinstance(found, GuestHealth) else f"Error: {found}"
        typer.echo(f"{name}: {text}", err=not is_healthy)
        is_well = is_well and is_healthy
    typer.echo(f"{len(started)} machines start with the host.")
    if not is_well:
        raise typer.Exit(1)


@contextmanager
def _host(root: Path) -> Iterator[_Host]:
    """Yield the host, and turn what it refuses into a message and exit code 1."""
    files, clock, randomness = SystemFiles(), SystemClock(), SystemRandomness()
    worker = ThreadWorker("simulate", threads=1)
    folder = HostFolder(files, randomness, root.absolute())
    effects = Effects(files, clock, randomness, folder.root)
    switch = Power(worker, clock, SystemProcesses(), effects)
    try:
        yield _Host(folder, MachineCreation(files, randomness, folder), switch, clock, worker)
    except (HypervisorError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    finally:
        worker.close()


def _network(text: str) -> NetworkEntry:
    is_isolated = text.endswith(_ISOLATED)
    return NetworkEntry(text.removesuffix(_ISOLATED), is_isolated, ())
