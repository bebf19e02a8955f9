"""`replikera test-failover`: recover a machine beside the running one, look at it, clean up."""

import re
from typing import Annotated

import typer

from replikera.cli.arguments import (
    LATEST,
    TimeoutOption,
    VmArgument,
    WaitOption,
    parse_point,
    point_value,
)
from replikera.cli.client import VaultClient
from replikera.cli.errors import NotFoundError
from replikera.cli.following import Patience, start_job
from replikera.cli.job_view import present_job
from replikera.cli.leaf import Leaf, Listing, Viewing, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of
from replikera.cli.records import Record, field
from replikera.cli.rehearsal_view import guest, point, render_rehearsal
from replikera.cli.watching import view
from replikera.cli.wording import plain

app = noun("Recover a machine beside the running one.")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@app.command("start", cls=Leaf)
def start(
    context: typer.Context,
    vm: VmArgument,
    *,
    recovery_point: Annotated[
        str,
        typer.Option(
            "--point",
            metavar="latest|NUMBER",
            parser=parse_point,
            help="The recovery point to start from.",
        ),
    ] = LATEST,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Start a copy of the machine from a recovery point.

    It is on the test network. Replication goes on.
    """
    job = start_job(
        context,
        ("protections", vm, "test-failovers"),
        {"point": point_value(recovery_point)},
        Patience(wait, timeout),
    )
    present_job(context, job, next_command=f"replikera test-failover show {vm}")


@app.command("cleanup", cls=Leaf)
def cleanup(
    context: typer.Context,
    vm: VmArgument,
    *,
    notes: Annotated[
        str | None, typer.Option("--notes", metavar="TEXT", help="What you saw, for the record.")
    ] = None,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Remove what a test failover made. Only then does the test count."""
    job = start_job(
        context,
        ("protections", vm, "test-failovers", "clean-up"),
        {} if notes is None else {"notes": notes},
        Patience(wait, timeout),
    )
    present_job(context, job, next_command=f"replikera test-failover show {vm}")


@app.command("list", cls=Listing)
def list_rehearsals(context: typer.Context) -> None:
    """List the test failovers."""
    present_list(
        context,
        "test-failovers",
        columns=("test failover", "vm", "point", "machine", "state", "guest", "successful"),
        row=_row,
        none="No test failover was started yet.",
        next_when_none="replikera test-failover start VM --point latest --wait",
    )


@app.command("show", cls=Viewing)
def show(
    context: typer.Context,
    vm_or_id: Annotated[
        str, typer.Argument(metavar="VM|ID", help="A machine, for its last one, or an id.")
    ],
) -> None:
    """Show a test failover: disks, guest, measured times."""
    output = output_of(context)

    def present(rehearsal: Record) -> None:
        output.answer(rehearsal, lambda: render_rehearsal(rehearsal))
        if rehearsal.get("state") in {"started", "failed"}:
            name = plain(rehearsal.get("protection"))
            output.next(f"replikera test-failover cleanup {name} --notes TEXT --wait")

    view(context, lambda client: _find(client, vm_or_id), present)


async def _find(client: VaultClient, vm_or_id: str) -> dict[str, object]:
    if _ID.fullmatch(vm_or_id):
        try:
            return await client.get("test-failovers", vm_or_id)
        except NotFoundError:  # a protection's id, or a machine that is named like an id
            return await _last_of(client, vm_or_id)
    return await _last_of(client, vm_or_id)


async def _last_of(client: VaultClient, vm: str) -> dict[str, object]:
    protection = await client.get("protections", vm)
    rehearsal_id = field(protection, "test_failover", "id")
    if not isinstance(rehearsal_id, str):
        raise NotFoundError(
            "no-test-failover",
            f"{vm} has had no test failover",
            f"Start one with `replikera test-failover start {vm} --wait`",
        )
    return await client.get("test-failovers", rehearsal_id)


def _row(rehearsal: Record) -> tuple[object, ...]:
    return (
        rehearsal.get("id"),
        rehearsal.get("protection"),
        point(rehearsal),
        rehearsal.get("machine_name"),
        rehearsal.get("state"),
        guest(rehearsal),
        rehearsal.get("is_successful"),
    )
