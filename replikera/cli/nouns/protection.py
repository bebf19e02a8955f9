"""`replikera protection`: virtual machines replicated to another host."""

from typing import Annotated

import typer
from rich.console import RenderableType

from replikera.cli.arguments import TimeoutOption, VmArgument, WaitOption
from replikera.cli.following import Patience, start_job
from replikera.cli.job_view import present_job
from replikera.cli.leaf import Leaf, Listing, Viewing, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of, properties
from replikera.cli.progress import figures
from replikera.cli.protection_view import lag, last_test_failover, newest_point
from replikera.cli.records import Record, field
from replikera.cli.watching import view
from replikera.cli.wording import instant

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
    timeout: TimeoutOption = None,
) -> None:
    """Protect a virtual machine.

    It is copied to the target host, and then what changes is copied again and again.
    """
    job = start_job(
        context,
        ("protections",),
        {"machine": vm, "target_host": target_host, "policy": policy},
        Patience(wait, timeout),
    )
    present_job(context, job, next_command=f"replikera point list {vm}")


@app.command("list", cls=Listing)
def list_protections(context: typer.Context) -> None:
    """List the protected virtual machines."""
    present_list(
        context,
        "protections",
        columns=("vm", "source", "target", "policy", "state", "health", "lag", "newest point"),
        row=_row,
        none="No virtual machine is protected.",
        next_when_none="replikera vm list",
        next_command="replikera protection show VM",
    )


@app.command("show", cls=Viewing)
def show(context: typer.Context, vm: VmArgument) -> None:
    """Show one protection."""
    output = output_of(context)

    def present(protection: Record) -> None:
        output.answer(protection, lambda: _render(protection))
        output.next(f"replikera point list {vm}")

    view(context, lambda client: client.get("protections", vm), present)


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
        ("grant ends", _grant_end(protection)),
        ("generation", protection.get("generation")),
        ("id", protection.get("id")),
    ]
    return properties(pairs)


def _grant_end(protection: Record) -> str:
    if "grant" in protection and protection["grant"] is None:
        return "none"
    return instant(field(protection, "grant", "not_after"))
