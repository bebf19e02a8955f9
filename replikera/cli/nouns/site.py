"""`replikera site`: where hosts are."""

from typing import Annotated

import typer

from replikera.cli.connection import post
from replikera.cli.leaf import Leaf, Listing, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of, table
from replikera.cli.records import Record
from replikera.cli.wording import instant

app = noun("Sites: where hosts are.")
_COLUMNS = ("site", "created", "id")


@app.command("create", cls=Leaf)
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new site's name.")],
) -> None:
    """Create a site."""
    site = post(context, "sites", body={"name": name})
    output = output_of(context)
    output.answer(site, lambda: table(_COLUMNS, [_row(site)]))
    output.next(f"replikera host invite --site {name}")


@app.command("list", cls=Listing)
def list_sites(context: typer.Context) -> None:
    """List the sites."""
    present_list(
        context,
        "sites",
        columns=_COLUMNS,
        row=_row,
        none="This vault has no site.",
        next_when_none="replikera site create NAME",
    )


def _row(site: Record) -> tuple[object, ...]:
    return (site.get("name"), instant(site.get("created_at")), site.get("id"))
