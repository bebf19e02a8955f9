"""`replikera host`: invite hosts, see them, and withdraw or renew the trust in them."""

from typing import Annotated

import typer

from replikera.cli.arguments import (
    ConfirmOption,
    Duration,
    HostArgument,
    ReasonOption,
    ValidForOption,
)
from replikera.cli.confirmation import confirm
from replikera.cli.connection import post
from replikera.cli.host_view import COLUMNS, render_host, row
from replikera.cli.leaf import Leaf, Listing, Viewing, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of
from replikera.cli.records import Record, required_text
from replikera.cli.watching import view
from replikera.cli.wording import instant, plain

app = noun("Hypervisor hosts: invite, list, trust them no more.")
_JOIN = "on the new host: replikera-agent join --settings FILE   (asks for the line)"
_JOIN_AGAIN = "on that host: stop its agent, replikera-agent join --settings FILE   (asks for the line), start it"


@app.command("invite", cls=Leaf)
def invite(
    context: typer.Context,
    site: Annotated[str, typer.Option("--site", help="The site that the host is at.")],
    valid_for: ValidForOption = None,
) -> None:
    """Print the line that one new host joins with, once. It holds a secret: hand it over with care."""
    body = {"site": site, **_life(valid_for)}
    invitation = post(context, "host-invitations", body=body)
    _present_invitation(context, invitation, f"one host at site {site}", _JOIN)


@app.command("list", cls=Listing)
def list_hosts(context: typer.Context) -> None:
    """List the registered hosts."""
    present_list(
        context,
        "hosts",
        columns=COLUMNS,
        row=row,
        none="No host has joined this vault.",
        next_when_none="replikera host invite --site SITE",
    )


@app.command("show", cls=Viewing)
def show(context: typer.Context, name: HostArgument) -> None:
    """Show a host with its certificates."""
    output = output_of(context)

    def present(host: Record) -> None:
        output.answer(host, lambda: render_host(host))
        if host.get("state") in {"quarantined", "revoked"}:
            output.next(f"replikera host readmit {plain(host.get('name'))}")

    view(context, lambda client: client.get("hosts", name), present)


@app.command("retire", cls=Leaf)
def retire(
    context: typer.Context,
    name: HostArgument,
    *,
    reason: ReasonOption = "",
    confirmation: ConfirmOption = None,
) -> None:
    """Let a host go for good; its name is free again. Refused while it has a part in a protection."""
    confirm(
        name,
        confirmation,
        f"Host {name} leaves the vault for good: it would have to be invited as a new one",
    )
    _change(context, name, "retire", reason)
    output_of(context).next("replikera host list")


@app.command("revoke", cls=Leaf)
def revoke(
    context: typer.Context,
    name: HostArgument,
    *,
    reason: ReasonOption = "",
    confirmation: ConfirmOption = None,
) -> None:
    """Trust a host no more, at once.

    Its session and its replication end, all its certificates are denied.
    """
    confirm(
        name,
        confirmation,
        f"Session and replication of host {name} end at once: it comes back only by `replikera host readmit`",
    )
    _change(context, name, "revoke", reason)
    output_of(context).next(f"replikera host readmit {name}   (when it is trusted again)")


@app.command("readmit", cls=Leaf)
def readmit(
    context: typer.Context,
    name: HostArgument,
    *,
    reason: ReasonOption = "",
    valid_for: ValidForOption = None,
) -> None:
    """Print the line that a known host joins with again.

    For one that is quarantined or revoked, or whose certificate has expired. It keeps its id and its protections,
    and gets a new certificate; all older ones are denied.
    """
    body = {"reason": reason, **_life(valid_for)}
    invitation = post(context, "hosts", name, "readmit", body=body)
    _present_invitation(context, invitation, f"host {name} alone", _JOIN_AGAIN)


def _life(valid_for: Duration | None) -> dict[str, object]:
    return {} if valid_for is None else {"valid_for_seconds": valid_for.seconds}


def _present_invitation(
    context: typer.Context, invitation: Record, whom: str, next_command: str
) -> None:
    line = required_text(invitation, "join_line", "an invitation")
    output = output_of(context)
    output.message(
        f"Registration key {invitation.get('key_id')} for {whom}, "
        f"until {instant(invitation.get('expires_at'))}. The line is not shown again."
    )
    output.line(invitation, line)
    output.next(next_command)


def _change(context: typer.Context, name: str, verb: str, reason: str) -> None:
    host = post(context, "hosts", name, verb, body={"reason": reason})
    output_of(context).answer(host, lambda: render_host(host))
