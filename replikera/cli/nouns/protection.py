"""`replikera protection`: virtual machines replicated to another host."""

from typing import Annotated

import typer
from rich.console import RenderableType

from replikera.cli.arguments import VmArgument, WaitOption, WaitTimeoutOption
from replikera.cli.connection import get
from replikera.cli.following import Patience, start_job
from replikera.cli.job_view import present_job
from replikera.cli.leaf import Leaf, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of, properties
from replikera.cli.progress import figures
from replikera.cli.protection_view import lag, last_test_failover, newest_point
from replikera.cli.records import Record

app = noun("Virtual machines replicated to another host.")


@app.command("enable", cls=Leaf)
def enable(
    context: typer.Context,
    vm: VmArgument,
    *,
    target_host: Annotated[
        str, typer.Option("--target-host", metavar="HOST", help="The host that keeps the replica.")
    ],
    policy: Annotated[
        str, typer.Option("--policy", metavar="POLICY", help="The policy it follows.")
    ],
    wait: WaitOption = False,
    wait_timeout: WaitTimeoutOption = None,
) -> None:
    """Protect a virtual machine: copy it to the target host, then keep copying what changes."""
    job = start_job(
        context,
        ("protections",),
        {"machine": vm, "target_host": target_host, "policy": policy},
        Patience(wait, wait_timeout),
    )
    present_job(context, job, next_command=f"replikera point list {vm}")


@app.command("list", cls=Leaf)
def list_protections(context: typer.Context) -> None:
    """List the protected virtual machines."""
    present_list(
        context,
        get(context, "protections"),
        columns=("vm", "source", "target", "policy", "state", "health", "lag", "newest point"),
        row=_row,
        none="No virtual machine is protected.",
        next_when_none="replikera vm list",
        next_command="replikera protection show VM",
    )


@app.command("show", cls=Leaf)
def show(context: typer.Context, vm: VmArgument) -> None:
    """Show one protection."""
    protection = get(context, "protections", vm)
    output = output_of(context)
    output.answer(protection, lambda: _render(protection))
    output.next(f"replikera point list {vm}")


def _row(protection: Record) -> tuple[object, ...]:
    return (
        protection.get("name"),
        protection.get("source_host"),
        protection.get("target_host"),
        protection.get("policy"),
        protection.get("state"),
        protection.get("health"),
        lag(protection),
        newest_point(protection),
    )


def _render(protection: Record) -> RenderableType:
    names = ("vm", "source host", "target host", "policy", "state", "health", "lag", "newest point")
    pairs = list(zip(names, _row(protection), strict=True))
    pairs += [(key, protection[key]) for key in ("cause", "remedy") if protection.get(key)]
    progress = figures(protection)
    if progress:
        pairs.append(("progress", progress))
    pairs += [
        ("last test failover", last_test_failover(protection)),
        ("generation", protection.get("generation")),
        ("id", protection.get("id")),
    ]
    return properties(pairs)
