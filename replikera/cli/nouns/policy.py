"""`replikera policy`: how often to copy, and how long to keep recovery points."""

from typing import Annotated

import typer

from replikera.cli.arguments import Duration, parse_positive_duration, parse_retention
from replikera.cli.connection import post
from replikera.cli.leaf import Leaf, Listing, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of, table
from replikera.cli.records import Record
from replikera.cli.wording import duration, number

app = noun("How often to copy, and how long to keep recovery points.")
_COLUMNS = ("policy", "copy frequency", "retention", "id")


@app.command("create", cls=Leaf)
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new policy's name.")],
    copy_frequency: Annotated[
        Duration,
        typer.Option(
            "--copy-frequency",
            metavar="TIME",
            parser=parse_positive_duration,
            help="Time between two recovery points, as in 30s, 5m or 15m.",
        ),
    ],
    retention: Annotated[
        Duration,
        typer.Option(
            "--retention",
            metavar="TIME",
            parser=parse_retention,
            help="How long points are kept, in whole hours or days, as in 24h or 5d.",
        ),
    ],
) -> None:
    """Create a policy."""
    policy = post(
        context,
        "policies",
        body={
            "name": name,
            "copy_frequency_seconds": copy_frequency.seconds,
            "retention_hours": retention.seconds // 3600,
        },
    )
    output = output_of(context)
    output.answer(policy, lambda: table(_COLUMNS, [_row(policy)]))
    output.next(f"replikera protection enable VM --target-host HOST --policy {name}")


@app.command("list", cls=Listing)
def list_policies(context: typer.Context) -> None:
    """List the policies."""
    present_list(
        context,
        "policies",
        columns=_COLUMNS,
        row=_row,
        none="This vault has no policy.",
        next_when_none="replikera policy create NAME --copy-frequency 5m --retention 24h",
    )


def _row(policy: Record) -> tuple[object, ...]:
    hours = number(policy.get("retention_hours"))
    return (
        policy.get("name"),
        duration(policy.get("copy_frequency_seconds")),
        duration(None if hours is None else hours * 3600),
        policy.get("id"),
    )
