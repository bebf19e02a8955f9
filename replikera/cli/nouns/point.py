"""`replikera point`: the recovery points of a protected virtual machine."""

import typer

from replikera.cli.arguments import VmArgument
from replikera.cli.leaf import Listing, noun
from replikera.cli.listing import present_list
from replikera.cli.records import Record
from replikera.cli.wording import precise_instant, size

app = noun("Recovery points of a protected virtual machine.")


@app.command("list", cls=Listing)
def list_points(context: typer.Context, vm: VmArgument) -> None:
    """List the recovery points, newest first."""
    present_list(
        context,
        "protections",
        vm,
        "points",
        columns=("point", "kind", "name", "captured from", "to", "sealed", "changed"),
        row=_row,
        none=f"{vm} has no recovery point yet.",
        next_when_none=f"replikera protection show {vm}",
        next_command=f"replikera test-failover start {vm} --point latest --wait",
    )


def _row(point: Record) -> tuple[object, ...]:
    return (
        point.get("sequence"),
        point.get("kind"),
        point.get("name") or "-",
        precise_instant(point.get("capture_started_at")),
        precise_instant(point.get("capture_ended_at")),
        precise_instant(point.get("sealed_at")),
        size(point.get("payload_bytes")),
    )
