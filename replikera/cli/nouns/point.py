"""`replikera point`: the recovery points of a protected virtual machine."""

from enum import StrEnum
from typing import Annotated

import typer

from replikera.cli.arguments import TimeoutOption, VmArgument, WaitOption
from replikera.cli.following import Patience, start_job
from replikera.cli.job_view import present_job
from replikera.cli.leaf import Leaf, Listing, Viewing, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of
from replikera.cli.point_arguments import PointArgument, time_option
from replikera.cli.point_view import COLUMNS, render_point, render_retention, row
from replikera.cli.records import Record
from replikera.cli.watching import view
from replikera.cli.wording import plain

app = noun("Recovery points of a protected virtual machine.")


class Kind(StrEnum):
    """How consistent a point is."""

    CRASH_CONSISTENT = "crash-consistent"
    APPLICATION_CONSISTENT = "application-consistent"
    NAMED = "named"


@app.command("list", cls=Listing)
def list_points(
    context: typer.Context,
    vm: VmArgument,
    *,
    kind: Annotated[Kind | None, typer.Option("--kind", help="Only points of this kind.")] = None,
    captured_from: Annotated[
        str | None, time_option("--from", "Only points captured then or later.")
    ] = None,
    captured_until: Annotated[
        str | None, time_option("--until", "Only points captured before that.")
    ] = None,
) -> None:
    """List the recovery points, newest first."""
    is_part = kind is not None or captured_from is not None or captured_until is not None
    present_list(
        context,
        "protections",
        vm,
        "points",
        query={
            "kind": None if kind is None else kind.value,
            "captured_from": captured_from,
            "captured_until": captured_until,
        },
        columns=COLUMNS,
        row=row,
        none=f"{vm} has no such recovery point." if is_part else f"{vm} has no recovery point yet.",
        next_when_none=f"replikera point list {vm}"
        if is_part
        else f"replikera protection show {vm}",
        next_command=f"replikera test-failover start {vm} --point latest --wait",
    )


@app.command("show", cls=Viewing)
def show(context: typer.Context, vm: VmArgument, point: PointArgument) -> None:
    """Show one recovery point."""
    output = output_of(context)

    def present(found: Record) -> None:
        output.answer(found, lambda: render_point(found))
        output.next(f"replikera point digest {vm} {plain(found.get('sequence'))} --wait")

    view(context, lambda client: client.get("protections", vm, "points", point), present)


@app.command("create", cls=Leaf)
def create(
    context: typer.Context,
    vm: VmArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the point is to be called.")],
    *,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Take a recovery point now that has a name, as before a change of the machine.

    It is meant by name:NAME wherever a point is asked for, and kept as long as any other.
    """
    path = ("protections", vm, "points")
    job = start_job(context, path, {"name": name}, Patience(wait, timeout))
    present_job(context, job, next_command=f"replikera point list {vm} --kind named")


@app.command("digest", cls=Leaf)
def digest(
    context: typer.Context,
    vm: VmArgument,
    point: PointArgument,
    *,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Read a whole recovery point where it is kept, for a SHA-256 of every disk.

    The target reads all bytes that the guest would see; nothing is sent over the network. The job keeps the result.
    """
    path = ("protections", vm, "points", point, "digest")
    job = start_job(context, path, {}, Patience(wait, timeout))
    present_job(context, job, next_command=f"replikera job show {plain(job.get('id'))}")


@app.command("export", cls=Leaf)
def export(
    context: typer.Context,
    vm: VmArgument,
    point: PointArgument,
    file_name: Annotated[
        str,
        typer.Argument(
            metavar="NAME.vhdx|NAME.raw",
            help="The file's name in the export folder of the target host; its ending is the format.",
        ),
    ],
    *,
    disk: Annotated[
        int, typer.Option("--disk", metavar="N", min=0, help="The disk's place, from 0.")
    ] = 0,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Write a disk of a recovery point as a file of its own on the target host, and read it back.

    The file needs nothing else: it can be carried away and attached anywhere. Its job tells the path.
    """
    path = ("protections", vm, "points", point, "export")
    body = {"disk": disk, "file_name": file_name}
    job = start_job(context, path, body, Patience(wait, timeout))
    present_job(context, job, next_command=f"replikera job show {plain(job.get('id'))}")


@app.command("retention", cls=Viewing)
def retention(context: typer.Context, vm: VmArgument) -> None:
    """Show how far back the recovery points reach."""
    output = output_of(context)

    def present(found: Record) -> None:
        output.answer(found, lambda: render_retention(found))
        output.next(f"replikera point list {vm}")

    view(context, lambda client: client.get("protections", vm, "retention"), present)
