"""`replikera vm`: the virtual machines that the hosts report."""

import typer
from rich.console import Group, RenderableType

from replikera.cli.arguments import VmArgument
from replikera.cli.leaf import Listing, Viewing, noun
from replikera.cli.listing import present_list
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


def _render(machine: Record) -> RenderableType:
    pairs = list(zip(_COLUMNS, _row(machine), strict=True))
    parts: list[RenderableType] = [properties([*pairs, ("id", machine.get("id"))])]
    disks = [
        (disk.get("disk_id"), size(disk.get("size")), disk.get("name"))
        for disk in records(machine, "disks")
    ]
    nics = [
        (nic.get("nic_id"), nic.get("name"), nic.get("network") or "disconnected")
        for nic in records(machine, "nics")
    ]
    for columns, rows in (
        (("disk", "size", "name"), disks),
        (("adapter", "name", "network"), nics),
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
