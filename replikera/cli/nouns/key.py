"""`replikera key`: the registration keys that hosts join with."""

from typing import Annotated

import typer

from replikera.cli.connection import post
from replikera.cli.leaf import Leaf, Listing, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of, table
from replikera.cli.records import Record
from replikera.cli.wording import instant

app = noun("Registration keys that hosts join with.")
_COLUMNS = ("key", "site", "state", "created", "ends", "used", "host", "readmits")


@app.command("list", cls=Listing)
def list_keys(context: typer.Context) -> None:
    """List the registration keys, newest first. Their secrets are not kept."""
    present_list(
        context,
        "registration-keys",
        columns=_COLUMNS,
        row=_row,
        none="No host was invited to this vault.",
        next_when_none="replikera host invite --site SITE",
    )


@app.command("revoke", cls=Leaf)
def revoke(
    context: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")],
) -> None:
    """Make an unused registration key useless."""
    key = post(context, "registration-keys", key_id, "revoke", body={})
    output_of(context).answer(key, lambda: table(_COLUMNS, [_row(key)]))


def _row(key: Record) -> tuple[object, ...]:
    used = key.get("used_at")
    return (
        key.get("id"),
        key.get("site"),
        key.get("state"),
        instant(key.get("created_at")),
        instant(key.get("expires_at")),
        "-" if used is None else instant(used),
        key.get("host") or "-",
        key.get("readmits") or "-",
    )
