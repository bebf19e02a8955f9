"""`replikera vault`: the vault this profile belongs to."""

import typer

from replikera.cli.connection import get
from replikera.cli.leaf import Leaf, noun
from replikera.cli.output import output_of, properties
from replikera.cli.wording import instant

app = noun("The vault this profile belongs to.")


@app.command("show", cls=Leaf)
def show(context: typer.Context) -> None:
    """Show the vault's name, id and addresses."""
    vault = get(context, "vault")
    output = output_of(context)
    output.answer(
        vault,
        lambda: properties(
            [
                ("name", vault.get("name")),
                ("id", vault.get("id")),
                ("created", instant(vault.get("created_at"))),
                ("session address", vault.get("session_address")),
                ("enrolment address", vault.get("enrolment_address")),
            ]
        ),
    )
    output.next("replikera status")
