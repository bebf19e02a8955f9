"""`replikera cloud`: groups of hosts at a site."""

from typing import Annotated

import typer

from replikera.cli.connection import post
from replikera.cli.leaf import Leaf, Listing, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of, table
from replikera.cli.records import Record
from replikera.cli.wording import instant

app = noun("Clouds: groups of hosts at a site.")
_COLUMNS = ("cloud", "site", "created", "id")


@app.command("create", cls=Leaf)
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new cloud's name.")],
    site: Annotated[str, typer.Option("--site", help="The site that its hosts are at.")],
) -> None:
    """Create a cloud. A host that names one in its settings makes it by joining, too."""
    cloud = post(context, "clouds", body={"name": name, "site": site})
    output_of(context).answer(cloud, lambda: table(_COLUMNS, [_row(cloud)]))


@app.command("list", cls=Listing)
def list_clouds(context: typer.Context) -> None:
    """List the clouds."""
    present_list(
        context,
        "clouds",
        columns=_COLUMNS,
        row=_row,
        none="This vault has no cloud.",
        next_when_none="replikera cloud create NAME --site SITE",
    )


def _row(cloud: Record) -> tuple[object, ...]:
    return (
        cloud.get("name"),
        cloud.get("site"),
        instant(cloud.get("created_at")),
        cloud.get("id"),
    )
