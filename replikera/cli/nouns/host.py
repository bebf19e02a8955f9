"""`replikera host`: invite hosts, and see the registered ones."""

from typing import Annotated

import typer

from replikera.cli.arguments import Duration, parse_positive_duration
from replikera.cli.connection import get, post
from replikera.cli.leaf import Leaf, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of
from replikera.cli.records import Record, required_text
from replikera.cli.wording import instant

app = noun("Hypervisor hosts: invite and list them.")


@app.command("invite", cls=Leaf)
def invite(
    context: typer.Context,
    site: Annotated[str, typer.Option("--site", help="The site that the host is at.")],
    valid_for: Annotated[
        Duration | None,
        typer.Option(
            "--valid-for",
            metavar="TIME",
            parser=parse_positive_duration,
            help="How long the line may be used, as in 24h; 5d unless given.",
        ),
    ] = None,
) -> None:
    """Print the line that one new host joins with, once. It holds a secret: hand it over with care."""
    body: dict[str, object] = {"site": site}
    if valid_for is not None:
        body["valid_for_seconds"] = valid_for.seconds
    invitation = post(context, "host-invitations", body=body)
    line = required_text(invitation, "join_line", "an invitation")
    output = output_of(context)
    output.message(
        f"Registration key {invitation.get('key_id')} for a host at site {site}: "
        f"good for one host, until {instant(invitation.get('expires_at'))}."
    )
    output.line(invitation, line)
    output.next("on the new host: replikera-agent join --settings FILE   (asks for the line)")


@app.command("list", cls=Leaf)
def list_hosts(context: typer.Context) -> None:
    """List the registered hosts."""
    present_list(
        context,
        get(context, "hosts"),
        columns=(
            "host",
            "site",
            "cloud",
            "hypervisor",
            "state",
            "last seen",
            "replication address",
            "agent",
        ),
        row=_row,
        none="No host has joined this vault.",
        next_when_none="replikera host invite --site SITE",
    )


def _row(host: Record) -> tuple[object, ...]:
    return (
        host.get("name"),
        host.get("site"),
        host.get("cloud") or "-",
        host.get("hypervisor"),
        host.get("state"),
        instant(host.get("last_seen_at")),
        host.get("replication_address"),
        host.get("agent_version"),
    )
