"""`replikera network-mapping`: which network at the other site stands for a network here."""

from typing import Annotated

import typer
from rich.console import Group, RenderableType

from replikera.cli.arguments import HostNetwork, parse_host_network
from replikera.cli.connection import post
from replikera.cli.leaf import Leaf, Listing, Viewing, noun
from replikera.cli.listing import present_list
from replikera.cli.mapping_view import NIC_COLUMNS, concerns, nic_row, tell_concerned
from replikera.cli.output import output_of, properties, table
from replikera.cli.records import Record, records
from replikera.cli.watching import view
from replikera.cli.wording import plain

app = noun("Networks here and their counterparts there.")
_COLUMNS = ("primary", "secondary", "test network", "health", "id")
_IN_FUTURE = "their adapters go there when they are recovered the next time"

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The mapping's id.")]


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
    _present_changed(context, post(context, "network-mappings", body=body))


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


@app.command("show", cls=Viewing)
def show(context: typer.Context, mapping_id: IdArgument) -> None:
    """Show a network mapping, and where the adapters that it concerns go."""
    output = output_of(context)
    view(
        context,
        lambda client: client.get("network-mappings", mapping_id),
        lambda mapping: output.answer(mapping, lambda: _render(mapping)),
    )


@app.command("update", cls=Leaf)
def update(
    context: typer.Context,
    mapping_id: IdArgument,
    *,
    secondary_network: Annotated[
        str | None,
        typer.Option(
            "--secondary-network",
            metavar="NAME",
            help="The secondary host's network that machines use after a failover.",
        ),
    ] = None,
    test_network: Annotated[
        str | None,
        typer.Option(
            "--test-network",
            metavar="NAME",
            help="The secondary host's network for test failovers.",
        ),
    ] = None,
    without_test_network: Annotated[
        bool,
        typer.Option("--no-test-network", help="Leave adapters disconnected in test failovers."),
    ] = False,
) -> None:
    """Map a network to another one of the same host, or give it another network for tests."""
    if test_network is not None and without_test_network:
        raise typer.BadParameter("--test-network and --no-test-network exclude each other.")
    body: dict[str, object] = {}
    if secondary_network is not None:
        body["secondary_network"] = secondary_network
    if test_network is not None or without_test_network:
        body["test_network"] = test_network
    if not body:
        raise typer.BadParameter("Say what is to be different.")
    _present_changed(context, post(context, "network-mappings", mapping_id, "update", body=body))


@app.command("delete", cls=Leaf)
def delete(context: typer.Context, mapping_id: IdArgument) -> None:
    """Map a network no more: adapters on it stay disconnected when machines are recovered."""
    gone = post(context, "network-mappings", mapping_id, "delete", body={})
    output = output_of(context)
    output.line(gone, f"Network mapping {plain(gone.get('id'))} is deleted.")
    names = gone.get("protections")
    tell_concerned(
        output,
        names if isinstance(names, list) else (),
        "their adapters on that network stay disconnected when they are recovered",
    )


def _present_changed(context: typer.Context, mapping: Record) -> None:
    output = output_of(context)
    output.answer(mapping, lambda: table(_COLUMNS, [_row(mapping)]))
    names = [item.get("name") for item in records(mapping, "protections")]
    tell_concerned(output, names, _IN_FUTURE)
    output.next(f"replikera network-mapping show {plain(mapping.get('id'))}")


def _render(mapping: Record) -> RenderableType:
    pairs = [*zip(_COLUMNS, _row(mapping), strict=True), *concerns(mapping)]
    rows = [
        (protection.get("name"), *nic_row(nic))
        for protection in records(mapping, "protections")
        for nic in records(protection, "nics")
    ]
    if not rows:
        return properties(pairs)
    return Group(properties(pairs), "", table(("protection", *NIC_COLUMNS), rows))


def _row(mapping: Record) -> tuple[object, ...]:
    return (
        _network(mapping, "primary"),
        _network(mapping, "secondary"),
        mapping.get("test_network") or "none",
        mapping.get("health"),
        mapping.get("id"),
    )


def _network(mapping: Record, side: str) -> str:
    return f"{plain(mapping.get(f'{side}_host'))}/{plain(mapping.get(f'{side}_network'))}"
