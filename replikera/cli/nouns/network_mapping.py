"""`replikera network-mapping`: which network at the other site stands for a network here."""

from typing import Annotated

import typer

from replikera.cli.arguments import HostNetwork, parse_host_network
from replikera.cli.connection import post
from replikera.cli.leaf import Leaf, Listing, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of, table
from replikera.cli.records import Record
from replikera.cli.wording import plain

app = noun("Networks here and their counterparts there.")
_COLUMNS = ("primary", "secondary", "test network", "id")


@app.command("create", cls=Leaf)
def create(
    context: typer.Context,
    primary: Annotated[
        HostNetwork,
        typer.Option(
            "--primary",
            metavar="HOST/NETWORK",
            parser=parse_host_network,
            help="The network that machines use where they run now.",
        ),
    ],
    secondary: Annotated[
        HostNetwork,
        typer.Option(
            "--secondary",
            metavar="HOST/NETWORK",
            parser=parse_host_network,
            help="The network that they use after a failover.",
        ),
    ],
    test_network: Annotated[
        str | None,
        typer.Option(
            "--test-network",
            metavar="NAME",
            help="The secondary host's network for test failovers; none: adapters stay disconnected.",
        ),
    ] = None,
) -> None:
    """Map a network of the primary site to one of the secondary site."""
    body: dict[str, object] = {
        "primary_host": primary.host,
        "primary_network": primary.network,
        "secondary_host": secondary.host,
        "secondary_network": secondary.network,
    }
    if test_network is not None:
        body["test_network"] = test_network
    mapping = post(context, "network-mappings", body=body)
    output_of(context).answer(mapping, lambda: table(_COLUMNS, [_row(mapping)]))


@app.command("list", cls=Listing)
def list_mappings(context: typer.Context) -> None:
    """List the network mappings."""
    present_list(
        context,
        "network-mappings",
        columns=_COLUMNS,
        row=_row,
        none="This vault maps no network.",
        next_when_none="replikera network-mapping create --primary HOST/NETWORK "
        "--secondary HOST/NETWORK",
    )


def _row(mapping: Record) -> tuple[object, ...]:
    return (
        _network(mapping, "primary"),
        _network(mapping, "secondary"),
        mapping.get("test_network") or "none",
        mapping.get("id"),
    )


def _network(mapping: Record, side: str) -> str:
    return f"{plain(mapping.get(f'{side}_host'))}/{plain(mapping.get(f'{side}_network'))}"
