"""`replikera protection`: virtual machines replicated to another host."""

from typing import Annotated

import typer
from rich.console import RenderableType

from replikera.cli.arguments import ConfirmOption, TimeoutOption, VmArgument, WaitOption
from replikera.cli.confirmation import confirm
from replikera.cli.following import Patience, start_job
from replikera.cli.job_view import present_job
from replikera.cli.leaf import Leaf, Listing, Viewing, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of, properties
from replikera.cli.protection_arguments import DiskSeed, Side, parse_seed
from replikera.cli.protection_view import (
    failover_now,
    hindrance,
    lag,
    lag_and_target,
    last_proved,
    last_test_failover,
    newest_point,
    placement,
    replication,
)
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
    source_host: Annotated[
        str | None,
        typer.Option(
            "--source-host",
            metavar="HOST",
            help="The host it runs on, where more than one lists it.",
        ),
    ] = None,
    exclude_disk: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude-disk",
            metavar="DISK",
            help="A disk, by id or file name, that is not replicated; may be given again.",
        ),
    ] = None,
    seed: Annotated[
        list[DiskSeed] | None,
        typer.Option(
            "--seed",
            metavar="DISK=FILE",
            parser=parse_seed,
            help="A disk that is there already, as a file in the target's seed folder: only what differs is sent; "
            "may be given again.",
        ),
    ] = None,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Protect a virtual machine.

    It is copied to the target host, and then what changes is copied again and again.
    """
    body: dict[str, object] = {"machine": vm, "target_host": target_host, "policy": policy}
    if source_host is not None:
        body["source_host"] = source_host
    if exclude_disk:
        body["excluded_disks"] = exclude_disk
    if seed:
        body["seeds"] = [{"disk": item.disk, "file": item.file} for item in seed]
    job = start_job(context, ("protections",), body, Patience(wait, timeout))
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


@app.command("update", cls=Leaf)
def update(
    context: typer.Context,
    vm: VmArgument,
    *,
    policy: Annotated[
        str, typer.Option("--policy", metavar="POLICY", help="The policy it follows from now on.")
    ],
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Have a virtual machine follow another policy."""
    _ask(context, vm, "update", Patience(wait, timeout), {"policy": policy})


@app.command("pause", cls=Leaf)
def pause(
    context: typer.Context,
    vm: VmArgument,
    *,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Send nothing for a while. What changes is remembered, so no resync follows."""
    after = f"replikera protection resume {vm}"
    _ask(context, vm, "pause", Patience(wait, timeout), {}, next_command=after)


@app.command("resume", cls=Leaf)
def resume(
    context: typer.Context,
    vm: VmArgument,
    *,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Go on after a pause, where replication was."""
    _ask(context, vm, "resume", Patience(wait, timeout), {})


@app.command("resync", cls=Leaf)
def resync(
    context: typer.Context,
    vm: VmArgument,
    *,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Compare everything with the replica's newest point and send what differs. Older points stay."""
    _ask(context, vm, "resync", Patience(wait, timeout), {})


@app.command("verify", cls=Leaf)
def verify(
    context: typer.Context,
    vm: VmArgument,
    *,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Compare everything with the replica once, while replication goes on."""
    _ask(context, vm, "verify", Patience(wait, timeout), {})


@app.command("disable", cls=Leaf)
def disable(
    context: typer.Context,
    vm: VmArgument,
    *,
    keep_disks: Annotated[
        bool | None,
        typer.Option(
            "--keep-disks/--delete-disks",
            help="Keep the disks of the newest point as plain files at the target, or nothing; the policy decides "
            "unless given.",
        ),
    ] = None,
    forget: Annotated[
        list[Side] | None,
        typer.Option(
            "--forget",
            help="Do not wait for this side, because its host is gone for good; may be given again.",
        ),
    ] = None,
    confirmation: ConfirmOption = None,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Protect a virtual machine no more: its recovery points are removed. The machine itself stays as it is."""
    patience = Patience(wait, timeout)
    confirm(vm, confirmation, _consequence(vm, keep_disks=keep_disks, forgotten=forget or []))
    body: dict[str, object] = {}
    if keep_disks is not None:
        body["replica"] = "keep" if keep_disks else "delete"
    if forget:
        body["forget"] = [side.value for side in forget]
    _ask(context, vm, "disable", patience, body, next_command="replikera protection list")


def _ask(
    context: typer.Context,
    vm: str,
    verb: str,
    patience: Patience,
    body: dict[str, object],
    *,
    next_command: str | None = None,
) -> None:
    """Start the job of a verb and present it."""
    job = start_job(context, ("protections", vm, verb), body, patience)
    present_job(context, job, next_command=next_command or f"replikera protection show {vm}")


_FORGOTTEN = {
    Side.SOURCE: "Nobody waits for its source host: when that comes back, it is told to stop and to forget",
    Side.TARGET: "Nobody waits for its target host: when that comes back, it is told to clean up a test failover and "
    "to remove all this; should it fail, only the history of the vault tells",
}


def _consequence(vm: str, *, keep_disks: bool | None, forgotten: list[Side]) -> str:
    disks = {
        None: "its disks there are kept or removed as its policy says",
        True: "the disks of the newest one stay there as plain files",
        False: "its disks there are removed too",
    }[keep_disks]
    text = f"All recovery points of {vm} are removed at its target host; {disks}"
    for side in forgotten:
        text += f". {_FORGOTTEN[side]}"
    return text


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
    pairs: list[tuple[str, object]] = [
        ("vm", protection.get("name")),
        ("source host", protection.get("source_host")),
        ("target host", protection.get("target_host")),
        ("policy", protection.get("policy")),
        ("state", protection.get("state")),
        ("health", protection.get("health")),
        ("lag", lag_and_target(protection)),
        ("newest point", newest_point(protection)),
    ]
    pairs += [(key, protection[key]) for key in ("cause", "remedy") if protection.get(key)]
    pairs += [*replication(protection), *placement(protection)]
    pairs += [
        ("failover now", hindrance(protection) or failover_now(protection)),
        ("last proved", last_proved(protection)),
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
