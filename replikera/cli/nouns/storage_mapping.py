"""`replikera storage-mapping`: which folder at the other site keeps what is on a class of storage here."""

from typing import Annotated

import typer
from rich.console import RenderableType

from replikera.cli.connection import post
from replikera.cli.leaf import Leaf, Listing, Viewing, noun
from replikera.cli.listing import present_list
from replikera.cli.mapping_view import concerns, tell_concerned
from replikera.cli.output import output_of, properties, table
from replikera.cli.records import Record
from replikera.cli.storage_arguments import HostStorage, parse_host_storage
from replikera.cli.watching import view
from replikera.cli.wording import plain

app = noun("Storage here and the folders for it there.")
_COLUMNS = ("primary", "class", "secondary", "folder", "health", "id")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The mapping's id.")]


@app.command("create", cls=Leaf)
def create(
    context: typer.Context,
    primary: Annotated[
        HostStorage,
        typer.Option(
            "--primary",
            metavar="HOST[/CLASS]",
            parser=parse_host_storage,
            help="The storage class that disks are on now; none: disks without a class.",
        ),
    ],
    secondary: Annotated[
        str, typer.Option("--secondary", metavar="HOST", help="The host that keeps the replicas.")
    ],
    folder: Annotated[
        str,
        typer.Option(
            "--folder",
            metavar="PATH",
            help="One of the folders that it offers; `replikera host show HOST` tells them.",
        ),
    ],
) -> None:
    """Map a storage class of the primary host to a folder of the secondary host, for new replicas."""
    body: dict[str, object] = {
        "primary_host": primary.host,
        "storage_class": primary.storage_class,
        "secondary_host": secondary,
        "folder": folder,
    }
    mapping = post(context, "storage-mappings", body=body)
    output = output_of(context)
    output.answer(mapping, lambda: table(_COLUMNS, [_row(mapping)]))
    output.next("replikera protection enable VM --target-host HOST --policy POLICY")


@app.command("list", cls=Listing)
def list_mappings(context: typer.Context) -> None:
    """List the storage mappings."""
    present_list(
        context,
        "storage-mappings",
        columns=_COLUMNS,
        row=_row,
        none="This vault maps no storage: replicas go to the default folders of their hosts.",
        next_when_none="replikera storage-mapping create --primary HOST/CLASS --secondary HOST "
        "--folder PATH",
    )


@app.command("show", cls=Viewing)
def show(context: typer.Context, mapping_id: IdArgument) -> None:
    """Show a storage mapping, and whose disks are of its class."""
    output = output_of(context)
    view(
        context,
        lambda client: client.get("storage-mappings", mapping_id),
        lambda mapping: output.answer(mapping, lambda: _render(mapping)),
    )


@app.command("delete", cls=Leaf)
def delete(context: typer.Context, mapping_id: IdArgument) -> None:
    """Map a storage class no more. Replicas stay where they are."""
    gone = post(context, "storage-mappings", mapping_id, "delete", body={})
    output = output_of(context)
    output.line(gone, f"Storage mapping {plain(gone.get('id'))} is deleted.")
    tell_concerned(output, _names(gone), "their replicas stay where they are")


def _render(mapping: Record) -> RenderableType:
    names = ", ".join(plain(name) for name in _names(mapping))
    pairs = [*zip(_COLUMNS, _row(mapping), strict=True), *concerns(mapping)]
    return properties([*pairs, ("protections", names or "none")])


def _row(mapping: Record) -> tuple[object, ...]:
    return (
        mapping.get("primary_host"),
        mapping.get("storage_class") or "(none)",
        mapping.get("secondary_host"),
        mapping.get("folder"),
        mapping.get("health"),
        mapping.get("id"),
    )


def _names(mapping: Record) -> list[object]:
    names = mapping.get("protections")
    return names if isinstance(names, list) else []
