"""`replikera network`: the networks that the hosts report."""

import typer

from replikera.cli.leaf import Listing, noun
from replikera.cli.listing import present_list
from replikera.cli.records import Record
from replikera.cli.wording import plain

app = noun("Networks that the hosts report.")


@app.command("list", cls=Listing)
def list_networks(context: typer.Context) -> None:
    """List the networks of all hosts."""
    present_list(
        context,
        "networks",
        columns=("network", "host", "site", "isolated", "subnets"),
        row=_row,
        none="No host reports a network.",
        next_when_none="replikera host list",
        next_command="replikera network-mapping create --primary HOST/NETWORK --secondary HOST/NETWORK",
    )


def _row(network: Record) -> tuple[object, ...]:
    subnets = network.get("subnets")
    return (
        network.get("name"),
        network.get("host"),
        network.get("site"),
        network.get("is_isolated"),
        ", ".join(plain(subnet) for subnet in subnets) or "-"
        if isinstance(subnets, list)
        else None,
    )
