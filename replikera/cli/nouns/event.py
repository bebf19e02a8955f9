"""`replikera event`: what happened."""

from typing import Annotated

import typer

from replikera.cli.leaf import Listing, noun
from replikera.cli.listing import present_list
from replikera.cli.records import Record
from replikera.cli.wording import instant

app = noun("What happened in this vault.")


@app.command("list", cls=Listing)
def list_events(
    context: typer.Context,
    *,
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="KIND", help="Only these, as in host-quarantined."),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option("--subject", metavar="ID", help="Only those about the object with this id."),
    ] = None,
    after: Annotated[
        int | None,
        typer.Option("--after", metavar="NUMBER", min=0, help="Only later ones, oldest first."),
    ] = None,
) -> None:
    """List what happened, newest first."""
    present_list(
        context,
        "events",
        query={"kind": kind, "subject": subject, "after": after},
        columns=("number", "time", "kind", "detail", "subject"),
        row=_row,
        none="Nothing of that kind happened.",
        next_when_none="replikera status",
    )


def _row(event: Record) -> tuple[object, ...]:
    return (
        event.get("number"),
        instant(event.get("occurred_at")),
        event.get("kind"),
        event.get("detail") or "-",
        event.get("subject"),
    )
