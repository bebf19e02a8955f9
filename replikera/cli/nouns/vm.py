"""`replikera vm`: the virtual machines that the hosts report."""

from typing import Annotated

import typer
from rich.console import Group, RenderableType

from replikera.cli.arguments import VmArgument
from replikera.cli.leaf import Listing, Viewing, noun
from replikera.cli.listing import present_list
from replikera.cli.mapping_view import render_placement
from replikera.cli.output import output_of, properties, table
from replikera.cli.records import Record, field, records
from replikera.cli.watching import view
from replikera.cli.wording import number, plain, size

app = noun("Virtual machines that the hosts report.")
_COLUMNS = ("vm", "host", "site", "running", "disks", "size", "networks", "protected")


@app.command("list", cls=Listing)
def list_machines(context: typer.Context) -> None:
    """List the virtual machines of all hosts."""
    present_list(
        context,
        "machines",
        columns=_COLUMNS,
        row=_row,
        none="No host reports a virtual machine.",
        next_when_none="replikera host list",
        next_command="replikera protection enable VM --target-host HOST --policy POLICY",
    )


@app.command("show", cls=Viewing)
def show(context: typer.Context, vm: VmArgument) -> None:
    """Show a virtual machine with its disks and adapters."""
    output = output_of(context)

    def present(machine: Record) -> None:
        output.answer(machine, lambda: _render(machine))
        verb = (
            "show {}"
            if field(machine, "protection")
            else "enable {} --target-host HOST --policy POLICY"
        )
        output.next("replikera protection " + verb.format(plain(machine.get("name"))))

    view(context, lambda client: client.get("machines", vm), present)


@app.command("placement", cls=Viewing)
def placement(
    context: typer.Context,
    vm: VmArgument,
    target_host: Annotated[
        str,
        typer.Option("--target-host", metavar="HOST", help="The host that would keep the replica."),
    ],
) -> None:
    """Show where the replica would be kept and where the adapters would go, and why."""
    output = output_of(context)

    def present(found: Record) -> None:
        output.answer(found, lambda: render_placement(found))
        output.next(f"replikera protection enable {vm} --target-host {target_host} --policy POLICY")

    view(
        context,
        lambda client: client.get("machines", vm, "placement", query={"target_host": target_host}),
        present,
    )


def _render(machine: Record) -> RenderableType:
    pairs = list(zip(_COLUMNS, _row(machine), strict=True))
    parts: list[RenderableType] = [properties([*pairs, ("id", machine.get("id"))])]
    disks = [
        (
            disk.get("disk_id"),
            size(disk.get("size")),
            disk.get("storage_class") or "-",
            disk.get("name"),
        )
        for disk in records(machine, "disks")
    ]
    nics = [
        (
            nic.get("nic_id"),
            nic.get("name"),
            nic.get("network") or "disconnected",
            nic.get("subnet") or "-",
        )
        for nic in records(machine, "nics")
    ]
    for columns, rows in (
        (("disk", "size", "storage class", "name"), disks),
        (("adapter", "name", "network", "subnet"), nics),
    ):
        if rows:
            parts.append(Group("", table(columns, rows)))
    return Group(*parts)


def _row(machine: Record) -> tuple[object, ...]:
    disks = records(machine, "disks")
    sizes = [number(disk.get("size")) for disk in disks]
    known = [value for value in sizes if value is not None]
    networks = [plain(nic.get("network") or "-") for nic in records(machine, "nics")]
    return (
        machine.get("name"),
        machine.get("host"),
        machine.get("site"),
        machine.get("is_running"),
        len(disks) if isinstance(machine.get("disks"), list) else None,
        size(sum(known)) if known and len(known) == len(sizes) else None,
        ", ".join(networks) or "-",
        "yes" if field(machine, "protection") else "no",
    )
