"""`replikera policy`: how often and how to copy, and how long to keep recovery points."""

from typing import Annotated

import typer

from replikera.cli.arguments import (
    Duration,
    TimeoutOption,
    WaitOption,
    parse_positive_duration,
    parse_retention,
)
from replikera.cli.connection import post
from replikera.cli.following import Patience, raise_unless_done, watch_job
from replikera.cli.leaf import Leaf, Listing, Viewing, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of, table
from replikera.cli.policy_arguments import (
    Compression,
    InitialReplication,
    Interval,
    OnDisable,
    RpoTarget,
    check_throttle_choice,
    parse_interval_of_points,
    parse_rpo_target,
)
from replikera.cli.policy_view import COLUMNS, policy_row, render_policy
from replikera.cli.records import Record
from replikera.cli.throttle_arguments import ThrottleWindow, parse_throttle
from replikera.cli.watching import view
from replikera.cli.wording import plain

app = noun("How often to copy, and how long to keep recovery points.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The policy's name or id.")]
_frequency = typer.Option(
    "--copy-frequency",
    metavar="TIME",
    parser=parse_positive_duration,
    help="Time between two recovery points, 1s to 24h, as in 30s, 5m or 15m.",
)
_retention = typer.Option(
    "--retention",
    metavar="TIME",
    parser=parse_retention,
    help="How long points are kept, in whole hours or days, as in 24h or 5d; 0h keeps the newest only.",
)
IntervalOption = Annotated[
    Interval | None,
    typer.Option(
        "--app-consistent",
        metavar="TIME",
        parser=parse_interval_of_points,
        help="Time between application-consistent points, 1h to 12h and shorter than the retention, or off.",
    ),
]
CompressionOption = Annotated[
    Compression | None,
    typer.Option("--compression", help="How payload is compressed on its way; adaptive is usual."),
]
ThrottleOption = Annotated[
    list[ThrottleWindow] | None,
    typer.Option(
        "--throttle",
        metavar="WINDOW",
        parser=parse_throttle,
        help='A limit by the source\'s clock, as in "mon-fri 08:00-18:00 10MiB/s"; may be given again.',
    ),
]
RpoTargetOption = Annotated[
    RpoTarget | None,
    typer.Option(
        "--rpo-target",
        metavar="TIME",
        parser=parse_rpo_target,
        help="How old the newest point may be; default is three copy frequencies.",
    ),
]
OnDisableOption = Annotated[
    OnDisable | None,
    typer.Option("--on-disable", help="What becomes of a replica's disks when disabled."),
]


@app.command("create", cls=Leaf)
def create(  # one parameter for each field of a policy
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new policy's name.")],
    *,
    copy_frequency: Annotated[Duration, _frequency],
    retention: Annotated[Duration, _retention],
    app_consistent: IntervalOption = None,
    compression: CompressionOption = None,
    throttle: ThrottleOption = None,
    rpo_target: RpoTargetOption = None,
    on_disable: OnDisableOption = None,
    initial_replication: Annotated[
        InitialReplication | None,
        typer.Option(
            "--initial-replication", help="How the first copy is made; online is all there is."
        ),
    ] = None,
) -> None:
    """Create a policy."""
    body = {
        "name": name,
        **_settings(copy_frequency, retention, app_consistent, rpo_target),
        **_ways(compression, throttle, on_disable),
    }
    if initial_replication is not None:
        body["initial_replication"] = initial_replication.value
    policy = post(context, "policies", body=body)
    output = output_of(context)
    output.answer(policy, lambda: table(COLUMNS, [policy_row(policy)]))
    output.next(f"replikera protection enable VM --target-host HOST --policy {name}")


@app.command("list", cls=Listing)
def list_policies(context: typer.Context) -> None:
    """List the policies."""
    present_list(
        context,
        "policies",
        columns=COLUMNS,
        row=policy_row,
        none="This vault has no policy.",
        next_when_none="replikera policy create NAME --copy-frequency 5m --retention 24h",
    )


@app.command("show", cls=Viewing)
def show(context: typer.Context, name: NameArgument) -> None:
    """Show all that a policy says."""
    output = output_of(context)
    view(
        context,
        lambda client: client.get("policies", name),
        lambda policy: output.answer(policy, lambda: render_policy(policy)),
    )


@app.command("update", cls=Leaf)
def update(  # one parameter for each field of a policy
    context: typer.Context,
    name: NameArgument,
    *,
    copy_frequency: Annotated[Duration | None, _frequency] = None,
    retention: Annotated[Duration | None, _retention] = None,
    app_consistent: IntervalOption = None,
    compression: CompressionOption = None,
    throttle: ThrottleOption = None,
    no_throttle: Annotated[
        bool, typer.Option("--no-throttle", help="Remove all throttle windows.")
    ] = False,
    rpo_target: RpoTargetOption = None,
    on_disable: OnDisableOption = None,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Change what a policy says; machines that follow it do so from their next copy on."""
    patience = Patience(wait, timeout)
    check_throttle_choice(is_given=bool(throttle), is_removed=no_throttle)
    body = {
        **_settings(copy_frequency, retention, app_consistent, rpo_target),
        **_ways(compression, throttle, on_disable),
    }
    if no_throttle:
        body["throttle"] = []
    if not body:
        raise typer.BadParameter("name at least one setting that is to be different.")
    policy = post(context, "policies", name, "update", body=body)
    _follow(context, policy, patience)


@app.command("delete", cls=Leaf)
def delete(context: typer.Context, name: NameArgument) -> None:
    """Delete a policy that no machine follows."""
    gone = post(context, "policies", name, "delete", body={})
    output_of(context).line(gone, f"Policy {plain(gone.get('name') or name)} is deleted.")


def _settings(
    copy_frequency: Duration | None,
    retention: Duration | None,
    interval: Interval | None,
    target: RpoTarget | None,
) -> dict[str, object]:
    """Return when and how long, as far as it was given."""
    body: dict[str, object] = {}
    if copy_frequency is not None:
        body["copy_frequency_seconds"] = copy_frequency.seconds
    if retention is not None:
        body["retention_hours"] = retention.seconds // 3600
    if interval is not None:
        body["application_consistent_hours"] = interval.hours
    if target is not None:
        body["rpo_target_seconds"] = target.seconds
    return body


def _ways(
    compression: Compression | None,
    throttle: list[ThrottleWindow] | None,
    on_disable: OnDisable | None,
) -> dict[str, object]:
    """Return how, as far as it was given."""
    body: dict[str, object] = {}
    if compression is not None:
        body["compression"] = compression.value
    if throttle:
        body["throttle"] = [window.as_body() for window in throttle]
    if on_disable is not None:
        body["replica_on_disable"] = on_disable.value
    return body


def _follow(context: typer.Context, policy: Record, patience: Patience) -> None:
    """Show a changed policy; wait, if that was asked, until the hosts of all its machines have it."""
    found = policy.get("jobs")
    jobs = [str(job) for job in found] if isinstance(found, list) else []
    ended = [watch_job(context, job, patience.timeout) for job in jobs if patience.is_waiting]
    output = output_of(context)
    output.answer(policy, lambda: render_policy(policy))
    for job in ended:
        raise_unless_done(job)
    if jobs and not patience.is_waiting:
        output.message(f"It is being sent to the hosts of {len(jobs)} protections.")
        output.next(f"replikera job watch {plain(jobs[0])}")
