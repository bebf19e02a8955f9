"""`replikera test-failover`: recover a machine beside the running one, look at it, clean up."""

import re
from collections.abc import Mapping
from shlex import quote
from typing import Annotated

import typer

from replikera.cli.arguments import (
    Duration,
    TimeoutOption,
    VmArgument,
    WaitOption,
    parse_positive_duration,
)
from replikera.cli.client import VaultClient
from replikera.cli.errors import NotFoundError
from replikera.cli.following import Patience, start_job
from replikera.cli.job_view import present_job
from replikera.cli.leaf import Leaf, Listing, Viewing, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of
from replikera.cli.point_arguments import LATEST, PointOption
from replikera.cli.records import Record, field
from replikera.cli.rehearsal_view import guest, point, render_plan, render_rehearsal
from replikera.cli.watching import view
from replikera.cli.wording import plain

app = noun("Recover a machine beside the running one.")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@app.command("start", cls=Leaf)
def start(
    context: typer.Context,
    vm: VmArgument,
    *,
    recovery_point: PointOption = LATEST,
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            metavar="mapped|none|create|NAME",
            help="The test networks of the mappings, no network, new isolated ones that go with the test, or this "
            "isolated network of the target host. [default: mapped]",
        ),
    ] = None,
    lasts: Annotated[
        Duration | None,
        typer.Option(
            "--for",
            metavar="TIME",
            parser=parse_positive_duration,
            help="Clean it up by itself after that, as in 8h. [default: 14d]",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be done, and do nothing.")
    ] = False,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Start a copy of the machine from a recovery point.

    Its disks stand on the replica, which stays as it is. Replication goes on.
    """
    wish: dict[str, str | int] = {"point": recovery_point}
    if network is not None:
        wish["network"] = network
    if dry_run:
        _present_plan(context, vm, wish)
        return
    if lasts is not None:
        wish["lasts_seconds"] = lasts.seconds
    path = ("protections", vm, "test-failovers")
    job = start_job(context, path, wish, Patience(wait, timeout))
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


def _present_plan(context: typer.Context, vm: str, wish: Mapping[str, str | int]) -> None:
    output = output_of(context)

    def present(plan: Record) -> None:
        output.answer(plan, lambda: render_plan(plan))
        options = " ".join(f"--{key} {quote(str(value))}" for key, value in wish.items())
        output.next(f"replikera test-failover start {vm} {options} --wait")

    view(
        context,
        lambda client: client.get("protections", vm, "test-failovers", "plan", query=wish),
        present,
    )


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
