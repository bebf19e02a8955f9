"""`replikera-agent simulate`: what happens to machines and hosts sooner or later, brought about on purpose."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from agent.hypervisor.simulated.command_host import Name, Root, host_at
from replikera.cli.byte_sizes import ByteSize, parse_size

_Disk = Annotated[str, typer.Option("--disk", help="The disk's name or id.")]
_State = Annotated[str, typer.Option("--name", help="The state's name.")]


def cut_power(root: Root, machine: Name) -> None:
    """Take the power away from a running machine: its guest is gone in the middle of whatever it did."""
    with host_at(root) as host:
        asyncio.run(host.power.cut(host.folder.get_by_name(machine)))
    typer.echo(f"{machine} is off.")


def crash_host(
    root: Root,
    coarse_tracking: Annotated[
        bool,
        typer.Option(
            "--coarse-tracking", help="Let a coarse map of what was written survive the crash."
        ),
    ] = False,
) -> None:
    """Crash the host: running machines lose their power, and what was written to them since is not known."""
    with host_at(root) as host:
        ran = asyncio.run(host.crash.crash(keeps_coarse_tracking=coarse_tracking))
    typer.echo(f"The host crashed; machines that ran: {', '.join(ran) or 'none'}.")


def save_state(root: Root, machine: Name, name: _State) -> None:
    """Copy the disks of a machine aside, to put it back to this state later."""
    with host_at(root) as host:
        host.states.save(machine, name)
    typer.echo(f"State {name} of {machine} saved.")


def revert(root: Root, machine: Name, name: _State) -> None:
    """Put the disks of a stopped machine back to a saved state."""
    with host_at(root) as host:
        host.states.revert(machine, name)
    typer.echo(f"{machine} is back at state {name}.")


def resize_disk(
    root: Root,
    machine: Name,
    disk: _Disk,
    size: Annotated[ByteSize, typer.Option(parser=parse_size, metavar="SIZE", help="As in 12G.")],
) -> None:
    """Make a disk of a stopped machine larger, or smaller where only zeros are cut off."""
    with host_at(root) as host:
        host.disks.resize(machine, disk, size.count)
    typer.echo(f"Disk {disk} of {machine} has {size.count} bytes.")


def add_disk(
    root: Root,
    machine: Name,
    disk: Annotated[Path, typer.Option(help="A VHDX file, which is copied.")],
    storage_class: Annotated[str, typer.Option(help="The storage class of the disk.")] = "",
) -> None:
    """Give a stopped machine one more disk."""
    with host_at(root) as host:
        host.disks.add(machine, disk, storage_class)
    typer.echo(f"Disk {disk.name} added to {machine}.")


def remove_disk(root: Root, machine: Name, disk: _Disk) -> None:
    """Take a disk from a stopped machine for good."""
    with host_at(root) as host:
        host.disks.remove(machine, disk)
    typer.echo(f"Disk {disk} removed from {machine}.")


def migrate(
    root: Root,
    machine: Name,
    to: Annotated[Path, typer.Option("--to", help="The folder of the other host.")],
) -> None:
    """Move a stopped machine to another simulated host; views, marks and tracking stay behind, and are gone."""
    with host_at(root) as host:
        path = host.migration(to).move(machine)
    typer.echo(f"{machine} is in {path} now.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (
        cut_power,
        crash_host,
        save_state,
        revert,
        resize_disk,
        add_disk,
        remove_disk,
        migrate,
    ):
        app.command(command.__name__.replace("_", "-"))(command)
