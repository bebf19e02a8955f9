"""`replikera vm`: the virtual machines that the hosts report."""

import typer

from replikera.cli.connection import get
from replikera.cli.leaf import Leaf, noun
from replikera.cli.listing import present_list
from replikera.cli.records import Record, field, records
from replikera.cli.wording import number, plain, size

app = noun("Virtual machines that the hosts report.")


@app.command("list", cls=Leaf)
def list_machines(context: typer.Context) -> None:
    """List the virtual machines of all hosts."""
    present_list(
        context,
        get(context, "machines"),
        columns=("vm", "host", "site", "running", "disks", "size", "networks", "protected"),
        row=_row,
        none="No host reports a virtual machine.",
        next_when_none="replikera host list",
        next_command="replikera protection enable VM --target-host HOST --policy POLICY",
    )


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
