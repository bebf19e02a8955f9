"""`replikera-agent simulate`: make a simulated host and its machines, power them on and off, start the host."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from agent.hypervisor.interface import GuestHealth
from agent.hypervisor.simulated import change_commands, fault_commands
from agent.hypervisor.simulated.command_host import Name, Root, host_at
from agent.hypervisor.simulated.state import NetworkEntry

app = typer.Typer(
    help="A simulated hypervisor, for tests and trials.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

_ISOLATED = ":isolated"
_DISCONNECTED = ""

_Subnets = Annotated[
    list[str] | None,
    typer.Option("--subnet", help="NETWORK=SUBNET; may be given several times."),
]


@app.command("create-host")
def create_host(
    root: Root,
    network: Annotated[
        list[str], typer.Option(help="NAME or NAME:isolated; may be given several times.")
    ],
    subnet: _Subnets = None,
) -> None:
    """Make a simulated host with its networks."""
    networks = _networks(network, _subnets(subnet))
    with host_at(root) as host:
        host.folder.create(networks)
    typer.echo(f"Simulated host {root} created.")


@app.command("create-machine")
def create_machine(
    root: Root,
    name: Annotated[str, typer.Option(help="The machine's name.")],
    disk: Annotated[
        list[Path],
        typer.Option(
            help="A VHDX file, which is copied, with its parents if it has any; may be given several times."
        ),
    ],
    network: Annotated[
        list[str] | None,
        typer.Option(help="The network of an adapter; may be given several times."),
    ] = None,
    *,
    auto_start: Annotated[
        bool, typer.Option("--auto-start", help="Start the machine when its host starts.")
    ] = False,
    storage_class: Annotated[str, typer.Option(help="The storage class of the disks.")] = "",
    subnet: _Subnets = None,
) -> None:
    """Create a stopped machine over copies of disks."""
    subnets = dict(_subnets(subnet))
    with host_at(root) as host:
        machine = host.creation.create(
            name,
            disk,
            network or [_DISCONNECTED],
            starts_with_host=auto_start,
            storage_class=storage_class,
            subnets=subnets,
        )
    typer.echo(f"Machine {name} created in {machine.path}.")


@app.command("start")
def start(
    root: Root,
    machine: Name,
    workload: Annotated[
        bool, typer.Option("--workload", help="Let the guest write records until it is stopped.")
    ] = False,
) -> None:
    """Power a machine on and wait until its guest answers."""
    with host_at(root) as host:
        health = asyncio.run(host.start(machine, has_workload=workload))
    typer.echo(f"{machine}: {health.summary}", err=not health.is_healthy)
    if not health.is_healthy:
        raise typer.Exit(1)


@app.command("stop")
def stop(root: Root, machine: Name) -> None:
    """Power a machine off."""
    with host_at(root) as host:
        asyncio.run(host.stop(machine))
    typer.echo(f"{machine} is off.")


@app.command("shut-down")
def shut_down(root: Root, machine: Name) -> None:
    """Ask the guest of a machine to shut down, and wait until it has."""
    with host_at(root) as host:
        asyncio.run(host.shut_down(machine))
    typer.echo(f"{machine} is off.")


@app.command("boot")
def boot(
    root: Root,
    workload: Annotated[
        bool, typer.Option("--workload", help="Let the guests write records until stopped.")
    ] = False,
) -> None:
    """Start every machine that starts with its host, as a host does that comes up."""
    with host_at(root) as host:
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


change_commands.register(app)
app.add_typer(fault_commands.app, name="fault")


def _networks(texts: list[str], subnets: list[tuple[str, str]]) -> tuple[NetworkEntry, ...]:
    networks = []
    for text in texts:
        name = text.removesuffix(_ISOLATED)
        on_it = tuple(subnet for network, subnet in subnets if network == name)
        networks.append(NetworkEntry(name, text.endswith(_ISOLATED), on_it))
    for network, subnet in subnets:
        if all(each.name != network for each in networks):
            raise typer.BadParameter(f"subnet {subnet} is of network {network}, which is not made.")
    return tuple(networks)


def _subnets(texts: list[str] | None) -> list[tuple[str, str]]:
    """Return network and subnet of what was typed."""
    found = []
    for text in texts or []:
        network, separator, subnet = text.partition("=")
        if not (network and separator and subnet):
            raise typer.BadParameter(f"{text!r} is no subnet: write NETWORK=SUBNET.")
        found.append((network, subnet))
    return found
